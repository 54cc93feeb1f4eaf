"""What the listener has done since its start, counted where it is put on record: a journal that counts.

Owns the counts, which end with the process, and how they follow from what is stored. It writes no file;
metrics.py reads them. app.py makes one in place of a Journal where metrics are wanted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from listener.model.entry import Entry, Run
from listener.model.notification import EVENT_TYPES, OWN_EVENT_TYPES
from listener.state.journal import Journal
from listener.state.totals import GAP

BUCKETS_S = (0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0)
"""The upper ends: a trap takes less than the first, a call the second, a hook's default limit is 60."""

Labels = tuple[str, ...]
"""The values of a counter's labels."""

_KNOWN = frozenset((*EVENT_TYPES, *OWN_EVENT_TYPES))


class Durations:
    """How long attempts took: how many were in each bucket or above all of them, and the sum."""

    def __init__(self) -> None:
        self.numbers = [0] * (len(BUCKETS_S) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        self.numbers[bisect_left(BUCKETS_S, seconds)] += 1
        self.sum_s += seconds


class Counts:
    """An event type that we do not know is "other": a label must not have any number of values."""

    def __init__(self) -> None:
        self.accepted: Counter[Labels] = Counter()  # event type, source
        self.settled: Counter[Labels] = Counter()  # state
        self.attempts: Counter[Labels] = Counter()  # hook, implementation, outcome
        self.durations: defaultdict[str, Durations] = defaultdict(Durations)  # hook
        self.retries: Counter[Labels] = Counter()  # hook
        self.suppressed: Counter[Labels] = Counter()  # hook

    def ended(self, run: Run) -> None:
        """Count the last attempt of a run."""
        last = run.attempts[-1]
        self.attempts[run.hook, run.implementation, last.state] += 1
        self.durations[run.hook].add(last.seconds)


class CountingJournal(Journal):
    """A Journal for the one listener that writes it, and runs one hook at a time."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.counts = Counts()
        self._begun = (0, 0)  # the entry and the position of the run that is in work

    def accept(self, entry: Entry) -> int | None:
        """As in Journal; a new entry is counted."""
        entry_id = super().accept(entry)
        self._count_new(entry, entry_id)
        return entry_id

    def accept_all(
        self, entries: Iterable[Entry], note: tuple[str, str] | None = None
    ) -> list[int | None]:
        """As in Journal; new entries are counted."""
        entries = list(entries)
        ids = super().accept_all(entries, note)
        self._count_all(entries, ids)
        return ids

    def save(self, entry: Entry, follow_ups: Sequence[Entry] = ()) -> list[int | None] | None:
        """As in Journal; what has changed of the entry is counted."""
        ids = super().save(entry, follow_ups)
        begun_id, position = self._begun
        if begun_id == entry.id:
            self.counts.ended(entry.runs[position])
            self._begun = (0, 0)
        if ids is not None:
            self._count_state(entry, entry.id)
            self._count_all(follow_ups, ids)
        return ids

    def _count_all(self, entries: Sequence[Entry], ids: Sequence[int | None]) -> None:
        for entry, entry_id in zip(entries, ids, strict=True):
            self._count_new(entry, entry_id)

    def _count_new(self, entry: Entry, entry_id: int | None) -> None:
        """Count an entry that was accepted. What has ended of it by now was instant."""
        if entry_id is None or (entry.key or "").startswith(GAP):
            return
        event_type = entry.event_type if entry.event_type in _KNOWN else "other"
        self.counts.accepted[event_type or "", entry.source] += 1
        for run in entry.runs:
            if run.state == "done":
                self.counts.ended(run)
            elif run.state == "suppressed":
                self.counts.suppressed[(run.hook,)] += 1
        self._count_state(entry, entry_id)

    def _count_state(self, entry: Entry, entry_id: int) -> None:
        """Count an entry that is settled; of another one, notice which run has begun."""
        if entry.is_settled:
            self.counts.settled[(entry.state,)] += 1
        elif entry.state == "running":
            position = [run.state for run in entry.runs].index("running")
            self._begun = entry_id, position
            run = entry.runs[position]
            self.counts.retries[(run.hook,)] += run.failures > 0
