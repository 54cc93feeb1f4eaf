"""Deliveries: how another one of the same is recognised, and what is kept of a notification."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.actions.registry import Actions
from listener.hooks.table import HOOK_FAILED, ListenerSettings
from listener.hooks.watch import HooksFile
from listener.model import payload
from listener.model.delivery import Delivery, as_entry, hook_failed, read, unreadable, without
from listener.model.entry import Attempt, Entry, Run
from listener.state.journal import Filters, Journal
from listener.supervisord.losses import Serials
from tests.support import Settling

TOKEN = "ctok-AbCdEfGhIj-0123456789abcdefghijklmnopqrstuvwxyzABCD"
SERIALS = Serials("4711.99", 12, 3)
RUNS = (Run("h", "f.f"),)

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=12)
"""Lone surrogates, too, which JSON can bring."""

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)


def notification(**fields: Any) -> dict[str, Any]:
    context = {"execution_id": "x1", "tenant": {"name": "acme"}, **fields.pop("context", {})}
    return {"event_type": "workflow_failed", "context": context, **fields}


def text_of(**fields: Any) -> str:
    return json.dumps(notification(**fields))


def delivered(text: str, serials: Serials | None = None) -> Delivery:
    return read(text, source="supervisord", origin="serial 12", serials=serials)


def kept(text: str) -> Entry:
    """What the journal is given for a notification."""
    delivery = delivered(text, SERIALS)
    return as_entry(delivery, 1000.5, RUNS, delivery.key)


def texts_in(value: object) -> Iterator[str]:
    """Every text in a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts_in(item)


def escaped(text: str, every: int = 1) -> str:
    """The text with every so manieth character as a JSON escape."""
    return "".join(
        f"\\u{ord(character):04x}" if position % every == 0 else character
        for position, character in enumerate(text)
    )


# The key


def test_a_notification_with_an_id_of_its_own_is_known_by_it_and_its_text() -> None:
    text = text_of(id="b7c1")
    delivery = delivered(text)
    assert delivery.key is not None
    assert re.fullmatch(r"b7c1 [0-9a-f]{16}", delivery.key)
    assert delivered(text, SERIALS).key == delivery.key
    assert kept(text).serials == "4711.99/12/3"
    assert as_entry(delivery, 1000.5, RUNS, delivery.key).serials is None


def test_what_supervisord_has_numbered_is_known_by_its_number_and_its_text() -> None:
    delivery = delivered(text_of(), SERIALS)
    assert delivery.key is not None
    assert re.fullmatch(r"4711\.99/12 [0-9a-f]{16}", delivery.key)
    assert kept(text_of()).serials == "4711.99/12/3"


def test_an_event_is_the_same_in_every_pool_and_for_the_recorder() -> None:
    assert delivered(text_of(), SERIALS).key == delivered(text_of(), Serials("4711.99", 12, -1)).key


def test_another_serial_or_run_is_another_delivery() -> None:
    others = [SERIALS, Serials("4711.99", 13, 3), Serials("4711.98", 12, 3)]
    assert len({delivered(text_of(), serials).key for serials in others}) == 3


def test_what_is_piped_in_without_a_number_or_an_id_is_never_recognised() -> None:
    for own_id in (None, "", 4711, ["b7c1"]):
        assert delivered(text_of(id=own_id)).key is None
        assert delivered("no JSON").key is None
    assert delivered(text_of(id=4711), SERIALS).key == delivered(text_of(id=4711), SERIALS).key


def test_the_same_id_with_another_text_is_another_delivery() -> None:
    keys = {delivered(text_of(id="b7c1", text=text)).key for text in ("a", "b", "b")}
    assert len(keys) == 2


def test_blanks_that_pad_a_frame_do_not_count() -> None:
    assert delivered(text_of(id="b7c1")).key == delivered(text_of(id="b7c1") + "  \n ").key


def test_an_id_may_be_any_text() -> None:
    keys = [delivered(text_of(id=own_id)).key for own_id in ("ü €", "\ud83d", "\\ud83d")]
    assert [str(key).rpartition(" ")[0] for key in keys] == ["ü €", "\\ud83d", "\\ud83d"]
    assert len(set(keys)) == 3


