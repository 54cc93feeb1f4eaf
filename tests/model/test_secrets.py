"""Redaction: what is left out of what is stored, logged and shown, and that all else stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.model.secrets import mask_token_like, mask_tokens, mask_values, without_token
from tests.model.support import ANY_TEXT, JSON_VALUES, TOKEN

NOTIFICATION = {
    "event_type": "workflow_failed",
    "context": {"rest_token": "TOKEN", "z": [1, None, "ü"]},
}


def escaped(text: str, every: int = 1) -> str:
    """The text with every so manieth character as a JSON escape."""
    return "".join(
        f"\\u{ord(character):04x}" if position % every == 0 else character
        for position, character in enumerate(text)
    )


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("nothing to hide", "nothing to hide"),
        (f"401 for {TOKEN}, and {TOKEN}.", "401 for ctok-…, and ctok-…."),
        ("ctok-", "ctok-"),
    ],
)
def test_a_token_in_a_text_is_masked(text: str, masked: str) -> None:
    assert mask_tokens(text) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (TOKEN[5:], "…"),
        (f"cut {TOKEN[-24:]}", "cut …"),
        (f"short {TOKEN[-23:]}", f"short {TOKEN[-23:]}"),
        ('"1a2b3c4d-0000-4000-8000-000000000003"', '"1a2b3c4d-0000-4000-8000-000000000003"'),
        ("1a2b3c4d-0000-4000-8000-000000000003-and-more", "…"),
    ],
)
def test_a_part_of_a_token_is_masked_and_an_execution_s_id_is_not(text: str, masked: str) -> None:
    assert mask_token_like(text) == masked


@pytest.mark.parametrize(
    "key",
    ["password", "PWD", "rest_token", "api-key", "ApiKey", "private_key", "key", "community_string"],
)
def test_the_value_of_a_key_that_names_a_secret_is_masked_at_any_depth(key: str) -> None:
    assert mask_values([{"a": {key: "x", "keyboard": 1}}, {key: ["x"], "b": None}]) == [
        {"a": {key: "…", "keyboard": 1}},
        {key: "…", "b": None},
    ]
    assert mask_values({key: ""}) == {key: ""}


def test_a_text_without_a_token_is_the_same_text() -> None:
    text = '{"event_type" :"x","context":{ } }  '
    assert without_token(text, None) == text


@pytest.mark.parametrize(
    "written",
    [
        TOKEN,
        escaped(TOKEN, every=len(TOKEN)),
        escaped(TOKEN, every=3),
        escaped(TOKEN).upper().replace("\\U", "\\u"),
    ],
    ids=["plain", "first character escaped", "some escaped", "upper-case digits"],
)
def test_the_token_is_left_out_however_it_is_written_and_its_key_stays(written: str) -> None:
    text = json.dumps(NOTIFICATION).replace("TOKEN", written)
    expected = {"event_type": "workflow_failed", "context": {"rest_token": "", "z": [1, None, "ü"]}}
    assert json.loads(without_token(text, TOKEN)) == expected


@pytest.mark.parametrize("elsewhere", [TOKEN, escaped(TOKEN), f"see {TOKEN}."])
@pytest.mark.parametrize("in_context", [TOKEN, escaped(TOKEN)])
def test_the_token_is_left_out_wherever_it_stands(in_context: str, elsewhere: str) -> None:
    text = '{"context": {"rest_token": "HERE", "headers": ["X: ELSE"]}, "message": {"ELSE": "a ELSE"}}'
    body = without_token(text.replace("HERE", in_context).replace("ELSE", elsewhere), TOKEN)
    assert TOKEN not in str(json.loads(body))
    assert json.loads(body)["context"]["rest_token"] == ""


@pytest.mark.parametrize(
    "token",
    ['quoted"\\/token', "slash/token/slash/token/slash/token", "tökèn-€", "token", "x", "e", "{"],
)
def test_whatever_the_token_is_the_rest_of_the_notification_stays(token: str) -> None:
    notification = {"event_type": "workflow_failed", "context": {"rest_token": token, "x": True}}
    body = without_token(json.dumps(notification), token)
    assert json.loads(body) == {
        "event_type": "workflow_failed",
        "context": {"rest_token": "", "x": True},
    }


def test_no_depth_of_nesting_keeps_the_token() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    text = f'{{"context": {{"rest_token": "{TOKEN}", "again": "{TOKEN}", "deep": {deep}}}}}'
    assert without_token(text, TOKEN) == text.replace(TOKEN, "")


@settings(derandomize=True, deadline=None)
@given(
    tail=st.text("ABCdef0189-_", min_size=20, max_size=60),
    others=st.dictionaries(ANY_TEXT, JSON_VALUES, max_size=4),
    every=st.integers(1, 80),
)
def test_all_but_the_token_is_read_back(tail: str, others: dict[str, Any], every: int) -> None:
    token = f"ctok-{tail}"
    text = json.dumps({"context": {**others, "rest_token": token}})
    body = without_token(text.replace(token, escaped(token, every)), token)
    assert token not in body
    assert json.loads(body) == {"context": {**others, "rest_token": ""}}
