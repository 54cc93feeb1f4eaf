"""Processes of this machine that tests look for: the children of one, and those that still live."""

from __future__ import annotations

from pathlib import Path


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
