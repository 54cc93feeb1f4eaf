"""hooks.conf while the listener runs: read again when it has changed.

Owns the rule that the last good file stays in force while a new one is broken, vanished or empty. The
dispatcher asks it for the table at every notification, and has it look every five seconds.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from listener.errors import InvalidYaml, SettingsError
from listener.hooks.file import Version, load, stamp, wrong_in
from listener.hooks.table import HookTable
from listener.hooks.yaml_lines import Mistake
from listener.log import loggable

_log = logging.getLogger(__name__)

MISSING = "the hooks config file doesn't exist"

NEEDS_RESTART = "changes under 'listener' take effect at the next restart"


class HooksFile:
    """The file and the table in force, which is None as long as there has been no good file.

    `mistakes` are about that table. `first` is what `load` has returned already. Raises SettingsError
    when the file is there and cannot be used.
    """

    def __init__(
        self, path: str | os.PathLike[str], env: Mapping[str, str], first: Version | None = None
    ) -> None:
        self.path = path
        self._env = env
        first = first or load(path, env)
        self._stamp, self.table, self.mistakes = first
        self._wrong = wrong_in(self.mistakes, path)  # the mistakes in the newest file
        self._why_not = MISSING if self.table is None else ""  # why it is not in force; '' if it is
        self._settings_at_start = first.settings

    @property
    def problem(self) -> str:
        """What is in force instead of the newest file as a whole, and why, in lines; '' when it is."""
        is_waiting = self.table is not None and self.table.listener != self._settings_at_start
        in_force = "not all of it is in force" if self._wrong else ""
        if self._why_not:
            in_force = f"{self._why_not}; {self._in_force()}"
        newest = ": ".join(filter(None, (in_force, self._wrong)))
        return "\n".join(filter(None, (newest, NEEDS_RESTART if is_waiting else "")))

    def refresh(self, event_type: str | None = None) -> None:
        """Put the newest version of the file in force if it is good, else log why it is not.

        `event_type` is that of an event that has just arrived, and waits. Each logs it, as in the
        original; without one, only what is new is logged.
        """
        known = self._why_not, self._wrong
        now = stamp(self.path)
        is_changed, self._stamp = now != self._stamp, now
        if is_changed or (self._wrong and event_type is None):  # a file that it names may have come
            self._read_again(is_changed=is_changed)
        is_new = known != (self._why_not, self._wrong)
        if self._why_not and (is_new or event_type is not None):
            self._log_why_not(event_type, self._wrong if is_new else "")

    def _read_again(self, *, is_changed: bool) -> None:
        known = self._wrong
        was_wrong = bool(self.table and (known or self._why_not))
        try:
            _, table, mistakes = load(self.path, self._env)
        except SettingsError as error:
            self._wrong = str(error)
            self._why_not = _INVALID if isinstance(error, InvalidYaml) else _UNUSABLE
            return
        self._wrong = wrong_in(mistakes, self.path)
        self._why_not = self._why_not_in_force(table)
        if table is not None and not self._why_not and (is_changed or self._wrong != known):
            self._put_in_force(table, mistakes, is_mended=was_wrong and not self._wrong)

    def _why_not_in_force(self, table: HookTable | None) -> str:
        """Why the newest table does not replace the one in force; '' when it does."""
        if table is None:
            return MISSING
        if self.table is None:
            return ""
        if table.is_blank and not self.table.is_blank:
            return _EMPTY
        return _UNUSABLE if table.has_problem and not self.table.has_problem else ""

    def _put_in_force(self, table: HookTable, mistakes: list[Mistake], *, is_mended: bool) -> None:
        if table.listener != self._settings_at_start:
            _log.warning("%s: %s", self.path, NEEDS_RESTART)
        self.table, self.mistakes = table, mistakes
        mended = " and is mended" if is_mended else ""
        _log.info("%s was read again%s, hooks: %d", self.path, mended, len(table.hooks))
        self.log_mistakes()

    def log_mistakes(self) -> None:
        """Log what is wrong or doubtful with the table in force."""
        for mistake in self.mistakes:
            level = logging.WARNING if mistake.is_warning else logging.ERROR
            _log.log(level, "%s", mistake.as_text(self.path))
        if self.table and self.table.has_problem:
            names = ", ".join(hook.name for hook in self.table.hooks if hook.problem)
            _log.error(
                "these hooks fail until their mistakes are mended; then conductor-hooks replay --failed"
                " runs them: %s", names
            )  # fmt: skip

    def _log_why_not(self, event_type: str | None, details: str) -> None:
        event = ""
        if event_type is not None:
            event = f"The hook consumer received `{loggable(event_type)}` event but "
        _log.log(
            logging.WARNING if self._why_not in (MISSING, _EMPTY) else logging.ERROR,
            "%s%s (%s); %s%s",
            event, self._why_not, self.path, self._in_force(), details and f":\n{details}",
        )  # fmt: skip

    def _in_force(self) -> str:
        if self.table is None:
            return "no hook is in force"
        return f"the last good hooks ({len(self.table.hooks)}) stay in force until it is mended"


_INVALID = "the hook config file is invalid yaml"
_UNUSABLE = "the hook config file cannot be used"
_EMPTY = "the hook config file is empty"
