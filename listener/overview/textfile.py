"""The file of metrics that node_exporter reads: replaced as a whole, so that nobody reads half of it.

Owns its place and its mode. A write that fails is a line of the log, is tried again the next time, and
never ends the listener. It knows no metric; app.py has it written at each TICK_5 and at the end.
"""

from __future__ import annotations

import importlib
import logging
import os
import time
from collections.abc import Callable

from listener.errors import not_installed
from listener.state.directory import open_regular

_log = logging.getLogger(__name__)

_MODE = 0o644  # node_exporter is another user


class Textfile:
    """`text` gives the metrics; it gets the Unix times of the last TICK_5, 0.0 for none, and of now."""

    def __init__(self, path: str, text: Callable[[float, float], bytes]) -> None:
        self._path = path
        self._text = text
        self._heard_at = 0.0
        self._trouble = ""

    def write(self, heard_at: float) -> None:
        """Write the metrics of now; `heard_at` is when a TICK_5 came, 0.0 if none has come since."""
        self._heard_at = heard_at or self._heard_at
        text = self._text(self._heard_at, time.time())
        known, self._trouble = self._trouble, self._replace(text)
        if self._trouble and self._trouble != known:
            _log.warning(
                "metrics are not written: %s: %s; let the listener's user write to that folder; tried"
                " again every five seconds", self._path, self._trouble
            )  # fmt: skip
        elif known and not self._trouble:
            _log.info("metrics are written again: %s", self._path)

    def _replace(self, text: bytes) -> str:
        """What was wrong with writing the file, in words; '' for nothing."""
        new = f"{self._path}.new"  # no name that node_exporter reads
        try:
            with open(open_regular(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
                os.fchmod(file.fileno(), _MODE)
                file.write(text)
            os.replace(new, self._path)
        except OSError as error:
            return error.strerror or str(error)
        return ""


def lacking() -> str:
    """What is not installed that metrics need, in words; '' for nothing."""
    try:
        importlib.import_module("listener.overview.metrics")
    except ModuleNotFoundError as error:
        return not_installed(error.name, "'listener: metrics'", "metrics")
    return ""
