"""The journal's file: the SQLite connection and the schema.

Owns how the file is made and opened, and opened again after an error. It knows no entry; journal.py
alone works with it. trouble.py has the words for what is wrong with it.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

import msgspec

from listener.errors import OtherSchema, StateError
from listener.state.directory import check_regular, open_file
from listener.state.trouble import reason
from listener.state.wal import lost_commits

_log = logging.getLogger(__name__)

IN_MEMORY = ":memory:"
"""The path of a journal that ends with its process."""

_LOCKED_S = 5.0
_RETRY_S = 0.005
_TROUBLE = (sqlite3.Error, OSError, OverflowError, msgspec.MsgspecError)
_PAGE_BYTES = 2048  # each commit writes whole pages; with twice that, an event takes a third longer
_CHECKPOINT_PAGES = 8000  # 16 MB; each checkpoint waits for the disk, a quarter as often as by default

QUIET = frozenset(("done", "ignored", "dropped", "suppressed"))
"""The states of nearly all entries: nothing is left to do."""
NOTABLE = "state != 'done' AND state != 'ignored' AND state != 'dropped' AND state != 'suppressed'"
"""All others. A query that says so uses their index."""
UNTRIED = "state = 'pending' AND instr(runs, '\"attempts\"') = 0"
"""What was never tried. A query that says so uses its index, and looks into no runs."""

_VERSION = 1
"""Of the schema, as PRAGMA user_version has it."""
_SCHEMA = f"""
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        received_at REAL NOT NULL,
        source TEXT NOT NULL,
        state TEXT NOT NULL,
        event_type TEXT,
        execution_id TEXT,
        key TEXT,
        serials TEXT,
        rest_token TEXT,
        body TEXT NOT NULL,
        runs TEXT NOT NULL,
        error TEXT NOT NULL
    );
    CREATE UNIQUE INDEX entries_by_key ON entries (key) WHERE key IS NOT NULL;
    CREATE INDEX entries_notable ON entries (id, state) WHERE {NOTABLE};
    CREATE INDEX entries_untried ON entries (id) WHERE {UNTRIED};
    CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE destinations (
        name TEXT PRIMARY KEY,
        sent INTEGER NOT NULL,
        acknowledged INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        sent_at REAL NOT NULL
    ) WITHOUT ROWID;
    PRAGMA user_version = {_VERSION};
