"""The listener, which dies by SIGKILL at one moment of its work with files and with supervisord.

    killed_at.py NUMBER KINDS FILE    counts the moments of these kinds, notes in FILE which it was

The kinds, with commas between them: `write` is each statement that changes the journal, `open` a
statement that makes or opens it, `answer` what is written to supervisord, `unlink` a file of the
inbox that is removed. Each is two moments, before and after it. No setting of the listener's brings this about: it
is wrapped here.
"""

from __future__ import annotations

import functools
import os
import signal
import sqlite3
import sys
from collections.abc import Iterable
from typing import Any

from listener.supervisord.pipe import SupervisorSource


class Moments:
    """Counts them, and ends the process at the one that was chosen."""

    def __init__(self, number: int, kinds: Iterable[str], file: str) -> None:
        self._left = number
        self._kinds = frozenset(kinds)
        self._file = file

    def pass_by(self, kind: str, where: str) -> None:
        if kind not in self._kinds:
            return
        self._left -= 1
        if self._left == 0:
            with open(self._file, "a") as file:
                file.write(f"{where}\n")
            os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(self, kind: str, what: str, function: Any) -> Any:
        """The function with a moment on both sides."""

        @functools.wraps(function)
        def with_moments(*arguments: Any, **named: Any) -> Any:
            self.pass_by(kind, f"before {what}")
            result = function(*arguments, **named)
            self.pass_by(kind, f"after {what}")
            return result

        return with_moments


def main() -> None:
    """Wrap what leaves the process, then be the listener."""
    number, kinds, file = sys.argv[1:4]
    moments = Moments(int(number), kinds.split(","), file)

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> Any:
            return self._between(sql, functools.partial(super().execute, sql, *values))

        def executemany(self, sql: str, *values: Any) -> Any:
            return self._between(sql, functools.partial(super().executemany, sql, *values))

        def _between(self, sql: str, execute: Any) -> Any:
            words = sql.split()
            if not words or words[0] == "SELECT" or (words[0] == "PRAGMA" and "=" not in words):
                return execute()
            kind = "open" if words[0] in ("PRAGMA", "CREATE") else "write"
            return moments.wrapped(kind, " ".join(words[:3]), execute)()

    sqlite3.connect = functools.partial(sqlite3.connect, factory=Connection)  # type: ignore[assignment]
    os.unlink = moments.wrapped("unlink", "a file of the inbox is removed", os.unlink)
    SupervisorSource._write = moments.wrapped(  # type: ignore[method-assign]
        "answer", "an answer", SupervisorSource._write
    )
    sys.argv = ["conductor-hooks", "listen"]
    from listener.__main__ import main as listen

    listen()


if __name__ == "__main__":
    main()
