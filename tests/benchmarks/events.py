"""Events a second, CPU time an event, and latency, through a real supervisord.

Owns the course of one measurement and its table. The moment that counts as handled is the same for
every listener: supervisord has taken in its answer (stopwatch.py). An answer comes after the work, and
is the only effect that all of them have; a proxy around the listener would cost more than some of
them do, and so would tracing. Latency is from just before the emitter writes a frame to that moment, at
a pace at which nothing queues. The rate is measured with all events waiting, from their first answer to
their last; no answer is missing, or the measurement fails. CPU time is read when one more event has
been answered after those, so that log lines which waited for a pause are paid for.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

from supervisor.events import ProcessCommunicationEvent

from listener.supervisord.emit import MIN_FRAME
from tests.benchmarks import supervised
from tests.benchmarks.listeners import (
    CHILDUTILS,
    MINIMAL,
    SUPERLANCE,
    Listener,
    environment,
    ours,
    parts,
    write_hooks_conf,
)
from tests.benchmarks.notifications import (
    text,
    trap_and_function_hooks,
    trap_hook,
    unmatched_hooks,
)
from tests.benchmarks.sink import Sink
from tests.benchmarks.tables import Wanted, at_least, judged, median, quantile, ratio, show

_PACE_NS = 4_000_000  # between two paced events; the slowest listener here needs a tenth of it


class Plan(NamedTuple):
    """How much is measured: payloads in bytes, and how many events of each phase.

    A function takes a process for each event, so its rows have fewer: `calls`.
    """

    size: int
    paced: int
    saturated: int
    calls: int


class Row(NamedTuple):
    """A listener in the table: what its rate should be of the minimal one's, and of another's."""

    listener: Listener
    of_minimal: Wanted | None = None
    parts: Listener | None = None
    of_parts: Wanted | None = None
    has_function: bool = False


class Course(NamedTuple):
    """What one run gave: a rate, µs of CPU an event, latencies in ms."""

    rate: float
    listener_us: float
    children_us: float
    supervisord_us: float
    p50_ms: float
    p99_ms: float


def run(python: str, quick: bool) -> None:
    repetitions = 1 if quick else 5
    plans = (
        [Plan(300, 50, 1000, 200), Plan(8192, 50, 300, 200)]
        if quick
        else [Plan(300, 500, 20_000, 2_000), Plan(8192, 500, 5_000, 2_000)]
    )
    with Sink() as sink:
        port = str(sink.address[1])
        trap, both = trap_hook(int(port)), trap_and_function_hooks(int(port))
        parts_of_trap = parts("a trap", port, "journal", traps=1)
        parts_of_both = parts("a trap and a function", port, "journal", "function", traps=1)
        rows = [
            Row(MINIMAL),
            Row(MINIMAL._replace(name="minimal, and the recorder", is_recorded=True), at_least(0.93)),
            Row(ours("nothing matches", unmatched_hooks())),
            Row(ours("a trap, in memory", trap, has_state_dir=False, traps=1)),
            Row(parts_of_trap),
            Row(ours("a trap", trap, traps=1), at_least(0.38), parts_of_trap, at_least(0.65)),
            Row(parts_of_both, has_function=True),
            Row(ours("a trap and a function", both, traps=1), at_least(0.21), parts_of_both,
                at_least(0.55), has_function=True),
            Row(CHILDUTILS),
            Row(SUPERLANCE),
        ]  # fmt: skip
        for plan in plans:
            courses: dict[Listener, list[Course]] = {row.listener: [] for row in rows}
            for _ in range(repetitions):
                for row in rows:
                    of_row = plan._replace(saturated=plan.calls) if row.has_function else plan
                    before = sink.count()
                    courses[row.listener].append(_course(python, row.listener, of_row))
                    _check_traps(sink.count() - before, row.listener, of_row)
            _show(plan, repetitions, rows, courses)


def _course(python: str, listener: Listener, plan: Plan) -> Course:
    """Measure one listener under a supervisord of its own."""
    frame = _frame(plan.size)
    warm, paced = 1, 1 + plan.paced
    saturated, last = paced + plan.saturated, paced + plan.saturated + 1
    with tempfile.TemporaryDirectory(prefix="ch-") as name:
        folder = Path(name)
        write_hooks_conf(listener, folder)
        marks = (warm, paced, saturated, last)
        command = (python, *listener.arguments)
        env = environment(python, folder, has_state_dir=listener.has_state_dir)
        recording = listener.is_recorded
        with supervised.running(command, frame, marks, folder, env, recording=recording) as subject:
            subject.emit(1, 0, warm)
            subject.pin_listener()
            subject.emit(plan.paced, _PACE_NS, paced)
            before = subject.used()
            subject.emit(plan.saturated, 0, saturated)
            subject.emit(1, 0, last)
            after = subject.used()
            emitted, answered = subject.emitted(), subject.answered()
    latencies = [(answered[n] - emitted[n]) / 1e6 for n in range(warm, paced)]
    listener_us, children_us, supervisord_us = (
        (end - begin) / 1000 / (last - paced) for begin, end in zip(before, after, strict=True)
    )
    return Course(
        (plan.saturated - 1) * 1e9 / (answered[saturated - 1] - answered[paced]),
        listener_us,
        children_us,
        supervisord_us,
        quantile(latencies, 0.5),
        quantile(latencies, 0.99),
    )


def _frame(size: int) -> bytes:
    """What the emitter writes: a notification without an id, so that none is a repetition."""
    begin, end = ProcessCommunicationEvent.BEGIN_TOKEN, ProcessCommunicationEvent.END_TOKEN
    framed: bytes = begin + text(size).encode("ascii") + end + b"\n"
    if len(framed) < MIN_FRAME:
        raise ValueError(f"frames of {len(framed)} bytes break supervisord")
    return framed


def _check_traps(count: int, listener: Listener, plan: Plan) -> None:
    expected = listener.traps * (plan.paced + plan.saturated + 2)
    if count != expected:
        raise RuntimeError(f"{count} traps came, expected {expected}")


def _show(plan: Plan, repetitions: int, rows: list[Row], courses: dict[Listener, list[Course]]) -> None:
    rates = {listener: [course.rate for course in runs] for listener, runs in courses.items()}
    cells = []
    for listener, of_minimal, whole, of_parts, _ in rows:
        middle = Course(*map(median, zip(*courses[listener], strict=True)))
        cells.append(
            (
                listener.name,
                f"{middle.rate:,.0f}",
                judged(ratio(rates[listener], rates[MINIMAL]), of_minimal),
                judged(ratio(rates[listener], rates[whole]), of_parts) if whole else "",
                f"{middle.listener_us:.1f}",
                f"{middle.children_us:.1f}",
                f"{middle.supervisord_us:.1f}",
                f"{middle.p50_ms:.2f}",
                f"{middle.p99_ms:.2f}",
            )
        )
    show(
        f"events: {plan.saturated:,} of {plan.size:,} bytes, {plan.paced} paced, runs: {repetitions}",
        ("listener", "events/s", "of minimal's", "of the parts'", "CPU µs", "children's",
         "supervisord's", "p50 ms", "p99 ms"),
        cells,
        "CPU µs are for an event, of the listener, its children and supervisord; none was lost."
        f" With a function there are {plan.calls:,} events.",
    )  # fmt: skip
