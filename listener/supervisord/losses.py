"""What supervisord has discarded: gaps in the numbers that it gives to the events of this listener.

Owns the arithmetic of poolserial. It stores and logs nothing: events.py shows it every event, and
asks what is missing at each TICK_5.
"""

from __future__ import annotations

from collections.abc import Iterable

from listener.model.serials import Serials


class LossDetector:
    """`known` are events that were delivered before, of any run; nothing is known if there is none.

    `noted` is the text that `str` has made of the detector of an earlier listener.
    """

    def __init__(self, run: str, known: Iterable[Serials], noted: str = "") -> None:
        last, _, missing = noted.partition(" ")
        seen = [*known, *filter(None, (Serials.parse(last),))]
        nothing_yet = Serials(run, -1, -1) if seen else None
        self._last = max((event for event in seen if event.run == run), default=nothing_yet)
        self.missing = int(missing) if missing.isdecimal() else 0
        """How many events have not come although a later one has.

        They may still come: when another event listener of the same priority refuses an event,
        supervisord puts that event before those that wait for this one. An event that had come and is
        sent again in that way is taken for one of them.
        """

    def __str__(self) -> str:
        return f"{self._last or ''} {self.missing}"

    def see(self, event: Serials) -> bool:
        """Whether this event's coming has changed what is missing."""
        last, before = self._last, self.missing
        if last is not None and event.serial <= last.serial:
            if event.serial < last.serial:  # it comes late; the last one itself can come again
                self.missing = max(0, before - 1)
            return self.missing != before
        self._last = event
        if last is not None:
            is_new_pool = event.poolserial <= last.poolserial  # numbered from 0 again
            self.missing += event.poolserial - (0 if is_new_pool else last.poolserial + 1)
        return self.missing != before

    def take(self) -> int:
        """How many are missing, each reported once: nothing is missing after that."""
        missing, self.missing = self.missing, 0
        return missing
