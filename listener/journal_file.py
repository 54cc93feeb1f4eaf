"""The journal's file: opened, brought to the newest schema, opened again after an error.

Owns the SQLite connection, the schema and its versions; journal_trouble.py says what is wrong with it.
journal.py alone works with it.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType

import msgspec

from listener.errors import HooksError, StateError
from listener.journal_trouble import DAMAGED, reason
from listener.state_dir import open_file

_LOCKED_S = 5.0
_LOCKED_LOOK_S = 0.001
_BESIDE = ("-wal", "-shm")
_TROUBLE = (sqlite3.Error, OSError, OverflowError, msgspec.MsgspecError)
_PAGE_BYTES = 2048  # each commit writes whole pages; with twice that, an event takes a third longer
_CHECKPOINT_PAGES = 8000  # 16 MB; each checkpoint waits for the disk, a quarter as often as by default


class NewerSchema(HooksError):
    """A newer conductor-hooks has written this journal."""


QUIET = frozenset(("done", "ignored", "dropped"))
"""The states of nearly all entries: nothing is left to do."""
NOTABLE = "state != 'done' AND state != 'ignored' AND state != 'dropped'"
"""All others. A query that says so uses their index."""

_SCHEMAS = (
    """
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        received_at REAL NOT NULL,
        source TEXT NOT NULL,
        state TEXT NOT NULL,
        body TEXT NOT NULL,
        key TEXT,
        serials TEXT,
        event_type TEXT,
        execution_id TEXT,
        rest_token TEXT,
        runs TEXT NOT NULL,
        error TEXT NOT NULL
    );
    CREATE UNIQUE INDEX entries_by_key ON entries (key) WHERE key IS NOT NULL;
    CREATE INDEX entries_unsettled ON entries (id) WHERE state IN ('pending', 'running');
    CREATE INDEX entries_failed ON entries (id) WHERE state IN ('failed', 'interrupted', 'unreadable');
    CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    """,
    """
    CREATE TABLE destinations (
        name TEXT PRIMARY KEY,
        sent INTEGER NOT NULL,
        acknowledged INTEGER NOT NULL,
        failed INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
    f"""
    DROP INDEX entries_unsettled;
    DROP INDEX entries_failed;
    CREATE INDEX entries_notable ON entries (id, state) WHERE {NOTABLE};
    """,
)
"""What each version of the schema adds to the one before; PRAGMA user_version counts them.

The indexes are partial, since one on every state makes pruning a million entries slow. There is one of
states, and no IN in its condition, for which SQLite builds a table at each write: an event took a fifth
longer."""


COUNT = (
    "INSERT INTO destinations VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
    " sent = sent + excluded.sent, acknowledged = acknowledged + excluded.acknowledged,"
    " failed = failed + excluded.failed"
)
"""Adds to the numbers of a destination."""


