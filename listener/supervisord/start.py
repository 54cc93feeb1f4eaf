"""What the log says when the listener starts, and when new hooks come into force.

Owns these lines. It opens and decides nothing; app.py calls it.
"""

from __future__ import annotations

import logging
import os

import listener
from listener.actions.check import check_hooks, plugin_line, plugins_used
from listener.actions.registry import Actions
from listener.hooks.table import HookTable
from listener.hooks.watch import HooksFile
from listener.inbox.folder import is_recorded, recorded_in
from listener.state.directory import Claim, writable_by_others
from listener.state.ownership import changeable_by_others

_log = logging.getLogger(__name__)


def log_start(hooks_file: HooksFile, actions: Actions, state: Claim, *, is_supervised: bool) -> None:
    """Log with which hooks, state and recorder the listener starts, and what is doubtful."""
    _log.info("conductor-hooks %s", listener.__version__)
    _warn(state, is_supervised=is_supervised)
    table = hooks_file.table
    if table is None:
        _log.warning("there is no %s: no hook runs until there is one", hooks_file.path)
        return
    enabled = sum(hook.enabled for hook in table.hooks)
    counts = f"hooks: {len(table.hooks)}, of which enabled: {enabled}"
    where = "" if state.problem else f", state in {state.folder}"
    how = ", recorded by supervisord" if is_recorded(state.folder, os.environ) else ""
    _log.info("listening with %s, %s%s%s", hooks_file.path, counts, where, how)
    if not enabled:
        _log.warning("%s has no hooks: nothing is handled", hooks_file.path)
    for hook, plugin in plugins_used(table, actions):
        _log.info("%s", plugin_line(hook, plugin))
    hooks_file.log_mistakes()


def _warn(state: Claim, *, is_supervised: bool) -> None:
    """Warn of what is wrong with the place that the listener runs in."""
    if not is_supervised and "SUPERVISOR_ENABLED" in os.environ:
        _log.warning(
            "the parent process is not supervisord: this listener cannot notice that supervisord has"
            " become deaf to it, does not act on what supervisord records, and acts twice on an event"
            " in progress when it is killed; a script that starts the listener must use exec"
        )
    others = recorded_in(os.environ)
    if others and not is_recorded(state.folder, os.environ):
        _log.warning(
            "supervisord records into %s, but the state directory here is %s: what is recorded is not"
            " acted on; give this listener a section [rpcinterface:…] with state_dir = %s",
            ", ".join(others), state.folder, state.folder,
        )  # fmt: skip
    if open_to_others := writable_by_others(state.folder):
        _log.warning("%s", open_to_others)
    if state.problem:
        _log.warning(
            "the journal is kept in memory: when this process ends, the history, retries and events in"
            " progress are lost, and an event can be acted on twice: %s", state.problem
        )  # fmt: skip


class HookChecks:
    """What will make hooks fail, logged once for each table that comes into force."""

    def __init__(self, hooks_file: HooksFile, actions: Actions) -> None:
        self._hooks_file = hooks_file
        self._actions = actions
        self._checked: HookTable | None = None

    def log_faults(self) -> None:
        """Check the table in force, unless that was done already."""
        table = self._hooks_file.table
        if table is self._checked or table is None:
            return
        self._checked = table
        self._warn_of_root(table)
        for fault in check_hooks(table, self._actions, may_import=False):
            _log.warning("%s", fault.as_text(self._hooks_file.path))

    def _warn_of_root(self, table: HookTable) -> None:
        names = [
            hook.name for hook in table.hooks if hook.enabled and self._actions.of(hook).runs_programs
        ]
        if names and os.geteuid() == 0:
            for path in (str(self._hooks_file.path), *table.files):
                if others := changeable_by_others(path):
                    _log.warning("%s, and so chooses what root runs: give %s to root", others, path)
            _log.warning(
                "these hooks run functions or commands as root, which may do everything on this host:"
                " %s; set user= in the listener's section, and give that user the state directory",
                ", ".join(names),
            )  # fmt: skip
