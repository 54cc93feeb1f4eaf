"""One file of recorded events, from its making inside supervisord to its last sync.

Owns the descriptor, whom the file belongs to, and the syncs, which have a thread of their own. It never
decides what is written, nor when a file has become too old for it. recorder.py writes through `fd`.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread

from listener.recording import FOLDER, file_name, next_number

SYNC_EVERY_S = 0.2
"""What was written longer ago than this, and the time of a sync, outlives a loss of power.

Four times as many syncs cost supervisord 1 to 2 % of the events that it gets through."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class EventFile:
    """`size` is that of the whole records in it. Everything but `sync` is for supervisord's thread."""

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

    def discard(self) -> None:
        """Close it and leave nothing of it."""
        self.close()
        if self.is_in_place():
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


def create(state_dir: str, run: str, number: int | None) -> EventFile:
    """Make a run's next file, and the folder, if need be. What root makes gets `state_dir`'s owner.

    `number` is None when the run has none yet. Raises OSError, as when `state_dir` is not there.
    """
    directory = os.open(state_dir, _DIRECTORY)
    try:
        owner = os.fstat(directory)
        with suppress(FileExistsError):
            os.mkdir(FOLDER, 0o700, dir_fd=directory)
        # Its owner can put anything in its place: a link must not lead root astray.
        folder = os.open(FOLDER, _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    finally:
        os.close(directory)
    try:
        _give(folder, owner)
        if number is None:
            number = next_number(os.listdir(folder))
        name = file_name(number, run)
        fd = os.open(name, _NEW_FILE, 0o600, dir_fd=folder)
    finally:
        os.close(folder)
    _give(fd, owner)
    return EventFile(fd, os.path.join(state_dir, FOLDER, name), number)


class Syncer:
    """A thread that syncs files a little after they were written, started when it is first asked to."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[EventFile | None] | None = None

    def ask(self, file: EventFile) -> None:
        """Have it synced. Without a thread to be had that is left to the kernel."""
        if self._asked is None:
            asked: SimpleQueue[EventFile | None] = SimpleQueue()
            try:
                Thread(target=_sync, args=(asked,), name="conductor_hooks", daemon=True).start()
            except RuntimeError:
                file.is_synced = file.is_retired
                return
            self._asked = asked
        file.is_dirty = True
        self._asked.put(file)  # of all queues, this one never waits for its reader

    def stop(self) -> None:
        """End the thread when it has done what it was asked for."""
        if self._asked is not None:
            self._asked.put(None)
            self._asked = None


def _sync(asked: SimpleQueue[EventFile | None]) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are supervisord's
    while (file := asked.get()) is not None:
        time.sleep(SYNC_EVERY_S)
        file.sync()


def _give(fd: int, owner: os.stat_result) -> None:
    if os.geteuid() == 0 and os.fstat(fd).st_uid != owner.st_uid:
        os.fchown(fd, owner.st_uid, owner.st_gid)


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
