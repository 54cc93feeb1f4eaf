"""Entries, runs and attempts: how one follows from another, and what can be stored of any text."""

from __future__ import annotations

import json
import math

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from listener.model.entry import UNSETTLED, Attempt, Entry, EntryState, Run, RunState, state_of
from listener.model.notification import storable
from listener.model.outcome import Outcome
from listener.model.outcome import State as AttemptState
from tests.model.support import TOKEN

NEW = Run("page", "my.page")


def run(state: RunState, due_at: float = 0.0) -> Run:
    return Run("page", "my.page", state, due_at)


def entry(*runs: Run, state: EntryState = "pending") -> Entry:
    return Entry(7, 1000.0, "supervisord", state, "{}", runs=runs)


def test_a_run_that_begins_is_running_and_its_attempt_interrupted_until_it_ends() -> None:
    before = Run("page", "my.page", "pending", 5.0, 1, (Attempt(1.0, "failed"),))
    begun = before.begun(7.5)
    assert (begun.state, begun.due_at, begun.failures) == ("running", 0.0, 1)
    assert begun.attempts == (Attempt(1.0, "failed"), Attempt(7.5, "interrupted", "", 0.0))


def test_a_run_that_is_done_keeps_when_it_began_and_what_it_said() -> None:
    ended = NEW.begun(7.5).ended(Outcome("done", "sent", 0.2500004), None)
    assert (ended.state, ended.due_at, ended.failures) == ("done", 0.0, 0)
    assert ended.attempts == (Attempt(7.5, "done", "sent", 0.25),)


@pytest.mark.parametrize("state", ["failed", "timed out", "interrupted"])
@pytest.mark.parametrize(("retry_at", "expected"), [(None, ("failed", 0.0)), (9.5, ("pending", 9.5))])
def test_whatever_is_not_done_is_a_failure_and_pending_where_there_is_a_retry(
    state: AttemptState, retry_at: float | None, expected: tuple[str, float]
) -> None:
    once = NEW.begun(1.0).ended(Outcome("failed", "", 1.0, reached=("a",)), 7.5)
    ended = once.begun(7.5).ended(Outcome(state, f"401 for {TOKEN}", 1.0, reached=("b",)), retry_at)
    assert (ended.state, ended.due_at) == expected
    assert (ended.failures, ended.reached) == (2, ("a", "b"))
    assert ended.attempts[1] == Attempt(7.5, state, "401 for ctok-…", 1.0)


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
        assert entry().with_runs(runs) == entry(*runs, state=expected)
    assert entry(state=expected).is_settled is (expected not in UNSETTLED)


def test_an_entry_is_due_when_the_first_of_its_unsettled_runs_is() -> None:
    assert entry().due_at() == entry(run("done", 3.0)).due_at() == 0.0
    assert entry(run("done", 3.0), run("pending", 9.0), run("pending", 8.0)).due_at() == 8.0
    assert entry(run("pending", 9.0), run("running")).due_at() == 0.0


def test_an_entry_that_has_only_runs_of_paused_hooks_left_is_not_due() -> None:
    retried = Run("trap", "my.trap", "pending", 9.0)
    assert entry(run("pending"), retried).due_at({"page"}) == 9.0
    assert entry(run("pending"), run("done")).due_at({"page"}) == math.inf


def test_an_entry_is_fresh_until_something_was_tried() -> None:
    assert entry().is_fresh
    assert entry(NEW, NEW).is_fresh
    assert not entry(NEW, NEW.begun(1.0)).is_fresh


def test_an_entry_that_was_tried_later_than_now_shows_that_the_clock_was_set_back() -> None:
    tried = entry(NEW, NEW.begun(5.0))
    assert [tried.was_tried_after(now) for now in (4.9, 5.0)] == [True, False]
    assert not entry(NEW).was_tried_after(0.0)


def test_what_is_stored_of_a_run_is_short_and_read_back_as_it_was() -> None:
    runs = (NEW, NEW.begun(1.5).ended(Outcome("failed", "no", 1.0, reached=("a",)), 9.0))
    text = msgspec.json.encode(runs)
    assert msgspec.json.decode(text, type=tuple[Run, ...]) == runs
    assert json.loads(text)[0] == {"hook": "page", "implementation": "my.page"}


@settings(derandomize=True)
@given(text=st.text(st.characters(exclude_categories=())))
@example("half \ud83d of a pair, byte \udcff")
def test_any_text_of_an_action_can_be_stored(text: str) -> None:
    ended = NEW.begun(1.0).ended(Outcome("failed", text, 0.0), None)
    assert ended.attempts[0].text == storable(text)
    msgspec.json.encode(ended)
