"""What comes next: fresh entries in order, retries when they are due, executions in turn."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.dispatch.agenda import Agenda, Item

WAIT_S = 900.0


@pytest.fixture
def agenda() -> Agenda:
    return Agenda(WAIT_S)


def item(
    entry_id: int, execution_id: str | None = None, *, at: float = 0.0, received_at: float = 0.0
) -> Item:
    return Item(entry_id, execution_id, received_at, at)


def pop(agenda: Agenda, now: float) -> int | None:
    """What the dispatcher goes on with."""
    entry_id = agenda.pop_fresh(now)
    return agenda.pop_due(now) if entry_id is None else entry_id


def popped(agenda: Agenda, now: float) -> list[int]:
    """All there is to do now; each is settled at once."""
    found = []
    while (entry_id := pop(agenda, now)) is not None:
        found.append(entry_id)
        agenda.settle(entry_id)
    return found


@pytest.mark.parametrize(("now", "expected"), [(99.5, []), (98.5, [1, 2]), (5.0, [1, 2])])
def test_all_are_looked_at_when_the_clock_was_set_back(
    agenda: Agenda, now: float, expected: list[int]
) -> None:
    agenda.put(item(1, at=101.0))
    agenda.put(item(2, at=5000.0))
    assert agenda.pop_due(100.0) is None
    assert popped(agenda, now) == expected


# Fresh entries


def test_an_empty_agenda_has_nothing_to_do_ever(agenda: Agenda) -> None:
    assert pop(agenda, 1e10) is None
    assert agenda.next_at() is None
    assert 1 not in agenda


def test_fresh_entries_come_in_order_and_before_what_has_been_due_for_long(agenda: Agenda) -> None:
    agenda.put(item(1, at=5.0))
    for entry_id in (2, 3, 4):
        agenda.put_fresh(item(entry_id))
    assert agenda.next_at() == 0.0
    assert popped(agenda, 100.0) == [2, 3, 4, 1]
    assert agenda.next_at() is None


def test_fresh_entries_of_one_execution_come_in_order(agenda: Agenda) -> None:
    for entry_id in (1, 2, 3):
        agenda.put_fresh(item(entry_id, "x"))
    assert popped(agenda, 0.0) == [1, 2, 3]


def test_an_entry_stays_on_the_agenda_until_it_is_settled(agenda: Agenda) -> None:
    agenda.put_fresh(item(1))
    agenda.put(item(2))
    for entry_id in (1, 2):
        assert pop(agenda, 0.0) == entry_id
        assert entry_id in agenda
        agenda.settle(entry_id)
        assert entry_id not in agenda


def test_what_was_settled_by_somebody_else_does_not_come(agenda: Agenda) -> None:
    for entry_id in (1, 2, 3):
        agenda.put_fresh(item(entry_id, "x"))
    agenda.put(item(4, "y", at=5.0))
    for entry_id in (1, 3, 4):
        agenda.settle(entry_id)
        agenda.settle(entry_id)
    assert popped(agenda, 10.0) == [2]
    assert agenda.next_at() is None


def test_settling_what_is_not_there_changes_nothing(agenda: Agenda) -> None:
    agenda.put_fresh(item(2, "x"))
    agenda.settle(1)
    assert popped(agenda, 0.0) == [2]


def test_a_cleared_agenda_is_like_a_new_one(agenda: Agenda) -> None:
    agenda.put(item(1, "x", at=5.0))
    agenda.put_fresh(item(2, "x"))
    agenda.clear()
    assert 1 not in agenda
    assert not agenda.must_wait("x")
    assert agenda.next_at() is None
    agenda.put(item(2, "x", at=7.0))
    assert agenda.next_at() == 7.0
    assert popped(agenda, 10.0) == [2]


# Retries


def test_retries_come_when_they_are_due_and_the_longest_due_first(agenda: Agenda) -> None:
    for entry_id, at in ((1, 30.0), (2, 10.0), (3, 20.0)):
        agenda.put(item(entry_id, at=at))
    assert agenda.next_at() == 10.0
    assert pop(agenda, 9.9) is None
    assert popped(agenda, 20.0) == [2, 3]
    assert agenda.next_at() == 30.0
    assert popped(agenda, 99.0) == [1]


@pytest.mark.parametrize(("first", "second"), [(10.0, 50.0), (50.0, 10.0), (10.0, 10.0)])
def test_the_last_time_that_was_given_for_an_entry_counts(
    agenda: Agenda, first: float, second: float
) -> None:
    agenda.put(item(1, "x", at=first))
    agenda.put(item(1, "x", at=second))
    assert agenda.next_at() == second
    assert pop(agenda, second - 0.1) is None
    assert popped(agenda, second) == [1]
    assert popped(agenda, 1000.0) == []
    assert agenda.next_at() is None


def test_a_fresh_entry_that_failed_comes_again_for_its_retry_alone(agenda: Agenda) -> None:
    agenda.put_fresh(item(1, "x"))
    assert pop(agenda, 0.0) == 1
    agenda.put(item(1, "x", at=5.0))
    assert pop(agenda, 4.9) is None
    assert agenda.next_at() == 5.0
    assert popped(agenda, 5.0) == [1]


def test_no_retry_comes_before_its_time_while_something_is_fresh(agenda: Agenda) -> None:
    agenda.put_fresh(item(2))
    agenda.put(item(1, at=100.0))
    assert agenda.pop_due(50.0) is None
    assert agenda.pop_due(100.0) == 1


# Waiting for an execution's earlier entries


def test_an_execution_s_later_entry_waits_for_the_retries_of_its_earlier_one(agenda: Agenda) -> None:
    agenda.put_fresh(item(1, "x"))
    agenda.put_fresh(item(2, "x", received_at=3.0))
    agenda.put_fresh(item(3, "y"))
    assert pop(agenda, 5.0) == 1
    agenda.put(item(1, "x", at=60.0))
    assert popped(agenda, 5.0) == [3]
    assert agenda.next_at() == 60.0
    assert popped(agenda, 59.9) == []
    assert popped(agenda, 60.0) == [1, 2]


def test_entries_without_an_execution_wait_for_nothing(agenda: Agenda) -> None:
    agenda.put(item(1, None, at=60.0))
    agenda.put_fresh(item(2, None))
    assert popped(agenda, 0.0) == [2]
    assert popped(agenda, 60.0) == [1]


def test_an_entry_waits_no_longer_than_the_limit_from_its_receipt(agenda: Agenda) -> None:
    agenda.put(item(1, "x", at=5000.0))
    agenda.put_fresh(item(2, "x", received_at=100.0))
    agenda.put(item(3, "x", received_at=200.0, at=300.0))
    assert popped(agenda, 999.9) == []
    assert agenda.next_at() == 1000.0
    assert popped(agenda, 1000.0) == [2]
    assert agenda.next_at() == 1100.0
    assert popped(agenda, 1100.0) == [3]
    assert popped(agenda, 5000.0) == [1]


def test_whoever_has_waited_long_enough_when_it_comes_does_not_wait(agenda: Agenda) -> None:
    agenda.put(item(1, "x", at=5000.0))
    agenda.put_fresh(item(2, "x", received_at=100.0))
    assert pop(agenda, 1000.0) == 2


def test_a_retry_that_was_due_while_it_waited_comes_as_soon_as_it_may(agenda: Agenda) -> None:
    agenda.put(item(1, "x", at=60.0))
    agenda.put(item(2, "x", at=20.0))
    assert pop(agenda, 30.0) is None
    agenda.settle(1)
    assert agenda.next_at() == 20.0
    assert popped(agenda, 30.0) == [2]


def test_settling_the_earliest_wakes_the_next_alone(agenda: Agenda) -> None:
    agenda.put(item(1, "x", at=60.0))
    for entry_id in (2, 3, 4):
        agenda.put_fresh(item(entry_id, "x"))
    assert pop(agenda, 10.0) is None
    agenda.settle(1)
    assert pop(agenda, 10.0) == 2
    agenda.put(item(2, "x", at=70.0))
    assert pop(agenda, 20.0) is None
    assert popped(agenda, 70.0) == [2, 3, 4]


def test_settling_another_than_the_earliest_wakes_nobody(agenda: Agenda) -> None:
    agenda.put(item(1, "x", at=60.0))
    for entry_id in (2, 3):
        agenda.put_fresh(item(entry_id, "x"))
    assert pop(agenda, 10.0) is None
    agenda.settle(2)
    assert pop(agenda, 10.0) is None
    assert popped(agenda, 60.0) == [1, 3]


def test_an_earlier_entry_that_is_found_later_is_waited_for(agenda: Agenda) -> None:
    agenda.put(item(5, "x", at=10.0))
    agenda.put(item(3, "x", at=20.0))
    assert pop(agenda, 10.0) is None
    assert popped(agenda, 20.0) == [3, 5]


def test_a_new_entry_stands_back_behind_fresh_ones_and_those_of_its_execution(agenda: Agenda) -> None:
    assert not agenda.must_wait("x")
    agenda.put(item(1, "x", at=60.0))
    assert agenda.must_wait("x")
    assert not agenda.must_wait("y")
    assert not agenda.must_wait(None)
    agenda.put_fresh(item(2, "y"))
    assert agenda.must_wait("z")
    assert agenda.must_wait(None)
    assert pop(agenda, 0.0) == 2
    assert agenda.must_wait("y")
    agenda.settle(2)
    agenda.settle(1)
    assert not agenda.must_wait("x")
    assert not agenda.must_wait("y")


# Against a model


class Model:
    """The agenda's promise in the plainest words; it drives the agenda as the dispatcher does."""

    def __init__(self) -> None:
        self.agenda = Agenda(WAIT_S)
        self.now = 1000.0
        self.items: dict[int, Item] = {}
        self.fresh: list[int] = []
        self.next_id = 1

    def is_waiting(self, item: Item) -> bool:
        if item.execution_id is None or self.now >= item.received_at + WAIT_S:
            return False
        earlier = (other for other in self.items.values() if other.entry_id < item.entry_id)
        return any(other.execution_id == item.execution_id for other in earlier)

    def ready(self) -> list[int]:
        items = self.items.values()
        return [i.entry_id for i in items if i.at <= self.now and not self.is_waiting(i)]

    def put_fresh(self, execution_id: str | None) -> None:
        item = Item(self.next_id, execution_id, self.now, 0.0)
        self.agenda.put_fresh(item)
        self.items[item.entry_id] = item
        self.fresh.append(item.entry_id)
        self.next_id += 1

    def put(self, execution_id: str | None, delay_s: float) -> None:
        self._put(Item(self.next_id, execution_id, self.now, self.now + delay_s))
        self.next_id += 1

    def _put(self, item: Item) -> None:
        self.agenda.put(item)
        self.items[item.entry_id] = item

    def settle(self, position: int) -> None:
        """Somebody settles an entry, whatever it is at."""
        if self.items:
            self._settle(sorted(self.items)[position % len(self.items)])

    def _settle(self, entry_id: int) -> None:
        self.agenda.settle(entry_id)
        del self.items[entry_id]
        self.fresh = [other for other in self.fresh if other != entry_id]

    def work(self, retry_in_s: float | None) -> int | None:
        """Go on with what comes; it is settled, or has to be tried again."""
        ready = self.ready()
        entry_id = self.agenda.pop_fresh(self.now)
        if entry_id is not None:
            assert entry_id in ready
            assert not [other for other in self.fresh if other < entry_id and other in ready]
            self.fresh = [other for other in self.fresh if other > entry_id]
        else:
            assert not set(self.fresh) & set(ready)
            self.fresh = []
            entry_id = self.agenda.pop_due(self.now)
            if entry_id is None:
                assert ready == []
                next_at = self.agenda.next_at()
                assert next_at is None or next_at > self.now
                return None
            assert entry_id in ready
        assert entry_id in self.agenda
        if retry_in_s is None:
            self._settle(entry_id)
        else:
            self._put(self.items[entry_id]._replace(at=self.now + retry_in_s))
        return entry_id

    def check(self) -> None:
        """The agenda has every entry, and is asked again early enough for each."""
        next_at = self.agenda.next_at()
        for item in self.items.values():
            assert item.entry_id in self.agenda
            waits_until = item.received_at + WAIT_S if self.is_waiting(item) else 0.0
            assert next_at is not None
            assert next_at <= max(item.at, waits_until, self.now)


