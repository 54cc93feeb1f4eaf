"""One notification goes to every hook that matches it, and the journal knows how far it got.

Owns the order of things: accept, match, begin, run, finish, settle. What was begun is on record before
the work, what was finished after it. It knows no supervisord and no file descriptor; serving.py hands
it deliveries and lets it work while nothing comes; the verb `replay` resumes entries with it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from listener import log
from listener.actions.registry import Actions
from listener.agenda import WAIT_FOR_RETRIES_S, Agenda
from listener.delivery import Delivery, execution_id_of
from listener.entry import Entry
from listener.errors import Unanswered
from listener.hold import Hold
from listener.hooks_watch import HooksFile
from listener.journal import SERIALS, Journal
from listener.journal_file import NewerSchema
from listener.log import loggable
from listener.notification import storable
from listener.outcome import Tally
from listener.runner import LATER_S, Runner, item
from listener.telling import about_of, tell_missing, tell_unreadable

_log = log.logger(__name__)

_DAY_S = 86_400.0  # poll(2) takes no more than 24 of them


class Dispatcher:
    """Accepts deliveries and runs their hooks.

    `now` gives Unix time, `jitter` a number from 0 to 1. `pause` waits for some seconds and tells
    whether the listener was asked to stop meanwhile, `is_stopping` does not wait.
    """

    def __init__(
        self,
        hooks_file: HooksFile,
        actions: Actions,
        journal: Journal,
        *,
        wait_for_retries_s: float = WAIT_FOR_RETRIES_S,
        now: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
        pause: Callable[[float], bool] = lambda seconds: True,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._hooks_file = hooks_file
        self._journal = journal
        self._agenda = Agenda(wait_for_retries_s)
        self._now = now
        self._hold = Hold(pause)
        self._runner = Runner(hooks_file, actions, journal, self._agenda, self._hold, now, jitter)
        self._is_stopping = is_stopping
        self._untold: tuple[Delivery, Entry, str] | None = None

    def deliver(self, delivery: Delivery) -> None:
        """Accept a delivery; run what was accepted before it and was never tried, then its own hooks.

        It is all that an answer waits for; `settle` has to follow. Raises Unanswered when the listener
        is asked to stop while the journal cannot be written.
        """
        self.settle()
        notification = delivery.notification
        hook_context = notification.hook_context()
        hooks = self._runner.matching(delivery, hook_context)
        must_wait = self._agenda.must_wait(execution_id_of(notification))
        entry = self._runner.plan(delivery, hooks, begins=not must_wait)
        accepted = self._accept(delivery, entry)
        if accepted is not None and accepted.state == "running":
            about = about_of(notification, delivery.origin, accepted.id)
            self._untold = delivery, accepted, about
            self._runner.carry_out(accepted, 0, notification, hook_context, hooks, about)
            return
        if accepted is not None:
            self._tell_accepted(delivery, accepted)
            if not accepted.is_settled:
                self._agenda.put_fresh(item(accepted))
        self._run_fresh()

    def settle(self) -> Entry | None:
        """Do what an answer need not wait for: store how the last action ended, tell the log.

        The entry that it was about, as it is stored now; None when there was nothing to do.
        """
        settled = self._runner.settle()
        untold, self._untold = self._untold, None
        if untold is not None:
            self._tell_doubts(*untold)
        return settled

    def _accept(self, delivery: Delivery, entry: Entry) -> Entry | None:
        """The entry as it is stored, None when it is known already."""
        entry_id = self._hold(self._journal.accept, entry)
        if entry_id is None:
            entry_id = self._own_id(entry)
        if entry_id is None:
            self._recognise(delivery, entry)
            return None
        return msgspec.structs.replace(entry, id=entry_id)

    def take_in(self, deliveries: Sequence[Delivery], note: tuple[str, str] | None = None) -> None:
        """Accept deliveries without running their hooks yet, and keep a note, in one transaction."""
        entries = []
        for each in deliveries:
            hooks = self._runner.matching(each, each.notification.hook_context())
            entries.append(self._runner.plan(each, hooks))
        ids = self._hold(self._journal.accept_all, entries, note)
        if self._hold.was_tried_again:
            ids = [own or self._own_id(entry) for own, entry in zip(ids, entries, strict=True)]
        accepted = [
            (delivery, msgspec.structs.replace(entry, id=entry_id))
            for delivery, entry, entry_id in zip(deliveries, entries, ids, strict=True)
            if entry_id is not None
        ]
        for _, entry in accepted:
            if not entry.is_settled:
                self._agenda.put_fresh(item(entry))
        for delivery, entry in accepted:
            self._tell_accepted(delivery, entry)

    def keep(self, entry: Entry) -> None:
        """Store a settled entry, for the history."""
        self._hold(self._journal.accept, entry)

    def note(self, name: str, value: str) -> None:
        """Keep a small text in the journal, under a name."""
        self._hold(self._journal.note, name, value)

    def count(self, tallies: Mapping[str, Tally]) -> None:
        """Add to what the journal has counted for each destination."""
        if tallies:
            self._hold(self._journal.count, tallies)

    def prune(self, after: int, *, older_than: float, keep: int) -> int:
        """A step of the journal's pruning; see there."""
        return self._hold(self._journal.prune, after, older_than=older_than, keep=keep)

    def recall(self) -> None:
        """Put on the agenda what the journal has unsettled: from an earlier process, or another one."""
        if removed := self._hold(self._journal.mend):
            _log.error("%s was removed while it was in use; it has been written again", removed)
            self._agenda.clear()  # entries may have other ids now
        if not self._hold(self._journal.is_changed):
            return
        unsettled = self._hold(self._journal.unsettled)
        self._agenda.keep_only({entry.id for entry in unsettled})
        for entry in unsettled:
            if entry.id in self._agenda:
                continue
            if entry.is_fresh:
                self._agenda.put_fresh(item(entry))
            else:
                self._agenda.put(item(entry))
                if entry.was_tried_after(self._now()):
                    self._agenda.put_off(entry.id, self._now())

    def resume(self, entry_id: int) -> None:
        """Go on with an entry now, whether it is due or not."""
        self._runner.resume(entry_id)
        self._runner.settle()

    def work(self) -> float | None:
        """Go on with one entry that is due; the seconds until the next one is, or None."""
        if not self._agenda:
            return None
        now = self._now()
        entry_id = self._agenda.pop_fresh(now)
        if entry_id is None:
            entry_id = self._agenda.pop_due(now)
        if entry_id is not None:
            self._go_on(entry_id)
        next_at = self._agenda.next_at()
        return None if next_at is None else min(_DAY_S, max(0.0, next_at - self._now()))

    def _tell_accepted(self, delivery: Delivery, entry: Entry) -> None:
        """Log what is noteworthy about a new entry."""
        if delivery.problem:
            tell_unreadable(delivery, entry.id)
            return
        about = about_of(delivery.notification, delivery.origin, entry.id)
        self._tell_doubts(delivery, entry, about)
        self._runner.tell_unmatched(entry, delivery.notification, about)

    def _tell_doubts(self, delivery: Delivery, entry: Entry, about: str) -> None:
        """Warn of what may be wrong with a notification whose hooks run all the same."""
        notification = delivery.notification
        tell_missing(notification, about)
        if notification.id and self._has_other(notification.id, entry.id):
            _log.warning(
                "%s: another notification had the id %s; they differ, so both are acted on",
                about, loggable(notification.id),
            )  # fmt: skip

    def _has_other(self, number: str, entry_id: int) -> bool:
        return self._hold(self._journal.has_other, storable(number), entry_id)

    def _own_id(self, entry: Entry) -> int | None:
        """The id under which an entry was stored although the journal had reported an error."""
        if not self._hold.was_tried_again:
            return None
        known = self._hold(self._journal.find, str(entry.key))
        return known.id if known is not None and known.received_at == entry.received_at else None

    def _recognise(self, delivery: Delivery, entry: Entry) -> None:
        """Say that a delivery is known; if nobody has begun with it yet, put it on the agenda."""
        if entry.serials is not None:
            self.note(SERIALS, entry.serials)
        known = self._hold(self._journal.find, str(entry.key))
        if known is None:
            return  # pruned meanwhile
        if known.is_settled or not known.is_fresh:
            _log.info("%s: accepted already, as entry %d, which is %s",
                      delivery.origin, known.id, known.state)  # fmt: skip
        elif known.id not in self._agenda:
            self._agenda.put_fresh(item(known))

    def _run_fresh(self) -> None:
        """What is left when the listener is asked to stop is on record for the next one."""
        while not self._is_stopping():
            entry_id = self._agenda.pop_fresh(self._now())
            if entry_id is None:
                return
            self._go_on(entry_id)

    def _go_on(self, entry_id: int) -> None:
        """Resume an entry of the agenda; one that cannot be resumed now is tried again later."""
        try:
            self.resume(entry_id)
        except (Unanswered, NewerSchema):
            raise
        except Exception:
            self._agenda.put_off(entry_id, self._now() + LATER_S)
            raise
