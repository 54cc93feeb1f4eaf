"""Our encoder against pyasn1's, byte for byte; and what we read of answers that pysnmp builds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyasn1.codec.ber import encoder
from pyasn1.type import univ
from pysnmp.proto.api import v2c

from listener.snmp import ber

UINT64 = st.integers(0, 2**64 - 1)
ARCS = st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 2**70), max_size=12)
OIDS = st.one_of(
    st.tuples(st.integers(0, 1), st.integers(0, 39)), st.tuples(st.just(2), st.integers(0, 2**40))
).flatmap(lambda first_two: ARCS.map(lambda rest: (*first_two, *rest)))
OCTETS = st.binary(max_size=300) | st.builds(
    lambda data, times: data * times, st.binary(min_size=1, max_size=50), st.integers(0, 2000)
)
# RFC 2578, 7.1.2: an object's octets are at most 65535; pysnmp refuses more.
VALUES = OCTETS.map(lambda data: data[:65535])
# Where a length takes one more octet.
EDGES = [0, 1, 127, 128, 129, 255, 256, 257, 65535, 65536, 70_000]


INT31 = st.integers(0, 2**31 - 1)


@pytest.mark.parametrize("bits", [0, 7, 8, 15, 16, 31, 32, 63, 64, 1000])
@pytest.mark.parametrize("beside", [-1, 0, 1])
def test_integers_at_the_edge_of_an_octet_are_what_pyasn1_makes_of_them(bits: int, beside: int) -> None:
    assert ber.integer(2**bits + beside) == encoder.encode(univ.Integer(2**bits + beside))


@pytest.mark.parametrize("value", [-1, 2**64])
def test_what_has_no_place_in_64_bits_is_no_counter64(value: int) -> None:
    with pytest.raises(ValueError, match=f"^{value} is no Counter64$"):
        ber.counter64(value)


def test_time_ticks_start_again_after_497_days() -> None:
    assert ber.time_ticks(2**32 + 5) == ber.time_ticks(5) == b"\5"


@pytest.mark.parametrize("size", EDGES)
def test_octet_strings_at_the_edge_of_a_length_are_what_pyasn1_makes_of_them(size: int) -> None:
    assert ber.octet_string(b"x" * size) == encoder.encode(univ.OctetString(b"x" * size))


def whole(encode: Callable[[Any], bytes]) -> Callable[[ber.Oid, Any], bytes]:
    """A varbind of a value that is encoded with its tag."""
    return lambda oid, value: ber.varbind(ber.object_identifier(oid), encode(value))


def headed(tag: int, octets: Callable[[Any], bytes]) -> Callable[[ber.Oid, Any], bytes]:
    """A varbind of a value's octets and the head for so many."""
    return lambda oid, value: ber.Heads(oid, tag)[len(octets(value))] + octets(value)


PAIRS = st.one_of(
    st.tuples(st.just(whole(ber.octet_string)), st.just(v2c.OctetString), VALUES),
    st.tuples(st.just(headed(ber.OCTET_STRING, bytes)), st.just(v2c.OctetString), VALUES),
    st.tuples(st.just(whole(ber.integer)), st.just(v2c.Integer32), INT31),
    st.tuples(st.just(headed(ber.COUNTER64, ber.counter64)), st.just(v2c.Counter64), UINT64),
    st.tuples(
        st.just(headed(ber.TIME_TICKS, ber.time_ticks)),
        st.just(v2c.TimeTicks),
        st.integers(0, 2**32 - 1),
    ),
    st.tuples(st.just(whole(ber.object_identifier)), st.just(v2c.ObjectIdentifier), OIDS),
)
"""How we make a varbind of a value, pysnmp's type for it, and the value."""


def message(pdu: Any, community: bytes) -> bytes:
    """What pysnmp builds around a PDU."""
    made = v2c.Message()
    v2c.apiMessage.set_defaults(made)
    v2c.apiMessage.set_community(made, community)
    v2c.apiMessage.set_pdu(made, pdu)
    return bytes(encoder.encode(made))


