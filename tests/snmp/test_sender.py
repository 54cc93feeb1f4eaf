"""The sender against real sockets of loopback, and what an inform of version 2c makes of answers.

Receivers answer in threads; only the meaning of an answer is a double's, and never a test's clock.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pyasn1.codec.ber import encoder
from pysnmp.proto.api import v2c

from listener import log
from listener.errors import ActionFailed
from listener.snmp.mib import Content
from listener.snmp.names import Address
from listener.snmp.sender import Conversation, Peer, TrapSender
from listener.snmp.target import Target, shown
from listener.snmp.v2c import V2cInform, V2cMessages
from tests.snmp.receivers import LIMIT_S, closed_port, decoded, udp_socket

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


def at(host: str, port: int, name: str = "") -> Peer:
    is_ipv6 = ":" in host
    address = Address(
        socket.AF_INET6 if is_ipv6 else socket.AF_INET, (host, 0, 0, 0) if is_ipv6 else (host, 0)
    )
    return Peer(address, port, name or shown(host, port))


def to(receiver: socket.socket, name: str = "") -> Peer:
    host, port, *_ = receiver.getsockname()
    return at(host, port, name)


def kept_by(sender: TrapSender) -> socket.socket:
    [(_, kept)] = sender._sockets.values()
    return kept


def wait_until_there_is_news(kept: socket.socket) -> None:
    """Until there is a datagram to read, or a refusal."""
    poll = select.poll()
    poll.register(kept, select.POLLIN)
    assert poll.poll(LIMIT_S * 1000)


def refused_later(kept: socket.socket) -> None:
    """Have a datagram refused by a port that nothing listens at, without hearing of it yet."""
    kept.send(b"refused, but nobody has asked yet")
    wait_until_there_is_news(kept)


# Traps


@BOTH_FAMILIES
def test_datagrams_arrive_as_they_were_and_from_one_socket(sender: TrapSender, host: str) -> None:
    with udp_socket(host) as receiver:
        sender.send(b"first", to(receiver))
        sender.send(bytes(range(256)) * 5, to(receiver))
        first, first_from = receiver.recvfrom(65535)
        second, second_from = receiver.recvfrom(65535)
    assert (first, second) == (b"first", bytes(range(256)) * 5)
    assert first_from == second_from


def test_every_address_has_a_socket_of_its_own(sender: TrapSender) -> None:
    with udp_socket("127.0.0.1") as one, udp_socket("127.0.0.1") as other:
        for turn in (b"first", b"second"):
            for receiver in (one, other):
                sender.send(turn, to(receiver))
        senders = [receiver.recvfrom(65535)[1] for receiver in (one, one, other, other)]
    assert senders[0] == senders[1] != senders[2] == senders[3]
    assert len(sender._sockets) == 2


def test_a_name_whose_address_has_changed_gets_another_socket_in_place_of_the_old_one(
    sender: TrapSender,
) -> None:
    with udp_socket("127.0.0.1") as old, udp_socket("127.0.0.2") as new:
        for receiver in (old, new, new):
            sender.send(b"trap", to(receiver, "traps.invalid:162"))
            assert receiver.recv(65535) == b"trap"
    assert len(sender._sockets) == 1


@pytest.mark.parametrize(
    ("host", "named"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")], ids=["ipv4", "ipv6"]
)
def test_a_refusal_is_told_at_once_and_is_over_when_the_receiver_has_started(
    sender: TrapSender, caplog: pytest.LogCaptureFixture, host: str, named: str
) -> None:
    port = closed_port(host)
    for _ in range(2):
        with pytest.raises(ActionFailed) as failure:
            sender.send(b"lost", at(host, port))
        assert str(failure.value) == (
            f"nothing listens for traps at {named}:{port} (connection refused); start the receiver"
        )
    with udp_socket(host, port) as receiver:
        sender.send(b"found", at(host, port))
        assert receiver.recv(65535) == b"found"
    assert caplog.records == []  # what was told at once is not told again


def test_a_failure_is_told_with_the_receivers_name(sender: TrapSender) -> None:
    peer = at("127.0.0.1", closed_port("127.0.0.1"), "traps.invalid:162")
    with pytest.raises(ActionFailed, match=r"^nothing listens for traps at traps\.invalid:162 "):
        sender.send(b"lost", peer)


def test_a_receiver_that_went_away_is_missed_at_the_next_send(sender: TrapSender) -> None:
    with udp_socket("127.0.0.1") as receiver:
        peer = to(receiver)
        sender.send(b"first", peer)
    with pytest.raises(ActionFailed, match="connection refused"):
        sender.send(b"lost", peer)


def test_a_late_refusal_is_a_warning_at_the_next_send_which_is_sent(
    sender: TrapSender, caplog: pytest.LogCaptureFixture
) -> None:
    with udp_socket("127.0.0.1") as receiver:
        peer = to(receiver, "traps.invalid:162")
        sender.send(b"first", peer)
    refused_later(kept_by(sender))
    with udp_socket("127.0.0.1", peer.port) as receiver:
        for text in (b"second", b"third"):
            sender.send(text, peer)
            assert receiver.recv(65535) == text
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (
            logging.WARNING,
            "what was sent to traps.invalid:162 before did not arrive: Connection refused",
        )
    ]


@pytest.mark.parametrize("is_of_before", [True, False])
def test_an_error_is_of_the_datagram_before_if_it_does_not_come_again(
    sender: TrapSender, caplog: pytest.LogCaptureFixture, is_of_before: bool
) -> None:
    with udp_socket("127.0.0.1") as receiver:
        peer = to(receiver, "traps.invalid:162")
        sender.send(b"first", peer)
        [(name, (address, kept))] = sender._sockets.items()
        sender._sockets[name] = address, Failing(kept, 1 if is_of_before else 2)  # type: ignore[assignment]
        sender.send(b"second", peer)
        assert [receiver.recv(65535) for _ in range(2)] == [b"first", b"second"]
    assert caplog.messages == is_of_before * [
        "what was sent to traps.invalid:162 before did not arrive: Permission denied"
    ]


class Failing:
    """A socket that fails so often; an administrator prohibits it, say."""

    def __init__(self, kept: socket.socket, failures: int) -> None:
        self._kept = kept
        self._failures = failures
        self.close = kept.close
        self.getsockopt = kept.getsockopt

    def send(self, datagram: bytes) -> int:
        if self._failures:
            self._failures -= 1
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return self._kept.send(datagram)


def test_after_a_late_refusal_the_next_ones_own_is_told_too(
    sender: TrapSender, caplog: pytest.LogCaptureFixture
) -> None:
    with udp_socket("127.0.0.1") as receiver:
        peer = to(receiver)
        sender.send(b"first", peer)
    refused_later(kept_by(sender))
    with pytest.raises(ActionFailed, match="connection refused"):
        sender.send(b"lost", peer)
    assert len(caplog.records) == 1


@BOTH_FAMILIES
def test_a_socket_that_has_become_useless_is_replaced_within_the_same_send(
    sender: TrapSender, caplog: pytest.LogCaptureFixture, host: str
) -> None:
    with udp_socket(host) as receiver:
        sender.send(b"first", to(receiver))
        useless = kept_by(sender)
        useless.shutdown(socket.SHUT_WR)
        sender.send(b"second", to(receiver))
        assert [receiver.recv(65535) for _ in range(2)] == [b"first", b"second"]
    assert useless.fileno() == -1
    assert len(sender._sockets) == 1
    assert caplog.records == []


def test_a_datagram_that_is_too_large_is_said_to_be_and_harms_no_other(
    sender: TrapSender, receiver: socket.socket
) -> None:
    sender.send(b"before", to(receiver))
    with pytest.raises(ActionFailed) as failure:
        sender.send(b"x" * 70_000, to(receiver))
    sender.send(b"after", to(receiver))
    assert [receiver.recv(65535) for _ in range(2)] == [b"before", b"after"]
    assert str(failure.value) == (
        f"sending to {to(receiver).name} failed: 70000 bytes are too many for one datagram"
    )
    cause = failure.value.__cause__
    assert isinstance(cause, OSError) and cause.errno == errno.EMSGSIZE


def test_an_address_that_cannot_be_sent_to_is_named_with_the_systems_reason(
    sender: TrapSender,
) -> None:
    for _ in range(2):
        with pytest.raises(ActionFailed) as failure:
            sender.send(b"lost", at("127.255.255.255", 162))  # a broadcast: that needs leave
        reason = os.strerror(errno.EACCES)
        assert str(failure.value) == f"sending to 127.255.255.255:162 failed: {reason}"
        assert isinstance(failure.value.__cause__, PermissionError)
    assert sender._sockets == {}


def test_an_address_is_sent_to_within_its_scope(sender: TrapSender) -> None:
    """Whether there is such a host or not: without the scope it would be an invalid argument."""
    address = Address(socket.AF_INET6, ("fe80::1", 0, 0, socket.if_nametoindex("lo")))
    try:
        sender.send(b"trap", Peer(address, 162, "[fe80::1%lo]:162"))
    except ActionFailed as failure:
        assert os.strerror(errno.EINVAL) not in str(failure)


def test_closing_twice_is_safe_and_frees_every_socket(sender: TrapSender) -> None:
    with udp_socket("127.0.0.1") as one, udp_socket("127.0.0.1") as other:
        for receiver in (one, other):
            sender.send(b"first", to(receiver))
        kept = [kept for _, kept in sender._sockets.values()]
        sender.close()
        sender.close()
        assert [made.fileno() for made in kept] == [-1, -1]
        sender.send(b"second", to(one))  # and it can be used again
        assert [one.recv(65535) for _ in range(2)] == [b"first", b"second"]


# Conversations


class Talk:
    """A Conversation: b'ack' acknowledges, b'no' refuses, b'again' asks for another message."""

    def __init__(self, peer: Peer, timeout_s: float = LIMIT_S, retries: int = 0) -> None:
        self.peer = peer
        self.timeout_s = timeout_s
        self.retries = retries
        self.heard: list[bytes] = []
        self._messages = 0

    def message(self) -> bytes:
        self._messages += 1
        return b"message %d" % self._messages

    def is_answered(self, datagram: bytes) -> bool | None:
        self.heard.append(datagram)
        if datagram == b"no":
            raise ActionFailed(f"{self.peer.name} says no")
        return None if datagram == b"again" else datagram == b"ack"

    def unanswered(self) -> str:
        return "is anybody there?"


class Speechless(Talk):
    def message(self) -> bytes:
        raise ActionFailed("no message can be made")


class TooLong(Talk):
    def message(self) -> bytes:
        return b"x" * 70_000


Turn = bytes | None | Callable[[bytes], list[bytes]]


@contextmanager
def answering(receiver: socket.socket, *turns: Turn) -> Iterator[list[bytes]]:
    """Answer the datagrams that come, one a turn, and yield them: None is silence.

    A function makes any number of answers of what has come.
    """
    came: list[bytes] = []
    is_given_up = threading.Event()

    def answer() -> None:
        for turn in turns:
            datagram, sent_from = receiver.recvfrom(65535)
            if is_given_up.is_set():
                return
            came.append(datagram)
            for each in turn(datagram) if callable(turn) else [] if turn is None else [turn]:
                receiver.sendto(each, sent_from)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield came
    except BaseException:
        is_given_up.set()
        wake(receiver)
        raise
    finally:
        thread.join(2 * LIMIT_S)
        assert not thread.is_alive()


def wake(receiver: socket.socket) -> None:
    """Let a thread that waits for a datagram go on."""
    with socket.socket(receiver.family, socket.SOCK_DGRAM) as other:
        other.sendto(b"it is over", receiver.getsockname())


def in_time() -> float:
    """A deadline that is not reached when all goes well."""
    return time.monotonic() + 2 * LIMIT_S


def waiting_at(receiver: socket.socket) -> list[bytes]:
    """The datagrams that have come and were not read."""
    receiver.setblocking(False)
    came = []
    while True:
        try:
            came.append(receiver.recv(65535))
        except BlockingIOError:
            return came


@BOTH_FAMILIES
def test_an_acknowledged_conversation_has_no_problem(sender: TrapSender, host: str) -> None:
    with udp_socket(host) as receiver:
        for _ in range(2):
            with answering(receiver, b"ack") as came:
                assert sender.converse({"a": Talk(to(receiver))}, in_time()) == {}
            assert came == [b"message 1"]


def test_noise_is_no_acknowledgement_and_does_not_end_the_waiting(
    sender: TrapSender, receiver: socket.socket
) -> None:
    talk = Talk(to(receiver), SHORT_S, retries=1000)
    with answering(receiver, b"noise", b"", b"ack"):
        assert sender.converse({"a": talk}, in_time()) == {}
    assert [datagram for datagram in talk.heard if datagram != b"ack"] == [b"noise", b""]


@BOTH_FAMILIES
@pytest.mark.parametrize(("retries", "tries"), [(0, "1 try"), (1, "2 tries"), (3, "4 tries")])
def test_a_conversation_without_an_answer_fails_after_its_retries(
    sender: TrapSender, host: str, retries: int, tries: str
) -> None:
    with udp_socket(host) as receiver:
        peer = to(receiver, "traps.invalid:162")
        problems = sender.converse({"a": Talk(peer, SHORT_S, retries)}, in_time())
        came = waiting_at(receiver)
    assert came == [b"message %d" % (number + 1) for number in range(retries + 1)]
    assert list(problems) == ["a"]
    assert re.fullmatch(
        rf"no acknowledgement from traps\.invalid:162 within \d+\.\d s \({tries}\): is anybody there\?",
        problems["a"],
    )


def test_the_log_is_written_before_an_acknowledgement_that_takes_long(
    sender: TrapSender, receiver: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_written = threading.Event()
    monkeypatch.setattr(log, "flush", is_written.set)

    def acknowledge(_: bytes) -> list[bytes]:
        return [b"ack"] if is_written.wait(LIMIT_S) else []

    with answering(receiver, acknowledge):
        assert sender.converse({"a": Talk(to(receiver), 2 * LIMIT_S, retries=0)}, in_time()) == {}


def test_a_failure_says_how_long_was_waited_in_all(receiver: socket.socket) -> None:
    clock = [100.0]

    class Slow(Talk):
        def message(self) -> bytes:
            clock[0] += 61.7
            return super().message()

    sender = TrapSender(lambda: clock[0])
    problems = sender.converse({"a": Slow(to(receiver), timeout_s=5.0, retries=1)}, 1000.0)
    sender.close()
    assert " within 123.4 s (2 tries)" in problems["a"]


def test_a_later_try_is_acknowledged_like_the_first(
    sender: TrapSender, receiver: socket.socket
) -> None:
    with answering(receiver, None, None, b"ack") as came:
        assert sender.converse({"a": Talk(to(receiver), SHORT_S, retries=1000)}, in_time()) == {}
    assert came == [b"message 1", b"message 2", b"message 3"]


def test_a_conversation_that_asks_for_it_sends_its_next_message_at_once(
    sender: TrapSender, receiver: socket.socket
) -> None:
    """And not as one of its tries: there is but one, whose time is as long as the whole test."""
    with answering(receiver, b"again", b"again", b"ack") as came:
        assert sender.converse({"a": Talk(to(receiver), LIMIT_S, retries=0)}, in_time()) == {}
    assert came == [b"message 1", b"message 2", b"message 3"]


def test_a_receiver_that_always_asks_for_more_is_given_up_when_the_tries_are_over(
    sender: TrapSender, receiver: socket.socket
) -> None:
    ends = threading.Event()

    def ask_for_more() -> None:
        while not ends.is_set():
            _, sent_from = receiver.recvfrom(65535)
            receiver.sendto(b"again", sent_from)

    thread = threading.Thread(target=ask_for_more)
    thread.start()
    try:
        problems = sender.converse({"a": Talk(to(receiver), SHORT_S, retries=1)}, in_time())
    finally:
        ends.set()
        wake(receiver)
        thread.join(LIMIT_S)
    assert "(2 tries)" in problems["a"]


def test_what_one_conversation_raises_is_its_own_problem_alone(sender: TrapSender) -> None:
    with (
        udp_socket("127.0.0.1") as unmet,
        udp_socket("127.0.0.1") as refusing,
        udp_socket("127.0.0.1") as hears_no_more,
        udp_socket("127.0.0.1") as good,
        answering(refusing, b"no"),
        answering(good, None, b"ack"),
    ):
        talks = {
            "speechless": Speechless(to(unmet)),
            "refused": Talk(to(refusing), LIMIT_S),
            "too long": TooLong(to(hears_no_more)),
            "nowhere": Talk(at("127.255.255.255", 162)),
            "good": Talk(to(good), SHORT_S, retries=1000),
        }
        problems = sender.converse(talks, in_time())
        assert waiting_at(unmet) == waiting_at(hears_no_more) == []
    assert problems == {
        "speechless": "no message can be made",
        "refused": f"{talks['refused'].peer.name} says no",
        "too long": (
            f"sending to {talks['too long'].peer.name} failed:"
            " 70000 bytes are too many for one datagram"
        ),
        "nowhere": f"sending to 127.255.255.255:162 failed: {os.strerror(errno.EACCES)}",
    }


def test_a_message_that_cannot_be_made_any_more_ends_its_conversation_alone(
    sender: TrapSender,
) -> None:
    class OnlyOnce(Talk):
        def message(self) -> bytes:
            if self._messages:
                raise ActionFailed("no second message can be made")
            return super().message()

    with (
        udp_socket("127.0.0.1") as silent,
        udp_socket("127.0.0.1") as asking,
        udp_socket("127.0.0.1") as good,
        answering(asking, b"again"),
        answering(good, None, None, b"ack"),
    ):
        talks = {
            "tries again": OnlyOnce(to(silent), SHORT_S, retries=5),
            "is asked again": OnlyOnce(to(asking), LIMIT_S),
            "good": Talk(to(good), SHORT_S, retries=1000),
        }
        problems = sender.converse(talks, in_time())
    assert problems == dict.fromkeys(("tries again", "is asked again"), "no second message can be made")


@BOTH_FAMILIES
def test_a_port_without_a_receiver_is_told_at_once(sender: TrapSender, host: str) -> None:
    peer = at(host, closed_port(host))
    for _ in range(2):
        problems = sender.converse({"a": Talk(peer, LIMIT_S, retries=5)}, in_time())
        assert problems == {
            "a": f"nothing listens for traps at {peer.name} (connection refused); start the receiver"
        }


def test_a_receiver_that_goes_away_between_two_tries_is_missed(sender: TrapSender) -> None:
    receiver = udp_socket("127.0.0.1")
    peer = to(receiver)

    class Leaving(Talk):
        def message(self) -> bytes:
            if self._messages == 1:
                receiver.close()
            return super().message()

    problems = sender.converse({"a": Leaving(peer, SHORT_S, retries=5)}, in_time())
    assert "(connection refused)" in problems["a"]


def test_the_deadline_bounds_all_conversations(sender: TrapSender) -> None:
    with udp_socket("127.0.0.1") as one, udp_socket("127.0.0.1") as other:
        talks = {"a": Talk(to(one), 1000.0, retries=5), "b": Talk(to(other), 2000.0, retries=0)}
        began = time.monotonic()
        problems = sender.converse(talks, began + 0.1)
        assert 0.1 <= time.monotonic() - began < LIMIT_S
        assert waiting_at(one) == waiting_at(other) == [b"message 1"]
    assert list(problems) in (["a", "b"], ["b", "a"])
    for key, talk in talks.items():
        assert problems[key].startswith(f"no acknowledgement from {talk.peer.name} within ")
        assert problems[key].endswith(" (1 try): is anybody there?")


def test_a_deadline_that_has_passed_leaves_time_for_one_try(
    sender: TrapSender, receiver: socket.socket
) -> None:
    problems = sender.converse({"a": Talk(to(receiver), 1000.0, retries=5)}, time.monotonic() - 1)
    assert "(1 try)" in problems["a"]
    assert waiting_at(receiver) == [b"message 1"]


def test_an_answer_that_is_there_when_the_deadline_has_come_counts(sender: TrapSender) -> None:
    """The second conversation makes its message when the first is sent already, and has it answered."""
    with udp_socket("127.0.0.1") as first, udp_socket("127.0.0.1") as second:

        class Meanwhile(Talk):
            def message(self) -> bytes:
                _, sent_from = first.recvfrom(65535)
                first.sendto(b"ack", sent_from)
                return super().message()

        problems = sender.converse({"a": Talk(to(first)), "b": Meanwhile(to(second))}, 0.0)
    assert list(problems) == ["b"]


def test_a_defect_of_a_conversation_leaves_no_socket_open(
    sender: TrapSender, receiver: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[socket.socket] = []
    real = socket.socket

    def tracked(*arguments: int) -> socket.socket:
        opened.append(real(*arguments))
        return opened[-1]

    class Broken(Talk):
        def is_answered(self, datagram: bytes) -> bool | None:
            raise ZeroDivisionError

    with udp_socket("127.0.0.1") as silent, answering(receiver, b"ack"):
        talks = {"a": Talk(to(silent)), "b": Broken(to(receiver))}
        monkeypatch.setattr("listener.snmp.sender.socket.socket", tracked)
        with pytest.raises(ZeroDivisionError):
            sender.converse(talks, in_time())
        monkeypatch.undo()
    assert [made.fileno() for made in opened] == [-1, -1]


def test_several_conversations_are_held_at_once(sender: TrapSender) -> None:
    """No receiver answers before all have got a message: one after the other, none would be."""
    receivers = [udp_socket(host) for host in ("127.0.0.1", "127.0.0.1", "127.0.0.1", "::1")]
    all_have_one = threading.Barrier(len(receivers))

    def answer(receiver: socket.socket) -> None:
        _, sent_from = receiver.recvfrom(65535)
        all_have_one.wait(LIMIT_S)
        receiver.sendto(b"ack", sent_from)

    threads = [threading.Thread(target=answer, args=(receiver,)) for receiver in receivers]
    for thread in threads:
        thread.start()
    talks = {str(number): Talk(to(receiver)) for number, receiver in enumerate(receivers)}
    problems = sender.converse(talks, in_time())
    for thread in threads:
        thread.join(LIMIT_S)
    for receiver in receivers:
        receiver.close()
    assert problems == {}


def test_one_that_stays_silent_costs_the_others_nothing(sender: TrapSender) -> None:
    with (
        udp_socket("127.0.0.1") as silent,
        udp_socket("127.0.0.1") as good,
        answering(good, None, b"ack") as came,
    ):
        talks = {"good": Talk(to(good), SHORT_S, 1000), "silent": Talk(to(silent), SHORT_S, 1)}
        problems = sender.converse(talks, in_time())
    assert list(problems) == ["silent"]
    assert came == [b"message 1", b"message 2"]


def test_nothing_to_say_is_no_problem(sender: TrapSender) -> None:
    assert sender.converse({}, in_time()) == {}


def test_what_is_said_of_traps_is_no_answer_to_an_inform(
    sender: TrapSender, receiver: socket.socket
) -> None:
    sender.send(b"trap", to(receiver))
    _, sent_from = receiver.recvfrom(65535)
    receiver.sendto(b"ack", sent_from)
    talk = Talk(to(receiver), SHORT_S)
    assert list(sender.converse({"a": talk}, in_time())) == ["a"]
    assert talk.heard == []


def test_a_refusal_of_a_trap_is_not_an_informs(sender: TrapSender) -> None:
    with udp_socket("127.0.0.1") as receiver:
        peer = to(receiver)
        sender.send(b"trap", peer)
    refused_later(kept_by(sender))
    with udp_socket("127.0.0.1", peer.port) as receiver, answering(receiver, b"ack"):
        assert sender.converse({"a": Talk(peer)}, in_time()) == {}


def test_two_names_of_one_address_are_two_conversations(
    sender: TrapSender, receiver: socket.socket
) -> None:
    talks = {name: Talk(to(receiver, name), SHORT_S) for name in ("traps.invalid:162", "127.0.0.1:162")}
    assert sender.converse(talks, in_time()).keys() == talks.keys()


# Informs of version 2c

REQUEST_ID = 4711


def inform(peer: Peer, timeout_s: float = LIMIT_S, retries: int = 0) -> V2cInform:
    target = Target(
        name=peer.name,
        host="traps.invalid",
        port=162,
        is_inform=True,
        community=b"xyzzy",
        timeout_s=timeout_s,
        retries=retries,
    )
    content = Content("workflow_queued", 0, 0, {})
    return V2cMessages().inform(target, peer, REQUEST_ID, content)


def answer_of(datagram: bytes, *, request_id: int | None = None, error_status: int = 0) -> bytes:
    """The answer that pysnmp makes to an inform, or to another request of its sender."""
    message = decoded(datagram)
    response = v2c.apiPDU.get_response(v2c.apiMessage.get_pdu(message))
    if request_id is not None:
        v2c.apiPDU.set_request_id(response, request_id)
    v2c.apiPDU.set_error_status(response, error_status)
    v2c.apiMessage.set_pdu(message, response)
    return bytes(encoder.encode(message))


@BOTH_FAMILIES
def test_an_inform_is_a_conversation_that_an_answer_to_its_request_acknowledges(
    sender: TrapSender, host: str
) -> None:
    with (
        udp_socket(host) as receiver,
        answering(receiver, lambda datagram: [answer_of(datagram)]) as came,
    ):
        conversation: Conversation = inform(to(receiver))
        assert sender.converse({"a": conversation}, in_time()) == {}
    [datagram] = came
    message = decoded(datagram)
    assert bytes(message["community"]) == b"xyzzy"
    assert isinstance(v2c.apiMessage.get_pdu(message), v2c.InformRequestPDU)


def test_noise_and_answers_to_other_requests_are_ignored(
    sender: TrapSender, receiver: socket.socket
) -> None:
    def others(datagram: bytes) -> list[bytes]:
        return [
            b"",
            b"noise",
            datagram,
            answer_of(datagram)[:-1],
            answer_of(datagram, request_id=REQUEST_ID + 1),
            answer_of(datagram, request_id=REQUEST_ID - 1, error_status=5),
            answer_of(datagram, request_id=-REQUEST_ID),
        ]

    with answering(receiver, others) as came:
        problems = sender.converse({"a": inform(to(receiver), SHORT_S)}, in_time())
    assert len(came) == 1
    assert problems["a"].startswith(f"no acknowledgement from {to(receiver).name} within ")
    assert problems["a"].endswith(
        ": is the receiver running, is its community the community_string, and does its host let SNMP"
        " through?"
    )


def test_an_answer_behind_noise_is_heard(sender: TrapSender, receiver: socket.socket) -> None:
    with answering(receiver, lambda datagram: [b"noise", datagram, answer_of(datagram)]):
        assert sender.converse({"a": inform(to(receiver))}, in_time()) == {}


@pytest.mark.parametrize("error_status", [1, 5, 16, 18])
def test_an_error_status_is_a_failure_with_its_number(
    sender: TrapSender, receiver: socket.socket, error_status: int
) -> None:
    with answering(receiver, lambda datagram: [answer_of(datagram, error_status=error_status)]):
        problems = sender.converse({"a": inform(to(receiver), retries=5)}, in_time())
    assert problems == {
        "a": f"{to(receiver).name} refused the inform with error-status {error_status}"
        " (RFC 3416, section 3)"
    }


def test_a_late_answer_to_an_earlier_try_counts(sender: TrapSender, receiver: socket.socket) -> None:
    tries: list[bytes] = []

    def say_nothing(datagram: bytes) -> list[bytes]:
        tries.append(datagram)
        return []

    turns = (say_nothing, say_nothing, lambda _: [answer_of(tries[0])])
    with answering(receiver, *turns) as came:
        conversation = inform(to(receiver), SHORT_S, retries=1000)
        assert sender.converse({"a": conversation}, in_time()) == {}
    assert came[0] == came[1] == came[2]
