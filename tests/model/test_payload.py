"""Payloads as programs send them, whole, cut, garbled or monstrous.

Only `event_type` and `context` are required. What is no notification is refused with its likely
cause and without a secret.
"""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.errors import UnreadableNotification
from listener.model.notification import Notification
from listener.model.payload import decode, from_mapping, read_json, shorten
from tests.model.support import TOKEN

PUBLISHED: dict[str, Any] = {
    "type": "cloudify_event",
    "event_type": "workflow_failed",
    "context": {"execution_id": "x1", "deployment_id": None, "tenant": {"name": "acme"}},
    "message": {"text": "'install' workflow execution failed", "arguments": None},
    "timestamp": "2024-08-12T13:16:13.123Z",
    "message_code": None,
}

WHOLE = '{{"event_type": "x", "context": {{"a": {}}}}}'


def refused(text: str) -> str:
    """Why a payload is no notification."""
    with pytest.raises(UnreadableNotification) as refusal:
        decode(text, is_captured=True)
    return str(refusal.value)


def test_a_notification_as_conductor_publishes_it_is_read() -> None:
    assert decode(json.dumps(PUBLISHED)) == Notification(
        "workflow_failed",
        PUBLISHED["context"],
        "2024-08-12T13:16:13.123Z",
        "'install' workflow execution failed",
    )


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", {}),
        (', "id": "4711"', {"id": "4711"}),
        (', "id": 4711', {}),
        (', "id": ""', {}),
        (', "timestamp": null', {}),
        (', "timestamp": 5', {"timestamp": 5}),
        (', "message": null', {}),
        (', "message": "text"', {}),
        (', "message": {}', {}),
        (', "message": {"text": ["hi"], "arguments": 5}', {"text": ["hi"], "arguments": 5}),
        (', "event_type": "later"', {"event_type": "later"}),
    ],
)
def test_all_but_event_type_and_context_may_be_missing_or_odd(
    more: str, expected: dict[str, Any]
) -> None:
    found = decode(f'{{"event_type": "x", "context": {{}}{more}}}')

    assert found == Notification("x", {})._replace(**expected)


NO_OBJECT = "the payload is JSON but no notification: expected an object, found "
NO_TYPE = "the payload is no notification: 'event_type' must be a text, found "
NO_CONTEXT = "the payload is no notification: 'context' must be an object, found "


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("null", NO_OBJECT + "None"),
        ('"text"', NO_OBJECT + "'text'"),
        ("[{}]", NO_OBJECT + "[{}]"),
        ("NaN", NO_OBJECT + "nan"),
        ("{}", NO_TYPE + "None in {}"),
        ('{"event_type": 5, "context": {}}', NO_TYPE + "5 in {'event_type': 5"),
        ('{"event_type": "", "context": {}}', NO_TYPE + "'' in "),
        ('{"event_type": ["x"], "context": {}}', NO_TYPE + "['x'] in "),
        ('{"event_type": "x"}', NO_CONTEXT + "None in {'event_type': 'x'}"),
        ('{"event_type": "x", "context": []}', NO_CONTEXT + "[] in "),
        ('{"event_type": "x", "context": "text"}', NO_CONTEXT + "'text' in "),
    ],
)
def test_json_that_is_no_notification_is_refused_and_shown(text: str, why: str) -> None:
    assert refused(text).startswith(why)


