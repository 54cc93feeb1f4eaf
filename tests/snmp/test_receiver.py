"""The receiver with net-snmp's own programs as senders, in every version; and what it refuses."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyasn1.codec.ber import decoder, encoder
from pysnmp.proto.mpmod.rfc3412 import SNMPv3Message
from pysnmp.proto.rfc1905 import ReportPDU
from pysnmp.proto.secmod.rfc3414.service import UsmSecurityParameters

from listener.snmp.receiver import TrapReceiver
from listener.snmp.target import User
from listener.snmp.trap import Trap, Undecodable
from tests.snmp.receivers import LIMIT_S, udp_socket
from tests.snmp.senders import OBJECTS, ROOT, NetSnmp

ENGINE = "0x8000000001020304"
CONTEXT_ENGINE = "0x8000000005060708"
PLAIN = User("plain")
SIGNED = User("signed", "SHA", "authpass1")
SECRET = User("secret", "SHA-256", "authpass1", "AES", "privpass1")
USERS = (PLAIN, SIGNED, SECRET)
BOTH_PROGRAMS = pytest.mark.parametrize("program", ["snmptrap", "snmpinform"])
BOTH_FAMILIES = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])


@pytest.fixture
def net_snmp(tmp_path: Path) -> NetSnmp:
    return NetSnmp(tmp_path)


@contextmanager
def receiving(users: tuple[User, ...] = USERS, host: str = "127.0.0.1") -> Iterator[TrapReceiver]:
    udp_socket(host).close()
    with closing(TrapReceiver(host, 0, users)) as receiver:
        yield receiver


def level_of(user: User) -> str:
    return ("noAuthNoPriv", "authNoPriv", "authPriv")[
        bool(user.auth_protocol) + bool(user.priv_protocol)
    ]


def options(user: User) -> list[str]:
    """The options of net-snmp's programs for a user."""
    chosen = ["-v", "3", "-u", user.name, "-l", level_of(user)]
    if user.auth_protocol:
        chosen += ["-a", user.auth_protocol, "-A", user.auth_key]
    if user.priv_protocol:
        chosen += ["-x", user.priv_protocol, "-X", user.priv_key]
    return chosen


def received(receiver: TrapReceiver) -> Trap:
    trap = receiver.receive(LIMIT_S)
    assert isinstance(trap, Trap), trap
    return trap


@BOTH_FAMILIES
@BOTH_PROGRAMS
def test_version_2c_is_read_and_an_inform_acknowledged(
    program: str, host: str, net_snmp: NetSnmp
) -> None:
    with receiving(host=host) as receiver:
        version = ["-v", "2c", "-c", "secretcommunity"]
        with net_snmp.sending(program, receiver.address[1], *version, host=host) as process:
            trap = received(receiver)
            assert process.communicate(timeout=LIMIT_S)[0] == ""
            assert process.returncode == 0, "snmpinform fails without an acknowledgement"
    assert trap.sender.startswith("[::1]:" if host == "::1" else "127.0.0.1:")
    expected = Trap(trap.sender, "cloudifyWorkflowFailed", 0.42, {"cloudifyTenantName": "配置"})
    assert trap == expected._replace(version="2c", is_inform=program == "snmpinform")


@pytest.mark.parametrize(
    ("everywhere", "sender", "sent_to"), [("0.0.0.0", "127.0.0.1", "127.0.0.2"), ("::", "::1", "::1")]
)
def test_an_inform_is_acknowledged_from_the_address_that_it_was_sent_to(
    everywhere: str, sender: str, sent_to: str, net_snmp: NetSnmp
) -> None:
    inform = net_snmp.datagram("snmpinform", "-v", "2c", "-c", "public")
    with udp_socket(sender) as source, receiving(host=everywhere) as receiver:
        source.connect((sent_to, receiver.address[1]))
        source.send(inform)
        received(receiver)
        assert source.recv(65535)


@pytest.mark.parametrize(
    ("kind", "notification"),
    [(["6", "5"], "cloudifyWorkflowFailed"), (["0", "0"], "1.3.6.1.6.3.1.1.5.1")],
    ids=["specific", "cold_start"],
)
def test_a_trap_of_version_1_is_shown_as_version_2_has_it_without_its_community(
    kind: list[str], notification: str, net_snmp: NetSnmp
) -> None:
    with receiving() as receiver:
        version = ["-v", "1", "-c", "secretcommunity"]
        content = [ROOT, "192.0.2.7", *kind, "42", *OBJECTS]
        with net_snmp.sending("snmptrap", receiver.address[1], *version, content=content):
            trap = received(receiver)
    assert (trap.version, trap.notification, trap.uptime_s) == ("1", notification, 0.42)
    assert trap.values == {
        "snmpTrapAddress.0": "192.0.2.7",
        "snmpTrapEnterprise.0": ROOT,
        "cloudifyTenantName": "配置",
    }


