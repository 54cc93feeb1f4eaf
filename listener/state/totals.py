"""The journal in numbers: how many entries are in which state, which wait, what is missing.

Owns these queries, which read few pages also beside a million entries. It changes nothing; journal.py
alone calls it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import NamedTuple

from listener.state.database import NOTABLE, UNTRIED

GAP = "gap "
"""How the key of an entry about lost events begins."""
_DAY_S = 86_400.0

_BY_STATE = f"SELECT state, count(*) AS number FROM entries WHERE {NOTABLE} GROUP BY state"  # noqa: S608
_UNTRIED = f"SELECT count(*) FROM entries WHERE {UNTRIED}"  # noqa: S608
_OLDEST = f"""
    SELECT received_at FROM entries WHERE {NOTABLE} AND state IN ('pending', 'running')
    ORDER BY id LIMIT 1"""  # noqa: S608
_GAPS = "SELECT count(*), max(received_at) FROM entries WHERE key > ? AND key < ? AND received_at > ?"


class Totals(NamedTuple):
    """`by_state` has the states in which something is left to do, or went wrong.

    `untried` of the pending were never tried; the others wait for a retry. `oldest_at` is the receipt
    of the oldest that is not settled, `gap_at` the last time that supervisord had discarded events, of
    `gaps` in the last 24 hours. All are Unix times, None where there is none.
    """

    by_state: Mapping[str, int]
    untried: int
    oldest_at: float | None
    gaps: int
    gap_at: float | None


def totals(connection: sqlite3.Connection, now: float) -> Totals:
    by_state = {row["state"]: row["number"] for row in connection.execute(_BY_STATE)}
    oldest = connection.execute(_OLDEST).fetchone()
    gaps, gap_at = connection.execute(_GAPS, (GAP, f"{GAP}~", now - _DAY_S)).fetchone()
    return Totals(
        by_state=by_state,
        untried=connection.execute(_UNTRIED).fetchone()[0],
        oldest_at=oldest and oldest["received_at"],
        gaps=gaps,
        gap_at=gap_at,
    )
