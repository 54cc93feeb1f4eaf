"""The listener's way of reading the inbox.

Owns which files are there, how far each was read, and which can go. It never writes a record and never
decides what becomes of one. events.py alone calls it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from listener.inbox.folder import FOLDER, NAME, UNFINISHED
from listener.inbox.record import decode
from listener.inbox.runs import is_alive
from listener.state.directory import open_regular

_log = logging.getLogger(__name__)

_CHUNK_BYTES = 65536
_BATCH = 1000
_ABANDONED_S = 3600.0
"""A writer that still lives has finished its file long before."""


class Record(NamedTuple):
    """An event that supervisord recorded, or a notification.

    Of an event, `source` is "recorder", `run` and `serial` are those of supervisord, and `payload` is
    that of a Frame. Of a notification, `source` names its writer, `run` is '', and `payload` is JSON.
    """

    source: str
    run: str
    serial: int
    payload: str


class _File:
    """One file while it is read."""

    def __init__(self, path: str, source: str, run: str) -> None:
        self.path = path
        self.run = run
        self.is_final = not run  # it does not grow any more
        self.is_read = False  # nothing more comes from it
        self.is_damaged = False
        self.offset = 0  # of what is no complete record yet
        self._data = bytearray()  # which was read from there
        self._source = source
        self._fd = -1

    def read(self) -> list[Record]:
        """The next complete records; [] when there are none now. Raises OSError."""
        found: list[Record] = []
        while not found and not self.is_read:
            if self._fd < 0:
                self._fd = open_regular(self.path, os.O_RDONLY)
            if data := os.read(self._fd, _CHUNK_BYTES):
                self._data += data
                found = self._complete()
            elif self.is_final:
                self.is_read = True
                self.is_damaged = bool(self._data)
            else:
                break
        if self.is_read:
            self.close()
        return found

    def _complete(self) -> list[Record]:
        """The records that are complete by now.

        What follows damage is not read: a writer whose write fails begins another file.
        """
        found: list[Record] = []
        position = 0
        try:
            while record := decode(self._data, position):
                serial, payload, position = record
                found.append(Record(self._source, self.run, serial, payload))
        except ValueError:
            self.is_read = self.is_damaged = True
        del self._data[:position]
        self.offset += position
        return found

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


class InboxReader:
    """Reads the inbox of a state directory while others write to it; it need not be there yet.

    Without `with_events` it leaves alone what supervisord records. A new reader gives again what is
    still there: the caller must recognise what it has stored.
    """

    def __init__(self, state_dir: str, *, with_events: bool = True) -> None:
        self.state_dir = state_dir
        self._folder = os.path.join(state_dir, FOLDER)
        self._with_events = with_events
        self._names: list[str] = []
        self._files: dict[str, _File] = {}
        self._reported: set[str] = set()
        self._is_unreadable = False

    def read_new(self) -> Iterator[list[Record]]:
        """The records that were not given before, in order, about a thousand at a time."""
        self._list()
        batch: list[Record] = []
        for file in self._files.values():
            while records := self._read(file):
                batch += records
                if len(batch) >= _BATCH:
                    yield batch
                    batch = []
        if batch:
            yield batch

    def discard(self) -> None:
        """Remove the files from which nothing more comes; call it when all that was given is stored.

        A damaged file is renamed instead.
        """
        for name, file in list(self._files.items()):
            if not file.is_read:
                continue
            if file.is_damaged:
                self._report(
                    f"{file.path}, byte {file.offset}: no complete record stands there, as if the disk"
                    " had been full or the writer killed; what follows is not acted on. The file is"
                    " kept with '.damaged' behind its name: look at it, then delete it"
                )
            try:
                if file.is_damaged:
                    os.rename(file.path, f"{file.path}.damaged")
                else:
                    os.unlink(file.path)
            except FileNotFoundError:
                del self._files[name]  # its writer has removed it meanwhile
            except OSError as error:
                self._report(
                    f"{file.path} cannot be removed after it was read ({error.strerror}); give its"
                    " folder to the listener's user"
                )
            else:
                del self._files[name]

    def close(self) -> None:
        """Close what is open. If it is read again, everything that is still there comes once more."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._names = []

    def _read(self, file: _File) -> list[Record]:
        try:
            return file.read()
        except FileNotFoundError:
            return []  # its writer has removed it
        except OSError as error:
            self._report(
                f"{file.path} cannot be read ({error.strerror}): what is in it is not acted on; give"
                " it to the listener's user, or remove it"
            )
            return []

    def _list(self) -> None:
        """Find the files that are there now, and which of them will not grow."""
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            names = []  # nothing has come in yet
        except OSError as error:
            self._is_unreadable = True
            self._report(
                f"{self._folder} cannot be read ({error.strerror}): what comes in there is not acted"
                " on; make it a folder that the listener's user may read and write"
            )
            return
        if self._is_unreadable:
            self._is_unreadable = False
            self._reported.clear()  # what is wrong again is told again
            _log.warning("%s can be read again: what has come in there is acted on", self._folder)
        if names == self._names:
            return
        self._names = names
        for name in filter(UNFINISHED.fullmatch, names):
            self._remove_if_abandoned(os.path.join(self._folder, name))
        known, self._files = self._files, {}
        for match in filter(None, map(NAME.fullmatch, sorted(names))):
            name, run = match[0], match["run"] or ""
            if not run or self._with_events:
                new = _File(os.path.join(self._folder, name), match["source"] or "recorder", run)
                self._files[name] = known.pop(name, new)
        for vanished in known.values():
            vanished.close()
        newest = {file.run: file for file in self._files.values()}
        for file in self._files.values():
            file.is_final = file.is_final or file is not newest[file.run] or not is_alive(file.run)

    def _remove_if_abandoned(self, path: str) -> None:
        """Its writer was killed before it could report that the notifications are in the inbox."""
        with suppress(OSError):
            if time.time() - os.lstat(path).st_mtime > _ABANDONED_S:
                os.unlink(path)

    def _report(self, problem: str) -> None:
        """Log what a person should know, once."""
        if problem not in self._reported:
            self._reported.add(problem)
            _log.error("%s", problem)
