"""Holding an event: tried again until it works or the listener is asked to stop, and logged once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

from listener.errors import HooksError, StateError, Unanswered
from listener.state.hold import FIRST_PAUSE_S, LONGEST_PAUSE_S, Hold

Log = Callable[[], list[tuple[str, str]]]


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
    """Waits for nothing, and remembers how long it should have."""

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        return False

    return Hold(pause)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    caplog.set_level(logging.DEBUG, "listener")
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


def error(reason: str) -> tuple[str, str]:
    return "ERROR", f"the journal cannot be written, events are held: {reason}"


def test_what_works_is_done_at_once_and_nothing_is_logged(
    hold: Hold, pauses: list[float], log: Log
) -> None:
    assert hold(failing()) == "done"
    assert pauses == []
    assert log() == []


def test_what_fails_is_tried_again_after_growing_pauses(hold: Hold, pauses: list[float]) -> None:
    assert hold(failing(*["full"] * 9)) == "done"
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert (pauses[0], pauses[-1]) == (FIRST_PAUSE_S, LONGEST_PAUSE_S)
    hold(failing("full"))
    assert pauses[9:] == [0.1]


def test_each_change_of_the_reason_is_one_error_and_the_end_is_one_line(hold: Hold, log: Log) -> None:
    hold(failing("full", "full", "locked", "locked", "locked", "full"))
    again = ("WARNING", "the journal can be written again: held events resume")
    assert log() == [error("full"), error("locked"), error("full"), again]


def test_a_listener_that_is_asked_to_stop_leaves_without_an_answer(log: Log) -> None:
    asked = iter([False, False, True])
    hold = Hold(lambda _: next(asked))
    with pytest.raises(Unanswered, match="stopping before the journal could be written") as caught:
        hold(failing(*["full"] * 9))
    assert isinstance(caught.value.__cause__, StateError)
    assert list(asked) == []
    assert log() == [error("full")]


@pytest.mark.parametrize("raised", [HooksError("another schema"), ValueError("a defect")])
def test_what_no_waiting_mends_is_not_waited_for(
    hold: Hold, pauses: list[float], log: Log, raised: Exception
) -> None:
    def work() -> None:
        raise raised

    with pytest.raises(type(raised)) as caught:
        hold(work)
    assert caught.value is raised
    assert pauses == []
    assert log() == []
