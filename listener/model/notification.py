"""A workflow notification, as Studio Conductor publishes it.

Owns the names that Conductor uses: its event types, the fields of a notification's context, and the
hook context that functions are called with. It reads no JSON and does no I/O; payload.py makes
Notifications.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

EVENT_TYPES = (
    "workflow_queued",
    "workflow_started",
    "workflow_succeeded",
    "workflow_failed",
    "workflow_cancelled",
)
"""All that Conductor publishes; a resumed execution publishes workflow_started again."""

STARTED = "workflow_started"
ENDED = ("workflow_succeeded", "workflow_failed", "workflow_cancelled")

HOOK_FAILED = "hook_failed"
"""The last attempt of a hook failed."""
HOOK_SUPPRESSED = "hook_suppressed"
"""Runs of a hook were above its limit (`at_most`), and are no more."""
WORKFLOW_OVERDUE = "workflow_overdue"
"""An execution was started, and has had no end for as long as a hook says (`after`)."""
OWN_EVENT_TYPES = (HOOK_FAILED, HOOK_SUPPRESSED, WORKFLOW_OVERDUE)
"""The listener makes these itself. Only hooks that name them get them."""

CONTEXT_FIELDS: Mapping[str, type] = {
    "message_type": str,
    "is_system_workflow": bool,
    "blueprint_id": str,
    "deployment_id": str,
    "execution_id": str,
    "workflow_id": str,
    "tenant_name": str,
    "event_type": str,
    "timestamp": str,
}
"""The fields of a hook context that hold one value each, with its type; any of them may be None."""

HOOK_FAILED_FIELDS: Mapping[str, type] = {"hook": str, "error": str, "attempts": int}
"""What the context of a hook_failed has besides: which hook, why, after how many attempts."""

OWN_FIELDS: Mapping[str, Collection[str]] = {
    HOOK_FAILED: HOOK_FAILED_FIELDS,
    HOOK_SUPPRESSED: ("hook", "count", "since", "until"),
    WORKFLOW_OVERDUE: ("started_at", "overdue_s"),
}
"""What the context of each of our own events has besides."""

_EXPECTED_FIELDS = dict.fromkeys(("execution_id", "workflow_id", "tenant_name", "deployment_id"))
"""What every notification of Conductor's has in its context (deployment_id may be None)."""


_FIRST, _LAST = -62_135_596_800, 253_402_300_799


def iso_time(seconds: float) -> str:
    """The Unix time in UTC, as Conductor writes it; of one outside the years 1 to 9999, their end."""
    moment = datetime.fromtimestamp(min(max(seconds, _FIRST), _LAST), timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def short_time(seconds: float) -> str:
    """The Unix time in UTC, to the second, as a person reads it: 2026-01-31 23:59:59Z."""
    return iso_time(seconds)[:19].replace("T", " ") + "Z"


def storable(text: str) -> str:
    """The text as UTF-8 can hold it: half a surrogate pair, which JSON can bring, is written out."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


class Notification(NamedTuple):
    """One notification: `event_type` and `context` are always there, anything else may be None.

    `timestamp`, `text` and `arguments` hold whatever stood there, of whatever JSON type.
    """

    event_type: str
    context: Mapping[str, Any]
    timestamp: Any = None
    text: Any = None
    arguments: Any = None
    id: str | None = None

    def hook_context(self) -> dict[str, Any]:
        """What a hook's function gets as its first argument: a new dict, the original's exactly.

        The message's context without `tenant`, plus tenant_name, event_type, timestamp and
        arguments (None where the notification has none). It holds the rest_token: never log it.
        """
        context = dict(self.context)
        tenant = context.pop("tenant", None)
        if isinstance(tenant, dict):
            context["tenant_name"] = tenant.get("name", context.get("tenant_name"))
        else:
            context.setdefault("tenant_name", None)
        context["event_type"] = self.event_type
        context["timestamp"] = self.timestamp
        context["arguments"] = self.arguments
        return context

    def missing_fields(self) -> list[str]:
        """The fields that Conductor always sends and this notification of it lacks."""
        if self.event_type in OWN_EVENT_TYPES:
            return []
        context = self.context
        missing = _EXPECTED_FIELDS.keys() - context.keys()
        if "tenant_name" in missing and isinstance(context.get("tenant"), dict):
            missing.remove("tenant_name")
        return [field for field in _EXPECTED_FIELDS if field in missing] if missing else []
