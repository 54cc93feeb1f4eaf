"""The machine under the benchmarks: its cores, and what a process has used of it.

Owns the knowledge of Linux: affinity, CPU clocks, /proc. It starts and ends nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import clock_gettime_ns

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_CORES = sorted(os.sched_getaffinity(0))

SUPERVISORD_CORE = _CORES[0]
LISTENER_CORE = _CORES[-1]
"""The same as the other one on a machine with one core."""


def described() -> str:
    """What stands above the tables."""
    pinned = f"listeners on core {LISTENER_CORE}, whoever feeds them on core {SUPERVISORD_CORE}"
    return f"{len(_CORES)} cores; {pinned}"


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Stay on one core, and so does what is started meanwhile, from its first instruction on."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_ns(pid: int) -> int:
    """The CPU time that a process has used so far, all its threads, in user and kernel mode.

    This is the process's own clock (clock_getcpuclockid), exact also while it runs; what /proc
    tells is up to a timer tick old, a third of what it takes to start a small interpreter.
    """
    return clock_gettime_ns((~pid << 3) | 2)


def rss_bytes(pid: int) -> int:
    """The memory of a process that is in RAM now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


def children(pid: int) -> list[int]:
    """The processes that a process has started and that are still there."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
