"""A network between a client and the broker that a test can break.

Owns a listening port, one thread, and the connections that pass through it. It never looks at what
passes. Tests of network faults call it.
"""

from __future__ import annotations

import contextlib
import enum
import select
import socket
import struct
import threading

from tests.rabbitmq.broker import HOST

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: a close sends RST."""


class _State(enum.Enum):
    PASSING = enum.auto()
    STALLED = enum.auto()
    CUT = enum.auto()
    CLOSED = enum.auto()


class Proxy:
    """Passes TCP connections on to `port`; what a call changes has changed at its return."""

    def __init__(self, port: int) -> None:
        self._target = (HOST, port)
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._peers: dict[socket.socket, socket.socket] = {}
        self._state = _State.PASSING
        self._has_closed = False
        self._caller, self._called = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._become(_State.CLOSED)
        self._thread.join()
        for each in (self._listener, self._caller, self._called):
            each.close()

    def cut(self) -> None:
        """Reset all connections, and each new one until `mend`."""
        self._become(_State.CUT)

    def stall(self) -> None:
        """Keep the connections, and pass nothing until `mend`; new ones get no answer."""
        self._become(_State.STALLED)

    def mend(self) -> None:
        """Pass again, with what has been held back meanwhile."""
        self._become(_State.PASSING)

    def _become(self, state: _State) -> None:
        self._state = state
        self._caller.send(b".")
        self._caller.recv(1)

    def _run(self) -> None:
        while not self._has_closed:  # which is later than it is told to, and was answered
            for ready in select.select(self._watched(), [], [])[0]:
                if ready is self._called:
                    self._obey()
                elif ready is self._listener:
                    self._accept()
                elif ready in self._peers:  # not reset in this turn
                    self._pass_on(ready)

    def _watched(self) -> list[socket.socket]:
        stalled = self._state is _State.STALLED
        return [self._called] if stalled else [self._called, self._listener, *self._peers]

    def _obey(self) -> None:
        if self._state in (_State.CUT, _State.CLOSED):
            while self._peers:
                self._reset(next(iter(self._peers)))
        self._has_closed = self._state is _State.CLOSED
        self._called.send(self._called.recv(1))

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        self._peers[client] = client
        if self._state is _State.PASSING:
            with contextlib.suppress(OSError):  # the broker is down
                server = socket.create_connection(self._target)
                self._peers |= {client: server, server: client}
        if self._peers[client] is client:
            self._reset(client)

    def _pass_on(self, source: socket.socket) -> None:
        try:
            data = source.recv(65536)
            self._peers[source].sendall(data)
        except OSError:
            self._reset(source)
            return
        if not data:
            self._close(source)

    def _reset(self, one: socket.socket) -> None:
        for each in (one, self._peers[one]):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._close(one)

    def _close(self, one: socket.socket) -> None:
        for each in {one, self._peers[one]}:
            del self._peers[each]
            each.close()
