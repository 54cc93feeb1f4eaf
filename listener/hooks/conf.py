"""The text of hooks.conf becomes a HookTable.

Owns the keys of a hook: their names, their kinds and the messages about wrong ones. All mistakes are
found at once, each with its line; nothing here imports or runs what the file names.
"""

import os
import re
from binascii import crc32
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from listener.hooks import settings
from listener.hooks.readers import COMMENT, Reader, Source
from listener.hooks.schema import FORWARD, WHEN, Form, mapping, of, several
from listener.hooks.settings import read_settings
from listener.hooks.table import ANY_EVENT, AtMost, Conditions, Hook, HookTable
from listener.hooks.values import BOOLEAN, DURATION, INVALID, TEXT, Kind, nearest, number, whole_number
from listener.hooks.yaml_lines import Mistake
from listener.hooks.yaml_nodes import in_words_of, is_nothing, is_text, is_whole_number, line_of
from listener.model.notification import (
    CONTEXT_FIELDS,
    EVENT_TYPES,
    OWN_EVENT_TYPES,
    WORKFLOW_OVERDUE,
)

if TYPE_CHECKING:
    from listener.hooks.forward import ForwardSettings


def read(
    text: str, *, env: Mapping[str, str], folder: str | os.PathLike[str], tests: Reader = COMMENT
) -> tuple[HookTable | None, list[Mistake]]:
    """The table in the text of a hooks.conf, and all that is wrong or doubtful in it, by line.

    The table is None when there is a mistake that is more than a warning, and not of one hook or of
    `forward` alone. `tests` reads the section of that name, which is ignored by default.
    """
    source = Source(env, folder)
    table = _read_table(source, text, {**SECTIONS, "tests": tests})
    mistakes = sorted(set(source.mistakes))
    is_usable = all(mistake.is_warning or mistake.is_of_part for mistake in mistakes)
    return (table if is_usable else None), mistakes


def _read_table(source: Source, text: str, readers: Mapping[str, Reader]) -> HookTable:
    def read_sections(source: Source, node: yaml.Node, label: str) -> dict[str, Any]:
        return source.mapping(node, label, readers, is_open=True)

    root = source.parse(text)
    if root is None or is_nothing(root):
        return HookTable(is_blank=True)
    sections = source.read(root, read_sections, "the file")
    return HookTable(**({} if sections is INVALID else sections), files=tuple(source.files))


def _hooks(source: Source, node: yaml.Node, _: str) -> tuple[Hook, ...]:
    if not isinstance(node, yaml.SequenceNode):
        source.refuse(
            node,
            f"'hooks' must be a list of hooks, each beginning with '-', found {in_words_of(node)}",
        )
        return ()
    hooks: dict[str, Hook] = {}
    for position, item in enumerate(node.value, 1):
        hook = _hook(source, item, position)
        while hook.name in hooks:
            name = f"{hook.name}-{position}"
            source.warn(
                item,
                f"hook {position} has the name {hook.name!r} of the hook in line"
                f" {hooks[hook.name].line}, and is called {name!r}",
            )
            hook = hook._replace(name=name)
        hooks[hook.name] = hook
    return tuple(hooks.values())


def _hook(source: Source, node: yaml.Node, position: int) -> Hook:
    """The hook at `node`; with mistakes, it has them as its problem, and what else could be read."""
    known, taken, templates = len(source.mistakes), len(source.taken), len(source.templates)
    keys = source.read(node, _keys, _label(node, position))
    problem = "; ".join(source.end_part(known))
    hook = _hook_with({} if keys is INVALID else keys, position, line_of(node))
    hook = hook._replace(
        taken=tuple(source.taken[taken:]), templates=tuple(source.templates[templates:])
    )
    hook = hook._replace(problem=problem, fingerprint=0) if problem else hook
    source.mistakes += _doubts(hook)
    return hook


def _doubts(hook: Hook) -> Iterator[Mistake]:
    """What is doubtful in a hook's templates and conditions for its event types."""
    for template in hook.templates:
        for line, reason in template.doubts(hook.event_types):
            yield Mistake(line, f"hook {hook.name!r}: !template: {reason}", is_warning=True)
    if hook.when and not hook.problem:
        from listener.hooks.when import never_holding  # as in _when

        for field in never_holding(hook):
            doubt = f"{field!r} can never hold for an event of {', '.join(hook.event_types)}"
            yield Mistake(hook.line, f"hook {hook.name!r}: 'when': {doubt}", is_warning=True)


def _when(source: Source, node: yaml.Node, label: str) -> Conditions:
    """No condition at all if one is wrong: the hook then matches all of its events, and fails."""
    from listener.hooks.when import read_when  # READY need not wait for it in a file that has none

    known = len(source.mistakes)
    conditions = read_when(source, node, label)
    is_wrong = any(not mistake.is_warning for mistake in source.mistakes[known:])
    return () if is_wrong else conditions


def _forward(source: Source, node: yaml.Node, label: str) -> "ForwardSettings":
    from listener.hooks.forward import read_forward  # likewise

    return read_forward(source, node, label)


def _keys(source: Source, node: yaml.Node, label: str) -> dict[str, Any]:
    keys = source.mapping(node, label, _HOOK_KEYS, required=_REQUIRED, is_open=True)
    if isinstance(node, yaml.MappingNode) and "event_type" in keys:
        _check_after(source, node, label, is_wanted=WORKFLOW_OVERDUE in keys["event_type"])
    return keys


