"""Old entries leave the journal, a few at a time, so that no event waits for it.

Owns which those are. It is called again and again until nothing is left to delete; journal.py alone
calls it.
"""

from __future__ import annotations

import itertools
import sqlite3

from listener.model.entry import UNSETTLED

_AT_ONCE = 200
_IS_KEPT = f"""
    SELECT id, id > :beyond AND :now - received_at BETWEEN 0 AND :keep_s AS is_kept
    FROM entries WHERE id > :after ORDER BY id LIMIT {_AT_ONCE}"""  # noqa: S608
_PRUNE = f"""
    DELETE FROM entries WHERE id > :after AND id <= :last
    AND (id <= :beyond OR received_at <= :now) AND state NOT IN {UNSETTLED}"""  # noqa: S608


def prune(connection: sqlite3.Connection, after: int, *, now: float, keep_s: float, keep: int) -> int:
    """As Journal.prune.

    Stops at the first that is to be kept: a later one is younger, whatever the clock said. One of the
    future stays, but stops nothing.
    """
    newest = connection.execute("SELECT max(id) AS id FROM entries").fetchone()["id"] or 0
    values = {"after": after, "beyond": newest - keep, "now": now, "keep_s": keep_s}
    rows = connection.execute(_IS_KEPT, values).fetchall()
    old = [row["id"] for row in itertools.takewhile(lambda row: not row["is_kept"], rows)]
    if old:  # the newest one stays, or its id would be given once more
        connection.execute(_PRUNE, {**values, "last": min(old[-1], newest - 1)})
    return old[-1] if len(old) == _AT_ONCE else 0
