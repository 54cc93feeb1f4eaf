"""The Basic Encoding Rules (X.690), as far as an SNMPv2c notification and its answer need them.

Values in, bytes out; definite lengths in their shortest form, as RFC 3417 section 8 demands. It knows
no MIB, and no receiver of traps may use it: a receiver must not share the sender's mistakes.
"""

from __future__ import annotations

from typing import NamedTuple

Oid = tuple[int, ...]

_INTEGER = 0x02
_OCTET_STRING = 0x04
_OBJECT_IDENTIFIER = 0x06
_SEQUENCE = 0x30
_TIME_TICKS = 0x43
_COUNTER64 = 0x46
_RESPONSE = 0xA2

TRAP = 0xA7
"""The tag of an SNMPv2-Trap-PDU (RFC 3416, section 3)."""
INFORM = 0xA6
"""The tag of an InformRequest-PDU."""


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


_TAGS = (
    _INTEGER, _OCTET_STRING, _OBJECT_IDENTIFIER, _SEQUENCE, _TIME_TICKS, _COUNTER64, TRAP, INFORM
)  # fmt: skip
_HEADS = {
    tag: [bytes((tag, size) if size < 0x80 else (tag, 0x81, size)) for size in range(0x100)]
    for tag in _TAGS
}
"""A tag and a length, by the two, as far as the length is one octet (X.690, 8.1.3.4 and 8.1.3.5)."""


class Name(NamedTuple):
    """An encoded OBJECT IDENTIFIER that varbinds begin with.

    `text_heads` is all that stands before the octets of an OCTET STRING, by their number, in a varbind
    below 128 bytes: most are such.
    """

    encoded: bytes
    text_heads: tuple[bytes, ...]

    @classmethod
    def of(cls, oid: Oid) -> Name:
        encoded = object_identifier(oid)
        before = len(encoded) + 2
        heads = [
            bytes((_SEQUENCE, before + size)) + encoded + bytes((_OCTET_STRING, size))
            for size in range(0x80 - before)
        ]
        return cls(encoded, tuple(heads))


def varbind(name: bytes, value: bytes) -> bytes:
    """One variable binding of an encoded name and an encoded value."""
    return _tlv(_SEQUENCE, name + value)


def pdu(kind: int, request_id: int, varbinds: bytes) -> bytes:
    """A TRAP or an INFORM (RFC 3416, 4.2.6 and 4.2.7) of encoded varbinds, one after another."""
    return _tlv(kind, integer(request_id) + _NO_ERROR + _tlv(_SEQUENCE, varbinds))


def message_v2c(community: bytes, pdu: bytes) -> bytes:
    """A whole SNMPv2c message (RFC 1901) with an encoded PDU."""
    return _tlv(_SEQUENCE, _VERSION_2C + octet_string(community) + pdu)


class Response(NamedTuple):
    """The answer to an INFORM. `error_status` is 0 when it was taken (RFC 3416, section 3)."""

    request_id: int
    error_status: int


def read_response(datagram: bytes) -> Response | None:
    """The answer in an SNMPv2c message; None when that is anything else, or broken."""
    try:
        tag, message, _ = _read_tlv(datagram)
        version_tag, version, rest = _read_tlv(message)
        community_tag, _, rest = _read_tlv(rest)
        pdu_tag, fields, _ = _read_tlv(rest)
        request_id_tag, request_id, rest = _read_tlv(fields)
        error_tag, error_status, _ = _read_tlv(rest)
    except (IndexError, ValueError):
        return None
    tags = (tag, version_tag, community_tag, pdu_tag, request_id_tag, error_tag)
    if tags != (_SEQUENCE, _INTEGER, _OCTET_STRING, _RESPONSE, _INTEGER, _INTEGER):
        return None
    if not request_id or not error_status or version != _VERSION_2C[2:]:
        return None
    return Response(*(int.from_bytes(each, "big", signed=True) for each in (request_id, error_status)))


def _read_tlv(data: bytes) -> tuple[int, bytes, bytes]:
    """The tag, the content, and what follows. Raises IndexError or ValueError where there is none."""
    tag, size, begin = data[0], data[1], 2
    if size >= 0x80:
        begin += size & 0x7F
        size = int.from_bytes(data[2:begin], "big") or len(data)  # no length is none
    end = begin + size
    if end > len(data):
        raise ValueError("it is cut off")
    return tag, data[begin:end], data[end:]


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x100:
        return _HEADS[tag][size] + content
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


_VERSION_2C = integer(1)
_NO_ERROR = integer(0) + integer(0)
"""error-status and error-index."""