@BOTH_PROGRAMS
@pytest.mark.parametrize(
    ("auth", "priv"),
    [
        ("", ""),
        *[(auth, "") for auth in ("MD5", "SHA", "SHA-224", "SHA-256", "SHA-384", "SHA-512")],
        *[("MD5", "DES"), ("SHA-256", "AES"), ("SHA", "AES-192"), ("SHA-512", "AES-256")],
    ],
)
def test_version_3_is_read_with_every_protocol(
    auth: str, priv: str, program: str, net_snmp: NetSnmp
) -> None:
    user = User("trapuser", auth, "authpass1" if auth else "", priv, "privpass1" if priv else "")
    own = ["-E", CONTEXT_ENGINE, *(["-e", ENGINE] if program == "snmptrap" else [])]
    with (
        receiving((user,)) as receiver,
        net_snmp.sending(program, receiver.address[1], *options(user), *own) as process,
    ):
        trap = received(receiver)
        assert process.communicate(timeout=LIMIT_S)[0] == ""
        assert process.returncode == 0, "an inform is acknowledged"
    expected = Trap(trap.sender, "cloudifyWorkflowFailed", 0.42, {"cloudifyTenantName": "配置"})
    assert trap == expected._replace(
        version="3", is_inform=program == "snmpinform", user="trapuser", security_level=level_of(user),
        engine_id=trap.engine_id, context_engine_id=CONTEXT_ENGINE,
    )  # fmt: skip
    assert (trap.engine_id == ENGINE) is not trap.is_inform


@BOTH_PROGRAMS
def test_of_users_with_one_name_the_one_that_fits_is_found(program: str, net_snmp: NetSnmp) -> None:
    others = SECRET._replace(auth_key="another1"), SECRET._replace(priv_key="another1")
    with receiving((others[0], SECRET, others[1])) as receiver:
        for _ in range(2):
            with net_snmp.sending(program, receiver.address[1], *options(SECRET)) as process:
                assert received(receiver).user == "secret"
                assert process.wait(LIMIT_S) == 0


OTHER_PROTOCOLS = "user 'signed' has other protocols here: SHA for auth, none for priv"
WRONG_AUTH = "authentication failed for user '{}': auth_key or auth_protocol (here {}) is not".format
WRONG_PRIV = "decryption failed for user '{}': priv_key or priv_protocol (here {}) is not the".format


@pytest.mark.parametrize(
    ("program", "user", "reason", "printed"),
    [
        ("snmptrap", User("stranger"), "user 'stranger' is not known here; known are: 'plain', ", ""),
        ("snmpinform", User("stranger"), "user 'stranger' is not known here", "Unknown user name"),
        ("snmpinform", User("signed"), OTHER_PROTOCOLS, "Unsupported security level"),
        (
            "snmpinform",
            SIGNED._replace(auth_protocol="SHA-256"),
            WRONG_AUTH("signed", "SHA"),
            "Authentication failure",
        ),
        (
            "snmptrap",
            SIGNED._replace(priv_protocol="AES", priv_key="privpass1"),
            WRONG_PRIV("signed", "none"),
            "",
        ),
        (
            "snmpinform",
            SECRET._replace(priv_protocol="DES"),
            WRONG_PRIV("secret", "AES"),
            "Decryption error",
        ),
    ],
)
def test_what_is_refused_has_a_reason_here_and_at_a_sender_that_waits(
    program: str, user: User, reason: str, printed: str, net_snmp: NetSnmp
) -> None:
    with (
        receiving() as receiver,
        net_snmp.sending(program, receiver.address[1], *options(user)) as process,
    ):
        refused = receiver.receive(LIMIT_S)
        said, _ = process.communicate(timeout=LIMIT_S)
    assert isinstance(refused, Undecodable)
    assert refused.reason.startswith(reason)
    assert "pass1" not in refused.reason
    assert printed in said if printed else said == ""


