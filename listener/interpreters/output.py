"""The output of a child process, as lines of the log.

Owns how much of it is logged, at which level, and that the call's secrets are left out. It never waits.
call.py reads with it what a function prints, worker.py what programs print that a call has left behind.
"""

from __future__ import annotations

import logging
import os
import select
from collections.abc import Sequence

import msgspec

from listener.model.secrets import mask

_log = logging.getLogger(__name__)

_RECORD = b"\x1e"  # lines.py, in the child, writes it before each record of a logger
_READ_BYTES = 65536
MAX_OUTPUT = 1 << 20
"""Bytes that one call may print; the rest is dropped, and the call has failed when it ends."""


class Output:
    """The stdout and stderr of a process and of all that it starts, which are one pipe.

    `label` stands in front of each line in the log.
    """

    def __init__(self, fd: int, label: str = "") -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.label = label
        self.secrets: Sequence[str] = ()
        """What no line shows."""
        self.last_line = ""
        """The last line that is not blank, as the log has it."""
        self._unfinished = b""  # a line whose end has not come yet
        self._size = 0  # of all that was printed

    def drain(self) -> bool:
        """Log the lines that are in the pipe; False when every writer has closed it.

        It reads at most what a pipe holds, so that a flood cannot delay a timeout.
        """
        try:
            data = os.read(self.fd, _READ_BYTES)
        except BlockingIOError:
            return True
        kept = data[: max(0, MAX_OUTPUT - self._size)]
        self._size += len(data)
        printed = self._unfinished + kept
        if len(kept) < len(data):  # at the cut there could be the beginning of a secret
            printed = printed[: -max(map(len, self.secrets), default=1)]
        *lines, self._unfinished = printed.split(b"\n")
        for line in lines:
            self._log(line)
        return bool(data)

    @property
    def has_hung_up(self) -> bool:
        """Whether every writer has closed it; what they wrote may still be in it."""
        poll = select.poll()
        poll.register(self.fd, 0)  # POLLHUP is always reported
        return bool(poll.poll(0))

    def finish_line(self) -> None:
        """Log a last line without an end."""
        if self._unfinished:
            self._log(self._unfinished)
        self._unfinished = b""

    def dropped(self) -> str:
        """What was dropped, in words; '' when nothing was."""
        if self._size <= MAX_OUTPUT:
            return ""
        return f"printed {self._size} bytes; what follows the first {MAX_OUTPUT} was dropped"

    def close(self) -> None:
        """Log what is in it, and close it."""
        self.drain()
        self.finish_line()
        os.close(self.fd)

    def _log(self, line: bytes) -> None:
        printed, mark, record = line.partition(_RECORD)
        if printed or not mark:
            self._log_text(logging.INFO, printed.decode("utf-8", "replace").rstrip("\r"))
        if mark:
            self._log_text(*_level_and_text(record))

    def _log_text(self, level: int, text: str) -> None:
        text = mask(text, self.secrets)
        self.last_line = text if text.strip() else self.last_line
        _log.log(level, "%s | %s", self.label, text)


def _level_and_text(record: bytes) -> tuple[int, str]:
    """A logger's record; what lines.py has not written is a line at INFO."""
    try:
        level, text = msgspec.json.decode(record, type=tuple[int, str])
    except msgspec.DecodeError:
        return logging.INFO, record.decode("utf-8", "replace")
    return min(max(level // 10, 1), 5) * 10, text  # of levels between, the one below
