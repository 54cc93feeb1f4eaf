"""From starting a listener to its READY, and to its first answer.

Owns the measurement and its table. CPU time is what counts; it is read from the process's own clock
at the moment READY arrives here, on another core, so what the listener does after READY is not in it.
The first event is sent at once after READY: what was put off until then shows in its column.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.listeners import (
    CHILDUTILS,
    CONSOLE_SCRIPT,
    MINIMAL,
    SUPERLANCE,
    Listener,
    environment,
    ours,
    write_hooks_conf,
)
from tests.benchmarks.machine import SUPERVISORD_CORE, cpu_ns, on_core
from tests.benchmarks.notifications import ten_hooks, text, v3_trap_hook
from tests.benchmarks.piped import PipedListener
from tests.benchmarks.sink import Sink
from tests.benchmarks.tables import at_most, judged, median, ratio, show
from tests.support import event


class Start(NamedTuple):
    """One start, all in ms since it was begun."""

    ready: float
    ready_cpu: float
    first: float
    first_cpu: float


def run(python: str, quick: bool) -> None:
    repetitions = 3 if quick else 31
    with Sink() as sink, on_core(SUPERVISORD_CORE):
        version_3 = ours("a trap of version 3", v3_trap_hook(sink.address[1]))
        listeners = [
            MINIMAL, ours("python -m listener", ten_hooks()), version_3, CHILDUTILS, SUPERLANCE
        ]  # fmt: skip
        if Path(CONSOLE_SCRIPT).exists():
            listeners.insert(2, ours("conductor-hooks", ten_hooks(), console_script=True))
        starts: dict[Listener, list[Start]] = {listener: [] for listener in listeners}
        for repetition in range(repetitions + 1):
            for listener in listeners:
                with tempfile.TemporaryDirectory(prefix="ch-") as folder:
                    start = _start(python, listener, Path(folder), sink.address[1])
                if repetition:  # the first one writes byte code and fills the page cache
                    starts[listener].append(start)
        traps = sink.count()
    each = sum(1 if listener is version_3 else 2 for listener in listeners if listener.conf)
    expected = (repetitions + 1) * each
    if traps != expected:
        raise RuntimeError(f"{traps} traps came, expected {expected}")
    _show(repetitions, listeners, starts)


def _start(python: str, listener: Listener, folder: Path, trap_port: int) -> Start:
    write_hooks_conf(listener, folder)
    frame = event(text(300))
    with PipedListener(python, listener, environment(python, folder, trap_port)) as subject:
        moments = []
        for answer in (b"READY\n", b"RESULT 2\nOKREADY\n"):
            subject.expect(answer)
            used = cpu_ns(subject.pid)
            moments += [(time.monotonic_ns() - subject.began_ns) / 1e6, used / 1e6]
            if len(moments) == 2:
                subject.send(frame)
    return Start(*moments)


def _show(repetitions: int, listeners: list[Listener], starts: dict[Listener, list[Start]]) -> None:
    cpu = {listener: [start.ready_cpu for start in starts[listener]] for listener in listeners}
    rows = []
    for listener in listeners:
        middle = Start(*map(median, zip(*starts[listener], strict=True)))
        is_ours = bool(listener.conf)
        rows.append(
            (
                listener.name,
                f"{middle.ready:.1f}",
                f"{middle.ready_cpu:.1f}",
                judged(ratio(cpu[listener], cpu[MINIMAL]), at_most(4.5) if is_ours else None),
                judged(ratio(cpu[listener], cpu[CHILDUTILS]), at_most(0.65) if is_ours else None),
                judged(middle.first, at_most(150) if is_ours else None),
                f"{middle.first_cpu:.1f}",
            )
        )
    show(
        f"ready: to READY and to the first answer, ms, ours with 10 hooks, starts: {repetitions}",
        ("listener", "READY", "CPU", "of minimal's CPU", "of childutils'", "first answer", "CPU"),
        rows,
        "Ours has sent one trap of version 3, or two others, by its first answer.",
    )
