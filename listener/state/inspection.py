"""What a look at the journal's file from outside finds: damage, and how large notifications are.

Owns the questions that no listener asks, since the answers take long. It changes no entry, but SQLite
may move what the -wal file has into the journal. doctor calls it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

from listener.errors import StateError
from listener.model.entry import FIRE
from listener.state.journal import FILE
from listener.state.trouble import reason
from listener.state.wal import lost_commits

QUICK_BYTES = 100_000_000
"""A larger journal is not checked page by page: that takes seconds."""

LAST = 10_000
"""So many of the newest entries say what comes; their sizes are read in some milliseconds."""

_ARRIVALS = f"""
    SELECT count(*), max(CASE WHEN source IN ('supervisord', 'recorder')
        THEN length(CAST(body AS BLOB)) END)
    FROM (SELECT source, body FROM entries ORDER BY id DESC LIMIT {LAST}) WHERE source != '{FIRE}'"""  # noqa: S608


class Arrivals(NamedTuple):
    """Of the LAST entries: how many came from outside, and the bytes of the largest captured."""

    number: int = 0
    largest_bytes: int = 0


def arrivals(folder: str) -> Arrivals:
    """Raises StateError."""
    with _opened(folder) as (connection, _):
        number, largest_bytes = connection.execute(_ARRIVALS).fetchone()
        return Arrivals(number, largest_bytes or 0)


def damage(folder: str) -> str:
    """What is wrong with the pages of the journal that is there; '' when nothing is, or it is large.

    Raises StateError when it cannot be read at all.
    """
    with _opened(folder) as (connection, path):
        if os.stat(path).st_size >= QUICK_BYTES:
            return ""
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        return "" if found == "ok" else str(found)


def lost_changes(folder: str) -> int:
    """How many of the journal's last changes a damaged -wal file has lost.

    Ask while no process has the journal open: the next one removes the traces. Raises StateError.
    """
    if not os.path.exists(os.path.join(folder, f"{FILE}-wal")):
        return 0
    with _opened(folder) as (connection, path):
        return lost_commits(connection, f"{path}-wal")


@contextmanager
def _opened(folder: str) -> Iterator[tuple[sqlite3.Connection, str]]:
    path = os.path.join(folder, FILE)
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=rw", timeout=5, uri=True)) as connection:
            yield connection, path
    except (sqlite3.Error, OSError) as error:
        raise StateError(f"the journal {path}: {reason(error)}") from error
