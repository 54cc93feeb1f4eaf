"""What is wrong with the journal, in words, for each error that SQLite, the system or msgspec has."""

from __future__ import annotations

import errno
import os
import sqlite3

import msgspec
import pytest

from listener.state.trouble import reason


def of_system(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (of_system(errno.EIO), "Input/output error"),
        (OSError("something else"), "something else"),
        (of_system(errno.EROFS), "Read-only file system; mount its file system writable"),
        (of_system(errno.ENOSPC), "No space left on device; free space on its file system"),
        (of_system(errno.EFBIG), "File too large; raise the limit on the size of files"),
        (OverflowError("int too large to convert"), "int too large to convert"),
        (
            sqlite3.OperationalError("database or disk is full"),
            "database or disk is full; free space on its file system",
        ),
        (
            sqlite3.OperationalError("unable to open database file"),
            "unable to open database file; let the listener's user write to its directory",
        ),
        (
            sqlite3.OperationalError("Could not decode to UTF-8 column 'body' with text 's3cret'"),
            "a part of it cannot be read; it is damaged: move it and its -wal file away; a new one"
            " begins then",
        ),
        (
            msgspec.DecodeError("JSON is malformed: s3cret"),
            "a part of it cannot be read; it is damaged: move it and its -wal file away; a new one"
            " begins then",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_error_is_told_with_what_to_do_about_it(error: Exception, words: str) -> None:
    assert reason(error) == words
