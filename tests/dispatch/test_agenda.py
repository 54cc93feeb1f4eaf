"""What comes next: fresh entries in order, retries when they are due, executions in turn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.dispatch.agenda import Agenda
from listener.model.entry import Attempt, Entry, Run

WAIT_S = 900.0


@pytest.fixture
def agenda() -> Agenda:
    return Agenda(WAIT_S)


def entry(
    entry_id: int,
    execution_id: str | None = None,
    *,
    at: float | None = None,
    received_at: float = 0.0,
) -> Entry:
    """An entry that was tried and is due `at`; a fresh one without that."""
    run = (
        Run("h", "h.f")
        if at is None
        else Run("h", "h.f", due_at=at, attempts=(Attempt(0.0, "failed"),))
    )
    return Entry(
        entry_id, received_at, "supervisord", "pending", "", execution_id=execution_id, runs=(run,)
    )


def put(agenda: Agenda, *entries: Entry) -> None:
    for each in entries:
        agenda.put(each)


def pop(agenda: Agenda, now: float) -> int | None:
    """What the dispatcher resumes."""
    entry_id = agenda.pop_fresh(now)
    return agenda.pop_due(now) if entry_id is None else entry_id


def popped(agenda: Agenda, now: float) -> list[int]:
    """All there is to do now; each is settled at once."""
    found = []
    while (entry_id := pop(agenda, now)) is not None:
        found.append(entry_id)
        agenda.forget(entry_id)
    return found


def test_fresh_entries_come_in_order_and_before_what_has_been_due_for_long(agenda: Agenda) -> None:
    put(agenda, entry(1, at=5.0), entry(3), entry(4), entry(2))
    assert agenda.next_at() == 0.0
    assert popped(agenda, 100.0) == [2, 3, 4, 1]
    assert agenda.next_at() is None


def test_retries_come_when_they_are_due_and_the_longest_due_first(agenda: Agenda) -> None:
    put(agenda, entry(1, at=5.0), entry(1, at=30.0), entry(2, at=10.0), entry(3, at=20.0))
    assert agenda.next_at() == 10.0
    assert pop(agenda, 9.9) is None
    assert popped(agenda, 20.0) == [2, 3]
    put(agenda, entry(1, at=21.0))
    assert agenda.next_at() == 21.0
    assert popped(agenda, 99.0) == [1]


def test_what_another_process_has_settled_is_forgotten_and_holds_up_nothing(agenda: Agenda) -> None:
    put(agenda, entry(1, "x", at=500.0), entry(2, "x"), entry(3), entry(4, at=5.0))
    agenda.keep_only({2, 7})
    assert popped(agenda, 10.0) == [2]
    assert agenda.next_at() is None


def test_what_is_put_off_comes_later_and_what_is_not_there_stays_away(agenda: Agenda) -> None:
    put(agenda, entry(1))
    assert pop(agenda, 1.0) == 1
    agenda.put_off(1, 5.0)
    agenda.put_off(2, 5.0)
    assert (pop(agenda, 4.0), pop(agenda, 5.0), pop(agenda, 6.0)) == (None, 1, None)


@pytest.mark.parametrize(("now", "expected"), [(99.5, []), (98.5, [1, 2]), (5.0, [1, 2])])
def test_every_entry_comes_when_the_clock_was_set_back(
    agenda: Agenda, now: float, expected: list[int]
) -> None:
    put(agenda, entry(1, at=101.0), entry(2, at=5000.0))
    assert pop(agenda, 100.0) is None
    assert popped(agenda, now) == expected


# An execution's entries


def test_it_waits_no_longer_than_the_limit_from_its_receipt(agenda: Agenda) -> None:
    put(agenda, entry(1, "x", at=5000.0), entry(2, "x", received_at=100.0))
    put(agenda, entry(3, "x", received_at=200.0, at=300.0))
    assert popped(agenda, 999.9) == []
    assert agenda.next_at() == 1000.0
    assert popped(agenda, 1000.0) == [2]
    assert agenda.next_at() == 1100.0
    assert popped(agenda, 1100.0) == [3]
    assert popped(agenda, 5000.0) == [1]


def test_what_was_received_while_the_clock_was_far_ahead_does_not_wait_for_that_time(
    agenda: Agenda,
) -> None:
    put(agenda, entry(1, "x", at=5000.0), entry(2, "x", received_at=1e9, at=0.0))
    assert popped(agenda, 100.0) == [2]


# Against a model


class Model:
    """The agenda's promise in the plainest words; it drives the agenda as the dispatcher does."""

    def __init__(self) -> None:
        self.agenda = Agenda(WAIT_S)
        self.now = 1000.0
        self.entries: dict[int, Entry] = {}
        self.fresh: list[int] = []
        self.parked: dict[int, Entry] = {}
        self.released_at = 0.0
        self.next_id = 1

    def waits_until(self, entry: Entry) -> float:
        return max(entry.received_at, self.released_at) + WAIT_S

    def is_waiting(self, entry: Entry) -> bool:
        if entry.execution_id is None or self.now >= self.waits_until(entry):
            return False
        earlier = (other for other in self.entries.values() if other.id < entry.id)
        return any(other.execution_id == entry.execution_id for other in earlier)

    def ready(self) -> list[int]:
        entries = self.entries.values()
        return [each.id for each in entries if each.due_at() <= self.now and not self.is_waiting(each)]

    def add(self, execution_id: str | None, delay_s: float | None) -> None:
        """A fresh entry, or one that was tried before."""
        if delay_s is None:
            self.fresh.append(self.next_id)
        at = None if delay_s is None else self.now + delay_s
        self._put(entry(self.next_id, execution_id, at=at, received_at=self.now))
        self.next_id += 1

    def _put(self, entry: Entry) -> None:
        self.entries[entry.id] = entry
        self.agenda.put(entry)

    def forget(self, position: int) -> None:
        """Another process settles an entry, whatever its state is."""
        if self.entries:
            self._forget(sorted(self.entries)[position % len(self.entries)])

    def _forget(self, entry_id: int) -> None:
        self.agenda.forget(entry_id)
        del self.entries[entry_id]
        self.fresh = [other for other in self.fresh if other != entry_id]

    def work(self, retry_in_s: float | None) -> int | None:
        """Resume what comes; it is settled, has to be tried again, or is parked for an endless time."""
        ready = self.ready()
        entry_id = self.agenda.pop_fresh(self.now)
        if entry_id is not None:
            assert not [other for other in self.fresh if other < entry_id and other in ready]
            self.fresh = [other for other in self.fresh if other > entry_id]
        else:
            assert not set(self.fresh) & set(ready)
            self.fresh = []
            entry_id = self.agenda.pop_due(self.now)
        if entry_id is None:
            assert ready == []
            return None
        assert entry_id in ready
        if retry_in_s is None:
            self._forget(entry_id)
        elif retry_in_s == math.inf:
            self.parked[entry_id] = self.entries.pop(entry_id)
            self.agenda.put(self.parked[entry_id], {"h"})
        else:
            tried = entry(entry_id, at=self.now + retry_in_s).runs
            self._put(self.entries[entry_id].with_runs(tried))
        return entry_id

    def release(self) -> None:
        """A pause ends: what was parked comes in the order of the ids, as if it were fresh."""
        self.advance(0.5)
        self.released_at = self.now
        self.agenda.release(self.now)
        self.fresh += self.parked
        self.entries |= {each: entry(each, of.execution_id, received_at=of.received_at)
                         for each, of in self.parked.items()}  # fmt: skip
        self.parked = {}

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def check(self) -> None:
        """The agenda has every entry, is asked again early enough for each, and lets none overtake."""
        next_at = self.agenda.next_at()
        assert self.agenda.must_wait(None) or not self.fresh
        for each in self.entries.values():
            assert each.id in self.agenda
            assert each.execution_id is None or self.agenda.must_wait(each.execution_id)
            waits_until = self.waits_until(each) if self.is_waiting(each) else 0.0
            assert next_at is not None
            assert next_at <= max(each.due_at(), waits_until, self.now)


