"""The journal: what was accepted, what was done about it, what is still to be done.

Owns the promise that a row is on record when a method has returned. Its statements of SQL are in
statements.py, the schema is in database.py. It runs no hook. The dispatcher writes it; the verbs read
it beside a listener, and SQLite keeps the processes apart.
"""

from __future__ import annotations

import functools
import itertools
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Concatenate, ParamSpec, TypeVar, cast

import msgspec

from listener.model.entry import UNSETTLED, Entry, Run
from listener.model.outcome import Tally
from listener.state import statements
from listener.state.database import IN_MEMORY, NOTABLE, Database
from listener.state.filters import Filters
from listener.state.hold import Hold
from listener.state.rows import Milestone, as_row, from_row, runs_column
from listener.state.totals import Totals, totals

FILE = "journal.db"
SERIALS = "serials"
"""The note of the last event that has no entry of its own, as `last_serials` are an entry's."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _held(method: Callable[Concatenate[Journal, _P], _T]) -> Callable[Concatenate[Journal, _P], _T]:
    """A method that a Journal with a Hold tries again until it succeeds."""

    @functools.wraps(method)
    def held(self: Journal, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        if self._hold is None:
            return method(self, *args, **kwargs)
        return self._hold(lambda: method(self, *args, **kwargs))

    return cast("Callable[Concatenate[Journal, _P], _T]", held)


class Journal:
    """The journal of one state directory; without a `folder` it is in memory, for this process alone.

    `power_safe`: every commit outlives a loss of power, too. With a `hold` every method waits while the
    journal cannot be written; without one it raises StateError. The file is opened when it is first
    used, and again after an error. Every method is safe to repeat after an error, but for `count`.
    """

    def __init__(
        self, folder: str | None, *, power_safe: bool = False, hold: Hold | None = None
    ) -> None:
        path = IN_MEMORY if folder is None else os.path.join(folder, FILE)
        self._database = Database(path, power_safe=power_safe, is_owner=hold is not None)
        self._hold = hold

    def close(self) -> None:
        """Safe to call twice; the next use opens it again."""
        self._database.close()

    @_held
    def accept(self, entry: Entry) -> int | None:
        """Store a new entry and return its id; None when an earlier one has its key.

        The same key and time of receipt give the same id again.
        """
        # a statement alone is a transaction
        with self._database.transaction() if entry.notes else self._database as connection:
            return _accept(connection, entry)

    @_held
    def accept_all(
        self, entries: Iterable[Entry], note: tuple[str, str] | None = None
    ) -> list[int | None]:
        """Like `accept` for each, and `note`, in one transaction."""
        with self._database.transaction() as connection:
            if note is not None:
                connection.execute(statements.NOTE, note)
            return [_accept(connection, entry) for entry in entries]

    @_held
    def save(self, entry: Entry, follow_ups: Sequence[Entry] = ()) -> list[int | None] | None:
        """Record what became of an unsettled entry, and accept what follows from it: their ids.

        None, and nothing is recorded, when it is no longer unsettled: another process has dropped it.
        The time of receipt counts, too: in a journal that was made anew meanwhile another entry can
        have the id.
        """
        row = as_row(entry)
        with self._database.transaction() if follow_ups else self._database as connection:
            is_saved = connection.execute(statements.SAVE, row).rowcount
            if not is_saved and connection.execute(statements.IS_SAVED, row).fetchone() is None:
                return None
            return [_accept(connection, follow_up) for follow_up in follow_ups]

    @_held
    def find(self, key: str) -> Entry | None:
        """The entry with this key."""
        return next(iter(self._all("key = ?", key)), None)

    @_held
    def get(self, entry_id: int) -> Entry | None:
        """The entry with this id."""
        return next(iter(self._all("id = ?", entry_id)), None)

    @_held
    def has_other(self, number: str, entry_id: int) -> bool:
        """Whether another entry than this one has the same number in its key, and another digest."""
        query = "SELECT key FROM entries WHERE key > ? AND key < ? AND id != ?"
        with self._database as connection:
            rows = connection.execute(query, (f"{number} ", f"{number}!", entry_id))
            return any(row["key"].rpartition(" ")[0] == number for row in rows)

    @_held
    def is_changed(self) -> bool:
        """Whether another process has written to it since this was last asked."""
        return self._database.is_changed()

    def renew_if_removed(self) -> str:
        """Close the file if it was removed, so that the next use begins a new one.

        Returns what is lost, in words; '' when nothing was removed.
        """
        if lost := self._database.removal():
            self._database.close()
        return lost

    @_held
    def totals(self, now: float) -> Totals:
        """How many entries there are in which state, and what is noteworthy among them."""
        with self._database as connection:
            return totals(connection, now)

    @_held
    def unsettled(self) -> list[Entry]:
        """All that is pending or running, the oldest first."""
        return self._all(f"{NOTABLE} AND state IN ('pending', 'running') ORDER BY id")

    @_held
    def newest(self, filters: Filters, limit: int) -> list[Entry]:
        """The entries that pass all filters, newest first, at most `limit`."""
        condition, values = filters.condition()
        return self._all(f"{condition} ORDER BY id DESC LIMIT ?", *values, limit)

    @_held
    def events(self, limit: int) -> list[Entry]:
        """The newest entries of events that came from elsewhere, oldest first, at most `limit`."""
        return self._all(statements.EVENTS, limit)[::-1]

    @_held
    def after(self, entry_id: int) -> list[Entry]:
        """Some entries with a higher id, the oldest first; [] when there are none."""
        return self._all("id > ? ORDER BY id LIMIT 1000", entry_id)

    @_held
    def before(self, entry_id: int) -> list[Entry]:
        """Some entries with a lower id, the newest first; [] when there are none."""
        return self._all("id < ? ORDER BY id DESC LIMIT 1000", entry_id)

    def _all(self, condition: str, *values: object) -> list[Entry]:
        with self._database as connection:
            query = f"SELECT * FROM entries WHERE {condition}"  # noqa: S608 - constants
            return list(map(from_row, connection.execute(query, values)))

    @_held
    def reopen(self, settled: Entry, runs: tuple[Run, ...]) -> bool:
        """Make a settled entry pending, with these runs; whether it still was as it had been read."""
        values = {**as_row(settled), "new_runs": runs_column(runs)}
        with self._database as connection:
            return connection.execute(statements.REOPEN, values).rowcount == 1

    @_held
    def drop(self, entry_id: int) -> bool:
        """Give an entry up; whether there was anything to give up."""
        with self._database as connection:
            return connection.execute(statements.DROP, (entry_id,)).rowcount == 1

    @_held
    def withdraw(self, source: str, why: str) -> tuple[int, list[int]]:
        """Drop all entries of a source that no hook has begun; the same message makes a new entry then.

        Returns how many these were, and the ids of its other unsettled ones.
        """
        with self._database.transaction() as connection:
            entries = list(map(from_row, connection.execute(statements.UNSETTLED_OF, (source,))))
            fresh = [entry.id for entry in entries if entry.is_fresh]
            connection.executemany(statements.WITHDRAW, [(why, entry_id) for entry_id in fresh])
            return len(fresh), [entry.id for entry in entries if not entry.is_fresh]

    @_held
    def settled(self, keys: Sequence[str]) -> list[str]:
        """Those of these keys whose entries have nothing left to do."""
        condition = f"key IN ({', '.join('?' for _ in keys)}) AND state NOT IN {UNSETTLED}"
        return [str(entry.key) for entry in self._all(condition, *keys)]

    @_held
    def last_serials(self) -> str | None:
        """The serials of the newest entry that supervisord has numbered."""
        with self._database as connection:
            row = connection.execute(statements.LAST_SERIALS).fetchone()
            return row and str(row["serials"])

    @_held
    def note(self, name: str, value: str) -> None:
        """Keep a small text under a name; another one of that name is replaced."""
        with self._database as connection:
            connection.execute(statements.NOTE, (name, value))

    @_held
    def forget(self, names: Iterable[str]) -> None:
        """Remove the texts kept under these names."""
        with self._database.transaction() as connection:
            connection.executemany(statements.FORGET, [(name,) for name in names])

    @_held
    def noted(self, name: str) -> str | None:
        """The text kept under a name."""
        with self._database as connection:
            row = connection.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
            return row and str(row["value"])

    @_held
    def noted_as(self, name: str, kind: type[_T]) -> _T | None:
        """The value kept as JSON under a name."""
        with self._database:
            text = self.noted(name)
            return None if text is None else msgspec.json.decode(text, type=kind)

    @_held
    def all_noted_as(self, prefix: str, kind: type[_T]) -> dict[str, _T]:
        """The values kept as JSON under the names that begin so."""
        with self._database as connection:
            rows = connection.execute(statements.NOTES, (prefix,)).fetchall()
            return {row["name"]: msgspec.json.decode(row["value"], type=kind) for row in rows}

    @_held
    def last_before(self, moment: float) -> int:
        """The id of the newest entry that was received before this Unix time; 0 if there is none."""
        with self._database as connection:
            row = connection.execute(statements.LAST_BEFORE, (moment,)).fetchone()
            return row["id"] if row else 0

    @_held
    def milestones(self, after: int) -> list[Milestone]:
        """Some starts and ends of executions with a higher id, the oldest first; [] for none."""
        with self._database as connection:
            return list(map(Milestone._make, connection.execute(statements.MILESTONES, (after,))))

    @_held
    def count(self, tallies: Mapping[str, Tally], at: float) -> None:
        """Add to what was counted for each destination, the last at this Unix time.

        Repeated after an error, it may count twice.
        """
        if tallies:
            with self._database.transaction() as connection:
                rows = [
                    {"name": name, **tally._asdict(), "sent_at": at if tally.sent else 0.0}
                    for name, tally in tallies.items()
                ]
                connection.executemany(statements.COUNT, rows)

    @_held
    def tallies(self) -> dict[str, Tally]:
        """What was ever counted, by destination."""
        with self._database as connection:
            rows = connection.execute("SELECT * FROM destinations ORDER BY name")
            return {row["name"]: Tally(*(row[field] for field in Tally._fields)) for row in rows}

    @_held
    def prune(self, after: int, *, now: float, keep_s: float, keep: int) -> int:
        """Delete a few settled entries that are older than `keep_s` or beyond the newest `keep`.

        They have an id above `after`. Returns the `after` to continue from, 0 when the rest is kept.
        Stops at the first that is to be kept: a later one is younger, whatever the clock said. One of
        the future stays, but stops nothing.
        """
        with self._database as connection:
            newest = connection.execute("SELECT max(id) FROM entries").fetchone()[0] or 0
            values = {"after": after, "beyond": newest - keep, "now": now, "keep_s": keep_s}
            rows = connection.execute(statements.IS_KEPT, values).fetchall()
            old = [row["id"] for row in itertools.takewhile(lambda row: not row["is_kept"], rows)]
            if old:  # the newest one stays, or its id would be given once more
                connection.execute(statements.PRUNE, {**values, "last": min(old[-1], newest - 1)})
            return old[-1] if len(old) == statements.PRUNED_AT_ONCE else 0


def _accept(connection: sqlite3.Connection, entry: Entry) -> int | None:
    row = as_row(entry)
    cursor = connection.execute(statements.INSERT, row)
    if cursor.rowcount:
        if entry.notes:
            connection.executemany(statements.NOTE, entry.notes)
        return cursor.lastrowid
    same = connection.execute(statements.SAME, row).fetchone()
    return same and int(same["id"])
