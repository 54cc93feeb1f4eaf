"""The fork server: imports modules, and forks a process for each call; or starts programs.

Owns the imports, the processes that it has started, and their end when the listener is gone. It calls
no function: call.py does, in the forked process. fork_server.py talks to it, by messages of JSON:
`{"fork": MODULE}` and `{"run": ""}`, which bring the descriptors of a channel and of an output, and
`{"status": PID}`, which is answered with the exit status of a call, or null.
"""

import array
import contextlib
import io
import json
import os
import select
import signal
import socket
import sys
import time

from . import call, lines, sessions
from .modules import Modules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Sequence, Tuple

    from .program import Program

_MAX_ORDER = 65536
_FDS = array.array("i", (0, 0))  # what an order brings
_LOOK_MS = 1000
_STATUS_S = 0.5
_GRACE_S = 0.5  # between SIGTERM and SIGKILL, when the listener is gone


def serve(control_fd: int, memory_mib: int) -> None:
    """Follow orders until the listener closes its end; then end every call and what it has left."""
    for fd, name in ((1, "stdout"), (2, "stderr")):
        raw = open(fd, "wb", 0, closefd=False)  # noqa: SIM115
        # Written at once, so that what was printed is known even of a call that crashed.
        setattr(sys, name, io.TextIOWrapper(raw, "utf-8", "backslashreplace", write_through=True))
    lines.log_everything()
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, control_fd)
    control.set_inheritable(False)
    _Server(control, memory_mib).serve()


class _Server:
    def __init__(self, control: socket.socket, memory_mib: int) -> None:
        self._control = control
        self._memory_mib = memory_mib
        self._modules = Modules()
        self._calls: "List[int]" = []
        self._left: "List[int]" = []
        self._ended: "Dict[int, int]" = {}
        self._programs: "Dict[int, Program]" = {}
        self._poll = select.poll()
        self._poll.register(self._control, select.POLLIN)

    def serve(self) -> None:
        while True:
            self._reap()
            is_idle = len(self._calls) <= 1 and not self._left  # that one waits for its request
            ready = dict(self._poll.poll(None if is_idle else _LOOK_MS))
            if self._control.fileno() not in ready:
                for woken in ready:
                    os.read(woken, _MAX_ORDER)
                continue
            order, fds = self._receive()
            if not order:
                break
            if "fork" in order:
                self._fork(order["fork"], fds)
            elif "run" in order:
                self._run(*fds)
            else:
                self._send(self._status(order["status"]))
        sessions.end({*self._calls, *self._left}, _GRACE_S)

    def _receive(self) -> "Tuple[Dict[str, Any], Sequence[int]]":
        size = socket.CMSG_SPACE(len(_FDS) * _FDS.itemsize)
        data, ancillary, _, _ = self._control.recvmsg(_MAX_ORDER, size)
        fds = array.array("i")
        for _, _, content in ancillary:
            fds.frombytes(content)
        return (json.loads(data.decode()) if data else {}), fds

    def _send(self, value: "Any") -> None:
        with contextlib.suppress(OSError):  # the listener has gone, which the next look shows
            self._control.send(json.dumps(value).encode())

    def _fork(self, module: str, fds: "Sequence[int]") -> None:
        """Import the module, and fork the process of a call; say why if that is not possible."""
        self._ended.clear()
        channel, output = fds
        problem = self._modules.load(module)
        if not problem:
            try:
                pid = os.fork()
            except OSError as error:
                problem = {"fork": str(error.strerror)}
            else:
                if not pid:
                    self._control.close()
                    call.serve(channel, output, self._memory_mib, self._modules)
                self._calls.append(pid)
        if problem:
            self._send(problem)
        os.close(channel)
        os.close(output)

    def _run(self, channel: int, output: int) -> None:
        """Start a program, and be woken when it ends."""
        from . import program  # imports subprocess, which functions need not have

        if signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL:
            self._wake_at_ends()
        started = program.start(channel, output)
        os.close(output)
        if started is not None:
            self._calls.append(started.pid)
            self._programs[started.pid] = started

    def _wake_at_ends(self) -> None:
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda _signum, _frame: None)
        self._poll.register(woken, select.POLLIN)
        if self._memory_mib:
            call.bound_memory(self._memory_mib)  # programs inherit it

    def _reap(self) -> None:
        """Take the status of the calls that have ended, and see which of them left programs behind."""
        for pid in self._calls[:]:
            try:
                ended, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:  # an imported module has SIGCHLD ignored, or its handler waits
                self._calls.remove(pid)
                self._left.append(pid)
                continue
            if ended:
                self._calls.remove(pid)
                self._left.append(pid)
                self._ended[pid] = status
                if pid in self._programs:
                    self._programs.pop(pid).say_end(status)
        self._left = [pid for pid in self._left if _has_group(pid)]

    def _status(self, pid: int) -> "Any":
        """The wait status of a call, whose channel closes a moment before it ends; or None."""
        deadline = time.monotonic() + _STATUS_S
        while pid in self._calls and time.monotonic() < deadline:
            time.sleep(0.002)
            self._reap()
        return self._ended.get(pid)


def _has_group(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True
