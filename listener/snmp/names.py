"""Names of trap receivers become addresses, off the listener's path and within a bound.

Owns the threads that ask the resolver, which may never answer, and the last good address of each name.
sender.py sends to what it gives.
"""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from listener import log
from listener.errors import ActionFailed

_log = logging.getLogger(__name__)

ANSWER_S = 5.0
"""So long a name without any address is waited for; its resolver may still answer later."""
FRESH_S = 60.0
"""After so long, the resolver is asked again; the last good address stays in use until it answers."""

_BRIEFLY_S = 0.05
"""What a resolver needs as a rule; so long its answer is waited for although an address is known."""


class Address(NamedTuple):
    """Where datagrams go: the socket's family, and its address there."""

    family: int
    sockaddr: tuple[Any, ...]


class _Lookup:
    """One question to the resolver, in a thread of its own, which nobody can end."""

    def __init__(self, host: str, ask: Callable[[str], Address], now: Callable[[], float]) -> None:
        self.began_at = now()
        self.ended_at = math.inf
        self.address: Address | None = None
        self.problem = ""
        self._is_over = threading.Event()
        thread = threading.Thread(target=self._run, args=(host, ask, now), name="resolver", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # there are too many already
            self.problem = str(error)
            self._end(now)

    def _run(self, host: str, ask: Callable[[str], Address], now: Callable[[], float]) -> None:
        try:
            self.address = ask(host)
        except OSError as error:
            self.problem = error.strerror or str(error)
        except UnicodeError:
            self.problem = "it is no name"
        finally:
            self._end(now)

    def _end(self, now: Callable[[], float]) -> None:
        self.ended_at = now()
        self._is_over.set()

    def is_over(self, wait_s: float = 0.0) -> bool:
        return self._is_over.wait(max(0.0, wait_s))


class _Known(NamedTuple):
    address: Address
    since: float


class Names:
    """Addresses by name. `ask` is the blocking question, `now` the clock of `deadline`s."""

    def __init__(
        self,
        ask: Callable[[str], Address] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask or _ask
        self._now = now
        self._known: dict[str, _Known] = {}
        self._lookups: dict[str, _Lookup] = {}

    def look_up(self, hosts: Iterable[str]) -> Sequence[str]:
        """Begin to ask for names whose address is not known, or not fresh; those to be waited for."""
        now = self._now()
        unknown: list[str] = []
        for host in hosts:
            known, lookup = self._known.get(host), self._lookups.get(host)
            if known is not None and now - known.since < FRESH_S:
                continue
            if lookup is None or now - lookup.ended_at >= FRESH_S:
                lookup = self._lookups[host] = _Lookup(host, self._ask, self._now)
            if known is None and not lookup.is_over():
                unknown.append(host)
        return unknown

    def doubt(self, host: str) -> None:
        """Ask for this name again before it is used again: it may mean another address by now."""
        if known := self._known.get(host):
            self._known[host] = _Known(known.address, -math.inf)

    def address(self, host: str, deadline: float) -> Address:
        """The address of a name. Raises ActionFailed when there is none by then."""
        self.look_up((host,))
        if lookup := self._lookups.get(host):
            self._hear(host, lookup, deadline)
        return self._known[host].address

    def _hear(self, host: str, lookup: _Lookup, deadline: float) -> None:
        """Make the answer known; without one, the last good address stays. Raises ActionFailed."""
        known = self._known.get(host)
        until = min(deadline, lookup.began_at + (_BRIEFLY_S if known else ANSWER_S))
        is_over = log.flush_during(lookup.is_over, until - self._now())
        if is_over:
            del self._lookups[host]
        if lookup.address is not None and is_over:
            self._known[host] = _Known(lookup.address, lookup.ended_at)
        elif known is None:
            waited_s = self._now() - lookup.began_at
            problem = lookup.problem if is_over else f"no answer from the resolver in {waited_s:.0f} s"
            raise ActionFailed(
                f"the name {host!r:.80} cannot be resolved ({problem}); correct destination_address"
            )
        elif is_over:
            _log.warning("the name %.80r cannot be resolved (%s); its last address %s stays in use",
                         host, lookup.problem, known.address.sockaddr[0])  # fmt: skip
            self._known[host] = _Known(known.address, lookup.ended_at)


def _ask(host: str) -> Address:
    family, _, _, _, sockaddr = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)[0]
    return Address(family, sockaddr)


def literal(host: str) -> Address | None:
    """The address that the text itself is; a name is only looked at."""
    if ":" not in host and not host[-1:].isdigit():
        return None  # no address of either family ends so
    try:
        family, _, _, _, sockaddr = socket.getaddrinfo(
            host, 0, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
        )[0]
    except (OSError, UnicodeError):
        return None
    return Address(family, sockaddr)
