"""The Studio Conductor MIB: its OIDs, and the varbinds of one workflow notification.

Owns the layout that the original puts on the wire (tests/data/golden-traps.json), the MIB's own, and
what becomes of values that the MIB has no room for. The text of the MIB stands in CLOUDIFY-MIB.txt; a
test holds the two together. It sends nothing.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from types import NoneType
from typing import Any

import msgspec

from listener.model.timestamp import unix_seconds
from listener.snmp import ber
from listener.snmp.ber import Oid

ROOT: Oid = (1, 3, 6, 1, 4, 1, 52312, 1)

NOTIFICATIONS: Mapping[str, tuple[str, Oid]] = {
    "workflow_queued": ("cloudifyWorkflowQueued", (*ROOT, 0, 1)),
    "workflow_started": ("cloudifyWorkflowStarted", (*ROOT, 0, 2)),
    "workflow_succeeded": ("cloudifyWorkflowSucceeded", (*ROOT, 0, 3)),
    "workflow_cancelled": ("cloudifyWorkflowCancelled", (*ROOT, 0, 4)),
    "workflow_failed": ("cloudifyWorkflowFailed", (*ROOT, 0, 5)),
}
"""By event type: the notification's name in the MIB and its OID."""

OBJECTS: Mapping[str, Oid] = {
    "cloudifyTimeStamp": (*ROOT, 1, 1),
    "cloudifyDeploymentID": (*ROOT, 1, 2),
    "cloudifyTenantName": (*ROOT, 1, 3),
    "cloudifyWorkflowName": (*ROOT, 1, 4),
    "cloudifyExecutionID": (*ROOT, 1, 5),
    "cloudifyWorkflowParameters": (*ROOT, 1, 6),
    "cloudifyErrorDetails": (*ROOT, 1, 7),
}

SYS_UP_TIME_0: Oid = (1, 3, 6, 1, 2, 1, 1, 3, 0)
SNMP_TRAP_OID_0: Oid = (1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0)

MAX_NAME = 255
"""Bytes in a DisplayString (RFC 2579)."""
MAX_TEXT = 512
"""Bytes in the parameters and in the error details, as the MIB says."""

LAYOUTS = ("conductor", "mib")
"""What the original sends: its order, the objects' own OIDs, texts as they are. Or the MIB's order,
instances (.0), and spaces in place of control characters, which break the lines of a receiver's log."""

_CONTROLS = re.compile(rb"[\0-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]")
"""In UTF-8; U+2028 and U+2029 are line ends, too."""

_TIME_STAMP = "cloudifyTimeStamp"
_ERROR_DETAILS = "cloudifyErrorDetails"
_ORDER: Mapping[str, Sequence[str]] = {  # and the error details last, which only a failed one has
    "conductor": (
        "cloudifyExecutionID",
        "cloudifyWorkflowName",
        "cloudifyTenantName",
        "cloudifyDeploymentID",
        _TIME_STAMP,
        "cloudifyWorkflowParameters",
    ),
    "mib": (
        _TIME_STAMP,
        "cloudifyTenantName",
        "cloudifyDeploymentID",
        "cloudifyWorkflowName",
        "cloudifyExecutionID",
        "cloudifyWorkflowParameters",
    ),
}
_OIDS: Mapping[str, Mapping[str, Oid]] = {
    "conductor": OBJECTS,
    "mib": {name: (*oid, 0) for name, oid in OBJECTS.items()},
}
_TAGS = {name: ber.COUNTER64 if name == _TIME_STAMP else ber.OCTET_STRING for name in OBJECTS}
_HEADS = {
    layout: [(name, ber.Heads(_OIDS[layout][name], _TAGS[name])) for name in (*order, _ERROR_DETAILS)]
    for layout, order in _ORDER.items()
}
_UP_TIME_HEADS = ber.Heads(SYS_UP_TIME_0, ber.TIME_TICKS)
_TRAP_OIDS = {
    event_type: ber.varbind(ber.object_identifier(SNMP_TRAP_OID_0), ber.object_identifier(oid))
    for event_type, (_, oid) in NOTIFICATIONS.items()
}


