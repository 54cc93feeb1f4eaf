"""The section `tests:` of hooks.conf: events, and which hooks are to run for each.

Owns its keys and the mistakes in them. It runs no test: cli/trial.py does, for the verb `check`. The
listener does not read the section.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

from listener.hooks.readers import Source
from listener.hooks.schema import Form, mapping, of
from listener.hooks.values import INVALID, TEXT, Kind, Schema, unix_time
from listener.hooks.yaml_lines import Taken
from listener.hooks.yaml_nodes import in_words_of, items_of, line_of


class Named(NamedTuple):
    """The name of a hook, and the line where it stands."""

    name: str
    line: int


class Case(NamedTuple):
    """A test: the event that is made up, and the hooks that run for it.

    `fields` are those that the event has otherwise than a made-up one. `at` is the Unix time of its
    receipt, None is now. `runs` are all hooks that run, None does not say it. `taken` is as a Hook's.
    """

    line: int
    event_type: str
    fields: Mapping[str, Any]
    at: float | None = None
    runs: tuple[Named, ...] | None = None
    runs_not: tuple[Named, ...] = ()
    taken: tuple[Taken, ...] = ()


def _cases(source: Source, node: yaml.Node, _: str) -> tuple[Case, ...]:
    """The tests in the section; a mistake in it concerns no hook."""
    known = len(source.mistakes)
    cases = []
    if isinstance(node, yaml.SequenceNode):
        cases = [_case(source, item, number) for number, item in enumerate(node.value, 1)]
    else:
        source.refuse(node, f"'tests' must be a list of tests, found {in_words_of(node)}")
    source.end_part(known)
    return tuple(filter(None, cases))


def _case(source: Source, node: yaml.Node, number: int) -> Case | None:
    """The test at `node`; None if it cannot be run."""
    known, taken = len(source.mistakes), len(source.taken)
    label = f"test {number}"
    keys = source.mapping(node, label, _KEYS, required=("event",))
    if isinstance(node, yaml.MappingNode) and not keys.keys() & {"runs", "runs_not"}:
        source.refuse(node, f"{label} names no hook; add 'runs' or 'runs_not'")
    if any(not mistake.is_warning for mistake in source.mistakes[known:]):
        return None
    fields = dict(keys.pop("event"))
    return Case(
        line_of(node), fields.pop("event_type"), fields, **keys, taken=tuple(source.taken[taken:])
    )


def _event(source: Source, node: yaml.Node, label: str) -> Any:
    """Its type and its fields."""
    found = source.value(node)
    event = found if isinstance(found, dict) else {"event_type": found}
    if found is not INVALID and TEXT.read(event.get("event_type")) is INVALID:
        wanted = "an event type, or a mapping with 'event_type' and fields of the context"
        source.refuse(node, f"{label} must be {wanted}, found {in_words_of(node)}")
        return INVALID
    return found if found is INVALID else event


def _names(source: Source, node: yaml.Node, label: str) -> tuple[Named, ...]:
    """Names of hooks; an empty list is one, too."""
    read = [(source.read(item, TEXT, label), line_of(item)) for item in items_of(node)]
    return tuple(Named(*each) for each in read if each[0] is not INVALID)


def _moment(value: Any) -> Any:
    try:
        return unix_time(value) if isinstance(value, str) else INVALID
    except ValueError:
        return INVALID


_EVENT: Schema = {
    "anyOf": [
        {"type": "string"},
        {"type": "object", "required": ["event_type"], "properties": {"event_type": of(TEXT)}},
    ]
}
_KEYS: Mapping[str, Kind | Form] = {
    "event": Form(_event, _EVENT),
    "at": Kind(_moment, "a time, as in 2026-01-31T23:59 (UTC) or 2026-01-31T23:59+01:00"),
    "runs": Form(_names, {"type": ["string", "array"], "items": of(TEXT)}),
    "runs_not": Form(_names, {"type": ["string", "array"], "items": of(TEXT)}),
}

CASES = Form(_cases, {"type": "array", "items": mapping(_KEYS, ("event",))})
