"""The log: one line per happening, on stderr, in UTC, for supervisord to keep.

Owns the form of a line. Each write costs supervisord's only thread a third of what an event does, so
lines wait in memory while events follow each other, and a write has many of them. A warning, a pause or
a slow action writes them all. Nobody but `start` touches handlers.
"""

from __future__ import annotations

import functools
import logging
import os
import time
from typing import Any

import msgspec

from listener.notification import masked

PAUSE_S = 0.05
"""So long a line waits, or as long as an event takes; whoever waits for others uses pause.py.

Only what SQLite waits for, up to its own limit, and a slow import hold lines back for longer.
"""

_MOST_BYTES = 32768
"""Half of what a pipe holds, so that a write does not wait for supervisord."""


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


def settle() -> None:
    """Make ready to be written what waits, and write it if it has waited long enough."""
    _handler.settle()


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
    """Makes no LogRecord of what is told with `info`, as long as our handler alone could want one."""

    def info(self, msg: object, *args: Any, **options: Any) -> None:
        if logging.root.handlers == [_handler] and self.isEnabledFor(logging.INFO) and not options:
            _handler.waiting.append(_Line(time.time(), str(msg), args))
        else:
            super().info(msg, *args, stacklevel=2, **options)


class _Line(msgspec.Struct, frozen=True):
    """What a line needs of a LogRecord, for a fifth of its time."""

    created: float
    text: str
    args: Any
    levelname: str = "INFO"
    exc_info: Any = None

    def getMessage(self) -> str:
        return str(self.text % self.args)


class _StderrHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[logging.LogRecord | _Line] = []
        self._prepared = b""
        self._written_at = 0.0  # monotonic

    def emit(self, record: logging.LogRecord) -> None:
        self.waiting.append(record)
        if record.levelno >= logging.WARNING:
            self.flush()

    def settle(self) -> None:
        self._prepare()
        if len(self._prepared) > _MOST_BYTES or time.monotonic() - self._written_at > PAUSE_S:
            self.flush()

    def _prepare(self) -> None:
        """All of them at once, which also takes a third of the time of one after another."""
        waiting, self.waiting = self.waiting, []
        lines = masked("".join(map(_line, waiting)))
        self._prepared += lines.encode("utf-8", "backslashreplace")

    def flush(self) -> None:
        self._prepare()
        self._written_at = time.monotonic()
        text, self._prepared = self._prepared, b""
        try:
            while text:
                text = text[os.write(2, text) :]
        except OSError:
            return  # stderr is gone or full; there is nowhere left to say so


_handler = _StderrHandler()


def _line(record: logging.LogRecord | _Line) -> str:
    """The record as `2026-01-31T23:59:59.123Z WARNING …`; further lines are indented below it."""
    second, millisecond = divmod(int(record.created * 1000), 1000)
    text = record.getMessage()
    if record.exc_info:
        text += "\n" + logging.Formatter().formatException(record.exc_info)
    indented = text.rstrip("\n").replace("\n", "\n    ")
    return f"{_moment(second)}.{millisecond:03d}Z {record.levelname} {indented}\n"


@functools.lru_cache(maxsize=1)
def _moment(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
