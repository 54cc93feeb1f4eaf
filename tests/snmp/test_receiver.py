"""The receiver: what it makes of traps, of other messages, and of bytes that are neither.

The messages are pysnmp's and net-snmp's, so that nothing here depends on our own encoder.
"""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyasn1.codec.ber import encoder
from pyasn1.type import univ
from pysnmp.proto.api import v1, v2c

from listener.snmp.receiver import Trap, TrapReceiver, Undecodable, decode
from tests.snmp.receiver_senders import OBJECTS, NetSnmp
from tests.snmp.receivers import LIMIT_S, udp_socket

ROOT = (1, 3, 6, 1, 4, 1, 52312, 1)
UP_TIME = (1, 3, 6, 1, 2, 1, 1, 3, 0)
TRAP_OID = (1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0)
STARTED = (TRAP_OID, v2c.ObjectIdentifier((*ROOT, 0, 2)))
GOLDEN = {
    golden["name"]: bytes.fromhex(golden["datagram_hex"])
    for golden in json.loads(
        (Path(__file__).parents[1] / "data" / "golden-traps.json").read_text("utf-8")
    )
}
FAILED = GOLDEN["failed_short"]


def message(*varbinds: tuple[Any, Any], api: Any = v2c, pdu_type: str = "SNMPv2TrapPDU") -> bytes:
    pdu = getattr(api, pdu_type)()
    pdu_api = api.apiTrapPDU if pdu_type.endswith("TrapPDU") else api.apiPDU
    pdu_api.set_defaults(pdu)
    pdu_api.set_varbinds(pdu, varbinds)
    whole = api.Message()
    api.apiMessage.set_defaults(whole)
    api.apiMessage.set_pdu(whole, pdu)
    return bytes(encoder.encode(whole))


def v3_message() -> bytes:
    """The head of an SNMPv3 message (RFC 3412, 6), with nothing in it."""
    header = univ.Sequence().setComponents(*map(univ.Integer, (5, 65507)), univ.OctetString(b"\4"))
    whole = univ.Sequence().setComponents(univ.Integer(3), header, *[univ.OctetString(b"")] * 2)
    return bytes(encoder.encode(whole))


def test_a_trap_of_the_original_is_read_by_name() -> None:
    assert decode(FAILED, "192.0.2.1:162") == Trap(
        sender="192.0.2.1:162",
        notification="cloudifyWorkflowFailed",
        uptime_s=0.0,
        values={
            "cloudifyExecutionID": "0b1b5f3a-6c8e-4d6f-9a53-0f7d3f0f3b11",
            "cloudifyWorkflowName": "install",
            "cloudifyTenantName": "default_tenant",
            "cloudifyDeploymentID": "nodecellar",
            "cloudifyTimeStamp": 1535973600,
            "cloudifyWorkflowParameters": '{"a": 1, "node_ids": ["vm_1", "vm_2"]}',
            "cloudifyErrorDetails": "Traceback: boom",
        },
    )


