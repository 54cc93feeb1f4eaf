"""The journal as the owner of the state directory writes it: many entries in one transaction.

A transaction for each step would be a fifth of an event's time. So each step is on record in the redo
log when its method has returned, and goes into the journal with others. Until then a transaction stays
open, which keeps ids from other processes; `commit` ends it, and so does any other use of the journal.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from listener.entry import Entry
from listener.errors import StateError
from listener.journal import COLUMNS, Journal, values_of
from listener.journal_file import JournalFile, NewerSchema
from listener.journal_redo import FILE, RedoLog
from listener.log import PAUSE_S

_MOST_ENTRIES = 64
"""So many go into one transaction, and as many as come within PAUSE_S."""


class OwnedJournal(Journal):
    """One for the process that has the state directory's lock, and no other beside it.

    What an owner before it had only in its redo log is in the journal when this one is first used.
    """

    def __init__(self, folder: str, *, power_safe: bool = False) -> None:
        super().__init__(folder, power_safe=power_safe)
        self._redo = RedoLog(os.path.join(folder, FILE), power_safe=power_safe)
        self._connection: sqlite3.Connection | None = None  # the one that the redo log belongs to
        self._entries: dict[int, Entry] = {}  # in the redo log alone
        self._keys: set[str] = set()  # theirs
        self._absent = ("", "")  # no key from the first on, and before the second, is in the journal
        self._next_id = 0
        self._began_at = 0.0

    @property
    def file(self) -> JournalFile:
        """The journal's file, with all in it that is on record."""
        self.commit()
        return self._file

    def accept(self, entry: Entry) -> int | None:
        with self._file as connection:
            self._recover(connection)
            if not connection.in_transaction:
                self._begin(connection)
            if entry.key is not None and self._has(connection, entry.key):
                return None
            entry = msgspec.structs.replace(entry, id=self._next_id)
            self._redo.append(entry)
            self._next_id += 1
            if entry.key is not None:
                self._keys.add(entry.key)
        self._hold(entry)
        return entry.id

    def save(self, entry: Entry, follow_ups: Sequence[Entry] = ()) -> list[int | None] | None:
        known = self._entries.get(entry.id)
        if known is None or known.is_settled or follow_ups:
            return super().save(entry, follow_ups)
        try:
            self._redo.append((entry.id, entry.state, entry.runs))
        except OSError as error:
            raise self._file.failed(error) from error
        self._hold(entry)
        return []

    def commit(self) -> None:
        """Put into the journal what is in the redo log alone."""
        with self._file as connection:
            self._recover(connection)
            if connection.in_transaction:
                self._commit(connection)

    def let_go(self) -> None:
        """Like `commit`; what goes wrong is told of by the next use, which needs it to go well."""
        with suppress(StateError, NewerSchema):
            self.commit()

    def mend(self) -> str:
        removed = super().mend()
        if not removed and self._connection is not None and not self._redo.is_in_place():
            self._file.close()  # the next use opens the log at its path, too
            removed = self._redo.path
        return removed

    def _recover(self, connection: sqlite3.Connection) -> None:
        """Take in what was left in the redo log: by a process that died, or by an error of this one."""
        if connection is self._connection:
            return
        entries = self._redo.read()
        if entries:
            with self._file.transaction():
                for entry in entries:
                    if entry.id in self._entries:  # the dispatcher knows it by this id
                        behind = 1 + len(self._entries)
                        connection.execute(_MOVE, (behind, entry.id, entry.received_at))
                    _insert_again(connection, entry)
        self._forget()
        self._connection = connection

    def _begin(self, connection: sqlite3.Connection) -> None:
        self._file.begin()
        [newest] = connection.execute("SELECT max(id) FROM entries").fetchone()
        self._next_id = (newest or 0) + 1
        self._began_at = time.monotonic()
        self._absent = "", ""

    def _has(self, connection: sqlite3.Connection, key: str) -> bool:
        """Whether an entry with this key is on record.

        Nobody can add one while the transaction is open, and the keys of events follow each other. So
        the journal is asked for the first key from this one on: those in between are absent, too.
        """
        if key in self._keys:
            return True
        first, end = self._absent
        if first <= key < end:
            return False
        [found] = connection.execute(_FIRST_FROM, (key,)).fetchone()
        self._absent = key, found or _LAST
        return bool(found == key)

    def _hold(self, entry: Entry) -> None:
        self._entries[entry.id] = entry
        if entry.state != "running" and (
            len(self._entries) >= _MOST_ENTRIES or time.monotonic() - self._began_at > PAUSE_S
        ):
            self.commit()

    def _commit(self, connection: sqlite3.Connection) -> None:
        rows = [(entry.id, *values_of(entry)) for entry in self._entries.values()]
        connection.executemany(_INSERT, rows)
        connection.execute("COMMIT")
        self._forget()

    def _forget(self) -> None:
        self._redo.clear()
        self._entries.clear()
        self._keys.clear()


def _insert_again(connection: sqlite3.Connection, entry: Entry) -> None:
    """Insert what the redo log has, unless the transaction was committed before the log was cleared.

    Another process may have inserted since: something else under its id, or the same notification.
    """
    known = connection.execute("SELECT received_at FROM entries WHERE id = ?", (entry.id,)).fetchone()
    if known is None or known[0] != entry.received_at:
        entry_id = entry.id if known is None else None
        connection.execute(_INSERT, (entry_id, *values_of(entry)))


_MOVE = "UPDATE entries SET id = ? + (SELECT max(id) FROM entries) WHERE id = ? AND received_at != ?"
_FIRST_FROM = "SELECT min(key) FROM entries WHERE key >= ?"
_LAST = "\U0010ffff"  # no key that begins with another character comes after it
_PLACES = ", ".join("?" * len(Entry.__struct_fields__))
_INSERT = f"INSERT OR REPLACE INTO entries ({COLUMNS}) VALUES ({_PLACES})"  # noqa: S608 - a constant
