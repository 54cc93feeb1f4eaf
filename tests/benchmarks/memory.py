"""The listener's memory after few events and after many, with a trap and a function for each.

Owns the measurement and its table. Events come by a pipe, each one answered before the next is sent.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.listeners import environment, ours, write_hooks_conf
from tests.benchmarks.machine import SUPERVISORD_CORE, on_core, rss_bytes
from tests.benchmarks.notifications import text, trap_and_function_hooks, v3_trap_hook
from tests.benchmarks.piped import PipedListener
from tests.benchmarks.sink import Sink
from tests.benchmarks.tables import at_most, judged, show
from tests.support import event


def run(python: str, quick: bool) -> None:
    few, many = (200, 2_000) if quick else (2_000, 100_000)
    rows = [
        _row(python, "a trap and a function", trap_and_function_hooks, few, many),
        _row(python, "a trap of version 3", v3_trap_hook, few, many),
    ]
    columns = ("listener", f"event {few:,}", f"event {many:,}", "difference")
    show("memory: resident MB of the listener", columns, rows)


def _row(
    python: str, name: str, hooks: Callable[[int], str], few: int, many: int
) -> tuple[str, str, str, str]:
    with (
        tempfile.TemporaryDirectory(prefix="ch-") as folder,
        Sink() as sink,
        on_core(SUPERVISORD_CORE),
    ):
        subject = ours(name, hooks(sink.address[1]))
        write_hooks_conf(subject, Path(folder))
        with PipedListener(python, subject, environment(python, Path(folder))) as listener:
            listener.expect(b"READY\n")
            megabytes = []
            serial = 0
            for count in (few, many):
                while serial < count:
                    serial += 1
                    listener.send(event(text(300), serial=serial))
                    listener.expect(b"RESULT 2\nOKREADY\n")
                megabytes.append(rss_bytes(listener.pid) / 1e6)
        if sink.count() != many:
            raise RuntimeError(f"{sink.count()} traps came, expected {many}")
    before, after = megabytes
    return subject.name, f"{before:.1f}", f"{after:.1f}", judged(after - before, at_most(2))
