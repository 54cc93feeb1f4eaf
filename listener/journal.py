"""The journal: what was accepted, what was done about it, what is still to be done.

Owns the rows of one SQLite file in the state directory, and the promise that a row is on record when a
method has returned; journal_file.py and journal_owned.py alone know SQL, too. It runs nothing and never
waits for a file that cannot be written: it raises StateError, and the dispatcher decides. Any process
may open it; SQLite keeps them apart.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from listener.entry import UNSETTLED, Entry, Run
from listener.journal_file import COUNT, NOTABLE, QUIET, JournalFile
from listener.outcome import Tally

FILE = "journal.db"
DURABILITY = "durability"
"""The note of the listener's setting, for whoever else writes."""
SERIALS = "serials"
"""The note of the last event that has no entry of its own, as `last_serials` are an entry's."""
DROPPABLE = ("pending", "failed", "interrupted", "unreadable")
_PRUNED_AT_ONCE = 200
COLUMNS = ", ".join(Entry.__struct_fields__)
_RUNS = msgspec.json.Decoder(tuple[Run, ...])


class Filters(NamedTuple):
    """Which entries are wanted; what is empty lets all pass. `since` is Unix time."""

    states: tuple[str, ...] = ()
    event_type: str = ""
    execution_id: str = ""
    since: float = 0.0

    def let_pass(self, entry: Entry) -> bool:
        """Whether an entry is wanted."""
        return (
            (not self.states or entry.state in self.states)
            and (not self.event_type or entry.event_type == self.event_type)
            and (not self.execution_id or entry.execution_id == self.execution_id)
            and entry.received_at >= self.since
        )


