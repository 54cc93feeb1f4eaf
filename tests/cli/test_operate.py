"""history, show and drop, as whoever is called at night uses them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from listener.cli import command
from listener.model.entry import Attempt, Run
from listener.model.outcome import Tally
from listener.state.journal import Journal
from tests.cli.commands import (
    COMMAND,
    NASTY,
    THEN,
    answer,
    done,
    failed,
    ids,
    lines,
    new,
    run,
    run_here,
    state_of,
    store,
    waiting,
)  # fmt: skip
from tests.support import uncounted_env, wait_for


def the_id(line: str) -> str:
    return line.split(maxsplit=1)[0]


# history


def test_history_is_newest_first_and_says_when_it_shows_not_all(journal: Journal) -> None:
    journal.accept_all([new() for _ in range(52)])
    result = run_here("history")
    assert [the_id(line) for line in result.stdout.splitlines()] == ["id", *map(str, range(52, 2, -1))]
    assert result.stderr == "the newest 50 are shown; --limit shows more\n"
    assert len(lines(run_here("history", "--limit", "52"))) == 53


def test_an_empty_history_is_no_mistake(journal: Journal) -> None:
    store(journal)
    result = run_here("history", "--execution", "e-_")
    assert (result.returncode, result.stderr) == (0, "nothing found\n")
    assert ids("--execution", "e-_") == []


def test_each_filter_of_history_leaves_out_what_it_should(journal: Journal) -> None:
    now = time.time()
    for number, state in enumerate(("pending", "done", "failed", "done", "failed"), 1):
        event_type = "workflow_failed" if number % 2 else "workflow_started"
        at = now - 3600 * (6 - number)
        store(journal, state, event_type=event_type, execution=f"e-{number % 3}", received_at=at)
    assert ids("--state", "failed") == [5, 3]
    assert ids("--state", "failed", "--state", "pending") == [5, 3, 1]
    assert ids("--event-type", "workflow_started", "--execution", "e-2") == [2]
    assert ids("--since", "210m", "--limit", "2") == [5, 4]


def test_what_was_sent_where_is_shown_in_numbers(journal: Journal) -> None:
    assert lines(run_here("history", "--destinations")) == ["nothing was sent yet"]
    journal.count(
        {"b.example:162": Tally(12, 10, 2), "\x1b[2Ja[red]:162": Tally(0, 0, 7)}, 1769860800.0
    )
    rows = [line.split() for line in lines(run_here("history", "--destinations"))]
    assert rows == [
        ["sent", "acknowledged", "failed", "sent_at", "destination"],
        ["0", "0", "7", r"\x1b[2Ja[red]:162"],
        ["12", "10", "2", "2026-01-31T12:00:00.000Z", "b.example:162"],
    ]
    assert answer(run_here("history", "--destinations", "--output", "json"))[1] == {
        "destination": "b.example:162", "sent": 12, "acknowledged": 10, "failed": 2,
        "sent_at": "2026-01-31T12:00:00.000Z",
    }  # fmt: skip


def test_history_is_readable_on_a_full_disk_and_while_somebody_keeps_the_journal_locked(
    tmp_path: Path, journal: Journal
) -> None:
    store(journal)

    def fill_the_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "journal.db")) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert len(lines(run("history", preexec_fn=fill_the_disk, env=uncounted_env()))) == 2


@pytest.mark.parametrize(("value", "has_colours"), [("", True), ("1", False)])
def test_no_color_leaves_out_colours(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, value: str, has_colours: bool
) -> None:
    store(journal)
    monkeypatch.setenv("NO_COLOR", value)
    shown = CliRunner().invoke(command, ["show", "1"], color=True).stdout
    assert ("\x1b[" in shown) == has_colours


# history --follow


Follow = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def follow(tmp_path: Path) -> Iterator[Follow]:
    """Starts `history --follow`, which writes into the file `seen`."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: str) -> subprocess.Popen[bytes]:
            seen, errors = (
                stack.enter_context(open(tmp_path / name, "w")) for name in ("seen", "errors")
            )
            process = stack.enter_context(
                subprocess.Popen(
                    [*COMMAND, "history", "--follow", *arguments], stdout=seen, stderr=errors
                )
            )
            stack.callback(process.kill)
            return process

        yield start


