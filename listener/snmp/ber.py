"""The Basic Encoding Rules (X.690), as far as an SNMPv2c notification needs them.

Values in, bytes out; definite lengths in their shortest form, as RFC 3417 section 8 demands. It knows
no MIB, and nothing that receives may use it: a receiver must not share the sender's mistakes.
"""

from __future__ import annotations

from collections.abc import Iterable

Oid = tuple[int, ...]

_INTEGER = 0x02
_OCTET_STRING = 0x04
_OBJECT_IDENTIFIER = 0x06
_SEQUENCE = 0x30
_TIME_TICKS = 0x43
_COUNTER64 = 0x46
_SNMPV2_TRAP = 0xA7

_VERSION_2C = 1

_SHORT_HEADS = {
    tag: [bytes((tag, size)) for size in range(0x80)]
    for tag in (
        _INTEGER, _OCTET_STRING, _OBJECT_IDENTIFIER, _SEQUENCE, _TIME_TICKS, _COUNTER64, _SNMPV2_TRAP
    )
}  # fmt: skip
"""The tag and the length of every value below 128 bytes, which almost all are."""


def octet_string(data: bytes) -> bytes:
    """An OCTET STRING; the caller keeps it within what its object allows."""
    return _tlv(_OCTET_STRING, data)


def integer(value: int) -> bytes:
    """An INTEGER of any size."""
    return _tlv(_INTEGER, _twos_complement(value))


def time_ticks(hundredths: int) -> bytes:
    """TimeTicks: hundredths of a second, which start again at 0 after 497 days (RFC 2578, 7.1.8)."""
    return _tlv(_TIME_TICKS, _twos_complement(hundredths % 2**32))


def counter64(value: int) -> bytes:
    """A Counter64. Raises ValueError for what has no place in 64 bits."""
    if not 0 <= value < 2**64:
        raise ValueError(f"{value} is no Counter64")
    return _tlv(_COUNTER64, _twos_complement(value))


def object_identifier(oid: Oid) -> bytes:
    """An OBJECT IDENTIFIER of two arcs or more."""
    first, second, *rest = oid
    return _tlv(_OBJECT_IDENTIFIER, b"".join(map(_base128, (first * 40 + second, *rest))))


def varbind(name: bytes, value: bytes) -> bytes:
    """One variable binding of an encoded OBJECT IDENTIFIER and an encoded value."""
    return _tlv(_SEQUENCE, name + value)


def trap_v2c(community: bytes, request_id: int, varbinds: Iterable[bytes]) -> bytes:
    """A whole SNMPv2c trap message (RFC 3416, 4.2.6) of encoded varbinds."""
    pdu = _tlv(
        _SNMPV2_TRAP,
        integer(request_id) + _NO_ERROR + _tlv(_SEQUENCE, b"".join(varbinds)),
    )
    return _tlv(_SEQUENCE, integer(_VERSION_2C) + octet_string(community) + pdu)


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return _SHORT_HEADS[tag][size] + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _twos_complement(value: int) -> bytes:
    """The fewest octets that hold the value and its sign."""
    magnitude = value if value >= 0 else ~value
    return value.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True)


def _base128(arc: int) -> bytes:
    """Seven bits an octet, the highest bit set in all but the last (X.690, 8.19.2)."""
    octets = [arc & 0x7F]
    while arc := arc >> 7:
        octets.append(0x80 | arc & 0x7F)
    return bytes(reversed(octets))


_NO_ERROR = integer(0) + integer(0)
"""error-status and error-index."""
