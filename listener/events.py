"""What is done with each event of supervisord: before it is answered OK, after that, and between two.

Owns the kinds of events and the funnel that keeps a defect of ours from ending the listener. It knows
no file descriptor; sources/supervisor.py calls it with frames, and when there is time.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence

import msgspec

from listener import log
from listener.actions.registry import Actions
from listener.delivery import Delivery, read, unreadable
from listener.dispatch import Dispatcher
from listener.entry import Entry
from listener.errors import Unanswered, UnreadableNotification
from listener.frames import COMMUNICATION_EVENTS, TICK, Frame
from listener.hooks_settings import ListenerSettings
from listener.journal import SERIALS, Journal
from listener.journal_file import NewerSchema
from listener.losses import Gap, LossDetector, Serials
from listener.recording import FOLDER, RECORDED_IN, Recorded, RecordingReader
from listener.state_dir import InUse
from listener.without_journal import WithoutJournal

_log = logging.getLogger(__name__)

_GAPS = "gaps"
_GAPS_AT_ONCE = 1000
_TAKEN_IN = "taken in from the recorder"
_DAY_S = 86_400.0


class Events:
    """One for the life of the listener. `begin` comes first.

    `run` is the supervisord that sends the events, None when none does. `keep_lock` makes sure that
    this listener still owns the state directory, `look_over` tells of what is wrong with new hooks.
    """

    def __init__(
        self,
        dispatcher: Dispatcher | WithoutJournal,
        actions: Actions,
        journal: Journal | None,
        settings: ListenerSettings,
        *,
        run: str | None,
        keep_lock: Callable[[], None] = lambda: None,
        look_over: Callable[[], None] = lambda: None,
    ) -> None:
        self._dispatcher = dispatcher
        self._kept = dispatcher if isinstance(dispatcher, Dispatcher) else None
        self._actions = actions
        self._journal = journal
        self._settings = settings
        self._run = run if journal is not None else None  # without one, nothing is known again
        self._keep_lock = keep_lock
        self._look_over = look_over
        self._losses: LossDetector | None = None
        self._recording: RecordingReader | None = None
        pid, _, began = (run or "").partition(".")
        self._hidden_pid = pid if began == "0" else ""  # by a /proc with hidepid
        self._is_recorded = RECORDED_IN in os.environ  # by the supervisord that sends the events
        self._taken_in = ("", -1)
        self._pruned_to = 0
        self._ignored: set[str] = set()

    def begin(self) -> None:
        """Take up what an earlier process has left, and what was recorded before this one."""
        if self._kept is None or self._journal is None:
            return
        self._kept.recall()
        if self._run is None and "SUPERVISOR_ENABLED" in os.environ:
            return  # what is recorded would not be known again when it is delivered
        self._recording = RecordingReader(_recorded_in(self._journal))
        run, _, serial = (self._journal.noted(_TAKEN_IN) or "").rpartition("/")
        self._taken_in = (run, int(serial)) if serial.isdecimal() else ("", -1)
        self._take_in_recorded()
        self._recording.settle()
        if self._run is not None:
            texts = (self._journal.last_serials(), self._journal.noted(SERIALS))
            known = filter(None, map(Serials.read, filter(None, texts)))
            self._losses = LossDetector(self._run, known, self._journal.noted(_GAPS) or "")

    def end(self) -> None:
        """Keep what would be kept at the next TICK_5. Raises Unanswered where that cannot be now."""
        self._count()

    def handle(self, frame: Frame) -> None:
        """Act on a notification; one that cannot be read, and any other event, is only logged.

        Only what has to end the listener is raised: Unanswered, NewerSchema, InUse. Any other error
        would come again with its event, and end the next listener.
        """
        try:
            self._handle(frame)
        except (Unanswered, NewerSchema, InUse):
            raise
        except Exception:  # the funnel: a defect of ours costs one event, and is told of
            _log.exception("serial %d: a defect of conductor-hooks; please report it", frame.serial)

    def settle(self) -> None:
        """Put on record what an answer need not wait for. Raises as `handle` does."""
        try:
            self._dispatcher.settle()
        except (Unanswered, NewerSchema, InUse):
            raise
        except Exception:  # the same funnel
            _log.exception("after an event: a defect of conductor-hooks; please report it")

    def between(self) -> float | None:
        """Do what can be done without an event; the seconds until there is more to do, or None."""
        try:
            self._look_over()
            return self._dispatcher.work()
        except (Unanswered, NewerSchema, InUse):
            raise
        except Exception:  # the same funnel
            _log.exception("between two events: a defect of conductor-hooks; please report it")
            return 1.0
        finally:
            log.settle()

    def _handle(self, frame: Frame) -> None:
        is_notification = frame.eventname in COMMUNICATION_EVENTS
        if is_notification and self._is_recorded:
            self._take_in_recorded()
        serials = Serials(self._run, frame.serial, frame.poolserial) if self._run else None
        self._look_for_losses(frame, serials)
        if is_notification:
            self._dispatcher.deliver(_read(frame, "supervisord", serials))
            return
        if serials is not None and self._kept is not None:
            self._kept.note(SERIALS, str(serials))
        if frame.eventname == TICK:
            self._tidy()
        elif frame.eventname not in self._ignored:
            self._ignored.add(frame.eventname)
            _log.warning(
                "%s events are ignored; subscribe to events=PROCESS_COMMUNICATION,TICK_5 alone",
                frame.eventname,
            )

    def _take_in_recorded(self) -> None:
        """Accept what was recorded inside supervisord; what is also delivered is then known already."""
        if self._recording is None or self._kept is None:
            return
        try:
            while recorded := self._recording.read_new():
                self._learn_run(recorded)
                new = [event for event in recorded if not self._is_taken_in(event)]
                last = recorded[-1]
                note = (_TAKEN_IN, f"{last.run}/{last.serial}")
                self._kept.take_in([_recorded_delivery(event) for event in new], note)
                self._taken_in = (last.run, last.serial)
        except BaseException:
            self._recording.close()  # what was read and not accepted must be read once more
            raise
        for problem in self._recording.problems:
            _log.error("%s", problem)
        self._recording.problems.clear()

    def _learn_run(self, recorded: Sequence[Recorded]) -> None:
        """The recorder knows which run of supervisord it is in, also where /proc hides that from us.

        Otherwise an event that is recorded and delivered would be two.
        """
        for event in recorded if self._hidden_pid else ():
            if event.run.partition(".")[0] == self._hidden_pid:
                self._run = event.run

    def _is_taken_in(self, event: Recorded) -> bool:
        """Whether an earlier listener has; its entry may be pruned by now."""
        run, serial = self._taken_in
        return event.run == run and event.serial <= serial

    def _look_for_losses(self, frame: Frame, serials: Serials | None) -> None:
        """Tell of a gap at the next TICK_5: an event that only came late has come before that."""
        if self._losses is None or serials is None or self._kept is None:
            return
        is_changed = self._losses.see(serials)
        gaps = self._losses.gaps
        if gaps and (frame.eventname == TICK or len(gaps) >= _GAPS_AT_ONCE):
            self._kept.keep(self._told_of_losses(self._losses.settle()))
            is_changed = True
        if is_changed:
            self._kept.note(_GAPS, str(self._losses))

    def _told_of_losses(self, gaps: Sequence[Gap]) -> Entry:
        event = gaps[-1].event
        problem = (
            f"supervisord discarded {sum(gap.size for gap in gaps)} events before serial"
            f" {event.serial}, because more waited than fit: raise buffer_size in the"
            " [eventlistener:…] section"
            f"{'; the recorder has kept them' if self._is_recorded else ''}"
        )
        _log.error("%s", problem)
        return Entry(0, time.time(), "supervisord", "dropped", "", f"gap {event}", error=problem)

    def _tidy(self) -> None:
        """Every five seconds: what nobody waits for."""
        self._keep_lock()
        self._actions.drain()
        self._count()
        if self._kept is None:
            return
        self._kept.recall()
        self._take_in_recorded()
        if self._recording is not None:
            self._recording.settle()
        self._pruned_to = self._kept.prune(
            self._pruned_to,
            older_than=time.time() - self._settings.keep_days * _DAY_S,
            keep=self._settings.keep_entries,
        )

    def _count(self) -> None:
        """Keep what was counted for destinations since the last time; without a journal it is lost."""
        tallies = self._actions.take_tallies()
        if self._kept is not None:
            self._kept.count(tallies)


def _recorded_in(journal: Journal) -> str:
    return os.path.join(os.path.dirname(journal.file.path), FOLDER)


def _recorded_delivery(event: Recorded) -> Delivery:
    serials = Serials(event.run, event.serial, -1)
    frame = Frame("PROCESS_COMMUNICATION", event.serial, -1, event.payload)
    delivery = _read(frame, "recorder", serials)
    # It has no place in a pool yet.
    return msgspec.structs.replace(delivery, mark=delivery.key, serials=None)


def _read(frame: Frame, source: str, serials: Serials | None) -> Delivery:
    origin = f"serial {frame.serial}"
    try:
        program, data = frame.communication()
    except UnreadableNotification as error:
        return unreadable(frame.payload, str(error), source, origin, serials)
    return read(data, source=source, origin=f"{origin} from {program}", serials=serials)
