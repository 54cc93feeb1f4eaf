"""One hand-over of a notification: what was handed over, by whom, and how another one is recognised.

Owns the delivery key. It stores nothing and runs nothing; serving.py and the recording make
Deliveries, the dispatcher accepts them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import msgspec

from listener import payload
from listener.entry import Attempt, Entry, EntryState, Run, state_of
from listener.errors import UnreadableNotification
from listener.hooks import HOOK_FAILED
from listener.losses import Serials
from listener.notification import Notification, masked, storable

_NO_NOTIFICATION = Notification("", {})


class Delivery(msgspec.Struct, frozen=True):
    """`text` is the JSON as it came, `origin` is for the log.

    `serials` are None when no supervisord has numbered it: frames that are piped in are never taken
    for redeliveries, unless the notification has an id of its own. `mark` is the key of what is known
    by something else. `problem` tells why it cannot be read; '' when it can.
    """

    notification: Notification
    text: str
    source: str
    origin: str
    serials: Serials | None = None
    problem: str = ""
    mark: str | None = None

    @property
    def key(self) -> str | None:
        """What it is recognised by if it comes again; None when it would not be."""
        number = self.serials and self.serials.event
        if self.notification.id:
            number = storable(self.notification.id)
        return self.mark or (number and f"{number} {_digest(self.text)}")

    @property
    def body(self) -> str:
        """What is kept of the text: all but the rest_token."""
        if self.problem:
            return storable(masked(self.text))
        return without(storable(self.text), rest_token_of(self.notification))


def read(text: str, *, source: str, origin: str, serials: Serials | None = None) -> Delivery:
    """The Delivery of a notification's JSON."""
    try:
        notification = payload.decode(text)
    except UnreadableNotification as error:
        return unreadable(text, str(error), source, origin, serials)
    return Delivery(notification, text, source, origin, serials)


def rest_token_of(notification: Notification) -> str | None:
    """The secret in a notification; None when it has none."""
    token = notification.context.get("rest_token")
    return storable(token) if isinstance(token, str) and token else None


def execution_id_of(notification: Notification) -> str | None:
    """The execution whose hooks run in order; None when it has none."""
    execution_id = notification.context.get("execution_id")
    return storable(execution_id) if isinstance(execution_id, str) else None


def unreadable(text: str, problem: str, source: str, origin: str, serials: Serials | None) -> Delivery:
    """The Delivery of a text that is no notification."""
    return Delivery(_NO_NOTIFICATION, text, source, origin, serials, problem)


def as_entry(delivery: Delivery, now: float, runs: Sequence[Run] | None, key: str | None) -> Entry:
    """The entry for a delivery with these runs; None: they are to be planned by somebody else."""
    notification = delivery.notification
    state: EntryState = "pending" if runs is None else state_of(runs)
    return Entry(
        0,
        now,
        delivery.source,
        "unreadable" if delivery.problem else state,
        delivery.body,
        key,
        delivery.serials and str(delivery.serials),
        storable(notification.event_type) or None,
        execution_id_of(notification),
        rest_token_of(notification),
        tuple(runs or ()),
        delivery.problem,
    )


def hook_failed(
    notification: Notification, hook: str, attempts: Sequence[Attempt], entry_id: int
) -> Delivery:
    """What hooks on hook_failed get: the notification's context, and what has failed for good."""
    context = {
        **notification.context,
        "hook": hook,
        "error": attempts[-1].text or attempts[-1].state,
        "attempts": len(attempts),
    }
    value = {
        "event_type": HOOK_FAILED,
        "context": context,
        "timestamp": notification.timestamp,
        "message": {"text": notification.text, "arguments": notification.arguments},
    }
    found = read(json.dumps(value), source=HOOK_FAILED, origin=f"entry {entry_id}")
    # One for each end of the run, however often the journal has to be asked to keep it.
    return msgspec.structs.replace(found, mark=f"{HOOK_FAILED} {entry_id} {hook} {len(attempts)}")


def without(text: str, token: str | None) -> str:
    """The JSON text without a rest_token, wherever it stands; the key stays, with an empty text."""
    if token is None:
        return text
    literal = f'"{token}"'
    if text.count(token) == text.count(literal) == 1 and "\\u" not in text and "/" not in token:
        return text.replace(literal, '""')
    try:  # it stands there more than once, or may be written with escapes
        value = json.loads(text)
        value = _erased(value, token) if len(token) >= _TELLING else value
        value["context"]["rest_token"] = ""
        return json.dumps(value)
    except RecursionError:  # no workflow nests so deep
        return text.replace(token, "")


_TELLING = 20  # characters, half of what a token has; what is shorter stands in many a text by chance


def _erased(value: Any, token: str) -> Any:
    if isinstance(value, str):
        return value.replace(token, "")
    if isinstance(value, list):
        return [_erased(item, token) for item in value]
    if isinstance(value, dict):
        return {key.replace(token, ""): _erased(item, token) for key, item in value.items()}
    return value


def _digest(text: str) -> str:
    data = text.rstrip().encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=8).hexdigest()
