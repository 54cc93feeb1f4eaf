"""A file that grows with each record, from its making inside supervisord to its last sync.

Owns the descriptor and the syncs, which have a thread of their own. It never decides what is written,
nor when a file is full. The recorder writes through `fd`.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread

from listener.inbox.folder import FOLDER, events_name, new_file, next_number, opened

SYNC_EVERY_S = 0.2
"""What was written longer ago than this, and the time of a sync, outlives a loss of power.

Four times as many syncs cost supervisord 1 to 2 % of the events that it gets through."""


class GrowingFile:
    """`size` counts complete records only. Everything but `sync` is for supervisord's thread."""

    def __init__(self, fd: int, path: str, number: int) -> None:
        self.fd = fd
        self.path = path
        self.number = number
        self.size = 0
        self.is_dirty = False  # a sync is still to come
        self.is_retired = False  # nothing more will be written
        self.is_synced = False  # for the last time
        self.sync_error = ""
        self._identity = _identity(os.fstat(fd))

    def is_in_place(self) -> bool:
        """Whether what is written will be found under its path."""
        try:
            return _identity(os.stat(self.path, follow_symlinks=False)) == self._identity
        except OSError:
            return False

    def is_open(self) -> bool:
        """Whether the descriptor is still this file's: a reload closes those from 5 on under us."""
        try:
            return _identity(os.fstat(self.fd)) == self._identity
        except OSError:
            return False

    def close(self) -> None:
        if self.is_open():
            os.close(self.fd)

    def remove(self) -> None:
        """Close it and leave nothing of it."""
        self.close()
        with suppress(FileNotFoundError):
            os.unlink(self.path)

    def sync(self) -> None:
        """For the thread. What is written from here on asks for another sync."""
        self.is_dirty = False
        is_last = self.is_retired
        try:
            os.fdatasync(self.fd)
        except OSError as error:
            self.sync_error = error.strerror or str(error)
        self.is_synced = is_last


def create(state_dir: str, run: str, after: int) -> GrowingFile:
    """Make a run's next file; its number is above `after`. Raises OSError, as without `state_dir`."""
    with opened(state_dir) as folder:
        number = max(after + 1, next_number(os.listdir(folder)))
        name = events_name(number, run)
        fd = new_file(folder, name)
    return GrowingFile(fd, os.path.join(state_dir, FOLDER, name), number)


class Syncer:
    """A thread that syncs files a little after they were written, started when it is first asked to."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[GrowingFile | None] | None = None

    def ask(self, file: GrowingFile) -> None:
        """Sync a file soon."""
        if self._asked is None:
            asked: SimpleQueue[GrowingFile | None] = SimpleQueue()
            Thread(target=_sync, args=(asked,), name="conductor_hooks", daemon=True).start()
            self._asked = asked
        file.is_dirty = True
        self._asked.put(file)  # of all queues, this one never waits for its reader

    def stop(self) -> None:
        """End the thread when it has done what it was asked for."""
        if self._asked is not None:
            self._asked.put(None)
            self._asked = None


def _sync(asked: SimpleQueue[GrowingFile | None]) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are supervisord's
    while (file := asked.get()) is not None:
        time.sleep(SYNC_EVERY_S)
        file.sync()


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
