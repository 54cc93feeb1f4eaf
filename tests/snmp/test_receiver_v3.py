"""The receiver and SNMPv3, with net-snmp's own programs as senders.

What these never send is made of our own parts here: messages that are odd, too old, or broken.
"""

from __future__ import annotations

import functools
import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyasn1.type import univ
from pysnmp.proto.api import v2c

from listener.snmp.receiver import Trap, TrapReceiver, Undecodable
from listener.snmp.receiver_keys import AUTH_LEVEL, PRIV_LEVEL, KeyRing
from listener.snmp.receiver_message import Message, parsed, scoped_pdu, sealed
from listener.snmp.receiver_v3 import V3Reader
from listener.snmp.target import User
from tests.snmp.receiver_senders import NetSnmp
from tests.snmp.receivers import LIMIT_S, udp_socket

ENGINE = bytes.fromhex("8000000001020304")
TRAP_OID = (1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0)
STARTED = [(TRAP_OID, v2c.ObjectIdentifier((1, 3, 6, 1, 4, 1, 52312, 1, 0, 2)))]

PLAIN = User("plain")
SIGNED = User("signed", "SHA", "authpass1")
SECRET = User("secret", "SHA-256", "authpass1", "AES", "privpass1")
USERS = (PLAIN, SIGNED, SECRET)
LEVELS = ("noAuthNoPriv", "authNoPriv", "authPriv")


def level_of(user: User) -> int:
    return bool(user.auth_protocol) + bool(user.priv_protocol)


@pytest.fixture
def net_snmp(tmp_path: Path) -> NetSnmp:
    return NetSnmp(tmp_path)


def options(user: User) -> list[str]:
    """The options of net-snmp's programs for a user."""
    chosen = ["-v", "3", "-u", user.name, "-l", LEVELS[level_of(user)]]
    if user.auth_protocol:
        chosen += ["-a", user.auth_protocol, "-A", user.auth_key]
    if user.priv_protocol:
        chosen += ["-x", user.priv_protocol, "-X", user.priv_key]
    return chosen


@contextmanager
def receiving(users: tuple[User, ...] = USERS, host: str = "127.0.0.1") -> Iterator[TrapReceiver]:
    udp_socket(host).close()
    with closing(TrapReceiver(host, 0, users)) as receiver:
        yield receiver


PROTOCOLS = [
    ("", ""),
    *[(auth, "") for auth in ("MD5", "SHA", "SHA-224", "SHA-256", "SHA-384", "SHA-512")],
    *[("MD5", "DES"), ("SHA", "DES"), ("SHA", "AES"), ("SHA-256", "AES"), ("SHA-512", "AES")],
    *[("MD5", "AES-192"), ("SHA", "AES-256"), ("SHA-512", "AES-256")],
]


@pytest.mark.parametrize("program", ["snmptrap", "snmpinform"])
@pytest.mark.parametrize(("auth", "priv"), PROTOCOLS)
def test_what_net_snmp_sends_is_read_with_every_protocol(
    auth: str, priv: str, program: str, net_snmp: NetSnmp
) -> None:
    user = User("trapuser", auth, "authpass1" if auth else "", priv, "privpass1" if priv else "")
    own = ["-E", "0x8000000005060708", *(["-e", "0x" + ENGINE.hex()] if program == "snmptrap" else [])]
    with (
        receiving((user,)) as receiver,
        net_snmp.sending(program, receiver.address[1], *options(user), *own) as process,
    ):
        trap = receiver.receive(LIMIT_S)
        assert process.communicate(timeout=LIMIT_S)[0] == ""
        assert process.returncode == 0, "an inform is acknowledged"
    assert isinstance(trap, Trap)
    assert (trap.notification, trap.uptime_s) == ("cloudifyWorkflowFailed", 0.42)
    assert trap.values == {"cloudifyTenantName": "配置"}
    assert (trap.version, trap.is_inform) == ("3", program == "snmpinform")
    assert (trap.user, trap.security_level) == ("trapuser", LEVELS[level_of(user)])
    assert trap.context_engine_id == "0x8000000005060708"
    assert (trap.engine_id == "0x" + ENGINE.hex()) is not trap.is_inform
    assert "pass1" not in json.dumps(trap._asdict())


