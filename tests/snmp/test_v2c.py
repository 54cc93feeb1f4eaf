"""Messages of version 2c, and what their inform makes of answers that pysnmp builds."""

from __future__ import annotations

import socket

import pytest
from pyasn1.codec.ber import encoder
from pysnmp.proto.api import v2c

from listener.errors import ActionFailed
from listener.snmp.mib import Content
from listener.snmp.names import Address
from listener.snmp.sender import Peer
from listener.snmp.target import Target
from listener.snmp.v2c import V2cInform, V2cMessages
from tests.snmp.receivers import decoded

REQUEST_ID = 4711
CONTENT = Content("workflow_queued", 0, 0, {})
PEER = Peer(Address(socket.AF_INET, ("192.0.2.1", 0)), 162, "receiver:162")
TARGET = Target(name="receiver:162", host="receiver", port=162, is_inform=True, community=b"xyzzy")


@pytest.fixture
def inform() -> V2cInform:
    return V2cMessages().inform(TARGET, PEER, REQUEST_ID, CONTENT)


def answer_of(datagram: bytes, *, request_id: int = REQUEST_ID, error_status: int = 0) -> bytes:
    """The answer that pysnmp makes to an inform, or to another request of its sender."""
    message = decoded(datagram)
    response = v2c.apiPDU.get_response(v2c.apiMessage.get_pdu(message))
    v2c.apiPDU.set_request_id(response, request_id)
    v2c.apiPDU.set_error_status(response, error_status)
    v2c.apiMessage.set_pdu(message, response)
    return bytes(encoder.encode(message))


def test_a_trap_and_an_inform_differ_in_their_kind_alone(inform: V2cInform) -> None:
    trap = decoded(V2cMessages().trap(TARGET, PEER, REQUEST_ID, CONTENT))
    message = decoded(inform.message())
    assert bytes(message["community"]) == bytes(trap["community"]) == b"xyzzy"
    pdus = v2c.apiMessage.get_pdu(trap), v2c.apiMessage.get_pdu(message)
    assert [type(pdu) for pdu in pdus] == [v2c.SNMPv2TrapPDU, v2c.InformRequestPDU]
    assert list(pdus[0].values()) == list(pdus[1].values())


def test_every_try_is_the_same_so_that_a_late_answer_to_an_earlier_one_counts(
    inform: V2cInform,
) -> None:
    first = inform.message()
    assert inform.message() == first
    assert inform.is_answered(answer_of(first)) is True


def test_noise_and_answers_to_other_requests_are_none(inform: V2cInform) -> None:
    datagram = inform.message()
    for other in (
        b"",
        b"noise",
        datagram,
        answer_of(datagram)[:-1],
        answer_of(datagram, request_id=REQUEST_ID + 1),
        answer_of(datagram, request_id=REQUEST_ID - 1, error_status=5),
        answer_of(datagram, request_id=-REQUEST_ID),
    ):
        assert inform.is_answered(other) is False


@pytest.mark.parametrize("error_status", [1, 18])
def test_an_error_status_is_a_refusal_with_its_number(inform: V2cInform, error_status: int) -> None:
    with pytest.raises(ActionFailed) as failure:
        inform.is_answered(answer_of(inform.message(), error_status=error_status))
    assert str(failure.value) == (
        f"receiver:162 refused the inform with error-status {error_status} (RFC 3416, section 3)"
    )
