"""Executions that were started and have no end: when the hooks on workflow_overdue are to run.

Owns which these are. It reads the starts and ends from the journal, every few seconds and only while
there are such hooks, so that no event waits for it and a restart loses nothing. It stores nothing; the
dispatcher accepts what it gives.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from listener.dispatch.job import Job, planned
from listener.hooks.table import Hook, HookTable
from listener.model.delivery import workflow_overdue
from listener.model.notification import STARTED, WORKFLOW_OVERDUE
from listener.state.journal import Journal, Milestone

_NOTE = "overdue until"


class _Due(NamedTuple):
    """When the hook at `position` is to run for an execution.

    `at` is by the monotonic clock, `due_at` the Unix time that it was expected to be.
    """

    at: float
    entry_id: int
    execution_id: str
    position: int
    due_at: float


class Overdue:
    """`now` gives Unix time, `monotonic` seconds: no jump of the clock makes an execution overdue."""

    def __init__(
        self, journal: Journal, now: Callable[[], float], monotonic: Callable[[], float]
    ) -> None:
        self._journal = journal
        self._now = now
        self._monotonic = monotonic
        self._table = HookTable()
        self._hooks: Sequence[Hook] = ()

    def watch(self, table: HookTable) -> bool:
        """Take the hooks of this table; whether there are any on workflow_overdue.

        With a new table, the journal is read again, as far back as a hook looks. What was due until the
        last look is not due again: a new hook sees what was not overdue yet.
        """
        if table is not self._table:
            self._table = table
            hooks = [hook for hook in table.of(WORKFLOW_OVERDUE) if hook.after_s]
            self._hooks = sorted(hooks, key=_after)
            self._begin()
        return bool(self._hooks)

    def _begin(self) -> None:
        self._open: dict[str, int] = {}  # the entry of the last start of each execution
        self._due: list[_Due] = []
        noted = self._journal.noted(_NOTE)
        if self._hooks:
            self._looked_at = float(noted) if noted else self._now()
            self._read_to = self._journal.last_before(self._looked_at - _after(self._hooks[-1]))
        elif noted:
            self._journal.forget([_NOTE])

    def take(self) -> list[Job]:
        """A job for each execution and hook that has become due, with the hook if it matches."""
        while milestones := self._journal.milestones(self._read_to):
            for milestone in milestones:
                self._see(milestone)
        jobs = []
        while self._due and self._due[0].at <= self._monotonic():
            due = heapq.heappop(self._due)
            if self._open.get(due.execution_id) == due.entry_id:
                jobs += self._jobs(due)
        return jobs

    @property
    def note(self) -> tuple[str, str]:
        """What the journal is to note when it has accepted what was taken.

        That is the time of this look; earlier where the clock was set forward, and hides what is due.
        """
        return _NOTE, repr(min([self._now(), *(due.due_at for due in self._due)]))

    def _see(self, milestone: Milestone) -> None:
        entry_id, received_at, event_type, execution_id = milestone
        self._read_to = entry_id
        if event_type != STARTED:
            self._open.pop(execution_id, None)
            return
        self._open[execution_id] = entry_id
        began = self._monotonic() - max(0.0, self._now() - received_at)
        for position, after_s in enumerate(map(_after, self._hooks)):
            if received_at + after_s >= self._looked_at:
                due = _Due(began + after_s, entry_id, execution_id, position, received_at + after_s)
                heapq.heappush(self._due, due)

    def _jobs(self, due: _Due) -> list[Job]:
        """The job of one hook for one execution; none if it does not match, or the start was pruned."""
        hook, entry = self._hooks[due.position], self._journal.get(due.entry_id)
        if due.position == len(self._hooks) - 1:
            del self._open[due.execution_id]  # the last one, if it has no end
        if entry is None:
            return []
        delivery = workflow_overdue(entry, _after(hook) + self._monotonic() - due.at)
        key = f"{WORKFLOW_OVERDUE} {entry.id} {hook.fingerprint or hook.name}"
        delivery = msgspec.structs.replace(delivery, given_key=key)
        job = planned(delivery, self._table._replace(hooks=(hook,)), self._now())
        return [job] if job.hooks else []


def _after(hook: Hook) -> float:
    return hook.after_s or 0.0
