"""The conditions of a hook: the key `when:` of hooks.conf.

Owns their names, their kinds, and what each of them asks of a notification. It keeps no conditions and
has no clock: conf.py puts them into a Hook, table.py asks them.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from listener.hooks.during import period
from listener.hooks.readers import Reader, Source
from listener.hooks.table import ANY_EVENT, Condition, Conditions, Hook, Matcher
from listener.hooks.values import BOOLEAN, INVALID, TEXT, Kind, whole_number
from listener.model.notification import CONTEXT_FIELDS, HOOK_FAILED_FIELDS, OWN_FIELDS

_PARAMETERS = "execution_parameters"


def read_when(source: Source, node: yaml.Node, label: str) -> Conditions:
    """The conditions in a mapping, all of which must hold."""
    pairs = _pairs(source, node)
    parameters = {name: _parameter(name) for name in pairs if name.startswith(f"{_PARAMETERS}.")}
    found = source.mapping(node, label, {**_CONDITIONS, **parameters})
    excluded = pairs.get("not")
    if isinstance(excluded, yaml.MappingNode) and _contradicts(pairs, _pairs(source, excluded)):
        source.warn(excluded, f"{label} can never hold: 'not' excludes all that it allows")
    fields = tuple((name, value) for name, value in found.items() if name in _FIELDS)
    return Conditions(fields, tuple(found[name] for name in found if name not in _FIELDS))


def never_holding(hook: Hook) -> Iterator[str]:
    """The fields whose conditions cannot hold for any event type of the hook."""
    for field, matchers in hook.when.fields if hook.event_types else ():
        possible: Sequence[str | None] = ()
        if field == "event_type" and ANY_EVENT not in hook.event_types:
            possible = hook.event_types
        elif field in HOOK_FAILED_FIELDS and not _has(field, hook.event_types):
            possible = [None]
        if (
            possible
            and matchers
            and not any(matcher(value) for matcher in matchers for value in possible)
        ):
            yield field


def _has(field: str, event_types: Iterable[str]) -> bool:
    """Whether one of these event types of our own has the field."""
    return any(field in OWN_FIELDS.get(event_type, ()) for event_type in event_types)


def _pairs(source: Source, node: yaml.Node) -> dict[str, yaml.Node]:
    """The keys and values of a mapping; none of anything else."""
    pairs = source.pairs(node) if isinstance(node, yaml.MappingNode) else []
    return {key.value: value for key, value in pairs}


def _contradicts(allowed: Mapping[str, yaml.Node], excluded: Mapping[str, yaml.Node]) -> bool:
    """Whether each value that is allowed is excluded, as they are written."""
    return all(
        name in allowed and _written(allowed[name]) <= _written(node) for name, node in excluded.items()
    )


def _written(node: yaml.Node) -> set[tuple[str, object]]:
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    return {(each.tag, str(each.value)) for each in nodes}


def _several(kind: Reader) -> Reader:
    return lambda source, node, label: source.several(node, label, kind)


def _not(source: Source, node: yaml.Node, label: str) -> Condition:
    excluded = read_when(source, node, label)
    return lambda context, at: not excluded.hold(context, at)


def _any(source: Source, node: yaml.Node, label: str) -> Condition:
    several = source.several(node, label, read_when)
    return lambda context, at: any(conditions.hold(context, at) for conditions in several)


def _during(source: Source, node: yaml.Node, label: str) -> Condition:
    periods = source.several(node, label, _period)
    return lambda _, at: any(each.has(at) for each in periods)


def _period(source: Source, node: yaml.Node, label: str) -> Any:
    text = source.read(node, TEXT, label)
    if text is INVALID:
        return INVALID
    try:
        return period(text)
    except ValueError as error:
        source.refuse(node, f"{label} {error}")
        return INVALID


def _parameter(name: str) -> Reader:
    """What reads the condition on a parameter: `execution_parameters.a.b`."""
    keys = name.split(".")

    def read(source: Source, node: yaml.Node, label: str) -> Condition:
        matchers = source.several(node, label, _VALUE)
        return lambda context, _: any(matcher(_found(context, keys)) for matcher in matchers)

    return read


def _found(value: Any, keys: Sequence[str]) -> Any:
    """What stands behind these keys of mappings and places of lists; None if nothing does."""
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and _PLACE.fullmatch(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


_PLACE = re.compile("[0-9]{1,9}")


def _flag(value: Any) -> Any:
    found = None if value is None else BOOLEAN.read(value)
    return INVALID if found is INVALID else _is(found)


def _pattern(value: Any) -> Any:
    if isinstance(value, re.Pattern):
        return lambda found: isinstance(found, str) and value.search(found)
    if not isinstance(value, str):
        return _is(None) if value is None else INVALID
    return lambda found: isinstance(found, str) and fnmatch.fnmatchcase(found, value)


def _value(value: Any) -> Any:
    if isinstance(value, bool):
        return _is(value)
    return _equals(value) if isinstance(value, (int, float)) else _pattern(value)


def _count(value: Any) -> Any:
    found = whole_number(1, 1_001).read(value)
    return INVALID if found is INVALID else _equals(found)


def _is(value: bool | None) -> Matcher:
    return lambda found: found is value


def _equals(value: float) -> Matcher:
    return lambda found: not isinstance(found, bool) and found == value


_KINDS: Mapping[type, Kind] = {
    bool: Kind(_flag, "true or false"),
    str: Kind(_pattern, "a text (write a number in quotes)"),
    int: Kind(_count, "a whole number from 1 to 1001"),
}
_VALUE = Kind(_value, "a text, a number, true, false or null")
_FIELDS: Mapping[str, Reader] = {
    field: _several(_KINDS[kind]) for field, kind in {**CONTEXT_FIELDS, **HOOK_FAILED_FIELDS}.items()
}
_CONDITIONS: Mapping[str, Reader] = {
    **_FIELDS,
    f"{_PARAMETERS}.NAME": _parameter(f"{_PARAMETERS}.NAME"),
    "not": _not,
    "any": _any,
    "during": _during,
}
