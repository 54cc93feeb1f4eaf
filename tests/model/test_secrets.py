"""Redaction: what is left out of what is stored, logged and shown, and that all else stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.model.secrets import (
    forms,
    mask,
    mask_tokens,
    mask_unreadable,
    mask_values,
    secrets_in,
    without_token,
)
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
        (
            '{"db_password": "hunter2", "n": 5, "pin_token" : 12}',
            '{"db_password": "…", "n": 5, "pin_token" : "…"}',
        ),
        ('{"a": 1, "rest_token": "ctok-x', '{"a": 1, "rest_token": "…"'),
        ('{"a": 1, "rest_token": "cut \\"', '{"a": 1, "rest_token": "…"'),
        ('rest of it", "a": "b"}', '…", "a": "b"}'),
        ('hello "world"', 'hello "world"'),
        ('{"a": "b"}', '{"a": "b"}'),
    ],
)
def test_of_an_unreadable_text_what_may_be_secret_is_masked_and_an_execution_s_id_is_not(
    text: str, masked: str
) -> None:
    assert mask_unreadable(text) == masked


@given(cut=st.integers(0, 400), at_its_end=st.booleans())
def test_a_payload_cut_anywhere_shows_no_secret(cut: int, at_its_end: bool) -> None:
    text = json.dumps({
        "event_type": "workflow_failed",
        "context": {"rest_token": TOKEN, "execution_parameters": {"db_password": "PaSsW0rd", "n": 1}},
    })  # fmt: skip
    shown = mask_unreadable(text[:cut] if at_its_end else text[cut:])
    assert not {part for part in (TOKEN[-8:], TOKEN[8:16], "PaSsW0rd", "sW0rd") if part in shown}


def test_a_megabyte_of_json_inside_json_without_its_head_is_masked_at_once() -> None:
    rest = '\\"name\\":\\"value\\",' * 55_000  # a search from each quote to the end would take a day
    shown = mask_unreadable(f'{rest}", "db_password": "PaSsW0rd"}}')
    assert shown.endswith('\\",", "db_password": "…"}')


def test_a_secret_is_masked_however_it_is_written() -> None:
    secrets = forms(["p/w ü", "-----KEY-----\nAAAABBBBCCCCDDDD\n", "abc", "tok.en-1"])
    text = f"p/w ü p%2Fw%20%C3%BC {json.dumps('p/w ü')} AAAABBBBCCCCDDDD abc tok.en-1"
    assert mask(text, secrets) == '… … "…" … abc …'


def test_a_secret_with_a_byte_that_is_not_utf_8_is_masked_too() -> None:
    secret = b"geheim\xef".decode("utf-8", "surrogateescape")  # as the environment hands it on
    secrets = secrets_in({}, [("COMMUNITY", secret)])
    assert mask(f"{secret} {json.dumps(secret)} {secret!r}", secrets) == "… \"…\" '…'"


def test_the_secrets_of_a_hook_are_what_files_bring_and_telling_keys_have() -> None:
    inputs = {"password": "hunter2-hunter2", "community_string": "public", "team": "core-team-a",
              "destinations": [{"auth_key": "authauth-1"}]}  # fmt: skip
    taken = [
        ("", "from-a-file"),
        ("url", "https://x/S3CRET"),
        ("destination_address", "nms.example.com"),
    ]
    text = " ".join(["hunter2-hunter2", "public", "core-team-a", "authauth-1", *(t for _, t in taken)])
    assert mask(text, secrets_in(inputs, taken)) == "… public core-team-a … … … nms.example.com"


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "PWD",
        "rest_token",
        "api-key",
        "auth_key",
        "ApiKey",
        "private_key",
        "key",
        "community_string",
    ],
)
def test_the_value_of_a_key_that_names_a_secret_is_masked_at_any_depth(key: str) -> None:
    assert mask_values([{"a": {key: "x", "auth_protocol": "MD5"}}, {key: ["x"], "b": None}]) == [
        {"a": {key: "…", "auth_protocol": "MD5"}},
        {key: "…", "b": None},
    ]
    assert mask_values({key: ""}) == {key: ""}


def test_what_nests_too_deep_is_not_shown() -> None:
    value: object = ["shown"]
    for _ in range(200):
        value = [value]
    masked = str(mask_values(value))
    assert "…" in masked
    assert "shown" not in masked


def test_secrets_are_masked_wherever_they_stand_in_a_value() -> None:
    assert mask_values({"S3CRET": ["a S3CRET", 1]}, ["S3CRET"]) == {"…": ["a …", 1]}


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


@settings(derandomize=True)
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
