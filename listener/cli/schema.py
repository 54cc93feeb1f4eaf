"""The JSON Schema of hooks.conf, for editors: check --schema.

Owns how its parts are put together. Each part stands beside what reads it: the keys in hooks/, the
inputs with their built-in action; keys.py says what they mean. check.py prints it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from listener.actions import Action
from listener.actions.registry import BUILT_IN, TRAP, kind_of
from listener.cli.keys import KEYS
from listener.hooks.cases import CASES
from listener.hooks.conf import HOOK_SCHEMA, SECTIONS
from listener.hooks.forward import KEYS as FORWARD_KEYS
from listener.hooks.schema import DEFINITIONS, mapping
from listener.hooks.when import WHEN_SCHEMA


def hooks_schema() -> dict[str, Any]:
    """The schema as JSON Schema 2020-12 has it."""
    schema = mapping({**SECTIONS, "tests": CASES})
    sections = schema["properties"]
    tests = sections["tests"]
    hook = _with_meanings(HOOK_SCHEMA, "hooks")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "hooks.conf of conductor-hooks",
        **schema,
        "properties": {
            **sections,
            "listener": _with_meanings(sections["listener"], "listener"),
            "tests": {**tests, "items": _with_meanings(tests["items"], "tests")},
        },
        "$defs": {
            **DEFINITIONS,
            "when": _with_meanings(WHEN_SCHEMA, "when"),
            "hook": {
                **hook,
                "allOf": [_with_inputs(name, kind_of(BUILT_IN[name])) for name in BUILT_IN],
            },
            "forward": _with_meanings(mapping(FORWARD_KEYS), "forward"),
        },
    }


def _with_inputs(implementation: str, action: type[Action]) -> dict[str, Any]:
    """What holds for a hook with this implementation."""
    is_it = {
        "properties": {"implementation": {"const": implementation}},
        "required": ["implementation"],
    }
    section = "trap" if implementation == TRAP else implementation
    inputs = _with_meanings(mapping(action.inputs()), section)
    return {"if": is_it, "then": {"properties": {"inputs": inputs}}}


def _with_meanings(schema: Mapping[str, Any], section: str) -> dict[str, Any]:
    """The schema of a mapping; an editor shows what each of its keys means."""
    meanings = KEYS[section]
    keys = schema["properties"].items()
    return {
        **schema,
        "properties": {key: {**each, "description": meanings[key].in_words} for key, each in keys},
    }
