"""UDP sockets to trap receivers, and the waiting for what they answer.

Owns the sockets, one kept for the traps to each receiver, and what the network says of what was sent.
It knows no SNMP: traps are whole datagrams, and a Conversation knows what an answer means.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from listener import log
from listener.errors import ActionFailed
from listener.snmp.names import Address

_log = logging.getLogger(__name__)

_MAX_DATAGRAM = 65535
_T = TypeVar("_T")


class Peer(NamedTuple):
    """A receiver: its address and port, and what it is called to people."""

    address: Address
    port: int
    name: str


class Conversation(Protocol):
    """An inform on its way: what is sent, and what its receiver's answers mean."""

    peer: Peer
    timeout_s: float
    retries: int

    def message(self) -> bytes:
        """The datagram to send next. Raises ActionFailed when there can be none."""
        ...

    def is_answered(self, datagram: bytes) -> bool | None:
        """Whether it is acknowledged by this; None when `message` is to be sent again, at once.

        Raises ActionFailed when the receiver has refused it.
        """
        ...

    def unanswered(self) -> str:
        """What may be wrong when no answer comes."""
        ...


class TrapSender:
    """Sends datagrams. A socket stays connected to its peer, so that a refusal is heard of."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._sockets: dict[str, tuple[Address, socket.socket]] = {}
        self._now = now

    def send(self, datagram: bytes, peer: Peer) -> None:
        """Send a trap. Nothing tells that it has arrived.

        Raises ActionFailed when it cannot be sent, and when the peer's host said at once that nothing
        listens there, as a local one does. A refusal that comes later is a WARNING at the next trap.
        """
        address, kept = self._sockets.get(peer.name, (None, None))
        if kept is None or (address is not peer.address and address != peer.address):
            kept = self._connected_anew(peer)
        try:
            kept.send(datagram)
        except OSError as error:
            try:
                kept.send(datagram)
            except OSError:  # it may be the old socket's: of a route that has changed, say
                kept = self._connected_anew(peer)
                _raising(partial(kept.send, datagram), peer, len(datagram))
            else:  # a socket tells of the datagram before at the next one, and does not send that
                _log.warning("what was sent to %s before did not arrive: %s", peer.name, error.strerror)
        if refused := kept.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise ActionFailed(_reason(refused, len(datagram), peer))

    def converse(self, conversations: Mapping[str, Conversation], deadline: float) -> dict[str, str]:
        """Send informs, all at once, until each is acknowledged or given up.

        Returns why it failed for each that did, by the same keys. `deadline` bounds all of them.
        """
        problems: dict[str, str] = {}
        poll = select.poll()
        open_ones: dict[int, _Open] = {}
        try:
            for key, conversation in conversations.items():
                try:
                    one = _Open(key, conversation, self._now())
                except ActionFailed as error:
                    problems[key] = str(error)
                else:
                    open_ones[one.fileno()] = one
                    poll.register(one, select.POLLIN)
            while open_ones:
                next_at = min(deadline, *(one.next_at for one in open_ones.values()))
                wait_s = max(0.0, next_at - self._now())
                ready = dict(log.flush_during(lambda seconds: poll.poll(seconds * 1000), wait_s))
                now = self._now()
                for fd, one in list(open_ones.items()):
                    try:
                        is_over = fd in ready and one.hear()
                        if not is_over:
                            one.go_on(now, is_late=now >= deadline)
                    except ActionFailed as error:
                        problems[one.key] = str(error)
                        is_over = True
                    if is_over:
                        poll.unregister(fd)
                        open_ones.pop(fd).close()
        finally:
            for one in open_ones.values():
                one.close()
        return problems

    def close(self) -> None:
        """Close every socket. Safe to call twice."""
        while self._sockets:
            self._sockets.popitem()[1][1].close()

    def _connected_anew(self, peer: Peer) -> socket.socket:
        if peer.name in self._sockets:
            self._sockets.pop(peer.name)[1].close()
        new = _raising(lambda: _connect(peer), peer, 0)
        self._sockets[peer.name] = peer.address, new
        return new


class _Open:
    """A conversation that waits for its answer, at a socket of its own: no other answer comes there."""

    def __init__(self, key: str, conversation: Conversation, now: float) -> None:
        self.key = key
        self.next_at = now + conversation.timeout_s
        self._conversation = conversation
        self._tries = 1
        self._began_at = now
        self._socket = _raising(lambda: _connect(conversation.peer), conversation.peer, 0)
        try:
            self._send()
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def hear(self) -> bool:
        """Whether what has come is the acknowledgement. Raises ActionFailed."""
        peer = self._conversation.peer
        datagram = _raising(lambda: self._socket.recv(_MAX_DATAGRAM), peer, 0)
        answered = self._conversation.is_answered(datagram)
        if answered is None:
            self._send()
        return bool(answered)

    def go_on(self, now: float, *, is_late: bool) -> None:
        """Try again if it is time to. Raises ActionFailed when that was the last try."""
        if now < self.next_at and not is_late:
            return
        if is_late or self._tries > self._conversation.retries:
            tries = "1 try" if self._tries == 1 else f"{self._tries} tries"
            raise ActionFailed(
                f"no acknowledgement from {self._conversation.peer.name} within"
                f" {now - self._began_at:.1f} s ({tries}): {self._conversation.unanswered()}"
            )
        self._tries += 1
        self.next_at = now + self._conversation.timeout_s
        self._send()

    def _send(self) -> None:
        datagram = self._conversation.message()
        _raising(lambda: self._socket.send(datagram), self._conversation.peer, len(datagram))


def _connect(peer: Peer) -> socket.socket:
    new = socket.socket(peer.address.family, socket.SOCK_DGRAM)
    host, _, *scope = peer.address.sockaddr
    try:
        new.connect((host, peer.port, *scope))
    except OSError:
        new.close()
        raise
    return new


def _raising(work: Callable[[], _T], peer: Peer, size: int) -> _T:
    """What `work` returns; an OSError is raised as ActionFailed."""
    try:
        return work()
    except OSError as error:
        raise ActionFailed(_reason(error.errno, size, peer)) from error


def _reason(error: int | None, size: int, peer: Peer) -> str:
    if error == errno.ECONNREFUSED:
        return f"nothing listens for traps at {peer.name} (connection refused); start the receiver"
    if error == errno.EMSGSIZE:
        return f"sending to {peer.name} failed: {size} bytes are too many for one datagram"
    return f"sending to {peer.name} failed: {os.strerror(error or 0)}"
