"""Resolves the names of trap receivers in threads, and waits a bounded time for each.

Owns the threads, as a resolver may never answer, and the last good address of each name. It sends
nothing; the action snmp_trap calls it for the addresses that sender.py sends to.
"""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from listener import log
from listener.errors import ActionFailed

_log = logging.getLogger(__name__)

ANSWER_S = 5.0
"""The wait for a name that has no address yet. A later answer is kept for the next use."""
FRESH_S = 60.0
"""The resolver is asked again when an address is older; until it answers, that address stays in use."""

_BRIEFLY_S = 0.05
"""The wait for a newer address of a name that has one. It is enough for most resolvers."""


_TO: Mapping[int, str] = {
    socket.AF_UNSPEC: "",
    socket.AF_INET: " to an IPv4 address",
    socket.AF_INET6: " to an IPv6 address",
}


class Address(NamedTuple):
    """Where datagrams go: the socket's family, and its address there."""

    family: int
    sockaddr: tuple[Any, ...]


class Host(NamedTuple):
    """What to resolve: a name or an address, and the family that its address must have."""

    name: str
    family: int = socket.AF_UNSPEC


def family_of(address: str) -> int:
    """The family of an address; any family for ''."""
    if not address:
        return socket.AF_UNSPEC
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def resolve(host: Host, flags: int = 0) -> Address:
    """The address that the system's resolver has. It may block. Raises OSError, UnicodeError."""
    name, wanted = host
    family, _, _, _, sockaddr = socket.getaddrinfo(name, 0, wanted, socket.SOCK_DGRAM, flags=flags)[0]
    return Address(family, sockaddr)


class Names(dict["Host", "Name"]):
    """A Name for each host that is asked for; `ask` resolves one and may block."""

    def __init__(
        self,
        ask: Callable[[Host], Address] = resolve,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._now = now

    def __missing__(self, host: Host) -> Name:
        name = self[host] = Name(host, self._ask, self._now)
        return name


class Name:
    """One name and its address; `now` is the clock of the deadlines.

    Each lookup has a thread of its own, which cannot be stopped.
    """

    def __init__(self, host: Host, ask: Callable[[Host], Address], now: Callable[[], float]) -> None:
        self._host = host
        self._ask = ask
        self._now = now
        self._address = literal(host.name)
        self._fresh_until = math.inf if self._address else -math.inf
        self._problem = ""
        self._asked_at = -math.inf
        self._is_answered = threading.Event()
        self._is_answered.set()

    def look_up(self) -> None:
        """Start to resolve it unless its address is fresh."""
        if self._is_answered.is_set() and self._now() >= self._fresh_until:
            self._problem = ""
            is_answered = threading.Event()
            lookup = threading.Thread(
                target=self._run, args=(is_answered,), name="resolver", daemon=True
            )
            lookup.start()
            self._is_answered, self._asked_at = is_answered, self._now()

    def _run(self, is_answered: threading.Event) -> None:
        try:
            self._address = self._ask(self._host)
        except OSError as error:
            self._problem = error.strerror or str(error)
        except UnicodeError:
            self._problem = "it is no name"
        if self._address is not None:
            self._fresh_until = self._now() + FRESH_S
        is_answered.set()

    def address(self, deadline: float) -> Address:
        """What the lookup brings, or the last good one. Raises ActionFailed if it has none by then."""
        until = min(deadline, self._asked_at + (_BRIEFLY_S if self._address else ANSWER_S))
        is_answered = log.flush_during(self._is_answered.wait, until - self._now())
        problem, self._problem = self._problem, ""
        if self._address is None:
            waited_s = self._now() - self._asked_at
            why = problem if is_answered else f"no answer from the resolver in {waited_s:.0f} s"
            raise ActionFailed(
                f"the name {self._host.name!r:.80} cannot be resolved{_TO[self._host.family]} ({why})"
            )
        if problem:
            _log.warning("the name %.80r cannot be resolved (%s); its last address %s stays in use",
                         self._host.name, problem, self._address.sockaddr[0])  # fmt: skip
        return self._address

    def doubt(self) -> None:
        """Resolve it again at its next use: the receiver may have moved."""
        if self._fresh_until < math.inf:
            self._fresh_until = -math.inf


def literal(host: str) -> Address | None:
    """The address that the text itself is, without the resolver."""
    try:
        return resolve(Host(host), socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