def test_informs_come_by_ipv6_too(net_snmp: NetSnmp) -> None:
    with receiving(host="::1") as receiver:
        port = receiver.address[1]
        with net_snmp.sending("snmpinform", port, *options(SECRET), host="::1") as process:
            trap = receiver.receive(LIMIT_S)
            process.communicate(timeout=LIMIT_S)
            assert process.returncode == 0
    assert isinstance(trap, Trap)
    assert trap.sender.startswith("[::1]:")


STRANGER = User("stranger")
REFUSALS = [
    (
        STRANGER,
        "user 'stranger' is not known here; known are: 'plain', 'secret', 'signed'",
        "Unknown user",
    ),
    (
        User("signed"),
        "'signed' sent it with noAuthNoPriv, but is known here with authNoPriv",
        "level",
    ),
    (
        User("signed", "SHA", "authpass1", "AES", "privpass1"),
        "'signed' sent it with authPriv, but is known here with authNoPriv",
        "Unsupported security level",
    ),
    (
        SIGNED._replace(auth_key="another1"),
        "authentication failed for user 'signed': auth_key or auth_protocol (here SHA) is not",
        "Authentication failure",
    ),
    (
        SIGNED._replace(auth_protocol="SHA-256"),
        "authentication failed for user 'signed': a digest of 24 bytes is not one of auth_protocol SHA",
        "Authentication failure",
    ),
    (
        SECRET._replace(priv_key="another1"),
        "decryption failed for user 'secret': priv_key or priv_protocol (here AES) is not the sender's",
        "Decryption error",
    ),
    (
        SECRET._replace(priv_protocol="DES"),
        "decryption failed for user 'secret'",
        "Decryption error",
    ),
]


@pytest.mark.parametrize("program", ["snmptrap", "snmpinform"])
@pytest.mark.parametrize(("user", "told", "said"), REFUSALS)
def test_what_is_refused_is_told_here_and_to_who_waits_for_an_answer(
    user: User, told: str, said: str, program: str, net_snmp: NetSnmp
) -> None:
    with (
        receiving() as receiver,
        net_snmp.sending(program, receiver.address[1], *options(user)) as process,
    ):
        refused = receiver.receive(LIMIT_S)
        printed, _ = process.communicate(timeout=LIMIT_S)
    assert isinstance(refused, Undecodable)
    assert told in refused.reason
    assert "pass1" not in refused.reason
    assert said in printed if program == "snmpinform" else printed == ""


def test_without_users_nobody_is_known(net_snmp: NetSnmp) -> None:
    _, reason, _ = V3Reader(()).read(net_snmp.datagram(*options(PLAIN)))
    assert reason == "user 'plain' is not known here; known are: nobody"


def test_of_users_with_one_name_the_one_that_fits_is_found(net_snmp: NetSnmp) -> None:
    other_auth = SECRET._replace(auth_key="another1")
    other_priv = SECRET._replace(priv_key="another1")
    reader = V3Reader((other_auth, other_priv, SECRET))
    accepted, reason, _ = reader.read(net_snmp.datagram(*options(SECRET)))
    assert accepted, reason


def test_an_inform_that_tells_nothing_is_not_acknowledged() -> None:
    datagram, reader = inform_to_itself(PLAIN, [])
    with receiving() as receiver, udp_socket("127.0.0.1") as sender:
        receiver._v3 = reader
        sender.sendto(datagram, receiver.address)
        refused = receiver.receive(LIMIT_S)
        sender.setblocking(False)
        with pytest.raises(BlockingIOError):
            sender.recv(65535)
    assert isinstance(refused, Undecodable)
    assert "without snmpTrapOID.0" in refused.reason


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def result_of(reader: V3Reader, taker: socket.socket) -> str:
    """Answers what comes until something is accepted, which is '', or refused, with this reason."""
    while True:
        datagram, address = taker.recvfrom(65535)
        accepted, reason, answer = reader.read(datagram)
        if answer:
            taker.sendto(answer, address)
        if accepted or reason:
            return reason