def test_a_sender_that_takes_us_for_another_engine_is_told_without_a_word_here(
    net_snmp: NetSnmp,
) -> None:
    """Known under that engine's ID, its user would get no answer at all."""
    inform = net_snmp.datagram("snmpinform", *options(SIGNED), "-e", ENGINE, "-Z", "1,1")
    with receiving() as receiver, udp_socket("127.0.0.1") as sender:
        sender.sendto(inform, receiver.address)
        assert receiver.receive(timeout_s=0.5) is None
        report, _ = decoder.decode(sender.recv(65535), asn1Spec=SNMPv3Message())
    assert isinstance(report["msgData"]["plaintext"]["data"].getComponent(), ReportPDU)


def changed(datagram: bytes, flags: bytes | None = None, **parameters: bytes) -> bytes:
    """The message with other security parameters (RFC 3414, 2.4)."""
    message, _ = decoder.decode(datagram, asn1Spec=SNMPv3Message())
    security, _ = decoder.decode(message["msgSecurityParameters"], asn1Spec=UsmSecurityParameters())
    for name, value in parameters.items():
        security.setComponentByName(name, value, verifyConstraints=False)
    message["msgSecurityParameters"] = encoder.encode(security)
    if flags is not None:
        message["msgGlobalData"]["msgFlags"] = flags
    return bytes(encoder.encode(message))


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"msgAuthoritativeEngineId": b"abc"}, "an SNMPv3 message of user 'plain', but no trap that"),
        ({"flags": b"\2"}, "an SNMPv3 message of user 'plain', but no trap that can be read"),
        ({"msgUserName": b"\x1b[31m\xff"}, r"user '\x1b[31m\\xff' is not known here"),
    ],
)
def test_a_message_with_odd_parameters_has_a_printable_reason(
    parameters: dict[str, bytes], reason: str, net_snmp: NetSnmp
) -> None:
    datagram = changed(net_snmp.datagram("snmptrap", *options(PLAIN)), **parameters)
    with receiving() as receiver, udp_socket("127.0.0.1") as sender:
        sender.sendto(datagram, receiver.address)
        refused = receiver.receive(LIMIT_S)
    assert isinstance(refused, Undecodable)
    assert refused.reason.startswith(reason)
    assert refused.reason.isprintable()


def test_an_inform_that_is_about_nothing_is_not_acknowledged(net_snmp: NetSnmp) -> None:
    trap_oid = bytes.fromhex("060a2b060106030101040100")
    with receiving() as receiver, udp_socket("127.0.0.1") as sender:
        ours = ["-e", f"0x{receiver._engine._own_id.hex()}", "-Z", "1,1"]
        inform = net_snmp.datagram("snmpinform", *options(PLAIN), *ours)
        sender.sendto(inform.replace(trap_oid, trap_oid[:-1] + b"\1"), receiver.address)
        refused = receiver.receive(LIMIT_S)
        sender.setblocking(False)
        with pytest.raises(BlockingIOError):
            sender.recv(65535)
    assert isinstance(refused, Undecodable)
    assert "snmpTrapOID.0 is no OID" in refused.reason


def test_a_sender_that_cannot_be_answered_is_read_all_the_same(
    net_snmp: NetSnmp, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mute(socket.socket):
        def sendto(self, *_: object) -> int:
            raise OSError("Network is unreachable")

    inform = net_snmp.datagram("snmpinform", "-v", "2c", "-c", "x")
    with receiving() as receiver, udp_socket("127.0.0.1") as sender:
        sender.sendto(inform, receiver.address)
        receiver._socket = Mute(fileno=receiver._socket.detach())
        assert received(receiver).is_inform


def test_an_address_that_is_taken_is_an_os_error() -> None:
    with udp_socket("127.0.0.1") as taken, pytest.raises(OSError, match="Address already in use"):
        TrapReceiver(*taken.getsockname())


def test_a_message_with_broken_bytes_is_never_an_exception(net_snmp: NetSnmp) -> None:
    messages = [net_snmp.datagram("snmptrap", *options(user)) for user in USERS]
    flips = st.lists(st.tuples(st.integers(0, 2**16), st.integers(1, 255)), max_size=4)
    with receiving() as receiver:

        @settings(max_examples=150)
        @given(st.sampled_from(messages), flips, st.integers(0, 100))
        @example(messages[0], [], 1)
        def check(datagram: bytes, flips: list[tuple[int, int]], lost: int) -> None:
            broken = bytearray(datagram)
            for place, flip in flips:
                broken[place % len(broken)] ^= flip
            result, answer = receiver._engine.read(bytes(broken[: len(broken) - lost]), "s")
            assert result is not None or answer

        check()