class Journal:
    """The journal of one state directory. `power_safe`: every commit outlives a loss of power, too.

    Opened when first used, and again after an error. Methods raise StateError.
    """

    def __init__(self, folder: str, *, power_safe: bool = False) -> None:
        self._file = JournalFile(os.path.join(folder, FILE), power_safe=power_safe)

    @property
    def file(self) -> JournalFile:
        """The journal's file."""
        return self._file

    def open(self) -> None:
        """Make or open the file. Raises NewerSchema, too, which only an upgrade ends."""
        with self.file:
            return

    def accept(self, entry: Entry) -> int | None:
        """Store a new entry and return its id; None when one with its key is there already."""
        with self.file.transaction() as connection:
            return _insert(connection, entry)

    def accept_all(
        self, entries: Iterable[Entry], note: tuple[str, str] | None = None
    ) -> list[int | None]:
        """Like `accept` for each, and `note`, in one transaction."""
        with self.file.transaction() as connection:
            if note is not None:
                connection.execute(_NOTE, note)
            return [_insert(connection, entry) for entry in entries]

    _SAVE = (
        "UPDATE entries SET state = ?, rest_token = ?, runs = ? WHERE id = ? AND received_at = ?"
        " AND state IN ('pending', 'running')"
    )  # in a journal that was made anew meanwhile, another entry can have the id

    def save(self, entry: Entry, follow_ups: Sequence[Entry] = ()) -> list[int | None] | None:
        """Record what became of an unsettled entry, and accept what follows from it: their ids.

        None, and nothing is recorded, when it is no longer unsettled: somebody has dropped it.
        """
        values = (
            entry.state,
            None if entry.is_settled else entry.rest_token,
            _encoded(entry.runs),
            entry.id,
            entry.received_at,
        )
        with self.file.transaction() as connection:
            if not connection.execute(self._SAVE, values).rowcount:
                return None
            return [_insert(connection, follow_up) for follow_up in follow_ups]

    def find(self, key: str) -> Entry | None:
        """The entry with this key."""
        return next(self._select("key = ?", key), None)

    def has_other(self, number: str, entry_id: int) -> bool:
        """Whether another entry than this one has the same number in its key, and another digest."""
        query = "SELECT key FROM entries WHERE key > ? AND key < ? AND id != ?"
        with self.file as connection:
            rows = connection.execute(query, (f"{number} ", f"{number}!", entry_id))
            return any(key.rpartition(" ")[0] == number for (key,) in rows)

    def get(self, entry_id: int) -> Entry | None:
        """The entry with this id."""
        return next(self._select("id = ?", entry_id), None)

    def is_changed(self) -> bool:
        """Whether another process has written to it since this was last asked."""
        with self.file:
            return self.file.is_changed()

    def mend(self) -> str:
        """The file that had been removed, '' if none was; all that was in it is in a new one now."""
        if self.file.was_removed():
            self.file.restore()
            return self.file.path
        with self.file:
            return f"{self.file.path}-wal" if self.file.mend_wal() else ""

    def unsettled(self) -> list[Entry]:
        """All that is pending or running, the oldest first."""
        return list(self._select(f"{NOTABLE} AND state IN ('pending', 'running') ORDER BY id"))

    def _select(self, condition: str, *values: object) -> Iterator[Entry]:
        with self.file as connection:
            query = f"SELECT {COLUMNS} FROM entries WHERE {condition}"  # noqa: S608 - constants
            for row in connection.execute(query, values):
                yield _entry(row)

    def newest(self, filters: Filters, limit: int) -> list[Entry]:
        """The entries that pass all filters, newest first, at most `limit`."""
        is_state = f"state IN ({', '.join('?' for _ in filters.states)})"
        if QUIET.isdisjoint(filters.states):
            is_state = f"{NOTABLE} AND {is_state}"
        conditions = {
            is_state: filters.states,
            "event_type = ?": filters.event_type and (filters.event_type,),
            "execution_id = ?": filters.execution_id and (filters.execution_id,),
            "received_at >= ?": filters.since and (filters.since,),
        }
        used = {condition: values for condition, values in conditions.items() if values}
        values = itertools.chain(*used.values(), (limit,))
        return list(self._select(f"{' AND '.join(used) or '1'} ORDER BY id DESC LIMIT ?", *values))

    def after(self, entry_id: int) -> list[Entry]:
        """Some entries with a higher id, the oldest first; [] when there are none."""
        return list(self._select("id > ? ORDER BY id LIMIT 1000", entry_id))

    def reopen(self, settled: Entry, runs: tuple[Run, ...]) -> bool:
        """Make a settled entry pending, with these runs; whether it still was as it had been read."""
        with self.file.transaction() as connection:
            row = connection.execute(
                "SELECT state, received_at, runs FROM entries WHERE id = ?", (settled.id,)
            ).fetchone()
            known = settled.state, settled.received_at, settled.runs
            if row is None or (*row[:2], _RUNS.decode(row[2])) != known:
                return False
            query = "UPDATE entries SET state = 'pending', runs = ? WHERE id = ?"
            connection.execute(query, (_encoded(runs), settled.id))
            return True

    _DROP = (
        "UPDATE entries SET state = 'dropped', rest_token = NULL WHERE id = ?"
        " AND state IN ('pending', 'failed', 'interrupted', 'unreadable')"  # DROPPABLE
    )

    def drop(self, entry_id: int) -> bool:
        """Give an entry up; whether there was anything to give up."""
        with self.file.transaction() as connection:
            return connection.execute(self._DROP, (entry_id,)).rowcount == 1

    def last_serials(self) -> str | None:
        """The serials of the newest entry that supervisord has numbered."""
        query = "SELECT serials FROM entries WHERE serials IS NOT NULL ORDER BY id DESC LIMIT 1"
        with self.file as connection:
            row = connection.execute(query).fetchone()
            return row and str(row[0])

    def note(self, name: str, value: str) -> None:
        """Keep a small text under a name; another one of that name is replaced."""
        with self.file.transaction() as connection:
            connection.execute(_NOTE, (name, value))

    def noted(self, name: str) -> str | None:
        """The text kept under a name."""
        with self.file as connection:
            row = connection.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
            return row and str(row[0])

    def count(self, tallies: Mapping[str, Tally]) -> None:
        """Add to what was counted for each destination. An error does not prove that it has not."""
        with self.file.transaction() as connection:
            connection.executemany(COUNT, [(name, *each) for name, each in tallies.items()])

    def tallies(self) -> dict[str, Tally]:
        """What was ever counted, by destination."""
        with self.file as connection:
            rows = connection.execute("SELECT * FROM destinations ORDER BY name")
            return {name: Tally(*numbers) for name, *numbers in rows}

    def prune(self, after: int, *, older_than: float, keep: int) -> int:
        """Delete settled entries that are older than that Unix time or beyond the newest `keep`.

        Looks at a few of those with an id above `after`; returns the `after` to go on with, 0 when
        the rest is to be kept.
        """
        with self.file as connection:
            [newest] = connection.execute("SELECT max(id) FROM entries").fetchone()
            rows = connection.execute(
                "SELECT id, received_at, state FROM entries WHERE id > ? ORDER BY id LIMIT ?",
                (after, _PRUNED_AT_ONCE),
            ).fetchall()
            old = [row for row in rows if row[1] < older_than or row[0] <= newest - keep]
            # The newest one stays, or its id would be given once more.
            ids = [(row[0],) for row in old if row[2] not in UNSETTLED and row[0] != newest]
            if ids:
                with self.file.transaction():
                    connection.executemany("DELETE FROM entries WHERE id = ?", ids)
            return old[-1][0] if old and len(old) == _PRUNED_AT_ONCE else 0


def values_of(entry: Entry) -> tuple[Any, ...]:
    """The entry's row, without its id."""
    return (
        entry.received_at, entry.source, entry.state, entry.body, entry.key, entry.serials,
        entry.event_type, entry.execution_id, None if entry.is_settled else entry.rest_token,
        _encoded(entry.runs), entry.error,
    )  # fmt: skip


def _insert(connection: sqlite3.Connection, entry: Entry) -> int | None:
    cursor = connection.execute(_INSERT, values_of(entry))
    return cursor.lastrowid if cursor.rowcount else None


_NOTE = "INSERT INTO notes VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_INSERT = (
    "INSERT OR IGNORE INTO entries (received_at, source, state, body, key, serials, event_type,"
    " execution_id, rest_token, runs, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def _encoded(runs: tuple[Run, ...]) -> str:
    return msgspec.json.encode(runs).decode()


def _entry(row: Sequence[Any]) -> Entry:
    values: list[Any] = [*row[:-2], _RUNS.decode(row[-2]), row[-1]]
    return Entry(*values)
