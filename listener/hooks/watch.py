"""hooks.conf while the listener runs: read again when it has changed.

Owns the rule that the last good file stays in force while a new one is broken, vanished or empty. The
dispatcher asks it for the table at every notification; it logs a change once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from listener.errors import SettingsError
from listener.hooks.file import Version, load, stamp
from listener.hooks.settings import ListenerSettings
from listener.hooks.table import HookTable
from listener.hooks.yaml_lines import Mistake
from listener.log import loggable

_log = logging.getLogger(__name__)


class HooksFile:
    """The file and the table in force, which is None as long as there has been no good file.

    `warnings` are about that table. `first` is what `load` has returned already. Raises SettingsError
    when the file is there and cannot be used.
    """

    def __init__(
        self, path: str | os.PathLike[str], env: Mapping[str, str], first: Version | None = None
    ) -> None:
        self.path = path
        self._env = env
        self._mistakes = ""  # what is wrong with the newest file, if it cannot be used
        self._stamp, self.table, self.warnings = first or load(path, env)
        self._settings_at_start = self.table.listener if self.table else ListenerSettings()

    def refresh(self, event_type: str) -> None:
        """Put the newest version of the file in force if it is good, else log why it is not.

        `event_type` is the event that has just arrived, for the log. A change is logged once; that no
        table is in force, at every event, as in the original.
        """
        now = stamp(self.path)
        if now != self._stamp or self._mistakes:  # a file that it names may have been mended meanwhile
            self._stamp = now
            self._read_again(event_type)
        elif self.table is None:
            self._log_problem(event_type, _MISSING)

    def _read_again(self, event_type: str) -> None:
        known, self._mistakes = self._mistakes, ""
        try:
            _, table, warnings = load(self.path, self._env)
        except SettingsError as error:
            self._mistakes = str(error)
            details = "" if self._mistakes == known else f":\n{error}"
            if details or self.table is None:
                self._log_problem(event_type, _INVALID, details)
            return
        if table is None:
            self._log_problem(event_type, _MISSING)
        elif table.is_blank and self.table is not None and not self.table.is_blank:
            self._log_problem(event_type, _EMPTY)
        else:
            self._put_in_force(table, warnings)

    def _put_in_force(self, table: HookTable, warnings: list[Mistake]) -> None:
        if table.listener != self._settings_at_start:
            _log.warning("%s: changes under 'listener' take effect at the next restart", self.path)
        self.table, self.warnings = table, warnings
        _log.info("%s was read again, hooks: %d", self.path, len(table.hooks))
        for warning in warnings:
            _log.warning("%s", warning.as_text(self.path))

    def _log_problem(self, event_type: str, problem: str, details: str = "") -> None:
        if self.table is None:
            in_force = "no hook is in force"
        else:
            in_force = f"the {len(self.table.hooks)} hooks read before stay in force until it is mended"
        _log.log(
            logging.ERROR if problem == _INVALID else logging.WARNING,
            "The hook consumer received `%s` event but %s (%s); %s%s",
            loggable(event_type), problem, self.path, in_force, details,
        )  # fmt: skip


_MISSING = "the hooks config file doesn't exist"
_INVALID = "the hook config file is invalid yaml"
_EMPTY = "the hook config file is empty"
