"""The JSON Schema of hooks.conf, for editors: check --schema.

Owns how its parts are put together. Each part stands beside what reads it: the keys in hooks/, the
inputs with their built-in action. check.py prints it.
"""

from __future__ import annotations

from typing import Any

from listener.actions import Action
from listener.actions.registry import BUILT_IN, kind_of
from listener.hooks.cases import CASES
from listener.hooks.conf import HOOK_SCHEMA, SECTIONS
from listener.hooks.forward import KEYS as FORWARD_KEYS
from listener.hooks.schema import DEFINITIONS, mapping
from listener.hooks.when import WHEN_SCHEMA


def hooks_schema() -> dict[str, Any]:
    """The schema as JSON Schema 2020-12 has it."""
    hook = {**HOOK_SCHEMA, "allOf": [_with_inputs(name, kind_of(BUILT_IN[name])) for name in BUILT_IN]}
    forward = mapping(FORWARD_KEYS)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "hooks.conf of conductor-hooks",
        **mapping({**SECTIONS, "tests": CASES}),
        "$defs": {**DEFINITIONS, "when": WHEN_SCHEMA, "hook": hook, "forward": forward},
    }


def _with_inputs(implementation: str, action: type[Action]) -> dict[str, Any]:
    """What holds for a hook with this implementation."""
    is_it = {
        "properties": {"implementation": {"const": implementation}},
        "required": ["implementation"],
    }
    return {"if": is_it, "then": {"properties": {"inputs": mapping(action.inputs())}}}
