"""A message of the broker becomes the text of a notification, the same in the inbox and in its frame.

Owns the identity of a message that has none of its own. It neither receives nor writes anything;
connection.py makes Messages, writer.py hands them on.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import NamedTuple

from listener.model.delivery import decode
from listener.supervisord.emit import enframe, without_marks

_MOST_BYTES = 65536
"""What a pipe holds: a longer frame comes in pieces, which supervisord may cut. The inbox has it."""

_EMPTY = re.compile(r"\{\s*\}")


class Message(NamedTuple):
    """`tag` is its number in the channel. `frame` is b'' where only the inbox gets the text.

    `key` is what the journal will know it by, None for what is no notification.
    """

    tag: int
    text: str
    frame: bytes
    key: str | None


def read_message(tag: int, body: bytes, message_id: str | bytes | None) -> Message:
    """The message with this body.

    A message_id is its identity, else the digest of the body: a manager's body has its own timestamp
    and token, so that only a redelivery has the same. pika gives bytes where one is not UTF-8.
    """
    text = without_marks(body.decode("utf-8", "backslashreplace").strip("\ufeff \t\r\n"))
    digest = f"amqp-{hashlib.sha256(body).hexdigest()[:32]}"
    known_as = message_id if isinstance(message_id, str) and message_id else digest
    identity = f'"id":{without_marks(json.dumps(known_as))}'
    if text.startswith("{"):
        comma = "" if _EMPTY.match(text) else ","
        # In front, so that an id in the body comes later and counts.
        text = f"{{{identity}{comma}{text[1:]}"
    delivery = decode(text, source="", origin="")
    if not (delivery.problem or delivery.notification.id):  # the body has an id that is no text
        text = f"{text[:-1]},{identity}}}"
        delivery = decode(text, source="", origin="")
    if delivery.problem:
        return Message(tag, text, b"", None)
    frame = enframe(text)
    return Message(tag, text, frame if len(frame) <= _MOST_BYTES else b"", delivery.key)
