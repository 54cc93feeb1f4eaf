"""hooks.conf while the listener runs: read again when it has changed.

Owns the rule that the last good file stays in force while a new one is broken, vanished or empty. The
dispatcher asks it for the table at every notification; it logs a change once.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from listener.errors import SettingsError
from listener.hooks.file import Version, load, stamp
from listener.hooks.table import Hook, HookTable, ListenerSettings
from listener.hooks.yaml_lines import Mistake
from listener.log import loggable

_log = logging.getLogger(__name__)

FRESH_S = 0.0002
"""What was seen of the file is true for so long: a little longer than the next event is waited for."""


class HooksFile:
    """The file and the table in force, which is None as long as there has been no good file.

    `warnings` are those of that table. Raises SettingsError at once when the file is there and cannot
    be used. `first` is what `load` has given already.
    """

    def __init__(
        self, path: str | os.PathLike[str], env: Mapping[str, str], first: Version | None = None
    ) -> None:
        self.path = path
        self._env = env
        self._problem = _MISSING
        self._refusal = ""  # what was wrong with the file when it was read last
        self._fresh_until = 0.0
        self._stamp, self.table, self.warnings = first or load(path, env)
        self._settings_at_start = self.table.listener if self.table else ListenerSettings()

    def match(self, event_type: str, hook_context: Mapping[str, Any]) -> Sequence[Hook]:
        """The hooks for a notification in the newest good file, in its order."""
        self.refresh(event_type)
        return self.table.match(event_type, hook_context) if self.table is not None else ()

    def look(self) -> None:
        """Do now what `refresh` would do for an event that comes at once, if that is only to look."""
        if stamp(self.path) == self._stamp and self.table is not None and not self._refusal:
            self._fresh_until = time.monotonic() + FRESH_S

    def refresh(self, event_type: str) -> None:
        """Put the newest version of the file in force if it is good, else say why it is not.

        `event_type` is the event that has just arrived, for the log. A change is told of once; that
        there is no table at all, at every event, as the original does.
        """
        if time.monotonic() < self._fresh_until:
            return
        now = stamp(self.path)
        if now != self._stamp or self._refusal:  # what it names may have been mended meanwhile
            self._stamp = now
            self._read_again(event_type)
        elif self.table is None:
            self._tell_problem(event_type)

    def _read_again(self, event_type: str) -> None:
        try:
            _, table, warnings = load(self.path, self._env)
        except SettingsError as error:
            known, self._refusal, self._problem = self._refusal, str(error), _INVALID
            if self._refusal != known:
                self._tell_problem(event_type, f":\n{error}")
            elif self.table is None:
                self._tell_problem(event_type)
            return
        self._refusal = ""
        if table is not None and not (table.is_blank and self._has_something_in_force):
            self._take(table, warnings)
            return
        self._problem = _MISSING if table is None else _EMPTY
        self._tell_problem(event_type)

    @property
    def _has_something_in_force(self) -> bool:
        return self.table is not None and not self.table.is_blank

    def _take(self, table: HookTable, warnings: list[Mistake]) -> None:
        if table.listener != self._settings_at_start:
            _log.warning("%s: changes under 'listener' take effect at the next restart", self.path)
        self.table, self.warnings = table, warnings
        _log.info("%s was read again, hooks: %d", self.path, len(table.hooks))
        for warning in warnings:
            _log.warning("%s", warning.told(self.path))

    def _tell_problem(self, event_type: str, details: str = "") -> None:
        if self.table is None:
            force = "no hook is in force"
        else:
            force = f"the {len(self.table.hooks)} hooks read before stay in force until it is mended"
        _log.log(
            logging.ERROR if self._problem == _INVALID else logging.WARNING,
            "The hook consumer received `%s` event but %s (%s); %s%s",
            loggable(event_type), self._problem, self.path, force, details,
        )  # fmt: skip


_MISSING = "the hooks config file doesn't exist"
_INVALID = "the hook config file is invalid yaml"
_EMPTY = "the hook config file is empty"
