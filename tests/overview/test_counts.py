"""What a counting journal counts, beside what the journal has of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from listener.overview.counts import BUCKETS_S, CountingJournal, Durations
from listener.state.totals import GAP
from tests.dispatch.support import ALARM, NO, House, delivery, hook
from tests.state.entries import entry

LIMITED = hook("limited", event_type=["workflow_queued"], at_most="1 per 1h")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


@pytest.fixture
def journal(house: House) -> CountingJournal:
    journal = CountingJournal(str(house.folder), hold=house.hold)
    house.opened(journal)
    return journal


def all_happens(house: House, journal: CountingJournal) -> None:
    """Whatever can become of an entry and of a run, but for an interruption."""
    house.hooks(hook("trap"), hook("page", retries=1), hook("late"), ALARM, LIMITED)
    house.actions.instant.add("trap.f")
    house.actions.ends = {"page.f": [NO, "", NO, NO]}
    dispatcher = house.recalled(journal=journal)
    for execution in ("x1", "x2"):
        dispatcher.act(delivery(execution))
        house.work(dispatcher, until=house.now + 10)
    dispatcher.accept_all([delivery(event_type="workflow_queued")] * 2, ("note", ""))
    house.work(dispatcher)
    for _ in range(2):  # the second is known by then
        dispatcher.act(delivery("x1", serial=5))
        house.now += 1
    for event_type in ("workflow_succeeded", "odd", "even"):
        dispatcher.act(delivery(event_type=event_type))


def test_what_is_counted_is_what_the_journal_has(house: House, journal: CountingJournal) -> None:
    all_happens(house, journal)
    counts, entries = journal.counts, house.entries
    runs = [run for entry in entries for run in entry.runs]
    assert counts.settled == Counter((entry.state,) for entry in entries)
    assert set(counts.settled) == {("done",), ("failed",), ("suppressed",), ("ignored",)}
    assert counts.attempts == Counter(
        (run.hook, run.implementation, attempt.state) for run in runs for attempt in run.attempts
    )
    assert counts.retries == Counter({(run.hook,): 0 for run in runs if run.attempts}) + Counter(
        (run.hook,) for run in runs for _ in run.attempts[1:]
    )
    assert counts.suppressed == Counter((run.hook,) for run in runs if run.state == "suppressed")
    attempts = Counter(run.hook for run in runs for _ in run.attempts)
    assert {hook: sum(each.numbers) for hook, each in counts.durations.items()} == attempts


def test_event_types_that_are_not_conductors_do_not_make_labels(
    house: House, journal: CountingJournal
) -> None:
    all_happens(house, journal)
    known = Counter((entry.event_type, entry.source) for entry in house.entries)
    odd = [("odd", "supervisord"), ("even", "supervisord")]
    assert journal.counts.accepted == Counter(
        {**{labels: known[labels] for labels in known if labels not in odd},
         ("other", "supervisord"): sum(known[labels] for labels in odd)}
    )  # fmt: skip


def test_discarded_events_are_no_notification(journal: CountingJournal) -> None:
    assert journal.accept(entry(state="dropped", key=f"{GAP}1.1/5/5", runs=())) is not None
    assert (journal.counts.accepted, journal.counts.settled) == ({}, {})


def test_a_duration_is_in_the_first_bucket_that_is_not_below_it() -> None:
    durations = Durations()
    for end in BUCKETS_S:
        durations.add(end)
    assert durations.numbers == [1] * len(BUCKETS_S) + [0]
    durations.add(BUCKETS_S[-1] + 1)
    assert durations.numbers[-1] == 1
    assert durations.sum_s == pytest.approx(sum(BUCKETS_S) + BUCKETS_S[-1] + 1)
