"""Our encoder against pyasn1's, byte for byte."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyasn1.codec.ber import decoder, encoder
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
# Where a length takes one more octet.
EDGES = [0, 1, 127, 128, 129, 255, 256, 257, 65535, 65536, 70_000]


def is_well_made_by_pyasn1(value: int) -> bool:
    """False for -128, -32768 and so on, which it gives an octet that X.690, 8.3.2, forbids."""
    return value >= 0 or value.bit_length() % 8 != 0 or value & -value != -value


INT32 = st.integers(-(2**31), 2**31 - 1).filter(is_well_made_by_pyasn1)


@settings(deadline=None)
@given((st.integers() | st.integers(-(2**2100), 2**2100)).filter(is_well_made_by_pyasn1))
def test_integers_of_any_size_are_what_pyasn1_makes_of_them(value: int) -> None:
    assert ber.integer(value) == encoder.encode(univ.Integer(value))


@pytest.mark.parametrize("bits", [0, 7, 8, 15, 16, 31, 32, 63, 64, 1000])
@pytest.mark.parametrize("beside", [-1, 0, 1])
@pytest.mark.parametrize("sign", [-1, 1])
def test_integers_at_the_edge_of_an_octet_are_what_pyasn1_makes_of_them(
    bits: int, beside: int, sign: int
) -> None:
    value = sign * 2**bits + beside
    if is_well_made_by_pyasn1(value):
        assert ber.integer(value) == encoder.encode(univ.Integer(value))
    else:
        assert ber.integer(value) == bytes((2, bits // 8 + 1, 0x80)) + bytes(bits // 8)
        assert decoder.decode(ber.integer(value)) == (value, b"")


@settings(deadline=None)
@given(UINT64)
def test_a_counter64_is_what_pysnmp_makes_of_it(value: int) -> None:
    assert ber.counter64(value) == encoder.encode(v2c.Counter64(value))


@pytest.mark.parametrize("value", [-1, 2**64])
def test_what_has_no_place_in_64_bits_is_no_counter64(value: int) -> None:
    with pytest.raises(ValueError, match=f"^{value} is no Counter64$"):
        ber.counter64(value)


@settings(deadline=None)
@given(UINT64)
def test_time_ticks_are_what_pysnmp_makes_of_them_and_start_again_after_497_days(value: int) -> None:
    assert ber.time_ticks(value) == encoder.encode(v2c.TimeTicks(value % 2**32))


@settings(deadline=None)
@given(OCTETS)
def test_octet_strings_are_what_pyasn1_makes_of_them(data: bytes) -> None:
    assert ber.octet_string(data) == encoder.encode(univ.OctetString(data))


@pytest.mark.parametrize("size", EDGES)
def test_octet_strings_at_the_edge_of_a_length_are_what_pyasn1_makes_of_them(size: int) -> None:
    assert ber.octet_string(b"x" * size) == encoder.encode(univ.OctetString(b"x" * size))


@settings(deadline=None)
@given(OIDS)
def test_object_identifiers_are_what_pyasn1_makes_of_them(oid: ber.Oid) -> None:
    assert ber.object_identifier(oid) == encoder.encode(univ.ObjectIdentifier(oid))


PAIRS = st.one_of(
    st.tuples(st.just(ber.octet_string), st.just(v2c.OctetString), OCTETS),
    st.tuples(st.just(ber.integer), st.just(v2c.Integer32), INT32),
    st.tuples(st.just(ber.counter64), st.just(v2c.Counter64), UINT64),
    st.tuples(st.just(ber.time_ticks), st.just(v2c.TimeTicks), st.integers(0, 2**32 - 1)),
    st.tuples(st.just(ber.object_identifier), st.just(v2c.ObjectIdentifier), OIDS),
)
"""How we encode a value, pysnmp's type for it, and the value."""


@settings(deadline=None)
@given(
    community=OCTETS,
    request_id=INT32,
    varbinds=st.lists(st.tuples(OIDS, PAIRS), max_size=5),
)
def test_a_trap_message_is_the_one_that_pysnmp_builds(
    community: bytes, request_id: int, varbinds: list[tuple[ber.Oid, Any]]
) -> None:
    pdu = v2c.SNMPv2TrapPDU()
    v2c.apiPDU.set_defaults(pdu)
    v2c.apiPDU.set_request_id(pdu, request_id)
    v2c.apiPDU.set_varbinds(pdu, [(oid, theirs(value)) for oid, (_, theirs, value) in varbinds])
    message = v2c.Message()
    v2c.apiMessage.set_defaults(message)
    v2c.apiMessage.set_community(message, community)
    v2c.apiMessage.set_pdu(message, pdu)

    ours = [
        ber.varbind(ber.object_identifier(oid), encode(value)) for oid, (encode, _, value) in varbinds
    ]

    assert ber.trap_v2c(community, request_id, ours) == encoder.encode(message)
