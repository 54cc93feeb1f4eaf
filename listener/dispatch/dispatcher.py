"""One notification goes to every hook that matches it, and the journal knows how far it got.

Owns which entry comes next: a delivery is accepted, older entries run before it, retries run when they
are due. It runs no hook itself (runner.py does) and knows no supervisord and no file descriptor.
events.py hands it deliveries and lets it work while no event comes; the verb `replay` resumes entries.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence

import msgspec

from listener.actions.registry import Actions
from listener.dispatch.agenda import Agenda
from listener.dispatch.job import Job, planned, resumed
from listener.dispatch.limits import Limits
from listener.dispatch.overdue import Overdue
from listener.dispatch.pauses import Pauses
from listener.dispatch.runner import Runner
from listener.errors import ListenerMustEnd, UnreadableNotification
from listener.hooks.table import HookTable
from listener.hooks.watch import HooksFile
from listener.log import loggable
from listener.model.delivery import FROM_BROKER, FROM_HOOK, Delivery
from listener.model.notification import storable
from listener.state.journal import SERIALS, Journal

_log = logging.getLogger(__name__)

LATER_S = 300.0
"""How long an entry is put off that cannot be resumed now."""

_DAY_S = 86_400.0  # the caller waits with poll(2), which takes at most 24 days


class Dispatcher:
    """Accepts deliveries and runs their hooks.

    `wait_for_retries_s` is how long an entry waits at most for an earlier one of its execution. `now`
    gives Unix time, `monotonic` seconds that no correction of the clock changes, `jitter` a number from
    0 to 1. `is_stopping` is whether the listener is to begin nothing more. `delete_token` gets each
    rest_token that no hook needs any more, and the name of its tenant. Any method raises
    ListenerMustEnd where the journal does.
    """

    def __init__(
        self,
        hooks_file: HooksFile,
        actions: Actions,
        journal: Journal,
        wait_for_retries_s: float,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        is_stopping: Callable[[], bool] = lambda: False,
        delete_token: Callable[[str, object], None] = lambda _token, _tenant: None,
    ) -> None:
        self._hooks_file = hooks_file
        self._actions = actions
        self._journal = journal
        self._limits = Limits(journal)
        self._overdue = Overdue(journal, now, monotonic)
        self._agenda = Agenda(wait_for_retries_s)
        self._pauses = Pauses(journal, now, monotonic)
        self._now = now
        self._runner = Runner(
            actions, journal, self._agenda, self._pauses, self._plan, now, jitter, delete_token
        )
        self._is_stopping = is_stopping

    def deliver(self, delivery: Delivery) -> None:
        """Accept a delivery; run what was accepted before it and was never tried, then its own hooks.

        `finish` has to follow, once the delivery is answered.
        """
        self.finish()
        job = self._plan(delivery)
        beginning = self._runner.begin(job) if self._is_next(job) else None
        entry_id = self._journal.accept(job.entry)
        if entry_id is None:
            self._recognise(job)
        else:
            self._log_accepted(job, entry_id)
            if beginning is not None:
                self._runner.run(job, beginning)
                return
            self._put(job)
        self._run_fresh()

    def _is_next(self, job: Job) -> bool:
        """Whether the hooks of a delivery run at once: no other entry comes first, nothing is paused.

        Instant hooks run before the journal accepts the delivery, so it must not know that one yet. If
        the first hook's run is suppressed, `Limits` has looked already.
        """
        if job.entry.is_settled or self._agenda.must_wait(job.entry.execution_id) or self._pauses:
            return False
        is_instant = job.hooks[0] is not None and self._actions.is_instant(job.hooks[0])
        return not is_instant or self._journal.find(str(job.entry.key)) is None

    def finish(self) -> None:
        """Store and log how the last action ended, if that is still to be done."""
        self._runner.finish()

    def accept_all(self, deliveries: Sequence[Delivery], note: tuple[str, str]) -> None:
        """Accept deliveries without running their hooks yet, and keep a note, in one transaction."""
        self._accept_all(self._plan_all(deliveries), note)

    def _accept_all(self, jobs: Sequence[Job], note: tuple[str, str]) -> None:
        ids = self._journal.accept_all([job.entry for job in jobs], note)
        for job, entry_id in zip(jobs, ids, strict=True):
            if entry_id is not None:
                self._log_accepted(job, entry_id)
                self._put(job)

    def recall(self) -> None:
        """Put every unsettled entry of the journal on the agenda, and forget all others.

        An earlier process left such an entry, or the verb `replay` reopened it. What is paused is
        looked at first.
        """
        if lost := self._journal.renew_if_removed():
            _log.error("%s", lost)
        self._pauses.apply()
        self._agenda.release(self._pauses.ended_at)
        if not self._journal.is_changed():
            return
        unsettled = self._journal.unsettled()
        self._agenda.keep_only({entry.id for entry in unsettled})
        for entry in unsettled:
            if entry.id not in self._agenda:
                self._agenda.put(entry)
                if entry.was_tried_after(self._now()):
                    self._agenda.put_off(entry.id, self._now())

    def resume(self, entry_id: int) -> None:
        """Run what is due of a stored entry, and store how that ended."""
        entry = self._journal.get(entry_id)
        if entry is None or entry.is_settled:
            self._agenda.forget(entry_id)
            return
        table = self._table(None)
        if table is None:
            self._agenda.put_off(entry_id, self._now() + LATER_S)
            return
        try:
            job = resumed(entry, table)
        except UnreadableNotification as error:
            self._journal.save(msgspec.structs.replace(entry, state="unreadable"))
            self._agenda.forget(entry_id)
            _log.error("entry %d: nothing more is run: %s", entry_id, error)
            return
        self._runner.resume(job)
        self._runner.finish()

    def work(self) -> float | None:
        """Resume one entry that is due; the seconds until the next one is due, None if none will be.

        None while everything is paused, too: `recall` sees the end of that.
        """
        if self._pauses.is_total:
            return None
        now = self._now()
        entry_id = self._agenda.pop_fresh(now)
        if entry_id is None:
            entry_id = self._agenda.pop_due(now)
        if entry_id is not None:
            self._resume_or_put_off(entry_id)
        next_at = self._agenda.next_at()
        return None if next_at is None else min(_DAY_S, max(0.0, next_at - self._now()))

    def in_progress(self) -> str:
        """What runs now, and how long it takes at most; '' when nothing does."""
        return self._runner.in_progress()

    def accept_due(self) -> None:
        """Accept what time alone brings: executions that are overdue, suppression that is over.

        A new hooks.conf is put in force first, or it is logged what is wrong with it.
        """
        table = self._table(None)
        if table is None:
            return
        for note, delivery in self._limits.take_ended(self._now()):
            job = self._plan(delivery)
            self._accept_all([job] if job.hooks else [], note)
        if self._overdue.watch(table):
            jobs = self._overdue.take()
            self._limits.judge(jobs)
            self._accept_all(jobs, self._overdue.note)

    def _plan(self, delivery: Delivery) -> Job:
        return self._plan_all((delivery,))[0]

    def _plan_all(self, deliveries: Sequence[Delivery]) -> list[Job]:
        """The jobs of deliveries; what is above the limit of its hook is suppressed in them."""
        jobs = []
        for delivery in deliveries:
            table = None if delivery.problem else self._table(delivery.notification.event_type)
            jobs.append(planned(delivery, table, self._now()))
        self._limits.judge(jobs)
        return jobs

    def _table(self, event_type: str | None) -> HookTable | None:
        """The hooks of the newest good hooks.conf; None if there was no good one yet.

        `event_type` is that of an event that has just arrived, None if none has.
        """
        self._hooks_file.refresh(event_type)
        return self._hooks_file.table

    def _put(self, job: Job) -> None:
        """Put a new entry on the agenda, unless there is nothing to do for it."""
        if job.entry.is_settled:
            self._runner.settle(job)
        else:
            self._agenda.put(job.entry)

    def _log_accepted(self, job: Job, entry_id: int) -> None:
        """Give the job the id of its entry, and log what is noteworthy about it."""
        job.entry = msgspec.structs.replace(job.entry, id=entry_id)
        notification = job.notification
        if job.entry.error:
            _log.error("%s, entry %d: nothing was run: %s", job.origin, entry_id, job.entry.error)
            return
        if missing := notification.missing_fields():
            _log.warning("%s: the notification lacks %s", job.about, ", ".join(missing))
        if notification.id and self._journal.has_other(storable(notification.id), entry_id):
            _log.warning(
                "%s: another notification had the id %s; they differ, so both are acted on",
                job.about, loggable(notification.id),
            )  # fmt: skip
        if job.entry.source == FROM_HOOK and job.hooks:
            _log.warning(
                "%s: a hook has emitted this %s: if it is one of those that match, it runs for ever",
                job.about, loggable(notification.event_type),
            )  # fmt: skip
        if not job.hooks and self._hooks_file.table is not None:
            _log.info(
                "The hook consumer received `%s` event but didn't find a compatible hook in the"
                " configuration (%s)", loggable(notification.event_type), job.about
            )  # fmt: skip

    def _recognise(self, job: Job) -> None:
        """Log that a delivery was accepted before, unless its entry is still to be begun."""
        if job.entry.serials is not None:
            self._journal.note(SERIALS, job.entry.serials)
        known = self._journal.find(str(job.entry.key))
        if known is None or known.source == FROM_BROKER:
            return  # it was pruned meanwhile, or this is the frame that follows each of them
        if known.is_settled or not known.is_fresh:
            _log.info("%s: accepted already, as entry %d, which is %s",
                      job.origin, known.id, known.state)  # fmt: skip

    def _run_fresh(self) -> None:
        """Run all that was never tried; when the listener is to end, leave the rest to the next one."""
        while not self._is_stopping() and not self._pauses.is_total:
            entry_id = self._agenda.pop_fresh(self._now())
            if entry_id is None:
                return
            self._resume_or_put_off(entry_id)

    def _resume_or_put_off(self, entry_id: int) -> None:
        """Resume an entry of the agenda; after a defect of ours, resume it later and raise."""
        try:
            self.resume(entry_id)
        except ListenerMustEnd:
            raise
        except Exception:
            self._agenda.put_off(entry_id, self._now() + LATER_S)
            raise