@pytest.mark.parametrize(
    ("oid", "value", "name", "shown"),
    [
        ((*ROOT, 1, 3), v2c.OctetString("配置".encode()), "cloudifyTenantName", "配置"),
        ((*ROOT, 1, 3, 0), v2c.OctetString(b"acme"), "cloudifyTenantName.0", "acme"),
        ((*ROOT, 1, 3, 1), v2c.OctetString(b"acme"), "1.3.6.1.4.1.52312.1.1.3.1", "acme"),
        ((*ROOT, 1, 3), v2c.OctetString(b"caf\xe9"), "cloudifyTenantName", "0x636166e9"),
        ((*ROOT, 1, 3), v2c.Opaque(b"\x9f\x78\x04"), "cloudifyTenantName", "0x9f7804"),
        ((*ROOT, 1, 1), v2c.Counter64(2**64 - 1), "cloudifyTimeStamp", 2**64 - 1),
        ((*ROOT, 1, 1, 0), v2c.Integer32(-5), "cloudifyTimeStamp.0", -5),
        ((1, 3, 6, 1), v2c.TimeTicks(42), "1.3.6.1", 42),
        ((1, 3, 6, 1), v2c.Gauge32(7), "1.3.6.1", 7),
        ((1, 3, 6, 1), v2c.IpAddress("192.0.2.1"), "1.3.6.1", "192.0.2.1"),
        ((1, 3, 6, 1), v2c.ObjectIdentifier((*ROOT, 1, 3)), "1.3.6.1", "1.3.6.1.4.1.52312.1.1.3"),
        ((1, 3, 6, 1), v2c.null, "1.3.6.1", ""),
    ],
)
def test_a_varbind_is_shown_by_name_with_a_value_of_its_type(
    oid: tuple[int, ...], value: Any, name: str, shown: str | int
) -> None:
    datagram = message((UP_TIME, v2c.TimeTicks(1234)), STARTED, (oid, value))
    assert decode(datagram, "s") == Trap("s", "cloudifyWorkflowStarted", 12.34, {name: shown})


def test_a_trap_of_another_mib_is_shown_by_its_oids() -> None:
    cold_start = (TRAP_OID, v2c.ObjectIdentifier((1, 3, 6, 1, 6, 3, 1, 1, 5, 1)))
    assert decode(message(cold_start), "s") == Trap("s", "1.3.6.1.6.3.1.1.5.1", 0.0, {})


INDEFINITE = b"\x30\x80" + FAILED[4:] + b"\0\0"


def test_a_trap_of_indefinite_length_is_read_too() -> None:
    assert decode(INDEFINITE, "s") == decode(FAILED, "s")


@pytest.mark.parametrize(
    ("datagram", "told"),
    [
        pytest.param(b"", "no SNMP message", id="empty"),
        pytest.param(b"hello, world", "no SNMP message", id="text"),
        pytest.param(b"\xa0\x00", "no SNMP message", id="of_another_protocol"),
        pytest.param(FAILED[:-1], "a broken SNMP message", id="truncated_by_one"),
        pytest.param(FAILED[:40], "a broken SNMP message", id="truncated_by_many"),
        pytest.param(FAILED + b"xx", "2 bytes behind it", id="bytes_behind"),
        pytest.param(INDEFINITE + b"xx", "2 bytes behind it", id="bytes_behind_indefinite_length"),
        pytest.param(b"\x30\x80" * 30_000, "no SNMP message", id="deeply_nested"),
        pytest.param(encoder.encode(univ.Integer(1)), "no SNMP message", id="integer"),
        pytest.param(
            bytes(encoder.encode(univ.Sequence().setComponents(univ.Integer(2**80_000)))),
            "unknown version number that is far too large",
            id="huge_version",
        ),
        pytest.param(message(api=v1, pdu_type="GetRequestPDU"), "no trap: GetRequestPDU", id="v1_get"),
        pytest.param(FAILED[:6] + b"\5" + FAILED[7:], "unknown version number 5", id="version_5"),
        pytest.param(v3_message(), "version 3", id="v3"),
        pytest.param(message(pdu_type="GetRequestPDU"), "no trap: GetRequestPDU", id="get"),
        pytest.param(message(pdu_type="InformRequestPDU"), "without snmpTrapOID.0", id="inform"),
        pytest.param(message(), "without snmpTrapOID.0", id="no_varbinds"),
        pytest.param(
            message((UP_TIME, v2c.TimeTicks(1)), ((*ROOT, 1, 3), v2c.OctetString(b"acme"))),
            "without snmpTrapOID.0",
            id="no_trap_oid",
        ),
        pytest.param(message((TRAP_OID, v2c.Integer32(1))), "snmpTrapOID.0", id="trap_oid_a_number"),
        pytest.param(message((TRAP_OID, v2c.OctetString(b"a"))), "snmpTrapOID.0", id="trap_oid_a_text"),
        pytest.param(message((TRAP_OID, v2c.null)), "snmpTrapOID.0", id="trap_oid_null"),
        pytest.param(
            message((UP_TIME, v2c.OctetString(b"up")), STARTED), "sysUpTime.0", id="up_time_a_text"
        ),
    ],
)
def test_what_is_no_trap_to_be_read_here_is_told_with_the_reason(datagram: bytes, told: str) -> None:
    result = decode(datagram, "192.0.2.1:162")
    assert isinstance(result, Undecodable)
    assert result.sender == "192.0.2.1:162"
    assert told in result.reason
    assert "<" not in result.reason, "a reason is for people, and shows no Python objects"
    assert len(result.reason) <= 250 and result.reason.isprintable()


