"""The journal when it is small and when it is large: an event's cost, that of verbs, the start.

Owns the journals that are measured, filled here by the journal's own room, and their table. Events come
by a pipe, one after another; what grows is the file alone.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from listener.hooks.watch import HooksFile
from listener.model.entry import Attempt, Entry, Run
from listener.overview.counts import CountingJournal
from listener.overview.metrics import Metrics
from listener.overview.textfile import Textfile
from listener.state.journal import Journal
from listener.supervisord.presence import presence_of
from tests.benchmarks.interpreter import CHECKOUT
from tests.benchmarks.listeners import environment, ours, write_hooks_conf
from tests.benchmarks.machine import LISTENER_CORE, SUPERVISORD_CORE, cpu_ns, on_core
from tests.benchmarks.notifications import EVENT_TYPE, text, trap_hook
from tests.benchmarks.piped import PipedListener
from tests.benchmarks.sink import Sink
from tests.benchmarks.tables import at_most, judged, median, ratio, show
from tests.support import event

_BATCH = 10_000
_UNSETTLED = 10_000
_VERBS = {"history": 100, "status": 300, "explain 1": 300, "check --against history": 1000}
"""With the most milliseconds that each may take."""


def run(python: str, quick: bool) -> None:
    sizes = (1_000, 20_000) if quick else (1_000, 1_000_000)
    events, repetitions = (200, 1) if quick else (3_000, 5)
    with (
        tempfile.TemporaryDirectory(prefix="ch-") as name,
        Sink() as sink,
        on_core(SUPERVISORD_CORE),
    ):
        folders = [Path(name) / str(size) for size in sizes]
        subject = ours("a trap", trap_hook(sink.address[1]))
        for folder, size in zip(folders, sizes, strict=True):
            (folder / "state").mkdir(parents=True)
            write_hooks_conf(subject, folder)
            _fill(folder / "state", size)
        us: list[list[float]] = [[] for _ in sizes]
        ms: dict[str, list[list[float]]] = {verb: [[] for _ in sizes] for verb in _VERBS}
        for _ in range(repetitions):
            for place, folder in enumerate(folders):
                us[place].append(_event_us(python, subject.name, folder, sink, events))
                for verb, spent in ms.items():
                    spent[place].append(_verb_ms(python, folder, verb))
        metrics = [_metrics_ms(folder) for folder in folders]
        ready = [_ready_ms(python, Path(name) / f"unsettled-{n}", n) for n in (0, _UNSETTLED)]
        report_ms = [_once_ms(python, folder, "report", "--html", "-") for folder in folders]
    rows = [
        (f"{size:,} entries", f"{median(us[place]):.0f}",
         *(f"{median(spent[place]):.0f}" for spent in ms.values()), f"{report_ms[place]:.0f}")
        for place, size in enumerate(sizes)
    ]  # fmt: skip
    most = [judged(median(ms[verb][1]), at_most(limit)) + " ms" for verb, limit in _VERBS.items()]
    most.append(judged(report_ms[1], at_most(30_000)) + " ms")
    rows.append(("ratio", judged(ratio(us[1], us[0]), at_most(1.15)), *most))
    show("journal: µs from an event to its answer, ms of verbs", ("", "event", *_VERBS, "report"), rows)
    show(
        "journal: ms to write the metrics of ten hooks",
        ("", "metrics"),
        [(f"{sizes[0]:,} entries", f"{metrics[0]:.2f}"),
         (f"{sizes[1]:,} entries", judged(metrics[1], at_most(5)))],
    )  # fmt: skip
    show(
        f"journal: CPU ms to READY, and with {_UNSETTLED:,} unsettled entries",
        ("", "READY"),
        [("none", f"{ready[0]:.1f}"), (f"{_UNSETTLED:,}", f"{ready[1]:.1f}")],
    )


def _fill(state: Path, count: int, entry: Entry | None = None) -> None:
    """Put entries into a journal: settled ones unless another is given."""
    journal = Journal(str(state))
    for begin in range(0, count, _BATCH):
        journal.accept_all(_entries(begin, min(count, begin + _BATCH), entry or _SETTLED))
    journal.close()


def _entries(begin: int, end: int, entry: Entry) -> Iterator[Entry]:
    for number in range(begin, end):
        yield msgspec.structs.replace(entry, key=f"1.1/{number} 0123456789abcdef")


_SETTLED = Entry(
    0, time.time(), "supervisord", "done", text(400), event_type=EVENT_TYPE, execution_id="e-1",
    runs=(Run("workflow_started-1", "cloudify.snmp.snmp_trap.send_snmp_trap", "done",
              attempts=(Attempt(time.time(), "done", "sent to 127.0.0.1:162", 0.001),)),),
)  # fmt: skip


def _event_us(python: str, name: str, folder: Path, sink: Sink, events: int) -> float:
    subject = ours(name, trap_hook(sink.address[1]))
    with PipedListener(python, subject, environment(python, folder)) as listener:
        listener.expect(b"READY\n")
        frames = [event(text(300), serial=serial) for serial in range(events)]
        spent = []
        for frame in frames:
            began = time.perf_counter_ns()
            listener.send(frame)
            listener.expect(b"RESULT 2\nOKREADY\n")
            spent.append((time.perf_counter_ns() - began) / 1000)
    return median(spent)


def _verb_ms(python: str, folder: Path, verb: str) -> float:
    return median([_once_ms(python, folder, *verb.split()) for _ in range(5)])


def _once_ms(python: str, folder: Path, *verb: str) -> float:
    env = environment(python, folder)
    began = time.perf_counter()
    with on_core(LISTENER_CORE):
        command = [python, "-m", "listener", *verb]
        result = subprocess.run(command, env=env, cwd=CHECKOUT, check=False, capture_output=True)
    assert result.returncode in (0, 1), result.stderr  # status finds that no listener runs
    return (time.perf_counter() - began) * 1000


def _metrics_ms(folder: Path) -> float:
    """As a listener does it that has acted on an event by each of ten hooks."""
    hooks_file = HooksFile(folder / "hooks.conf", {})
    presence = presence_of(str(hooks_file.path), None, {}, time.time())
    spent = []
    with closing(CountingJournal(str(folder / "state"))) as journal:
        for number in range(10):
            journal.counts.ended(msgspec.structs.replace(_SETTLED.runs[0], hook=f"hook-{number}"))
        metrics = Metrics(journal, hooks_file, presence)
        textfile = Textfile(str(folder / "hooks.prom"), metrics.text)
        for _ in range(21):
            began = time.perf_counter()
            textfile.write(time.time())
            spent.append((time.perf_counter() - began) * 1000)
    return median(spent)


def _ready_ms(python: str, folder: Path, unsettled: int) -> float:
    """CPU time to READY with so many entries that wait for a retry which is far away."""
    (folder / "state").mkdir(parents=True)
    subject = ours("", trap_hook(9))
    write_hooks_conf(subject, folder)
    run = Run("workflow_started-1", "x.y", due_at=time.time() + 86_400, attempts=(Attempt(1.0),))
    pending = msgspec.structs.replace(_SETTLED, state="pending", runs=(run,))
    _fill(folder / "state", unsettled, pending)
    spent = []
    for _ in range(9):
        with PipedListener(python, subject, environment(python, folder)) as listener:
            listener.expect(b"READY\n")
            spent.append(cpu_ns(listener.pid) / 1e6)
    return median(spent)
