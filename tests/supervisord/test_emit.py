"""Frames as supervisord must find them: one write, padded, with no second END inside.

What is emitted is read back by the room that reads payloads, so that both keep agreeing.
"""

from __future__ import annotations

import json
import os
import socket
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import listener
from listener.errors import HooksError, UnreadableNotification
from listener.model.notification import Notification
from listener.model.payload import decode
from listener.supervisord.emit import MIN_FRAME, as_json, emit, enframe
from tests.support import frame_of

BEGIN = b"<!--XSUPERVISOR:BEGIN-->"
END = b"<!--XSUPERVISOR:END-->"


def notification(**context: Any) -> dict[str, Any]:
    return {"event_type": "workflow_failed", "context": context}


def payload_of(data: bytes) -> str:
    """What supervisord makes an event of: the text between the tokens, each of which stands once."""
    assert data.startswith(BEGIN)
    assert data.endswith(END + b"\n")
    payload = data.removeprefix(BEGIN).removesuffix(END + b"\n")
    assert b"<!--XSUPERVISOR:" not in payload
    return payload.decode("ascii")


def test_one_notification_is_one_write() -> None:
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # keeps writes apart
    with reader, writer:
        own_id = emit(notification(execution_id="x" * 20_000), writer.fileno())
        data = reader.recv(100_000)

    assert decode(payload_of(data)) == Notification(
        "workflow_failed", {"execution_id": "x" * 20_000}, id=own_id
    )


@pytest.mark.parametrize("most", [1, 7, 10**9])
def test_a_write_that_takes_only_a_part_is_gone_on_with(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []

    def write(fd: int, data: bytes) -> int:
        written.append(bytes(data[:most]))
        return len(written[-1])

    monkeypatch.setattr(os, "write", write)
    emit({**notification(), "id": "4711"})

    assert b"".join(written) == frame_of({**notification(), "id": "4711"})


@pytest.mark.parametrize("blocks", [True, False])
def test_frames_of_several_threads_come_out_whole_also_where_stdout_does_not_block(
    blocks: bool,
) -> None:
    """Each is larger than what a pipe holds. asyncio lets stdout not block."""
    reader, writer = os.pipe()
    os.set_blocking(writer, blocks)

    def emit_to(fd: int, number: int) -> str:
        with open(fd, "wb"):
            return emit(notification(number=number, x="x" * 200_000), fd)

    with ThreadPoolExecutor() as pool, open(reader, "rb") as pipe:
        ids = [pool.submit(emit_to, os.dup(writer), number) for number in range(4)]
        os.close(writer)
        frames = pipe.read().splitlines(keepends=True)
    assert {decode(payload_of(data)).id for data in frames} == {each.result() for each in ids}


def test_standard_output_is_where_it_goes_by_default(capfd: pytest.CaptureFixture[str]) -> None:
    own_id = listener.emit(notification())

    assert decode(payload_of(capfd.readouterr().out.encode())).id == own_id


@pytest.mark.parametrize("length", [0, 1, 50, 55, 56, 57, 60, 1000])
def test_a_frame_is_padded_to_what_supervisord_can_take_in_numbers_and_no_more(length: int) -> None:
    data = frame_of({**notification(a="x" * length), "id": "4711"})

    text = json.dumps({**notification(a="x" * length), "id": "4711"})
    assert len(data) == max(140, len(BEGIN + END) + len(text) + 1)
    assert MIN_FRAME == 140
    assert payload_of(data).rstrip(" ") == text


@pytest.mark.parametrize("without", [{}, {"id": None}, {"id": ""}])
def test_without_an_id_a_new_one_is_made_each_time(without: dict[str, Any]) -> None:
    first, text = as_json({**notification(), **without})
    second, _ = as_json({**notification(), **without})

    assert first != second
    assert uuid.UUID(first).version == 4
    assert decode(text).id == first


@pytest.mark.parametrize(
    "text",
    [
        END.decode(),
        BEGIN.decode(),
        (END * 3).decode(),
        "<!--XSUPERVISOR:",
        "<!--X",
        "\\u003c!--XSUPERVISOR:END-->",
        "\\" + END.decode(),
        "é€😀\u2028\0\x1b\r\n",
        "\ud800",
    ],
)
def test_any_text_comes_back_the_same(text: str) -> None:
    sent = {**notification(value=text, **{text: [text]}), "message": {"text": text}, "id": text}
    before = dict(sent)

    data = frame_of(sent)

    assert as_json(sent)[0] == text
    assert json.loads(payload_of(data)) == sent == before


names = st.text(st.characters(), max_size=5) | st.sampled_from(["<!--XSUPERVISOR:END-->", "<!--"])


@settings(print_blob=True, derandomize=False)
@given(
    st.dictionaries(
        names,
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
            | names,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
            max_leaves=6,
        ),
        max_size=4,
    )
)  # fmt: skip
def test_any_context_comes_back_the_same(context: dict[str, Any]) -> None:
    own_id, text = as_json(notification(**context))
    data = enframe(text)

    assert len(data) >= 140
    assert decode(payload_of(data)) == Notification("workflow_failed", context, id=own_id)


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (float("nan"), "Out of range float values are not JSON compliant"),
        (float("-inf"), "Out of range float values are not JSON compliant"),
        (b"bytes", "Object of type bytes is not JSON serializable"),
        ({("a", "b"): 1}, "keys must be str"),
        (CIRCLE, "Circular reference detected"),
        (DEEP, "maximum recursion depth exceeded"),
    ],
    ids=["nan", "inf", "bytes", "tuple key", "circle", "deep"],
)
def test_what_json_cannot_hold_is_refused_and_nothing_written(
    value: object, why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(HooksError, match="the notification cannot be written as JSON: ") as refusal:
        emit(notification(value=value))

    assert why in str(refusal.value)
    assert refusal.value.__cause__ is not None
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    "no_notification",
    [{}, {"event_type": "x"}, {"event_type": "", "context": {}}, {"context": {}}, [], "text", None],
)
def test_what_is_no_notification_is_refused_and_nothing_written(
    no_notification: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UnreadableNotification):
        emit(no_notification)

    assert capfd.readouterr().out == ""
