"""What a child interpreter prints, and what its `ctx.logger` is told, becomes lines of the log.

Owns how much of it is logged and at which level, and that a call's secret is not. It never waits;
pool.py calls it whenever there is something to read, and at the end of each call.
"""

from __future__ import annotations

import logging
import os

import msgspec

from listener import log

_log = logging.getLogger(__name__)
_log.setLevel(logging.DEBUG)  # who calls ctx.logger.debug wants it to be seen

_RECORD = b"\x1e"  # stands before what ctx.py writes
_READ_BYTES = 65536
MAX_OUTPUT = 1 << 20
"""Bytes that one call may print; the rest is dropped, and the call has failed when it ends."""


class Output:
    """The child's stdout and stderr: whole lines go to the log, up to MAX_OUTPUT bytes a call."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._rest = b""
        self._taken = 0
        self._secret = ""

    def keep_secret(self, secret: object) -> None:
        """From now on this text is left out of every line."""
        self._secret = secret if isinstance(secret, str) else ""

    def drain(self, label: str) -> bool:
        """Log what is in the pipe; False once nobody can write any more.

        Reads as much as a pipe holds and no more, so that a flood cannot hold up the clock.
        """
        try:
            data = os.read(self.fd, _READ_BYTES)
        except BlockingIOError:
            return True
        room = max(0, MAX_OUTPUT - self._taken)
        self._taken += len(data)
        *lines, self._rest = (self._rest + data[:room]).split(b"\n")
        for line in lines:
            self._log(label, line)
        if self._taken % _READ_BYTES < len(data):
            log.flush()  # each time so much has come, or the lines of a flood would fill the memory
        return bool(data)

    def end_call(self, label: str) -> str:
        """What was dropped, in words, or ''. A new call may print MAX_OUTPUT bytes again."""
        if self._rest:
            self._log(label, self._rest)
        dropped = ""
        if self._taken > MAX_OUTPUT:
            dropped = f"printed {self._taken} bytes; what follows the first {MAX_OUTPUT} was dropped"
            _log.warning("%s: %s", label, dropped)
        self._rest = b""
        self._taken = 0
        return dropped

    def _log(self, label: str, line: bytes) -> None:
        printed, mark, record = line.partition(_RECORD)
        if printed or not mark:
            self._tell(label, logging.INFO, printed.decode("utf-8", "replace").rstrip("\r"))
        if mark:
            self._tell(label, *_read(record))

    def _tell(self, label: str, level: int, text: str) -> None:
        if self._secret:
            text = text.replace(self._secret, "...")
        _log.log(level, "%s | %s", label, text)


def _read(record: bytes) -> tuple[int, str]:
    """Level and text of what `ctx.logger` was told, if ctx.py has written it."""
    try:
        level, text = msgspec.json.decode(record, type=tuple[int, str])
    except msgspec.DecodeError:
        return logging.INFO, record.decode("utf-8", "replace")
    return min(max(level // 10, 1), 5) * 10, text  # of levels between, the one below
