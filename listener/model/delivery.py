"""One hand-over of a notification: what was handed over, by whom, and the key that recognises it.

Owns the delivery key. It stores nothing and runs nothing: events.py makes Deliveries, the dispatcher
accepts them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import msgspec

from listener.errors import UnreadableNotification
from listener.model import payload
from listener.model.entry import Attempt, Entry, Run, state_of
from listener.model.notification import (
    HOOK_FAILED,
    HOOK_SUPPRESSED,
    WORKFLOW_OVERDUE,
    Notification,
    iso_time,
    storable,
)
from listener.model.secrets import mask_unreadable, without_token
from listener.model.serials import Serials

FROM_HOOK = "hook"
"""The source of what a hook has emitted itself, durably."""

FROM_BROKER = "rabbitmq"
"""The source of what the forwarder has brought; the broker has it no more."""

SHARED_WITH_BROKER = "rabbitmq-shared"
"""Likewise, of what the broker has, too, until its hooks have ended."""

_CAPTURED = ("supervisord", "recorder")
_NO_NOTIFICATION = Notification("", {})


class Delivery(msgspec.Struct, frozen=True):
    """`text` is the JSON as it came, `origin` is for the log.

    `serials` is None if no supervisord numbered it: what is piped in is never taken for a redelivery,
    unless the notification has an id of its own. `given_key`, if set, replaces the computed key.
    `problem` says why the text cannot be read; '' when it can.
    """

    notification: Notification
    text: str
    source: str
    origin: str
    serials: Serials | None = None
    problem: str = ""
    given_key: str | None = None

    @property
    def key(self) -> str | None:
        """What recognises another hand-over of the same notification; None if nothing does."""
        number = self.serials and self.serials.event
        if self.notification.id:
            number = storable(self.notification.id)
        return self.given_key or (number and f"{number} {_digest(self.text)}")

    @property
    def body(self) -> str:
        """What the journal keeps of the text: all but the rest_token."""
        if self.problem:
            return mask_unreadable(storable(self.text))
        return without_token(storable(self.text), rest_token_of(self.notification))


def decode(text: str, *, source: str, origin: str, serials: Serials | None = None) -> Delivery:
    """The Delivery of a notification's JSON, or of a text that is none."""
    text = text.removeprefix("\ufeff")  # a byte order mark
    try:
        notification = payload.decode(text, is_captured=source in _CAPTURED)
    except UnreadableNotification as error:
        return unreadable(text, str(error), source, origin, serials)
    return Delivery(notification, text, source, origin, serials)


def rest_token_of(notification: Notification) -> str | None:
    """The notification's rest_token; None if it has none."""
    token = notification.context.get("rest_token")
    return storable(token) if isinstance(token, str) and token else None


def execution_id_of(notification: Notification) -> str | None:
    """The notification's execution, whose hooks run in order; None if it has none."""
    execution_id = notification.context.get("execution_id")
    return storable(execution_id) if isinstance(execution_id, str) else None


def unreadable(text: str, problem: str, source: str, origin: str, serials: Serials | None) -> Delivery:
    """The Delivery of a text that is no notification."""
    return Delivery(_NO_NOTIFICATION, text, source, origin, serials, problem)


def as_entry(delivery: Delivery, now: float, runs: Sequence[Run], key: str | None) -> Entry:
    """The new entry for a delivery, with these runs and this key."""
    notification = delivery.notification
    return Entry(
        id=0,
        received_at=now,
        source=delivery.source,
        state="unreadable" if delivery.problem else state_of(runs),
        body=delivery.body,
        key=key,
        serials=delivery.serials and str(delivery.serials),
        event_type=storable(notification.event_type) or None,
        execution_id=execution_id_of(notification),
        rest_token=rest_token_of(notification),
        runs=tuple(runs),
        error=delivery.problem,
    )


def hook_failed(
    notification: Notification, hook: str, attempts: Sequence[Attempt], entry_id: int
) -> Delivery:
    """What hooks on hook_failed get: the notification's context, and which hook failed for good."""
    error = attempts[-1].text or attempts[-1].state
    return _own(
        HOOK_FAILED, notification, f"entry {entry_id}",
        {"hook": hook, "error": error, "attempts": len(attempts)},
    )  # fmt: skip


def workflow_overdue(entry: Entry, overdue_s: float) -> Delivery:
    """What hooks on workflow_overdue get: the context of the start, and since when it has no end.

    `entry` is that of the start.
    """
    said = {"started_at": iso_time(entry.received_at), "overdue_s": round(overdue_s, 3)}
    return _own(WORKFLOW_OVERDUE, payload.decode(entry.body), f"entry {entry.id}", said)


def hook_suppressed(
    hook: str, group: Mapping[str, object], count: int, since: float, until: float
) -> Delivery:
    """What hooks on hook_suppressed get: so many runs of a hook did not begin between two Unix times.

    `group` is the field of the context, with its value, by which the hook's limit is counted.
    """
    times = {"since": iso_time(since), "until": iso_time(until)}
    said = {**group, "hook": hook, "count": count, **times}
    return _own(HOOK_SUPPRESSED, _NO_NOTIFICATION._replace(timestamp=times["until"]), hook, said)


def _own(event_type: str, about: Notification, origin: str, said: Mapping[str, object]) -> Delivery:
    """The Delivery of an event of our own about a notification, with more in its context."""
    value = {
        "event_type": event_type,
        "context": {**about.context, **said},
        "timestamp": about.timestamp,
        "message": {"text": about.text, "arguments": about.arguments},
    }
    return decode(json.dumps(value), source=event_type, origin=origin)


def _digest(text: str) -> str:
    data = text.rstrip().encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=8).hexdigest()
