"""One listener under a real supervisord, with a program beside it that emits.

Owns the supervisord, its configuration and the two named pipes: orders to the emitter, and what the
stopwatch inside supervisord has heard. events.py runs one for each measurement.
"""

from __future__ import annotations

import os
import select
import shlex
import subprocess
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks import machine
from tests.benchmarks.interpreter import CHECKOUT
from tests.benchmarks.notifications import PROGRAMS

_LIMIT_S = 120.0

_CONF = """\
[supervisord]
nodaemon=true
loglevel=warn
logfile={folder}/supervisord.log
pidfile={folder}/pid
childlogdir={folder}

[eventlistener:subject]
command={listener}
events=PROCESS_COMMUNICATION
buffer_size=65536
result_handler=tests.benchmarks.stopwatch:hear
autorestart=false
startsecs=0
stdout_logfile=NONE
stderr_logfile={folder}/subject.log
stderr_logfile_maxbytes=10MB

[program:emitter]
command={emitter}
autorestart=false
startsecs=0
stdout_capture_maxbytes=1MB
stdout_logfile=NONE
stderr_logfile={folder}/emitter.log
"""


_RECORDER = """\

[unix_http_server]
file={folder}/s

[rpcinterface:conductor_hooks]
supervisor.rpcinterface_factory=listener.supervisord.recorder:make_recorder
state_dir={folder}/recording
"""


class Used(NamedTuple):
    """CPU time since the start, in ns: of the listener, of its children, of supervisord."""

    listener: int
    children: int
    supervisord: int


class Supervised:
    """What a measurement does: order events, wait for their answers, look at clocks."""

    def __init__(self, supervisord: int, folder: Path, orders: int, heard: int) -> None:
        self._supervisord = supervisord
        self._folder = folder
        self._orders = orders
        self._heard = heard
        self._poll = select.poll()
        self._poll.register(heard, select.POLLIN)

    def emit(self, count: int, interval_ns: int, answers: int) -> None:
        """Have `count` events emitted and wait until `answers` have been answered in all."""
        os.write(self._orders, b"%d %d\n" % (count, interval_ns))
        if not self._poll.poll(_LIMIT_S * 1000):
            logs = "".join(path.read_text()[-2000:] for path in sorted(self._folder.glob("*.log")))
            raise RuntimeError(f"waited {_LIMIT_S:g} s in vain for {answers} answers\n{logs}")
        told = int(os.read(self._heard, 64))
        if told != answers:
            raise RuntimeError(f"supervisord heard {told} answers, expected {answers}")

    def pin_listener(self) -> None:
        """Give the listener and what it has started a core of their own."""
        pid = self._listener()
        for process in (pid, *machine.children(pid)):
            os.sched_setaffinity(process, {machine.LISTENER_CORE})

    def used(self) -> Used:
        pid = self._listener()
        children = sum(map(machine.cpu_ns, machine.children(pid)))
        return Used(machine.cpu_ns(pid), children, machine.cpu_ns(self._supervisord))

    def emitted(self) -> Sequence[int]:
        """When each event was written, in ns."""
        return _moments(self._folder / "emitted")

    def answered(self) -> Sequence[int]:
        """When supervisord took in each answer, in ns."""
        return _moments(self._folder / "answered")

    def _listener(self) -> int:
        pids = machine.children(self._supervisord)
        return next(pid for pid in pids if "emitter.py" not in machine.command_line(pid))


def _moments(path: Path) -> Sequence[int]:
    moments = array("q")
    moments.frombytes(path.read_bytes())
    return moments


@contextmanager
def running(
    command: Sequence[str],
    frame: bytes,
    marks: Sequence[int],
    folder: Path,
    env: Mapping[str, str],
    *,
    recording: bool = False,
) -> Iterator[Supervised]:
    """A supervisord with the listener that `command` starts; its files go to `folder`, a new one.

    `frame` is what the emitter writes for each event, `marks` are all the counts of answers that
    will be waited for.
    """
    for name in ("orders", "heard"):
        os.mkfifo(folder / name)
    (folder / "frame").write_bytes(frame)
    emitter = (sys.executable, *map(str, (PROGRAMS / "emitter.py", folder / "orders",
               folder / "emitted", folder / "frame")))  # fmt: skip
    conf = folder / "supervisord.conf"
    text = _CONF.format(folder=folder, listener=shlex.join(command), emitter=shlex.join(emitter))
    if recording:
        (folder / "recording").mkdir()
        text += _RECORDER.format(folder=folder)
    conf.write_text(text)
    env = {
        **env,
        "BENCHMARK_MARKS": " ".join(map(str, marks)),
        "BENCHMARK_ANSWERED": str(folder / "answered"),
        "BENCHMARK_HEARD": str(folder / "heard"),
    }
    # Both directions, so that opening waits for nobody.
    orders, heard = (os.open(folder / name, os.O_RDWR) for name in ("orders", "heard"))
    with machine.on_core(machine.SUPERVISORD_CORE):
        process = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", conf],
            env=env,
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    try:
        yield Supervised(process.pid, folder, orders, heard)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(orders)
        os.close(heard)
