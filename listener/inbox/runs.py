"""Runs of processes: a process and a later one with the same number are two.

Owns the text that names one run, of supervisord above all. It starts and ends no process. The recorder,
the inbox and app.py call it.
"""

from __future__ import annotations

import os


def run_of(pid: int) -> str:
    """The run of a process: `<pid>.<start>`, which no other process of this machine has until it boots.

    `start` is in clock ticks since the boot (proc(5)), 0 where /proc does not say.
    """
    fields = _stat(pid)
    return f"{pid}.{fields[19].decode() if fields else 0}"


def is_alive(run: str) -> bool:
    """Whether that process still runs. One that /proc hides, but a signal would reach, counts as
    alive."""
    pid, _, started = run.partition(".")
    if fields := _stat(int(pid)):
        return fields[0] not in (b"Z", b"X") and started in ("0", fields[19].decode())
    try:
        os.kill(int(pid), 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True


def is_stopped(pid: int) -> bool:
    """Whether that process was stopped, by SIGSTOP or a debugger, and does not continue by itself."""
    return _stat(pid)[:1] in ([b"T"], [b"t"])


def _stat(pid: int) -> list[bytes]:
    """The fields of /proc/<pid>/stat behind the name (proc(5)), state first; [] without that file."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []
