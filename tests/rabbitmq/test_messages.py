"""A message of the broker is one notification, whichever way it comes, and no two are taken for one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.inbox.record import decode as record_in
from listener.inbox.record import encode
from listener.model.delivery import FROM_BROKER, Delivery, decode
from listener.model.serials import Serials
from listener.rabbitmq.messages import Message, read_message
from listener.supervisord.frames import FrameDecoder
from tests.model.support import ANY_TEXT, JSON_VALUES
from tests.support import event

BEGIN = "<!--XSUPERVISOR:BEGIN-->"
END = "<!--XSUPERVISOR:END-->"


def body_of(**more: Any) -> bytes:
    """A body as a manager publishes it."""
    context = {"execution_id": "e-1", "rest_token": "ctok-1"}
    value = {"event_type": "workflow_failed", "context": context, **more}
    return json.dumps(value, ensure_ascii=False).encode()


def from_inbox(message: Message) -> Delivery:
    """What the listener makes of the message in its inbox."""
    record = record_in(encode(0, message.text), 0)
    assert record is not None
    return decode(record[1], source=FROM_BROKER, origin="")


def from_frame(message: Message) -> Delivery:
    """What the listener makes of its frame: supervisord passes on what is between the marks."""
    text = message.frame.decode()
    assert text.startswith(BEGIN) and text.endswith(END + "\n")
    captured = text.removeprefix(BEGIN).partition(END)[0]
    [frame] = FrameDecoder().feed(event(captured))
    return decode(
        frame.communication()[1], source="supervisord", origin="", serials=Serials("1.1", 7, 7)
    )


def own_id(message: Message) -> str | None:
    """The identity of a message, which its inbox record and its frame have in common."""
    framed, kept = from_frame(message), from_inbox(message)
    assert framed.problem == kept.problem == ""
    assert framed.notification == kept.notification
    assert message.key == kept.key == framed.key is not None
    return kept.notification.id


def test_a_redelivery_is_known_by_its_body_and_nothing_else_is() -> None:
    first = read_message(1, body_of(timestamp="2024-08-12T13:16:13.123Z"), None)
    again = read_message(2, body_of(timestamp="2024-08-12T13:16:13.123Z"), None)
    token = {"execution_id": "e-1", "rest_token": "ctok-2"}
    other = read_message(3, body_of(timestamp="2024-08-12T13:16:13.123Z", context=token), None)
    assert again == first._replace(tag=2)
    assert str(own_id(first)).startswith("amqp-")
    assert len({own_id(first), own_id(other)}) == 2


@pytest.mark.parametrize(
    ("message_id", "more", "identity"),
    [
        ("m-1", {}, "m-1"),
        (f'"ü\\ {END}', {}, f'"ü\\ {END}'),
        ("m-1", {"id": "own"}, "own"),
        (None, {"id": f"own {END}"}, f"own {END}"),
        ("m-1", {"id": 5}, "m-1"),
        ("m-1", {"id": None}, "m-1"),
        (f"m-1 {END}", {"id": ""}, f"m-1 {END}"),
    ],
)
def test_an_id_of_its_own_counts_and_then_the_message_id(
    message_id: str | None, more: dict[str, Any], identity: str
) -> None:
    assert own_id(read_message(1, body_of(**more), message_id)) == identity


@pytest.mark.parametrize("message_id", ["", b"\xff", b""])
def test_a_message_id_that_is_no_text_is_none(message_id: str | bytes) -> None:
    assert read_message(1, body_of(), message_id) == read_message(1, body_of(), None)


@pytest.mark.parametrize("around", [b"\xef\xbb\xbf%s", b" \r\n\t%s\n \n", b"\xef\xbb\xbf\n%s"])
def test_a_byte_order_mark_and_blanks_around_it_change_nothing_but_the_digest(around: bytes) -> None:
    bare, message = (read_message(1, body, "m-1") for body in (body_of(), around % body_of()))
    assert message == bare
    assert own_id(message) == "m-1"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "the payload is empty"),
        (b" \n", "the payload is empty"),
        (b"{}", "'event_type' must be a text"),
        (b"{ \n}", "'event_type' must be a text"),
        (b"null", "expected an object"),
        (b"[{}]", "expected an object"),
        (b"not json", "the payload is not JSON"),
        (b"{", "the payload is not JSON"),
        (body_of()[:-1], "the payload is not JSON"),
        (body_of(message="\N{SNOWMAN}").replace("\N{SNOWMAN}".encode(), b"\xff"), "not JSON"),
        (body_of().decode().encode("utf-16"), "the payload is not JSON"),
        (b'{"event_type": "x", "context": ' + b"[" * 100_000, "maximum recursion depth"),
        (b'{"event_type": "x", "context": {}, "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
         "maximum recursion depth"),
    ],
    ids=range(13),
)  # fmt: skip
def test_what_is_no_notification_is_for_the_inbox_alone(body: bytes, problem: str) -> None:
    message = read_message(1, body, None)
    assert (message.tag, message.frame, message.key) == (1, b"", None)
    kept = from_inbox(message)
    assert problem in kept.problem
    assert "stdout_capture_maxbytes" not in kept.problem


def test_bytes_that_are_not_utf_8_can_be_seen_in_what_is_kept() -> None:
    assert from_inbox(read_message(1, b'{"event_type": "\xff"', None)).body.endswith('"\\xff"')


@pytest.mark.parametrize("mark", [BEGIN, END, END + END, "<!--XSUPERVISOR:"])
def test_a_mark_of_supervisord_in_a_text_comes_through_and_ends_no_frame(mark: str) -> None:
    message = read_message(1, body_of(message={"text": f"a{mark}b"}, **{mark: mark}), None)
    assert own_id(message)
    assert message.frame.count(b"<!--XSUPERVISOR:") == 2
    assert from_frame(message).notification.text == f"a{mark}b"


def test_a_frame_that_supervisord_could_cut_is_not_sent_and_the_inbox_has_the_message() -> None:
    more = 65536 - len(read_message(1, body_of(a="x" * 1000), None).frame)
    fits, larger = (read_message(1, body_of(a="x" * (1000 + n)), None) for n in (more, more + 1))
    assert len(fits.frame) == 65536
    assert own_id(fits)
    assert larger.frame == b""
    assert larger.key == from_inbox(larger).key is not None


def test_five_megabytes_are_one_notification() -> None:
    text = "é😀\u2028\\ \n" * 500_000
    message = read_message(1, body_of(message={"text": text}), None)
    assert len(message.text.encode()) > 5_000_000
    assert from_inbox(message).notification.text == text
    assert from_inbox(message).key == message.key


@settings(derandomize=True, max_examples=200)
@given(
    value=st.dictionaries(
        ANY_TEXT | st.sampled_from(["id", "context", "<!--XSUPERVISOR:"]), JSON_VALUES
    ),
    is_ascii=st.booleans(),
    message_id=st.none() | st.text(max_size=8),
)
def test_whatever_a_notification_brings_it_is_the_same_in_the_inbox_and_in_its_frame(
    value: dict[str, Any], is_ascii: bool, message_id: str | None
) -> None:
    text = json.dumps({**value, "event_type": "x", "context": {"a": value}}, ensure_ascii=is_ascii)
    message = read_message(1, text.encode("utf-8", "surrogatepass"), message_id)
    if message.key is None:  # it has lone surrogates, which are not UTF-8
        assert not is_ascii
        assert from_inbox(message).problem
        return
    given = value.get("id") if isinstance(value.get("id"), str) else None
    identity = own_id(message)
    assert identity == (given or message_id or identity) != ""
    assert from_frame(message).notification.context == {"a": value}


@settings(derandomize=True, max_examples=200)
@given(st.binary(max_size=40) | st.text(max_size=20).map(str.encode), st.binary(max_size=5))
def test_no_body_whatever_ends_the_forwarder(body: bytes, message_id: bytes) -> None:
    message = read_message(7, body, message_id)
    assert message.tag == 7
    assert from_inbox(message).key == message.key