"""
"""The index of states is partial, since one of all entries makes pruning a million of them slow. It has
no IN in its condition, for which SQLite builds a table at each write: an event took a fifth longer.
What is long stands last: a query for the other columns reads none of its pages."""


class Database:
    """One SQLite file. `power_safe`: every commit outlives a loss of power, too.

    A context manager: whatever goes wrong inside `with` is raised as StateError, and the file is opened
    anew next time. `is_owner`: no other process writes much; what a damaged -wal has lost is logged.
    """

    def __init__(self, path: str, *, power_safe: bool = False, is_owner: bool = False) -> None:
        self.path = path
        self._is_owner = is_owner
        self._synchronous = "FULL" if power_safe else "NORMAL"
        self._connection: sqlite3.Connection | None = None
        self._inodes: dict[str, int | None] = {}
        self._data_version = -1

    def __enter__(self) -> sqlite3.Connection:
        """The connection; the file is made or opened first where it has to be. Raises OtherSchema."""
        if self._connection is None:
            try:
                self._connection = self._open()
            except _TROUBLE as error:
                raise self._failed(error) from error
        return self._connection

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        is_defect = isinstance(exc, sqlite3.ProgrammingError)  # of ours, and no trouble with the file
        if isinstance(exc, _TROUBLE) and not is_defect:
            raise self._failed(exc) from exc

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection, in a transaction that is rolled back when anything is raised."""
        with self as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.execute("COMMIT")

    def close(self) -> None:
        """Safe to call twice; the next use opens it again."""
        connection, self._connection = self._connection, None
        self._data_version = -1
        if connection is not None:
            with suppress(sqlite3.Error):  # it is of no use any more
                connection.close()

    def is_changed(self) -> bool:
        """Whether another process has written to it since this was last asked."""
        with self as connection:
            version = connection.execute("PRAGMA data_version").fetchone()[0]
        known, self._data_version = self._data_version, version
        return bool(version != known)

    def removal(self) -> str:
        """Which file of the open journal was removed or replaced, and what is lost by that; or ''."""
        if self._connection is None:
            return ""
        lost = {
            "": "its entries are lost, and what was still to do for them is not done; a new journal"
            " begins; to restore a backup, stop the listener first",
            "-wal": "a new one begins; the journal has what it held, unless another process has the"
            " journal open",
        }
        for suffix, what in lost.items():
            if _inode(self.path + suffix) != self._inodes[suffix]:
                return f"{self.path}{suffix} was removed while it was in use: {what}"
        return ""

    def _open(self) -> sqlite3.Connection:
        """SQLite does not wait, here, for a process that makes the file or has just closed it."""
        if self.path != IN_MEMORY:
            _make_or_check(self.path)
        deadline = time.monotonic() + _LOCKED_S
        while True:
            try:
                return self._opened()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_S)

    def _opened(self) -> sqlite3.Connection:
        is_left = self._is_owner and os.path.exists(f"{self.path}-wal")  # SQLite removes it at the end
        connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, cached_statements=32)
        try:
            connection.row_factory = sqlite3.Row
            for setting in (
                f"page_size = {_PAGE_BYTES}",  # of a file that is still empty
                "journal_mode = WAL",
                f"synchronous = {self._synchronous}",
                f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
                "secure_delete = ON",  # a rest_token leaves no trace in the file
            ):
                connection.execute(f"PRAGMA {setting}")
            version = _version(connection)
            if is_left:
                self._log_damage(connection)
            if version != _VERSION:
                self._make_schema(connection)
            connection.execute(f"PRAGMA busy_timeout = {int(_LOCKED_S * 1000)}")
            self._inodes = {suffix: _inode(self.path + suffix) for suffix in ("", "-wal")}
        except BaseException:
            connection.close()
            raise
        return connection

    def _log_damage(self, connection: sqlite3.Connection) -> None:
        """Log what cannot be read of a -wal file that a killed process has left."""
        with suppress(sqlite3.Error, OSError):  # a full disk, for one, is told when it matters
            if lost := lost_commits(connection, f"{self.path}-wal"):
                _log.error(
                    "%s-wal is damaged: up to %d of the journal's last changes are lost: entries can"
                    " be missing, and hooks that had ended can run again; check the disk",
                    self.path, lost,
                )  # fmt: skip

    def _make_schema(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        version = _version(connection)  # once more: another process may have made it meanwhile
        if version == 0:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            version = _VERSION
        connection.execute("COMMIT")
        if version != _VERSION:
            raise OtherSchema(
                f"{self.path} has schema {version}, and this conductor-hooks knows {_VERSION}: install"
                " the version that wrote it again, or name another 'listener: state_dir'"
            )

    def _failed(self, error: Exception) -> StateError:
        """What to raise; the next use opens the file anew."""
        if self.path != IN_MEMORY:  # which would be lost
            self.close()
        path = (isinstance(error, OSError) and error.filename) or self.path
        return StateError(f"the journal {path}: {reason(error)}")


def _make_or_check(path: str) -> None:
    """Make an empty file unless it is there; SQLite gives its mode and owner to those beside it.

    One that is there is not opened: to close it would free the locks of any other connection to it.
    """
    for each in (path, f"{path}-wal", f"{path}-shm"):
        with suppress(FileNotFoundError):
            _check(each, os.lstat(each))
    if not os.path.lexists(path):
        with suppress(FileExistsError):  # another process was quicker
            os.close(open_file(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))


def _check(path: str, found: os.stat_result) -> None:
    """Raise OSError for what SQLite would not open, follow or wait for, or has no clear words for."""
    wrong = {
        errno.ELOOP: stat.S_ISLNK(found.st_mode),
        errno.EROFS: bool(os.statvfs(os.path.dirname(path)).f_flag & os.ST_RDONLY),
        errno.EACCES: not os.access(path, os.R_OK | os.W_OK, effective_ids=True),
    }
    for number in (number for number, is_so in wrong.items() if is_so):
        raise OSError(number, os.strerror(number), path)
    check_regular(path, found)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _inode(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None
