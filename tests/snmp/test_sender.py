"""The sender against real sockets of loopback; only a name server is stood in for."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from listener.errors import ActionFailed
from listener.snmp.sender import TrapSender
from tests.snmp.receivers import closed_port, udp_socket

BOTH_FAMILIES = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])


@pytest.fixture
def sender() -> Iterator[TrapSender]:
    made = TrapSender()
    yield made
    made.close()


def resolving(monkeypatch: pytest.MonkeyPatch, answers: dict[str, str | Exception]) -> list[str]:
    """Let these names mean these addresses, or fail so; returns the names as they are asked for."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(host)
        meant = answers[host]
        if isinstance(meant, Exception):
            raise meant
        return real(meant, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@BOTH_FAMILIES
def test_datagrams_arrive_as_they_were_and_from_one_socket(sender: TrapSender, host: str) -> None:
    with udp_socket(host) as receiver:
        port = receiver.getsockname()[1]
        sender.send(b"first", host, port)
        sender.send(bytes(range(256)) * 5, host, port)
        first, first_from = receiver.recvfrom(65535)
        second, second_from = receiver.recvfrom(65535)
    assert (first, second) == (b"first", bytes(range(256)) * 5)
    assert first_from == second_from


@BOTH_FAMILIES
def test_a_name_is_looked_up_once(
    sender: TrapSender, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolving(monkeypatch, {"traps.invalid": host})
    with udp_socket(host) as receiver:
        for text in (b"first", b"second"):
            sender.send(text, "traps.invalid", receiver.getsockname()[1])
            assert receiver.recv(65535) == text
    assert asked == ["traps.invalid"]


def test_every_destination_has_a_socket_of_its_own(sender: TrapSender) -> None:
    with udp_socket("127.0.0.1") as one, udp_socket("127.0.0.1") as other:
        for turn in (b"first", b"second"):
            for receiver in (one, other):
                sender.send(turn, *receiver.getsockname())
        senders = [receiver.recvfrom(65535)[1] for receiver in (one, one, other, other)]
    assert senders[0] == senders[1] != senders[2] == senders[3]


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")], ids=["ipv4", "ipv6"]
)
def test_a_refusal_is_told_at_once_and_is_over_when_the_receiver_has_started(
    sender: TrapSender, host: str, shown: str
) -> None:
    port = closed_port(host)
    for _ in range(2):
        with pytest.raises(ActionFailed) as failure:
            sender.send(b"lost", host, port)
        assert str(failure.value) == (
            f"nothing listens for traps at {shown}:{port} (connection refused); start the receiver"
        )
        assert isinstance(failure.value.__cause__, ConnectionRefusedError)
    with udp_socket(host, port) as receiver:
        sender.send(b"found", host, port)
        assert receiver.recv(65535) == b"found"


def test_a_receiver_that_went_away_is_missed_at_the_next_send(sender: TrapSender) -> None:
    with udp_socket("127.0.0.1") as receiver:
        address = receiver.getsockname()
        sender.send(b"first", *address)
    with pytest.raises(ActionFailed, match="connection refused"):
        sender.send(b"lost", *address)


def test_after_a_refusal_the_name_is_looked_up_again(
    sender: TrapSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: dict[str, str | Exception] = {"traps.invalid": "127.0.0.1"}
    resolving(monkeypatch, answers)
    port = closed_port("127.0.0.1")
    with pytest.raises(ActionFailed, match="connection refused"):
        sender.send(b"lost", "traps.invalid", port)
    answers["traps.invalid"] = "127.0.0.2"
    with udp_socket("127.0.0.2", port) as receiver:
        sender.send(b"found", "traps.invalid", port)
        assert receiver.recv(65535) == b"found"


def test_a_late_refusal_is_not_blamed_on_the_next_datagram(sender: TrapSender) -> None:
    with udp_socket("127.0.0.1") as receiver:
        address = receiver.getsockname()
        sender.send(b"first", *address)
    [kept] = sender._sockets.values()
    kept.send(b"refused, but nobody has asked yet")
    with udp_socket(*address) as receiver:
        sender.send(b"second", *address)
        assert receiver.recv(65535) == b"second"


def test_a_name_that_cannot_be_resolved_is_looked_up_again_at_the_next_send(
    sender: TrapSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    answers: dict[str, str | Exception] = {"traps.invalid": unknown}
    resolving(monkeypatch, answers)
    with udp_socket("127.0.0.1") as receiver:
        port = receiver.getsockname()[1]
        with pytest.raises(ActionFailed) as failure:
            sender.send(b"lost", "traps.invalid", port)
        answers["traps.invalid"] = "127.0.0.1"
        sender.send(b"found", "traps.invalid", port)
        assert receiver.recv(65535) == b"found"
    assert str(failure.value) == (
        "the name 'traps.invalid' cannot be resolved (Name or service not known);"
        " correct destination_address"
    )


@pytest.mark.parametrize("host", ["traps..invalid", "ü" * 64 + ".invalid", "traps.invalid\udcff"])
def test_a_text_that_can_be_no_name_is_one_that_cannot_be_resolved(
    sender: TrapSender, host: str
) -> None:
    with pytest.raises(ActionFailed, match=r"cannot be resolved .*; correct destination_address$"):
        sender.send(b"lost", host, 162)  # refused before anyone is asked


def test_a_datagram_that_is_too_large_is_said_to_be_and_harms_no_other(sender: TrapSender) -> None:
    with udp_socket("127.0.0.1") as receiver:
        address = receiver.getsockname()
        with pytest.raises(ActionFailed, match=f"127.0.0.1:{address[1]}.*70000 bytes") as failure:
            sender.send(b"x" * 70_000, *address)
        sender.send(b"small", *address)
        assert receiver.recv(65535) == b"small"
    cause = failure.value.__cause__
    assert isinstance(cause, OSError) and cause.errno == errno.EMSGSIZE


def test_an_address_that_cannot_be_sent_to_is_named_with_the_systems_reason(
    sender: TrapSender,
) -> None:
    with pytest.raises(ActionFailed) as failure:
        sender.send(b"lost", "127.255.255.255", 162)  # a broadcast: that needs leave
    reason = os.strerror(errno.EACCES)
    assert str(failure.value) == f"sending to 127.255.255.255:162 failed: {reason}"


def test_closing_twice_is_safe_and_frees_every_socket(sender: TrapSender) -> None:
    with udp_socket("127.0.0.1") as one, udp_socket("127.0.0.1") as other:
        for receiver in (one, other):
            sender.send(b"first", *receiver.getsockname())
        kept = list(sender._sockets.values())
        sender.close()
        sender.close()
    assert [made.fileno() for made in kept] == [-1, -1]
