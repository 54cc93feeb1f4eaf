"""An entry as a row of the journal, and back.

Owns which column has what, and the check of what is read. It knows no SQL; journal.py alone calls it.
"""

from __future__ import annotations

import sqlite3
from typing import Any, NamedTuple

import msgspec

from listener.model.entry import Entry, Run

_encode_runs = msgspec.json.Encoder().encode
_decode_runs = msgspec.json.Decoder(tuple[Run, ...]).decode


class Milestone(NamedTuple):
    """The start or the end of an execution, in a few columns of its entry."""

    entry_id: int
    received_at: float
    event_type: str
    execution_id: str


def as_row(entry: Entry) -> dict[str, Any]:
    """The entry by the names of its columns. What is settled needs no rest_token any more."""
    row = msgspec.structs.asdict(entry)
    row["runs"] = runs_column(entry.runs)
    if entry.is_settled:
        row["rest_token"] = None
    return row


def runs_column(runs: tuple[Run, ...]) -> str:
    return _encode_runs(runs).decode()


def from_row(row: sqlite3.Row) -> Entry:
    """The entry in this row. Raises MsgspecError when a column has what we have never written there."""
    return msgspec.convert({**row, "runs": _decode_runs(str(row["runs"]))}, Entry)
