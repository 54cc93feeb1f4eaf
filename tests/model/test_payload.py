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

TOKEN = "ctok-AbCdEfGhIj-0123456789abcdefghijklmnopqrstuvwxyzABCD"

PUBLISHED: dict[str, Any] = {
    "type": "cloudify_event",
    "event_type": "workflow_failed",
    "context": {
        "message_type": "hook",
        "is_system_workflow": False,
        "blueprint_id": "bp1",
        "deployment_id": None,
        "execution_id": "x1",
        "workflow_id": "install",
        "tenant_name": "default_tenant",
        "rest_token": TOKEN,
        "tenant": {"name": "default_tenant"},
        "execution_parameters": {"node_ids": []},
    },
    "message": {"text": "'install' workflow execution failed", "arguments": None},
    "timestamp": "2024-08-12T13:16:13.123Z",
    "message_code": None,
}

WHOLE = '{{"event_type": "x", "context": {{"a": {}}}}}'


def refused(text: str) -> str:
    """Why a payload is no notification."""
    with pytest.raises(UnreadableNotification) as refusal:
        decode(text)
    return str(refusal.value)


def test_a_notification_as_conductor_publishes_it_is_read() -> None:
    assert decode(json.dumps(PUBLISHED)) == Notification(
        event_type="workflow_failed",
        context=PUBLISHED["context"],
        timestamp="2024-08-12T13:16:13.123Z",
        text="'install' workflow execution failed",
        arguments=None,
        id=None,
    )


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", {}),
        (', "id": "4711"', {"id": "4711"}),
        (', "id": 4711', {}),
        (', "id": ""', {}),
        (', "id": null', {}),
        (', "timestamp": null', {}),
        (', "timestamp": 5', {"timestamp": 5}),
        (', "message": null', {}),
        (', "message": "text"', {}),
        (', "message": {}', {}),
        (
            ', "message": {"text": "hi", "arguments": {"error": "e"}}',
            {"text": "hi", "arguments": {"error": "e"}},
        ),
        (', "message": {"text": ["hi"], "arguments": 5}', {"text": ["hi"], "arguments": 5}),
        (', "event_type": "later"', {"event_type": "later"}),
    ],
)
def test_all_but_event_type_and_context_may_be_missing_or_odd(
    more: str, expected: dict[str, Any]
) -> None:
    found = decode(f'{{"event_type": "x", "context": {{}}{more}}}')

    assert found == Notification("x", {})._replace(**expected)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("null", "the payload is JSON but no notification: expected an object, found None"),
        ("5", "the payload is JSON but no notification: expected an object, found 5"),
        ('"text"', "the payload is JSON but no notification: expected an object, found 'text'"),
        ("[{}]", "the payload is JSON but no notification: expected an object, found [{}]"),
        ("NaN", "the payload is JSON but no notification: expected an object, found nan"),
        ("{}", "the payload is no notification: 'event_type' must be a text, found"),
        ('{"event_type": null, "context": {}}', "'event_type' must be a text, found"),
        ('{"event_type": 5, "context": {}}', "'event_type' must be a text, found"),
        ('{"event_type": "", "context": {}}', "'event_type' must be a text, found"),
        ('{"event_type": ["x"], "context": {}}', "'event_type' must be a text, found"),
        ('{"event_type": "x"}', "the payload is no notification: 'context' must be an object, found"),
        ('{"event_type": "x", "context": null}', "'context' must be an object, found"),
        ('{"event_type": "x", "context": []}', "'context' must be an object, found"),
        ('{"event_type": "x", "context": "text"}', "'context' must be an object, found"),
    ],
)
def test_json_that_is_no_notification_is_refused_and_shown(text: str, why: str) -> None:
    assert why in refused(text)


@pytest.mark.parametrize(
    ("value", "shown"), [("null", "None"), ("5", "5"), ('""', "''"), ("[]", "[]"), ("true", "True")]
)
def test_what_stands_in_a_field_is_shown_as_what_it_is(value: str, shown: str) -> None:
    assert f"must be a text, found {shown} in {{" in refused(f'{{"event_type": {value}}}')


