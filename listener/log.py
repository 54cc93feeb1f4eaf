"""The log: one line per happening, on stderr, in UTC, for supervisord to keep.

Owns the form of a line and the moment when it is written. Lines wait in memory while events come
without a pause, since each write costs supervisord's only thread as much as half an event; a
warning, a pause or a slow action writes them all. Nobody but `start` touches handlers.
"""

from __future__ import annotations

import functools
import logging
import os
import time
from typing import Any, NamedTuple

from listener.notification import masked

PAUSE_S = 0.05
"""No line waits longer than this; whoever may be busy for longer calls `flush` first."""

_MAX_WAITING = 32_768
"""Characters; half of what a pipe holds, so that a write does not wait for supervisord."""


def start(level: int = logging.INFO) -> None:
    """Send what this package logs to stderr, and nothing that other packages log below WARNING."""
    logging.raiseExceptions = False  # a full disk behind stderr must not end an action
    # What no line shows, logging need not find out (its how-to, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers = [_handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("listener").setLevel(level)


def flush() -> None:
    """Write every line that waits. Safe to call at any time."""
    _handler.flush()


def settle() -> float | None:
    """Write the lines that have waited long enough; the seconds until others will have, or None.

    For the time between two events: what is costly about a line is done here.
    """
    return _handler.settle()


def loggable(value: object) -> str:
    """A field of a notification as one short line, whatever somebody has put there."""
    text = str(value)[:80]
    return text if text.isprintable() else repr(text)[1:-1]


def logger(name: str) -> logging.Logger:
    """A logger whose lines below WARNING cost least: for whoever logs at every event."""
    known = logging.getLoggerClass()
    logging.setLoggerClass(_Logger)
    try:
        return logging.getLogger(name)
    finally:
        logging.setLoggerClass(known)


class _Logger(logging.Logger):
    """Makes no LogRecord of a line below WARNING, as long as nobody but our handler could want one."""

    def _log(self, level: int, msg: object, args: Any, *others: Any, **options: Any) -> None:
        if level < logging.WARNING and logging.root.handlers == [_handler]:
            _handler.take(_Line(time.time(), level, str(msg), args))
        else:
            super()._log(level, msg, args, *others, **options)


class _Line(NamedTuple):
    """What a line needs of a LogRecord, for a fifth of its time."""

    created: float
    levelno: int
    text: str
    args: Any
    exc_info: Any = None

    @property
    def levelname(self) -> str:
        return str(logging.getLevelName(self.levelno))

    def getMessage(self) -> str:
        text: str = self.text % self.args
        return text


class _StderrHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self._records: list[logging.LogRecord | _Line] = []
        self._lines = ""
        self._oldest = 0.0  # the moment when the first line began to wait

    def emit(self, record: logging.LogRecord) -> None:
        self.take(record)
        if record.levelno >= logging.WARNING:
            self.flush()

    def take(self, record: logging.LogRecord | _Line) -> None:
        """Keep a line until there is time to write it."""
        if not self._records and not self._lines:
            self._oldest = time.monotonic()
        self._records.append(record)

    def settle(self) -> float | None:
        self._format()
        if not self._lines:
            return None
        wait_s = self._oldest + PAUSE_S - time.monotonic()
        if wait_s > 0 and len(self._lines) < _MAX_WAITING:
            return wait_s
        self.flush()
        return None

    def flush(self) -> None:
        self._format()
        text, self._lines = self._lines.encode("utf-8", "backslashreplace"), ""
        try:
            while text:
                text = text[os.write(2, text) :]
        except OSError:
            return  # stderr is gone or full; there is nowhere left to say so

    def _format(self) -> None:
        records, self._records = self._records, []
        self._lines += "".join(map(_line, records))


_handler = _StderrHandler()


def _line(record: logging.LogRecord | _Line) -> str:
    """The record as `2026-01-31T23:59:59.123Z WARNING …`; further lines are indented below it."""
    second, millisecond = divmod(int(record.created * 1000), 1000)
    text = masked(record.getMessage())
    if record.exc_info:
        text += "\n" + logging.Formatter().formatException(record.exc_info)
    indented = text.rstrip("\n").replace("\n", "\n    ")
    return f"{_moment(second)}.{millisecond:03d}Z {record.levelname} {indented}\n"


@functools.lru_cache(maxsize=1)
def _moment(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
