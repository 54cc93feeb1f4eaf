"""What is still to be done, and when: the unsettled entries of the journal, in memory.

Owns the order: entries that were never tried come first, in the order of their ids; retries when they
are due; an execution's later entry waits for its earlier one, but not for a paused hook. It does no
I/O and has no clock; the dispatcher asks it what comes next.
"""

from __future__ import annotations

import heapq
import math
from bisect import insort
from collections import Counter
from collections.abc import Container
from typing import NamedTuple

from listener.model.entry import Entry
from listener.model.notification import OWN_EVENT_TYPES

_SET_BACK_S = 1.0


class _Item(NamedTuple):
    """What the agenda knows of an entry. `at` is the Unix time from when there is something to do."""

    entry_id: int
    execution_id: str | None
    received_at: float
    at: float
    rest_token: str | None


class Agenda:
    """`wait_s`: how long an entry waits at most for an earlier one's retries.

    That is from its receipt on, or from the end of the last pause.
    """

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._items: dict[int, _Item] = {}
        self._fresh: list[int] = []
        self._due: list[tuple[float, int]] = []
        self._scheduled: dict[int, float] = {}  # which of the times in _due is an entry's last one
        self._of_execution: dict[str, list[int]] = {}
        self._rest_tokens: Counter[str | None] = Counter()
        self._parked: set[int] = set()
        self._released_at = 0.0
        self._seen_at = 0.0

    def __contains__(self, entry_id: int) -> bool:
        return entry_id in self._items

    def must_wait(self, execution_id: str | None) -> bool:
        """Whether a new entry has to stand back: others were never tried, or are its execution's."""
        return bool(self._fresh) or execution_id in self._of_execution

    def needs(self, rest_token: str) -> bool:
        """Whether an entry has this rest_token: one about a failed hook has the notification's."""
        return rest_token in self._rest_tokens

    def put(self, entry: Entry, paused: Container[str] = ()) -> None:
        """Add an unsettled entry, or change when there is something to do for it.

        An entry of our own, which reports a failure, say, does not wait for retries. One that has
        only runs of `paused` hooks left is parked: it comes after `release`, and holds up no other.
        """
        execution_id = None if entry.source in OWN_EVENT_TYPES else entry.execution_id
        at = entry.due_at(paused)
        item = _Item(entry.id, execution_id, entry.received_at, at, entry.rest_token)
        if entry.id not in self._items:
            self._rest_tokens[entry.rest_token] += 1
            self._line_up(item)
        self._items[entry.id] = item
        if at == math.inf:
            self._park(item)
        elif entry.is_fresh:
            heapq.heappush(self._fresh, entry.id)
        else:
            self._schedule(entry.id, at)

    def _line_up(self, item: _Item) -> None:
        if item.execution_id is not None:
            insort(self._of_execution.setdefault(item.execution_id, []), item.entry_id)

    def _park(self, item: _Item) -> None:
        self._scheduled.pop(item.entry_id, None)
        if item.entry_id not in self._parked:
            self._parked.add(item.entry_id)
            self._leave(item)

    def release(self, ended_at: float) -> None:
        """Bring back what was parked, if this is not the pause's end that was given last."""
        if ended_at == self._released_at:
            return
        self._released_at = ended_at
        parked, self._parked = self._parked, set()
        for entry_id in parked:
            self._items[entry_id] = item = self._items[entry_id]._replace(at=0.0)
            self._line_up(item)
            heapq.heappush(self._fresh, entry_id)

    def put_off(self, entry_id: int, at: float) -> None:
        """Look at an entry of the agenda again at that time."""
        if entry_id in self._items:
            self._schedule(entry_id, at)

    def _schedule(self, entry_id: int, at: float) -> None:
        self._scheduled[entry_id] = at
        heapq.heappush(self._due, (at, entry_id))

    def keep_only(self, entry_ids: Container[int]) -> None:
        """Forget all other entries: another process has settled them."""
        for entry_id in [known for known in self._items if known not in entry_ids]:
            self.forget(entry_id)

    def forget(self, entry_id: int) -> None:
        """Forget an entry; the next of its execution need not wait for it any more."""
        item = self._items.pop(entry_id, None)
        self._scheduled.pop(entry_id, None)
        if item is None:
            return
        self._rest_tokens[item.rest_token] -= 1
        if not self._rest_tokens[item.rest_token]:
            del self._rest_tokens[item.rest_token]
        if entry_id in self._parked:
            self._parked.remove(entry_id)
        else:
            self._leave(item)

    def _leave(self, item: _Item) -> None:
        """Let the next entry of its execution come."""
        if item.execution_id is None:
            return
        others = self._of_execution[item.execution_id]
        others.remove(item.entry_id)
        if not others:
            del self._of_execution[item.execution_id]
        elif others[0] > item.entry_id:
            self._schedule(others[0], self._items[others[0]].at)

    def pop_fresh(self, now: float) -> int | None:
        """The oldest entry that was never tried and need not wait; it stays on the agenda."""
        while self._fresh:
            item = self._items.get(heapq.heappop(self._fresh))
            if item is None:
                continue  # it was forgotten
            if not self._waits(item, now):
                return item.entry_id
            self._schedule(item.entry_id, self._waits_from(item) + self._wait_s)
        return None

    def pop_due(self, now: float) -> int | None:
        """The entry that has been due longest; it stays on the agenda.

        When the clock was set back, the times that were noted before are wrong: every entry is looked
        at again.
        """
        if now < self._seen_at - _SET_BACK_S:
            for entry_id in self._scheduled:
                self._schedule(entry_id, now)
        self._seen_at = now
        while (at := self._next_due()) is not None and at <= now:
            _, entry_id = heapq.heappop(self._due)
            item = self._items[entry_id]
            if not self._waits(item, now):
                return entry_id
            self._schedule(entry_id, self._waits_from(item) + self._wait_s)
        return None

    def _waits(self, item: _Item, now: float) -> bool:
        if item.execution_id is None or abs(now - self._waits_from(item)) >= self._wait_s:
            return False  # also if the clock was far ahead at its receipt
        return self._of_execution[item.execution_id][0] < item.entry_id

    def _waits_from(self, item: _Item) -> float:
        return max(item.received_at, self._released_at)

    def next_at(self) -> float | None:
        """The Unix time at which something is due next; 0.0 when something was never tried."""
        return 0.0 if self._fresh else self._next_due()

    def _next_due(self) -> float | None:
        while self._due:
            at, entry_id = self._due[0]
            if self._scheduled.get(entry_id) == at:
                return at
            heapq.heappop(self._due)  # settled, or scheduled anew
        return None
