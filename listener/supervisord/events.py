"""What is done with each event of supervisord: before its answer, after it, and between two events.

Owns the kinds of events and the funnel that keeps a defect of ours from ending the listener. It knows
no file descriptor: pipe.py calls it with frames, and when there is time.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from listener import log
from listener.actions.registry import Actions
from listener.dispatch.dispatcher import Dispatcher
from listener.dispatch.withdrawal import withdraw_of_dead
from listener.errors import ListenerMustEnd, UnreadableNotification
from listener.hooks.settings import ListenerSettings
from listener.inbox.folder import is_recorded
from listener.inbox.reader import InboxReader, Record
from listener.model.delivery import Delivery, decode, unreadable
from listener.model.entry import FIRE, Entry
from listener.model.serials import Serials
from listener.state.clock import Clock
from listener.state.journal import SERIALS, Journal
from listener.state.totals import GAP
from listener.supervisord.emit import WAKE_UP, remote_kind
from listener.supervisord.frames import COMMUNICATION_EVENTS, REMOTE, TICK, Frame
from listener.supervisord.losses import LossDetector
from listener.supervisord.presence import process_of

_log = logging.getLogger(__name__)

_MISSING = "missing"
_ACCEPTED_TO = "accepted from the inbox"
_DAY_S = 86_400.0


class Events:
    """One for the life of the listener. `begin` comes first.

    `inbox` is None where there is no state directory. `run` is the supervisord that sends the events,
    None when none does. `keep_lock` makes sure that this listener still owns the state directory,
    `check_hooks` logs what will make new hooks fail. `say_present` leaves a note that the listener
    runs, and when it last heard supervisord. Nothing is deleted by a `clock` that has jumped.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        actions: Actions,
        journal: Journal,
        settings: ListenerSettings,
        *,
        inbox: InboxReader | None,
        run: str | None,
        keep_lock: Callable[[], None] = lambda: None,
        check_hooks: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
        say_present: Callable[[float], None] = lambda _heard_at: None,
    ) -> None:
        self._dispatcher = dispatcher
        self._actions = actions
        self._journal = journal
        self._settings = settings
        self._run = run
        self._keep_lock = keep_lock
        self._check_hooks = check_hooks
        self._say_present = say_present
        self._clock = clock or Clock()
        self._losses: LossDetector | None = None
        self._inbox = inbox
        pid, _, began = (run or "").partition(".")
        self._hidden_pid = pid if began == "0" else ""  # by a /proc with hidepid
        self._fired_line = f"type:{remote_kind(process_of(os.environ))}\n"
        self._is_recorded = inbox is not None and is_recorded(inbox.state_dir, os.environ)
        self._accepted_to = ("", -1)
        self._pruned_to = 0
        self._ignored: set[str] = set()

    def begin(self) -> None:
        """Recall what an earlier listener has left, and accept what is in the inbox."""
        self._say_present(0.0)
        self._dispatcher.recall()
        run, _, serial = (self._journal.noted(_ACCEPTED_TO) or "").rpartition("/")
        self._accepted_to = (run, int(serial)) if serial.isdecimal() else ("", -1)
        self._accept_inbox()
        withdraw_of_dead(self._journal)  # nothing has run yet
        if self._run is not None:
            texts = (self._journal.last_serials(), self._journal.noted(SERIALS))
            known = filter(None, map(Serials.parse, filter(None, texts)))
            self._losses = LossDetector(self._run, known, self._journal.noted(_MISSING) or "")

    def end(self) -> None:
        """Keep what the next TICK_5 would keep. Raises ListenerMustEnd where the journal does."""
        self._journal.count(self._actions.take_tallies(), self._clock.now())

    def handle(self, frame: Frame) -> None:
        """Act on a notification; one that cannot be read, and any other event, is only logged.

        Only ListenerMustEnd is raised. Any other error would come again with its event, and end the
        next listener.
        """
        with _funnel(f"serial {frame.serial}"):
            self._handle(frame)

    def finish(self) -> None:
        """Store what no answer waits for. Raises as `handle` does."""
        with _funnel("after an event"):
            self._dispatcher.finish()

    def between(self) -> float | None:
        """Do what can be done without an event; the seconds until there is more to do, or None."""
        wait_s: float | None = 1.0
        with _funnel("between two events"):
            self._check_hooks()
            wait_s = self._dispatcher.work()
        log.flush_if_due()
        return wait_s

    def log_stopping(self, signal: str) -> None:
        """Log, in the handler of this signal, what the end of the listener waits for."""
        if awaited := self._dispatcher.in_progress():
            _log.info("%s: waiting for %s", signal, awaited)
            log.flush()

    def _handle(self, frame: Frame) -> None:
        is_from_program = frame.eventname in COMMUNICATION_EVENTS
        if is_from_program:
            self._accept_inbox()
        serials = Serials(self._run, frame.serial, frame.poolserial) if self._run else None
        self._detect_losses(frame, serials)
        if is_from_program and not _is_wake_up(frame.payload):
            self._dispatcher.deliver(_delivery(frame, "supervisord", serials))
            return
        if frame.eventname == REMOTE and frame.payload.startswith(self._fired_line):
            text = frame.payload.removeprefix(self._fired_line)
            self._dispatcher.deliver(decode(text, source=FIRE, origin=f"serial {frame.serial}, fired"))
        if serials is not None:
            self._journal.note(SERIALS, str(serials))
        if frame.eventname == TICK:
            self._tidy()
        elif not (is_from_program or frame.eventname in {REMOTE, *self._ignored}):
            self._ignored.add(frame.eventname)
            _log.warning(
                "%s events are ignored; subscribe to events=PROCESS_COMMUNICATION,"
                "REMOTE_COMMUNICATION,TICK_5 alone", frame.eventname,
            )  # fmt: skip

    def _accept_inbox(self) -> None:
        """Accept what came in by files; an event that supervisord delivers, too, is known by then.

        What cannot be accepted by a defect of ours is tried again, and keeps back no other event.
        """
        if self._inbox is None:
            return
        with _funnel("what came in by files"):
            try:
                self._accept_from(self._inbox)
            except BaseException:
                self._inbox.close()  # what was read and not accepted must be read once more
                raise

    def _accept_from(self, inbox: InboxReader) -> None:
        for records in inbox.read_new():
            self._learn_run(records)
            new = [record for record in records if not self._is_accepted(record)]
            events = [(record.run, record.serial) for record in records if record.run]
            run, serial = events[-1] if events else self._accepted_to
            note = (_ACCEPTED_TO, f"{run}/{serial}")
            self._dispatcher.accept_all(list(map(_recorded, new)), note)
            self._accepted_to = run, serial
        inbox.discard()

    def _learn_run(self, records: Sequence[Record]) -> None:
        """Take the run of supervisord from the recorder, which knows it where /proc hides it from us.

        Otherwise an event that is recorded and delivered would be two.
        """
        for record in records if self._hidden_pid else ():
            if record.run.partition(".")[0] == self._hidden_pid:
                self._run = record.run

    def _is_accepted(self, record: Record) -> bool:
        """Whether it was accepted before, its entry may be pruned by now, or it has none to come."""
        run, serial = self._accepted_to
        return _is_wake_up(record.payload) or (record.run == run and record.serial <= serial)

    def _detect_losses(self, frame: Frame, serials: Serials | None) -> None:
        """Report what is missing at the next TICK_5: an event that was only late has come by then."""
        if self._losses is None or serials is None:
            return
        is_changed = self._losses.see(serials)
        if self._losses.missing and frame.eventname == TICK:
            self._journal.accept(self._loss(serials, self._losses.take()))
            is_changed = True
        if is_changed:
            self._journal.note(_MISSING, str(self._losses))

    def _loss(self, before: Serials, missing: int) -> Entry:
        """Log that so many events were lost; the entry of that, for the history."""
        problem = (
            f"supervisord discarded {missing} events before serial {before.serial}, because more waited"
            " than fit: raise buffer_size in the [eventlistener:…] section; if the journal was restored"
            " or damaged, they are only missing in it"
            f"{'; the recorder has kept them' if self._is_recorded else ''}"
        )
        _log.error("%s", problem)
        return Entry(
            0, self._clock.now(), "supervisord", "dropped", "", f"{GAP}{before}", error=problem
        )

    def _tidy(self) -> None:
        """Do, every five seconds, what no event waits for."""
        self._keep_lock()
        self._actions.drain()
        self._journal.count(self._actions.take_tallies(), self._clock.now())
        self._dispatcher.recall()
        self._accept_inbox()
        self._dispatcher.accept_due()
        self._say_present(self._clock.now())
        keep_s = self._settings.keep_days * _DAY_S if self._clock.is_steady() else math.inf
        self._pruned_to = self._journal.prune(
            self._pruned_to, now=self._clock.now(), keep_s=keep_s, keep=self._settings.keep_entries
        )


def _recorded(record: Record) -> Delivery:
    """The delivery of what came in by a file."""
    if not record.run:
        return decode(record.payload, source=record.source, origin=record.source)
    serials = Serials(record.run, record.serial, -1)
    frame = Frame("PROCESS_COMMUNICATION", record.serial, -1, record.payload)
    delivery = _delivery(frame, record.source, serials)
    # It has no place in a pool yet.
    return msgspec.structs.replace(delivery, given_key=delivery.key, serials=None)


def _delivery(frame: Frame, source: str, serials: Serials | None) -> Delivery:
    origin = f"serial {frame.serial}"
    try:
        program, data = frame.communication()
    except UnreadableNotification as error:
        return unreadable(frame.payload, str(error), source, origin, serials)
    return decode(data, source=source, origin=f"{origin} from {program}", serials=serials)


def _is_wake_up(payload: str) -> bool:
    return payload.partition("\n")[2].rstrip() == WAKE_UP


@contextmanager
def _funnel(where: str) -> Iterator[None]:
    """A defect of ours costs one event, and is logged."""
    try:
        yield
    except ListenerMustEnd:
        raise
    except Exception:
        _log.exception("%s: a defect of conductor-hooks; please report it", where)