def test_half_a_surrogate_pair_in_an_id_keeps_nothing_from_being_acted_on(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    with closing(journal), Actions(ListenerSettings()) as actions:
        dispatcher = Settling(HooksFile(tmp_path / "hooks.conf", {}), actions, journal)
        dispatcher.act(delivered(text_of(id="\ud83d")))
        assert [entry.state for entry in journal.newest(Filters(), 9)] == ["ignored"]


# What cannot be read


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the payload is empty"),
        ("[]", "no notification"),
        ('{"event_type": "x"}', "'context' must be an object"),
        ('"}}', "stdout_capture_maxbytes"),
    ],
)
def test_what_cannot_be_read_is_kept_as_it_came_and_says_why(text: str, problem: str) -> None:
    delivery = delivered(text, SERIALS)
    assert delivery.body == text
    assert problem in delivery.problem
    assert delivery.key is not None
    assert re.fullmatch(r"4711\.99/12 [0-9a-f]{16}", delivery.key)
    assert delivery == unreadable(text, delivery.problem, "supervisord", "serial 12", SERIALS)

    entry = as_entry(delivery, 1000.5, RUNS, delivery.key)
    assert (entry.state, entry.error, entry.body) == ("unreadable", delivery.problem, text)
    assert (entry.event_type, entry.execution_id, entry.rest_token) == (None, None, None)


def test_bytes_that_are_no_utf8_are_kept_written_out() -> None:
    text = b'{"event_type": "\xff"'.decode("utf-8", "surrogateescape")
    delivery = delivered(text)
    assert delivery.body == '{"event_type": "\\udcff"'
    assert (delivery.key, delivery.serials) == (None, None)


# What is kept of a notification


def test_an_entry_holds_what_is_asked_for_later() -> None:
    text = text_of(context={"rest_token": TOKEN}, id="b7c1")
    delivery = delivered(text, SERIALS)
    assert as_entry(delivery, 1000.5, RUNS, delivery.key) == Entry(
        id=0,
        received_at=1000.5,
        source="supervisord",
        state="pending",
        body=text.replace(TOKEN, ""),
        key=delivery.key,
        serials="4711.99/12/3",
        event_type="workflow_failed",
        execution_id="x1",
        rest_token=TOKEN,
        runs=RUNS,
    )


@pytest.mark.parametrize("execution_id", [None, 7, ["x1"], {}])
def test_an_execution_that_is_no_text_is_none(execution_id: object) -> None:
    assert kept(text_of(context={"execution_id": execution_id})).execution_id is None


@pytest.mark.parametrize("token", [None, "", 5, [], {}])
def test_a_token_that_is_none_is_left_where_it_is(token: object) -> None:
    text = text_of(context={"rest_token": token})
    assert kept(text).rest_token is None
    assert kept(text).body == text
    assert kept(text_of()).rest_token is None


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journal]:
    journal = Journal(str(tmp_path_factory.mktemp("state")))
    with closing(journal):
        yield journal


@settings(derandomize=True, deadline=None)
@given(value=st.dictionaries(ANY_TEXT, JSON_VALUES, max_size=3), ascii_only=st.booleans())
def test_whatever_json_brings_can_be_stored(
    value: dict[str, Any], ascii_only: bool, journal: Journal
) -> None:
    made = notification(context=value, message={"text": str(value), "arguments": value})
    entry = kept(json.dumps({**value, **made}, ensure_ascii=ascii_only))
    journal.accept(entry)
    stored = journal.find(str(entry.key))
    assert stored is not None
    assert stored.body == entry.body
    assert payload.decode(stored.body).event_type == "workflow_failed"


# The token


@pytest.mark.parametrize(
    "written",
    [
        TOKEN,
        escaped(TOKEN, every=len(TOKEN)),
        escaped(TOKEN, every=3),
        escaped(TOKEN),
        escaped(TOKEN).upper().replace("\\U", "\\u"),
    ],
    ids=["plain", "first character escaped", "some escaped", "all escaped", "upper-case digits"],
)
def test_the_token_is_left_out_however_it_is_written_and_its_key_stays(written: str) -> None:
    text = text_of(context={"rest_token": "TOKEN", "z": [1, 2.5, None, "ü"]}).replace("TOKEN", written)
    assert payload.decode(text).context["rest_token"] == TOKEN

    entry = kept(text)

    assert entry.rest_token == TOKEN
    assert json.loads(entry.body) == notification(context={"rest_token": "", "z": [1, 2.5, None, "ü"]})


def test_a_text_without_a_token_is_the_same_text() -> None:
    text = '{"event_type" :"x","context":{ } }  '
    assert without(text, None) == text
    assert kept(text).body == text


@pytest.mark.parametrize(
    ("in_context", "elsewhere"),
    [
        (TOKEN, TOKEN),
        (escaped(TOKEN), TOKEN),
        (TOKEN, escaped(TOKEN)),
        (escaped(TOKEN), escaped(TOKEN)),
    ],
    ids=["both plain", "the context's escaped", "the other escaped", "both escaped"],
)
def test_the_token_is_left_out_wherever_it_stands(in_context: str, elsewhere: str) -> None:
    text = text_of(
        context={"rest_token": "TOKEN", "inputs": {"headers": ["X-Token: OTHER"]}},
        message={"text": "with OTHER", "arguments": {"OTHER": 1}},
    )
    entry = kept(text.replace("TOKEN", in_context).replace("OTHER", elsewhere))
    assert entry.rest_token == TOKEN
    found = json.loads(entry.body)
    assert not [text for text in texts_in(found) if TOKEN in text]
    assert found["context"]["rest_token"] == ""


