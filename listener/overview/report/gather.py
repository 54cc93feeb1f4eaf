"""What the report says, gathered from the journal in one pass.

Owns the span of time and the order: the newest entry first, so that what is left out is the oldest. It
keeps figures and a bounded number of entries. The verb `report` calls it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from listener.model.entry import Entry
from listener.overview.report.failures import Failure, Failures
from listener.overview.report.latencies import Latencies, Latency
from listener.overview.report.outcomes import HookOutcomes, Outcomes
from listener.overview.report.timeline import Execution, Executions
from listener.state.journal import Journal

_BEYOND_ALL = 2**63 - 1


class Figures(NamedTuple):
    """What happened between two Unix times. `older_entries` belong to executions that are left out.

    `event_types` counts the entries; `more_failures` are in no group.
    """

    since: float
    at: float
    event_types: Mapping[str, int]
    executions: tuple[Execution, ...]
    older_entries: int
    outcomes: tuple[HookOutcomes, ...]
    failures: tuple[Failure, ...]
    more_failures: int
    latency: Latency | None
    latency_by_hook: Mapping[str, Latency]


def gather(journal: Journal, since: float, at: float) -> Figures:
    """The figures of all entries that were received since then; `at` is now. Raises StateError."""
    event_types: Counter[str] = Counter()
    executions, outcomes, failures, latencies = Executions(), Outcomes(), Failures(), Latencies()
    for entry in _entries(journal, since):
        event_types[entry.event_type or entry.state] += 1
        for collector in (executions, outcomes, failures, latencies):
            collector.add(entry)
    return Figures(
        since=since,
        at=at,
        event_types=event_types,
        executions=executions.newest(),
        older_entries=executions.left_out,
        outcomes=outcomes.by_hook(),
        failures=failures.groups(),
        more_failures=failures.left_out,
        latency=latencies.whole(),
        latency_by_hook=latencies.by_hook(),
    )


def _entries(journal: Journal, since: float) -> Iterator[Entry]:
    """Newest first. A few with a wrong time, from a clock that was wrong, do not end it."""
    before = _BEYOND_ALL
    while batch := journal.before(before):
        before = batch[-1].id
        wanted = [entry for entry in batch if entry.received_at >= since]
        yield from wanted
        if not wanted:
            return
