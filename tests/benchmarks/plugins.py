"""One task of a managed plugin that does nothing: in a forked process, and as the original runs it.

Owns the measurement and its table. The original starts `python -m cloudify.dispatch` for each hook,
with its input and its output in files. The work is done in another process, so it is wall-clock time
that counts; both run on one core.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from listener.actions import Call, Surroundings
from listener.actions.function import FunctionAction
from listener.hooks.settings import ListenerSettings
from listener.hooks.table import Hook
from listener.model.notification import Notification
from tests.benchmarks.machine import LISTENER_CORE, on_core
from tests.benchmarks.tables import at_least, at_most, judged, median, quantile, ratio, show
from tests.handmade_plugins import (
    dispatch_input,
    installed,
    make_plugin,
    run_dispatch,
)

TASK = "from cloudify import ctx\ndef nothing(context, **inputs):\n    return None\n"
CONTEXT = {"tenant_name": "acme", "execution_id": "x1", "rest_token": "ctok-a-b"}
CALL = Call(
    Hook("benchmark", ("*",), "the-plugin.tasks.nothing", {"team": "core"}, 1, {}),
    Notification("workflow_failed", CONTEXT),
    CONTEXT,
    0.0,
)


class Way(NamedTuple):
    """One way to call, and how often in a repetition; `tidy` follows each call and is not measured."""

    name: str
    call: Callable[[], object]
    calls: int
    tidy: Callable[[], object] = lambda: None


def run(_python: str, quick: bool) -> None:
    repetitions, calls, starts = (2, 20, 2) if quick else (11, 200, 5)
    with tempfile.TemporaryDirectory(prefix="ch-") as folder, on_core(LISTENER_CORE):
        packages = installed(Path(folder, "packages"), "cloudify-common==7.0.5")
        plugin = make_plugin(Path(folder, "plugins"), "the-plugin", {"tasks.py": TASK}, packages)
        text = json.dumps(dispatch_input(plugin, "tasks.nothing", CONTEXT, {"team": "core"}))

        def original() -> None:
            Path(folder, "input.json").write_text(text)
            run_dispatch(plugin, folder)
            json.loads(Path(folder, "output.json").read_bytes())

        with (
            closing(FunctionAction(Surroundings(ListenerSettings(), folder))) as new,
            closing(FunctionAction(Surroundings(ListenerSettings(), folder))) as warm,
        ):
            ways = (
                Way("the original", original, starts),
                Way("ours, the first call", lambda: new.run(CALL), starts, new.close),
                Way("ours, at a pace", lambda: warm.run(CALL), calls, lambda: time.sleep(0.01)),
            )
            costs: dict[Way, list[list[float]]] = {way: [] for way in ways}
            for repetition in range(repetitions + 1):
                for way in ways:
                    times = [_timed(way) for _ in range(way.calls)]
                    if repetition:  # the first one starts the interpreter, and writes byte code
                        costs[way].append(times)
    _show(repetitions, costs)


def _timed(way: Way) -> float:
    """ms of one call."""
    began = time.perf_counter_ns()
    way.call()
    ended = time.perf_counter_ns()
    way.tidy()
    return (ended - began) / 1e6


def _show(repetitions: int, costs: dict[Way, list[list[float]]]) -> None:
    middles = {way: [median(times) for times in every] for way, every in costs.items()}
    original, first, paced = middles
    rows = []
    for way, middle in middles.items():
        all_times = [single for times in costs[way] for single in times]
        rows.append(
            (
                way.name,
                judged(median(middle), at_most(3) if way is paced else None),
                f"{quantile(all_times, 0.99):.3g}",
                judged(ratio(middle, middles[original]), at_most(1) if way is first else None),
                judged(ratio(middles[original], middle), at_least(50) if way is paced else None),
            )
        )
    show(
        f"plugins: ms for one task, repetitions: {repetitions}",
        ("way", "p50 ms", "p99 ms", "of the original", "times as fast"),
        rows,
    )
