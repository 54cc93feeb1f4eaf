"""The journal's redo log: what the owner of the journal has done since its last commit.

Owns the file and the form of a record. It survives the death of any process as soon as `append` has
returned, and costs a tenth of a transaction. journal_owned.py alone works with it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import msgspec

from listener.entry import Entry, EntryState, Run
from listener.state_dir import open_file

_log = logging.getLogger(__name__)

FILE = "journal.db-redo"

Step = tuple[int, EntryState, tuple[Run, ...]]
"""What became of an entry: its id, its state and its runs."""

_encode = msgspec.json.Encoder().encode
_RECORD = msgspec.json.Decoder(Entry | Step)


class RedoLog:
    """One file of lines, each an Entry as it was accepted (a JSON object) or a Step (an array).

    `power_safe`: a record outlives a loss of power, too. Methods raise OSError.
    """

    def __init__(self, path: str, *, power_safe: bool = False) -> None:
        self._path = path
        self._power_safe = power_safe
        self._fd = -1

    def append(self, record: Entry | Step) -> None:
        """Put a record behind the others. After an error they have to be read again, and cleared."""
        line = _encode(record) + b"\n"
        while line:
            line = line[os.write(self._fd, line) :]
        if self._power_safe:
            os.fdatasync(self._fd)

    def clear(self) -> None:
        """Forget all records."""
        os.ftruncate(self._fd, 0)

    def read(self) -> list[Entry]:
        """Open the file that is at its path now; the entries in it, each as its last record left it."""
        self.close()
        self._fd = open_file(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        entries: dict[int, Entry] = {}
        for record in self._records():
            if isinstance(record, Entry):
                entries[record.id] = record
            elif record[0] in entries:
                entry_id, state, runs = record
                entry = entries[entry_id]
                entries[entry_id] = msgspec.structs.replace(entry, state=state, runs=runs)
        return list(entries.values())

    def _records(self) -> Iterator[Entry | Step]:
        """All that are whole: who was killed while he wrote the last one has not begun with it."""
        with open(self._fd, "rb", closefd=False) as file:
            *lines, _ = file.read().split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                yield _RECORD.decode(line)
            except msgspec.MsgspecError as error:  # a loss of power can leave anything there
                _log.error("%s: line %d cannot be read and is left out: %s", self._path, number, error)

    def close(self) -> None:
        """Safe to call twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
