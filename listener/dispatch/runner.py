"""The hooks of one entry, run one after another: each end is stored with the next begin.

Owns what becomes of an entry: which run begins, how it ends, and what follows from a failure. A begin
is on record before its work, an end after it. It neither accepts deliveries nor chooses the next entry;
the dispatcher does both, and calls it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from listener.actions.registry import Actions
from listener.dispatch.agenda import Agenda
from listener.dispatch.attempt import attempt, log_end
from listener.dispatch.job import Job
from listener.dispatch.pauses import Pauses
from listener.dispatch.retry import first_due, retry_at
from listener.log import extra
from listener.model.delivery import Delivery, hook_failed
from listener.model.entry import Entry, Run
from listener.model.notification import HOOK_FAILED
from listener.model.outcome import Outcome
from listener.state.journal import Journal
from listener.state.stop import NOBODY, Stop, path_of

_log = logging.getLogger(__name__)

_KILLED_S = 2.0  # so long after its timeout a hook's processes are killed


class _End(NamedTuple):
    """The end of an attempt that is not stored yet: of which run, how, and at which Unix time."""

    job: Job
    position: int
    outcome: Outcome
    at: float


class Beginning(NamedTuple):
    """What was done for a new entry before it was stored: the ends of its instant runs.

    The run at `position` has begun, None when there is none; `outcome` is its end if that is known.
    """

    ended: Sequence[tuple[Run, Outcome]]
    position: int | None
    outcome: Outcome | None = None


class Runner:
    """Runs the hooks of Jobs that are not paused, and puts on `agenda` what is left to do.

    `plan` makes the Job of a delivery, for hooks on hook_failed. The others are as in Dispatcher.
    """

    def __init__(
        self,
        actions: Actions,
        journal: Journal,
        agenda: Agenda,
        pauses: Pauses,
        plan: Callable[[Delivery], Job],
        now: Callable[[], float],
        jitter: Callable[[], float],
        delete_token: Callable[[str, object], None],
    ) -> None:
        self._actions = actions
        self._journal = journal
        self._agenda = agenda
        self._pauses = pauses
        self._plan = plan
        self._now = now
        self._jitter = jitter
        self._delete_token = delete_token
        self._unfinished: _End | None = None
        self._running: tuple[Job, int] | None = None

    def resume(self, job: Job) -> None:
        """Run what is due of a stored entry. A run whose process died meanwhile is interrupted.

        `finish` has to follow.
        """
        runs = [
            self._interrupted(job, position) if run.state == "running" else run
            for position, run in enumerate(job.entry.runs)
        ]
        now = self._now()
        position = self._first_due(runs, now)
        if position is not None:
            runs[position] = runs[position].begun(now)
        self._save(job, runs)
        if position is not None and not job.entry.is_settled:
            self._run(job, position, None)

    def begin(self, job: Job) -> Beginning:
        """Begin the hooks of a new entry, which is not stored yet.

        Instant hooks at its head are run at once: that saves a write for each. A process that is killed
        meanwhile has not answered, so the notification comes again, and to run them twice is harmless.
        """
        ended: list[tuple[Run, Outcome]] = []
        for position, (run, hook) in enumerate(zip(job.entry.runs, job.hooks, strict=True)):
            if run.state != "pending":
                continue
            job.put(position, run.begun(self._now()))
            if hook is None or not self._actions.is_instant(hook):
                return Beginning(ended, position)
            outcome = self._attempt(job, position)
            if not outcome.is_done:
                return Beginning(ended, position, outcome)
            job.put(position, job.entry.runs[position].ended(outcome, None))
            ended.append((job.entry.runs[position], outcome))
        return Beginning(ended, None)

    def run(self, job: Job, beginning: Beginning) -> None:
        """Run the other hooks of a new entry, now that it is stored. `finish` has to follow."""
        for run, outcome in beginning.ended:
            log_end(run, outcome, job.about)
        if beginning.position is None:
            self.settle(job)
        else:
            self._run(job, beginning.position, beginning.outcome)

    def _run(self, job: Job, position: int, known: Outcome | None) -> None:
        """Run every hook that is due, from the one at `position`, whose begin is on record.

        `known` is its outcome if it was run already. The last end is left to `finish`.
        """
        while True:
            outcome, known = known or self._attempt(job, position), None
            end = _End(job, position, outcome, self._now())
            following = self._first_due(job.entry.runs, end.at, position + 1)
            if following is None:
                self._unfinished = end
                return
            self._finish(end, following)
            position = following

    def _first_due(self, runs: Sequence[Run], now: float, begin: int = 0) -> int | None:
        """As in retry.py; None while everything is paused, which can come between two hooks, too."""
        self._pauses.refresh()
        return None if self._pauses.is_total else first_due(runs, now, begin, self._pauses.hooks)

    def finish(self) -> None:
        """Store and log the last end, if that is still to be done.

        No answer waits for it: a crash after the answer but before this leaves the run "running",
        exactly as a crash before the answer does.
        """
        end, self._unfinished = self._unfinished, None
        if end is not None:
            self._finish(end, None)

    def _attempt(self, job: Job, position: int) -> Outcome:
        hook, run = job.hooks[position], job.entry.runs[position]
        if hook is None:
            reason = f"hooks.conf no longer has hook {run.hook} with {run.implementation} for the event"
            return Outcome("failed", reason, 0.0)
        self._running = job, position
        call = job.call(position, hook, self._stop(job, position))
        outcome = attempt(self._actions, call, job.about)
        self._running = None
        return outcome

    def _stop(self, job: Job, position: int) -> Stop:
        """What the verb `stop` can end this attempt by, if the journal knows it already."""
        folder = self._actions.state_dir
        if not (folder and job.entry.id):
            return NOBODY
        return Stop(path_of(folder, job.entry.id, job.entry.runs[position].attempts[-1].began_at))

    def in_progress(self) -> str:
        """The hook that runs now, and the most seconds until the last of its entry has ended; or ''."""
        if self._running is None:
            return ""
        job, position = self._running
        runs = job.entry.runs
        pairs = zip(runs[position + 1 :], job.hooks[position + 1 :], strict=True)
        later = [hook for run, hook in pairs if hook and run.state == "pending"]
        hooks = [hook for hook in (job.hooks[position], *later) if hook]
        passed_s = self._now() - runs[position].attempts[-1].began_at
        most_s = sum(hook.timeout_s + _KILLED_S for hook in hooks) - passed_s
        others = f" and {len(later)} after it" if later else ""
        return f"hook {runs[position].hook}{others}, at most {most_s:.0f} s"

    def _finish(self, end: _End, following: int | None) -> None:
        """Store the end of an attempt, together with the begin of the `following` run."""
        job, position, outcome, now = end
        runs = list(job.entry.runs)
        hook = job.hooks[position]
        retries = hook.retries if hook is not None else 0
        retry = retry_at(runs[position], outcome, retries, now, self._jitter())
        _log_attempt(job, position, outcome, retries, retry and retry - now)
        runs[position] = runs[position].ended(outcome, retry)
        if following is not None:
            runs[following] = runs[following].begun(now)
        self._save(job, runs)

    def _interrupted(self, job: Job, position: int) -> Run:
        run, hook = job.entry.runs[position], job.hooks[position]
        again = hook is not None and self._actions.is_repeatable(hook)
        left = f"not repeatable, and interrupted until conductor-hooks replay {job.entry.id}"
        _log.warning("hook %s: the listener ended while it ran; it is %s (%s)", run.hook,
                     "run again" if again else left, job.about,
                     extra=extra(hook=run.hook, outcome="interrupted"))  # fmt: skip
        return run.with_state("pending" if again else "interrupted")

    def _save(self, job: Job, runs: Sequence[Run]) -> None:
        """Store the runs, and an entry for hooks on hook_failed for each that just failed for good."""
        failed = [
            run
            for run, before in zip(runs, job.entry.runs, strict=True)
            if run.state in ("failed", "interrupted") and run.state != before.state
        ]
        follow_ups = [entry for run in failed for entry in self._follow_ups(job, run)]
        job.entry = job.entry.with_runs(runs)
        ids = self._journal.save(job.entry, follow_ups)
        if ids is None:
            job.entry = msgspec.structs.replace(job.entry, state="dropped")
        for entry_id, follow_up in zip(ids or (), follow_ups, strict=False):  # all are new
            self._agenda.put(msgspec.structs.replace(follow_up, id=entry_id))
        if job.entry.is_settled:
            self.settle(job)
        elif job.entry.state == "pending":
            self._agenda.put(job.entry, self._pauses.hooks)

    def settle(self, job: Job) -> None:
        """Forget an entry that has nothing left to do, and its rest_token if no other one needs it."""
        self._agenda.forget(job.entry.id)
        token = job.entry.rest_token
        if token is not None and not self._agenda.needs(token):
            self._delete_token(token, job.hook_context["tenant_name"])

    def _follow_ups(self, job: Job, run: Run) -> Sequence[Entry]:
        """The entry for hooks on hook_failed about this run; none if there are no such hooks."""
        if job.notification.event_type == HOOK_FAILED:
            return ()
        try:
            delivery = hook_failed(job.notification, run.hook, run.attempts, job.entry.id)
        except RecursionError:
            _log.error("entry %d nests too deep for hooks on hook_failed: none is run", job.entry.id)
            return ()
        entry = self._plan(delivery).entry
        return (entry,) if entry.runs else ()


def _log_attempt(
    job: Job, position: int, outcome: Outcome, retries: int, pause_s: float | None
) -> None:
    """Log how an attempt has ended, and what comes next; `pause_s` is None when nothing does."""
    run = job.entry.runs[position]
    log_end(run, outcome, job.about)
    if pause_s is not None:
        _log.info("hook %s: attempt %d of %d in %.1f s (%s)", run.hook, run.failures + 2,
                  retries + 1, pause_s, job.about, extra=extra(hook=run.hook))  # fmt: skip
    elif retries and not outcome.is_done:
        _log.error("hook %s: given up after attempt %d of %d (%s)", run.hook, run.failures + 1,
                   retries + 1, job.about, extra=extra(hook=run.hook))  # fmt: skip
