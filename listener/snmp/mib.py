"""The Studio Conductor MIB: its OIDs, and the varbinds of one workflow notification.

Owns the layout that the original puts on the wire (tests/data/golden-traps.json), the MIB's own, and
what becomes of values that the MIB has no room for. The text of the MIB stands in CLOUDIFY-MIB.txt; a
test holds the two together. It sends nothing.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping
from datetime import date
from types import NoneType
from typing import Any

import msgspec

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

TIME_STAMP: Oid = (*ROOT, 1, 1)
DEPLOYMENT_ID: Oid = (*ROOT, 1, 2)
TENANT_NAME: Oid = (*ROOT, 1, 3)
WORKFLOW_NAME: Oid = (*ROOT, 1, 4)
EXECUTION_ID: Oid = (*ROOT, 1, 5)
WORKFLOW_PARAMETERS: Oid = (*ROOT, 1, 6)
ERROR_DETAILS: Oid = (*ROOT, 1, 7)

OBJECTS: Mapping[str, Oid] = {
    "cloudifyTimeStamp": TIME_STAMP,
    "cloudifyDeploymentID": DEPLOYMENT_ID,
    "cloudifyTenantName": TENANT_NAME,
    "cloudifyWorkflowName": WORKFLOW_NAME,
    "cloudifyExecutionID": EXECUTION_ID,
    "cloudifyWorkflowParameters": WORKFLOW_PARAMETERS,
    "cloudifyErrorDetails": ERROR_DETAILS,
}

SYS_UP_TIME_0: Oid = (1, 3, 6, 1, 2, 1, 1, 3, 0)
SNMP_TRAP_OID_0: Oid = (1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0)

MAX_NAME = 255
"""Bytes in a DisplayString (RFC 2579)."""
MAX_TEXT = 512
"""Bytes in the parameters and in the error details, as the MIB says."""

LAYOUTS = ("conductor", "mib")
"""What the original sends: its order, the objects' own OIDs. Or the MIB's order, and instances (.0)."""

_ORDER = {
    "conductor": (
        EXECUTION_ID, WORKFLOW_NAME, TENANT_NAME, DEPLOYMENT_ID, TIME_STAMP, WORKFLOW_PARAMETERS
    ),
    "mib": (
        TIME_STAMP, TENANT_NAME, DEPLOYMENT_ID, WORKFLOW_NAME, EXECUTION_ID, WORKFLOW_PARAMETERS
    ),
}  # fmt: skip
_name = {
    "conductor": {oid: ber.object_identifier(oid) for oid in OBJECTS.values()},
    "mib": {oid: ber.object_identifier((*oid, 0)) for oid in OBJECTS.values()},
}
_SYS_UP_TIME = ber.object_identifier(SYS_UP_TIME_0)
_trap_oid = {
    event_type: ber.varbind(ber.object_identifier(SNMP_TRAP_OID_0), ber.object_identifier(oid))
    for event_type, (_, oid) in NOTIFICATIONS.items()
}


def values(
    event_type: str,
    hook_context: Mapping[str, Any],
    text: Any,
    *,
    received_at: float,
    warn: Callable[[str], None],
) -> dict[Oid, bytes]:
    """The encoded value of each object that the notification has.

    `text` is the notification's own sentence, the error of a workflow that failed without saying
    why. `received_at` (Unix time) stands in for a timestamp that cannot be read, with a `warn`ing.
    """
    context = hook_context.get
    found = {
        EXECUTION_ID: _text_value(context("execution_id"), MAX_NAME),
        WORKFLOW_NAME: _text_value(context("workflow_id"), MAX_NAME),
        TENANT_NAME: _text_value(context("tenant_name"), MAX_NAME),
        DEPLOYMENT_ID: _text_value(context("deployment_id"), MAX_NAME),
        TIME_STAMP: _timestamp_value(context("timestamp"), received_at, warn),
        WORKFLOW_PARAMETERS: _text_value(_parameters(context("execution_parameters")), MAX_TEXT),
    }
    if event_type == "workflow_failed":
        found[ERROR_DETAILS] = _text_value(_error_details(context("arguments"), text), MAX_TEXT)
    return found


def varbinds(
    event_type: str, values: Mapping[Oid, bytes], layout: str, *, uptime_s: float
) -> list[bytes]:
    """The encoded varbinds of one notification, in one of the LAYOUTS.

    Raises KeyError for an event type that the MIB has no notification for.
    """
    name = _name[layout]
    bindings = [
        ber.varbind(_SYS_UP_TIME, ber.time_ticks(int(uptime_s * 100))),
        _trap_oid[event_type],
        *[ber.varbind(name[oid], values[oid]) for oid in _ORDER[layout]],
    ]
    if ERROR_DETAILS in values:
        bindings.append(ber.varbind(name[ERROR_DETAILS], values[ERROR_DETAILS]))
    return bindings


def _text_value(value: Any, most: int) -> bytes:
    data = _text(value).encode("utf-8", "replace")
    return ber.octet_string(data if len(data) <= most else cut(data, most))


def _text(value: Any) -> str:
    """A text as it is, nothing as '', anything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def cut(data: bytes, most: int) -> bytes:
    """The first `most` bytes of a text in UTF-8, without half a character at their end."""
    return data[:most].decode("utf-8", "ignore").encode()


def _timestamp_value(timestamp: Any, received_at: float, warn: Callable[[str], None]) -> bytes:
    seconds = unix_seconds(timestamp)
    if seconds is None:
        warn(f"the timestamp {timestamp!r:.60} cannot be read; the time of receipt is sent instead")
        seconds = int(received_at)
    return ber.counter64(max(0, seconds))


_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ]([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d|60)(?:[.,]\d+)?)?"
    r" ?(?:[Zz]|([+-])([01]\d|2[0-3]):?([0-5]\d)?)?",
    re.ASCII,
)


def unix_seconds(timestamp: Any) -> int | None:
    """Whole seconds since 1970, negative before it; None when the timestamp cannot be read.

    Understands RFC 3339 and what Conductor makes of it: no seconds, no fraction, one of any length,
    an offset, or none, which means UTC.
    """
    match = _TIMESTAMP.fullmatch(timestamp) if isinstance(timestamp, str) else None
    if match is None:
        return None
    year, month, day, hour, minute, second, sign, hours, minutes = match.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    # Second 60 is a leap second, which Unix time does not count.
    seconds = days * 86_400 + int(hour) * 3600 + int(minute) * 60 + min(int(second or 0), 59)
    offset = int(hours or 0) * 3600 + int(minutes or 0) * 60
    return seconds + offset if sign == "-" else seconds - offset


_EPOCH_DAY = date(1970, 1, 1).toordinal()


def _parameters(parameters: Any) -> str:
    """The execution's parameters as json.dumps prints them, or a JSON object that says why not."""
    if not parameters and isinstance(parameters, (dict, NoneType)):
        return "{}"
    size = _compact_size(parameters)
    if size <= MAX_TEXT:
        text = json.dumps(parameters)
        size = len(text)  # json.dumps writes ASCII: characters are bytes
        if size <= MAX_TEXT:
            return text
    return json.dumps({"message": f"the parameters are left out: {size} bytes, at most {MAX_TEXT} fit"})


def _compact_size(value: Any) -> int:
    """The bytes of the shortest JSON, for a tenth of json.dumps's time; 0 when there is none."""
    try:
        return len(msgspec.json.encode(value))
    except (ValueError, OverflowError, RecursionError):  # a lone surrogate, a number of 100 digits
        return 0


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
