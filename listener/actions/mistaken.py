"""The action of a hook that has none that works: it fails, and says what is wrong.

So its runs are in the history as failed, with the reason, and can be replayed when that is mended. It
does nothing else. registry.py has it stand behind every hook with a problem, installed.py behind a name
that leads to no action.
"""

from __future__ import annotations

from listener.actions import Action, Call, Fault
from listener.errors import ActionFailed
from listener.hooks.table import Hook
from listener.model.outcome import NEVER


class MistakenAction(Action):
    """Fails at once, whatever `retries` the hook has."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def run(self, call: Call) -> str:
        raise ActionFailed(self._reason, retry_after_s=NEVER)

    def check(self, hook: Hook, *, may_import: bool) -> list[Fault]:
        return [Fault(None, self._reason)]
