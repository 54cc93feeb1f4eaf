"""The built-in `cloudify.snmp.snmp_trap.send_snmp_trap`: one SNMPv2c trap for a notification.

Owns the inputs that a hook gives it. The varbinds are made in snmp/mib.py, the message in
snmp/ber.py, and snmp/sender.py sends it; nothing here waits for a receiver.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from listener.actions import Call, Fault
from listener.errors import ActionFailed
from listener.hooks import ANY_EVENT, Hook
from listener.located import nearest
from listener.snmp import ber, mib
from listener.snmp.sender import TrapSender, shown

NAME = "cloudify.snmp.snmp_trap.send_snmp_trap"

_log = logging.getLogger(__name__)


class SnmpTrapAction:
    """Sends traps. `started_at` is the monotonic moment that sysUpTime counts from.

    `request_id` gives a new number from 0 to 2**31 - 1 for each message.
    """

    def __init__(self, started_at: float, request_id: Callable[[], int]) -> None:
        self._started_at = started_at
        self._request_id = request_id
        self._sender = TrapSender()

    def run(self, call: Call) -> str:
        event_type = call.notification.event_type
        if event_type not in mib.NOTIFICATIONS:
            raise ActionFailed(
                f"the MIB has no trap for {event_type!r:.60}; it has: {', '.join(mib.NOTIFICATIONS)}"
            )
        target, faults = _read_inputs(call.hook.inputs)
        if target is None:
            raise ActionFailed("; ".join(fault.reason for fault in faults))
        varbinds = mib.varbinds(
            event_type,
            call.hook_context,
            call.notification.text,
            received_at=call.received_at,
            uptime_s=time.monotonic() - self._started_at,
            warn=lambda text: _log.warning("hook %s: %s", call.hook.name, text),
        )
        message = ber.trap_v2c(target.community, self._request_id(), varbinds)
        self._sender.send(message, target.host, target.port)
        return f"sent to {shown(target.host, target.port)}"

    def check(self, hook: Hook, *, may_import: bool) -> list[Fault]:
        faults = _read_inputs(hook.inputs)[1]
        faults += [
            Fault(None, f"the MIB has no trap for the event type {event_type!r}", is_certain=False)
            for event_type in hook.event_types
            if event_type not in mib.NOTIFICATIONS and event_type != ANY_EVENT
        ]
        return faults

    def close(self) -> None:
        """Close the sockets. Safe to call twice."""
        self._sender.close()


class _Target(NamedTuple):
    host: str
    port: int
    community: bytes


_INPUTS = ("destination_address", "destination_port", "community_string")


def _read_inputs(inputs: Mapping[str, Any]) -> tuple[_Target | None, list[Fault]]:
    """Where to send, or every reason why that cannot be told."""
    faults = [
        Fault(name, f"unknown input {name!r}; {nearest(name, _INPUTS)}")
        for name in inputs
        if name not in _INPUTS
    ]
    faults += [
        Fault(None, f"the input {name!r} is missing; add it") for name in _INPUTS if name not in inputs
    ]
    host: Any = inputs.get("destination_address")
    port: Any = inputs.get("destination_port")
    community: Any = inputs.get("community_string")
    if isinstance(port, str) and port.isascii() and port.isdigit() and len(port) < 6:
        port = int(port)
    if not isinstance(host, str) or not host:
        faults += _wrong(inputs, "destination_address", "a name or an address")
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
        faults += _wrong(inputs, "destination_port", "from 1 to 65535")
    if not isinstance(community, str):
        hint = "a text; write it in quotes, or take it from a !file, which always gives text"
        faults += _wrong(inputs, "community_string", hint, is_secret=True)
    if faults:
        return None, faults
    # The environment hands on bytes that are not UTF-8 as lone surrogates.
    return _Target(host, port, community.encode("utf-8", "surrogateescape")), []


def _wrong(
    inputs: Mapping[str, Any], name: str, expected: str, *, is_secret: bool = False
) -> list[Fault]:
    """The fault of an input that is there; one that is missing has been told of already."""
    if name not in inputs:
        return []
    found = "" if is_secret else f", found {inputs[name]!r:.60}"
    return [Fault(name, f"{name!r} must be {expected}{found}")]
