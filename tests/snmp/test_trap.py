"""What is made of traps of version 1 and 2c, of other messages, and of bytes that are neither.

The messages are pysnmp's and the original's, so that nothing here depends on our own encoder.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyasn1.codec.ber import encoder
from pysnmp.proto.api import v1, v2c

from listener.snmp.trap import Trap, Undecodable, decode
from tests.snmp.receivers import golden_datagram

ROOT = (1, 3, 6, 1, 4, 1, 52312, 1)
UP_TIME = (1, 3, 6, 1, 2, 1, 1, 3, 0)
TRAP_OID = (1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0)
STARTED = (TRAP_OID, v2c.ObjectIdentifier((*ROOT, 0, 2)))
FAILED = golden_datagram("failed_short")


def message(*varbinds: tuple[Any, Any], api: Any = v2c, pdu_type: str = "SNMPv2TrapPDU") -> bytes:
    pdu = getattr(api, pdu_type)()
    pdu_api = api.apiTrapPDU if pdu_type.endswith("TrapPDU") else api.apiPDU
    pdu_api.set_defaults(pdu)
    pdu_api.set_varbinds(pdu, varbinds)
    whole = api.Message()
    api.apiMessage.set_defaults(whole)
    api.apiMessage.set_pdu(whole, pdu)
    return bytes(encoder.encode(whole))


INFORM = message((UP_TIME, v2c.TimeTicks(1)), STARTED, pdu_type="InformRequestPDU")
V1_TRAP = message(((1, 3, 6, 1), v1.IpAddress("192.0.2.1")), api=v1, pdu_type="TrapPDU")


@pytest.mark.parametrize("datagram", [FAILED, b"\x30\x80" + FAILED[4:] + b"\0\0"])
def test_a_trap_of_the_original_is_read_by_name_in_every_form_of_ber(datagram: bytes) -> None:
    trap = Trap(
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
    assert decode(datagram, "192.0.2.1:162") == (trap, b"")


@pytest.mark.parametrize(
    ("oid", "value", "name", "shown"),
    [
        ((*ROOT, 1, 3), v2c.OctetString("配置".encode()), "cloudifyTenantName", "配置"),
        ((*ROOT, 1, 3, 0), v2c.OctetString(b"acme"), "cloudifyTenantName.0", "acme"),
        ((*ROOT, 1, 3, 1), v2c.OctetString(b"acme"), "1.3.6.1.4.1.52312.1.1.3.1", "acme"),
        ((*ROOT, 1, 3), v2c.OctetString(b"caf\xe9"), "cloudifyTenantName", "0x636166e9"),
        ((*ROOT, 1, 1), v2c.Counter64(2**64 - 1), "cloudifyTimeStamp", 2**64 - 1),
        ((*ROOT, 1, 1, 0), v2c.Integer32(-5), "cloudifyTimeStamp.0", -5),
        ((1, 3, 6, 1), v2c.TimeTicks(42), "1.3.6.1", 42),
        ((1, 3, 6, 1), v2c.IpAddress("192.0.2.1"), "1.3.6.1", "192.0.2.1"),
        ((1, 3, 6, 1), v2c.ObjectIdentifier((*ROOT, 1, 3)), "1.3.6.1", "1.3.6.1.4.1.52312.1.1.3"),
        ((1, 3, 6, 1), v2c.null, "1.3.6.1", ""),
    ],
)
def test_a_varbind_is_shown_by_name_with_a_value_of_its_type(
    oid: tuple[int, ...], value: Any, name: str, shown: str | int
) -> None:
    datagram = message((UP_TIME, v2c.TimeTicks(1234)), STARTED, (oid, value))
    assert decode(datagram, "s")[0] == Trap("s", "cloudifyWorkflowStarted", 12.34, {name: shown})


def test_a_trap_of_another_mib_is_shown_by_its_oids() -> None:
    cold_start = (TRAP_OID, v2c.ObjectIdentifier((1, 3, 6, 1, 6, 3, 1, 1, 5, 1)))
    assert decode(message(cold_start), "s")[0] == Trap("s", "1.3.6.1.6.3.1.1.5.1", 0.0, {})


def test_a_community_that_a_proxy_has_passed_on_is_not_shown() -> None:
    community = ((1, 3, 6, 1, 6, 3, 18, 1, 4, 0), v2c.OctetString(b"secretcommunity"))
    assert decode(message(STARTED, community), "s")[0] == Trap("s", "cloudifyWorkflowStarted", 0.0, {})


def test_an_inform_is_acknowledged_with_itself_as_a_response() -> None:
    trap, answer = decode(INFORM, "s")
    assert trap == Trap("s", "cloudifyWorkflowStarted", 0.01, {}, is_inform=True)
    assert answer == INFORM.replace(b"\xa6", b"\xa2", 1)


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", "no SNMP message: 0 bytes that begin with nothing"),
        (b"hello, world", "no SNMP message: 12 bytes that begin with 68 65 6c 6c 6f"),
        (b"\x30\x80" * 30_000, "no SNMP message"),
        (FAILED + b"xx", "no SNMP message"),
        (FAILED[:40], "a broken SNMP message of 40 bytes"),
        (FAILED[:6] + b"\5" + FAILED[7:], "a version other than 1, 2c and 3"),
        (message(api=v1, pdu_type="GetRequestPDU"), "no trap: GetRequestPDU"),
        (message(pdu_type="GetRequestPDU"), "no trap: GetRequestPDU"),
        (message(pdu_type="InformRequestPDU"), "snmpTrapOID.0 is no OID"),
        (message((TRAP_OID, v2c.Integer32(1))), "snmpTrapOID.0 is no OID"),
        (message((UP_TIME, v2c.OctetString(b"up")), STARTED), "sysUpTime.0 is no number"),
    ],
)
def test_what_is_no_trap_to_be_read_here_has_a_reason_and_no_answer(
    datagram: bytes, reason: str
) -> None:
    found, answer = decode(datagram, "192.0.2.1:162")
    assert isinstance(found, Undecodable)
    assert (found.sender, answer) == ("192.0.2.1:162", b"")
    assert reason in found.reason
    assert len(found.reason) <= 250 and found.reason.isprintable()


FLIPS = st.lists(st.tuples(st.integers(0, 2**16), st.integers(1, 255)), max_size=4)


@settings(max_examples=200)
@given(st.sampled_from([FAILED, INFORM, V1_TRAP]) | st.binary(), FLIPS, st.integers(0, 400))
@example(FAILED, [(0, 0x40)], 0)  # each of these is another exception in pyasn1
@example(FAILED, [(33, 0x02)], 0)
@example(FAILED, [(36, 0x8D)], 0)
def test_broken_bytes_are_never_an_exception(
    datagram: bytes, flips: list[tuple[int, int]], lost: int
) -> None:
    broken = bytearray(datagram)
    for place, flip in flips:
        if broken:
            broken[place % len(broken)] ^= flip
    found, _ = decode(bytes(broken[: max(len(broken) - lost, len(broken) // 2)]), "s")
    assert json.loads(json.dumps(found._asdict()))["sender"] == "s"  # the verb `traps` prints it
