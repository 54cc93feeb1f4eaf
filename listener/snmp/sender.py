"""UDP sockets to trap receivers: sends traps, and informs until they are answered.

Owns the sockets, one for the traps to each receiver, and the reasons for network errors. It knows no
SNMP: traps are whole datagrams, and a Conversation judges the answers. The action snmp_trap calls it.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Protocol

from listener import log
from listener.errors import ActionFailed
from listener.snmp.names import Address, Host, resolve
from listener.snmp.target import Target, address_name
from listener.state.stop import LOOK_S, NOBODY, Stop

_log = logging.getLogger(__name__)

_MAX_DATAGRAM = 65535
_UNFRAGMENTED: Mapping[int, int] = {socket.AF_INET: 1472, socket.AF_INET6: 1452}
"""Bytes that Ethernet carries in one packet: 1,500 less the headers of IP and UDP."""


class Conversation(Protocol):
    """An inform on its way: its messages, and what the receiver's answers mean."""

    target: Target

    def message(self) -> bytes:
        """The datagram to send next. Raises ActionFailed when there can be none."""
        ...

    def is_answered(self, datagram: bytes) -> bool | None:
        """Whether this acknowledges it; None when the next `message` must be sent at once.

        Raises ActionFailed when the receiver has refused it.
        """
        ...

    def unanswered(self) -> str:
        """A hint for people when no answer comes."""
        ...


