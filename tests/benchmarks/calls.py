"""One call of a function that does nothing: in a forked process, and in a fresh interpreter.

Owns the measurement and its table. The work is done in another process, so it is wall-clock time that
counts; all run on one core. At a pace, the process of the next call has been made before it is needed.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import NamedTuple

from listener.actions import Surroundings
from listener.actions.function import FunctionAction
from tests.benchmarks.interpreter import environment
from tests.benchmarks.machine import LISTENER_CORE, on_core
from tests.benchmarks.notifications import call, function_hook, table
from tests.benchmarks.tables import Wanted, at_most, judged, median, quantile, ratio, show


class Way(NamedTuple):
    """One way to call, and how often in a repetition; `pause_s` follows each call, not measured."""

    name: str
    call: Callable[[], object]
    calls: int
    wanted: Wanted | None = None
    pause_s: float = 0.0


def run(python: str, quick: bool) -> None:
    repetitions, calls, starts = (2, 20, 2) if quick else (11, 200, 5)
    forked, fresh = (call(function_hook(fresh=is_fresh), 300, 0.0) for is_fresh in (False, True))
    settings = table(function_hook()).listener._replace(python=python)
    action = FunctionAction(Surroundings(settings))
    ways = (
        Way("python -c pass", lambda: _bare_interpreter(python), starts),
        Way("ours, fresh: true", lambda: action.run(fresh), starts),
        Way("ours, at a pace", lambda: action.run(forked), calls, at_most(1 / 50), 0.01),
        Way("ours, without a pause", lambda: action.run(forked), calls, at_most(1 / 8)),
    )
    costs: dict[Way, list[list[float]]] = {way: [] for way in ways}
    with on_core(LISTENER_CORE):
        try:
            for repetition in range(repetitions + 1):
                for way in ways:
                    times = [_timed(way) for _ in range(way.calls)]
                    if repetition:  # the first one starts the interpreter
                        costs[way].append(times)
        finally:
            action.close()
    _show(repetitions, costs)


def _bare_interpreter(python: str) -> None:
    subprocess.run([python, "-c", "pass"], env=environment(python), check=True, timeout=30)


def _timed(way: Way) -> float:
    """µs of one call."""
    began = time.perf_counter_ns()
    way.call()
    took = (time.perf_counter_ns() - began) / 1000
    time.sleep(way.pause_s)
    return took


def _show(repetitions: int, costs: dict[Way, list[list[float]]]) -> None:
    middles = {way: [median(times) for times in every] for way, every in costs.items()}
    bare, fresh, *_ = middles
    rows = []
    for way, middle in middles.items():
        all_times = [single for times in costs[way] for single in times]
        rows.append(
            (
                way.name,
                f"{median(middle):,.0f}",
                f"{quantile(all_times, 0.99):,.0f}",
                judged(ratio(middle, middles[bare]), None),
                judged(ratio(middle, middles[fresh]), way.wanted),
            )
        )
    show(
        f"calls: µs for one, repetitions: {repetitions}",
        ("way", "p50 µs", "p99 µs", "of python -c pass", "of fresh: true"),
        rows,
    )
