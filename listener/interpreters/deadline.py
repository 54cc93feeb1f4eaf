"""When an attempt has to end: at the end of its time, or as soon as a person stops it.

Owns the waiting in small parts that both need. It ends nothing. Whatever waits for the end of a call or
of a request has one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from listener import log
from listener.state.stop import LOOK_S, NOBODY, Stop

_T = TypeVar("_T")


class Deadline:
    """In `timeout_s` seconds from now, or earlier if `stop` is asked for."""

    def __init__(self, timeout_s: float, stop: Stop = NOBODY) -> None:
        self._at = time.monotonic() + timeout_s
        self._stop = stop

    @property
    def left_s(self) -> float:
        """The seconds that are left."""
        return 0.0 if self._stop.is_asked() else max(0.0, self._at - time.monotonic())

    def wait(self, wait: Callable[[float], _T]) -> _T | None:
        """What `wait` returns, which waits for some seconds; something false if that comes too late."""
        while left_s := self.left_s:
            if result := log.flush_during(wait, min(left_s, LOOK_S)):
                return result
        return None
