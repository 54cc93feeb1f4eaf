"""Executions in time: when each began and ended, and what its hooks did.

Owns which executions are kept, the newest, with how much of each; and the axis on which they are
drawn. It reads no journal and draws nothing: gather.py hands entries over, the page's template draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from listener.errors import UnreadableNotification
from listener.model import payload
from listener.model.entry import Entry
from listener.model.notification import STARTED, iso_time
from listener.overview.report.outcomes import is_wrong

_MOST = 300
_MOST_STEPS = 12
MOST_RUNS = 16
"""So many of each entry are drawn."""
_STATES = {
    "workflow_queued": "queued",
    STARTED: "running",
    "workflow_succeeded": "succeeded",
    "workflow_failed": "failed",
    "workflow_cancelled": "cancelled",
}
_OPEN = ("queued", "running")
_MOST_TICKS = 6
_MOST_ATTEMPTS = 3
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_BETWEEN_TICKS = (
    1, 2, 5, 10, 30, _MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 30 * _MINUTE, _HOUR, 2 * _HOUR,
    4 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 7 * _DAY, 30 * _DAY, 365 * _DAY,
)  # fmt: skip


class Mark(NamedTuple):
    """An attempt at a hook on the timeline. `state` is "running" while it has no end."""

    hook: str
    state: str
    began_at: float
    seconds: float


class Execution(NamedTuple):
    """One execution, as far as its entries tell: the newest are its `steps`, so many are `left_out`.

    `state` is that of its newest start or end, '' if there is none. `started_at` and `ended_at` are
    None if that was not seen. `failures` are all runs of its hooks that failed.
    """

    execution_id: str
    deployment: str
    workflow: str
    tenant: str
    state: str
    started_at: float | None
    ended_at: float | None
    failures: int
    steps: tuple[Entry, ...]
    left_out: int

    @property
    def is_open(self) -> bool:
        """Whether it has no end yet."""
        return self.state in _OPEN

    def marks(self) -> Iterator[Mark]:
        """The last attempts at each of its hooks."""
        for run in (run for step in self.steps for run in step.runs[:MOST_RUNS]):
            for attempt in run.attempts[-_MOST_ATTEMPTS:]:
                is_running = run.state == "running" and attempt is run.attempts[-1]
                state = "running" if is_running else attempt.state
                yield Mark(run.hook, state, attempt.began_at, attempt.seconds)


class _Trace:
    """What is known of an execution so far, with the newest entry first."""

    def __init__(self, newest: Entry) -> None:
        self._names = _names(newest)
        self._state = ""
        self._started_at: float | None = None
        self._ended_at: float | None = None
        self._failures = 0
        self._steps: list[Entry] = []
        self._left_out = 0

    def add(self, entry: Entry) -> None:
        state = _STATES.get(entry.event_type or "", "")
        if state and not self._state:
            self._state = state
            self._ended_at = None if state in _OPEN else entry.received_at
        if state == "running" or (state == "queued" and self._started_at is None):
            self._started_at = entry.received_at
        self._failures += sum(map(is_wrong, entry.runs))
        if len(self._steps) < _MOST_STEPS:
            self._steps.append(msgspec.structs.replace(entry, body=""))  # it may be large
        else:
            self._left_out += 1

    def execution(self, execution_id: str) -> Execution:
        return Execution(
            execution_id, *self._names, self._state, self._started_at, self._ended_at, self._failures,
            tuple(reversed(self._steps)), self._left_out,
        )  # fmt: skip


def _names(entry: Entry) -> tuple[str, str, str]:
    """Its deployment, workflow and tenant; '' for each that it does not name."""
    try:
        context = payload.decode(entry.body).hook_context()
    except UnreadableNotification:
        context = {}
    deployment, workflow, tenant = (
        value if isinstance(value := context.get(field), str) else ""
        for field in ("deployment_id", "workflow_id", "tenant_name")
    )
    return deployment, workflow, tenant


class Executions:
    """Collects them from entries, of which the newest must come first.

    `left_out` are the entries of older executions.
    """

    def __init__(self) -> None:
        self._traces: dict[str, _Trace] = {}
        self.left_out = 0

    def add(self, entry: Entry) -> None:
        if entry.execution_id is None:
            return
        trace = self._traces.get(entry.execution_id)
        if trace is None:
            if len(self._traces) >= _MOST:
                self.left_out += 1
                return
            trace = self._traces[entry.execution_id] = _Trace(entry)
        trace.add(entry)

    def newest(self) -> tuple[Execution, ...]:
        """The one with the newest entry first."""
        return tuple(trace.execution(name) for name, trace in self._traces.items())


class Axis(NamedTuple):
    """The time that a timeline spans, in Unix times; places on it are percentages."""

    begin: float
    end: float

    def place(self, moment: float) -> float:
        part = (moment - self.begin) / max(self.end - self.begin, 1.0)
        return round(100 * min(max(part, 0.0), 1.0), 2)

    def width(self, begin: float, end: float) -> float:
        """At least something: SVG does not draw what has no width."""
        return max(0.05, round(self.place(end) - self.place(begin), 2))

    def ticks(self) -> list[tuple[float, str]]:
        """The places of a few round times, in order, with their labels."""
        least = (self.end - self.begin) / _MOST_TICKS
        between = next((each for each in _BETWEEN_TICKS if each >= least), _BETWEEN_TICKS[-1])
        numbers = range(math.ceil(self.begin / between), math.floor(self.end / between) + 1)
        return [(self.place(each * between), _label(each * between, between)) for each in numbers]


def _label(moment: int, between: int) -> str:
    if moment % _DAY == 0:
        return iso_time(moment)[:10]
    return iso_time(moment)[11 : 19 if between < _MINUTE else 16]


def axis_of(executions: Sequence[Execution], since: float, at: float) -> Axis:
    """From the first to the last that is known of these executions, within a span of time."""
    moments = [moment for execution in executions for moment in _moments(execution, at)]
    begin, end = (min(moments), max(moments)) if moments else (since, at)
    return Axis(max(begin, since), min(max(end, begin + 1.0), at))


def _moments(execution: Execution, at: float) -> Iterator[float]:
    for step in execution.steps:
        yield step.received_at
    for mark in execution.marks():
        yield mark.began_at + mark.seconds
    if execution.is_open:
        yield at
