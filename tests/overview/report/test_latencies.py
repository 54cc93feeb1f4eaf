"""How long it took, counted in bounded memory."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.model.entry import Attempt, Run
from listener.overview.report.latencies import Durations, Latencies
from tests.state.entries import entry

AT = 1000.5  # when the entries are received


def run(hook: str, state: str, *attempts: Attempt) -> Run:
    return Run(hook, "m.x", state, attempts=attempts)  # type: ignore[arg-type]


def collected(*entries: object) -> Latencies:
    latencies = Latencies()
    for each in entries:
        latencies.add(each)  # type: ignore[arg-type]
    return latencies


@given(st.lists(st.floats(1e-6, 1e5), min_size=1, max_size=300))
def test_quantiles_are_those_of_the_sorted_durations(seconds: list[float]) -> None:
    durations = Durations()
    for each in seconds:
        durations.add(each)
    found, in_order = durations.latency(), sorted(seconds)
    exact = [in_order[math.ceil(part * len(seconds)) - 1] for part in (0.5, 0.9, 0.99)]
    assert [found.p50, found.p90, found.p99] == pytest.approx(exact, rel=0.006)
    assert (found.number, found.longest) == (len(seconds), max(seconds))


def test_one_duration_is_exact() -> None:
    durations = Durations()
    durations.add(1.234)
    assert durations.latency() == (1, 1.234, 1.234, 1.234, 1.234)


def test_an_entry_takes_until_its_last_hook_has_ended_and_a_hook_each_attempt() -> None:
    again = (Attempt(AT + 1, "failed", "no", 1.0), Attempt(AT + 4, "timed out", "no", 2.0))
    runs = (run("page", "failed", *again), run("trap", "done", Attempt(AT, "done", "", 0.5)))
    latencies = collected(entry(state="failed", runs=runs))
    whole, by_hook = latencies.whole(), latencies.by_hook()
    assert whole is not None
    assert (whole.number, whole.longest) == (1, 6.0)
    assert [(hook, each.number, each.longest) for hook, each in by_hook.items()] == [
        ("page", 2, 2.0),
        ("trap", 1, 0.5),
    ]


def test_what_has_no_end_counts_nowhere() -> None:
    begun = Attempt(AT + 1)
    latencies = collected(
        entry(state="running", runs=(run("page", "running", begun),)),
        entry(state="interrupted", runs=(run("page", "interrupted", begun),)),
        entry(state="ignored", runs=()),
    )
    assert (latencies.whole(), latencies.by_hook()) == (None, {})
