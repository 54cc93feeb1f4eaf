"""The text of a payload becomes a Notification.

Owns how a notification's JSON is read, and the reasons why a payload is no notification. It stores and
logs nothing; delivery.py calls it for what arrives, job.py for what is stored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from listener.errors import UnreadableNotification
from listener.model.notification import Notification
from listener.model.secrets import mask_unreadable

_OBJECT = (dict, Mapping)  # a dict, which JSON gives, is found in no time
_SHOWN = 80
_LOOKED_AT = 400


def decode(text: str, *, is_captured: bool = False) -> Notification:
    """Read the JSON text of one notification.

    Raises UnreadableNotification, with the likely cause and what to do about it. Only
    `event_type` (a text) and `context` (a mapping) are required.
    """
    return from_mapping(read_json(text, is_captured=is_captured))


def from_mapping(value: Any) -> Notification:
    """The Notification in a value that JSON gave. Raises UnreadableNotification."""
    if not isinstance(value, _OBJECT):
        raise UnreadableNotification(
            f"the payload is JSON but no notification: expected an object, found {_shown(value)}"
        )
    event_type = value.get("event_type")
    if not isinstance(event_type, str) or not event_type:
        raise UnreadableNotification(
            f"the payload is no notification: 'event_type' must be a text, found {_shown(event_type)}"
            f" in {_shown(value)}"
        )
    context = value.get("context")
    if not isinstance(context, _OBJECT):
        raise UnreadableNotification(
            f"the payload is no notification: 'context' must be an object, found {_shown(context)}"
            f" in {_shown(value)}"
        )
    message = value.get("message")
    if not isinstance(message, dict):
        message = {}
    own_id = value.get("id")
    return Notification(
        event_type,
        context,
        value.get("timestamp"),
        message.get("text"),
        message.get("arguments"),
        own_id if isinstance(own_id, str) and own_id else None,
    )


def read_json(text: str, *, is_captured: bool = False) -> Any:
    """The JSON value in `text`. Raises UnreadableNotification, with the likely cause.

    `is_captured`: it comes from a program's output, where supervisord can have cut it.

    msgspec is fast; what it refuses, the standard library tries: Python programs print NaN and lone
    surrogates and call it JSON.
    """
    try:
        return msgspec.json.decode(text)
    except UnicodeError as error:
        raise UnreadableNotification(f"the payload is not UTF-8: {shorten(text)}") from error
    except (msgspec.DecodeError, RecursionError):
        return _read_json_leniently(text, is_captured)


def _read_json_leniently(text: str, is_captured: bool) -> Any:
    if not text.strip():
        raise UnreadableNotification("the payload is empty")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableNotification(
            f"the payload is not JSON ({error}); {_cause(text, error, is_captured)}"
        ) from error


def _cause(text: str, error: Exception, is_captured: bool) -> str:
    """The likely cause why a payload is not JSON, with what to do."""
    if text.startswith("Undecodable: "):  # how supervisord begins what is not UTF-8
        return f"the program wrote bytes that are not UTF-8: {shorten(text)}"
    if "<!--XSUPERVISOR:BEGIN-->" in text:
        return (
            "another frame begins inside it: several processes share that stdout; keep their frames at"
            f" 4096 bytes or less, each in one write; it begins {shorten(text)}"
        )
    is_cut = not text.lstrip().startswith("{") or "Extra data" in str(error)
    if is_cut and is_captured:
        return (
            "its head may have been cut off: raise stdout_capture_maxbytes of the program that"
            f" wrote it above its largest notification; it begins {shorten(text)}"
        )
    return f"it begins {shorten(text)} and ends {shorten(text, from_end=True)}"


def shorten(text: str, *, from_end: bool = False) -> str:
    """At most 80 characters of `text`, quoted and on one line; what may be a secret is left out."""
    part = text[-_LOOKED_AT:] if from_end else text[:_LOOKED_AT]
    masked = mask_unreadable(part)
    if len(masked) > _SHOWN:
        masked = "…" + masked[-_SHOWN:] if from_end else masked[:_SHOWN] + "…"
    return repr(masked)


def _shown(value: Any) -> str:
    """A value of JSON, as `shorten` shows texts, but in no quotes of its own."""
    try:
        return shorten(repr(value))[1:-1]
    except RecursionError:
        return "something nested too deep to be shown"
