"""Every action there is, opened and closed together.

Owns the answer to which action stands behind a hook's `implementation`: a built-in by its name, else
an importable function. serving.py and the verbs open one; the dispatcher and check.py ask it.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Mapping
from types import TracebackType

from listener.actions import Action, snmp_trap
from listener.actions.function import FunctionAction
from listener.actions.snmp_trap import SnmpTrapAction
from listener.hooks import Hook, ListenerSettings
from listener.outcome import Tally


class Actions:
    """A context manager; leaving it ends the child interpreters and closes the sockets.

    `state_dir` keeps what actions have to know for longer; None where there is none.
    """

    def __init__(self, settings: ListenerSettings, state_dir: str | None = None) -> None:
        request_ids = itertools.count(int.from_bytes(os.urandom(4), "big"))
        self._function = FunctionAction(settings)
        self._snmp_trap = SnmpTrapAction(time.monotonic(), lambda: next(request_ids) % 2**31, state_dir)
        self._builtins: Mapping[str, Action] = {snmp_trap.NAME: self._snmp_trap}

    def of(self, hook: Hook) -> Action:
        """The action that does this hook's work."""
        return self._builtins.get(hook.implementation, self._function)

    def is_repeatable(self, hook: Hook) -> bool:
        """Whether running the hook twice does no harm: as it says itself, else only traps are."""
        return hook.implementation in self._builtins if hook.repeatable is None else hook.repeatable

    def prepare(self, hooks: Iterable[Hook]) -> None:
        """Do what the first attempt would have to do first: for when nothing waits for it."""
        for hook in hooks:
            if hook.enabled and self.of(hook) is self._snmp_trap:
                self._snmp_trap.prepare(hook)

    def drain(self) -> None:
        """Log what programs that functions left behind have printed since."""
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