class Content(msgspec.Struct, frozen=True):
    """What one notification says, whatever the layout.

    `up_time` is the sender's, in hundredths of a second, `time_stamp` the notification's, in seconds.
    `octets` are those of each object's value in BER, by the object's name, no more than it allows.
    """

    event_type: str
    up_time: int
    time_stamp: int
    octets: Mapping[str, bytes]

    @classmethod
    def of(
        cls,
        event_type: str,
        hook_context: Mapping[str, Any],
        text: Any,
        *,
        uptime_s: float,
        received_at: float,
        warn: Callable[[str], None],
    ) -> Content:
        """`text` is the notification's own sentence, the error of a workflow that failed without one.

        `received_at` (Unix time) stands in for a timestamp that cannot be read, with a `warn`ing.
        """
        context = hook_context.get
        time_stamp = _seconds(context("timestamp"), received_at, warn)
        octets = {
            "cloudifyExecutionID": _octets(context("execution_id"), MAX_NAME),
            "cloudifyWorkflowName": _octets(context("workflow_id"), MAX_NAME),
            "cloudifyTenantName": _octets(context("tenant_name"), MAX_NAME),
            "cloudifyDeploymentID": _octets(context("deployment_id"), MAX_NAME),
            _TIME_STAMP: ber.counter64(time_stamp),
            "cloudifyWorkflowParameters": _parameters(context("execution_parameters")),
        }
        if event_type == "workflow_failed":
            octets[_ERROR_DETAILS] = _octets(_error_details(context("arguments"), text), MAX_TEXT)
        return cls(event_type, int(uptime_s * 100), time_stamp, octets)

    def bindings(self, layout: str) -> list[tuple[Oid, Any]]:
        """The variable bindings in one of the LAYOUTS; the value of snmpTrapOID.0 is an OID, too."""
        oids, octets = _OIDS[layout], self._octets_in(layout)
        return [
            (SYS_UP_TIME_0, self.up_time),
            (SNMP_TRAP_OID_0, NOTIFICATIONS[self.event_type][1]),
            *[
                (oids[name], self.time_stamp if name == _TIME_STAMP else octets[name])
                for name, _ in _HEADS[layout][: len(octets)]
            ],
        ]

    def varbinds(self, layout: str) -> bytes:
        """The same, encoded."""
        octets = self._octets_in(layout)
        up_time = ber.time_ticks(self.up_time)
        return b"".join(
            [
                _UP_TIME_HEADS[len(up_time)] + up_time,
                _TRAP_OIDS[self.event_type],
                *[
                    heads[len(octets[name])] + octets[name]
                    for name, heads in _HEADS[layout][: len(octets)]
                ],
            ]
        )

    def _octets_in(self, layout: str) -> Mapping[str, bytes]:
        if layout == "conductor":
            return self.octets
        return {
            name: octets if name == _TIME_STAMP else _CONTROLS.sub(b" ", octets)
            for name, octets in self.octets.items()
        }


def _octets(value: Any, most: int) -> bytes:
    text = value if isinstance(value, str) else _text(value)
    data = text.encode("utf-8", "replace")
    return data if len(data) <= most else cut(data, most)


def _text(value: Any) -> str:
    """A text as it is, nothing as '', anything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def cut(data: bytes, most: int) -> bytes:
    """The first `most` bytes of a text in UTF-8, without half a character at their end."""
    return data[:most].decode("utf-8", "ignore").encode()


def _seconds(timestamp: Any, received_at: float, warn: Callable[[str], None]) -> int:
    seconds = unix_seconds(timestamp)
    if seconds is None:
        warn(f"the timestamp {timestamp!r:.60} cannot be read; the time of receipt is sent instead")
        seconds = int(received_at)
    return max(0, seconds)


def _parameters(parameters: Any) -> bytes:
    """The execution's parameters as json.dumps prints them, or a JSON object that says why not."""
    if not parameters and isinstance(parameters, (dict, NoneType)):
        return b"{}"
    try:
        return _printed(msgspec.json.encode(parameters))
    except (ValueError, OverflowError, RecursionError):  # a lone surrogate, a number of 100 digits
        return _fitting(json.dumps(parameters))


@functools.lru_cache(maxsize=64)
def _printed(encoded: bytes) -> bytes:
    """What is sent of parameters in JSON; all notifications of an execution have the same."""
    if len(encoded) > MAX_TEXT:  # json.dumps makes it no shorter, and takes ten times as long
        return _left_out(len(encoded))
    return _fitting(json.dumps(msgspec.json.decode(encoded)))


def _fitting(text: str) -> bytes:
    return text.encode() if len(text) <= MAX_TEXT else _left_out(len(text))


def _left_out(size: int) -> bytes:
    text = f"the parameters are left out: {size} bytes, at most {MAX_TEXT} fit"
    return json.dumps({"message": text}).encode()


def _error_details(arguments: Any, text: Any) -> str:
    """What a failed workflow says of its failure, at its most telling."""
    error = arguments.get("error") if isinstance(arguments, Mapping) else None
    error = _text(error if error is not None else text)
    if len(error.encode("utf-8", "replace")) > MAX_TEXT:
        return _exception(error) or error
    return error


_TRACEBACK = "Traceback (most recent call last):"


def _exception(error: str) -> str:
    """What stands below the last traceback in a text: the exception and its message; else ''."""
    _, _, traceback = error.rstrip().rpartition(_TRACEBACK)
    lines = traceback.split("\n")
    frames = itertools.takewhile(lambda line: not line or line[0].isspace(), lines)
    return "\n".join(lines[len(list(frames)) :]) if _TRACEBACK in error else ""
