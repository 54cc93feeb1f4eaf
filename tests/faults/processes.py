"""The processes of one fault: found by a mark in their environment, and ended by their ids.

Owns that nothing which a fault has started outlives it, whoever its parent is by then. It never looks
for processes by name. __main__.py and the test end every fault with it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path

from tests.support import wait_for

_MARK = "CONDUCTOR_HOOKS_FAULT"


def environment(folder: Path, **more: str) -> Mapping[str, str]:
    """What every process of the fault in this folder is started with.

    Without coverage's variables: what is killed counts nothing, and starts in half the time.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return {**inherited, _MARK: str(folder), **more}


def of(folder: Path) -> list[int]:
    """The ids of all processes that were started for the fault in this folder."""
    mark = f"\0{_MARK}={folder}\0".encode()
    return [pid for pid in _all() if mark in b"\0" + _read(pid, "environ") + b"\0"]


def end_all(folder: Path) -> None:
    """Kill them, one by one, until none is left."""

    def none_is_left() -> bool:
        left = of(folder)
        for pid in left:
            kill(pid)
        return not left

    wait_for(f"the end of all processes of {folder}", none_is_left)


def kill(pid: int, signum: int = signal.SIGKILL) -> bool:
    """Send a signal; whether there was such a process. To 0 it would go to everybody in our group."""
    if pid <= 0:
        raise ValueError(f"{pid} is no process; supervisord says 0 of a program that does not run")
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return False
    return True


def is_gone(pid: int) -> bool:
    """Whether it has ended, although nobody may have asked for its status yet."""
    state = _read(pid, "stat").rpartition(b")")[2].split()[:1]
    return state in ([], [b"Z"], [b"X"])


def run_of(pid: int) -> str:
    """What tells this process from any other, as the recorder writes it: its id and its start."""
    return f"{pid}.{_read(pid, 'stat').rpartition(b')')[2].split()[19].decode()}"


def children(pid: int) -> list[int]:
    """The ids of its children."""
    return [child for child in _all() if _parent(child) == pid]


def command(pid: int) -> str:
    return _read(pid, "cmdline").replace(b"\0", b" ").decode("utf-8", "replace")


def _parent(pid: int) -> int:
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def _all() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
