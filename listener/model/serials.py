"""The numbers that supervisord gives to an event.

They grow from 0 in each run of supervisord, are given before a full buffer discards an event, and stay
the same when an event is delivered again. Owns their form as a text; losses.py finds the gaps in them.
"""

from __future__ import annotations

from typing import NamedTuple


class Serials(NamedTuple):
    """Where one event stands: the run of supervisord, its number there, and its number in our pool."""

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
    def parse(cls, text: str) -> Serials | None:
        """The Serials that `str` wrote as this text; None if it did not."""
        run, *numbers = text.split("/")
        if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
            return None
        return cls(run, *map(int, numbers))
