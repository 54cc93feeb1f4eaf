"""Which hooks a notification has: every enabled one that matches, in the file's order.

Patterns are those of fnmatch.fnmatchcase, the standard library's own answer being the judge.
"""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.hooks.conf import read
from listener.hooks.table import HookTable
from listener.model.notification import EVENT_TYPES


def table_of(*hooks: dict[str, Any]) -> HookTable:
    """A table read from a file with these hooks."""
    text = yaml.safe_dump({"hooks": [{"implementation": "a.b", **hook} for hook in hooks]})
    table, mistakes = read(text, env={}, folder=Path("/nowhere"))
    assert table is not None, mistakes
    return table


def names(table: HookTable, event_type: str, **hook_context: object) -> list[str]:
    return [hook.name for hook in table.match(event_type, hook_context)]


@pytest.mark.parametrize(
    ("event_type", "matching"),
    [
        ("workflow_failed", ["one", "list", "any", "again"]),
        ("workflow_queued", ["list", "any"]),
        ("workflow_started", ["any"]),
        ("workflow_fail", ["any"]),
        ("workflow_failed_again", ["any"]),
        ("WORKFLOW_FAILED", ["any"]),
        ("my_own_event", ["own", "any"]),
        ("*", ["any"]),
    ],
)
def test_every_hook_of_an_event_type_matches_in_the_file_s_order(
    event_type: str, matching: list[str]
) -> None:
    table = table_of(
        {"name": "own", "event_type": "my_own_event"},
        {"name": "one", "event_type": "workflow_failed"},
        {"name": "list", "event_type": ["workflow_queued", "workflow_failed"]},
        {"name": "off", "event_type": "*", "enabled": False},
        {"name": "any", "event_type": "*"},
        {"name": "again", "event_type": "workflow_failed", "enabled": True},
    )

    assert names(table, event_type) == matching
    assert names(table, event_type) == matching  # asking changes nothing


def test_a_pattern_in_event_type_is_taken_literally() -> None:
    assert names(table_of({"event_type": "workflow_*"}), "workflow_failed") == []


def test_an_empty_table_matches_nothing() -> None:
    assert HookTable().match("workflow_failed", {}) == []


@pytest.mark.parametrize(
    ("hook_context", "matching"),
    [
        ({"tenant_name": "acme", "deployment_id": "prod-1"}, ["both", "either", "none"]),
        ({"tenant_name": "acme", "deployment_id": "test-1"}, ["either", "none"]),
        ({"tenant_name": "other", "deployment_id": "prod-1"}, ["either", "none"]),
        ({"tenant_name": "third", "deployment_id": None}, ["null", "none"]),
        ({"tenant_name": "third"}, ["null", "none"]),
        ({}, ["null", "none"]),
    ],
)
def test_every_field_must_match_and_of_a_list_any_value(
    hook_context: dict[str, object], matching: list[str]
) -> None:
    table = table_of(
        {
            "name": "both",
            "event_type": "workflow_failed",
            "when": {"tenant_name": "acme", "deployment_id": "prod-*"},
        },
        {"name": "either", "event_type": "workflow_failed", "when": {"tenant_name": ["acme", "other"]}},
        {"name": "null", "event_type": "workflow_failed", "when": {"deployment_id": None}},
        {"name": "none", "event_type": "workflow_failed", "when": {}},
    )

    assert names(table, "workflow_failed", **hook_context) == matching


def test_conditions_are_asked_anew_for_each_notification() -> None:
    table = table_of({"name": "x", "event_type": "workflow_failed", "when": {"tenant_name": "acme"}})

    found = [names(table, "workflow_failed", tenant_name=name) for name in ("acme", "other", "acme")]

    assert found == [["x"], [], ["x"]]


pieces = st.text(st.sampled_from("ab.-*?[]!^\\\n") | st.characters(codec="utf-8"), max_size=8)


@settings(deadline=None, print_blob=True, derandomize=False, max_examples=300)
@given(
    st.sampled_from(EVENT_TYPES),
    st.lists(pieces, min_size=1, max_size=3),
    st.none() | pieces,
    st.data(),
)
def test_matching_agrees_with_the_standard_library(
    event_type: str, patterns: list[str], found: str | None, data: st.DataObject
) -> None:
    if found is None and data.draw(st.booleans()):  # make a match likely
        found = patterns[0].replace("*", data.draw(pieces)).replace("?", "x")
    table = table_of({"name": "x", "event_type": event_type, "when": {"deployment_id": patterns}})

    matching = names(table, event_type, deployment_id=found)

    expected = found is not None and any(fnmatch.fnmatchcase(found, pattern) for pattern in patterns)
    assert matching == (["x"] if expected else [])
