"""What came from the broker goes into the inbox, and then to supervisord.

Owns a thread, since the disk and supervisord can keep it waiting while the connection needs its
heartbeats. It speaks with no broker. forwarder.py hands it what came.
"""

from __future__ import annotations

import errno
import itertools
import logging
import threading
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from typing import NamedTuple

from listener.errors import HooksError
from listener.inbox import whole_file
from listener.inbox.folder import FOLDER
from listener.rabbitmq.acknowledgement import WhenKept
from listener.rabbitmq.connection import Connection
from listener.rabbitmq.messages import Message
from listener.supervisord.emit import write

_log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """What one connection has brought at one time, and where it belongs."""

    messages: list[Message]
    connection: Connection
    acknowledgement: WhenKept
    state_dir: str


class Writer:
    """Writes batches in the order in which they are put; frames go to the descriptor `fd`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._batches: SimpleQueue[Batch | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def put(self, batch: Batch) -> None:
        """Write these, unless their connection is over by then: the broker gives them again."""
        self._batches.put(batch)

    def close(self, wait_s: float) -> None:
        """End the thread when it has written what was put, or leave it behind after that time."""
        self._batches.put(None)
        self._thread.join(wait_s)

    def _work(self) -> None:
        is_open = True
        while is_open:
            waiting = [self._batches.get()]
            while not self._batches.empty():
                waiting.append(self._batches.get())
            is_open = None not in waiting
            for batch in _merged(filter(None, waiting)):
                if batch.connection.is_usable:
                    self._write(batch)

    def _write(self, batch: Batch) -> None:
        try:
            for source, messages in itertools.groupby(batch.messages, batch.acknowledgement.source_of):
                whole_file.add(batch.state_dir, source, [message.text for message in messages])
        except OSError as error:
            batch.connection.problem = unwritable(batch.state_dir, error)
            return
        batch.acknowledgement.kept(batch.connection, batch.messages)
        try:
            write(batch.acknowledgement.frames(batch.messages), self._fd, is_in_inbox=True)
        except HooksError as error:
            _log.error("%s", error)


def _merged(batches: Iterable[Batch]) -> Iterator[Batch]:
    """One batch for each connection: what has come while the disk was waited for is written at once."""
    for _, those in itertools.groupby(batches, lambda batch: id(batch.connection)):
        first, *others = those
        messages = itertools.chain(first.messages, *(batch.messages for batch in others))
        yield first._replace(messages=list(messages))


def unwritable(state_dir: str, error: OSError) -> str:
    """What is wrong when nothing can be kept in the inbox."""
    cure = "free disk space" if error.errno in _FULL else _LET_WRITE
    return (
        f"{state_dir}/{FOLDER} cannot be written ({error.strerror}), so messages stay at the broker:"
        f" {cure}"
    )


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_LET_WRITE = "run this as the listener's user, and make it a folder that this user may read and write"
