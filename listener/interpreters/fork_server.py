"""A child interpreter that forks a process for each call: how it is started, ordered and ended.

Owns its process and the channel for orders; child/server.py is the other end. It sends no request and
knows no hook. worker.py has one at a time.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from listener.interpreters.call import CallProcess
from listener.interpreters.child import sessions
from listener.interpreters.output import Output

_SCRIPT = os.path.join(os.path.dirname(__file__), "child", "main.py")
_MAX_REPLY = 65536
_END_S = 1.0
_REPLY_S = 1.0


class ForkServer:
    """One running interpreter. Raises OSError or ValueError when it cannot be started.

    `env` is its environment, None is ours.
    """

    def __init__(self, python: str, arguments: Sequence[str], env: Mapping[str, str] | None) -> None:
        with _connection(socket.SOCK_SEQPACKET) as (self._control, reader, control, writer):
            self._process = subprocess.Popen(
                [python, "-u", "-X", "faulthandler", _SCRIPT, str(control.fileno()), *arguments],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=writer,
                pass_fds=(control.fileno(),),
                start_new_session=True,
            )
        self._control.settimeout(_REPLY_S)
        self.output = Output(reader)
        self._imported = {""}

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def fork(self, module: str = "") -> CallProcess:
        """Have a module imported and the process of a call forked, which says when it is there.

        Raises OSError.
        """
        call = self._order("fork", module)
        call.module = "" if module in self._imported else module
        self._imported.add(module)
        return call

    def program(self) -> CallProcess:
        """Have a program started, as the request of the call will say. Raises OSError."""
        return self._order("run")

    def _order(self, verb: str, argument: str = "") -> CallProcess:
        with _connection(socket.SOCK_STREAM) as (channel, reader, end, writer):
            order = json.dumps({verb: argument}).encode()
            with suppress(ConnectionError):  # it has ended, and so the call's channel does
                socket.send_fds(self._control, [order], [end.fileno(), writer])
        return CallProcess(channel, reader)

    def problem(self) -> Mapping[str, str]:
        """Why it has not forked: `{"threads": MODULE}`, `{"fork": REASON}`, or {} if it has ended."""
        reply = self._reply()
        return reply if isinstance(reply, dict) else {}

    def status_of(self, call: CallProcess) -> int | None:
        """The exit status of a call as subprocess has it, negative for a signal; None while it runs."""
        with suppress(OSError):
            self._control.send(json.dumps({"status": call.pid}).encode())
            status = self._reply()
            return os.waitstatus_to_exitcode(status) if isinstance(status, int) else None
        return None

    def _reply(self) -> Any:
        """A reply; None when none comes."""
        try:
            return json.loads(self._control.recv(_MAX_REPLY) or b"null")
        except (OSError, ValueError):
            return None

    def wait(self, seconds: float) -> int | None:
        """The exit status; None when it does not end within this time."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """End it, every call, and every program that calls have left behind in their process groups.

        One that does not obey is killed after a second.
        """
        self._control.close()
        if self.wait(_END_S) is None:
            sessions.kill({self.pid})
            self.wait(_END_S)
        self.output.close()


@contextmanager
def _connection(kind: int) -> Iterator[tuple[socket.socket, int, socket.socket, int]]:
    """A channel and a pipe for output, our ends and theirs; in the end only ours stay open.

    After an error none does.
    """
    with ExitStack() as theirs, ExitStack() as ours:
        channel, end = socket.socketpair(socket.AF_UNIX, kind)
        ours.callback(channel.close)
        theirs.callback(end.close)
        reader, writer = os.pipe()
        ours.callback(os.close, reader)
        theirs.callback(os.close, writer)
        yield channel, reader, end, writer
        ours.pop_all()
