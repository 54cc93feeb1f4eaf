"""The action behind an importable function: `func(hook_context, **inputs)` in a child interpreter.

Owns the choice of the child: the warm one, or a new one for a hook with `fresh: true`. What the
child does stands in worker/child.py. The dispatcher runs it for every implementation that is no
built-in.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from listener.actions import Call, Fault
from listener.errors import ActionFailed, ActionTimedOut
from listener.hooks import Hook, ListenerSettings

if TYPE_CHECKING:
    from listener.worker.pool import Worker

CHECK_TIMEOUT_S = 10.0


class FunctionAction:
    """Calls functions in one warm child, which `listener: python` and `python_path` describe."""

    def __init__(self, settings: ListenerSettings) -> None:
        self._python = settings.python or sys.executable
        self._python_path = settings.python_path
        self._warm: Worker | None = None
        self._is_silent = False  # the interpreter; it is not asked twice

    def _new_worker(self) -> Worker:
        from listener.worker.pool import Worker  # a listener that only sends traps never needs it

        return Worker(self._python, self._python_path)

    def _warm_worker(self) -> Worker:
        if self._warm is None:
            self._warm = self._new_worker()
        return self._warm

    def run(self, call: Call) -> str:
        hook = call.hook
        request = {
            "op": "call",
            "path": hook.implementation,
            "context": call.hook_context,
            "inputs": hook.inputs,
        }
        if not hook.fresh:
            return _answer(self._warm_worker(), request, hook, hook.timeout_s)
        worker = self._new_worker()
        try:
            return _answer(worker, request, hook, hook.timeout_s)
        finally:
            worker.close(_label(hook))

    def check(self, hook: Hook, *, may_import: bool) -> list[Fault]:
        """Only inputs that do not fit are certain: the listener may find what is not found here."""
        if self._is_silent:
            return []
        request = {
            "op": "import" if may_import else "look",
            "path": hook.implementation,
            "inputs": hook.inputs,
        }
        try:
            answer = self._warm_worker().ask(request, timeout_s=CHECK_TIMEOUT_S, label=_label(hook))
        except ActionTimedOut:
            self._is_silent = not may_import
            what = "importing" if may_import else "looking for"
            reason = (
                f"{what} {hook.implementation}: {self._python} did not answer in {CHECK_TIMEOUT_S:g} s"
            )
            return [Fault(None, reason, is_certain=False)]
        except ActionFailed as error:
            return [Fault(None, str(error), is_certain=False)]
        if "error" not in answer:
            return []
        return [Fault(None, str(answer["error"]), is_certain=answer.get("cause") == "inputs")]

    def drain(self) -> None:
        """Log what programs left behind by functions have printed since."""
        if self._warm is not None:
            self._warm.drain()

    def close(self) -> None:
        """End the warm child. Safe to call twice."""
        if self._warm is not None:
            self._warm.close()


def _label(hook: Hook) -> str:
    return f"hook {hook.name}"


def _answer(worker: Worker, request: Mapping[str, Any], hook: Hook, timeout_s: float) -> str:
    """The text of the child's answer; raises ActionFailed when it tells of an error."""
    answer = worker.ask(request, timeout_s=timeout_s, label=_label(hook))
    if "error" in answer:
        raise ActionFailed(str(answer["error"]), str(answer.get("details", "")))
    return str(answer["text"])