@pytest.mark.parametrize(
    ("token", "elsewhere"), [(TOKEN, f"see {TOKEN}."), (f"{TOKEN}/x", f"{TOKEN}\\/x")]
)
def test_the_token_is_left_out_where_it_stands_once_more_but_not_alone(
    token: str, elsewhere: str
) -> None:
    text = text_of(context={"rest_token": "HERE"}, message={"text": "ELSE"})
    entry = kept(text.replace("HERE", token).replace("ELSE", elsewhere))
    assert entry.rest_token == token
    assert TOKEN not in entry.body


@pytest.mark.parametrize(
    "token",
    [
        'quoted"\\/token',
        "slash/token/slash/token/slash/token",
        "tökèn-€",
        "half \ud83d of a pair",
        "token",
        "rest_token",
        "x",
        "e",
        "workflow_failed",
    ],
)
def test_whatever_the_token_is_the_rest_of_the_notification_is_kept(token: str) -> None:
    text = text_of(context={"rest_token": token}, timestamp="now")
    entry = kept(text)
    assert entry.rest_token == token.encode("utf-8", "backslashreplace").decode()
    assert json.loads(entry.body) == notification(context={"rest_token": ""}, timestamp="now")


@settings(derandomize=True, deadline=None)
@given(
    tail=st.text("ABCdef0189-_", min_size=20, max_size=60),
    others=st.dictionaries(ANY_TEXT, JSON_VALUES, max_size=4),
    every=st.integers(1, 80),
)
def test_all_but_the_token_is_read_back_from_what_was_kept(
    tail: str, others: dict[str, Any], every: int
) -> None:
    token = f"ctok-{tail}"
    text = text_of(context={**others, "rest_token": token}).replace(token, escaped(token, every))

    entry = kept(text)

    assert entry.rest_token == token
    assert token not in entry.body
    assert json.loads(entry.body) == notification(context={**others, "rest_token": ""})


@pytest.mark.parametrize("levels", [100, 500, 900, 2000])
def test_a_notification_that_is_nested_deep_is_accepted_or_unreadable(levels: int) -> None:
    text = text_of(context={"rest_token": TOKEN, "umlaut": "\u00e4", "nested": "NESTED"})
    delivery = delivered(text.replace('"NESTED"', "[" * levels + "]" * levels))
    assert TOKEN not in delivery.body
    assert delivery.problem or delivery.notification.event_type == "workflow_failed"


# What hooks on hook_failed get


def test_a_failed_hook_is_a_notification_with_the_context_of_its_own() -> None:
    failed = payload.decode(
        text_of(
            context={"rest_token": TOKEN, "workflow_id": "install", "error": "Conductor's"},
            timestamp="2024-08-12T13:16:13.123Z",
            message={"text": "text", "arguments": ["a", None]},
            id="b7c1",
        )
    )
    attempts = [Attempt(1.0, "timed out", "no end"), Attempt(2.0, "failed", "no route")]

    delivery = hook_failed(failed, "page", attempts, 17)

    assert (delivery.source, delivery.origin, delivery.problem) == (HOOK_FAILED, "entry 17", "")
    assert (delivery.key, delivery.serials) == ("hook_failed 17 page 2", None)
    entry = as_entry(delivery, 1.0, RUNS, delivery.key)
    assert (entry.event_type, entry.execution_id, entry.rest_token) == (HOOK_FAILED, "x1", TOKEN)
    assert json.loads(delivery.body) == {
        "event_type": "hook_failed",
        "context": {
            "execution_id": "x1",
            "tenant": {"name": "acme"},
            "rest_token": "",
            "workflow_id": "install",
            "hook": "page",
            "error": "no route",
            "attempts": 2,
        },
        "timestamp": "2024-08-12T13:16:13.123Z",
        "message": {"text": "text", "arguments": ["a", None]},
    }
    assert delivery.notification.context["rest_token"] == TOKEN


def test_an_attempt_that_left_no_text_is_told_by_its_state() -> None:
    delivery = hook_failed(payload.decode(text_of()), "page", [Attempt(1.0)], 17)
    assert delivery.notification.context["error"] == "interrupted"
    assert delivery.notification.context["attempts"] == 1


def test_odd_values_of_the_failed_notification_are_no_obstacle() -> None:
    failed = payload.decode('{"event_type": "x", "context": {"a": NaN, "b": "\\ud83d"}}')
    delivery = hook_failed(failed, "p\u00e4ge", [Attempt(1.0, "failed", "\\ud83d")], 17)
    assert delivery.problem == ""
    assert delivery.notification.context["b"] == "\ud83d"
    assert delivery.body.isascii()
