"""Notifications as supervised programs send them: one frame on stdout, for supervisord to pass on.

Owns the frame's form: what supervisord needs in order to capture it whole. It checks that what is sent
is a notification, and never reads anything. `emit` is the package's interface for Python programs.
"""

from __future__ import annotations

import json
import os
import select
import threading
import uuid
from collections.abc import Mapping
from typing import Any

from listener.errors import HooksError
from listener.inbox import whole_file
from listener.inbox.folder import FOLDER, IN_HOOK
from listener.model.delivery import FROM_HOOK
from listener.model.payload import from_mapping

_BEGIN = b"<!--XSUPERVISOR:BEGIN-->"
_END = b"<!--XSUPERVISOR:END-->"

MIN_FRAME = 140
"""Bytes. Some 500 smaller frames in one pipe make supervisord run out of recursion and go deaf."""

ATOMIC_FRAME = 4096
"""Bytes, PIPE_BUF. Larger frames of several processes on one stdout can get mixed up."""

_turn = threading.RLock()  # a signal's handler may emit, too
# A fork that another thread makes meanwhile would have the lock for ever.
os.register_at_fork(before=_turn.acquire, after_in_parent=_turn.release, after_in_child=_turn.release)


def emit(
    notification: Mapping[str, Any], fd: int = 1, *, durable: bool = False, state_dir: str | None = None
) -> str:
    """Send one notification to supervisord, in one write to `fd` if it fits; return its id.

    The mapping is what Conductor publishes: `event_type`, of any kind, `context`, and what else there
    is; an `id` of its own is added unless it has one. The program needs stdout_capture_maxbytes in its
    section of supervisord's configuration. Waits until all is written, also where `fd` does not block;
    threads take turns. Raises UnreadableNotification for what is no notification, and HooksError for
    what JSON cannot hold, and when it cannot be written.

    `durable` puts it into the listener's inbox first, so that it is acted on even if supervisord or the
    power fails; the program must run as a user that may write there. `state_dir` is the listener's, by
    default $CONDUCTOR_HOOKS_STATE_DIR, else what hooks.conf says. Raises HooksError, and sends nothing,
    when that fails.
    """
    own_id, text = as_json(notification)
    if durable:
        add_to_inbox(text, state_dir)
    write(enframe(text), fd, is_in_inbox=durable)
    return own_id


def as_json(notification: Mapping[str, Any]) -> tuple[str, str]:
    """The id of a notification and its JSON, which ends no frame; raises like `emit`."""
    from_mapping(notification)
    own_id = str(notification.get("id") or uuid.uuid4().hex)
    try:
        text = json.dumps({**notification, "id": own_id}, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise HooksError(f"the notification cannot be written as JSON: {error}") from error
    return own_id, without_marks(text)


def without_marks(text: str) -> str:
    """The same JSON without what would end its frame."""
    return text.replace("<!--XSUPERVISOR:", "\\u003c!--XSUPERVISOR:")


WAKE_UP = "conductor-hooks: read the inbox"
"""In place of a notification, for one that is in the inbox and may be taken out of it again."""


def remote_kind(process: str) -> str:
    """The type of a REMOTE_COMMUNICATION event with a notification for this listener, group:name."""
    return f"conductor-hooks {process}"


def enframe(text: str) -> bytes:
    """The bytes that make supervisord pass on this JSON, which has no marks."""
    data = text.encode("utf-8", "surrogatepass")
    padding = b" " * (MIN_FRAME - len(_BEGIN + data + _END) - 1)
    # The newline pushes the END token out of supervisord, which waits for more after it.
    return _BEGIN + data + padding + _END + b"\n"


def add_to_inbox(text: str, state_dir: str | None = None, config: str | None = None) -> None:
    """Put a notification's JSON into the listener's inbox. Raises HooksError."""
    from listener.hooks.file import state_dir_in  # slow to import, and seldom needed
    from listener.state.directory import path_of

    place = path_of(state_dir, os.environ, lambda: state_dir_in(config, os.environ))
    try:
        whole_file.add(place, FROM_HOOK if IN_HOOK in os.environ else "emit", [text])
    except OSError as error:
        raise HooksError(
            f"the notification was not sent, since it cannot be kept in {place}/{FOLDER}:"
            f" {error.strerror}. A durable emit writes into the listener's state directory"
            " ('listener: state_dir' in hooks.conf, $CONDUCTOR_HOOKS_STATE_DIR): start the listener"
            " once, and run this program as its user"
        ) from error


def write(data: bytes, fd: int, *, is_in_inbox: bool) -> None:
    """Write all of a frame: in one piece wherever the system takes it so. Raises HooksError."""
    try:
        with _turn:
            while data:
                data = data[_written(data, fd) :]
    except OSError as error:
        kept = "; it is in the listener's inbox, which acts on it: do not send it again"
        raise HooksError(
            f"the notification was not sent: {error.strerror}{kept if is_in_inbox else ''}"
        ) from error


def _written(data: bytes, fd: int) -> int:
    """How many bytes are written; 0 after a wait for room in a pipe that does not block."""
    try:
        return os.write(fd, data)
    except BlockingIOError:
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        poll.poll()
        return 0
