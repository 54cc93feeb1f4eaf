"""Names become addresses: what is asked, when it is asked again, and what a silent resolver costs.

The resolver is a double that a test can hold; the clock is one that a test sets. Literals, texts that
can be no name and 'localhost' are the real getaddrinfo's.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator

import pytest

from listener import log
from listener.errors import ActionFailed
from listener.snmp.names import ANSWER_S, FRESH_S, Address, Host, Names, resolve
from tests.support import do_without

LIMIT_S = 20.0
NAME = "traps.invalid"
FIRST = Address(socket.AF_INET, ("192.0.2.1", 0))
SECOND = Address(socket.AF_INET, ("192.0.2.2", 0))
UNKNOWN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")


class Resolver:
    """Answers what a test says, and while it is held nothing at all. It has the clock, too."""

    def __init__(self) -> None:
        self.answer: Address | Exception = FIRST
        self.asked: list[str] = []
        self.now = 1000.0
        self.names = Names(self._ask, lambda: self.now)
        self._is_free = threading.Event()
        self._is_free.set()

    def _ask(self, host: Host) -> Address:
        self.asked.append(host.name)
        assert self._is_free.wait(LIMIT_S), "the test never let the resolver go on"
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def hold(self) -> None:
        self._is_free.clear()

    def let_go(self) -> None:
        """Returns when every question has been answered."""
        self._is_free.set()
        for thread in resolvers():
            thread.join(LIMIT_S)
        assert resolvers() == []

    def address(self, host: str = NAME, within_s: float = LIMIT_S) -> Address:
        """What the action does; an answer that comes at all comes before anyone waits for it."""
        self.names[Host(host)].look_up()
        if self._is_free.is_set():
            self.let_go()
        return self.names[Host(host)].address(self.now + within_s)

    def failure(self, host: str = NAME, within_s: float = LIMIT_S) -> str:
        with pytest.raises(ActionFailed) as failure:
            self.address(host, within_s)
        return str(failure.value)


def resolvers() -> list[threading.Thread]:
    """The threads that are still asking."""
    return [thread for thread in threading.enumerate() if thread.name == "resolver"]


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    made = Resolver()
    yield made
    made.let_go()


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", Address(socket.AF_INET, ("127.0.0.1", 0))),
        ("::1", Address(socket.AF_INET6, ("::1", 0, 0, 0))),
        ("2001:db8::a", Address(socket.AF_INET6, ("2001:db8::a", 0, 0, 0))),
        ("::ffff:192.0.2.7", Address(socket.AF_INET6, ("::ffff:192.0.2.7", 0, 0, 0))),
    ],
)
def test_an_address_is_known_by_itself_for_ever(
    resolver: Resolver, host: str, address: Address
) -> None:
    for _ in range(2):
        assert resolver.address(host) == address
        resolver.names[Host(host)].doubt()
        resolver.now += FRESH_S
    assert resolver.asked == []


def test_an_address_keeps_its_scope(resolver: Resolver) -> None:
    try:
        index = socket.if_nametoindex("lo")
    except OSError:
        do_without("there is no interface 'lo'")
    family, (_, port, _, scope) = resolver.address("fe80::1%lo")
    assert (family, port, scope) == (socket.AF_INET6, 0, index)


@pytest.mark.parametrize(
    "host", ["traps.example.org", "traps1", "a:b", "1.2.3.4.5", "fe80::1%no-such-interface"]
)
def test_anything_else_is_asked_for(resolver: Resolver, host: str) -> None:
    assert resolver.address(host) == FIRST
    assert resolver.asked == [host]


def test_a_name_is_asked_for_once_until_its_address_is_old_or_in_doubt(resolver: Resolver) -> None:
    for turn in (1, 2, 3):
        for _ in range(3):
            assert resolver.address() == resolver.answer
        assert resolver.asked == [NAME] * turn
        if turn == 1:
            resolver.now += FRESH_S
            resolver.answer = SECOND
        else:
            resolver.names[Host(NAME)].doubt()
            resolver.answer = FIRST


@pytest.mark.parametrize("why", ["old", "in doubt"])
def test_the_last_good_address_stays_when_the_resolver_fails_and_that_is_one_warning(
    resolver: Resolver, caplog: pytest.LogCaptureFixture, why: str
) -> None:
    resolver.address()
    resolver.answer = UNKNOWN
    if why == "old":
        resolver.now += FRESH_S
    else:
        resolver.names[Host(NAME)].doubt()
    for _ in range(3):
        assert resolver.address() == FIRST
    assert caplog.messages == [
        "the name 'traps.invalid' cannot be resolved (Name or service not known);"
        " its last address 192.0.2.1 stays in use"
    ]
    assert resolver.asked == [NAME] * 2  # and not at every use

    resolver.answer = SECOND
    resolver.now += FRESH_S
    assert resolver.address() == SECOND
    assert len(caplog.messages) == 1


def test_the_last_good_address_stays_while_the_resolver_hangs(
    resolver: Resolver, caplog: pytest.LogCaptureFixture
) -> None:
    resolver.address()
    resolver.hold()
    resolver.answer = SECOND
    for _ in range(3):
        resolver.now += FRESH_S
        assert resolver.address() == FIRST
        assert len(resolvers()) == 1
    assert caplog.messages == []

    resolver.let_go()
    assert resolver.address() == SECOND
    assert resolver.asked == [NAME] * 2


@pytest.mark.parametrize("waited_s", [0.0, ANSWER_S])
def test_a_first_question_without_an_answer_fails_and_is_waited_for_once(
    resolver: Resolver, waited_s: float
) -> None:
    resolver.hold()
    resolver.names[Host(NAME)].look_up()
    resolver.now += waited_s
    for _ in range(3):
        within_s = 0.0 if waited_s == 0.0 else 1000.0  # its own time is over
        assert re.fullmatch(
            rf"the name 'traps\.invalid' cannot be resolved \(no answer from the resolver in"
            rf" {waited_s:.0f} s\)",
            resolver.failure(within_s=within_s),
        )
    assert resolver.asked == [NAME]

    resolver.let_go()
    assert resolver.address(within_s=0.0) == FIRST, "an answer that comes after all is used"
    assert resolver.asked == [NAME]


def test_an_answer_is_waited_for_and_the_log_is_written_before(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver.hold()
    monkeypatch.setattr(log, "flush", resolver.let_go)
    assert resolver.address() == FIRST


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (UNKNOWN, "Name or service not known"),
        (OSError("no text of the system's"), "no text of the system's"),
        (UnicodeError("label empty or too long"), "it is no name"),
    ],
)
def test_a_name_that_cannot_be_resolved_is_asked_for_again_next_time(
    resolver: Resolver, error: Exception, why: str
) -> None:
    resolver.answer = error
    for _ in range(2):
        assert resolver.failure() == (f"the name 'traps.invalid' cannot be resolved ({why})")
    resolver.answer = FIRST
    assert resolver.address() == FIRST
    assert resolver.asked == [NAME] * 3


@pytest.mark.parametrize(
    "host", ["traps..invalid", "ü" * 64 + ".invalid", "traps.invalid\udcff", "x" * 300 + ".invalid"]
)
def test_a_text_that_can_be_no_name_is_one_that_cannot_be_resolved(
    resolver: Resolver, host: str
) -> None:
    resolver.names = Names()  # of the system, which refuses before it asks anyone
    resolver.now = 1e9
    reason = resolver.failure(host)
    assert reason.endswith("cannot be resolved (it is no name)")
    assert len(reason) < 200


def test_the_resolver_of_the_system_is_asked_when_no_other_is_given(resolver: Resolver) -> None:
    resolver.names = Names()
    assert resolver.address("localhost").sockaddr[:2] in (("127.0.0.1", 0), ("::1", 0))


def test_an_address_is_found_of_the_family_that_is_wanted_or_none() -> None:
    names = Names(lambda host: resolve(Host("127.0.0.1", host.family)))
    ipv4, ipv6 = names[Host(NAME, socket.AF_INET)], names[Host(NAME, socket.AF_INET6)]
    ipv4.look_up()
    ipv6.look_up()
    assert ipv4.address(1e9).sockaddr[0] == "127.0.0.1"
    with pytest.raises(ActionFailed, match=r"'traps.invalid' cannot be resolved to an IPv6 address \("):
        ipv6.address(1e9)


def test_names_are_asked_for_at_the_same_time_and_one_that_hangs_holds_up_no_other() -> None:
    hosts = [Host(f"traps-{number}.invalid") for number in range(5)]
    all_asked = threading.Barrier(len(hosts))
    is_over = threading.Event()

    def ask(host: Host) -> Address:
        all_asked.wait(LIMIT_S)  # one after the other, none would get past this
        if host == hosts[0]:
            is_over.wait(LIMIT_S)
        return Address(socket.AF_INET, (f"192.0.2.{hosts.index(host)}", 0))

    names = Names(ask)
    for host in hosts:
        names[host].look_up()
    try:
        with pytest.raises(ActionFailed, match="no answer from the resolver"):
            names[hosts[0]].address(0.0)
        found = [names[host].address(1e9).sockaddr[0] for host in hosts[1:]]
        assert found == [f"192.0.2.{number}" for number in range(1, 5)]
    finally:
        is_over.set()
        for thread in resolvers():
            thread.join(LIMIT_S)


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("answer", [FIRST, UNKNOWN])
def test_an_answer_that_has_been_lying_about_is_not_todays(
    resolver: Resolver, is_first: bool, answer: Address | Exception
) -> None:
    if not is_first:
        resolver.address()
        resolver.now += FRESH_S
    resolver.hold()
    resolver.names[Host(NAME)].look_up()
    resolver.answer = answer
    resolver.let_go()
    resolver.answer = SECOND
    resolver.now += 24 * 3600
    assert resolver.address() == SECOND