EXECUTIONS = st.sampled_from([None, "x", "x", "x", "y"])
SECONDS = st.sampled_from([0.0, 1.0, 2.0, 300.0, 899.0, 900.0, 2000.0])
STEPS = st.one_of(
    st.tuples(st.just("put_fresh"), EXECUTIONS),
    st.tuples(st.just("put"), EXECUTIONS, SECONDS),
    st.tuples(st.just("settle"), st.integers(0, 9)),
    st.tuples(st.just("work"), st.none() | SECONDS),
    st.tuples(st.just("work"), st.none()),
    st.tuples(st.just("advance"), SECONDS),
)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(steps=st.lists(STEPS, max_size=40))
def test_nothing_is_lost_or_early_and_an_execution_s_order_is_kept_unless_the_wait_is_over(
    steps: Sequence[tuple[str, ...]],
) -> None:
    model = Model()
    for name, *values in steps:
        if name == "advance":
            model.now += float(values[0])
        else:
            getattr(model, name)(*values)
        model.check()
    model.now += 10_000.0
    while model.work(None) is not None:
        model.check()
    assert model.items == {}
    assert model.agenda.next_at() is None
    assert not model.agenda.must_wait("x")


def test_what_is_put_off_comes_later_and_what_is_not_there_stays_away() -> None:
    agenda = Agenda(10)
    agenda.put(Item(1, None, 0.0, 0.0))
    assert agenda.pop_due(1.0) == 1
    agenda.put_off(1, 5.0)
    agenda.put_off(2, 5.0)
    assert (agenda.pop_due(4.0), agenda.pop_due(5.0), agenda.pop_due(6.0)) == (None, 1, None)


def test_what_somebody_else_has_settled_is_forgotten_and_holds_nobody_up() -> None:
    agenda = Agenda(1000)
    for entry_id in (1, 2):
        agenda.put(Item(entry_id, "x", 0.0, 0.0 if entry_id == 2 else 500.0))
    assert agenda.pop_due(1.0) is None
    agenda.keep_only({2})
    assert 1 not in agenda
    assert agenda.pop_due(1.0) == 2
