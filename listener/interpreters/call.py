"""The listener's side of a call: the request goes to the process of that call, its answer comes back.

Owns the channel to one process, its output and its time limit. A process serves one request; nobody
else has its channel, so no other call can answer. The fork server makes them; worker.py uses them.
"""

from __future__ import annotations

import json
import logging
import pickle
import select
import socket
from collections.abc import Mapping
from typing import Any

from listener.interpreters.child import sessions
from listener.interpreters.output import Output
from listener.state.stop import Deadline

_log = logging.getLogger(__name__)

_PICKLE_PROTOCOL = 4  # the newest that Python 3.6 reads
_READ_BYTES = 65536
_MAX_ANSWER = 1 << 20
_GRACE_S = 2.0


class CallProcess:
    """A process that waits for its request. `pid` is 0 until it is known to be there.

    `module` is what its interpreter imports for the first time before it forks, '' for nothing.
    """

    def __init__(self, channel: socket.socket, output_fd: int) -> None:
        channel.setblocking(False)
        self._channel = channel
        self.output = Output(output_fd)
        self.pid = 0
        self.module = ""
        self._received = bytearray()
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        self._poll.register(output_fd, select.POLLIN)

    @property
    def has_hung_up(self) -> bool:
        """Whether it cannot take a request any more, or was never forked."""
        return bool(dict(self._poll.poll(0)).get(self._channel.fileno(), 0) & select.POLLHUP)

    def begin(self, deadline: Deadline) -> None:
        """Wait until the process is there. Raises TimeoutError; EOFError or OSError when it has ended,
        ValueError when it is none of ours."""
        if not self.pid:
            self.pid = int(self._line(deadline))

    def exchange(self, request: Mapping[str, Any], deadline: Deadline) -> dict[str, Any]:
        """Send the request, log the output, return the answer. Raises as `begin` does.

        A program is there only when the request has come, and then says so first.
        """
        self.output.secrets = request.get("secrets", ())
        message = pickle.dumps({**request, "timeout_s": deadline.left_s}, _PICKLE_PROTOCOL)
        line = self._line(deadline, message)
        if not self.pid:
            self.pid = int(line)
            line = self._line(deadline)
        answer = _decoded(line)
        self.output.drain()  # all that was printed before the answer: it is in the pipe
        self.output.finish_line()
        return _judged(answer, self.output)

    def _line(self, deadline: Deadline, message: bytes = b"") -> bytes:
        """The next line that the process sends, while it is sent the message."""
        rest = memoryview(message)
        self._poll.modify(self._channel, select.POLLIN | (select.POLLOUT if rest else 0))
        while b"\n" not in self._received:
            ready = self._wait(deadline)
            events = ready.get(self._channel.fileno(), 0)
            if rest and events & select.POLLOUT:
                rest = rest[self._channel.send(rest) :]
                if not rest:
                    self._poll.modify(self._channel, select.POLLIN)
            if self.output.fd in ready and not self.output.drain():
                self._poll.unregister(self.output.fd)
            if events & ~select.POLLOUT:
                self._receive()
        line, _, self._received = self._received.partition(b"\n")
        return bytes(line)

    def _wait(self, deadline: Deadline) -> dict[int, int]:
        """What can be read or written now. Raises TimeoutError when that is nothing until then."""
        ready = deadline.wait(lambda seconds: self._poll.poll(seconds * 1000))
        if not ready:
            raise TimeoutError
        return dict(ready)

    def _receive(self) -> None:
        part = self._channel.recv(_READ_BYTES)
        if not part:
            raise EOFError
        self._received += part
        if len(self._received) > _MAX_ANSWER:
            raise ValueError(f"an answer of more than {_MAX_ANSWER} bytes")

    def end(self) -> str:
        """End the session of the call, and log what it prints meanwhile; how it ended, in words."""
        if sessions.end({self.pid}, _GRACE_S, self.output.drain):
            return "ended by SIGTERM"
        return f"killed, as SIGTERM did not end them within {_GRACE_S:g} s"

    def close(self) -> None:
        """Let it go; a process that waits for its request ends. The output stays open."""
        self._channel.close()


def _decoded(line: bytes) -> dict[str, Any]:
    value = json.loads(line)
    if isinstance(value, str):
        return {"text": value}
    if not isinstance(value, dict):
        raise ValueError("neither a text nor an object")
    return value


def _judged(answer: dict[str, Any], output: Output) -> dict[str, Any]:
    """The answer; a failure that says so where all went well but for output that was dropped."""
    dropped = output.dropped()
    if dropped:
        _log.warning("%s: it %s", output.label, dropped)
    if "status" in answer:
        answer["last_line"] = "" if dropped else output.last_line
    if not dropped or "error" in answer or answer.get("status"):
        return answer
    then = "it ran to its end, and is not run again: let it print less, or into a file"
    return {"error": f"it {dropped}; {then}", "is_final": True}