class TrapSender:
    """Sends datagrams. Its sockets stay connected, so that the system reports refusals."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._sockets: dict[tuple[str, str], tuple[Address, socket.socket]] = {}
        self._fragmented: set[str] = set()
        self._now = now

    def send(self, datagram: bytes, target: Target, address: Address) -> None:
        """Send a trap. Whether it arrives stays unknown.

        Raises ActionFailed when it cannot be sent, and when the receiver's host refuses it at once, as
        this host does. A refusal that comes later is a WARNING at the next trap.
        """
        self._warn_of_fragments(len(datagram), target, address)
        known, kept = self._sockets.get((target.name, target.source), (None, None))
        if kept is None or known != address:
            kept = self._connect_anew(target, address)
        try:
            kept.send(datagram)
        except OSError as error:  # of the trap before, or of the socket: after a route change, say
            kept = self._connect_anew(target, address)
            with _failing(target, len(datagram)):
                kept.send(datagram)
            _log.warning("what was sent to %s before may not have arrived: %s",
                         target.name, error.strerror)  # fmt: skip
        if refused := kept.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise ActionFailed(_reason(refused, len(datagram), target))

    def converse(
        self, informs: Iterable[tuple[Conversation, Address]], deadline: float, stop: Stop = NOBODY
    ) -> dict[str, str]:
        """Send informs, side by side, until each is acknowledged or given up.

        Returns the reasons of those that failed, by the names of their targets. All have ended by
        `deadline`, or soon after `stop` is asked for.
        """
        problems: dict[str, str] = {}
        waiting: dict[str, _Waiting] = {}
        with ExitStack() as sockets:
            for inform, address in informs:
                name = inform.target.name
                with _noting(problems, name):
                    one = _Waiting(inform, address, self._now(), sockets, self._warn_of_fragments)
                    one.send()
                    waiting[name] = one
            while waiting:
                ready = self._ready(waiting.values(), deadline)
                now = self._now()
                for name, one in list(waiting.items()):
                    with _noting(problems, name):
                        if not (one.fileno() in ready and one.receive()):
                            one.retry_if_due(now, is_late=now >= deadline or stop.is_asked())
                            continue
                    del waiting[name]
        return problems

    def _ready(self, waiting: Collection[_Waiting], deadline: float) -> set[int]:
        """Wait until a datagram has come or a try has waited long enough; the sockets to read."""
        poll = select.poll()
        for one in waiting:
            poll.register(one, select.POLLIN)
        next_at = min(deadline, *(one.next_at for one in waiting))
        wait_s = min(LOOK_S, max(0.0, next_at - self._now()))
        return {fd for fd, _ in log.flush_during(lambda seconds: poll.poll(seconds * 1000), wait_s)}

    def close(self) -> None:
        """Close every socket. Safe to call twice."""
        while self._sockets:
            self._sockets.popitem()[1][1].close()

    def _connect_anew(self, target: Target, address: Address) -> socket.socket:
        key = target.name, target.source
        if key in self._sockets:
            self._sockets.pop(key)[1].close()
        with _failing(target):
            new = _connect(target, address)
        self._sockets[key] = address, new
        return new

    def _warn_of_fragments(self, size: int, target: Target, address: Address) -> None:
        """Once for each receiver."""
        most = _UNFRAGMENTED[address.family]
        if size > most and target.name not in self._fragmented:
            self._fragmented.add(target.name)
            _log.warning(
                "a message to %s has %d bytes: above %d it is sent in fragments, which a network may"
                " drop; let firewalls on the way pass them", target.name, size, most
            )  # fmt: skip


class _Waiting:
    """A conversation that waits for its answer. It has a socket of its own, so no other comes there.

    A second socket gets what comes to the first one's port from other addresses than the receiver's:
    one with several addresses may answer from another than it was asked at.
    """

    def __init__(
        self,
        conversation: Conversation,
        address: Address,
        now: float,
        sockets: ExitStack,
        check_size: Callable[[int, Target, Address], None],
    ) -> None:
        self._conversation = conversation
        self._target = conversation.target
        self._address = address
        self._check_size = check_size
        self._tries = 1
        self._began_at = now
        self.next_at = now + self._target.timeout_s
        with _failing(self._target):
            self._socket = sockets.enter_context(_connect(self._target, address))
            self._beside = sockets.enter_context(socket.socket(address.family, socket.SOCK_DGRAM))
            _share_port(self._socket, self._beside)

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> bool:
        """Read a datagram; whether it is the acknowledgement. Raises ActionFailed."""
        with _failing(self._target):
            datagram = self._socket.recv(_MAX_DATAGRAM)
        answered = self._conversation.is_answered(datagram)
        if answered is None:
            self.send()
        return bool(answered)

    def retry_if_due(self, now: float, *, is_late: bool) -> None:
        """Send again when a try has waited long enough. Raises ActionFailed after the last try."""
        if now < self.next_at and not is_late:
            return
        if is_late or self._tries > self._target.retries:
            tries = "1 try" if self._tries == 1 else f"{self._tries} tries"
            raise ActionFailed(
                f"no acknowledgement from {self._target.name} within"
                f" {now - self._began_at:.1f} s ({tries}): {self._hint()}"
            )
        self._tries += 1
        self.next_at = now + self._target.timeout_s
        self.send()

    def send(self) -> None:
        """Send the conversation's next message. Raises ActionFailed."""
        datagram = self._conversation.message()
        self._check_size(len(datagram), self._target, self._address)
        with _failing(self._target, len(datagram)):
            self._socket.send(datagram)

    def _hint(self) -> str:
        try:
            _, address = self._beside.recvfrom(1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return self._conversation.unanswered()
        return (
            f"an answer came from {address_name(*address[:2])} instead; let the receiver listen on the"
            " address that you send to, or send to that one"
        )


def _connect(target: Target, address: Address) -> socket.socket:
    new = socket.socket(address.family, socket.SOCK_DGRAM)
    host, _, *scope = address.sockaddr
    try:
        if target.source:
            _bind(new, target.source)
        new.connect((host, target.port, *scope))
    except (OSError, ActionFailed):
        new.close()
        raise
    return new


def _bind(new: socket.socket, source: str) -> None:
    try:
        new.bind(resolve(Host(source), socket.AI_NUMERICHOST).sockaddr)
    except (OSError, UnicodeError) as error:
        raise ActionFailed(f"this host has no address {source}; correct source_address") from error


def _share_port(connected: socket.socket, other: socket.socket) -> None:
    """Give the other the first one's port; the system prefers the first for what its peer sends."""
    for each in (connected, other):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    other.bind(connected.getsockname())


@contextmanager
def _noting(problems: dict[str, str], name: str) -> Iterator[None]:
    """Turns an ActionFailed inside into the problem of this target."""
    try:
        yield
    except ActionFailed as error:
        problems[name] = str(error)


@contextmanager
def _failing(target: Target, size: int = 0) -> Iterator[None]:
    """Turns an OSError inside into ActionFailed."""
    try:
        yield
    except OSError as error:
        raise ActionFailed(_reason(error.errno, size, target)) from error


def _reason(error: int | None, size: int, target: Target) -> str:
    way = f"from {target.source} to {target.name}" if target.source else f"to {target.name}"
    if error == errno.ECONNREFUSED:
        return f"nothing listens for traps at {target.name} (connection refused); start the receiver"
    if error == errno.EMSGSIZE:
        return f"sending {way} failed: {size} bytes are too many for one datagram"
    return f"sending {way} failed: {os.strerror(error or 0)}"