def assert_is_answer(datagram: bytes) -> None:
    result = decode(datagram, "s")
    assert isinstance(result, (Trap, Undecodable))
    json.dumps(result._asdict())  # the verb `traps` prints it


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_never_an_exception(datagram: bytes) -> None:
    assert_is_answer(datagram)


MESSAGES = [
    *GOLDEN.values(),
    message((UP_TIME, v2c.TimeTicks(1)), STARTED, pdu_type="InformRequestPDU"),
    message(((1, 3, 6, 1), v1.IpAddress("192.0.2.1")), api=v1, pdu_type="TrapPDU"),
]
FLIPS = st.lists(st.tuples(st.integers(0, 2**16), st.integers(1, 255)), min_size=1, max_size=4)


@settings(deadline=None, max_examples=600)
@given(st.sampled_from(MESSAGES), FLIPS, st.integers(0, 400))
@example(FAILED, [(0, 0x40)], 0)  # each of these is another exception in pyasn1
@example(FAILED, [(33, 0x02)], 0)
@example(FAILED, [(36, 0x8D)], 0)
def test_a_trap_with_broken_bytes_is_never_an_exception(
    datagram: bytes, flips: list[tuple[int, int]], lost: int
) -> None:
    broken = bytearray(datagram)
    for place, flip in flips:
        broken[place % len(broken)] ^= flip
    assert_is_answer(bytes(broken[: len(broken) - lost] if lost < len(broken) // 2 else broken))


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([UP_TIME, TRAP_OID, (*ROOT, 1, 3)]), st.integers(0, 255), st.binary())
    )
)
def test_values_of_any_type_and_content_are_never_an_exception(
    varbinds: list[tuple[tuple[int, ...], int, bytes]],
) -> None:
    def tagged(tag: int, content: bytes) -> bytes:
        size = len(content)
        return bytes((tag, 0x82, size >> 8, size & 0xFF)) + content

    names = [bytes(encoder.encode(univ.ObjectIdentifier(oid))) for oid, _, _ in varbinds]
    values = [tagged(tag, content) for _, tag, content in varbinds]
    pairs = [tagged(0x30, name + value) for name, value in zip(names, values, strict=True)]
    numbers = bytes(encoder.encode(univ.Integer(0))) * 3
    pdu = tagged(0xA7, numbers + tagged(0x30, b"".join(pairs)))
    assert_is_answer(tagged(0x30, FAILED[4:15] + pdu))


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")], ids=["ipv4", "ipv6"]
)
def test_what_comes_to_the_socket_is_received_with_its_senders_address(host: str, shown: str) -> None:
    with udp_socket(host) as sender:
        receiver = TrapReceiver(host, 0)
        try:
            assert receiver.receive(timeout_s=0) is None
            sender.sendto(FAILED, receiver.address)
            sender.sendto(b"garbage", receiver.address)
            trap, garbage = receiver.receive(), receiver.receive(timeout_s=10)
        finally:
            receiver.close()
            receiver.close()
        assert trap is not None and garbage is not None
        assert isinstance(trap, Trap) and isinstance(garbage, Undecodable)
        assert trap.sender == garbage.sender == f"{shown}:{sender.getsockname()[1]}"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("program", ["snmptrap", "snmpinform"])
