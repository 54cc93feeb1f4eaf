"""Executions that were started and have no end: when the hooks on workflow_overdue are to run.

Owns which these are. It reads the starts and ends from the journal, every few seconds and only while
there are such hooks, so that no event waits for it and a restart loses nothing. It stores nothing; the
dispatcher accepts what it gives.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import msgspec

from listener.dispatch.job import Job, planned
from listener.errors import UnreadableNotification
from listener.hooks.table import Hook, HookTable
from listener.model.delivery import workflow_overdue
from listener.model.notification import STARTED, WORKFLOW_OVERDUE
from listener.state.journal import Journal
from listener.state.rows import Milestone

_log = logging.getLogger(__name__)

_NOTE = "overdue until"


class _Start(msgspec.Struct):
    """The last start of an execution that has no end.

    `began` is when it was accepted by the monotonic clock, `position` that of the hook that runs next.
    """

    entry_id: int
    received_at: float
    began: float
    position: int


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
        self._open: dict[str, _Start] = {}
        noted = self._journal.noted_as(_NOTE, float)
        if self._hooks:
            self._looked_at = noted or self._now()
            self._read_to = self._journal.last_before(self._looked_at - _after(self._hooks[-1]))
        elif noted:
            self._journal.forget([_NOTE])

    def take(self) -> list[Job]:
        """A job for each execution and hook that has become due, with the hook if it matches."""
        while milestones := self._journal.milestones(self._read_to):
            for milestone in milestones:
                self._see(milestone)
        self._looked_at = 0.0  # for what is accepted from now on, whatever the clock says
        jobs = []
        for execution_id, start in list(self._open.items()):
            passed_s = self._monotonic() - start.began
            due = [hook for hook in self._hooks[start.position :] if _after(hook) <= passed_s]
            start.position += len(due)
            if start.position == len(self._hooks):
                del self._open[execution_id]
            for hook in due:
                jobs += self._jobs(start.entry_id, hook, passed_s)
        return jobs

    @property
    def note(self) -> tuple[str, str]:
        """What the journal is to note when it has accepted what was taken.

        That is the time of this look; an earlier one where the clock was set forward, and what it makes
        overdue is still to come.
        """
        return _NOTE, repr(min([self._now(), *map(self._due_at, self._open.values())]))

    def _due_at(self, start: _Start) -> float:
        return start.received_at + _after(self._hooks[start.position])

    def _see(self, milestone: Milestone) -> None:
        entry_id, received_at, event_type, execution_id = milestone
        self._read_to = entry_id
        self._open.pop(execution_id, None)
        if event_type != STARTED:
            return
        began = self._monotonic() - max(0.0, self._now() - received_at)
        past = [hook for hook in self._hooks if received_at < self._looked_at - _after(hook)]
        self._open[execution_id] = _Start(entry_id, received_at, began, len(past))

    def _jobs(self, entry_id: int, hook: Hook, passed_s: float) -> list[Job]:
        """The job of one hook for one execution; none if it does not match, or the start was pruned."""
        entry = self._journal.get(entry_id)
        if entry is None:
            return []
        try:
            delivery = workflow_overdue(entry, passed_s)
        except (UnreadableNotification, RecursionError) as error:
            _log.error("entry %d: hook %s on its execution is not run: %s", entry_id, hook.name, error)
            return []
        key = f"{WORKFLOW_OVERDUE} {entry_id} {hook.fingerprint or hook.name}"
        delivery = msgspec.structs.replace(delivery, given_key=key)
        job = planned(delivery, self._table._replace(hooks=(hook,)), self._now())
        return [job] if job.hooks else []


def _after(hook: Hook) -> float:
    return hook.after_s or 0.0