def wait_for_lines(tmp_path: Path, number: int) -> list[str]:
    """What `follow` has shown, when there are so many lines."""

    def found() -> list[str]:
        shown = (tmp_path / "seen").read_text().splitlines()
        return shown if len(shown) >= number else []

    return wait_for(f"line {number}", found)


def change(journal: Journal, entry_id: int, entry_run: Run) -> None:
    entry = journal.get(entry_id)
    assert entry
    journal.save(entry.with_runs([entry_run]))


def test_follow_shows_what_is_there_what_comes_and_what_changes_until_ctrl_c(
    tmp_path: Path, journal: Journal, follow: Follow
) -> None:
    journal.accept_all([new(execution=f"old-{number}") for number in range(3)])
    process = follow("--limit", "2")
    wait_for_lines(tmp_path, 2)
    coming = store(journal, "pending", runs=(waiting(),), execution=NASTY[0])
    wait_for_lines(tmp_path, 3)
    change(journal, coming, failed())
    shown = wait_for_lines(tmp_path, 4)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 0
    assert (tmp_path / "errors").read_text() == ""
    assert [the_id(line) for line in shown] == ["2", "3", "4", "4"]
    assert "Z  pending  workflow_failed  " in shown[2]
    assert shown[2].endswith("  page: pending (ValueError: no)")
    assert shown[3].endswith("  page: failed (ValueError: no)")
    assert all(line.isprintable() for line in shown)


def test_follow_in_json_is_one_object_a_line_of_what_passes_the_filters_in_whatever_order_it_fails(
    tmp_path: Path, journal: Journal, follow: Follow
) -> None:
    store(journal, "failed", runs=(failed(error="two\nlines"),))
    both = [store(journal, "pending", runs=(waiting(),)) for _ in range(2)]
    follow("--output", "json", "--state", "failed")
    wait_for_lines(tmp_path, 1)
    for number, entry_id in enumerate(reversed(both), 2):
        change(journal, entry_id, failed())
        wait_for_lines(tmp_path, number)
    journal.accept_all([new() if number else new("failed") for number in range(1100)])
    store(journal, "failed", execution="behind a burst")
    shown = [json.loads(line) for line in wait_for_lines(tmp_path, 5)]
    assert [entry["id"] for entry in shown] == [1, 3, 2, 4, 1104]
    assert shown[0] == answer(run_here("history", "--output", "json", "--state", "failed"))[-1]


def test_what_comes_while_the_first_lines_are_printed_is_not_left_out(journal: Journal) -> None:
    journal.accept_all([new(event_type="x" * 1000) for _ in range(200)])
    arguments = ["history", "--follow", "--output", "json", "--limit", "200"]
    seen = bytearray()
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, bufsize=0) as process:
        try:
            assert process.stdout is not None
            seen += process.stdout.read(1)  # it has begun, and the pipe cannot hold all
            store(journal)
            os.set_blocking(process.stdout.fileno(), False)

            def shown() -> list[int]:
                assert process.stdout is not None
                seen.extend(process.stdout.read(65536) or b"")
                return [json.loads(line)["id"] for line in seen.splitlines(True) if b"\n" in line]

            wait_for("the one that came later", lambda: 201 in shown())
            assert shown() == list(range(1, 202))
        finally:
            process.kill()


