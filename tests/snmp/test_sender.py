"""The sender against real sockets of loopback.

Receivers answer in threads; only the meaning of an answer is a double's, and never a test's clock.
"""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from listener import log
from listener.errors import ActionFailed
from listener.snmp.names import Address, literal
from listener.snmp.sender import TrapSender
from listener.snmp.target import Target, address_name
from tests.snmp.receivers import LIMIT_S, closed_port, udp_socket

BOTH_FAMILIES = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
SHORT_S = 0.02
"""For tries that nobody answers: however long they take, the outcome is the same."""


@pytest.fixture
def sender() -> Iterator[TrapSender]:
    made = TrapSender()
    yield made
    made.close()


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with udp_socket("127.0.0.1") as made:
        yield made


def at(host: str, port: int, name: str = "", source: str = "") -> Target:
    return Target(name or address_name(host, port), host, port, source=source)


def to(receiver: socket.socket, name: str = "", source: str = "") -> Target:
    host, port, *_ = receiver.getsockname()
    return at(host, port, name, source)


def address_of(target: Target) -> Address:
    address = literal(target.host)
    assert address is not None
    return address


def send(sender: TrapSender, datagram: bytes, target: Target) -> None:
    sender.send(datagram, target, address_of(target))


def converse(sender: TrapSender, *talks: Talk, deadline: float | None = None) -> dict[str, str]:
    """By default, the deadline is not reached when all goes well."""
    if deadline is None:
        deadline = time.monotonic() + 2 * LIMIT_S
    return sender.converse([(talk, address_of(talk.target)) for talk in talks], deadline)


def kept_by(sender: TrapSender) -> socket.socket:
    [(_, kept)] = sender._sockets.values()
    return kept


def refused_later(kept: socket.socket) -> None:
    """Have a datagram refused by a port that nothing listens at, without hearing of it yet."""
    kept.send(b"refused, but nobody has asked yet")
    poll = select.poll()
    poll.register(kept, select.POLLIN)
    assert poll.poll(LIMIT_S * 1000)


# Traps and informs


@pytest.mark.parametrize("source", ["", "127.0.0.2", "127.0.0.3"])
def test_the_source_address_is_what_a_receiver_sees(sender: TrapSender, source: str) -> None:
    with udp_socket("127.0.0.1") as receiver:
        target = to(receiver, source=source)
        for _ in range(2):
            send(sender, b"trap of another hook", to(receiver))
            send(sender, b"trap", target)
        converse(sender, Talk(target, SHORT_S))
        came = [receiver.recvfrom(65535)[1] for _ in range(5)]
    own = source or "127.0.0.1"
    assert [host for host, _ in came] == ["127.0.0.1", own, "127.0.0.1", own, own]
    assert came[:2] == came[2:4], "each has a socket that stays"


@pytest.mark.parametrize(
    ("host", "source"),
    [("127.0.0.1", "192.0.2.1"), ("::1", "2001:db8::1"), ("::1", "fe80::1%no-such-interface")],
)
def test_a_source_address_that_this_host_does_not_have_is_its_receivers_failure(
    sender: TrapSender, host: str, source: str
) -> None:
    reason = f"this host has no address {source}; correct source_address"
    with udp_socket(host) as receiver:
        target = to(receiver, "a", source)
        with pytest.raises(ActionFailed, match=f"^{re.escape(reason)}$"):
            send(sender, b"trap", target)
        with answering(receiver, b"ack"):
            assert converse(sender, Talk(target), Talk(to(receiver))) == {"a": reason}


def test_a_name_whose_address_has_changed_gets_another_socket_in_place_of_the_old_one(
    sender: TrapSender,
) -> None:
    with udp_socket("127.0.0.1") as old, udp_socket("127.0.0.2") as new:
        for receiver in (old, new, new):
            send(sender, b"trap", to(receiver, "traps.invalid:162"))
            assert receiver.recv(65535) == b"trap"
    assert len(sender._sockets) == 1