def test_informs_are_acknowledged_hours_later_too(net_snmp: NetSnmp) -> None:
    clock = Clock()
    reader = V3Reader(USERS, clock)
    with udp_socket("127.0.0.1") as taker:
        for _ in range(3):
            with net_snmp.sending("snmpinform", taker.getsockname()[1], *options(SECRET)) as process:
                assert result_of(reader, taker) == ""
                assert process.communicate(timeout=LIMIT_S)[0] == ""
            clock.now_s += 3600 * 24


def test_a_sender_with_an_old_time_is_told_the_right_one(net_snmp: NetSnmp) -> None:
    clock = Clock()
    reader = V3Reader(USERS, clock)
    with (
        udp_socket("127.0.0.1") as taker,
        net_snmp.sending("snmpinform", taker.getsockname()[1], *options(SIGNED)) as process,
    ):
        question, address = taker.recvfrom(65535)
        taker.sendto(reader.read(question)[2], address)
        clock.now_s += 151
        assert "outside the time window, from user 'signed': it says boots 1" in result_of(
            reader, taker
        )
        assert result_of(reader, taker) == ""
        assert process.communicate(timeout=LIMIT_S)[0] == ""


def test_a_sender_that_takes_us_for_another_engine_is_told(net_snmp: NetSnmp) -> None:
    other = ["-e", "0x" + ENGINE.hex(), "-Z", "1,1"]
    reader = V3Reader(USERS)
    with (
        udp_socket("127.0.0.1") as taker,
        net_snmp.sending("snmpinform", taker.getsockname()[1], *options(SIGNED), *other),
    ):
        reason = result_of(reader, taker)
    assert reason == (
        "a message of user 'signed' for the engine 0x8000000001020304, not for this one;"
        " the sender was told so"
    )


def test_a_trap_is_taken_only_in_the_time_window_of_its_engine(net_snmp: NetSnmp) -> None:
    clock = Clock()
    reader = V3Reader(USERS, clock)
    engine = ["-e", "0x" + ENGINE.hex()]

    def reason(boots: int, time_s: int) -> str:
        datagram = net_snmp.datagram(*options(SECRET), *engine, "-Z", f"{boots},{time_s}")
        return reader.read(datagram)[1]

    assert reason(5, 1000) == ""
    assert reason(5, 850) == "", "150 s late is still in time"
    assert reason(5, 849) == (
        "outside the time window, from user 'secret': it says boots 5, time 849 s;"
        " due is boots 5, 1000 s; it is a repetition, or its sender has forgotten its boots"
    )
    assert "it says boots 4" in reason(4, 2000)
    clock.now_s += 3600
    assert "due is boots 5, 4600 s" in reason(5, 1000), "a repetition does not stop the clock"
    assert reason(6, 0) == "", "a sender that restarts counts its boots up"
    assert "it says boots 5" in reason(5, 5000)
    assert "its boots are used up" in reason(2**31 - 1, 0)


@functools.cache
def ring_of(user: User) -> KeyRing:
    return KeyRing((user,))


def message_to(user: User, level: int, **changed: Any) -> Message:
    """Where a made message gets its number and its user from."""
    nothing = {"whole": b"", "number": 7, "level": level, "wants_report": False, "engine_id": ENGINE}
    more = {
        "boots": 0,
        "time_s": 0,
        "user": user.name.encode(),
        "digest": b"",
        "salt": b"",
        "content": None,
    }
    return Message(**{**nothing, **more, **changed})


