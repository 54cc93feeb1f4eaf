"""The built-in `notify`: a notification goes to chats, mail and pagers, by Apprise.

Owns the order of the work: one URL after another, each in a process and with a share of the time of its
own, so that none stops the others. It sends nothing itself: sending.py does, in a child of the
listener's own interpreter. The registry makes it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from listener.actions import Action, Call, Fault, Surroundings
from listener.actions.inputs import read_inputs
from listener.actions.notify.inputs import INPUTS, Destination
from listener.actions.notify.message import default_body, default_title, kind_of
from listener.errors import ActionFailed, ActionTimedOut, not_installed
from listener.hooks.table import Hook
from listener.hooks.values import Kind
from listener.interpreters.worker import Worker
from listener.model.secrets import forms
from listener.state.stop import NOBODY, Stop

_SENDING = "listener.actions.notify.sending"
_CHECK_TIMEOUT_S = 10.0


class NotifyAction(Action):
    """Sends to every URL of a hook; a retry sends to those that failed."""

    def __init__(self, surroundings: Surroundings) -> None:
        # One like ours, whatever `listener: python` names: Apprise is installed here.
        self._worker = Worker(sys.executable, memory_mib=surroundings.settings.child_memory)

    def run(self, call: Call) -> str:
        inputs, faults = _read(call.hook)
        if wrong := [*(fault.reason for fault in faults), *_missing()]:
            raise ActionFailed("; ".join(wrong))
        left = [each for each in inputs["urls"] if each.key not in call.reached]
        problems = self._send_all(call, left, _message(call, inputs))
        reached = [each for each in left if each not in problems]
        result = f"sent to {', '.join(each.name for each in reached)}" if reached else ""
        if not problems:
            return result or "every destination has got it before"
        reasons = [f"{each.name}: {why}" for each, why in problems.items()]
        raise ActionFailed(
            "; ".join(filter(None, (*reasons, result))), reached=tuple(each.key for each in reached)
        )

    def check(self, hook: Hook, *, may_import: bool) -> list[Fault]:
        inputs, faults = _read(hook)
        faults += [Fault(None, reason, is_certain=False) for reason in _missing()]
        if faults or not may_import:
            return faults
        for each in inputs["urls"]:
            if reason := self._ask("check", hook, {"url": each.url}, _CHECK_TIMEOUT_S):
                faults.append(Fault("urls", f"{each.name}: {reason}"))
        return faults

    @classmethod
    def inputs(cls) -> Mapping[str, Kind]:
        return INPUTS

    def drain(self) -> None:
        self._worker.drain()

    def close(self) -> None:
        self._worker.close()

    def _send_all(
        self, call: Call, destinations: Sequence[Destination], message: Mapping[str, str]
    ) -> dict[Destination, str]:
        """Why each that could not be sent to was not. The time left is shared by those left."""
        deadline = time.monotonic() + call.hook.timeout_s
        problems = {}
        for done, destination in enumerate(destinations):
            if call.stop.is_asked():
                problems[destination] = "not sent"
                continue
            timeout_s = (deadline - time.monotonic()) / (len(destinations) - done)
            inputs = {"url": destination.url, **message}
            problems[destination] = self._ask(
                "send", call.hook, inputs, timeout_s, call.secrets, call.stop
            )
        return {destination: problem for destination, problem in problems.items() if problem}

    def _ask(
        self,
        function: str,
        hook: Hook,
        inputs: Mapping[str, str],
        timeout_s: float,
        secrets: Iterable[str] = (),
        stop: Stop = NOBODY,
    ) -> str:
        """Call a function of sending.py; why it has failed, or ''."""
        own = forms(Destination(0, inputs["url"]).secrets)
        request = {
            "op": "call",
            "path": f"{_SENDING}.{function}",
            "context": {},
            "inputs": inputs,
            "secrets": sorted({*secrets, *own}, key=len, reverse=True),
            "plugin": {},
            "folder": None,
        }
        label = f"hook {hook.name}"
        try:
            answer = self._worker.request(request, timeout_s=timeout_s, label=label, stop=stop)
        except ActionTimedOut as error:
            late = f"no end within {timeout_s:.3g} s, its share of the time"
            return str(error) if stop.is_seen else late
        except ActionFailed as error:
            return str(error)
        finally:
            self._worker.make_ahead(_SENDING)
        return str(answer.get("error", "")).removeprefix("NotSent: ")


def _read(hook: Hook) -> tuple[dict[str, Any], list[Fault]]:
    inputs, faults = read_inputs(hook.inputs, INPUTS, required=("urls",))
    if not faults:
        faults = [
            Fault("urls", f"{each.name} has no scheme, such as mailto://")
            for each in inputs["urls"]
            if not each.scheme
        ]
    return inputs, faults


def _missing() -> list[str]:
    """What to do when Apprise is not installed; it is only looked for, as its import takes 50 MB."""
    from importlib.util import find_spec  # slow to import

    return [] if find_spec("apprise") else [not_installed("Apprise", "notify", "notify")]


def _message(call: Call, inputs: Mapping[str, Any]) -> dict[str, str]:
    event_type = call.notification.event_type
    return {
        "title": inputs.get("title", default_title(event_type, call.hook_context)),
        "body": inputs.get("body") or default_body(call.notification, call.hook_context),
        "kind": kind_of(event_type),
    }
