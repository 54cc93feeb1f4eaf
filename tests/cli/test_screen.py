"""What a person sees in a terminal of any width: nothing is cut, states have colours."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest

from listener.cli import answers
from listener.cli.answers import print_line, print_table
from listener.cli.entries import print_entries
from listener.model.entry import Entry
from listener.model.outcome import Tally
from listener.state.journal import Journal
from tests.cli.commands import COMMAND, THEN, done, failed, new, run, store
from tests.handmade_plugins import make_plugin
from tests.support import shown_at_terminal

UUID = "0b6a58ab-9c4f-4f0e-8f3a-2f1d6c7b8a90"
ERROR = "ConnectionError: the pager at pager.example.com does not answer"


def entry(entry_id: int, state: str, event_type: str, **about: object) -> Entry:
    made = new(state, event_type=event_type, received_at=THEN, execution=UUID, **about)  # type: ignore[arg-type]
    return Entry(**{name: getattr(made, name) for name in made.__struct_fields__} | {"id": entry_id})


ENTRIES = [
    entry(
        31, "failed", "workflow_failed", runs=(done(), failed(error=ERROR)), deployment_id="配置中心"
    ),
    entry(3, "interrupted", "workflow_succeeded", runs=(done(),), deployment_id="nodecellar"),
]


class Screen:
    """A terminal so wide, for what is printed in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def history(self, width: int) -> list[str]:
        """What history prints of ENTRIES."""
        self._monkeypatch.setattr(answers, "_columns", lambda: width)
        print_entries(ENTRIES, "table")
        return self._capsys.readouterr().out.splitlines()

    def line(self, text: str, width: int) -> list[str]:
        """What is printed of a line."""
        self._monkeypatch.setattr(answers, "_columns", lambda: width)
        print_line(text)
        return self._capsys.readouterr().out.splitlines()


@pytest.fixture
def screen(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Screen:
    return Screen(capsys, monkeypatch)


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_history_cuts_nothing_in_any_width(screen: Screen, width: int) -> None:
    lines = screen.history(width)
    for words in ("31  2023-11-14 22:13:20Z  failed       workflow_failed", UUID, "配置中心"):
        assert [line for line in lines if words in line], words
    assert max(map(answers._width, lines)) <= width
    told = " ".join(" ".join(lines).split())
    assert f"trap: done, page: failed ({ERROR})" in told


def test_an_entry_takes_two_lines_where_one_does_not_hold_it(screen: Screen) -> None:
    assert screen.history(80)[-2:] == [
        "3   2023-11-14 22:13:20Z  interrupted  workflow_succeeded",
        f"    {UUID}  nodecellar  trap: done",
    ]
    assert screen.history(100)[-2:] == [
        f"3   2023-11-14 22:13:20Z  interrupted  workflow_succeeded  {UUID}",
        "    nodecellar  trap: done",
    ]
    assert screen.history(200)[-1].endswith(f"  {UUID}  nodecellar  trap: done")


def test_a_line_is_folded_between_words_by_the_columns_that_they_take(screen: Screen) -> None:
    path = "/var/lib/conductor-hooks/journal.db"
    assert screen.line(f"  it is {path}, see there", 20) == ["  it is", f"    {path},", "    see there"]
    assert screen.line("配置 配置 中心", 9) == ["配置 配置", "    中心"]
    row = "1  failed  page: failed (no route)"
    assert screen.line(row, 26) == ["1  failed", "    page: failed (no", "    route)"]
    assert screen.line("on  page: failed (no route)", 20) == ["on  page: failed (no", "    route)"]
    assert screen.line(row, 27) == ["1  failed", "    page: failed (no route)"]
    coloured = click.style("failed", fg="red") + ": ConnectionError"
    assert screen.line(coloured, 23) == ["failed: ConnectionError"]
    assert screen.line("", 9) == [""]


VERBS = ("history", "history --destinations", "show 1", "check", "check --against history",
         "plugins list", "fire workflow_failed --dry-run", "explain workflow_failed", "explain 1",
         "status", "doctor")  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_shows_as_much_at_a_terminal_of_any_width_as_in_a_pipe(
    folder: Path, journal: Journal, verb: str
) -> None:
    hook = (
        "{name: page-oncall, event_type: workflow_failed, implementation: the-doors.doors.tasks.open}"
    )
    (folder / "hooks.conf").write_text(f"hooks: [{hook}, {hook.replace('page', 'call')}]")
    make_plugin(folder / "state/plugins", "the-doors", {"doors.py": ""})
    runs = (done("nms-traps"), failed("page-oncall", f"{ERROR}, neither over HTTP nor over {UUID}"))
    store(journal, "failed", runs=runs, execution=UUID, deployment_id="nodecellar-production-eu-1")
    journal.count({"[2001:db8:85a3:1319:8a2e:370:7334:1]:10162": Tally(123_456, 120_000, 3_456)}, THEN)
    expected = sorted("".join(run(*verb.split()).stdout.split()))
    for width in (60, 200):
        command = ["sh", "-c", f"{shlex.join(COMMAND)} {verb} || true"]  # would fail is 1
        lines = shown_at_terminal(command, columns=width, stream="stdout")
        has_cures = verb in ("status", "doctor")  # which are not folded: a command can be copied
        folded = [line for line in lines if not (has_cures and line.startswith("    "))]
        assert [line for line in folded if len(line) > width and " " in line.strip()] == []
        assert sorted("".join("".join(lines).split())) == expected


def test_a_state_has_its_colour(capsys: pytest.CaptureFixture[str]) -> None:
    with click.Context(click.Command("history"), color=True):
        print_table(["id", "state", "hooks"], [{"id": 1, "state": "failed", "hooks": "failed"}])
    _, row = capsys.readouterr().out.splitlines()
    assert row == "1   \x1b[31mfailed\x1b[0m  failed"
