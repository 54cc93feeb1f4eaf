"""Informs that a real snmptrapd acknowledges, one after another, beside libsnmp in C.

Owns the measurement and its table; ratios are of wall-clock time. Without Debian's snmptrapd it says so
and measures nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from listener.actions.snmp_trap.action import SnmpTrapAction
from listener.errors import ActionFailed
from tests.benchmarks.libsnmp import Libsnmp
from tests.benchmarks.machine import LISTENER_CORE, SUPERVISORD_CORE, on_core
from tests.benchmarks.notifications import V3_USER, call, trap_hook, v3_trap_hook
from tests.benchmarks.tables import at_most, judged, median, ratio, show
from tests.snmp.receivers import closed_port

_LIMIT_S = 20.0


def run(_python: str, quick: bool) -> None:
    program = shutil.which("snmptrapd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        print("\ninforms are left out: install snmptrapd")
        return
    repetitions, count = (2, 20) if quick else (7, 2000)
    with (
        tempfile.TemporaryDirectory(prefix="ch-") as folder,
        _receiver(program, Path(folder)) as port,
        on_core(LISTENER_CORE),
    ):
        ways = _ways(Path(folder), port, count)
        costs: dict[str, list[float]] = {name: [] for name in ways}
        for repetition in range(repetitions + 1):
            for name, way in ways.items():
                cost = way()
                if repetition:
                    costs[name].append(cost)
    _show(repetitions, costs)


def _ways(folder: Path, port: int, count: int) -> dict[str, Callable[[], float]]:
    """Each sends `count` informs, those of version 3 fewer, and gives the µs for one."""
    ways: dict[str, Callable[[], float]] = {}
    if libsnmp := Libsnmp.made_in(folder):
        ways["libsnmp in C"] = lambda: libsnmp.send("inform", port, count).wall
    numbers = itertools.count(1)
    ours = SnmpTrapAction(time.monotonic(), numbers.__next__, str(folder))
    ways["ours, 2c"] = _timed(ours, trap_hook(port), count)
    ways["ours, 3 with authPriv"] = _timed(ours, v3_trap_hook(port), count // 10)
    return ways


def _timed(ours: SnmpTrapAction, conf: str, count: int) -> Callable[[], float]:
    attempt = call(conf.rstrip("\n") + "\n      notify: inform\n", 300, time.time())

    def way() -> float:
        began = time.perf_counter_ns()
        for _ in range(count):
            ours.run(attempt)
        return (time.perf_counter_ns() - began) / 1000 / count

    return way


@contextlib.contextmanager
def _receiver(program: str, folder: Path) -> Iterator[int]:
    """A snmptrapd that answers, and prints nothing; its port."""
    port = closed_port("127.0.0.1")
    conf = folder / "snmptrapd.conf"
    user = V3_USER["user"]
    keys = f'{V3_USER["auth_protocol"]} "{V3_USER["auth_key"]}"'
    keys += f' {V3_USER["priv_protocol"]} "{V3_USER["priv_key"]}"'
    conf.write_text(f"authCommunity log public\ncreateUser {user} {keys}\nauthUser log {user} priv\n")
    env = {**os.environ, "MIBS": "", "SNMPCONFPATH": str(folder), "SNMP_PERSISTENT_DIR": str(folder)}
    command = [program, "-f", "-Ln", "-n", "-C", "-c", str(conf), f"udp:127.0.0.1:{port}"]
    with on_core(SUPERVISORD_CORE), subprocess.Popen(command, env=env) as process:
        try:
            _wait_until_it_answers(port)
            yield port
        finally:
            process.kill()


def _wait_until_it_answers(port: int) -> None:
    ours = SnmpTrapAction(time.monotonic(), itertools.count(1).__next__)
    conf = trap_hook(port).rstrip("\n") + "\n      notify: inform\n      timeout: 0.5\n"
    with contextlib.closing(ours):
        deadline = time.monotonic() + _LIMIT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(ActionFailed):
                ours.run(call(conf, 300, time.time()))
                return
    raise RuntimeError("snmptrapd does not answer")


def _show(repetitions: int, costs: dict[str, list[float]]) -> None:
    least = costs.get("libsnmp in C")
    rows = []
    for name, every in costs.items():
        of_least = (
            ""
            if least is None
            else judged(ratio(every, least), at_most(2) if name == "ours, 2c" else None)
        )
        rows.append((name, f"{median(every):,.1f}", f"{1e6 / median(every):,.0f}", of_least))
    show(
        f"informs: acknowledged by snmptrapd, repetitions: {repetitions}",
        ("way", "µs", "informs/s", "of libsnmp's µs"),
        rows,
    )
