"""What the listeners under test are given: notifications of a size, and hooks.conf files.

Owns the making of them; the frame around a notification is made by the real emitter, and hooks are
read by the real reader.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from listener.actions import Call
from listener.cli.shipped import shipped
from listener.hooks import conf as hooks_conf
from listener.hooks.table import HookTable
from listener.model import payload

EVENT_TYPE = "workflow_started"
PROGRAMS = Path(__file__).parent / "programs"

TRAP = """
  - event_type: {event_type}
    implementation: cloudify.snmp.snmp_trap.send_snmp_trap
    inputs:
      destination_address: 127.0.0.1
      destination_port: {port}
      community_string: public
"""
FUNCTION = """
  - event_type: {event_type}
    implementation: no_op.no_op
    fresh: {fresh}
"""
LISTENER = f"""
listener:
  python_path: [{json.dumps(str(PROGRAMS))}]
"""

OTHER_EVENT_TYPES = ("workflow_queued", "workflow_succeeded", "workflow_failed", "workflow_cancelled")


def text(size: int) -> str:
    """The JSON of a notification, `size` characters of ASCII.

    A small one has what Conductor always sends; in a large one the execution's parameters are what
    is large, as in life.
    """
    parameters: dict[str, object] = {}
    notification = {
        "event_type": EVENT_TYPE,
        "context": {
            "deployment_id": "dep1",
            "execution_id": "1a2b3c4d-0000-4000-8000-000000000003",
            "workflow_id": "install",
            "tenant": {"name": "default_tenant"},
            "execution_parameters": parameters,
        },
        "timestamp": "2024-08-12T13:16:13.123Z",
    }
    nodes = max(0, size - 400) // 50
    if nodes:
        parameters["nodes"] = [{"id": f"node_{number:04}", "type": "host"} for number in range(nodes)]
    parameters["note"] = ""
    parameters["note"] = "x" * (size - len(json.dumps(notification)))
    made = json.dumps(notification)
    if len(made) != size:
        raise ValueError(f"a notification cannot be as small as {size} characters")
    return made


def ten_hooks() -> str:
    """The shipped hooks.conf with its five hooks twice; a trap of each goes where the env says."""
    once = shipped("hooks.conf").read_text("utf-8")
    again = once.partition("\nhooks:\n")[2]
    return once + again.replace("receiver", "same_receiver")  # an anchor may stand only once


def unmatched_hooks() -> str:
    """Hooks for every event type but ours."""
    return "hooks:" + "".join(TRAP.format(event_type=other, port=9) for other in OTHER_EVENT_TYPES)


def trap_hook(port: int) -> str:
    return "hooks:" + TRAP.format(event_type=EVENT_TYPE, port=port)


V3_USER = {
    "version": 3,
    "user": "benchmark",
    "auth_protocol": "SHA-256",
    "auth_key": "correct horse",
    "priv_protocol": "AES",
    "priv_key": "battery staple",
}


def v3_trap_hook(port: int) -> str:
    """A trap for the receiver, encrypted; it has no community."""
    lines = trap_hook(port).splitlines()[:-1]
    return "\n".join((*lines, *(f"      {key}: {value}" for key, value in V3_USER.items()))) + "\n"


def function_hook(*, fresh: bool = False) -> str:
    return "hooks:" + FUNCTION.format(event_type=EVENT_TYPE, fresh=str(fresh).lower()) + LISTENER


def command_hook(argv: Sequence[str]) -> str:
    hook = {"event_type": EVENT_TYPE, "implementation": "command", "inputs": {"argv": argv}}
    return f"hooks: [{json.dumps(hook)}]"


def trap_and_function_hooks(port: int) -> str:
    hooks = TRAP.format(event_type=EVENT_TYPE, port=port)
    return "hooks:" + hooks + FUNCTION.format(event_type=EVENT_TYPE, fresh="false") + LISTENER


def table(conf: str) -> HookTable:
    """The hooks in the text of a hooks.conf."""
    read, mistakes = hooks_conf.read(conf, env=os.environ, folder=PROGRAMS)
    if read is None:
        raise ValueError(f"the benchmarks' own hooks.conf is wrong: {mistakes}")
    return read


def call(conf: str, size: int, received_at: float) -> Call:
    """What the dispatcher hands to the action of the only hook in `conf`."""
    notification = payload.decode(text(size))
    hook_context = notification.hook_context()
    (hook,) = table(conf).match(EVENT_TYPE, hook_context, received_at)
    return Call(hook, notification, hook_context, received_at)
