"""The protocol's decoder: arbitrary text in arbitrary pieces, and everything that is no frame."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.errors import FramingError, UnreadableNotification
from listener.supervisord.frames import Frame, FrameDecoder
from tests.support import event

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def decode(data: bytes, cuts: list[int] | None = None) -> list[Frame]:
    decoder = FrameDecoder()
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts or ())})
    frames = [frame for start, end in pairwise(edges) for frame in decoder.feed(data[start:end])]
    assert not decoder.is_inside_frame
    return frames


@given(
    payloads=st.lists(ANY_TEXT, max_size=4),
    server=st.sampled_from(["supervisor", "a:b", "my host", "café len:3"]),
    cuts=st.lists(st.integers(0, 2**16), max_size=12),
)
def test_any_text_in_any_pieces_comes_out_as_it_went_in(
    payloads: list[str], server: str, cuts: list[int]
) -> None:
    sent = [event(text, serial=n, eventname="ANY", server=server) for n, text in enumerate(payloads)]
    expected = [Frame("ANY", n, n, text) for n, text in enumerate(payloads)]
    assert decode(b"".join(sent), cuts) == expected


def test_the_length_counts_characters_even_when_every_byte_comes_alone() -> None:
    data = event("é€😀\r\n\0", eventname="ANY") + event("next", serial=2, eventname="ANY")
    frames = decode(data, list(range(len(data))))
    assert [frame.payload for frame in frames] == ["é€😀\r\n\0", "next"]


def test_bytes_that_are_not_utf8_stay_inside_their_own_frame() -> None:
    data = event("caf\udce9", eventname="ANY") + event("next", serial=2, eventname="ANY")
    assert [frame.payload for frame in decode(data)] == ["caf\udce9", "next"]


def test_a_large_payload_in_small_pieces_is_put_together() -> None:
    text = "€" * 100_000
    data = event(text, eventname="ANY")
    [frame] = decode(data, list(range(0, len(data), 4093)))
    assert frame.payload == text


HEADER = "ver:3.0 server:supervisor serial:1 pool:p poolserial:1 eventname:ANY len:"


@pytest.mark.parametrize(
    "junk",
    [
        b"junk\n",
        b"\n",
        HEADER.encode() + b"-1\n",
        HEADER.encode() + b"\n",
        HEADER.encode() + b"3x\n",
        HEADER.encode() + "٣\n".encode(),
        HEADER.removesuffix(" len:").encode() + b"\n",
        HEADER.replace("serial:1", "serial:x").encode() + b"0\n",
        b"\xff\xfe\n",
        HEADER.replace("serial:1", f"serial:{'1' * 5000}").encode() + b"0\n",
        b"x" * 5000,
    ],
)
def test_what_is_no_header_is_refused_with_what_was_found(junk: bytes) -> None:
    with pytest.raises(FramingError, match=r"expected 'ver:3\.0 .* found '"):
        list(FrameDecoder().feed(junk))


@pytest.mark.parametrize("size", [1, 60, len(event("x", eventname="ANY")) - 1])
def test_a_frame_that_is_cut_short_is_known_to_be_unfinished(size: int) -> None:
    decoder = FrameDecoder()
    assert list(decoder.feed(event("x", eventname="ANY")[:size])) == []
    assert decoder.is_inside_frame


def test_half_a_character_at_the_end_is_unfinished_too() -> None:
    decoder = FrameDecoder()
    assert list(decoder.feed("é".encode()[:1])) == []
    assert decoder.is_inside_frame


def test_a_communication_names_its_program_and_keeps_what_follows_supervisords_line() -> None:
    [frame] = decode(event("line one\nline two"))
    assert frame.communication() == ("workflows", "line one\nline two")


@pytest.mark.parametrize("payload", ["", "processname:x", "no:process\ndata"])
def test_a_communication_without_supervisords_line_is_unreadable(payload: str) -> None:
    frame = Frame("PROCESS_COMMUNICATION_STDOUT", 1, 1, payload)
    with pytest.raises(UnreadableNotification, match="processname:"):
        frame.communication()
