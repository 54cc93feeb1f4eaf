"""Notifications that are handed to the listener as one file, which is complete or not there.

Owns the order of writing, syncing and naming. It never changes a file that has its name, and never
waits for the listener. A durable `emit` makes one for each notification.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from listener.inbox.folder import new_file, next_number, notifications_name, opened
from listener.inbox.record import encode

_PROBED_BYTES = 65536


def add(state_dir: str, source: str, notifications: Iterable[str]) -> None:
    """Put notifications, JSON each, into the inbox; when this returns, they outlive a loss of power.

    `source` is what the history shows. A notification without an `id` of its own may be acted on twice,
    if the listener is killed. Raises OSError when they are not in the inbox.
    """
    data = b"".join(encode(serial, each) for serial, each in enumerate(notifications))
    with opened(state_dir) as folder:
        _write(folder, notifications_name(next_number(os.listdir(folder)), source), data)


def probe(state_dir: str) -> None:
    """Raise OSError when nothing can be added now. A full disk is one when something is written."""
    with opened(state_dir) as folder:
        name = f"probe-{os.urandom(8).hex()}"
        _write(folder, name, bytes(_PROBED_BYTES))
        os.unlink(name, dir_fd=folder)


def _write(folder: int, name: str, data: bytes) -> None:
    """Make the file with all of its data, or nothing."""
    unfinished = f".{name}"
    fd = new_file(folder, unfinished)
    try:
        with open(fd, "wb") as file:
            # Where a group may write to the folder, the listener can read what a member of it writes.
            os.fchmod(fd, 0o600 | os.fstat(folder).st_mode & 0o060)
            file.write(data)
            file.flush()
            os.fdatasync(fd)
        os.rename(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(unfinished, dir_fd=folder)
        raise
    os.fsync(folder)  # or a loss of power could take the name
