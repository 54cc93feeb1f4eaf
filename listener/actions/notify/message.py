"""What a notification says to a person, where the hook does not say it.

Owns the title and the body that are made from a notification, and whether it is good news. It knows no
service. action.py calls it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from listener.model.notification import HOOK_FAILED, Notification

_MOST_OF_TEXT = 1000
"""Characters: chats refuse a message of 2000. The end is kept, where a traceback has its exception."""

_KINDS = {
    "workflow_succeeded": "success",
    "workflow_cancelled": "warning",
    "workflow_failed": "failure",
    HOOK_FAILED: "failure",
}
_IN_TITLE = ("workflow_id", "deployment_id", "tenant_name")
_IN_BODY = {
    "deployment_id": "deployment",
    "tenant_name": "tenant",
    "workflow_id": "workflow",
    "execution_id": "execution",
    "timestamp": "time",
    "hook": "hook",
}


def kind_of(event_type: str) -> str:
    """Apprise's word for it, which many services show as a colour."""
    return _KINDS.get(event_type, "info")


def default_title(event_type: str, context: Mapping[str, Any]) -> str:
    """`workflow_failed: install, nodecellar, acme`; what is absent is left out."""
    about = ", ".join(str(context[field]) for field in _IN_TITLE if context.get(field))
    return ": ".join(filter(None, (event_type, about)))


def default_body(notification: Notification, context: Mapping[str, Any]) -> str:
    """A line for each field that is there, and the error last. `context` is the hook context."""
    fields: dict[str, Any] = {"event": notification.event_type}
    fields |= {word: context.get(field) for field, word in _IN_BODY.items()}
    last = "error" if kind_of(notification.event_type) == "failure" else "message"
    fields[last] = _last(notification, context)
    return "\n".join(f"{word}: {value}" for word, value in fields.items() if value)


def _last(notification: Notification, context: Mapping[str, Any]) -> str:
    """A hook's error, a workflow's, or the sentence that Conductor publishes with every event."""
    arguments = notification.arguments if isinstance(notification.arguments, Mapping) else {}
    text = str(context.get("error") or arguments.get("error") or notification.text or "")
    return text if len(text) <= _MOST_OF_TEXT else f"…{text[1 - _MOST_OF_TEXT :]}"