@BOTH_FAMILIES
def test_a_refusal_fails_at_once_and_is_over_when_the_receiver_has_started(
    sender: TrapSender, caplog: pytest.LogCaptureFixture, host: str
) -> None:
    target = at(host, closed_port(host), "traps.invalid:162")
    for _ in range(2):
        with pytest.raises(ActionFailed) as failure:
            send(sender, b"lost", target)
        assert str(failure.value) == (
            "nothing listens for traps at traps.invalid:162 (connection refused); start the receiver"
        )
    with udp_socket(host, target.port) as receiver:
        send(sender, b"found", target)
        assert receiver.recv(65535) == b"found"
    assert caplog.records == []  # what has failed needs no warning


def test_a_late_refusal_is_a_warning_at_the_next_send_which_is_sent(
    sender: TrapSender, caplog: pytest.LogCaptureFixture
) -> None:
    with udp_socket("127.0.0.1") as receiver:
        target = to(receiver, "traps.invalid:162")
        send(sender, b"first", target)
    refused_later(kept_by(sender))
    with udp_socket("127.0.0.1", target.port) as receiver:
        for text in (b"second", b"third"):
            send(sender, text, target)
            assert receiver.recv(65535) == text
    assert caplog.messages == [
        "what was sent to traps.invalid:162 before may not have arrived: Connection refused"
    ]


@BOTH_FAMILIES
def test_a_socket_that_has_become_useless_is_replaced_within_the_same_send(
    sender: TrapSender, host: str
) -> None:
    with udp_socket(host) as receiver:
        send(sender, b"first", to(receiver))
        useless = kept_by(sender)
        useless.shutdown(socket.SHUT_WR)
        send(sender, b"second", to(receiver))
        assert [receiver.recv(65535) for _ in range(2)] == [b"first", b"second"]
    assert useless.fileno() == -1
    assert len(sender._sockets) == 1


def test_a_datagram_that_is_too_large_fails_and_harms_no_other(
    sender: TrapSender, receiver: socket.socket
) -> None:
    send(sender, b"before", to(receiver))
    with pytest.raises(ActionFailed) as failure:
        send(sender, b"x" * 70_000, to(receiver))
    send(sender, b"after", to(receiver))
    assert [receiver.recv(65535) for _ in range(2)] == [b"before", b"after"]
    assert str(failure.value) == (
        f"sending to {to(receiver).name} failed: 70000 bytes are too many for one datagram"
    )
    assert isinstance(failure.value.__cause__, OSError)


def test_an_address_that_cannot_be_sent_to_is_named_with_the_systems_reason(
    sender: TrapSender,
) -> None:
    for source, way in (("", "to"), ("127.0.0.1", "from 127.0.0.1 to")):
        with pytest.raises(ActionFailed) as failure:  # a broadcast: that needs leave
            send(sender, b"lost", at("127.255.255.255", 162, source=source))
        reason = f"sending {way} 127.255.255.255:162 failed: {os.strerror(errno.EACCES)}"
        assert str(failure.value) == reason
    assert sender._sockets == {}


def test_an_address_is_sent_to_within_its_scope(sender: TrapSender) -> None:
    """Whether there is such a host or not: without the scope it would be an invalid argument."""
    try:
        send(sender, b"trap", at("fe80::1%lo", 162))
    except ActionFailed as failure:
        assert os.strerror(errno.EINVAL) not in str(failure)


@pytest.mark.parametrize(("host", "most"), [("127.0.0.1", 1472), ("::1", 1452)])
def test_what_is_too_large_for_one_packet_is_one_warning_for_each_receiver(
    sender: TrapSender, caplog: pytest.LogCaptureFixture, host: str, most: int
) -> None:
    with udp_socket(host) as receiver:
        send(sender, b"x" * most, to(receiver, "small"))
        for _ in range(2):
            send(sender, b"x" * (most + 1), to(receiver, "first"))
            converse(sender, Talk(to(receiver, "second"), SHORT_S, size=most + 2))
    assert caplog.messages == [
        f"a message to {name} has {size} bytes: above {most} it is sent in fragments, which a"
        " network may drop; let firewalls on the way pass them"
        for name, size in (("first", most + 1), ("second", most + 2))
    ]


# Conversations


