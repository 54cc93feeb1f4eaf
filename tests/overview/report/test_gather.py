"""What the report says of a journal: nothing is told twice, what is left out is counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from listener.model.entry import Attempt, Run
from listener.overview.report.gather import Figures, gather
from listener.overview.report.timeline import Axis, Mark, axis_of
from listener.state.journal import Journal
from tests.cli.commands import THEN, done, failed, new, waiting

TIMED_OUT = Run("page", "m.page", "failed", attempts=(Attempt(THEN, "timed out", "no end", 30.0),))
KILLED = Run("page", "m.page", "interrupted", attempts=(Attempt(THEN),))
RUNNING = Run("page", "m.page", "running", attempts=(Attempt(THEN + 1),))
FAILED_TWICE = Run("page", "m.page", "failed", attempts=(Attempt(THEN, "failed", "no", 1.0),) * 2)


@pytest.fixture
def journal() -> Iterator[Journal]:
    with closing(Journal(None)) as journal:
        yield journal


def accept(journal: Journal, event: str, at: float, *runs: Run, state: str = "", **values: Any) -> None:
    state = state or (runs[-1].state if runs else "ignored")
    journal.accept(new(state, event_type=event, received_at=THEN + at, runs=runs, **values))


def figures(journal: Journal) -> Figures:
    return gather(journal, THEN, THEN + 3600)


def test_an_execution_is_its_start_its_end_and_what_its_hooks_did(journal: Journal) -> None:
    accept(journal, "workflow_queued", 1)
    accept(journal, "workflow_started", 2, done(), deployment_id="d-1", workflow_id="heal")
    accept(journal, "workflow_started", 3, execution="e-2")
    accept(
        journal, "workflow_failed", 60, done(), failed(), deployment_id="d-1", tenant={"name": "acme"}
    )
    second, first = sorted(figures(journal).executions, key=lambda each: each.execution_id)[::-1]
    assert (first.deployment, first.workflow, first.tenant) == ("d-1", "", "acme")
    assert (first.state, first.started_at, first.ended_at) == ("failed", THEN + 2, THEN + 60)
    assert [(step.event_type, len(step.runs)) for step in first.steps] == [
        ("workflow_queued", 0), ("workflow_started", 1), ("workflow_failed", 2),
    ]  # fmt: skip
    assert first.failures == 1
    assert list(first.marks())[-1] == Mark("page", "failed", THEN, 0.25)
    assert (second.state, second.is_open, second.ended_at) == ("running", True, None)


@pytest.mark.parametrize(
    ("events", "state", "started_at", "ended_at"),
    [
        (("workflow_succeeded",), "succeeded", None, THEN),
        (("workflow_started", "workflow_failed", "workflow_started"), "running", THEN, None),
        (("workflow_queued",), "queued", THEN, None),
        (("workflow_cancelled", "hook_failed"), "cancelled", None, THEN),
        (("hook_failed",), "", None, None),
    ],
)
def test_the_newest_start_or_end_decides_how_an_execution_stands(
    journal: Journal, events: tuple[str, ...], state: str, started_at: float, ended_at: float
) -> None:
    for position, event in enumerate(events):
        accept(journal, event, position)
    [found] = figures(journal).executions
    assert (found.state, found.started_at, found.ended_at) == (state, started_at, ended_at)


def test_outcomes_are_those_of_each_hook_the_worst_first(journal: Journal) -> None:
    for run in (TIMED_OUT, FAILED_TWICE, KILLED, RUNNING, waiting(), done("page"), done("trap")):
        accept(journal, "workflow_failed", 0, run)
    accept(journal, "workflow_failed", 0, Run("trap", "m.trap", "suppressed"))
    page, trap = figures(journal).outcomes
    once = dict.fromkeys(("timed out", "failed", "interrupted", "running", "pending", "done"), 1)
    assert (page.hook, page.numbers, page.retries) == ("page", once, 1)
    assert (page.failures, page.success) == (3, 0.25)
    assert (trap.hook, trap.numbers, trap.success) == ("trap", {"done": 1, "suppressed": 1}, 1.0)


def test_the_same_failures_are_one_group_and_what_was_given_up_is_in_none(journal: Journal) -> None:
    accept(journal, "workflow_failed", 1, failed(error="a"))
    accept(journal, "workflow_failed", 2, failed("chat", "a"))
    accept(journal, "workflow_failed", 3, failed(error="b"), done())
    accept(journal, "workflow_failed", 4, done(), failed(error="a"))
    accept(journal, "workflow_failed", 5, waiting())
    accept(journal, "workflow_failed", 6, failed(error="c"), state="dropped")
    journal.accept(new("unreadable", event_type=None, received_at=THEN + 7, error="no JSON"))
    assert [
        (
            each.hook,
            each.outcome,
            each.text,
            each.number,
            each.newest_id,
            each.oldest_at - THEN,
            each.cures,
        )
        for each in figures(journal).failures
    ] == [
        ("", "unreadable", "no JSON", 1, 7, 7, ("show", "drop")),
        ("page", "pending", "ValueError: no", 1, 5, 5, ("show",)),
        ("page", "failed", "a", 2, 4, 1, ("show", "replay")),
        ("page", "failed", "b", 1, 3, 3, ("show", "replay")),
        ("chat", "failed", "a", 1, 2, 2, ("show", "replay")),
    ]


def test_only_what_came_since_then_counts_whatever_a_wrong_clock_said_in_between(
    journal: Journal,
) -> None:
    received = [-1.0, 0.0, *[-1e9] * 999, 1.0, 2.0]  # which are read a thousand at a time
    journal.accept_all(new(event_type="workflow_started", received_at=THEN + at) for at in received)
    assert figures(journal).event_types == {"workflow_started": 3}


def test_of_many_entries_the_newest_are_kept_and_the_others_counted(journal: Journal) -> None:
    journal.accept_all(
        new("failed", runs=(failed(error=f"no {n}"),), execution=f"e-{n}", received_at=THEN + n)
        for n in range(2500)
    )
    found = figures(journal)
    assert (len(found.executions), found.older_entries) == (300, 2200)
    assert (len(found.failures), found.more_failures) == (100, 2400)
    assert (found.executions[0].execution_id, found.failures[0].text) == ("e-2499", "no 2499")
    assert [hook.numbers for hook in found.outcomes] == [{"failed": 2500}]
    assert found.latency is not None
    assert found.latency.number == 2500


def test_of_an_execution_with_many_entries_or_hooks_not_all_are_drawn(journal: Journal) -> None:
    for n in range(30):
        accept(journal, "workflow_started", n, execution="long")
    accept(journal, "workflow_started", 99, *(failed(f"h{n}") for n in range(40)), execution="wide")
    wide, long = figures(journal).executions
    assert (len(long.steps), long.left_out, long.started_at) == (12, 18, THEN)
    assert (len(list(wide.marks())), wide.failures) == (16, 40)


@pytest.mark.parametrize(
    ("span_s", "labels"),
    [
        (10, ["22:13:20", "22:13:22", "22:13:24", "22:13:26", "22:13:28", "22:13:30"]),
        (3600, ["22:20", "22:30", "22:40", "22:50", "23:00", "23:10"]),
        (3 * 86_400, ["2023-11-15", "12:00", "2023-11-16", "12:00", "2023-11-17", "12:00"]),
        (9 * 86_400, [f"2023-11-{day}" for day in range(15, 24, 2)]),
    ],
)
def test_an_axis_has_a_few_round_times(span_s: float, labels: list[str]) -> None:
    ticks = Axis(THEN, THEN + span_s).ticks()
    assert [label for _, label in ticks] == labels
    assert sorted(ticks) == ticks
    assert all(0 <= place <= 100 for place, _ in ticks)


def test_the_axis_reaches_from_the_first_start_to_the_last_end_and_to_now_while_one_runs(
    journal: Journal,
) -> None:
    accept(journal, "workflow_started", 10)
    accept(journal, "workflow_succeeded", 40)
    assert axis_of(figures(journal).executions, THEN, THEN + 3600) == (THEN + 10, THEN + 40)
    accept(journal, "workflow_started", 41, execution="e-2")
    axis = axis_of(figures(journal).executions, THEN, THEN + 3600)
    assert axis == (THEN + 10, THEN + 3600)
    assert (axis.place(THEN), axis.place(THEN + 1805), axis.width(THEN, THEN)) == (0, 50, 0.05)
    assert axis_of((), THEN, THEN + 3600) == (THEN, THEN + 3600)
