"""Holding an event: tried again until it works or the listener is asked to stop, and logged once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from listener.errors import HooksError, StateError, Unanswered
from listener.model.entry import Entry
from listener.state.hold import Hold
from listener.state.journal import FILE, Journal

RESUMES = "WARNING the journal can be written again: held events resume; mended is: "

Log = Callable[[], list[str]]


def error(reason: str) -> str:
    return f"ERROR the journal cannot be written, events are held: {reason}"


def failing(*reasons: str) -> Callable[[], str]:
    """Work that fails for these reasons, one after another, then works."""
    left: Iterator[str] = iter(reasons)

    def work() -> str:
        for reason in left:
            raise StateError(reason)
        return "done"

    return work


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def hold(pauses: list[float]) -> Hold:
    """Waits for nothing, and remembers how long it should have; after ten pauses it is to stop."""

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        return len(pauses) == 10

    return Hold(pause)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    caplog.set_level(logging.DEBUG, "listener")
    return lambda: [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


def test_what_works_is_done_at_once_and_not_logged(hold: Hold, pauses: list[float], log: Log) -> None:
    assert hold(failing()) == "done"
    assert (pauses, log()) == ([], [])


def test_what_fails_is_tried_again_after_growing_pauses(hold: Hold, pauses: list[float]) -> None:
    assert hold(failing(*["full"] * 9)) == "done"
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_the_next_work_begins_with_the_first_pause(hold: Hold, pauses: list[float]) -> None:
    for _ in range(2):
        hold(failing("full", "full"))
    assert pauses == [0.1, 0.2, 0.1, 0.2]


def test_each_change_of_the_reason_is_one_error_and_the_end_is_one_line(hold: Hold, log: Log) -> None:
    hold(failing("full", "full", "locked", "locked", "locked", "full"))
    assert log() == [error("full"), error("locked"), error("full"), f"{RESUMES}full"]


def test_a_listener_that_is_asked_to_stop_leaves_without_an_answer(hold: Hold, log: Log) -> None:
    with pytest.raises(Unanswered, match="stopping before the journal could be written") as caught:
        hold(failing(*["full"] * 11))
    assert isinstance(caught.value.__cause__, StateError)
    assert log() == [error("full")]


def test_before_each_further_try_it_is_mended_which_can_fail_too(pauses: list[float], log: Log) -> None:
    mend = failing("no lock", "no lock")

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        return False

    hold = Hold(pause, mend)
    assert hold(failing("full")) == "done"
    assert (pauses, log()) == ([0.1, 0.2, 0.4], [error("full"), error("no lock"), f"{RESUMES}no lock"])


@pytest.mark.parametrize("raised", [HooksError("another schema"), ValueError("a defect")])
def test_what_no_waiting_can_help_is_raised(hold: Hold, pauses: list[float], raised: Exception) -> None:
    def work() -> None:
        raise raised

    with pytest.raises(type(raised)) as caught:
        hold(work)
    assert caught.value is raised
    assert pauses == []


def test_a_journal_with_a_hold_waits_by_itself(tmp_path: Path, log: Log) -> None:
    in_the_way = tmp_path / FILE
    in_the_way.mkdir()

    def remove(_: float) -> bool:
        in_the_way.rmdir()
        return False

    with closing(Journal(str(tmp_path), hold=Hold(remove))) as journal:
        assert journal.accept(Entry(0, 1.0, "x", "done", "{}")) == 1
    first, last = log()
    assert first.startswith(error(f"the journal {in_the_way}: "))
    assert last == RESUMES + first.partition("held: ")[2].partition("; ")[0]