def made(
    user: User,
    *,
    pdu: Any = None,
    level: int | None = None,
    engine: tuple[bytes, int, int] = (ENGINE, 1, 1),
    inside: Any = None,
) -> bytes:
    """A message, by our own parts, from an engine with this ID, boots and time."""
    if pdu is None:
        pdu = notification("SNMPv2TrapPDU")
    chosen = level_of(user) if level is None else level
    [keys] = ring_of(user).of(user.name.encode(), engine[0])
    content = scoped_pdu(engine[0], b"", pdu) if inside is None else inside
    return sealed(message_to(user, chosen), engine, chosen, keys, content)


def notification(kind: str, varbinds: Any = STARTED) -> Any:
    pdu = getattr(v2c, kind)()
    v2c.apiPDU.set_defaults(pdu)
    v2c.apiPDU.set_varbinds(pdu, varbinds)
    return pdu


def asking(datagram: bytes, user: User) -> bytes:
    """The same message with the flag that asks for reports, signed anew."""
    message = parsed(datagram)
    old = bytes((4, 1, message.level, 2, 1, 3))
    changed = datagram.replace(old, old[:2] + bytes((message.level | 4,)) + old[3:], 1)
    assert changed != datagram
    if not message.level:
        return changed
    [keys] = ring_of(user).of(user.name.encode(), message.engine_id)
    unsigned = changed.replace(bytes(message.digest), bytes(len(message.digest)), 1)
    return bytes(keys.auth.authenticate_outgoing_message(keys.auth_key, unsigned))


def engine_of(reader: V3Reader) -> bytes:
    """What a sender of informs learns at first."""
    _, reason, report = reader.read(asking(made(PLAIN, engine=(b"", 0, 0)), PLAIN))
    assert reason == "", "a question is no mistake"
    return parsed(report).engine_id


def inform_to_itself(user: User, varbinds: Any = STARTED) -> tuple[bytes, V3Reader]:
    reader = V3Reader(USERS)
    pdu = notification("InformRequestPDU", varbinds)
    return made(user, pdu=pdu, engine=(engine_of(reader), 1, 0)), reader


def test_a_question_for_the_time_is_answered_with_a_digest_and_is_no_mistake() -> None:
    reader = V3Reader(USERS, Clock())
    question = asking(made(SIGNED, engine=(engine_of(reader), 0, 0)), SIGNED)
    accepted, reason, answer = reader.read(question)
    assert (accepted, reason) == (None, "")
    report = parsed(answer)
    assert (report.number, report.level, report.boots, report.time_s) == (7, AUTH_LEVEL, 1, 0)


@pytest.mark.parametrize(
    ("datagram", "told"),
    [
        pytest.param(made(PLAIN) + b"xx", "an SNMPv3 message with 2 bytes behind it", id="tail"),
        pytest.param(
            made(PLAIN).replace(b"\4\1\0\2\1\3", b"\4\1\0\2\1\4"), "of the security model 4", id="model"
        ),
        pytest.param(
            made(PLAIN).replace(b"\4\1\0\2\1\3", b"\4\1\2\2\1\3"),
            "encrypted, but has no digest",
            id="flags",
        ),
        pytest.param(
            made(PLAIN, engine=(b"abc", 1, 1)), "0x616263, which is not 5 to 32 bytes", id="id"
        ),
        pytest.param(
            made(PLAIN, pdu=notification("GetRequestPDU")),
            "'plain', but no trap: GetRequestPDU",
            id="get",
        ),
        pytest.param(
            made(PLAIN, pdu=notification("InformRequestPDU")),
            "an inform of user 'plain' for the engine 0x8000000001020304, which is not this one",
            id="inform_to_another",
        ),
        pytest.param(
            made(PLAIN, inside=univ.OctetString(b"?")),
            "with noAuthNoPriv, but it is otherwise",
            id="sealed",
        ),
        pytest.param(
            made(SECRET, inside=univ.OctetString(b"?")),
            "decryption failed for user 'secret'",
            id="inside",
        ),
        pytest.param(made(SECRET)[:-1], "a broken SNMP", id="truncated"),
        pytest.param(
            made(PLAIN._replace(name="\x1b[31m")), r"user '\x1b[31m' is not known here", id="control"
        ),
    ],
)
def test_what_cannot_be_taken_is_told_with_the_reason(datagram: bytes, told: str) -> None:
    with receiving() as receiver, udp_socket("127.0.0.1") as sender:
        sender.sendto(datagram, receiver.address)
        refused = receiver.receive(LIMIT_S)
    assert isinstance(refused, Undecodable)
    assert told in refused.reason
    assert refused.reason.isprintable()


