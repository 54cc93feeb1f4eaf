"""The log: one line per happening, on stderr, in UTC, for supervisord to keep.

Owns the form of a line, text or JSON, and when lines are written. Each write costs supervisord's only
thread a third of what an event does, so lines wait in memory while events follow each other, and one
write has many of them. Only `start` sets a handler.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from listener.model.secrets import mask_tokens

PAUSE_S = 0.05
"""A line waits at most so long, or as long as an event takes; a warning never waits."""

_MARK = "<!--XSUPERVISOR:"
"""What begins and ends a frame in a program's output; supervisord may read ours for frames, too."""

_MOST_LINES = 100
"""About half of what a pipe holds, so that a write does not wait for supervisord."""

_T = TypeVar("_T")


class _About(str):
    """A text with the fields that a line in JSON has besides."""

    fields: Mapping[str, Any]


def about(text: str, **fields: Any) -> str:
    """What a line is about, for its arguments; where the log is in JSON, the line has `fields`, too.

    They are values of a notification as they came, or numbers; one that is None is left out.
    """
    if _handler.as_line is _text_line:  # for each event, objects that nobody reads cost 10 us
        return text
    told = _About(text)
    told.fields = fields
    return told


def extra(details: str = "", **fields: Any) -> dict[str, Any] | None:
    """The `extra` of a line: fields as in `about`, and `details` that stand below it."""
    if _handler.as_line is _text_line:
        return {"details": details} if details else None
    return {"details": details, "fields": fields}


def start() -> None:
    """Send what this package logs to stderr, and nothing that other packages log below WARNING."""
    logging.raiseExceptions = False  # a full disk behind stderr must not end an action
    # What no line shows, logging need not find out (its how-to, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers = [_handler]
    set_form("text", "debug")


def set_form(log_format: str, log_level: str) -> None:
    """Write lines as text or json, as the settings of these names say, and none below the level."""
    level = logging.getLevelName(log_level.upper())
    _handler.as_line = _json_line if log_format == "json" else _text_line
    logging.getLogger().setLevel(max(level, logging.WARNING))
    logging.getLogger("listener").setLevel(level)


def flush() -> None:
    """Write every line that waits. Call it before waiting; safe at any time."""
    _handler.flush()


def flush_if_due() -> None:
    """Write every line that waits if the oldest has waited long enough."""
    _handler.flush_if_due()


def flush_during(wait: Callable[[float], _T], seconds: float) -> _T:
    """What `wait` returns, which waits for at most `seconds`; when that takes long, lines are written.

    It has to return something false when what it waited for has not come.
    """
    if seconds > PAUSE_S:
        if result := wait(PAUSE_S):
            return result
        flush()
        seconds -= PAUSE_S
    return wait(seconds)


def loggable(value: object) -> str:
    """A field of a notification as one short line, whatever stands there."""
    return printable(str(value)[:80])


def printable(text: str) -> str:
    """The text with each control character escaped, line feeds too: no terminal obeys it."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def printable_lines(text: str) -> str:
    """Like `printable`, for a text of several lines."""
    return text if text.isprintable() else "\n".join(map(printable, text.split("\n")))


class _StderrHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[logging.LogRecord] = []
        self._written_at = 0.0  # monotonic
        self.as_line = _text_line

    def emit(self, record: logging.LogRecord) -> None:
        self._waiting.append(record)
        if record.levelno >= logging.WARNING or len(self._waiting) >= _MOST_LINES:
            self.flush()

    def flush_if_due(self) -> None:
        if self._waiting and time.monotonic() - self._written_at > PAUSE_S:
            self.flush()

    def flush(self) -> None:
        self._written_at = time.monotonic()
        waiting, self._waiting = self._waiting, []
        # All of them at once, which takes a third of the time of one after another.
        text = mask_tokens("".join(map(self.as_line, waiting))).replace(_MARK, "<!-- XSUPERVISOR:")
        data = text.encode("utf-8", "backslashreplace")
        try:
            while data:
                data = data[os.write(2, data) :]
        except OSError:
            return  # stderr is gone or full; there is nowhere left to say so


def _text_line(record: logging.LogRecord) -> str:
    """The record as `2026-01-31T23:59:59.123Z WARNING …`; further lines are indented below it."""
    text = _message(record)
    if details := _details(record):
        text += "\n" + details
    indented = printable_lines(text.rstrip("\n")).replace("\n", "\n    ")
    return f"{_time(record)} {record.levelname} {indented}\n"


def _json_line(record: logging.LogRecord) -> str:
    """The record as a JSON object on one line, whose escapes no terminal obeys."""
    line = {"time": _time(record), "level": record.levelname, "message": _message(record)}
    for argument in record.args if isinstance(record.args, tuple) else ():
        line |= _shown(argument.fields) if isinstance(argument, _About) else {}
    line |= _shown(getattr(record, "fields", {}))
    if details := _details(record):
        line["details"] = details
    return json.dumps({**line, "logger": record.name}) + "\n"


def _message(record: logging.LogRecord) -> str:
    """The record's text; a library's arguments that do not fit it stand behind it."""
    try:
        return record.getMessage()
    except Exception:  # it would end what logs, and take the lines that wait
        return f"{record.msg} {record.args}"


def _shown(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers as they are, anything else as one short line."""
    return {
        name: round(value, 6) if isinstance(value, (int, float)) else loggable(value)
        for name, value in fields.items()
        if value is not None
    }


def _details(record: logging.LogRecord) -> str:
    """What stands below the line: a traceback, mostly, of ours or of a hook's function."""
    if record.exc_info:
        return logging.Formatter().formatException(record.exc_info)
    return str(getattr(record, "details", "")).rstrip("\n")


def _time(record: logging.LogRecord) -> str:
    second, millisecond = divmod(int(record.created * 1000), 1000)
    return f"{_moment(second)}.{millisecond:03d}Z"


@functools.lru_cache(maxsize=1)
def _moment(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


_handler = _StderrHandler()
