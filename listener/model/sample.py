"""A notification that is made up, as Conductor or the listener would publish it.

Owns its sensible fields. It sends nothing. The verbs make one for an event type, and the tests of
hooks.conf for each case.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from listener.errors import HooksError
from listener.model.notification import HOOK_SUPPRESSED, WORKFLOW_OVERDUE

_CONTEXT: Mapping[str, Any] = {
    "message_type": "hook",
    "is_system_workflow": False,
    "blueprint_id": "sample-blueprint",
    "deployment_id": "sample-deployment",
    "execution_id": "",
    "workflow_id": "install",
    "tenant_name": "default_tenant",
    "execution_parameters": {},
}
_OWN: Mapping[str, Mapping[str, Any]] = {
    WORKFLOW_OVERDUE: {"started_at": "2026-01-31T21:59:59.123Z", "overdue_s": 7200.0},
    HOOK_SUPPRESSED: {
        "hook": "sample-hook",
        "count": 25,
        "since": "2026-01-31T21:59:59.123Z",
        "until": "2026-01-31T22:04:59.123Z",
    },
}
"""What the context has, too, where the listener makes the event itself."""


def sample(event_type: str, values: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """A notification with sensible made-up fields, `values` put over them.

    `values` may have any field of a notification's context, execution_parameters, and `text`,
    `error` and `timestamp`. Raises HooksError for another one.
    """
    own = _OWN.get(event_type, {})
    context = {**_CONTEXT, "execution_id": str(uuid.uuid4()), **own}
    known = (*context, "text", "error", "timestamp")
    for name in values:
        if name not in known:
            raise HooksError(f"a notification has no field {name!r}; known are: {', '.join(known)}")
    context |= {name: values[name] for name in context if name in values}
    context["tenant"] = {"name": context["tenant_name"]}
    stamp = now.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "type": "cloudify_event",
        "event_type": event_type,
        "context": context,
        "message": {
            "text": values.get("text", f"made up: {event_type}"),
            "arguments": {"error": values["error"]} if "error" in values else None,
        },
        "timestamp": values.get("timestamp", stamp),
        "message_code": None,
    }