def test_an_encrypted_level_without_encryption_is_refused() -> None:
    whole = made(SIGNED._replace(name="secret", auth_protocol="SHA-256"))
    [keys] = KeyRing(USERS).of(b"secret", ENGINE)
    digest = bytes(parsed(whole).digest)
    unsigned = whole.replace(b"\4\1\1\2\1\3", b"\4\1\3\2\1\3").replace(digest, bytes(len(digest)))
    datagram = keys.auth.authenticate_outgoing_message(keys.auth_key, unsigned)
    _, reason, _ = V3Reader(USERS).read(datagram)
    assert reason == "user 'secret' sent it with authPriv, but it is otherwise"


def test_a_sender_that_cannot_be_answered_is_read_all_the_same() -> None:
    datagram, reader = inform_to_itself(SECRET)

    class Mute(socket.socket):
        def sendto(self, *_: Any) -> int:
            raise OSError("Network is unreachable")

    with receiving() as receiver, udp_socket("127.0.0.1") as sender:
        receiver._v3 = reader
        sender.sendto(datagram, receiver.address)
        with Mute(fileno=receiver._socket.detach()) as receiver._socket:
            trap = receiver.receive(LIMIT_S)
    assert isinstance(trap, Trap) and trap.is_inform


def test_what_is_remembered_of_engines_is_bounded() -> None:
    reader = V3Reader(USERS)
    for number in range(1010):
        engine_id = ENGINE + number.to_bytes(2, "big")
        assert reader.read(made(SIGNED, engine=(engine_id, 2, 1)))[0]
    assert len(reader._clocks) == 1000


MADE = [made(PLAIN), made(SIGNED), made(SECRET), asking(made(PLAIN, engine=(b"", 0, 0)), PLAIN)]
FLIPS = st.lists(st.tuples(st.integers(0, 2**16), st.integers(1, 255)), min_size=1, max_size=4)


@settings(deadline=None, max_examples=600)
@given(st.sampled_from(MADE), FLIPS, st.integers(0, 200))
def test_a_message_with_broken_bytes_is_never_an_exception(
    datagram: bytes, flips: list[tuple[int, int]], lost: int
) -> None:
    broken = bytearray(datagram)
    for place, flip in flips:
        broken[place % len(broken)] ^= flip
    whole = bytes(broken[: len(broken) - lost] if lost < len(broken) // 2 else broken)
    with receiving() as receiver:
        result, answer = receiver._read(whole, "s")
    assert result is None or isinstance(result, (Trap, Undecodable))
    assert isinstance(answer, bytes)


@settings(deadline=None)
@given(st.sampled_from([SIGNED, SECRET]), st.binary(max_size=60))
def test_a_signed_message_with_any_content_is_never_an_exception(user: User, inside: bytes) -> None:
    reader = V3Reader(USERS)
    accepted, reason, _ = reader.read(made(user, inside=univ.OctetString(inside)))
    assert accepted is None and reason


def test_an_encrypted_trap_is_decrypted_whatever_its_length() -> None:
    des = User("des", "MD5", "authpass1", "DES", "privpass1")
    reader = V3Reader((des,))
    for size in range(20):
        text = v2c.OctetString(b"x" * size)
        datagram = made(des, pdu=notification("SNMPv2TrapPDU", [*STARTED, ((1, 3, 6, 1), text)]))
        assert parsed(datagram).level == PRIV_LEVEL
        accepted, reason, _ = reader.read(datagram)
        assert accepted, reason
