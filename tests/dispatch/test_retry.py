"""When a run is tried again, as values: no clock, no journal."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.dispatch.retry import MAX_BACKOFF_S, first_due, is_due, retry_at
from listener.model.entry import Attempt, Run, RunState
from listener.model.outcome import NEVER, Outcome

FAILED = Outcome("failed", "no route", 1.0)


def run(state: RunState = "pending", due_at: float = 0.0, began_at: float = 1.0) -> Run:
    return Run("page", "my.page", state, due_at, attempts=(Attempt(began_at, "failed"),))


def failed(times: int) -> Run:
    return Run("page", "my.page", failures=times)


def wants(retry_after_s: float) -> Outcome:
    return Outcome("failed", "", 1.0, retry_after_s=retry_after_s)


def test_retries_come_after_a_second_doubled_each_time_and_at_most_five_minutes() -> None:
    retries = [retry_at(failed(times), FAILED, 99, 50.0, 1.0) for times in range(11)]
    pauses = [None if at is None else at - 50.0 for at in retries]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


@settings(derandomize=True)
@given(failures=st.integers(0, 999), jitter=st.floats(0, 1), now=st.floats(0, 2**32))
def test_no_retry_is_due_before_now_or_after_the_longest_pause(
    failures: int, jitter: float, now: float
) -> None:
    at = retry_at(failed(failures), FAILED, 1000, now, jitter)
    assert at is not None
    assert now <= at <= now + min(MAX_BACKOFF_S, 2.0**failures)
    assert at == pytest.approx(now + jitter * min(MAX_BACKOFF_S, 2.0**failures))


@pytest.mark.parametrize(
    ("failures", "outcome", "expected"),
    [
        (0, Outcome("done", "sent", 1.0), None),
        (2, FAILED, 52.0),
        (3, FAILED, None),
        (9, FAILED, None),
        (2, Outcome("timed out", "", 1.0), 52.0),
        (0, wants(NEVER), None),
        (2, wants(0.0), 50.0),
        (2, wants(3600.0), 3650.0),
        (3, wants(3600.0), None),
    ],
)
def test_there_are_as_many_retries_as_the_hook_has_and_the_outcome_may_say_when(
    failures: int, outcome: Outcome, expected: float | None
) -> None:
    assert retry_at(failed(failures), outcome, 3, 50.0, 0.5) == expected


@pytest.mark.parametrize(
    ("due_at", "began_at", "expected"),
    [(50.0, 1.0, True), (50.1, 1.0, False), (50.1, 50.0, False), (5000.0, 50.1, True)],
)
def test_a_run_is_due_from_its_time_on_or_when_the_clock_was_set_back_since(
    due_at: float, began_at: float, expected: bool
) -> None:
    assert is_due(run("pending", due_at, began_at), 50.0) is expected


def test_the_first_pending_run_whose_time_has_come_is_next() -> None:
    runs = [run("done"), run("running"), run(due_at=51.0), run(due_at=50.0), failed(0), run("failed")]
    assert [first_due(runs, 50.0, begin) for begin in range(6)] == [3, 3, 3, 3, 4, None]
