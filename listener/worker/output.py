"""What a child interpreter prints becomes lines of the log.

Owns how much of it is logged, and that a call's secret is not. It never waits; pool.py calls it
whenever there is something to read, and at the end of each call.
"""

from __future__ import annotations

import logging
import os

_log = logging.getLogger(__name__)

_READ_BYTES = 65536
MAX_OUTPUT = 65536
"""Bytes of one call's output that are logged; a function that prints more is cut, not stopped."""


class Output:
    """The child's stdout and stderr: whole lines go to the log, up to MAX_OUTPUT bytes a call."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._rest = b""
        self._taken = 0
        self._secret = b""

    def keep_secret(self, secret: object) -> None:
        """From now on this text is left out of every line."""
        self._secret = secret.encode("utf-8", "replace") if isinstance(secret, str) else b""

    def drain(self, label: str) -> bool:
        """Log what has been written so far; False once nobody can write any more.

        Reads a bounded amount, so that a flood cannot hold up the clock.
        """
        for _ in range(16):
            try:
                data = os.read(self.fd, _READ_BYTES)
            except BlockingIOError:
                return True
            if not data:
                return False
            room = max(0, MAX_OUTPUT - self._taken)
            self._taken += len(data)
            *lines, self._rest = (self._rest + data[:room]).split(b"\n")
            for line in lines:
                self._log(label, line)
        return True

    def end_call(self, label: str) -> None:
        """A new call may print MAX_OUTPUT bytes again."""
        if self._rest:
            self._log(label, self._rest)
        if self._taken > MAX_OUTPUT:
            _log.warning("%s: printed %d bytes; what follows the first %d was dropped",
                         label, self._taken, MAX_OUTPUT)  # fmt: skip
        self._rest = b""
        self._taken = 0

    def _log(self, label: str, line: bytes) -> None:
        if self._secret:
            line = line.replace(self._secret, b"...")
        _log.info("%s | %s", label, line.decode("utf-8", "replace").rstrip("\r"))
