"""The system's clock, and whether anything may be deleted by it.

Owns that one decision: a clock that has just jumped, or was not watched for long, can be days
wrong (a bad RTC, NTP, a resumed machine). It deletes nothing. events.py asks it at each TICK_5.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

STEADY_S = 3600.0
_JUMP_S = 60.0  # NTP needs more than a day to slew so far


class Clock:
    """`now` gives Unix time, `monotonic` seconds that no correction of the clock changes."""

    def __init__(
        self,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.now = now
        self._monotonic = monotonic
        self._offset = math.inf
        self._set_at = 0.0

    def is_steady(self) -> bool:
        """Whether the clock has not jumped for an hour in which this was asked every few seconds."""
        moment = self._monotonic()
        offset = self.now() - moment
        if abs(offset - self._offset) > _JUMP_S:
            self._offset, self._set_at = offset, moment
        return moment - self._set_at >= STEADY_S
