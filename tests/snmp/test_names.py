"""Names become addresses: what is asked, when it is asked again, and what a silent resolver costs.

The resolver is a double that a test can hold; the clock is one that a test sets. Literals, texts that
can be no name and 'localhost' are the real getaddrinfo's.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from listener import log
from listener.errors import ActionFailed
from listener.snmp import names as room
from listener.snmp.names import ANSWER_S, FRESH_S, Address, Names, literal
from tests.support import do_without

LIMIT_S = 20.0
NAME = "traps.invalid"
FIRST = Address(socket.AF_INET, ("192.0.2.1", 0))
SECOND = Address(socket.AF_INET, ("192.0.2.2", 0))
UNKNOWN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def resolvers() -> list[threading.Thread]:
    """The threads that are still asking."""
    return [thread for thread in threading.enumerate() if thread.name == "resolver"]


class Resolver:
    """Answers what a test says, and while it is held nothing at all."""

    def __init__(self) -> None:
        self.answer: Address | Exception = FIRST
        self.asked: list[str] = []
        self._is_free = threading.Event()
        self._is_free.set()

    def __call__(self, host: str) -> Address:
        self.asked.append(host)
        if not self._is_free.wait(LIMIT_S):
            raise TimeoutError("the test never let the resolver go on")
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


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    assert resolvers() == []
    made = Resolver()
    yield made
    made.let_go()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def names(resolver: Resolver, clock: Clock) -> Names:
    return Names(resolver, clock)


def soon(clock: Clock) -> float:
    """A deadline that is not reached when all goes well."""
    return clock.now + LIMIT_S


def asked_again(names: Names, resolver: Resolver) -> None:
    """Let the question for NAME be asked if it is time to, and answered before anyone waits for it."""
    names.look_up((NAME,))
    resolver.let_go()


def failure_of(names: Names, host: str, deadline: float) -> str:
    with pytest.raises(ActionFailed) as failure:
        names.address(host, deadline)
    return str(failure.value)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", Address(socket.AF_INET, ("127.0.0.1", 0))),
        ("192.0.2.7", Address(socket.AF_INET, ("192.0.2.7", 0))),
        ("::1", Address(socket.AF_INET6, ("::1", 0, 0, 0))),
        ("2001:db8::a", Address(socket.AF_INET6, ("2001:db8::a", 0, 0, 0))),
        ("::ffff:192.0.2.7", Address(socket.AF_INET6, ("::ffff:192.0.2.7", 0, 0, 0))),
    ],
)
def test_an_address_is_known_by_itself(host: str, address: Address) -> None:
    assert literal(host) == address


@pytest.mark.parametrize("host", ["traps", "traps.example.org", "host1", "a:b", "1.2.3.4.5"])
def test_a_name_is_no_address(host: str) -> None:
    assert literal(host) is None


def test_an_address_keeps_its_scope() -> None:
    try:
        index = socket.if_nametoindex("lo")
    except OSError:
        do_without("there is no interface 'lo'")
    found = literal("fe80::1%lo")
    assert found is not None
    family, (_, port, _, scope) = found
    assert (family, port, scope) == (socket.AF_INET6, 0, index)


@pytest.mark.parametrize("host", ["traps1", "fe80::1%no-such-interface", "1.2.3.4.5", "::1::2"])
def test_a_name_that_only_looks_like_an_address_is_asked_for(
    names: Names, resolver: Resolver, clock: Clock, host: str
) -> None:
    assert names.address(host, soon(clock)) == FIRST
    assert resolver.asked == [host]


def test_a_name_is_asked_for_once_while_its_address_is_fresh(
    names: Names, resolver: Resolver, clock: Clock
) -> None:
    began = clock.now
    for age_s in (0.0, 1.0, FRESH_S / 2, FRESH_S - 1):
        clock.now = began + age_s
        names.look_up((NAME, NAME))
        assert names.address(NAME, soon(clock)) == FIRST
    assert resolver.asked == [NAME]


def test_a_name_is_asked_for_again_when_its_address_is_no_longer_fresh(
    names: Names, resolver: Resolver, clock: Clock
) -> None:
    names.address(NAME, soon(clock))
    for turn, answer in ((2, SECOND), (3, FIRST)):
        resolver.answer = answer
        clock.now += FRESH_S
        asked_again(names, resolver)
        assert names.address(NAME, soon(clock)) == answer
        assert names.address(NAME, soon(clock)) == answer
        assert resolver.asked == [NAME] * turn


def test_the_last_good_address_stays_when_the_resolver_then_fails_and_that_is_a_warning(
    names: Names, resolver: Resolver, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    names.address(NAME, soon(clock))
    resolver.answer = UNKNOWN
    clock.now += FRESH_S
    asked_again(names, resolver)
    for _ in range(3):
        assert names.address(NAME, soon(clock)) == FIRST
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (
            logging.WARNING,
            "the name 'traps.invalid' cannot be resolved (Name or service not known);"
            " its last address 192.0.2.1 stays in use",
        )
    ]
    assert resolver.asked == [NAME] * 2  # and not at every use

    resolver.answer = SECOND
    clock.now += FRESH_S
    asked_again(names, resolver)
    assert names.address(NAME, soon(clock)) == SECOND
    assert len(caplog.records) == 1


def test_the_last_good_address_stays_while_the_resolver_hangs_and_nobody_waits_for_it(
    names: Names, resolver: Resolver, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    names.address(NAME, soon(clock))
    resolver.hold()
    resolver.answer = SECOND
    for _ in range(3):
        clock.now += FRESH_S
        began = time.monotonic()
        assert names.address(NAME, soon(clock)) == FIRST
        assert time.monotonic() - began < ANSWER_S
        assert len(resolvers()) == 1
    assert resolver.asked == [NAME] * 2
    assert caplog.records == []

    resolver.let_go()
    assert names.address(NAME, soon(clock)) == SECOND


def test_a_first_question_without_an_answer_fails_at_the_deadline_with_the_reason(
    resolver: Resolver,
) -> None:
    names = Names(resolver)  # with the real clock
    resolver.hold()
    began = time.monotonic()
    reason = failure_of(names, NAME, began + 0.05)
    assert 0.05 <= time.monotonic() - began < ANSWER_S
    assert re.fullmatch(
        r"the name 'traps\.invalid' cannot be resolved \(no answer from the resolver in \d s\);"
        r" correct destination_address",
        reason,
    )


def test_a_first_question_without_an_answer_fails_after_a_time_of_its_own_too(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "ANSWER_S", 0.05)
    names = Names(resolver)
    resolver.hold()
    began = time.monotonic()
    assert "no answer from the resolver" in failure_of(names, NAME, began + 1000)
    assert time.monotonic() - began < LIMIT_S


def test_the_log_is_written_before_an_answer_that_takes_long(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(resolver)
    resolver.hold()
    monkeypatch.setattr(log, "flush", resolver.let_go)
    assert names.address(NAME, time.monotonic() + LIMIT_S) == FIRST


def test_a_second_try_starts_no_other_thread_and_does_not_wait_once_the_time_is_over(
    names: Names, resolver: Resolver, clock: Clock
) -> None:
    resolver.hold()
    failure_of(names, NAME, clock.now)
    clock.now += ANSWER_S
    for _ in range(3):
        began = time.monotonic()
        reason = failure_of(names, NAME, clock.now + 1000)
        assert time.monotonic() - began < ANSWER_S
        assert "(no answer from the resolver in 5 s)" in reason
    assert resolver.asked == [NAME]
    assert len(resolvers()) == 1


def test_an_answer_that_comes_after_all_is_used_by_the_next_who_needs_it(
    names: Names, resolver: Resolver, clock: Clock
) -> None:
    resolver.hold()
    failure_of(names, NAME, clock.now)
    resolver.let_go()
    clock.now += ANSWER_S  # over, but the answer is there
    assert names.address(NAME, clock.now) == FIRST
    assert names.address(NAME, clock.now) == FIRST
    assert resolver.asked == [NAME]


def test_an_answer_that_comes_while_it_is_waited_for_is_used_at_once(
    names: Names, resolver: Resolver, clock: Clock
) -> None:
    resolver.hold()
    names.look_up((NAME,))
    freeing = threading.Thread(target=resolver.let_go)
    freeing.start()
    assert names.address(NAME, soon(clock)) == FIRST
    freeing.join(LIMIT_S)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (UNKNOWN, "Name or service not known"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "Temporary failure"),
        (OSError("no text of the system's"), "no text of the system's"),
        (UnicodeError("label empty or too long"), "it is no name"),
    ],
)
def test_a_name_that_cannot_be_resolved_is_said_to_be_and_asked_for_again_next_time(
    names: Names, resolver: Resolver, clock: Clock, error: Exception, why: str
) -> None:
    resolver.answer = error
    for _ in range(2):
        assert failure_of(names, NAME, soon(clock)) == (
            f"the name 'traps.invalid' cannot be resolved ({why}); correct destination_address"
        )
    resolver.answer = FIRST
    assert names.address(NAME, soon(clock)) == FIRST
    assert resolver.asked == [NAME] * 3


@pytest.mark.parametrize(
    "host", ["traps..invalid", "ü" * 64 + ".invalid", "traps.invalid\udcff", "x" * 300 + ".invalid"]
)
def test_a_text_that_can_be_no_name_is_one_that_cannot_be_resolved(
    resolver: Resolver, host: str
) -> None:
    names = Names()  # refused before anyone is asked
    reason = failure_of(names, host, time.monotonic() + LIMIT_S)
    assert reason.endswith("cannot be resolved (it is no name); correct destination_address")
    assert len(reason) < 200
    resolver.let_go()


def test_the_resolver_of_the_system_is_asked_when_no_other_is_given(resolver: Resolver) -> None:
    address = Names().address("localhost", time.monotonic() + LIMIT_S)
    assert address.sockaddr[0] in ("127.0.0.1", "::1")
    assert address.sockaddr[1] == 0
    resolver.let_go()


def test_a_name_in_doubt_is_asked_for_again_although_its_address_is_fresh(
    names: Names, resolver: Resolver, clock: Clock
) -> None:
    names.address(NAME, soon(clock))
    resolver.answer = SECOND
    names.doubt(NAME)
    assert resolver.asked == [NAME]  # before it is used again, not now
    asked_again(names, resolver)
    assert names.address(NAME, soon(clock)) == SECOND
    assert names.address(NAME, soon(clock)) == SECOND
    assert resolver.asked == [NAME] * 2


def test_a_name_in_doubt_keeps_its_address_when_the_resolver_fails(
    names: Names, resolver: Resolver, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    names.address(NAME, soon(clock))
    resolver.answer = UNKNOWN
    names.doubt(NAME)
    asked_again(names, resolver)
    assert names.address(NAME, soon(clock)) == FIRST
    assert len(caplog.records) == 1


def test_a_name_that_was_never_resolved_can_be_in_doubt(
    names: Names, resolver: Resolver, clock: Clock
) -> None:
    names.doubt(NAME)
    assert resolver.asked == []
    assert names.address(NAME, soon(clock)) == FIRST


def test_many_names_are_asked_for_at_the_same_time() -> None:
    hosts = [f"traps-{number}.invalid" for number in range(5)]
    all_asked = threading.Barrier(len(hosts))

    def ask(host: str) -> Address:
        all_asked.wait(LIMIT_S)  # one after the other, none would get past this
        return Address(socket.AF_INET, (f"192.0.2.{hosts.index(host)}", 0))

    names = Names(ask)
    names.look_up(hosts)
    found = [names.address(host, time.monotonic() + LIMIT_S).sockaddr[0] for host in hosts]
    assert found == [f"192.0.2.{number}" for number in range(5)]
    for thread in resolvers():
        thread.join(LIMIT_S)


def test_one_name_that_hangs_holds_up_no_other(clock: Clock) -> None:
    goes_on = threading.Event()

    def ask(host: str) -> Address:
        if host == NAME:
            goes_on.wait(LIMIT_S)
        return SECOND

    names = Names(ask, clock)
    try:
        names.look_up((NAME, "other.invalid"))
        assert names.address("other.invalid", soon(clock)) == SECOND
        assert "no answer from the resolver" in failure_of(names, NAME, clock.now)
    finally:
        goes_on.set()
        for thread in resolvers():
            thread.join(LIMIT_S)


@pytest.mark.parametrize("since", ["ever", "refresh"])
def test_an_answer_that_has_been_lying_about_is_not_a_fresh_one(
    names: Names, resolver: Resolver, clock: Clock, since: str
) -> None:
    if since == "refresh":  # it was asked for again, and took longer than is waited for then
        names.address(NAME, soon(clock))
        clock.now += FRESH_S
    resolver.hold()
    names.look_up((NAME,))
    resolver.let_go()
    resolver.answer = SECOND  # since then the name has got another address
    clock.now += 24 * 3600
    names.address(NAME, soon(clock))
    asked_again(names, resolver)
    assert names.address(NAME, soon(clock)) == SECOND


def test_a_failure_that_has_been_lying_about_is_not_todays(
    names: Names, resolver: Resolver, clock: Clock
) -> None:
    resolver.hold()
    failure_of(names, NAME, clock.now)
    resolver.answer = UNKNOWN
    resolver.let_go()
    resolver.answer = FIRST  # the resolver is well again
    clock.now += 24 * 3600
    assert names.address(NAME, soon(clock)) == FIRST


def test_a_thread_that_cannot_be_started_is_a_name_that_cannot_be_resolved_now(
    names: Names, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(ActionFailed, match="can't start new thread"):
            names.address("traps.invalid", soon(clock))
    assert names.address("traps.invalid", soon(clock)) == FIRST
