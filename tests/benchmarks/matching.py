"""What hooks cost before an action runs: which of them match, and their templates.

Owns the measurement and its table. All of it is computed in this process, on one core.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from listener.dispatch.attempt import rendered
from tests.benchmarks.machine import LISTENER_CORE, on_core
from tests.benchmarks.notifications import EVENT_TYPE, call, table
from tests.benchmarks.tables import at_most, judged, median, show

HOOK = f"hooks:\n- event_type: {EVENT_TYPE}\n  implementation: a.b\n"
PATTERNS = HOOK + "  when: {tenant_name: '*', workflow_id: '*'}\n"
EVERY_CONDITION = (
    HOOK + "  when: {during: '00:00-24:00 Europe/Berlin', not: {tenant_name: !regex '^x'},"
    " any: [{execution_parameters.a: null}]}\n"
)
TEMPLATE = (
    HOOK
    + "  inputs: {body: !template '{{ deployment_id }} of {{ tenant_name | upper }}: {{ text }}'}\n"
)
MOST_US = 50.0


def run(_: str, quick: bool) -> None:
    repetitions, times = (2, 20) if quick else (21, 5_000)
    template = call(TEMPLATE, 300, 0.0)
    works: dict[str, Callable[[], object]] = {
        "match, no condition": _match(HOOK),
        "match, two patterns": _match(PATTERNS),
        "match, the other conditions": _match(EVERY_CONDITION),
        "a template with three fields": lambda: rendered(template),
    }
    with on_core(LISTENER_CORE):
        taken = {
            name: median([_timed(work, times) for _ in range(repetitions)])
            for name, work in works.items()
        }
    rows = [
        (name, f"{us:.2f}", judged(us / MOST_US, at_most(1) if "template" in name else None))
        for name, us in taken.items()
    ]
    show(f"hooks: µs for one, repetitions: {repetitions}", ("work", "p50 µs", "of 50 µs"), rows)


def _match(conf: str) -> Callable[[], object]:
    hooks, context = table(conf), call(HOOK, 300, 0.0).hook_context
    return lambda: hooks.match(EVENT_TYPE, context, 1.7e9)


def _timed(work: Callable[[], object], times: int) -> float:
    began = time.perf_counter_ns()
    for _ in range(times):
        work()
    return (time.perf_counter_ns() - began) / 1000 / times
