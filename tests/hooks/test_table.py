"""Which hooks a notification has: every enabled one that matches, in the file's order.

Patterns are those of fnmatch.fnmatchcase, the standard library's own answer being the judge.
"""

from __future__ import annotations

import fnmatch
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.hooks.conf import read
from listener.hooks.table import Hook, HookTable
from listener.model.notification import EVENT_TYPES


def table_of(*hooks: dict[str, Any]) -> HookTable:
    """A table read from a file with these hooks."""
    text = yaml.safe_dump({"hooks": [{"implementation": "a.b", **hook} for hook in hooks]})
    table, mistakes = read(text, env={}, folder="/nowhere")
    assert table is not None, mistakes
    return table


def names(table: HookTable, event_type: str, **hook_context: object) -> list[str]:
    return [hook.name for hook in table.match(event_type, hook_context, 0.0)]


@pytest.mark.parametrize(
    ("event_type", "matching"),
    [
        ("workflow_failed", ["one", "list", "any", "again"]),
        ("workflow_queued", ["list", "any"]),
        ("workflow_fail", ["any"]),
        ("workflow_failed_again", ["any"]),
        ("WORKFLOW_FAILED", ["any"]),
        ("my_own_event", ["own", "any"]),
        ("*", ["any"]),
        ("hook_failed", []),
        ("hook_suppressed", []),
        ("workflow_overdue", []),
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
        {"name": "pattern", "event_type": "workflow_*"},
        {"name": "any", "event_type": "*"},
        {"name": "again", "event_type": "workflow_failed", "enabled": True},
    )

    assert names(table, event_type) == matching


@pytest.mark.parametrize(
    ("hook_context", "matching"),
    [
        ({"tenant_name": "acme", "deployment_id": "prod-1"}, ["both", "either", "none"]),
        ({"tenant_name": "acme", "deployment_id": "test-1"}, ["either", "none"]),
        ({"tenant_name": "other", "deployment_id": "prod-1"}, ["either", "none"]),
        ({"tenant_name": "third", "deployment_id": None}, ["null", "none"]),
        ({}, ["null", "none"]),
    ],
)
def test_every_field_must_match_and_of_a_list_any_value(
    hook_context: dict[str, object], matching: list[str]
) -> None:
    conditions = {
        "both": {"tenant_name": "acme", "deployment_id": "prod-*"},
        "either": {"tenant_name": ["acme", "other"]},
        "null": {"deployment_id": None},
        "none": {},
    }
    table = table_of(
        *({"name": name, "event_type": "*", "when": when} for name, when in conditions.items())
    )

    assert names(table, "workflow_failed", **hook_context) == matching


@pytest.mark.parametrize(
    ("place", "line"),
    [(None, 2), ("x", 2), ("a", 4), ("a.0", 5), ("a.0.b", 6), ("a.0.c", 5), ("a.1.b", 4)],
)
def test_the_line_of_an_input_is_its_own_or_that_of_what_it_stands_in(
    place: str | None, line: int
) -> None:
    hook = Hook("x", (), "a.b", {}, 2, {"a": 4, "a.0": 5, "a.0.b": 6})

    assert hook.line_of(place) == line


pieces = st.text(st.sampled_from("ab.-*?[]!^\\\n") | st.characters(codec="utf-8"), max_size=8)


@settings(print_blob=True, derandomize=False, max_examples=300)
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
