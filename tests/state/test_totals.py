"""The journal in numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from listener.state.journal import Journal
from listener.state.totals import GAP, Totals
from tests.state.entries import FAILED, RUN, entry

NOW = 1_000_000.0
DAY = 86_400.0


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(str(tmp_path))
    yield journal
    journal.close()


def test_an_empty_journal_has_nothing_in_any_state(journal: Journal) -> None:
    assert journal.totals(NOW) == Totals({}, 0, None, 0, None)


def test_entries_are_counted_by_the_states_in_which_somebody_has_something_to_do(
    journal: Journal,
) -> None:
    retried = RUN.begun(NOW - 50).ended(FAILED, NOW + 50)
    journal.accept_all(
        [
            entry(state="done", received_at=NOW - 90),
            entry(state="running", runs=(RUN.begun(NOW - 80),), received_at=NOW - 80),
            entry(runs=(retried,), received_at=NOW - 70),
            *[entry(received_at=NOW - 60)] * 2,
            *[entry(state=state) for state in ("failed", "failed", "interrupted", "unreadable")],
            *[entry(state=state) for state in ("ignored", "dropped", "suppressed")],
        ]
    )
    assert journal.totals(NOW) == Totals(
        {"failed": 2, "interrupted": 1, "pending": 3, "running": 1, "unreadable": 1},
        untried=2,
        oldest_at=NOW - 80,
        gaps=0,
        gap_at=None,
    )


def test_gaps_are_counted_for_a_day(journal: Journal) -> None:
    for number, ago in enumerate((2 * DAY, DAY / 2, DAY / 4)):
        journal.accept(entry(state="dropped", key=f"{GAP}4711.0/{number}", received_at=NOW - ago))
    journal.accept(entry(state="dropped", key="gaping", received_at=NOW))
    totals = journal.totals(NOW)
    assert (totals.gaps, totals.gap_at) == (2, NOW - DAY / 4)


def test_what_was_never_tried_is_counted_without_a_look_into_each_waiting_entry(
    journal: Journal,
) -> None:
    asked: list[str] = []
    with journal._database as connection:
        connection.set_trace_callback(asked.append)
        journal.totals(NOW)
        connection.set_trace_callback(None)
        [query] = [each for each in asked if "instr" in each]
        plan = connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchone()["detail"]
    assert plan == "SCAN entries USING INDEX entries_untried"
