"""A record as it is while it is being written; whole and damaged ones are in test_reader.py."""

from __future__ import annotations

import pytest

from listener.inbox.record import decode, encode


@pytest.mark.parametrize("payload", ["", "x", "größe"])
def test_a_record_is_complete_with_its_last_byte(payload: str) -> None:
    record = encode(7, payload)
    for size in range(len(record)):
        assert decode(record[:size], 0) is None
    assert decode(record + b"the next", 0) == (7, payload, len(record))
