"""What the log is told of a notification, in the same words with a journal and without one.

Owns those lines and what others call a notification; attempt.py has the lines about one hook.
"""

from __future__ import annotations

from listener import log
from listener.delivery import Delivery
from listener.log import loggable
from listener.notification import Notification

_log = log.logger(__name__)


def about_of(notification: Notification, origin: str, entry_id: int = 0) -> str:
    """What further lines call it. `entry_id` is 0 where there is no journal."""
    execution = f"execution {loggable(notification.context.get('execution_id'))}, {origin}"
    return f"{execution}, entry {entry_id}" if entry_id else execution


def tell_unreadable(delivery: Delivery, entry_id: int = 0) -> None:
    entry = f", entry {entry_id}" if entry_id else ""
    _log.error("%s%s: nothing was run: %s", delivery.origin, entry, delivery.problem)


def tell_missing(notification: Notification, about: str) -> None:
    """A WARNING of the fields that it should have, if it lacks some."""
    missing = notification.missing_fields()
    if missing:
        _log.warning("%s: the notification lacks %s", about, ", ".join(missing))


def tell_unmatched(notification: Notification, about: str) -> None:
    _log.info(
        "The hook consumer received `%s` event but didn't find a compatible hook in the"
        " configuration (%s)", loggable(notification.event_type), about
    )  # fmt: skip
