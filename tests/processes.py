"""Processes of this machine that tests look for: children, those that still live, and their runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
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
    tasks = Path("/proc/self/task").iterdir()
    return {pid for task in tasks for pid in (task / "children").read_text().split()}


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