def filled(pdu: Any, request_id: int = 1, varbinds: Iterable[tuple[ber.Oid, Any]] = ()) -> Any:
    """A PDU of pysnmp with this in it."""
    v2c.apiPDU.set_defaults(pdu)
    v2c.apiPDU.set_request_id(pdu, request_id)
    v2c.apiPDU.set_varbinds(pdu, list(varbinds))
    return pdu


VARBINDS = st.lists(st.tuples(OIDS, PAIRS), max_size=5)


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [
        pytest.param(ber.TRAP, v2c.SNMPv2TrapPDU, id="trap"),
        pytest.param(ber.INFORM, v2c.InformRequestPDU, id="inform"),
    ],
)
@given(community=OCTETS, request_id=INT31, varbinds=VARBINDS)
def test_a_message_is_the_one_that_pysnmp_builds(
    kind: int,
    theirs: Callable[[], Any],
    community: bytes,
    request_id: int,
    varbinds: list[tuple[ber.Oid, Any]],
) -> None:
    expected = message(
        filled(theirs(), request_id, [(oid, make(value)) for oid, (_, make, value) in varbinds]),
        community,
    )

    ours = [make(oid, value) for oid, (make, _, value) in varbinds]

    assert ber.message_v2c(community, ber.pdu(kind, request_id, b"".join(ours))) == expected


def response(
    community: bytes = b"public", request_id: int = 1, error_status: int = 0, extra: bytes = b""
) -> bytes:
    """What pysnmp builds as an answer; it brings the varbinds back, here one with `extra` in it."""
    pdu = filled(v2c.ResponsePDU(), request_id, [((1, 3, 6), v2c.OctetString(extra))])
    v2c.apiPDU.set_error_status(pdu, error_status)
    return message(pdu, community)


EVERY_INT32 = st.integers(-(2**31), 2**31 - 1) | st.sampled_from([-128, -1, 0, 127, 128, 255, 256])
SIZES = OCTETS | st.sampled_from(EDGES).map(lambda size: b"x" * size)
ANSWERS = {
    "community": SIZES,
    "request_id": EVERY_INT32,
    "error_status": st.integers(0, 18) | EVERY_INT32,
    "extra": SIZES.map(lambda data: data[:65535]),
}


@given(**ANSWERS)
def test_an_answer_that_pysnmp_builds_is_read(
    community: bytes, request_id: int, error_status: int, extra: bytes
) -> None:
    built = response(community, request_id, error_status, extra)
    assert ber.read_response(built) == ber.Response(community, request_id, error_status)


@pytest.mark.parametrize("size", [0, 200, 70_000], ids=["short", "two_octets", "three_octets"])
def test_an_answer_that_is_cut_off_anywhere_is_none(size: int) -> None:
    built = response(b"x" * size, 2**31 - 1, 5)
    for end in {*range(min(len(built), 300)), *range(len(built) - 60, len(built))}:
        assert ber.read_response(built[:end]) is None


def test_an_answer_with_any_one_byte_changed_never_raises() -> None:
    built = response(b"c" * 130, 4711, 5)
    for place in range(len(built)):
        for octet in range(256):
            changed = built[:place] + bytes((octet,)) + built[place + 1 :]
            assert isinstance(ber.read_response(changed), (ber.Response, type(None)))


@pytest.mark.parametrize("pdu", [v2c.InformRequestPDU, v2c.GetRequestPDU, v2c.ReportPDU])
def test_what_is_no_answer_is_not_read_as_one(pdu: Callable[[], Any]) -> None:
    assert ber.read_response(message(filled(pdu()), b"public")) is None


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param("020101 0400 A209 0200 020100 020100 3000", id="request_id_without_octets"),
        pytest.param("020101 0400 A20A 020105 0200 020100 3000", id="error_status_without_octets"),
        pytest.param("020101 0480 A20B 020105 020100 020100 3000", id="community_of_no_length"),
        pytest.param("020101 0500 A20B 020105 020100 020100 3000", id="community_of_another_type"),
        pytest.param("020100 0400 A20B 020105 020100 020100 3000", id="version_1"),
    ],
)
def test_an_answer_that_breaks_the_rules_is_none(parts: str) -> None:
    content = bytes.fromhex(parts)
    assert ber.read_response(bytes((0x30, len(content))) + content) is None
