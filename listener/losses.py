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


class LossDetector:
    """`known` are events that were delivered before, of any run; nothing is known if there is none."""

    def __init__(self, run: str, known: Iterable[Serials]) -> None:
        self._run = run
        seen = list(known)
        nothing_yet = Serials(run, -1, -1) if seen else None
        self._last = max((event for event in seen if event.run == run), default=nothing_yet)

    def missing_before(self, serial: int, poolserial: int) -> int:
        """How many events supervisord discarded between the last one and this one."""
        last = self._last
        if last is not None and serial <= last.serial:
            return 0  # it is delivered again
        self._last = Serials(self._run, serial, poolserial)
        if last is None:
            return 0
        expected = (
            last.poolserial + 1 if poolserial > last.poolserial else 0
        )  # a new pool: from 0 again
        return poolserial - expected
