"""The page as text: nothing that comes from outside becomes markup, and its size has a limit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from html.parser import HTMLParser
from typing import Any

import pytest

from listener.model.entry import Attempt, Run
from listener.overview.finding import Finding
from listener.overview.report.gather import gather
from listener.overview.report.page import duration, render
from listener.state.journal import Journal
from tests.cli.commands import NASTY, THEN, done, failed, new
from tests.overview.report.test_gather import RUNNING

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;"
VOID = {"meta"}


class Reader(HTMLParser):
    """What the page consists of; it fails where tags are not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.ids: list[str] = []
        self._texts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(name, value or "") for name, value in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self._texts.append(data)

    @property
    def text(self) -> str:
        """All that it says, on one line."""
        return " ".join(" ".join(self._texts).split())


@pytest.fixture
def journal() -> Iterator[Journal]:
    with closing(Journal(None)) as journal:
        yield journal


def page_of(journal: Journal, **standing: Any) -> str:
    values = {"lines": [], "destinations": [], "findings": [], **standing}
    return render(gather(journal, THEN, THEN + 3600), **values)


def read(journal: Journal, **standing: Any) -> Reader:
    page = Reader(page_of(journal, **standing))
    assert len(page.ids) == len(set(page.ids))
    assert not {"script", "link", "img", "iframe", "base", "form"} & page.tags
    assert not any(name.startswith("on") or name in ("src", "style") for name, _ in page.attributes)
    assert all(value.startswith("#") for name, value in page.attributes if name == "href")
    return page


def test_an_empty_journal_says_so_and_that_all_is_well(journal: Journal) -> None:
    text = read(journal).text
    for words in ("all is well", "Nothing was accepted", "No hook was to run", "none to repair"):
        assert words in text


def test_a_journal_in_which_all_runs_has_no_latencies_and_no_share(journal: Journal) -> None:
    journal.accept(new("running", event_type="workflow_started", received_at=THEN, runs=(RUNNING,)))
    text = read(journal).text
    for words in (
        "▸ running · 1 h",
        "running retries success page 1 0 –",
        "none to repair",
        "No hook has ended",
    ):
        assert words in text


def test_what_needs_doing_stands_first_with_its_cure_then_how_things_stand(journal: Journal) -> None:
    row = {"destination": "snmp://sink", "sent": 1234, "failed": 0, "last sent": "never"}
    finding = Finding("journal", "2 failed", "replay --failed")
    text = read(
        journal, findings=[finding], lines=[("listener", "does not run")], destinations=[row]
    ).text
    places = [
        text.index(each) for each in ("2 failed", "replay --failed", "does not run", "1,234", "Nothing")
    ]
    assert places == sorted(places)


def test_a_failure_has_the_commands_that_repair_it_and_a_way_to_its_execution(journal: Journal) -> None:
    journal.accept(new("failed", received_at=THEN, runs=(done(), failed())))
    page = read(journal)
    assert "conductor-hooks show 1" in page.text
    assert "conductor-hooks replay 1" in page.text
    assert ("href", f"#{next(each for each in page.ids if each.startswith('x'))}") in page.attributes


def test_nothing_that_comes_from_outside_becomes_markup(journal: Journal) -> None:
    bad = Run(HOSTILE, HOSTILE, "failed", attempts=(Attempt(THEN, "failed", HOSTILE, 1.0),))
    journal.accept(
        new(
            "failed", event_type=HOSTILE, execution=HOSTILE, received_at=THEN, runs=(bad,),
            deployment_id=HOSTILE, workflow_id=HOSTILE, tenant={"name": HOSTILE},
        )
    )  # fmt: skip
    journal.accept(new("unreadable", event_type=None, received_at=THEN, error=HOSTILE))
    standing = {
        "findings": [Finding(HOSTILE, HOSTILE, HOSTILE)],
        "lines": [("state", HOSTILE)],
        "destinations": [{"destination": HOSTILE, "sent": 1, "failed": 0, "last sent": "never"}],
    }
    assert read(journal, **standing).text.count(HOSTILE) >= 14


@pytest.mark.parametrize("nasty", NASTY)
def test_control_characters_are_written_out(journal: Journal, nasty: str) -> None:
    runs = (failed(nasty, nasty),)
    journal.accept(new("failed", received_at=THEN, runs=runs, execution=nasty, deployment_id=nasty))
    page = page_of(journal)
    assert nasty not in page
    assert page.replace("\n", "").isprintable()


def test_secrets_of_a_notification_are_not_in_the_page(journal: Journal) -> None:
    secrets: dict[str, Any] = {"password": "hunter2", "execution_parameters": {"key": "s3same"}}
    secrets |= {"deployment_id": {"token": "op3n"}, "rest_token": "ctok-Abc"}
    journal.accept(new("failed", received_at=THEN, runs=(failed(),), **secrets))
    page = page_of(journal)
    assert not [word for word in ("ctok-Abc", "hunter2", "s3same", "op3n") if word in page]


def test_the_page_of_a_large_journal_is_not_large_and_says_what_it_leaves_out(journal: Journal) -> None:
    text = "<" * 500
    attempts = tuple(Attempt(THEN, "failed", text, 1.0) for _ in range(4))
    runs = tuple(Run(f"{n}{text}", text, "failed", attempts=attempts) for n in range(30))
    for number in range(400):
        journal.accept(
            new(
                "failed", received_at=THEN + number, runs=runs, execution=f"{number}{text}",
                deployment_id=text, workflow_id=text,
            )
        )  # fmt: skip
    page = page_of(journal)
    assert len(page) < 15_000_000
    assert "These are the 300 newest executions. 100 entries of older ones are not drawn" in page
    assert "14 more hooks: conductor-hooks show 400" in page


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "< 1 ms"), (0.00234, "2.3 ms"), (0.25, "250 ms"), (0.9996, "1 s"), (1.26, "1.3 s"),
        (59.9, "60 s"), (59.96, "1 min"), (192.4, "3 min 12 s"), (3600, "1 h"), (7260, "2 h 1 min"),
        (200_000, "2 d 7 h"),
    ],
)  # fmt: skip
def test_a_duration_has_the_units_of_a_person(seconds: float, words: str) -> None:
    assert duration(seconds) == words
