"""The processes of a session, and how they are ended.

Owns the search in /proc. A group is not enough: `timeout` and a shell with job control put their
programs into groups of their own. What has made a session of its own is left alone. The fork server
calls it, and so does the listener, at a timeout.
"""

import contextlib
import os
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Container, List

_LOOK_S = 0.02
_KILL_S = 1.0


def pids(ids: "Container[int]") -> "List[int]":
    """The processes in these sessions that have not ended."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has just gone
            with open("/proc/%s/stat" % name, "rb") as file:
                state, _, _, session = file.read().rpartition(b")")[2].split()[:4]
            if int(session) in ids and state not in (b"Z", b"X"):
                found.append(int(name))
    return found


def send(ids: "Container[int]", signum: int) -> None:
    """Send a signal to every process in these sessions."""
    for pid in pids(ids):
        with contextlib.suppress(OSError):
            os.kill(pid, signum)


def kill(ids: "Container[int]") -> None:
    """Kill every process in these sessions, and what these start meanwhile."""
    deadline = time.monotonic() + _KILL_S
    while pids(ids) and time.monotonic() < deadline:
        send(ids, signal.SIGKILL)
        time.sleep(_LOOK_S)


def end(
    ids: "Container[int]", grace_s: float, meanwhile: "Callable[[], object]" = lambda: None
) -> bool:
    """Let every process in these sessions end by SIGTERM; kill what is left after `grace_s`.

    False when something was. `meanwhile` is called again and again.
    """
    send(ids, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while pids(ids) and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
        meanwhile()
    have_ended = not pids(ids)
    kill(ids)
    return have_ended