def _check_after(source: Source, node: yaml.MappingNode, label: str, *, is_wanted: bool) -> None:
    given = [key for key, _ in source.pairs(node) if key.value == "after"]
    if is_wanted and not given:
        source.refuse(node, f"{label} has no 'after', which {WORKFLOW_OVERDUE} needs; add after: 2h")
    if given and not is_wanted:
        source.refuse(given[0], f"{label}: 'after' belongs to {WORKFLOW_OVERDUE} alone; remove it")


def _hook_with(keys: dict[str, Any], position: int, line: int) -> Hook:
    event_types = keys.pop("event_type", ())
    inputs = keys.pop("inputs", _NO_INPUTS)
    keys.pop("description", None)
    for name in keys.keys() & {"timeout", "after"}:
        keys[f"{name}_s"] = keys.pop(name)
    first = "any" if ANY_EVENT in event_types else next(iter(event_types), "hook")
    return Hook(
        **{"name": f"{first}-{position}", "implementation": "", **keys},
        event_types=event_types,
        inputs=inputs.values,
        line=line,
        input_lines=inputs.lines,
        fingerprint=0 if "name" in keys else inputs.fingerprint,
    )


def _label(node: yaml.Node, position: int) -> str:
    """What mistakes call a hook: its name if it has one, else its position."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    name = {key.value: value.value for key, value in pairs if is_text(key)}.get("name")
    return f"hook {name!r}" if name and isinstance(name, str) else f"hook {position}"


def _event_type(source: Source, node: yaml.Node, label: str) -> Any:
    name = source.read(node, TEXT, label)
    if name is not INVALID and name not in _KNOWN:
        hint = nearest(name, _KNOWN)
        source.warn(node, f"{label}: Conductor publishes no event type {name!r}; {hint}")
    return name


def _dotted(value: Any) -> Any:
    return value if TEXT.read(value) is value and all(value.split(".")) else INVALID


class _Inputs(NamedTuple):
    values: Mapping[str, Any]
    lines: Mapping[str, int]
    fingerprint: int


_NO_INPUTS = _Inputs({}, {}, 1)


def _inputs(source: Source, node: yaml.Node, label: str) -> Any:
    if not isinstance(node, yaml.MappingNode):
        found = source.value(node)
        if not found:
            return _NO_INPUTS
        if found is not INVALID:
            source.refuse(node, f"{label} must be a mapping, found {in_words_of(node)}")
        return INVALID
    fingerprint = crc32(source.text_of(node).encode("utf-8", "backslashreplace"))
    for key, _ in source.pairs(node):
        if not (is_text(key) or is_whole_number(key)):
            source.refuse(key, f"{label}: a name must be a text, found {in_words_of(key)}")
    values = {str(name): value for name, value in source.value(node).items()}
    return _Inputs(values, _lines(source, node), fingerprint)


def _lines(source: Source, inputs: yaml.MappingNode) -> dict[str, int]:
    """The line of each input; of `name`, `name.0` and `name.0.key` where one is a list of mappings."""
    lines = {}
    for key, value in source.pairs(inputs):
        lines[key.value] = line_of(key)
        for position, item in enumerate(value.value if isinstance(value, yaml.SequenceNode) else ()):
            place = f"{key.value}.{position}"
            lines[place] = line_of(item)
            for inner, _ in source.pairs(item) if isinstance(item, yaml.MappingNode) else ():
                lines[f"{place}.{inner.value}"] = line_of(inner)
    return lines


def _name(value: Any) -> Any:
    return TEXT.read(str(value) if type(value) is int else value)


def _at_most(value: Any) -> Any:
    match = re.fullmatch(_AT_MOST, value, re.ASCII) if isinstance(value, str) else None
    if match is None:
        return INVALID
    runs, per_s, field = int(match[1]), DURATION.read(match[2]), match[3] or ""
    is_right = 1 <= runs <= _MOST_RUNS and per_s is not INVALID and field in ("", *CONTEXT_FIELDS)
    return AtMost(runs, per_s, field, value) if is_right else INVALID


_AT_MOST = r"([0-9]{1,4}) per (\S+)(?: per (\S+))?"
_MOST_RUNS = 1_000
_KNOWN = (*EVENT_TYPES, *OWN_EVENT_TYPES, ANY_EVENT)
_NAME = Kind(_name, TEXT.wanted, schema={"type": ["string", "integer"]})
_REQUIRED = ("event_type", "implementation")
_HOOK_KEYS: Mapping[str, Kind | Form] = {
    "name": _NAME,
    "event_type": several(_event_type, {"anyOf": [{"enum": _KNOWN}, of(TEXT)]}),
    "when": Form(_when, WHEN),
    "implementation": Kind(_dotted, "a dotted path, as in 'package.module.function'"),
    "inputs": Form(_inputs, {"type": ["object", "null"]}),
    "timeout": number("seconds", 86_400),
    "retries": whole_number(0, 1_000),
    "repeatable": BOOLEAN,
    "fresh": BOOLEAN,
    "enabled": BOOLEAN,
    "at_most": Kind(
        _at_most,
        f"like '10 per 5m' or '10 per 5m per deployment_id', of 1 to {_MOST_RUNS} runs",
        schema={"type": "string", "pattern": f"^{_AT_MOST}$"},
    ),
    "after": DURATION,
    "description": COMMENT,
}


SECTIONS: Mapping[str, Form] = {
    "hooks": Form(_hooks, {"type": "array", "items": {"$ref": "#/$defs/hook"}}),
    "listener": Form(read_settings, mapping(settings.KEYS)),
    "forward": Form(_forward, FORWARD),
}

HOOK_SCHEMA = mapping(_HOOK_KEYS, _REQUIRED)
