"""Entries, runs and attempts: how one follows from another, and what can be stored of any text."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from listener.model.entry import MAX_BACKOFF_S, Attempt, Entry, EntryState, Run, RunState, state_of
from listener.model.notification import storable
from listener.model.outcome import NEVER, Outcome
from listener.model.outcome import State as AttemptState

DONE = Outcome("done", "sent", 0.25)
FAILED = Outcome("failed", "no route", 1.0000004)
NEW = Run("page", "my.page")


def run(state: RunState, due_at: float = 0.0, attempts: tuple[Attempt, ...] = ()) -> Run:
    return Run("page", "my.page", state, due_at, attempts=attempts)


def entry(*runs: Run, state: EntryState = "pending") -> Entry:
    return Entry(7, 1000.0, "supervisord", state, "{}", runs=runs)


def tried(run: Run, outcome: Outcome, retries: int, now: float, jitter: float = 1.0) -> Run:
    """The run after another attempt, of no length."""
    return run.begun(now).ended(outcome, retries, now, jitter)


# Runs


def test_a_run_that_begins_is_running_and_its_attempt_is_interrupted_if_nothing_comes_after() -> None:
    begun = run("pending", 5.0, (Attempt(1.0, "failed"),)).begun(7.5)
    assert (begun.state, begun.due_at) == ("running", 0.0)
    assert begun.attempts == (Attempt(1.0, "failed"), Attempt(7.5, "interrupted", "", 0.0))


def test_a_run_that_is_done_keeps_when_it_began_and_what_it_said() -> None:
    ended = NEW.begun(7.5).ended(DONE, 3, 9.0, 0.5)
    assert (ended.state, ended.due_at, ended.failures) == ("done", 0.0, 0)
    assert ended.attempts == (Attempt(7.5, "done", "sent", 0.25),)


@pytest.mark.parametrize("state", ["failed", "timed out", "interrupted"])
def test_whatever_is_not_done_counts_as_a_failure(state: AttemptState) -> None:
    ended = tried(NEW, Outcome(state, "why", 1.0), 0, 9.0)
    assert (ended.state, ended.failures) == ("failed", 1)
    assert ended.attempts == (Attempt(9.0, state, "why", 1.0),)


def test_a_run_is_tried_once_more_for_each_retry_and_no_more() -> None:
    states = []
    failing = NEW
    for _ in range(4):
        failing = tried(failing, FAILED, 3, 9.0)
        states.append((failing.state, failing.failures, len(failing.attempts)))
    assert states == [("pending", 1, 1), ("pending", 2, 2), ("pending", 3, 3), ("failed", 4, 4)]
    assert failing.due_at == 0.0


def test_a_retry_may_be_what_works() -> None:
    ended = tried(tried(NEW, FAILED, 1, 1.0), DONE, 1, 9.0)
    assert (ended.state, ended.failures, ended.due_at) == ("done", 1, 0.0)
    assert [attempt.state for attempt in ended.attempts] == ["failed", "done"]


def test_retries_that_hooks_conf_no_longer_grants_are_not_made() -> None:
    assert tried(tried(NEW, FAILED, 5, 1.0), FAILED, 0, 9.0).state == "failed"


def test_a_failure_that_is_final_is_not_tried_again_though_retries_are_left() -> None:
    ended = tried(NEW, msgspec.structs.replace(FAILED, retry_after_s=NEVER), 3, 9.0)
    assert (ended.state, ended.failures, ended.due_at) == ("failed", 1, 0.0)


@pytest.mark.parametrize("after_s", [0.0, 0.5, 3600.0])
def test_a_retry_comes_when_the_failure_itself_wants_it(after_s: float) -> None:
    wants = msgspec.structs.replace(FAILED, retry_after_s=after_s)
    ended = tried(NEW, wants, 1, 50.0, jitter=0.25)
    assert (ended.state, ended.due_at) == ("pending", 50.0 + after_s)
    assert tried(ended, wants, 1, 99.0).state == "failed"


def test_retries_come_after_a_second_doubled_each_time_and_at_most_five_minutes() -> None:
    failing, pauses = NEW, []
    for _ in range(11):
        failing = tried(failing, FAILED, 1000, 50.0)
        pauses.append(failing.due_at - 50.0)
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


@settings(derandomize=True, deadline=None)
@given(failures=st.integers(0, 999), jitter=st.floats(0, 1), now=st.floats(0, 2**32))
def test_no_retry_is_due_before_now_or_after_the_longest_pause(
    failures: int, jitter: float, now: float
) -> None:
    before = Run("page", "my.page", failures=failures)
    ended = tried(before, FAILED, 1000, now, jitter)
    longest = min(MAX_BACKOFF_S, 2.0**failures)
    assert ended.state == "pending"
    assert now <= ended.due_at <= now + longest
    assert ended.due_at == pytest.approx(now + jitter * longest)


@pytest.mark.parametrize(("again", "state"), [(True, "pending"), (False, "interrupted")])
def test_a_run_whose_process_has_died_goes_on_at_once_or_never(again: bool, state: RunState) -> None:
    begun = NEW.begun(7.5)
    assert begun.interrupted(again) == msgspec.structs.replace(begun, state=state)
    assert begun.interrupted(again).due_at == 0.0


def test_an_interruption_uses_up_no_retry() -> None:
    again = NEW.begun(1.0).interrupted(True)
    assert tried(tried(again, FAILED, 1, 2.0), FAILED, 1, 3.0).failures == 2
    assert tried(again, FAILED, 1, 2.0).state == "pending"


# Entries


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], "ignored"),
        (["done"], "done"),
        (["done", "interrupted"], "interrupted"),
        (["interrupted", "failed", "done"], "failed"),
        (["failed", "pending", "done"], "pending"),
        (["pending", "running", "failed"], "running"),
    ],
)
def test_an_entry_is_in_the_state_of_its_worst_run(
    states: list[RunState], expected: EntryState
) -> None:
    for runs in (list(map(run, states)), list(map(run, reversed(states)))):
        assert state_of(runs) == expected
        changed = entry(state="pending").with_runs(runs)
        assert (changed.state, changed.runs) == (expected, tuple(runs))
        assert (changed.id, changed.received_at, changed.body) == (7, 1000.0, "{}")


@pytest.mark.parametrize(
    ("state", "is_settled"),
    [
        ("pending", False),
        ("running", False),
        ("done", True),
        ("failed", True),
        ("interrupted", True),
        ("ignored", True),
        ("unreadable", True),
        ("dropped", True),
    ],
)
def test_an_entry_is_settled_when_nothing_more_will_be_done(
    state: EntryState, is_settled: bool
) -> None:
    assert entry(state=state).is_settled is is_settled


def test_an_entry_is_due_when_the_first_of_its_unsettled_runs_is() -> None:
    assert entry().due_at == 0.0
    assert entry(run("done", 3.0)).due_at == 0.0
    assert entry(run("done", 3.0), run("pending", 9.0), run("pending", 8.0)).due_at == 8.0
    assert entry(run("pending", 9.0), run("running")).due_at == 0.0


def test_an_entry_is_fresh_until_something_was_tried() -> None:
    assert entry().is_fresh
    assert entry(NEW, NEW).is_fresh
    assert not entry(NEW, NEW.begun(1.0)).is_fresh


# Storing


def test_what_is_stored_of_a_run_is_short_and_read_back_as_it_was() -> None:
    runs = (NEW, tried(NEW, FAILED, 3, 9.0), NEW.begun(1.5))
    text = msgspec.json.encode(runs)
    assert msgspec.json.decode(text, type=tuple[Run, ...]) == runs
    assert json.loads(text)[0] == {"hook": "page", "implementation": "my.page"}
    assert json.loads(text)[1]["attempts"][0]["seconds"] == 1.0


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("", ""),
        ("plain", "plain"),
        ("Grüße €😀\0", "Grüße €😀\0"),
        ("half \ud83d, other half \ude00", "half \\ud83d, other half \\ude00"),
        ("byte \udcff ü", "byte \\udcff ü"),
    ],
)
def test_half_a_surrogate_pair_is_written_out(text: str, stored: str) -> None:
    assert storable(text) == stored


@settings(derandomize=True, deadline=None)
@given(text=st.text(st.characters(exclude_categories=())))
@example("half \ud83d of a pair")
def test_any_text_can_be_stored_and_one_that_could_be_stays_as_it_is(text: str) -> None:
    stored = storable(text)
    assert storable(stored) == stored == stored.encode().decode()
    ended = tried(NEW, Outcome("failed", text, 0.0), 0, 9.0)
    assert ended.attempts[0].text == stored
    msgspec.json.encode(ended)