def test_what_net_snmp_sends_with_version_2c_is_read_and_an_inform_acknowledged(
    program: str, host: str, tmp_path: Path
) -> None:
    udp_socket(host).close()
    with closing(TrapReceiver(host, 0)) as receiver:
        port = receiver.address[1]
        version = ["-v", "2c", "-c", "secretcommunity"]
        with NetSnmp(tmp_path).sending(program, port, *version, host=host) as process:
            trap = receiver.receive(LIMIT_S)
            assert process.communicate(timeout=LIMIT_S)[0] == ""
            assert process.returncode == 0, "snmpinform fails without an acknowledgement"
    assert isinstance(trap, Trap)
    is_inform = program == "snmpinform"
    expected = Trap(trap.sender, "cloudifyWorkflowFailed", 0.42, {"cloudifyTenantName": "配置"})
    assert trap == expected._replace(version="2c", is_inform=is_inform)


@pytest.mark.parametrize(
    ("kind", "notification"),
    [
        (["1.3.6.1.4.1.52312.1", "192.0.2.7", "6", "5"], "cloudifyWorkflowFailed"),
        (["1.3.6.1.4.1.52312.1", "192.0.2.7", "0", "0"], "1.3.6.1.6.3.1.1.5.1"),
    ],
    ids=["specific", "cold_start"],
)
def test_a_trap_of_version_1_is_told_as_version_2_has_it_without_its_community(
    kind: list[str], notification: str, tmp_path: Path
) -> None:
    with closing(TrapReceiver("127.0.0.1", 0)) as receiver:
        version = ["-v", "1", "-c", "secretcommunity"]
        content = [*kind, "42", *OBJECTS]
        with NetSnmp(tmp_path).sending("snmptrap", receiver.address[1], *version, content=content):
            trap = receiver.receive(LIMIT_S)
    assert isinstance(trap, Trap)
    assert (trap.version, trap.notification, trap.uptime_s) == ("1", notification, 0.42)
    assert trap.values == {
        "snmpTrapAddress.0": "192.0.2.7",
        "snmpTrapEnterprise.0": "1.3.6.1.4.1.52312.1",
        "cloudifyTenantName": "配置",
    }


def test_a_community_that_a_proxy_has_passed_on_is_not_shown() -> None:
    community = ((1, 3, 6, 1, 6, 3, 18, 1, 4, 0), v2c.OctetString(b"secretcommunity"))
    assert decode(message(STARTED, community), "s") == Trap("s", "cloudifyWorkflowStarted", 0.0, {})


def test_an_acknowledgement_is_the_inform_as_a_response() -> None:
    inform = message((UP_TIME, v2c.TimeTicks(1)), STARTED, pdu_type="InformRequestPDU")
    with closing(TrapReceiver("127.0.0.1", 0)) as receiver, udp_socket("127.0.0.1") as sender:
        sender.sendto(inform, receiver.address)
        assert isinstance(receiver.receive(LIMIT_S), Trap)
        answer = sender.recv(65535)
    assert answer == inform.replace(b"\xa6", b"\xa2", 1)


def test_an_inform_that_tells_nothing_is_not_acknowledged() -> None:
    with closing(TrapReceiver("127.0.0.1", 0)) as receiver, udp_socket("127.0.0.1") as sender:
        sender.sendto(message(pdu_type="InformRequestPDU"), receiver.address)
        assert isinstance(receiver.receive(LIMIT_S), Undecodable)
        sender.setblocking(False)
        with pytest.raises(BlockingIOError):
            sender.recv(65535)


def test_an_address_that_is_taken_is_an_os_error() -> None:
    with udp_socket("127.0.0.1") as taken, pytest.raises(OSError, match="Address already in use"):
        TrapReceiver(*taken.getsockname())
