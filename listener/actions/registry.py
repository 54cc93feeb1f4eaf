"""Every action there is, opened and closed together.

Owns the answer to which action stands behind a hook's `implementation`: a built-in by its name, else
a managed plugin's task or an importable function. serving.py and the verbs open one; the dispatcher and
check.py ask it.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType

from listener.actions import Action
from listener.actions.function import FunctionAction
from listener.actions.snmp_trap import action as snmp_trap
from listener.actions.snmp_trap.action import SnmpTrapAction
from listener.hooks.table import Hook, ListenerSettings
from listener.interpreters.plugins import Plugin
from listener.model.outcome import Tally


class Actions:
    """A context manager; leaving it ends the child interpreters and closes the sockets.

    `state_dir` keeps what actions have to know for longer, and the plugins; None where there is none.
    `config_folder` is that of hooks.conf, where a task finds what it names by a relative path.
    """

    def __init__(
        self, settings: ListenerSettings, state_dir: str | None = None, config_folder: str = ""
    ) -> None:
        request_ids = itertools.count(int.from_bytes(os.urandom(4), "big"))
        self._function = FunctionAction(settings, state_dir, config_folder)
        self._snmp_trap = SnmpTrapAction(time.monotonic(), lambda: next(request_ids) % 2**31, state_dir)
        self._builtins: Mapping[str, Action] = {snmp_trap.NAME: self._snmp_trap}

    def of(self, hook: Hook) -> Action:
        """The action that does this hook's work."""
        return self._builtins.get(hook.implementation, self._function)

    def is_repeatable(self, hook: Hook) -> bool:
        """Whether running the hook twice does no harm: as it says itself, else only traps are."""
        return hook.implementation in self._builtins if hook.repeatable is None else hook.repeatable

    def plugins_of(self, hook: Hook) -> Sequence[Plugin]:
        """The managed plugins that have the hook's task, one for each tenant that has its own."""
        return () if hook.implementation in self._builtins else self._function.plugins(hook)

    def prepare(self, hooks: Iterable[Hook]) -> None:
        """Do what the first attempt would have to do first: for when nothing waits for it."""
        for hook in hooks:
            if hook.enabled and self.of(hook) is self._snmp_trap:
                self._snmp_trap.prepare(hook)

    def drain(self) -> None:
        """Log what programs left behind have printed since, and end children that were long idle."""
        self._function.drain()

    def take_tallies(self) -> dict[str, Tally]:
        """What was counted for each destination since this was last asked."""
        return self._snmp_trap.take_tallies()

    def __enter__(self) -> Actions:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._function.close()
        self._snmp_trap.close()
