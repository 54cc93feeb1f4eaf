"""Which hooks a notification has: every enabled one that matches, in the file's order."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from listener.hooks.conf import read
from listener.hooks.table import Hook, HookTable


def table_of(*hooks: dict[str, Any]) -> HookTable:
    """A table read from a file with these hooks."""
    text = yaml.safe_dump({"hooks": [{"implementation": "a.b", **hook} for hook in hooks]})
    table, mistakes = read(text, env={}, folder="/nowhere")
    assert table is not None, mistakes
    return table


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

    assert [hook.name for hook in table.match(event_type, {}, 0.0)] == matching


@pytest.mark.parametrize(
    ("place", "line"),
    [(None, 2), ("x", 2), ("a", 4), ("a.0", 5), ("a.0.b", 6), ("a.0.c", 5), ("a.1.b", 4)],
)
def test_the_line_of_an_input_is_its_own_or_that_of_what_it_stands_in(
    place: str | None, line: int
) -> None:
    hook = Hook("x", (), "a.b", {}, 2, {"a": 4, "a.0": 5, "a.0.b": 6})

    assert hook.line_of(place) == line