class Talk:
    """A Conversation: b'ack' acknowledges, b'no' refuses, b'again' asks for another message.

    It has `most` messages, of `size` bytes or as many as they need.
    """

    def __init__(
        self,
        target: Target,
        timeout_s: float = LIMIT_S,
        retries: int = 0,
        most: int = 10_000,
        size: int = 0,
    ) -> None:
        self.target = target._replace(timeout_s=timeout_s, retries=retries)
        self.heard: list[bytes] = []
        self._most = most
        self._size = size
        self._messages = 0

    def message(self) -> bytes:
        if self._messages == self._most:
            raise ActionFailed("no message can be made")
        self._messages += 1
        return (b"message %d" % self._messages).ljust(self._size)

    def is_answered(self, datagram: bytes) -> bool | None:
        self.heard.append(datagram)
        if datagram == b"no":
            raise ActionFailed("no")
        return None if datagram == b"again" else datagram == b"ack"

    def unanswered(self) -> str:
        return "is anybody there?"


Turn = bytes | None | Callable[[], bytes]


@contextmanager
def answering(receiver: socket.socket, *turns: Turn) -> Iterator[list[bytes]]:
    """Answer the datagrams that come, one a turn, and yield them: None is silence."""
    came: list[bytes] = []

    def answer() -> None:
        for turn in turns:
            datagram, sent_from = receiver.recvfrom(65535)
            came.append(datagram)
            text = turn() if callable(turn) else turn
            if text is not None:
                receiver.sendto(text, sent_from)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield came
    finally:
        thread.join(2 * LIMIT_S)
        assert not thread.is_alive()


def waiting_at(receiver: socket.socket) -> list[bytes]:
    """The datagrams that have come and were not read."""
    receiver.setblocking(False)
    came = []
    while True:
        try:
            came.append(receiver.recv(65535))
        except BlockingIOError:
            return came


def test_noise_is_no_acknowledgement_and_a_later_try_counts_like_the_first(
    sender: TrapSender, receiver: socket.socket
) -> None:
    talk = Talk(to(receiver), SHORT_S, retries=1000)
    with answering(receiver, b"noise", None, b"", b"ack") as came:
        assert converse(sender, talk) == {}
    assert came == [b"message %d" % number for number in range(1, 5)]
    assert talk.heard == [b"noise", b"", b"ack"]


@pytest.mark.parametrize(("retries", "tries"), [(0, "1 try"), (3, "4 tries")])
def test_a_conversation_without_an_answer_fails_after_its_retries(
    sender: TrapSender, receiver: socket.socket, retries: int, tries: str
) -> None:
    target = to(receiver, "traps.invalid:162")
    [problem] = converse(sender, Talk(target, SHORT_S, retries)).values()
    assert waiting_at(receiver) == [b"message %d" % (number + 1) for number in range(retries + 1)]
    assert re.fullmatch(
        rf"no acknowledgement from traps\.invalid:162 within \d+\.\d s \({tries}\): is anybody there\?",
        problem,
    )


@BOTH_FAMILIES
def test_an_answer_from_another_address_is_none_and_the_reason_names_that_address(host: str) -> None:
    is_late = threading.Event()
    sender = TrapSender(lambda: 2000.0 if is_late.is_set() else 1000.0)
    with udp_socket(host) as receiver, udp_socket(host) as other:

        def answer_from_elsewhere() -> None:
            _, sent_from = receiver.recvfrom(65535)
            other.sendto(b"ack", sent_from)
            is_late.set()
            receiver.sendto(b"noise", sent_from)

        thread = threading.Thread(target=answer_from_elsewhere)
        thread.start()
        talk, elsewhere = Talk(to(receiver)), to(other).name
        [problem] = converse(sender, talk, deadline=3000.0).values()
        thread.join(LIMIT_S)
    assert problem.endswith(
        f": an answer came from {elsewhere} instead; let the receiver listen on the address that you"
        " send to, or send to that one"
    )
    assert talk.heard == [b"noise"]


def test_a_failure_says_how_long_was_waited_in_all(receiver: socket.socket) -> None:
    clock = iter([100.0, 161.7, 161.7, 223.4, 223.4])
    sender = TrapSender(lambda: next(clock))
    talk = Talk(to(receiver), timeout_s=5.0, retries=1)
    [problem] = converse(sender, talk, deadline=1000.0).values()
    sender.close()
    assert " within 123.4 s (2 tries)" in problem


