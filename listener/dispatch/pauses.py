"""What a person has paused: every hook, or single ones.

Owns the notes of the journal that say so: the verbs write a note for each pause, the listener one that
says which of them it has taken. It runs nothing. The dispatcher and the runner ask it before they begin
a run.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Container, Iterable, Sequence

import msgspec

from listener.log import printable
from listener.model.entry import Run
from listener.model.notification import iso_time
from listener.state.journal import Journal

_log = logging.getLogger(__name__)

_PREFIX = "pause "
_TAKEN = "paused"
REFRESH_S = 5.0


class Pause(msgspec.Struct, frozen=True, omit_defaults=True):
    """Times are Unix times. `hook` is '' for all hooks, `until` is None where only `resume` ends it.

    `gives_up_at`: it is to end, and what it has kept until then is not to run.
    """

    by: str
    since: float
    hook: str = ""
    until: float | None = None
    comment: str = ""
    gives_up_at: float | None = None

    @property
    def note(self) -> str:
        """The name of its note. Each pause has its own, so that no other one is removed by mistake."""
        return f"{_PREFIX}{self.since!r} {self.hook}"

    def is_over(self, now: float) -> bool:
        return self.until is not None and self.until <= now and self.gives_up_at is None

    def keeps(self, runs: Iterable[Run]) -> bool:
        """Whether it holds back any of these runs."""
        return any(run.state == "pending" and self.hook in ("", run.hook) for run in runs)

    def __str__(self) -> str:
        what = f"hook {self.hook} is paused" if self.hook else "paused"
        until = f", until {iso_time(self.until)}" if self.until else ""
        comment = self.comment and f" ({self.comment})"
        return printable(f"{what} by {self.by} since {iso_time(self.since)}{until}{comment}")


class _Taken(msgspec.Struct, frozen=True):
    """What the listener holds back, and the Unix time at which a pause has last ended."""

    pauses: tuple[Pause, ...] = ()
    ended_at: float = 0.0


def in_force(journal: Journal, now: float) -> list[Pause]:
    """The pauses that are noted and not to end, whether a listener has taken them or not."""
    noted = _noted(journal)
    return [pause for pause in noted if pause.gives_up_at is None and not pause.is_over(now)]


def begin_pause(journal: Journal, pause: Pause) -> None:
    """Note a pause in place of an earlier one of the same hook."""
    earlier = _notes_of(journal, pause.hook)
    journal.note(pause.note, _text(pause))
    journal.forget(earlier)


def end_pause(journal: Journal, pause: Pause, gives_up_at: float | None = None) -> None:
    """End a pause, and others of its hook; the owner of the journal first gives up what was kept."""
    ended = _notes_of(journal, pause.hook)
    if gives_up_at is not None:
        ended.remove(pause.note)
        journal.note(pause.note, _text(msgspec.structs.replace(pause, gives_up_at=gives_up_at)))
    journal.forget(ended)


def is_taken(journal: Journal, pause: Pause) -> bool:
    """Whether the listener holds back what this pause names."""
    return pause.note in (each.note for each in _taken(journal).pauses)


def has_ended(journal: Journal, pause: Pause) -> bool:
    """Whether the listener holds back nothing for it, and has given up what it is to give up."""
    return not is_taken(journal, pause) and journal.noted(pause.note) is None


def _notes_of(journal: Journal, hook: str) -> list[str]:
    """Those of its pauses that are not to end: two, if two people paused it at the same time."""
    noted = _noted(journal)
    return [each.note for each in noted if each.hook == hook and each.gives_up_at is None]


def _noted(journal: Journal) -> list[Pause]:
    return sorted(journal.all_noted_as(_PREFIX, Pause).values(), key=lambda pause: pause.since)


def _taken(journal: Journal) -> _Taken:
    return journal.noted_as(_TAKEN, _Taken) or _Taken()


def _text(value: msgspec.Struct) -> str:
    return msgspec.json.encode(value).decode()


class Pauses:
    """Those in force. `is_total`: no hook may begin; `hooks` are the names of those that may not.

    `now` gives Unix time, `monotonic` seconds. The journal is read at the first look.
    """

    def __init__(
        self, journal: Journal, now: Callable[[], float], monotonic: Callable[[], float]
    ) -> None:
        self._journal = journal
        self._now = now
        self._monotonic = monotonic
        self._taken_at = -math.inf
        self._known: _Taken | None = None
        self.is_total = False
        self.hooks: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return self.is_total or bool(self.hooks)

    @property
    def ended_at(self) -> float:
        """The Unix time at which a pause has last ended; 0.0 if none has."""
        return self._known.ended_at if self._known else 0.0

    def apply(self) -> None:
        """Take what is paused now, and give up what is to be given up: no entry may be in work."""
        for pause in self._take():
            if pause.gives_up_at is not None:
                self._give_up(pause, pause.gives_up_at)
                self._journal.forget([pause.note])
                self._take()

    def refresh(self) -> None:
        """Take what is paused now, unless this was done in the last seconds."""
        if self._monotonic() - self._taken_at >= REFRESH_S:
            self._take()

    def _take(self) -> Sequence[Pause]:
        self._taken_at = self._monotonic()
        now = self._now()
        noted = _noted(self._journal)
        if over := [pause.note for pause in noted if pause.is_over(now)]:
            self._journal.forget(over)
        pauses = tuple(pause for pause in noted if not pause.is_over(now))
        if self._known is None or self._known.pauses != pauses:
            self._put_in_force(pauses, now)
        return pauses

    def _put_in_force(self, pauses: tuple[Pause, ...], now: float) -> None:
        noted = self._known or _taken(self._journal)
        before = self._known.pauses if self._known else ()  # a start says again what is in force
        hooks = {pause.hook for pause in pauses}
        ended = [pause for pause in noted.pauses if pause.hook not in hooks]
        _log_changes([pause for pause in pauses if pause not in before], ended)
        self.is_total, self.hooks = "" in hooks, frozenset(hooks - {""})
        self._known = _Taken(pauses, now if ended else noted.ended_at)
        if self._known != noted:
            self._journal.note(_TAKEN, _text(self._known))

    def _give_up(self, pause: Pause, until: float) -> None:
        """Drop every run that was kept by this pause alone, and for which nothing was begun."""
        others = self.hooks - {pause.hook}
        count = 0
        for entry in self._journal.unsettled():
            if entry.received_at > until:
                continue
            again = entry.with_runs([_given_up(run, pause.hook, others) for run in entry.runs])
            if again != entry:
                self._journal.save(again)
                count += 1
        _log.info("given up by conductor-hooks resume --drop, entries: %d", count)


def _given_up(run: Run, hook: str, others: Container[str]) -> Run:
    is_kept = run.state == "pending" and not run.attempts and hook in ("", run.hook)
    return run.with_state("dropped") if is_kept and run.hook not in others else run


def _log_changes(begun: Sequence[Pause], ended: Sequence[Pause]) -> None:
    for pause in begun:
        if pause.gives_up_at is None:
            _log.warning("%s: events are kept, and run when it ends (conductor-hooks resume%s)",
                         pause, pause.hook and f" --hook {printable(pause.hook)}")  # fmt: skip
    for pause in ended:
        what = "runs in order" if pause.gives_up_at is None else "is given up"
        _log.warning("the pause is over, and what it has kept %s (%s)", what, pause)