def test_a_mapping_is_shown_where_there_is_no_text_of_it() -> None:
    with pytest.raises(
        UnreadableNotification, match="'context' must be an object, found 'x' in "
    ) as told:
        from_mapping({"context": "x", "event_type": "y", "more": "z" * 200})

    assert "'event_type': 'y'" in str(told.value)
    assert len(str(told.value)) < 250


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            'cution_id": "x1"}}',
            "its head may have been cut off: raise stdout_capture_maxbytes of the program that wrote",
        ),
        ("not json", "its head may have been cut off: raise stdout_capture_maxbytes"),
        ("Undecodable: b'\\xff{}'", "the program wrote bytes that are not UTF-8: "),
        ('{"event_type": "x"', 'it begins \'{"event_type": "x"\' and ends \'{"event_type": "x"\''),
        (' {"context": {', "it begins ' {\"context\": {' and ends "),
        ("{'event_type': 'x'}", "it begins \"{'event_type': 'x'}\" and ends "),
        (WHOLE.format("{}") * 2, "Extra data"),
        ("[" * 100_000, "maximum recursion depth exceeded"),
        (WHOLE.format("[" * 100_000 + "]" * 100_000), "maximum recursion depth exceeded"),
        (WHOLE.format("1" * 5_000), "Exceeds the limit"),
        (f'{{"event_type": "x", "context": {{}}, "z": {"1" * 5_000}}}', "Exceeds the limit"),
    ],
)
def test_a_payload_that_is_not_json_is_refused_with_its_likely_cause(text: str, cause: str) -> None:
    told = refused(text)

    assert told.startswith("the payload is not JSON (")
    assert cause in told
    assert len(told) < 700


def test_a_head_cut_off_before_an_inner_object_is_still_told_as_one() -> None:
    text = json.dumps(PUBLISHED)

    assert "stdout_capture_maxbytes" in refused(text[text.index('{"name"') :])


def test_nothing_at_all_is_told_as_an_empty_payload() -> None:
    for text in ("", " \n"):
        told = refused(text)

        assert "empty" in told
        assert "cut off" not in told


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
        f'["{TOKEN}"]',
        f'"{TOKEN}"',
        f'{{"token": "{TOKEN}"',
        f"Undecodable: b'{PAIRS}'",
        f'{{"token": "{TOKEN}\udcff"}}',
    ],
)
def test_a_token_in_a_refused_payload_is_never_shown(text: str) -> None:
    told = refused(text)

    assert TOKEN[25:40] not in told
    assert TOKEN[-10:] not in told


def test_nan_and_what_else_python_calls_json_is_accepted() -> None:
    found = decode(WHOLE.format("[NaN, -Infinity, 1e999]"))

    assert math.isnan(found.context["a"][0])
    assert found.context["a"][1:] == [-math.inf, math.inf]


def test_an_escaped_lone_surrogate_is_accepted_and_a_raw_undecodable_byte_refused() -> None:
    assert decode(WHOLE.format('"\\ud800"')).context == {"a": "\ud800"}

    told = refused(WHOLE.format(b'"\xff"'.decode("utf-8", "surrogateescape")))
    assert told.startswith("the payload is not UTF-8: ")
    told.encode()  # the log can take it


def test_text_of_every_plane_is_read_escaped_and_raw() -> None:
    text = "é€😀\u2028"
    notification = {"event_type": "x", "context": {"a": text}}

    assert decode(json.dumps(notification)) == decode(json.dumps(notification, ensure_ascii=False))
    assert decode(json.dumps(notification)).context == {"a": text}


@pytest.mark.parametrize("ending", ['"}}', ""])
def test_ten_megabytes_are_read_or_refused_shortly(ending: str) -> None:
    text = '{"event_type": "x", "context": {"a": "' + "é" * 10_000_000 + ending

    if ending:
        assert len(decode(text).context["a"]) == 10_000_000
    else:
        assert len(refused(text)) < 500


def test_a_depth_that_json_can_take_is_taken() -> None:
    found = decode(WHOLE.format("[" * 500 + "]" * 500))

    assert json.dumps(found.context["a"]) == "[" * 500 + "]" * 500


@settings(deadline=None, print_blob=True, derandomize=False, max_examples=200)
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