def test_the_log_is_written_before_an_acknowledgement_that_takes_long(
    sender: TrapSender, receiver: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_written = threading.Event()
    monkeypatch.setattr(log, "flush", is_written.set)

    def acknowledge() -> bytes:
        return b"ack" if is_written.wait(LIMIT_S) else b"no"

    with answering(receiver, acknowledge):
        assert converse(sender, Talk(to(receiver), 2 * LIMIT_S)) == {}


def test_a_conversation_that_asks_for_it_sends_its_next_message_at_once(
    sender: TrapSender, receiver: socket.socket
) -> None:
    """And not as one of its tries: there is but one, whose time is as long as the whole test."""
    with answering(receiver, b"again", b"again", b"ack") as came:
        assert converse(sender, Talk(to(receiver), LIMIT_S, retries=0)) == {}
    assert came == [b"message 1", b"message 2", b"message 3"]


def test_what_one_conversation_raises_is_its_own_problem_alone(sender: TrapSender) -> None:
    with (
        udp_socket("127.0.0.1") as silent,
        udp_socket("127.0.0.1") as refusing,
        udp_socket("127.0.0.1") as asking,
        udp_socket("127.0.0.1") as good,
        answering(refusing, b"no"),
        answering(asking, b"again"),
        answering(good, None, None, b"ack"),
    ):
        problems = converse(
            sender,
            Talk(to(silent, "has no message"), most=0),
            Talk(to(silent, "has no second one"), SHORT_S, retries=5, most=1),
            Talk(to(asking, "is asked for a second one"), most=1),
            Talk(to(refusing, "is refused")),
            Talk(to(silent, "too long"), size=70_000),
            Talk(at("127.0.0.1", closed_port("127.0.0.1"), "nobody listens"), LIMIT_S, retries=5),
            Talk(at("127.255.255.255", 162, "nowhere")),
            Talk(to(good), SHORT_S, retries=1000),
        )
        assert waiting_at(silent) == [b"message 1"]
    assert problems == {
        "has no message": "no message can be made",
        "has no second one": "no message can be made",
        "is asked for a second one": "no message can be made",
        "is refused": "no",
        "too long": "sending to too long failed: 70000 bytes are too many for one datagram",
        "nobody listens": (
            "nothing listens for traps at nobody listens (connection refused); start the receiver"
        ),
        "nowhere": f"sending to nowhere failed: {os.strerror(errno.EACCES)}",
    }


@pytest.mark.parametrize("left_s", [0.1, -1.0])
def test_the_deadline_bounds_all_conversations_and_leaves_one_try(
    sender: TrapSender, left_s: float
) -> None:
    with udp_socket("127.0.0.1") as one, udp_socket("127.0.0.1") as other:
        talks = Talk(to(one), 1000.0, retries=5), Talk(to(other), 2000.0, retries=0)
        problems = converse(sender, *talks, deadline=time.monotonic() + left_s)
        assert waiting_at(one) == waiting_at(other) == [b"message 1"]
    assert [*problems] == [talk.target.name for talk in talks]
    for name, problem in problems.items():
        assert problem.startswith(f"no acknowledgement from {name} within ")
        assert problem.endswith(" (1 try): is anybody there?")


def test_a_defect_of_a_conversation_leaves_no_socket_open(
    sender: TrapSender, receiver: socket.socket
) -> None:
    class Broken(Talk):
        def is_answered(self, datagram: bytes) -> bool | None:
            raise ZeroDivisionError

    held = os.listdir("/proc/self/fd")
    with answering(receiver, b"ack"), pytest.raises(ZeroDivisionError):
        converse(sender, Broken(to(receiver)))
    assert os.listdir("/proc/self/fd") == held


def test_several_conversations_are_held_at_once(sender: TrapSender) -> None:
    """No receiver answers before all have got a message: one after the other, none would be."""
    all_have_one = threading.Barrier(2)

    def acknowledge() -> bytes:
        all_have_one.wait(LIMIT_S)
        return b"ack"

    with (
        udp_socket("127.0.0.1") as one,
        udp_socket("::1") as other,
        answering(one, acknowledge),
        answering(other, acknowledge),
    ):
        assert converse(sender, Talk(to(one)), Talk(to(other))) == {}