class JournalFile:
    """One SQLite file. `power_safe`: every commit outlives a loss of power, too.

    A context manager: whatever goes wrong inside `with` is raised as StateError, and the file is opened
    anew next time.
    """

    def __init__(self, path: str, *, power_safe: bool = False) -> None:
        self.path = path
        self._synchronous = "FULL" if power_safe else "NORMAL"
        self._connection: sqlite3.Connection | None = None
        self._inodes: dict[str, int | None] = {}
        self._data_version = -1

    def opened(self) -> sqlite3.Connection:
        """The connection; the file is made or opened first where it has to be. Raises NewerSchema."""
        if self._connection is not None:
            return self._connection
        _make_or_look_at(self.path)
        connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, cached_statements=32)
        try:
            for setting in (
                f"page_size = {_PAGE_BYTES}",  # of a file that is still empty
                "journal_mode = WAL",
                f"synchronous = {self._synchronous}",
                f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
                "secure_delete = ON",  # a rest_token leaves no trace in the file
            ):
                _patiently(connection, f"PRAGMA {setting}")
            if _version(connection) != len(_SCHEMAS):
                self._migrate(connection)
            self._inodes = {suffix: _inode(self.path + suffix) for suffix in ("", *_BESIDE)}
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        _patiently(connection, "BEGIN IMMEDIATE")
        version = _version(connection)  # once more: another process may have been at it
        if version > len(_SCHEMAS):
            raise NewerSchema(
                f"{self.path} has schema {version}, and this conductor-hooks knows {len(_SCHEMAS)}:"
                " install the newer one again, or name another 'listener: state_dir'"
            )
        for statement in ";".join(_SCHEMAS[version:]).split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(_SCHEMAS)}")
        connection.execute("COMMIT")

    def __enter__(self) -> sqlite3.Connection:
        """The connection. Whatever goes wrong with it inside `with` is raised as StateError."""
        if self._connection is not None:
            return self._connection
        try:
            return self.opened()
        except _TROUBLE as error:
            raise self.failed(error) from error

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if isinstance(exc, _TROUBLE):
            raise self.failed(exc) from exc

    def close(self) -> None:
        """Safe to call twice; the next use opens it again."""
        connection, self._connection = self._connection, None
        self._data_version = -1
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error:
                return  # it is of no use any more

    def failed(self, error: Exception) -> StateError:
        """What to raise; the next use opens the file anew."""
        self.close()
        path = (isinstance(error, OSError) and error.filename) or self.path
        return StateError(f"the journal {path}: {reason(error)}")

    def begin(self) -> None:
        """Begin a transaction; nobody else can write until it ends."""
        _patiently(self.opened(), "BEGIN IMMEDIATE")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection, in a transaction that is rolled back when anything is raised."""
        with self as connection:
            self.begin()
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.execute("COMMIT")

    def is_changed(self) -> bool:
        """Whether another process has written to it since this was last asked."""
        [version] = self.opened().execute("PRAGMA data_version").fetchone()
        known, self._data_version = self._data_version, version
        return bool(version != known)

    def was_removed(self) -> bool:
        """Whether the file that is open is no longer the one at its path."""
        return self._connection is not None and _inode(self.path) != self._inodes[""]

    def mend_wal(self) -> bool:
        """Whether the -wal file had been removed, and what it held is in the journal now.

        The connection has the removed one open still; the next use gets a new one. Nothing is done as
        long as another process has the journal open, since that would write to the removed one still.
        """
        if self._connection is None or self._inodes["-wal"] in (None, _inode(f"{self.path}-wal")):
            return False
        with suppress(sqlite3.OperationalError):
            self._connection.execute("PRAGMA journal_mode = DELETE")  # is granted to the only user
            self.close()
            return True
        return False

    def restore(self) -> None:
        """Put all that the removed file held into the one that is at its path now, or into a new one.

        Entries keep their ids in an empty one. When it fails, the removed file stays open.
        """
        removed, self._connection = self.opened(), None
        known = self._inodes
        try:
            self._clear_away(known)
            with self.transaction() as connection:
                _copy(removed, connection)
        except StateError as error:
            if DAMAGED in str(error):  # nothing can be taken over: it was moved away for that
                removed.close()
            else:
                self._connection, self._inodes = removed, known
            raise
        self._data_version = -1
        removed.close()

    def _clear_away(self, known: Mapping[str, int | None]) -> None:
        """Remove what is left beside a removed file: it would spoil another one at its place."""
        try:
            for suffix in _BESIDE:
                if known[suffix] is not None and _inode(self.path + suffix) == known[suffix]:
                    os.unlink(self.path + suffix)
        except OSError as error:
            raise self.failed(error) from error


def _make_or_look_at(path: str) -> None:
    """Make an empty file unless it is there; SQLite gives its mode and owner to those beside it.

    One that is there is not opened: to close it would free the locks of any other connection to it.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        with suppress(FileExistsError):  # another process was quicker
            os.close(open_file(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        return
    wrong = {
        errno.ELOOP: stat.S_ISLNK(mode),
        errno.EISDIR: stat.S_ISDIR(mode),
        errno.EROFS: bool(os.statvfs(os.path.dirname(path)).f_flag & os.ST_RDONLY),
        errno.EACCES: not os.access(path, os.R_OK | os.W_OK, effective_ids=True),
    }
    for number in (number for number, is_so in wrong.items() if is_so):
        raise OSError(number, os.strerror(number))


def _copy(removed: sqlite3.Connection, connection: sqlite3.Connection) -> None:
    [is_empty] = connection.execute("SELECT NOT EXISTS (SELECT 1 FROM entries)").fetchone()
    found = removed.execute("SELECT * FROM entries ORDER BY id")
    marks = ", ".join("?" for _ in found.description)
    rows = found if is_empty else ((None, *row[1:]) for row in found)
    connection.executemany(f"INSERT OR IGNORE INTO entries VALUES ({marks})", rows)  # noqa: S608
    notes = removed.execute("SELECT * FROM notes")
    connection.executemany("INSERT OR IGNORE INTO notes VALUES (?, ?)", notes)
    connection.executemany(COUNT, removed.execute("SELECT * FROM destinations"))


def _patiently(connection: sqlite3.Connection, statement: str) -> sqlite3.Cursor:
    """Execute what waits for other processes' transactions, or until the last of them has closed the
    file. SQLite itself does not wait, or looks so seldom that it would miss the moments between those
    of a busy listener."""
    deadline = time.monotonic() + _LOCKED_S
    while True:
        try:
            return connection.execute(statement)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(_LOCKED_LOOK_S)


def _version(connection: sqlite3.Connection) -> int:
    [version] = _patiently(connection, "PRAGMA user_version").fetchone()
    return int(version)


def _inode(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None
