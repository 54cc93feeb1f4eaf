"""The action of a hook that hooks.conf has a mistake in: it fails, and says what is wrong.

So its runs are in the history as failed, with the reason, and can be replayed when the file is mended.
It does nothing else. registry.py has it stand behind every hook with a problem.
"""

from __future__ import annotations

from listener.actions import Action, Call, Fault
from listener.errors import ActionFailed
from listener.hooks.table import Hook
from listener.model.outcome import NEVER


class MistakenAction(Action):
    """Fails at once, whatever `retries` the hook has."""

    def run(self, call: Call) -> str:
        raise ActionFailed(call.hook.problem, retry_after_s=NEVER)

    def check(self, hook: Hook, *, may_import: bool) -> list[Fault]:
        return [Fault(None, hook.problem)]