def test_a_mapping_that_is_no_notification_is_shown_however_large_or_deep_it_is() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value, shown in (("x " * 200, "'x x x "), (deep, "something nested too deep to be shown")):
        with pytest.raises(UnreadableNotification) as refusal:
            from_mapping({"event_type": "y", "context": value})
        assert str(refusal.value).startswith(NO_CONTEXT + shown)
        assert len(str(refusal.value)) < 250


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('cution_id": "x1"}}', "its head may have been cut off: raise stdout_capture_maxbytes"),
        ("not json", "its head may have been cut off: raise stdout_capture_maxbytes"),
        ('{"name": "t"}}}', "its head may have been cut off: raise stdout_capture_maxbytes"),
        ("Undecodable: b'\\xff\\xfe{\\x00'", "the program wrote UTF-16; let it write UTF-8"),
        ("{\0}\0", "the program wrote UTF-16; let it write UTF-8"),
        ("Undecodable: b'\\xff{}'", "the program wrote bytes that are not UTF-8: "),
        ('{"a": <!--XSUPERVISOR:BEGIN-->{}', "another frame begins inside it: several processes"),
        ('{"event_type": "x"', 'it begins \'{"event_type": "x"\' and ends \'{"event_type": "x"\''),
        ("{'event_type': 'x'}", "it begins \"{'event_type': 'x'}\" and ends "),
        (WHOLE.format("{}") * 2, "Extra data"),
        ("[" * 100_000, "maximum recursion depth exceeded"),
        (WHOLE.format("[" * 100_000 + "]" * 100_000), "maximum recursion depth exceeded"),
        (WHOLE.format("1" * 5_000), "Exceeds the limit"),
        ('{"event_type": "x", "context": {"a": "' + "é" * 10_000_000, "it begins "),
    ],
)
def test_a_payload_that_is_not_json_is_refused_with_its_likely_cause(text: str, cause: str) -> None:
    reason = refused(text)

    assert reason.startswith("the payload is not JSON (")
    assert cause in reason
    assert len(reason) < 700


@pytest.mark.parametrize("text", ['cution_id": "x1"}}', "not json", WHOLE.format("{}") + "}"])
def test_what_no_program_has_printed_is_not_said_to_be_cut(text: str) -> None:
    with pytest.raises(UnreadableNotification) as refusal:
        decode(text)
    assert "; it begins " in str(refusal.value)
    assert "stdout_capture_maxbytes" not in str(refusal.value)


@pytest.mark.parametrize("text", ["", " \n"])
def test_nothing_at_all_is_refused_as_an_empty_payload(text: str) -> None:
    assert refused(text) == "the payload is empty"


PAIRS = f'"rest_token": "{TOKEN}", "tenant": {{"name": "t"}}}}}}'


@pytest.mark.parametrize(
    "text",
    [
        PAIRS,
        PAIRS[20:],
        PAIRS[30:],
        f'{{"event_type": 5, {PAIRS}',
        f'{{"event_type": 5, {PAIRS[:-1]}',
        f'{{"event_type": "x", "context": {{{PAIRS[:-4]}',
        f'{{"event_type": "x", "context": ["{TOKEN}"]}}',
        f'"{TOKEN}"',
        f"Undecodable: b'{PAIRS}'",
        f'{{"token": "{TOKEN}\udcff"}}',
    ],
)
def test_a_token_in_a_refused_payload_is_never_shown(text: str) -> None:
    reason = refused(text)

    assert TOKEN[25:40] not in reason
    assert TOKEN[-10:] not in reason


def test_what_else_python_calls_json_is_accepted_but_no_byte_that_is_not_utf_8() -> None:
    found = decode(WHOLE.format('[NaN, -Infinity, 1e999, "\\ud800"]')).context["a"]
    assert math.isnan(found[0])
    assert found[1:] == [-math.inf, math.inf, "\ud800"]

    reason = refused(WHOLE.format(b'"\xff"'.decode("utf-8", "surrogateescape")))
    assert reason.startswith("the payload is not UTF-8: ")
    reason.encode()  # the log can take it


def test_a_depth_and_a_size_that_json_can_take_are_taken() -> None:
    for text in ("[" * 500 + "]" * 500, '"' + "é😀\u2028" * 1_000_000 + '"'):
        assert json.dumps(decode(WHOLE.format(text)).context["a"], ensure_ascii=False) == text


@settings(derandomize=True, max_examples=200)
@given(
    st.text(st.characters())
    | st.text(st.sampled_from('{}[]":,\\0a \n'), max_size=12)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("context"), inner),
        max_leaves=8,
    ).map(json.dumps)
)
def test_any_payload_is_read_or_refused_as_the_standard_library_would(text: str) -> None:
    try:
        expected = json.loads(text)
        text.encode()
    except ValueError:
        refused(text)
        return

    assert json.dumps(read_json(text)) == json.dumps(expected)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "''"),
        ("two\nlines", "'two\\nlines'"),
        ("x " * 40, "'" + "x " * 40 + "'"),
        ("x " * 41, "'" + "x " * 40 + "…'"),
    ],
)
def test_shorten_shows_eighty_characters_on_one_line(text: str, shown: str) -> None:
    assert shorten(text) == shown
