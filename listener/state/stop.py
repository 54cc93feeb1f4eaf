"""When an attempt has to end: at the end of its time, or as soon as a person stops it, by a file.

Owns the name of that file, which says which attempt is meant, so no other one is ever stopped, and the
waiting in small parts. It ends nothing: what waits for the end of an attempt looks at its Stop or has a
Deadline. The verb `stop` makes the file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from listener import log
from listener.state.directory import open_file

LOOK_S = 1.0

_T = TypeVar("_T")


class Stop:
    """Whether a person has asked to stop one attempt; without a path nobody can.

    It looks at most once a second, so ask as often as you like. `is_seen` is what was found so far.
    """

    def __init__(self, path: str | None = None) -> None:
        self._path = path
        self._look_at = time.monotonic() + LOOK_S
        self.is_seen = False

    def is_asked(self) -> bool:
        """Whether to end now; the file is removed, which tells the verb that it was seen."""
        if self._path and not self.is_seen and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_S
            self.is_seen = withdraw(self._path)
        return self.is_seen


NOBODY = Stop()
"""Nobody stops it."""


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


def path_of(state_dir: str, entry_id: int, began_at: float) -> str:
    """The file that stops the attempt that began at this Unix time, as the journal has it."""
    return os.path.join(state_dir, f"stop-{entry_id}-{began_at!r}")


def ask(path: str) -> None:
    """Make the file. Raises OSError."""
    os.close(open_file(path, os.O_WRONLY | os.O_CREAT))


def withdraw(path: str) -> bool:
    """Remove the file; whether it was there."""
    with suppress(OSError):
        os.unlink(path)
        return True
    return False
