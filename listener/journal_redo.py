"""The journal's redo log: what the owner of the journal has done since its last commit.

Owns the file and the form of a record. It survives the death of any process as soon as `append` has
returned, and costs a tenth of a transaction. journal_owned.py alone works with it.
"""

from __future__ import annotations

import logging
import mmap
import os
from collections.abc import Iterator

import msgspec

from listener.entry import Entry, EntryState, Run
from listener.state_dir import open_file

_log = logging.getLogger(__name__)

FILE = "journal.db-redo"

Step = tuple[int, EntryState, tuple[Run, ...]]
"""What became of an entry: its id, its state and its runs."""

_NEWLINE = 0x0A
_ROOM = 1 << 18
"""Bytes; the file has a multiple of it. 64 entries seldom need more."""

_encode = msgspec.json.Encoder().encode
_RECORD = msgspec.json.Decoder(Entry | Step)


class RedoLog:
    """One file of lines, each an Entry as it was accepted (a JSON object) or a Step (an array).

    NULs fill it up, as it is mapped into memory: there a record takes a third of a write's time.
    `power_safe`: a record outlives a loss of power, too. Methods raise OSError.
    """

    def __init__(self, path: str, *, power_safe: bool = False) -> None:
        self.path = path
        self._power_safe = power_safe
        self._fd = -1
        self._memory = mmap.mmap(-1, 1)  # of no file yet
        self._end = 0  # of the lines
        self._damaged = b""  # what was kept and told of already

    def append(self, record: Entry | Step) -> None:
        """Put a record behind the others. After an error all others are there still."""
        line = _encode(record)
        newline = self._end + len(line)
        if newline >= len(self._memory):
            self._memory = _mapped(self._fd, newline)
        self._memory[self._end : newline] = line
        self._memory[newline] = _NEWLINE  # at last: without it, this is no record
        self._end = newline + 1
        if self._power_safe:
            os.fdatasync(self._fd)

    def is_in_place(self) -> bool:
        """Whether the file that is open is the one at its path."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._fd))
        except OSError:
            return False

    def clear(self) -> None:
        """Forget all records."""
        self._memory[: self._end] = bytes(self._end)
        self._end = 0

    def read(self) -> list[Entry]:
        """Open the file that is at its path now; the entries in it, each as its last record left it.

        After an error the one that was open before still is.
        """
        fd = open_file(self.path, os.O_RDWR | os.O_CREAT)
        try:
            with open(fd, "rb", closefd=False) as file:
                content = file.read().rstrip(b"\0")
            memory = _mapped(fd, len(content))
        except BaseException:
            os.close(fd)
            raise
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._memory, self._end = fd, memory, len(content)
        entries: dict[int, Entry] = {}
        for record in self._records(content):
            if isinstance(record, Entry):
                entries[record.id] = record
            elif record[0] in entries:
                entry_id, state, runs = record
                entry = entries[entry_id]
                entries[entry_id] = msgspec.structs.replace(entry, state=state, runs=runs)
        return list(entries.values())

    def _records(self, content: bytes) -> Iterator[Entry | Step]:
        """All that are whole: who was killed while he wrote the last one has not begun with it."""
        if content.startswith(b"\0"):  # and who was killed while he cleared it needs none of them
            return
        problem = ""
        *lines, _ = content.split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                yield _RECORD.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:  # power loss leaves anything
                problem = problem or f"line {number} cannot be read ({error})"
        if problem and content != self._damaged:
            self._keep_damaged(content, problem)
            self._damaged = content

    def _keep_damaged(self, content: bytes, problem: str) -> None:
        kept = f"{self.path}.damaged"
        with open(open_file(kept, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "wb") as file:
            file.write(content)
        _log.error(
            "%s: %s; the other lines are taken in, and all of them are in %s: see there what was not"
            " done, then delete it", self.path, problem, kept,
        )  # fmt: skip


def _mapped(fd: int, size: int) -> mmap.mmap:
    """So many bytes of a file in memory, and some more.

    They are written first: what does not fit the disk is an error here, and a fatal signal there.
    """
    size += _ROOM - size % _ROOM
    while (written := os.fstat(fd).st_size) < size:
        os.pwrite(fd, bytes(size - written), written)
    return mmap.mmap(fd, size)


def has_records(path: str) -> bool:
    """Whether there is anything in the redo log at this path. Raises OSError."""
    with open(path, "rb") as file:
        return file.read(1) not in (b"", b"\0")
