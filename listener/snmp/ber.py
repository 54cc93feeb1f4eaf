"""The Basic Encoding Rules (X.690), as far as an SNMPv2c notification and its answer need them.

Values in, bytes out; definite lengths in their shortest form, as RFC 3417 section 8 demands. It knows
no MIB, and no receiver of traps may use it: a receiver must not share the sender's mistakes.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

Oid = tuple[int, ...]

_INTEGER = 0x02
_OBJECT_IDENTIFIER = 0x06
_SEQUENCE = 0x30
_RESPONSE = 0xA2

OCTET_STRING = 0x04
TIME_TICKS = 0x43
COUNTER64 = 0x46
"""Tags of values in varbinds (RFC 2578, RFC 3416)."""

TRAP = 0xA7
"""The tag of an SNMPv2-Trap-PDU (RFC 3416, section 3)."""
INFORM = 0xA6
"""The tag of an InformRequest-PDU."""


@functools.lru_cache(maxsize=64)  # a community is the same at each trap
def octet_string(data: bytes) -> bytes:
    """An OCTET STRING; the caller keeps it within what its object allows."""
    return _tlv(OCTET_STRING, data)


def integer(value: int) -> bytes:
    """An INTEGER of any size, not negative."""
    return _tlv(_INTEGER, _unsigned(value))


def object_identifier(oid: Oid) -> bytes:
    """An OBJECT IDENTIFIER of two arcs or more."""
    first, second, *rest = oid
    return _tlv(_OBJECT_IDENTIFIER, b"".join(map(_base128, (first * 40 + second, *rest))))


def time_ticks(hundredths: int) -> bytes:
    """The octets of TimeTicks, which start again at 0 after 497 days (RFC 2578, 7.1.8)."""
    return _unsigned(hundredths % 2**32)


def counter64(value: int) -> bytes:
    """The octets of a Counter64. Raises ValueError for what has no place in 64 bits."""
    if not 0 <= value < 2**64:
        raise ValueError(f"{value} is no Counter64")
    return _unsigned(value)


class Heads(dict[int, bytes]):
    """All that stands before the octets of a value in its varbind, by their number.

    `oid` is the varbind's name, `tag` the type of its values. Each head is made when first asked for.
    """

    def __init__(self, oid: Oid, tag: int) -> None:
        self._name = object_identifier(oid)
        self._tag = tag

    def __missing__(self, size: int) -> bytes:
        inside = self._name + _head(self._tag, size)
        head = self[size] = _head(_SEQUENCE, len(inside) + size) + inside
        return head


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
    """The answer to an INFORM. `error_status` is 0 when it was accepted (RFC 3416, section 3).

    The numbers are what the receiver has written there, maybe thousands of digits.
    """

    community: bytes
    request_id: int
    error_status: int


def read_response(datagram: bytes) -> Response | None:
    """The answer in an SNMPv2c message; None when that is anything else, or broken."""
    try:
        tag, message, _ = _read_tlv(datagram)
        version_tag, version, rest = _read_tlv(message)
        community_tag, community, rest = _read_tlv(rest)
        pdu_tag, fields, _ = _read_tlv(rest)
        request_id_tag, request_id, rest = _read_tlv(fields)
        error_tag, error_status, _ = _read_tlv(rest)
    except (IndexError, ValueError):
        return None
    tags = (tag, version_tag, community_tag, pdu_tag, request_id_tag, error_tag)
    if tags != (_SEQUENCE, _INTEGER, OCTET_STRING, _RESPONSE, _INTEGER, _INTEGER):
        return None
    if not request_id or not error_status or version != _VERSION_2C[2:]:
        return None
    numbers = (int.from_bytes(each, "big", signed=True) for each in (request_id, error_status))
    return Response(community, *numbers)


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
    return _head(tag, len(content)) + content


@functools.lru_cache(maxsize=1024)
def _head(tag: int, size: int) -> bytes:
    """A tag and the length of what follows (X.690, 8.1.3.4 and 8.1.3.5)."""
    if size < 0x80:
        return bytes((tag, size))
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length


def _unsigned(value: int) -> bytes:
    """The fewest octets that hold the value and a sign that is not there: the first bit is 0."""
    return value.to_bytes(value.bit_length() // 8 + 1, "big")


def _base128(arc: int) -> bytes:
    """Seven bits an octet, the highest bit set in all but the last (X.690, 8.19.2)."""
    octets = [arc & 0x7F]
    while arc := arc >> 7:
        octets.append(0x80 | arc & 0x7F)
    return bytes(reversed(octets))


_VERSION_2C = integer(1)
_NO_ERROR = integer(0) + integer(0)
"""error-status and error-index."""
