"""Messages of version 2c, and what their inform makes of answers that pysnmp builds."""

from __future__ import annotations

import pytest
from pysnmp.proto.api import v2c

from listener.errors import ActionFailed
from listener.snmp.mib import Content
from listener.snmp.target import Target
from listener.snmp.v2c import V2cInform, V2cMessages
from tests.snmp.receivers import answer_to, decoded

REQUEST_ID = 4711
CONTENT = Content("workflow_queued", 0, 0, {})
TARGET = Target(name="receiver:162", host="receiver", port=162, is_inform=True, community=b"xyzzy")


@pytest.fixture
def inform() -> V2cInform:
    return V2cMessages().inform(TARGET, REQUEST_ID, CONTENT)


def test_a_trap_and_an_inform_differ_in_their_kind_alone(inform: V2cInform) -> None:
    trap = decoded(V2cMessages().trap(TARGET, REQUEST_ID, CONTENT))
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
    assert inform.is_answered(answer_to(first)) is True


def test_noise_and_answers_to_other_requests_are_none(inform: V2cInform) -> None:
    datagram = inform.message()
    for other in (
        b"",
        b"noise",
        datagram,
        answer_to(datagram)[:-1],
        answer_to(datagram, request_id=REQUEST_ID + 1),
        answer_to(datagram, request_id=REQUEST_ID - 1, error_status=5),
        answer_to(datagram, request_id=-REQUEST_ID),
    ):
        assert inform.is_answered(other) is False


def test_an_answer_with_another_community_is_none_and_the_hint_says_so(inform: V2cInform) -> None:
    datagram = inform.message()
    assert "is the receiver running" in inform.unanswered()
    for community in (b"", b"XYZZY"):
        assert inform.is_answered(answer_to(datagram, community=community, error_status=5)) is False
        assert inform.unanswered().startswith("it has answered with another community than the")
    assert inform.is_answered(answer_to(datagram)) is True


UNKNOWN = "an error-status that SNMP does not have"


@pytest.mark.parametrize(
    ("error_status", "name"),
    [(1, "tooBig"), (5, "genErr"), (18, "inconsistentName")]
    + [(number, UNKNOWN) for number in (-1, 19, 2**24_000, -(2**24_000))],
    ids=["tooBig", "genErr", "inconsistentName", "below", "above", "huge", "huge_below"],
)
def test_an_error_status_is_a_refusal_with_its_name(
    inform: V2cInform, error_status: int, name: str
) -> None:
    with pytest.raises(ActionFailed) as failure:
        inform.is_answered(answer_to(inform.message(), error_status=error_status))
    assert str(failure.value) == f"receiver:162 refused the inform with {name}"