SECONDS = st.sampled_from([0.0, 1.0, 2.0, 300.0, 899.0, 900.0, 2000.0])
STEPS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from([None, "x", "x", "x", "y"]), st.none() | SECONDS),
    st.tuples(st.just("forget"), st.integers(0, 9)),
    st.tuples(st.just("work"), st.none() | SECONDS),
    st.tuples(st.just("work"), st.none()),
    st.tuples(st.just("work"), st.just(math.inf)),
    st.tuples(st.just("release")),
    st.tuples(st.just("advance"), SECONDS),
)


@settings(derandomize=True, max_examples=300)
@given(steps=st.lists(STEPS, max_size=40))
def test_nothing_is_lost_or_early_and_an_execution_s_order_is_kept_unless_the_wait_is_over(
    steps: Sequence[tuple[str, ...]],
) -> None:
    model = Model()
    for name, *values in steps:
        getattr(model, name)(*values)
        model.check()
    model.release()
    model.advance(10_000.0)
    while model.work(None) is not None:
        model.check()
    assert model.entries == {}
    assert model.agenda.next_at() is None
    assert not model.agenda.must_wait("x")


def test_an_entry_that_is_parked_may_be_put_again_and_comes_once_after_it(
    agenda: Agenda,
) -> None:
    for _ in range(2):
        agenda.put(entry(1, "x"), paused={"h"})
    put(agenda, entry(2, "x"))
    assert popped(agenda, 1.0) == [2]
    agenda.release(2.0)
    assert popped(agenda, 3.0) == [1]
