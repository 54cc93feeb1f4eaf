"""The one form of record in the inbox.

Owns how a record is written and how it is known to be complete. It knows no file and not what a payload
means. The writers encode, the reader decodes.
"""

from __future__ import annotations

import re
import zlib

_HEADER = re.compile(rb"(([0-9]{1,19}) ([0-9]{1,10})) ([0-9a-f]{8})\n")
_MAX_HEADER = 40


def encode(serial: int, payload: str) -> bytes:
    """A record: `<serial> <bytes> <fingerprint>`, then the payload, a line each.

    The fingerprint is the CRC-32 of the two numbers as they stand there, and the payload. Were it begun
    with the serial itself, one damaged byte could make it right for a serial without its first digit.
    """
    data = payload.encode("utf-8", "surrogatepass")
    numbers = b"%d %d" % (serial, len(data))
    return b"%b %08x\n%b\n" % (numbers, zlib.crc32(data, zlib.crc32(numbers)), data)


def decode(data: bytes | bytearray, start: int) -> tuple[int, str, int] | None:
    """Serial, payload and end of the record that begins at `start`; None when it is not complete yet.

    Raises ValueError when no record stands there, whatever follows.
    """
    header = _HEADER.match(data, start)
    if header is None:
        if len(data) - start < _MAX_HEADER and b"\n" not in data[start:]:
            return None
        raise ValueError
    begin = header.end()
    end = begin + int(header[3])
    if len(data) <= end:
        return None
    payload = data[begin:end]
    if data[end] != 0x0A or zlib.crc32(payload, zlib.crc32(header[1])) != int(header[4], 16):
        raise ValueError
    return int(header[2]), payload.decode("utf-8", "surrogatepass"), end + 1
