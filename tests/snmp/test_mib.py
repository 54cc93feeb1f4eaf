"""The varbinds of a notification: the original's, byte for byte, without the original's defects.

And in the layout of the MIB, whose order is read from its file. What a datagram holds is read with
pysnmp.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pysnmp.proto.api import v2c

from listener.snmp import ber, mib
from tests.snmp.receivers import GOLDEN, MIB, decoded, varbinds_of

CONTEXT = {
    "timestamp": "2018-09-03T11:20:00.123Z",
    "tenant_name": "default_tenant",
    "deployment_id": "nodecellar",
    "workflow_id": "install",
    "execution_id": "0b1b5f3a-6c8e-4d6f-9a53-0f7d3f0f3b11",
    "execution_parameters": {"a": 1},
    "arguments": None,
}
RECEIVED_AT = 1_700_000_000.9
NAMES = {
    "tenant_name": "cloudifyTenantName",
    "deployment_id": "cloudifyDeploymentID",
    "workflow_id": "cloudifyWorkflowName",
    "execution_id": "cloudifyExecutionID",
}


def content(event_type: str, text: Any = None) -> mib.Content:
    """What is said of CONTEXT, whose timestamp can be read."""
    return mib.Content.of(
        event_type, CONTEXT, text, uptime_s=12.345, received_at=RECEIVED_AT, warn=pytest.fail
    )


def datagram(
    event_type: str,
    hook_context: dict[str, Any],
    text: Any = None,
    *,
    request_id: int = 1,
    uptime_s: float = 0.0,
    warnings: list[str] | None = None,
    layout: str = "conductor",
) -> bytes:
    said: list[str] = []
    made = mib.Content.of(
        event_type, hook_context, text, uptime_s=uptime_s, received_at=RECEIVED_AT, warn=said.append
    )
    assert warnings is not None or not said
    if warnings is not None:
        warnings += said
    return ber.message_v2c(b"public", ber.pdu(ber.TRAP, request_id, made.varbinds(layout)))


def objects(sent: bytes, layout: str = "conductor") -> dict[str, int | bytes]:
    """The MIB's objects in a datagram, as the numbers and octets that they are."""
    instance = {"conductor": (), "mib": (0,)}[layout]
    by_oid = {(*oid, *instance): name for name, oid in mib.OBJECTS.items()}
    return {
        by_oid[oid]: int(value) if isinstance(value, v2c.Counter64) else bytes(value)
        for oid, value in varbinds_of(sent)[2:]
    }


def failed(text: Any = None, **changes: Any) -> dict[str, int | bytes]:
    """The objects of a failed workflow's trap, for CONTEXT with these changes."""
    return objects(datagram("workflow_failed", CONTEXT | changes, text))


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden["name"])
def test_a_datagram_is_the_originals_byte_for_byte(golden: dict[str, Any]) -> None:
    original = bytes.fromhex(golden["datagram_hex"])
    request_id = int(v2c.apiPDU.get_request_id(v2c.apiMessage.get_pdu(decoded(original))))
    context = golden["hook_context"]
    assert datagram(context["event_type"], context, request_id=request_id) == original


@pytest.fixture(scope="module")
def objects_clauses() -> dict[str, list[str]]:
    """The objects of each notification, in the order that the MIB file gives them."""
    clauses = re.findall(
        r"^(\w+) NOTIFICATION-TYPE\s+OBJECTS \{([^}]*)\}", MIB.read_text("utf-8"), re.MULTILINE
    )
    assert [name for name, _ in clauses] == [name for name, _ in mib.NOTIFICATIONS.values()]
    return {name: [entry.strip() for entry in listed.split(",")] for name, listed in clauses}


@pytest.mark.parametrize("layout", mib.LAYOUTS)
@pytest.mark.parametrize("event_type", mib.NOTIFICATIONS)
def test_what_is_encoded_are_the_bindings_that_version_3_has(event_type: str, layout: str) -> None:
    made = content(event_type, "bo\0om")
    encoded = ber.message_v2c(b"public", ber.pdu(ber.TRAP, 1, made.varbinds(layout)))
    expected = made.bindings(layout)
    assert expected[0] == (mib.SYS_UP_TIME_0, 1234)
    found = varbinds_of(encoded)
    assert [oid for oid, _ in found] == [oid for oid, _ in expected]
    for (_, theirs), (_, ours) in zip(found, expected, strict=True):
        assert theirs == (v2c.ObjectIdentifier(ours) if isinstance(ours, tuple) else ours)


@pytest.mark.parametrize("field", NAMES)
@pytest.mark.parametrize(
    ("value", "sent"),
    [
        pytest.param("配置", "配置", id="chinese"),
        pytest.param(None, "", id="null"),
        pytest.param("x" * 255, "x" * 255, id="just_fits"),
        pytest.param("x" * 256, "x" * 255, id="one_over"),
        pytest.param("é" * 128, "é" * 127, id="2_byte_characters"),
        pytest.param("a" + "置" * 90, "a" + "置" * 84, id="3_byte_characters_after_1"),
        pytest.param("caf\udce9", "caf?", id="lone_surrogate"),
        pytest.param(17, "17", id="number"),
        pytest.param({"a": [None, True]}, '{"a": [null, true]}', id="object"),
    ],
)
def test_a_name_is_sent_in_utf_8_and_cut_between_two_characters(
    field: str, value: Any, sent: str
) -> None:
    assert failed(**{field: value})[NAMES[field]] == sent.encode()


@pytest.mark.parametrize("field", CONTEXT)
def test_a_missing_field_changes_nothing_but_its_own_object(field: str) -> None:
    rest = {key: value for key, value in CONTEXT.items() if key != field}
    warnings: list[str] = []
    sent = objects(datagram("workflow_failed", rest, warnings=warnings))
    name, stand_in = {
        **{field: (name, b"") for field, name in NAMES.items()},
        "timestamp": ("cloudifyTimeStamp", int(RECEIVED_AT)),
        "execution_parameters": ("cloudifyWorkflowParameters", b"{}"),
        "arguments": ("cloudifyErrorDetails", b""),
    }[field]
    assert sent == {**failed(), name: stand_in}
    assert len(warnings) == (field == "timestamp")


LEFT_OUT = '{"message": "the parameters are left out: %d bytes, at most 512 fit"}'


@pytest.mark.parametrize(
    ("parameters", "sent"),
    [
        pytest.param(None, "{}", id="null"),
        pytest.param({}, "{}", id="none"),
        pytest.param({"größe": "失敗"}, '{"gr\\u00f6\\u00dfe": "\\u5931\\u6557"}', id="ascii_as_ever"),
        pytest.param({"a": "x" * 503}, '{"a": "%s"}' % ("x" * 503), id="just_fits"),
        pytest.param({"a": "x" * 504}, LEFT_OUT % 513, id="one_over"),
        pytest.param({"a": "x" * 600}, LEFT_OUT % 608, id="far_over"),  # counted without the space
        pytest.param({"a": "失" * 86}, LEFT_OUT % 525, id="counted_as_sent"),
    ],
)
def test_parameters_are_json_and_left_out_as_a_whole_when_too_long(parameters: Any, sent: str) -> None:
    assert failed(execution_parameters=parameters)["cloudifyWorkflowParameters"] == sent.encode()


@pytest.mark.parametrize(
    ("arguments", "text", "sent"),
    [
        pytest.param(None, "it failed", "it failed", id="arguments_null"),
        pytest.param({}, "it failed", "it failed", id="no_error"),
        pytest.param({"error": None}, "it failed", "it failed", id="error_null"),
        pytest.param({"error": "boom"}, "it failed", "boom", id="error"),
        pytest.param({"error": {"a": 1}}, "it failed", '{"a": 1}', id="error_no_text"),
        pytest.param(None, None, "", id="nothing_said"),
        pytest.param(None, {"a": 1}, '{"a": 1}', id="text_no_text"),
        pytest.param({"error": "x" * 512}, None, "x" * 512, id="just_fits"),
        pytest.param({"error": "x" * 513}, None, "x" * 512, id="one_over"),
        pytest.param({"error": "x" + "é" * 256}, None, "x" + "é" * 255, id="2_byte_characters_after_1"),
    ],
)
def test_the_error_is_what_was_said_most_directly_and_cut_between_two_characters(
    arguments: Any, text: Any, sent: str
) -> None:
    assert failed(text, arguments=arguments)["cloudifyErrorDetails"] == sent.encode()


TRACEBACK = "Traceback (most recent call last):\n"
FRAME = '  File "tasks.py", line 7, in run\n    work()\n    ^^^^^^\n'
LONG = TRACEBACK + FRAME * 20


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        pytest.param("Failed:\n" + LONG + "ValueError: no\n\n", "ValueError: no", id="long"),
        pytest.param(
            LONG + "KeyError: 'a'\n\nDuring handling of the above exception:\n\n" + LONG + "OSError: b",
            "OSError: b",
            id="chained",
        ),
        pytest.param(
            LONG + "ValueError: " + "é" * 512, "ValueError: " + "é" * 250, id="long_last_line"
        ),
        pytest.param(
            LONG + "RuntimeError: the disk is full:\n/dev/vda1\n  100 %\nclean up",
            "RuntimeError: the disk is full:\n/dev/vda1\n  100 %\nclean up",
            id="message_of_several_lines",
        ),
        pytest.param("x" * 600 + "\nlast", "x" * 512, id="no_traceback"),
        pytest.param(LONG, LONG[:512], id="without_its_end"),
    ],
)
def test_of_a_traceback_that_is_too_long_the_exception_is_sent(error: str, sent: str) -> None:
    assert failed(arguments={"error": error})["cloudifyErrorDetails"] == sent.encode()


@pytest.mark.parametrize("layout", mib.LAYOUTS)
def test_control_characters_stay_as_they_are_or_in_the_mibs_layout_become_spaces(layout: str) -> None:
    text = "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)))
    changes = {"tenant_name": f"é{text}失", "timestamp": "1970-01-01T00:00Z"}
    changed = CONTEXT | changes | {"arguments": {"error": f"a{text}\xa0"}}
    sent = objects(datagram("workflow_failed", changed, layout=layout), layout)
    said = text if layout == "conductor" else " " * len(text)
    assert sent["cloudifyTenantName"] == f"é{said}失".encode()
    assert sent["cloudifyErrorDetails"] == f"a{said}\xa0".encode()
    assert sent["cloudifyTimeStamp"] == 0


NOON = 1_535_976_000  # 2018-09-03T12:00:00Z


@pytest.mark.parametrize(
    ("timestamp", "seconds"),
    [
        *[
            (at_noon, NOON)
            for at_noon in (
                "2018-09-03T12:00:00.123Z", "2018-09-03T12:00:00.999999999Z", "2018-09-03T12:00:00,5Z",
                "2018-09-03T12:00:00", "2018-09-03 12:00:00.123456", "2018-09-03T12:00Z",
                "2018-09-03t12:00:00z", "2018-09-03T14:30:00+02:30", "2018-09-03T14:30:00.5+0230",
                "2018-09-03 04:00:00 -08:00",
            )
        ],
        ("2016-12-31T23:59:60Z", 1_483_228_799),  # a leap second
        ("1969-12-31T23:59:59.5Z", 0),
        ("2038-01-19T03:14:08Z", 2**31),
        ("0001-01-01T00:00:00+01:00", 0),
        ("9999-12-31T23:59:59-01:00", 253_402_304_399),
    ],
)  # fmt: skip
def test_every_shape_of_timestamp_is_sent_as_unix_time_and_0_before_1970(
    timestamp: str, seconds: int
) -> None:
    assert failed(timestamp=timestamp)["cloudifyTimeStamp"] == seconds


@pytest.mark.parametrize(
    "timestamp",
    [
        None, "", "soon", NOON, {"iso": "2018-09-03T12:00:00Z"}, "2018-09-03T12:00:00Z\n",
        "2018-13-03T12:00:00Z", "2018-02-29T12:00:00Z", "2018-09-03T24:00:00Z", "2018-09-03T12:00:99Z",
        "2018-09-03T12:00:00+24:00", "0000-01-01T00:00:00Z", "２０１８-09-03T12:00:00Z",
        "2018-09-03T12:00:00Z" * 1000,
    ],
    ids=lambda timestamp: repr(timestamp)[:40],
)  # fmt: skip
def test_a_timestamp_that_cannot_be_read_becomes_the_time_of_receipt_with_a_warning(
    timestamp: Any,
) -> None:
    warnings: list[str] = []
    sent = datagram("workflow_queued", CONTEXT | {"timestamp": timestamp}, warnings=warnings)
    assert objects(sent)["cloudifyTimeStamp"] == int(RECEIVED_AT)
    shown = repr(timestamp)[:60]
    assert warnings == [f"the timestamp {shown} cannot be read; the time of receipt is sent instead"]


TEXTS = st.text(st.characters(), max_size=20)  # lone surrogates too
LONG_TEXTS = st.builds(lambda text, times: text * times, TEXTS, st.integers(0, 400))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | LONG_TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
CONTEXTS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(CONTEXT, JSON) | {"arguments": st.fixed_dictionaries({"error": JSON})},
)


@given(
    event_type=st.sampled_from(list(mib.NOTIFICATIONS)),
    context=CONTEXTS,
    text=JSON,
    layout=st.sampled_from(mib.LAYOUTS),
)
def test_any_json_gives_a_datagram_that_others_can_read(
    objects_clauses: dict[str, list[str]],
    event_type: str,
    context: dict[str, Any],
    text: Any,
    layout: str,
) -> None:
    sent = datagram(event_type, context, text, warnings=[], layout=layout)
    values = objects(sent, layout)
    error = ["cloudifyErrorDetails"] if event_type == "workflow_failed" else []
    original = [
        *("cloudifyExecutionID", "cloudifyWorkflowName", "cloudifyTenantName", "cloudifyDeploymentID"),
        *("cloudifyTimeStamp", "cloudifyWorkflowParameters", *error),
    ]
    own = objects_clauses[mib.NOTIFICATIONS[event_type][0]]
    assert list(values) == {"conductor": original, "mib": own}[layout]
    for name, value in values.items():
        if isinstance(value, bytes):
            assert len(value) <= (255 if name in NAMES.values() else 512)
            value.decode()  # no half character
    json.loads(bytes(values["cloudifyWorkflowParameters"]))
    assert varbinds_of(sent)[1][1] == mib.NOTIFICATIONS[event_type][1]
    assert len(sent) < 3000


@pytest.mark.parametrize("others", [1, True, 1.0, "1"])
def test_parameters_that_python_takes_for_equal_are_sent_as_they_are(others: object) -> None:
    for value in (1, others, 1):
        assert mib._parameters({"a": value}).decode() == json.dumps({"a": value})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_has_no_word_for_is_sent_as_null(value: float) -> None:
    assert mib._parameters({"a": [value]}) == b'{"a": [null]}'


def test_parameters_that_utf8_cannot_hold_are_sent_as_json_escapes_them() -> None:
    assert mib._parameters({"a": "\ud800"}) == b'{"a": "\\ud800"}'
    assert b"615 bytes" in mib._parameters({"a": "x" * 600 + "\ud800"})
