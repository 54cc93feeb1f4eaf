"""What supervisord has discarded: gaps in the numbers that it gives to the events of this listener.

Owns the arithmetic of serial and poolserial (numbers from 0 in each supervisord, given before a full
buffer discards an event, kept when one is delivered again). It stores and logs nothing; events.py
asks it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Serials(NamedTuple):
    """Where one event stands: the run of supervisord, and its two numbers there."""

    run: str
    serial: int
    poolserial: int

    def __str__(self) -> str:
        return f"{self.run}/{self.serial}/{self.poolserial}"

    @property
    def event(self) -> str:
        """What the event is called in every pool of that supervisord."""
        return f"{self.run}/{self.serial}"

    @classmethod
    def read(cls, text: str) -> Serials | None:
        """What `str` has made; None when that is not what it is."""
        run, *numbers = text.split("/")
        if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
            return None
        return cls(run, *map(int, numbers))


class Gap(NamedTuple):
    """`size` events of one pool that had not come when the one after them did, `event`."""

    event: Serials
    size: int

    def __str__(self) -> str:
        return f"{self.event}/{self.size}"

    @classmethod
    def read(cls, text: str) -> Gap | None:
        """What `str` has made; None when that is not what it is."""
        serials, _, size = text.rpartition("/")
        event = Serials.read(serials)
        return cls(event, int(size)) if event is not None and size.isdecimal() else None

    def without(self, late: Serials) -> list[Gap]:
        """What is left of the gap when that event has come: all of it, unless the event fills it."""
        after = self.event.poolserial - late.poolserial - 1
        before = self.size - after - 1
        if late.run != self.event.run or late.serial > self.event.serial or min(after, before) < 0:
            return [self]
        parts = Gap(late, before), Gap(self.event, after)
        return [part for part in parts if part.size]


class LossDetector:
    """`known` are events that were delivered before, of any run; nothing is known if there is none.

    `noted` is the text that `str` has made of the detector of an earlier listener.
    """

    def __init__(self, run: str, known: Iterable[Serials], noted: str = "") -> None:
        texts = noted.split()
        self.gaps = [gap for text in texts if (gap := Gap.read(text)) is not None]
        """What has not come. It still may: when another event listener of the same priority refuses an
        event, supervisord puts that event before those that wait for this one."""
        seen = [*known, *filter(None, map(Serials.read, texts))]
        nothing_yet = Serials(run, -1, -1) if seen else None
        self._last = max((event for event in seen if event.run == run), default=nothing_yet)

    def __str__(self) -> str:
        return " ".join(map(str, (self._last or "", *self.gaps)))

    def see(self, event: Serials) -> bool:
        """Whether this event's coming has changed the gaps."""
        last = self._last
        if last is not None and last.poolserial + 1 == event.poolserial and last.serial < event.serial:
            self._last = event  # as almost always
            return False
        if last is not None and event.serial <= last.serial:
            left = [part for gap in self.gaps for part in gap.without(event)]
        else:
            self._last = event
            left = [*self.gaps, *self._gap_between(last, event)]
        is_changed = left != self.gaps
        self.gaps = left
        return is_changed

    def settle(self) -> list[Gap]:
        """The gaps that are left when nothing can fill them any more, each of them once."""
        gaps, self.gaps = self.gaps, []
        return gaps

    def _gap_between(self, last: Serials | None, event: Serials) -> list[Gap]:
        if last is None:
            return []
        is_new_pool = event.poolserial <= last.poolserial  # numbered from 0 again
        size = event.poolserial - (0 if is_new_pool else last.poolserial + 1)
        return [Gap(event, size)] if size else []
