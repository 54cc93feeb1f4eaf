"""What the tests of the journal put into it."""

from __future__ import annotations

from typing import Any

from listener.model.entry import Entry, Run
from listener.model.outcome import Outcome
from listener.state.filters import Filters
from listener.state.journal import Journal

TOKEN = "ctok-AbCdEfGhIj-0123456789abcdefghijklmnopqrstuvwxyzABCD"
RUN = Run("page", "my.page")
FAILED = Outcome("failed", "no route", 0.25)


def entry(**values: Any) -> Entry:
    """A pending entry with one run, but for what is given."""
    fresh: dict[str, Any] = {
        "id": 0,
        "received_at": 1000.5,
        "source": "supervisord",
        "state": "pending",
        "body": '{"event_type": "x", "context": {}}',
        "runs": (RUN,),
    }
    return Entry(**{**fresh, **values})


def ids(journal: Journal) -> list[int]:
    """All entries that are there, the oldest first."""
    return [found.id for found in reversed(journal.newest(Filters(), 100_000))]


def bodies(journal: Journal) -> list[str]:
    """What is unsettled, by its text."""
    return [found.body for found in journal.unsettled()]
