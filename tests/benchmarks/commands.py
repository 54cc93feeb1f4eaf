"""One run of a program: as a hook with the action `command`, and by `subprocess.run`.

Owns the measurement and its table. All hand the same text to standard input and take the output. A hook
has a time limit, which costs `subprocess.run` as much again: it stands there with one and without. The
work is done in other processes, so it is wall-clock time that counts, on one core.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from typing import NamedTuple

from listener.actions import Surroundings
from listener.actions.command import CommandAction
from listener.hooks.settings import ListenerSettings
from tests.benchmarks.machine import LISTENER_CORE, on_core
from tests.benchmarks.notifications import call, command_hook
from tests.benchmarks.tables import at_most, judged, median, quantile, ratio, show

ARGV = ("/bin/sh", "-c", ":")
_WITH_LIMIT, _WITHOUT_LIMIT = "subprocess.run", "subprocess.run without a limit"


class Way(NamedTuple):
    """One way to run it; `pause_s` follows each run, not measured."""

    name: str
    run: Callable[[], object]
    pause_s: float = 0.0


def run(_python: str, quick: bool) -> None:
    repetitions, runs = (2, 10) if quick else (11, 100)
    command = call(command_hook(ARGV), 300, 0.0)
    stdin = json.dumps(command.hook_context).encode()
    action = CommandAction(Surroundings(ListenerSettings()))

    def bare(limit_s: float | None) -> None:
        subprocess.run(
            ARGV, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ,
            check=True, timeout=limit_s,
        )  # fmt: skip

    ways = [
        Way(f"{name}, {pace}", once, pause_s)
        for pace, pause_s in (("at a pace", 0.01), ("without a pause", 0.0))
        for name, once in (
            (_WITH_LIMIT, lambda: bare(60)),
            (_WITHOUT_LIMIT, lambda: bare(None)),
            ("ours", lambda: action.run(command)),
        )
    ]
    costs: dict[str, list[list[float]]] = {way.name: [] for way in ways}
    with on_core(LISTENER_CORE):
        try:
            for repetition in range(repetitions + 1):
                for way in ways:
                    times = [_timed(way) for _ in range(runs)]
                    if repetition:  # the first one starts the interpreter
                        costs[way.name].append(times)
        finally:
            action.close()
    _show(repetitions, costs)


def _timed(way: Way) -> float:
    """µs of one run."""
    began = time.perf_counter_ns()
    way.run()
    took = (time.perf_counter_ns() - began) / 1000
    time.sleep(way.pause_s)
    return took


def _show(repetitions: int, costs: dict[str, list[list[float]]]) -> None:
    middles = {name: [median(times) for times in every] for name, every in costs.items()}
    rows = []
    for name, middle in middles.items():
        pace = name.partition(", ")[2]
        bare, unlimited = (middles[f"{each}, {pace}"] for each in (_WITH_LIMIT, _WITHOUT_LIMIT))
        wanted = at_most(1.3) if name.startswith("ours") else None
        all_times = [single for times in costs[name] for single in times]
        shown = (f"{median(middle):,.0f}", f"{quantile(all_times, 0.99):,.0f}")
        ratios = judged(ratio(middle, bare), wanted), judged(ratio(middle, unlimited), None)
        rows.append((name, *shown, *ratios))
    show(
        f"commands: µs for one run of {' '.join(ARGV)}, repetitions: {repetitions}",
        ("way", "p50 µs", "p99 µs", "of subprocess.run", "without a limit"),
        rows,
    )
