"""What a damaged -wal file has lost; its form is told at https://sqlite.org/walformat.html.

SQLite drops the first damaged frame and all that stands behind it without a word. Owns how that is
noticed; it never writes to the file. database.py calls it before the first change after a crash.
"""

from __future__ import annotations

import sqlite3
import struct

_HEADER = struct.Struct(">4s12x8s8x")  # magic, salts
_FRAME = struct.Struct(">4xI8s8x")  # size of the database after a commit, else 0; salts
_MAGIC = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")


def lost_commits(connection: sqlite3.Connection, path: str) -> int:
    """How many commits of this -wal file of the connection's SQLite could not read: it is damaged.

    A single one is not told: it can be there after any kill, as a commit's last frame is written before
    its page. 0 also where another process is at work on the file. Raises OSError and sqlite3.Error.
    """
    is_busy, frames, _ = connection.execute("PRAGMA wal_checkpoint").fetchone()
    [page_size] = connection.execute("PRAGMA page_size").fetchone()
    unread = 0 if is_busy else _commits_behind(path, frames, _FRAME.size + page_size)
    return unread if unread > 1 else 0


def _commits_behind(path: str, frames: int, frame_size: int) -> int:
    """The commits behind so many frames; those of an earlier use of the file do not count."""
    with open(path, "rb") as file:
        header = file.read(_HEADER.size)
        file.seek(_HEADER.size + frames * frame_size)
        behind = file.read()
    if len(header) < _HEADER.size:
        return 0
    magic, salts = _HEADER.unpack(header)
    starts = range(0, len(behind) - frame_size + 1, frame_size)
    found = [_FRAME.unpack_from(behind, start) for start in starts]
    return sum(size > 0 and (theirs == salts or magic not in _MAGIC) for size, theirs in found)
