"""The hooks of one entry: planned, run one after another, each end stored with the next begin.

Owns what becomes of an entry: which hooks it has, what is begun, judged and settled, and what follows
from a failure. It neither accepts deliveries nor chooses what comes next; the dispatcher does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from listener import log, payload
from listener.actions import Call
from listener.actions.registry import Actions
from listener.agenda import Agenda, Item
from listener.attempt import attempt, tell
from listener.delivery import Delivery, as_entry, hook_failed
from listener.entry import UNSETTLED, Entry, Run
from listener.errors import UnreadableNotification
from listener.hold import Hold
from listener.hooks import HOOK_FAILED, Hook
from listener.hooks_watch import HooksFile
from listener.journal import Journal
from listener.notification import Notification
from listener.outcome import Outcome
from listener.telling import about_of, tell_unmatched

_log = log.logger(__name__)

LATER_S = 300.0
"""After so long, what cannot be gone on with now is tried again."""


class Runner:
    """Runs entries' hooks; what is left to do goes on `agenda`. `now` and `jitter` as in Dispatcher."""

    def __init__(
        self,
        hooks_file: HooksFile,
        actions: Actions,
        journal: Journal,
        agenda: Agenda,
        hold: Hold,
        now: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._hooks_file = hooks_file
        self._actions = actions
        self._journal = journal
        self._agenda = agenda
        self._hold = hold
        self._now = now
        self._jitter = jitter
        self._rest: Callable[[], Entry] | None = None

    def matching(self, delivery: Delivery, hook_context: Mapping[str, Any]) -> Sequence[Hook]:
        """The hooks for a delivery in the newest good hooks.conf; none for what cannot be read."""
        if delivery.problem:
            return ()
        return self._hooks_file.match(delivery.notification.event_type, hook_context)

    def plan(self, delivery: Delivery, hooks: Sequence[Hook], *, begins: bool = False) -> Entry:
        """The entry for a delivery, with a run for each hook.

        The first one `begins`, or is pending as all others are.
        """
        key = delivery.key or os.urandom(12).hex()  # then this process alone knows it again
        now = self._now()
        runs = _planned(hooks)
        if runs and begins:
            runs[0] = runs[0].begun(now)
        return as_entry(delivery, now, runs, key)

    def tell_unmatched(self, entry: Entry, notification: Notification, about: str) -> None:
        """Tell the log when a good hooks.conf has no hook for it."""
        if not entry.runs and self._hooks_file.table is not None:
            tell_unmatched(notification, about)

    def resume(self, entry_id: int) -> None:
        """Go on with an entry, as the journal has it now; `settle` has to follow."""
        entry = self._hold(self._journal.get, entry_id)
        if entry is None or entry.is_settled:
            self._agenda.settle(entry_id)
            return
        try:
            notification = payload.decode(entry.body)
        except UnreadableNotification as error:
            spoilt = msgspec.structs.replace(entry, state="unreadable")
            self._hold(self._journal.save, spoilt)
            self._agenda.settle(entry_id)
            _log.error("entry %d: nothing more is run: %s", entry_id, error)
            return
        if entry.rest_token is not None:
            context = {**notification.context, "rest_token": entry.rest_token}
            notification = notification._replace(context=context)
        about = about_of(notification, entry.source, entry_id)
        hook_context = notification.hook_context()
        matching = self._hooks_file.match(notification.event_type, hook_context)
        if self._hooks_file.table is None:
            self._agenda.put_off(entry_id, self._now() + LATER_S)
            return
        if not entry.runs:  # it was put into the journal by a program that knows no hooks
            entry = entry.with_runs(_planned(matching))
            self.tell_unmatched(entry, notification, about)
        hooks = _known_again(entry.runs, self._hooks_file.table.of(notification.event_type), matching)
        runs = list(entry.runs)
        for position, (run, hook) in enumerate(zip(entry.runs, hooks, strict=True)):
            if run.state == "running":
                again = hook is not None and self._actions.is_repeatable(hook)
                runs[position] = run.interrupted(again)
                left = f"not repeatable, and interrupted until conductor-hooks replay {entry_id}"
                _log.warning("hook %s: the listener ended while it ran; it is %s (%s)", run.hook,
                             "run again" if again else left, about)  # fmt: skip
        now = self._now()
        due = _first_due(runs, now)
        if due is not None:
            runs[due] = runs[due].begun(now)
        entry = self._saved(entry, runs, notification)
        if due is not None and not entry.is_settled:
            self.carry_out(entry, due, notification, hook_context, hooks, about)

    def carry_out(
        self,
        entry: Entry,
        current: int,
        notification: Notification,
        hook_context: Mapping[str, Any],
        hooks: Sequence[Hook | None],
        about: str,
    ) -> None:
        """Do every run that is due; the `current` has begun, each end is stored with the next begin.

        The last end is left to `settle`.
        """
        runs = list(entry.runs)
        while True:
            run, hook = runs[current], hooks[current]
            if hook is None:
                path = self._hooks_file.path
                reason = f"hook {run.hook} with {run.implementation} is no longer in {path} for it"
                outcome = Outcome("failed", reason, 0.0)
            else:
                received_at = entry.received_at
                call = Call(hook, notification, hook_context, received_at, run.reached, entry.id)
                outcome = attempt(self._actions, call, about)
            now = self._now()
            following = _first_due(runs, now, current + 1)
            if following is None:
                break
            runs[current] = self._ended(run, hook, outcome, now, about)
            runs[following] = runs[following].begun(now)
            entry = self._saved(entry, runs, notification)
            current = following

        def rest() -> Entry:
            runs[current] = self._ended(run, hook, outcome, now, about)
            return self._saved(entry, runs, notification)

        self._rest = rest

    def _ended(self, run: Run, hook: Hook | None, outcome: Outcome, now: float, about: str) -> Run:
        """The run with the end of its attempt, and the log lines about that and what comes next."""
        tell(run.hook, outcome, about)
        retries = hook.retries if hook is not None else 0
        ended = run.ended(outcome, retries, now, self._jitter())
        if ended.state == "pending":
            _log.info("hook %s: attempt %d of %d in %.1f s (%s)", run.hook, run.failures + 2,
                      retries + 1, ended.due_at - now, about)  # fmt: skip
        elif retries and ended.state == "failed":
            _log.error("hook %s: given up after attempt %d of %d (%s)", run.hook, run.failures + 1,
                       retries + 1, about)  # fmt: skip
        return ended

    def settle(self) -> Entry | None:
        """Do what an answer need not wait for, if there is anything; the entry that it was about.

        It is the end of the last run. Who dies between the answer and this leaves what he leaves who
        dies between the action and the answer: a run that has begun.
        """
        rest, self._rest = self._rest, None
        return rest() if rest is not None else None

    def _saved(self, entry: Entry, runs: list[Run], notification: Notification) -> Entry:
        """Store the runs, with the entries that follow from those which have just failed for good."""
        follow_ups: list[Entry] = []
        for run, before in zip(runs, entry.runs, strict=True):
            if run.state in ("failed", "interrupted") and run.state != before.state:
                follow_ups += self._following(notification, run, entry.id)
        entry = entry.with_runs(runs)
        ids = self._hold(self._journal.save, entry, follow_ups)
        if ids is None and not self._hold.was_tried_again:
            self._agenda.settle(entry.id)
            return msgspec.structs.replace(entry, state="dropped")
        if follow_ups:
            self._put(follow_ups, ids)
        if entry.state == "pending":
            self._agenda.put(item(entry))
        elif entry.is_settled:
            self._agenda.settle(entry.id)
        return entry

    def _put(self, follow_ups: Sequence[Entry], ids: Sequence[int | None] | None) -> None:
        """Put entries on the agenda that were stored under these ids; None: each under its own."""
        if ids is None:  # it was stored although the journal had reported an error
            found = [self._hold(self._journal.find, str(each.key)) for each in follow_ups]
        else:
            pairs = zip(follow_ups, ids, strict=True)
            found = [msgspec.structs.replace(each, id=own) for each, own in pairs if own is not None]
        for follow_up in filter(None, found):
            self._agenda.put(item(follow_up))

    def _following(self, notification: Notification, run: Run, entry_id: int) -> Sequence[Entry]:
        """The entry for hooks on hook_failed, if there are any, of a run that has failed for good."""
        if notification.event_type == HOOK_FAILED:
            return ()
        try:
            delivery = hook_failed(notification, run.hook, run.attempts, entry_id)
        except RecursionError:
            _log.error("entry %d: nests too deep for hooks on hook_failed", entry_id)
            return ()
        entry = self.plan(delivery, self.matching(delivery, delivery.notification.hook_context()))
        return (entry,) if entry.runs else ()


def _planned(hooks: Sequence[Hook]) -> list[Run]:
    return [Run(hook.name, hook.implementation, fingerprint=hook.fingerprint) for hook in hooks]


def _known_again(
    runs: Sequence[Run], hooks: Sequence[Hook], matching: Sequence[Hook]
) -> list[Hook | None]:
    """For each run the hook that it was planned for, as it is now; None where there is none.

    `hooks` are those of the event type, `matching` those of them that match now. One without a name is
    known by its inputs. Where as many matching hooks as runs are left of an implementation, they were
    corrected.
    """
    left = [*matching, *(hook for hook in hooks if hook not in matching)]
    found: list[Hook | None] = [None] * len(runs)
    unsettled_first = sorted(range(len(runs)), key=lambda each: runs[each].state not in UNSETTLED)
    for position in unsettled_first:
        hook = next((hook for hook in left if _is_same(runs[position], hook)), None)
        found[position] = hook
        if hook is not None:
            left.remove(hook)
    lost = [
        position for position, run in enumerate(runs) if found[position] is None and run.fingerprint
    ]
    for implementation in {runs[position].implementation for position in lost}:
        positions = [each for each in lost if runs[each].implementation == implementation]
        new = [
            each
            for each in left
            if each.fingerprint and each.implementation == implementation and each in matching
        ]
        if len(positions) == len(new):
            for position, hook in zip(positions, new, strict=True):
                found[position] = hook
    return found


def _is_same(run: Run, hook: Hook) -> bool:
    is_same = hook.fingerprint == run.fingerprint if run.fingerprint else hook.name == run.hook
    return is_same and hook.implementation == run.implementation


def _first_due(runs: Sequence[Run], now: float, begin: int = 0) -> int | None:
    """The position, from `begin` on, of the first run that there is something to do for."""
    for position, run in enumerate(runs[begin:], begin):
        if run.state != "pending":
            continue
        if run.due_at <= now or run.attempts[-1].began_at > now:  # or the clock was set back
            return position
    return None


def item(entry: Entry) -> Item:
    """The place of an entry on the agenda; what tells of a failure does not wait for retries."""
    execution_id = None if entry.source == HOOK_FAILED else entry.execution_id
    return Item(entry.id, execution_id, entry.received_at, entry.due_at)
