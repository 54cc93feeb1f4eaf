"""Processes of this machine, and how one is told from another that has its number later.

Owns the text that stands for one run of a process, of supervisord above all. It starts and ends none.
"""

from __future__ import annotations

import os


def run_of(pid: int) -> str:
    """The run of a process: no other process of this machine has the same until it starts anew.

    `<pid>.<when it started, in clock ticks since the boot>`, the latter 0 where /proc does not tell.
    """
    fields = _stat(pid)
    return f"{pid}.{fields[19].decode() if fields else 0}"


def is_alive(run: str) -> bool:
    """Whether that process still runs. Who can be seen but not looked at counts as alive."""
    pid, _, started = run.partition(".")
    if fields := _stat(int(pid)):
        return fields[0] not in (b"Z", b"X") and started in ("0", fields[19].decode())
    try:
        os.kill(int(pid), 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True


def _stat(pid: int) -> list[bytes]:
    """What /proc/<pid>/stat says behind the name (proc(5)), state first; [] where it says nothing."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []
