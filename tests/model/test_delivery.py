"""Deliveries: how another one of the same is recognised, and what is kept of a notification."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.model import payload
from listener.model.delivery import Delivery, as_entry, decode, hook_failed, unreadable
from listener.model.entry import Attempt, Entry, Run
from listener.model.notification import HOOK_FAILED
from listener.model.serials import Serials
from listener.state.journal import Journal
from tests.model.support import ANY_TEXT, JSON_VALUES, TOKEN

SERIALS = Serials("4711.99", 12, 3)
RUNS = (Run("h", "h.f"),)


def text_of(**fields: Any) -> str:
    context = {"execution_id": "x1", "tenant": {"name": "acme"}, **fields.pop("context", {})}
    return json.dumps({"event_type": "workflow_failed", "context": context, **fields})


def delivered(text: str, serials: Serials | None = None) -> Delivery:
    return decode(text, source="supervisord", origin="serial 12", serials=serials)


def kept(text: str) -> Entry:
    """What the journal is given for a notification."""
    delivery = delivered(text, SERIALS)
    return as_entry(delivery, 1000.5, RUNS, delivery.key)


# The key


@pytest.mark.parametrize(
    ("text", "serials", "number"),
    [
        (text_of(id="b7c1"), None, "b7c1"),
        (text_of(id="b7c1"), SERIALS, "b7c1"),
        (text_of(id="ü €"), None, "ü €"),
        (text_of(id="half \ud83d"), None, "half \\ud83d"),
        (text_of(), SERIALS, "4711.99/12"),
        (text_of(id=4711), SERIALS, "4711.99/12"),
        ("no JSON", SERIALS, "4711.99/12"),
        (text_of(), None, None),
        (text_of(id=""), None, None),
        (text_of(id=["b7c1"]), None, None),
        ("no JSON", None, None),
    ],
)
def test_the_key_is_a_number_and_a_digest_of_the_text(
    text: str, serials: Serials | None, number: str | None
) -> None:
    key = delivered(text, serials).key
    if number is None:
        assert key is None
    else:
        assert re.fullmatch(rf"{re.escape(number)} [0-9a-f]{{16}}", str(key))


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ((text_of(), SERIALS), (text_of(), Serials("4711.99", 12, -1)), True),
        ((text_of(), SERIALS), (text_of(), Serials("4711.99", 13, 3)), False),
        ((text_of(), SERIALS), (text_of(), Serials("4711.98", 12, 3)), False),
        ((text_of(), SERIALS), (text_of(id="b7c1"), SERIALS), False),
        ((text_of(text="a"), SERIALS), (text_of(text="b"), SERIALS), False),
        ((text_of(id="b7c1"), SERIALS), (text_of(id="b7c1") + "  \r\n ", None), True),
        ((text_of(id="b7c1"), None), (text_of(id="b7c2"), None), False),
        ((text_of(id="b7c1", text="a"), None), (text_of(id="b7c1", text="b"), None), False),
        ((text_of(id="\ud83d"), None), (text_of(id="\\ud83d"), None), False),
    ],
)
def test_what_counts_as_the_same(
    first: tuple[str, Serials | None], second: tuple[str, Serials | None], is_same: bool
) -> None:
    assert (delivered(*first).key == delivered(*second).key) is is_same


def test_a_key_that_is_given_replaces_the_computed_one() -> None:
    assert msgspec.structs.replace(delivered(text_of(), SERIALS), given_key="k").key == "k"


# What is kept


def test_an_entry_holds_what_is_asked_for_later() -> None:
    text = text_of(context={"rest_token": TOKEN}, id="b7c1")
    assert kept(text) == Entry(
        id=0,
        received_at=1000.5,
        source="supervisord",
        state="pending",
        body=text.replace(TOKEN, ""),
        key=delivered(text).key,
        serials="4711.99/12/3",
        event_type="workflow_failed",
        execution_id="x1",
        rest_token=TOKEN,
        runs=RUNS,
    )
    assert as_entry(delivered(text), 1.0, (), "k").serials is None


def test_a_byte_order_mark_before_a_notification_changes_nothing() -> None:
    text = text_of(context={"rest_token": TOKEN}, message={"text": TOKEN})
    assert kept(f"\ufeff{text}") == kept(text)


@pytest.mark.parametrize("execution_id", [None, 7, ["x1"], {}])
def test_an_execution_that_is_no_text_is_none(execution_id: object) -> None:
    assert kept(text_of(context={"execution_id": execution_id})).execution_id is None


@pytest.mark.parametrize("token", [None, "", 5, [], {}])
def test_a_token_that_is_no_text_is_left_where_it_is(token: object) -> None:
    text = text_of(context={"rest_token": token})
    assert (kept(text).rest_token, kept(text).body) == (None, text)


def test_half_a_surrogate_pair_in_a_token_is_left_out_too() -> None:
    entry = kept(text_of(context={"rest_token": "half \ud83d of a pair"}))
    assert entry.rest_token == "half \\ud83d of a pair"
    assert json.loads(entry.body)["context"]["rest_token"] == ""


@settings(derandomize=True)
@given(value=st.dictionaries(ANY_TEXT, JSON_VALUES, max_size=3), ascii_only=st.booleans())
def test_whatever_json_brings_can_be_stored(value: dict[str, Any], ascii_only: bool) -> None:
    made = json.loads(text_of(context=value, message={"text": str(value), "arguments": value}))
    entry = kept(json.dumps({**value, **made}, ensure_ascii=ascii_only))
    journal = Journal(None)
    journal.accept(entry)
    stored = journal.find(str(entry.key))
    journal.close()
    assert stored is not None
    assert stored.body == entry.body
    assert payload.decode(stored.body).event_type == "workflow_failed"


@pytest.mark.parametrize(
    ("text", "body", "problem"),
    [
        ("", "", "the payload is empty"),
        ("[]", "[]", "no notification"),
        ('"}}', '"}}', "stdout_capture_maxbytes"),
        (f'{{"rest_token": "{TOKEN}', '{"rest_token": "…"', "not JSON"),
        (b'{"a": "\xff"'.decode("utf-8", "surrogateescape"), '{"a": "\\udcff"', "not UTF-8"),
    ],
)
def test_what_cannot_be_read_is_kept_without_its_token_and_says_why(
    text: str, body: str, problem: str
) -> None:
    delivery = delivered(text, SERIALS)
    assert delivery == unreadable(text, delivery.problem, "supervisord", "serial 12", SERIALS)

    entry = as_entry(delivery, 1000.5, (), delivery.key)
    assert (entry.state, entry.error, entry.body) == ("unreadable", delivery.problem, body)
    assert problem in entry.error
    assert (entry.event_type, entry.execution_id, entry.rest_token) == (None, None, None)


# What hooks on hook_failed get


def test_a_failed_hook_is_a_notification_with_the_context_of_its_own() -> None:
    context = {"rest_token": TOKEN, "error": "Conductor's", "b": "\ud83d"}
    message = {"text": "text", "arguments": ["a", None]}
    failed = payload.decode(text_of(context=context, timestamp="now", message=message, id="b7c1"))
    attempts = [Attempt(1.0, "timed out", "no end"), Attempt(2.0, "failed", "no route")]

    delivery = hook_failed(failed, "päge", attempts, 17)

    assert (delivery.source, delivery.origin, delivery.problem) == (HOOK_FAILED, "entry 17", "")
    assert (delivery.key, delivery.serials) == (None, None)
    said = {"hook": "päge", "error": "no route", "attempts": 2}
    assert delivery.notification == failed._replace(
        event_type=HOOK_FAILED, context={**failed.context, **said}, id=None
    )
    assert TOKEN not in delivery.body


def test_an_attempt_that_left_no_text_is_told_by_its_state() -> None:
    delivery = hook_failed(payload.decode(text_of()), "page", [Attempt(1.0)], 17)
    assert delivery.notification.context["error"] == "interrupted"