def test_follow_ends_quietly_when_its_reader_has_gone(journal: Journal) -> None:
    store(journal)
    follow = [*COMMAND, "history", "--follow"]
    with subprocess.Popen(follow, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        store(journal)
        errors = process.stderr.read()
    assert (process.returncode, errors) == (0, b"")


# show


def test_show_has_every_attempt_with_its_time_its_end_and_its_error(journal: Journal) -> None:
    attempts = (
        Attempt(THEN, "failed", "ValueError: first", 0.25),
        Attempt(THEN + 2.5, "timed out", "no end after 60 s", 60.0),
        Attempt(THEN + 100, "interrupted"),
    )
    runs = (
        done(),
        Run("page", "m.page", "pending", THEN + 1e9, 3, attempts),
        Run("now", "m.now").begun(THEN),
    )
    about = {"deployment_id": "nodecellar", "workflow_id": "heal", "tenant_name": "acme"}
    store(journal, "running", runs=runs, received_at=THEN, **about)

    shown = run_here("show", "1").stdout
    entry = answer(run_here("show", "1", "--output", "json"))

    head, text = shown[: shown.index("\n{")], shown[shown.index("\n{") :]
    assert head.splitlines() == [
        "id             1",
        "event_type     workflow_failed",
        "execution_id   e-1",
        "deployment_id  nodecellar",
        "tenant_name    acme",
        "workflow_id    heal",
        "received_at    2023-11-14T22:13:20.000Z",
        "source         supervisord",
        "state          running",
        "",
        "trap: done   m.trap",
        "  2023-11-14T22:13:20.000Z  done after 0.500 s: sent",
        "",
        "page: pending   m.page",
        "  2023-11-14T22:13:20.000Z  failed after 0.250 s: ValueError: first",
        "  2023-11-14T22:13:22.500Z  timed out after 60.000 s: no end after 60 s",
        "  2023-11-14T22:15:00.000Z  interrupted: the listener ended while it ran",
        "  the next attempt is due at 2055-07-24T00:00:00.000Z",
        "",
        "now: running   m.now",
        "  2023-11-14T22:13:20.000Z  running",
    ]
    assert json.loads(text) == entry["notification"]
    assert entry["notification"]["context"]["deployment_id"] == "nodecellar"
    assert [run["attempts"] for run in entry["runs"]] == [1, 3, 1]
    assert entry["runs"][1]["each_attempt"][0] == {
        "began_at": "2023-11-14T22:13:20.000Z",
        "state": "failed",
        "text": "ValueError: first",
        "seconds": 0.25,
    }
    assert {attempt["state"] for attempt in entry["runs"][2]["each_attempt"]} == {"running"}
    assert [run["due_at"] is None for run in entry["runs"]] == [True, False, True]


def test_show_hides_secrets(journal: Journal) -> None:
    secrets = {"password": "s3cret-1", "host": "visible", "nested": [{"api_token": "s3cret-2"}]}
    store(journal, "pending", rest_token="s3cret-0", execution_parameters=secrets)
    for arguments in (["show", "1"], ["show", "1", "--output", "json"], ["history"]):
        assert "s3cret" not in "\n".join(lines(run_here(*arguments)))
    shown = answer(run_here("show", "1", "--output", "json"))["notification"]["context"]
    assert shown["execution_parameters"] == {
        "password": "…", "host": "visible", "nested": [{"api_token": "…"}]
    }  # fmt: skip


def test_show_of_what_is_no_notification_has_its_payload_and_the_reason(journal: Journal) -> None:
    store(journal, "unreadable", event_type=None, error="not JSON: raise the limit")
    shown = lines(run_here("show", "1"))
    assert "error          not JSON: raise the limit" in shown
    assert "payload        no json" in shown
    entry = answer(run_here("show", "1", "--output", "json"))
    assert (entry["payload"], entry["notification"], entry["runs"]) == ("no json", None, [])


def test_what_nests_deep_or_is_torn_or_has_an_impossible_time_is_shown(journal: Journal) -> None:
    deep = json.loads("[" * 500 + "]" * 500)
    store(journal, "done", password="s3cret", deep=deep)
    store(journal, "done", text='{"event_type": "workflow_failed", "password": "' + "x" * 80 + "s3cret")
    store(journal, "pending", received_at=1e18, runs=(waiting(due_at=1e18),))
    shown = [answer(run_here("show", str(number), "--output", "json")) for number in (1, 2, 3)]
    assert [entry["id"] for entry in answer(run_here("history", "--output", "json"))] == [3, 2, 1]
    assert shown[0]["notification"]["context"]["password"] == "…"
    assert shown[0]["notification"]["context"]["deep"] != deep
    assert shown[1]["payload"].startswith('\'{"event_type": ')
    assert "s3cret" not in str(shown)
    assert shown[2]["received_at"] == shown[2]["runs"][0]["due_at"] == "9999-12-31T23:59:59.000Z"
    assert run_here("show", "1").returncode == 0


def test_json_brings_every_text_back_and_a_table_obeys_none(journal: Journal) -> None:
    texts = (*NASTY, "half \ud800 a pair", "\0", "配置")
    for text in texts:
        store(journal, deployment_id=text, workflow_id={"not": [text]})
    for text in NASTY:
        store(journal, "failed", runs=(failed(error=text),), execution=text, event_type=f"x{text}")
    entries = answer(run_here("history", "--output", "json"))[::-1]
    assert [entry["deployment_id"] for entry in entries[: len(texts)]] == list(texts)
    assert [entry["execution_id"] for entry in entries[len(texts) :]] == list(NASTY)
    for arguments in (["history"], ["show", str(len(texts) - 2)], ["show", str(len(entries))]):
        assert all(line.isprintable() for line in lines(run_here(*arguments)))
        assert all(line.isprintable() for line in lines(run_here(*arguments, "--output", "json")))


# drop


def test_several_are_dropped_at_once_and_promise_no_further_attempt(journal: Journal) -> None:
    pending = store(journal, "pending", runs=(waiting(due_at=time.time() + 1000),))
    unreadable = store(journal, "unreadable", event_type=None)
    result = run_here("drop", str(unreadable), str(pending))
    assert [the_id(line) for line in lines(result)] == ["id", str(unreadable), str(pending)]
    assert ids("--state", "dropped") == [unreadable, pending]
    assert "the next attempt" not in run_here("show", str(pending)).stdout
    [given_up] = answer(run_here("show", str(pending), "--output", "json"))["runs"]
    assert (given_up["state"], given_up["due_at"]) == ("dropped", None)


def test_all_that_failed_since_then_is_dropped_and_above_ten_after_a_yes(journal: Journal) -> None:
    now = time.time()
    old, *others = (
        store(journal, state, received_at=at)
        for state, at in [
            ("failed", now - 9000),
            ("interrupted", now),
            ("unreadable", now),
            *[("failed", now)] * 9,
        ]
    )
    store(journal, "done")
    assert run_here("drop", "--failed", "--since", "2h").returncode == 2
    assert ids("--state", "dropped") == []
    dropped = answer(run_here("drop", "--failed", "--since", "2h", "--yes", "--output", "json"))
    assert [entry["id"] for entry in dropped] == others
    assert ids("--state", "failed", "--state", "interrupted") == [old]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("2", "entry 2 is done: there is nothing to give up"),
        ("3", "entry 3 is running: end its hook with conductor-hooks stop 3 && conductor-hooks drop 3"),
        ("4711", "the journal has no entry 4711; conductor-hooks history lists them"),
    ],
)
def test_nothing_is_dropped_when_one_cannot_be(journal: Journal, wrong: str, said: str) -> None:
    store(journal, "failed", runs=(failed(),))
    store(journal, "done", runs=(done(),))
    store(journal, "running", runs=(Run("now", "m.now").begun(THEN),))
    result = run_here("drop", "1", wrong)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"Error: {said}\n")
    assert state_of(journal, 1) == "failed"


def test_what_the_listener_begins_in_that_moment_is_not_said_to_be_dropped(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_id = store(journal, "pending", runs=(waiting(),))
    really_drop = Journal.drop

    def drop(self: Journal, entry_id: int) -> bool:
        change(journal, entry_id, waiting().begun(time.time()))
        return really_drop(self, entry_id)

    monkeypatch.setattr(Journal, "drop", drop)
    result = CliRunner().invoke(command, ["drop", str(entry_id)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"entry {entry_id} is running by now" in result.stderr


@pytest.mark.parametrize(
    "arguments", [["show", "9" * 20], ["drop", "0"], ["history", "--limit", "9" * 20]]
)
def test_a_number_that_no_id_can_be_is_an_error_of_one_line(
    journal: Journal, arguments: list[str]
) -> None:
    result = run_here(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(r"Error: .*\n", result.stderr)
