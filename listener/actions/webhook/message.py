"""The request of one attempt: an event or the hook's own body, its id, its signature.

Owns the forms that others have defined: CloudEvents 1.0 in JSON, structured mode; Standard Webhooks;
the header Idempotency-Key. It sends nothing; action.py does, through client.py.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

import listener
from listener.actions import Call
from listener.actions.webhook.inputs import Webhook
from listener.model.delivery import execution_id_of, rest_token_of
from listener.model.secrets import forms, mask
from listener.model.timestamp import unix_seconds

_EVENT = "application/cloudevents+json"
_YEAR_9999 = 253_370_764_800
"""Unix time; a time zone may move a later one out of what a datetime can be."""


class Request(NamedTuple):
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


def request_of(webhook: Webhook, call: Call, now: float) -> Request:
    """What to send for this call; `now` is Unix time. No rest_token is in it."""
    content_type, text, message_id = webhook.content_type, webhook.body, _id(call)
    if text is None:
        content_type, text = _EVENT, _as_json(_event(call, message_id))
    token = rest_token_of(call.notification)
    body = mask(text, forms((token,)) if token else ()).encode()
    headers = {"user-agent": f"conductor-hooks/{listener.__version__}", "idempotency-key": message_id}
    if content_type:
        headers["content-type"] = content_type
    headers |= webhook.headers
    if webhook.secret:
        headers |= _signed(webhook.secret, message_id, int(now), body)
    return Request(webhook.method, webhook.url, headers, body)


def _id(call: Call) -> str:
    """The same for the same notification and hook, also after a restart and on another host.

    A notification without an id and a timestamp is known by the time at which it was received.
    """
    notification = call.notification
    is_known = bool(notification.id or notification.timestamp)
    received_at = None if is_known else call.received_at
    value = (call.hook.name, notification.id, _data(call), notification.text, received_at)
    text = json.dumps(value, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _data(call: Call) -> dict[str, Any]:
    return {name: value for name, value in call.hook_context.items() if name != "rest_token"}


def _event(call: Call, message_id: str) -> dict[str, Any]:
    """A CloudEvent. Its source is the tenant, not this host: another host may send the same event."""
    tenant = call.hook_context.get("tenant_name")
    seconds = unix_seconds(call.notification.timestamp)
    if seconds is None or not 0 <= seconds < _YEAR_9999:
        seconds = int(call.received_at)
    event = {
        "specversion": "1.0",
        "id": message_id,
        "source": "/conductor" + (f"/tenants/{quote(str(tenant), safe='')}" if tenant else ""),
        "type": f"com.cloudify.{call.notification.event_type}",
        "time": datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "datacontenttype": "application/json",
        "data": _data(call),
    }
    execution_id = execution_id_of(call.notification)
    return {**event, "subject": execution_id} if execution_id else event


def _as_json(event: dict[str, Any]) -> str:
    """Python programs print NaN, which is no JSON: null then."""
    try:
        return json.dumps(event, allow_nan=False)
    except ValueError:
        return msgspec.json.encode(event).decode()


def _signed(secret: bytes, message_id: str, now: int, body: bytes) -> dict[str, str]:
    content = f"{message_id}.{now}.".encode() + body
    signature = base64.b64encode(hmac.digest(secret, content, "sha256")).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(now),
        "webhook-signature": f"v1,{signature}",
    }
