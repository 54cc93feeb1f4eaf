"""Processes of this machine that tests look for: children, those that still live, and their runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from listener.inbox.runs import run_of

ALIVE = run_of(os.getpid())
DEAD = f"{os.getpid()}.1"
"""The run of a process that had our pid before."""


@contextmanager
def another_process() -> Iterator[subprocess.Popen[bytes]]:
    """It waits, and ends with the block."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def children() -> set[str]:
    """Our own child processes, the ended ones that nobody has reaped too."""
    found: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # the thread ended while we looked
            found.update((task / "children").read_text().split())
    return found


def open_files(pid: int | str) -> dict[int, str]:
    """What each of a process's file descriptors leads to, without those that it closes meanwhile."""
    found = {}
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found[int(descriptor.name)] = os.readlink(descriptor)
    return found


def living(group: int) -> list[int]:
    """The processes of a group that still run; one that waits to be reaped by init does not."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text(errors="replace")
        except OSError:
            continue  # it ended while we looked
        state, _, its_group = text.rpartition(")")[2].split()[:3]
        if int(its_group) == group and state not in "ZX":
            found.append(int(stat.parent.name))
    return found
