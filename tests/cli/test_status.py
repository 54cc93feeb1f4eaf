"""The verb status: one screen, one exit status."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from listener.inbox.runs import run_of
from listener.model.outcome import Tally
from listener.rabbitmq.presence import say_present as say_forwarder
from listener.state import directory
from listener.state.journal import Journal
from listener.supervisord.presence import Presence, say_present
from tests.cli.commands import COMMAND, THEN, failed, lines, run_here, store
from tests.support import shown_at_terminal


@pytest.fixture
def listener(folder: Path, journal: Journal) -> Iterator[Path]:
    """This process is the listener."""
    run_here = run_of(os.getpid())
    config = str(folder / "hooks.conf")
    say_present(journal, Presence(run_here, "0.1.0", THEN, config), time.time(), "")
    fd = directory.lock(str(folder / "state"))
    yield folder
    os.close(fd)


def test_all_is_well_is_said_and_is_exit_status_0(listener: Path, journal: Journal) -> None:
    journal.count({"nms:162": Tally(7, 7, 0), "my.page": Tally(0, 0, 2)}, THEN)
    say_forwarder(str(listener / "state"), "consuming the queue 'q'", THEN, is_trouble=False)
    assert lines(run_here("status")) == [
        f"listener    process {os.getpid()} runs since 2023-11-14 22:13:20Z, version 0.1.0",
        f"hooks.conf  {listener}/hooks.conf, hooks: 2",
        f"state       {listener}/state",
        "waiting     0 not begun, 0 begun",
        "went wrong  0 failed, 0 interrupted, 0 unreadable",
        "discarded   none in 24 hours",
        "forwarder   consuming the queue 'q' (since 2023-11-14 22:13:20Z)",
        "",
        "sent  failed  last sent             destination",
        "0     2       never                 my.page",
        "7     0       2023-11-14 22:13:20Z  nms:162",
        "",
        "all is well",
    ]


def test_what_needs_doing_comes_with_its_cure_and_exit_status_1(
    listener: Path, journal: Journal
) -> None:
    store(journal, "failed", runs=(failed(),))
    result = run_here("status")
    assert (result.returncode, result.stderr) == (1, "")
    assert result.stdout.splitlines()[-2:] == [
        "journal: 1 failed",
        "    conductor-hooks history --state failed; correct the cause, then replay --failed; or drop"
        " --failed",
    ]
    as_json = json.loads(run_here("status", "--output", "json").stdout)
    assert as_json["entries"] == {"failed": 1}
    assert [finding["what"] for finding in as_json["findings"]] == ["1 failed"]


def test_a_listener_that_has_ended_is_told(folder: Path, journal: Journal) -> None:
    say_present(journal, Presence("999999999.1", "0.1.0", THEN, "/none"), THEN, "")
    result = run_here("status")
    assert result.returncode == 1
    assert result.stdout.startswith("listener    does not run, version 0.1.0\n")
    assert "listener: it does not run\n" in result.stdout


def test_a_state_directory_without_a_journal_is_said_to_be_one(folder: Path) -> None:
    result = run_here("status")
    assert result.returncode == 2
    assert "no listener has run with this state directory" in result.stderr


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_it_fits_a_terminal(listener: Path, journal: Journal, columns: int) -> None:
    journal.count({"nms.example.com:162": Tally(7, 7, 0)}, THEN)
    shown = shown_at_terminal([*COMMAND, "status"], columns=columns, stream="stdout")
    table = shown[shown.index("") + 1 :]
    assert all(len(line) <= columns for line in table)
