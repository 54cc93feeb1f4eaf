"""The output of a child interpreter, as lines of the log.

Owns how much of it is logged, at which level, and that the call's secret is left out. It never waits.
pool.py calls it whenever there is something to read, and at the end of each call.
"""

from __future__ import annotations

import logging
import os

import msgspec

_log = logging.getLogger(__name__)
_log.setLevel(logging.DEBUG)  # a hook that calls ctx.logger.debug wants to see it

_RECORD = b"\x1e"  # ctx.py writes it before each record of ctx.logger
_READ_BYTES = 65536
MAX_OUTPUT = 1 << 20
"""Bytes that one call may print; the rest is dropped, and the call has failed when it ends."""


class Output:
    """The child's stdout and stderr, which are one pipe."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.secret = ""
        """What no line shows."""
        self._unfinished = b""  # a line whose end has not come yet
        self._size = 0  # of what the call has printed

    def drain(self, label: str) -> bool:
        """Log the lines that are in the pipe; False when every writer has closed it.

        It reads at most what a pipe holds, so that a flood cannot delay a timeout.
        """
        try:
            data = os.read(self.fd, _READ_BYTES)
        except BlockingIOError:
            return True
        kept = data[: max(0, MAX_OUTPUT - self._size)]
        self._size += len(data)
        *lines, self._unfinished = (self._unfinished + kept).split(b"\n")
        for line in lines:
            self._log(label, line)
        return bool(data)

    def end_call(self, label: str) -> str:
        """Log a last line without an end; what was dropped, in words, or ''. The next call starts
        anew."""
        if self._unfinished:
            self._log(label, self._unfinished)
        dropped = ""
        if self._size > MAX_OUTPUT:
            dropped = f"printed {self._size} bytes; what follows the first {MAX_OUTPUT} was dropped"
            _log.warning("%s: it %s", label, dropped)
        self._unfinished = b""
        self._size = 0
        return dropped

    def _log(self, label: str, line: bytes) -> None:
        printed, mark, record = line.partition(_RECORD)
        if printed or not mark:
            self._log_text(label, logging.INFO, printed.decode("utf-8", "replace").rstrip("\r"))
        if mark:
            self._log_text(label, *_level_and_text(record))

    def _log_text(self, label: str, level: int, text: str) -> None:
        if self.secret:
            text = text.replace(self.secret, "...")
        _log.log(level, "%s | %s", label, text)


def _level_and_text(record: bytes) -> tuple[int, str]:
    """A record of `ctx.logger`; what ctx.py has not written is a line at INFO."""
    try:
        level, text = msgspec.json.decode(record, type=tuple[int, str])
    except msgspec.DecodeError:
        return logging.INFO, record.decode("utf-8", "replace")
    return min(max(level // 10, 1), 5) * 10, text  # of levels between, the one below
