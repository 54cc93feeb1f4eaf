"""The traps that hooks send, counted by the notification that they are about.

Owns one UDP socket on loopback. It decodes nothing: a name stands in its trap as it is.
"""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Traps:
    def __init__(self, receiver: socket.socket) -> None:
        self._receiver = receiver
        self.port: int = receiver.getsockname()[1]

    def take(self) -> Counter[str]:
        """How many came for each name since this was last asked. One that was sent has arrived."""
        found = Counter[str]()
        with suppress(BlockingIOError):
            while True:
                datagram = self._receiver.recv(65535)
                found.update({name.decode() for name in _names(datagram)})
        return found


def _names(datagram: bytes) -> Iterator[bytes]:
    """The octet strings that are names; what follows one may begin with a byte that is a digit."""
    for match in re.finditer(rb"\x04([\x03-\x0f])(?=e-[0-9])", datagram):
        yield datagram[match.end() : match.end() + match[1][0]]


@contextmanager
def received() -> Iterator[Traps]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        yield Traps(receiver)
