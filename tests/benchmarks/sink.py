"""A UDP socket on the loopback device that traps are sent to.

Owns the count of what came. Nobody reads it during a measurement, which would take CPU time from what
is measured: what does not fit is dropped by the kernel, which counts the drops.
"""

from __future__ import annotations

import contextlib
import socket
import struct

_BUFFER_BYTES = 4 * 2**20
_SO_MEMINFO = 55  # linux/socket.h; Python does not name it
_MEMINFO = struct.Struct("9I")  # linux/sock_diag.h; the last one is SK_MEMINFO_DROPS


class Sink:
    """A context manager."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self._received = 0

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._socket.getsockname()
        return str(host), int(port)

    def drain(self) -> bytes:
        """Make room; return the last datagram, or b'' when none has come."""
        last = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                last = self._socket.recv(65535)
                self._received += 1
        return last

    def count(self) -> int:
        """How many datagrams have come so far."""
        self.drain()
        meminfo = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        return self._received + int(_MEMINFO.unpack(meminfo)[-1])

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
