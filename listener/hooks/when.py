"""The conditions of a hook: the key `when:` of hooks.conf.

Owns their names, their kinds, and what each of them asks of a notification. It keeps no conditions and
has no clock: conf.py puts them into a Hook, table.py asks them.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import yaml

from listener.hooks.readers import Source
from listener.hooks.schema import WHEN, Form, mapping, of, one_or_more
from listener.hooks.table import Condition, Conditions, unmet
from listener.hooks.values import BOOLEAN, INVALID, TEXT, Kind, quoted, whole_number
from listener.model.notification import CONTEXT_FIELDS, HOOK_FAILED_FIELDS

_PARAMETERS = "execution_parameters"

Matcher = Callable[[Any], Any]
"""Whether a value is as one condition wants it."""


def read_when(source: Source, node: yaml.Node, label: str) -> Conditions:
    """The conditions in a mapping, all of which must hold, in the file's order."""
    names = [key.value for key, _ in source.pairs(node)] if isinstance(node, yaml.MappingNode) else []
    parameters = {name: _parameter(name) for name in names if name.startswith(f"{_PARAMETERS}.")}
    return tuple(source.mapping(node, label, {**_CONDITIONS, **parameters}).values())


def _field(name: str, kind: Kind) -> Form:
    """What reads the condition on a field of the context."""
    return _valued(name, kind, lambda context: context.get(name))


def _parameter(name: str) -> Form:
    """What reads the condition on a parameter: `execution_parameters.a.b`."""
    keys = name.split(".")
    return _valued(name, _VALUE, lambda context: _found(context, keys))


def _valued(name: str, kind: Kind, value_in: Callable[[Mapping[str, Any]], Any]) -> Form:
    def read(source: Source, node: yaml.Node, label: str) -> Condition:
        matches = _any_of(source.several(node, label, kind))
        is_secret = "." in name and _is_secret(name)
        return Condition(
            name,
            lambda context, _: matches(value_in(context)),
            "…" if is_secret else source.written(node),
            lambda context, _: "…" if is_secret else quoted(value_in(context)),
        )

    return Form(read, one_or_more(of(kind)))


def _is_secret(parameter: str) -> bool:
    from listener.model.secrets import names_secret  # slow to import, and seldom needed

    return names_secret(parameter)


def _any_of(matchers: Sequence[Matcher]) -> Matcher:
    """Whether any of them matches; none does when all that was written is wrong."""
    if len(matchers) == 1:
        return matchers[0]
    return lambda found: any(matcher(found) for matcher in matchers)


def _not(source: Source, node: yaml.Node, label: str) -> Condition:
    excluded = read_when(source, node, label)
    return Condition(
        "not",
        lambda context, at: unmet(excluded, context, at) is not None,
        f"anything but {_wanted(excluded)}",
        lambda context, at: _all_found(excluded, context, at),
    )


def _any(source: Source, node: yaml.Node, label: str) -> Condition:
    several = source.several(node, label, read_when)

    def found(context: Mapping[str, Any], at: float) -> str:
        """Of the mapping that holds, or the first in each that does not."""
        whys = [unmet(conditions, context, at) for conditions in several]
        if None in whys:
            return _all_found(several[whys.index(None)], context, at)
        failing = {why.name: why for why in whys if why}
        return _all_found(failing.values(), context, at)

    return Condition(
        "any",
        lambda context, at: any(unmet(conditions, context, at) is None for conditions in several),
        " or ".join(map(_wanted, several)),
        found,
    )


def _wanted(conditions: Conditions) -> str:
    return "(" + ", ".join(f"{each.name}: {each.wanted}" for each in conditions) + ")"


def _all_found(conditions: Iterable[Condition], context: Mapping[str, Any], at: float) -> str:
    return ", ".join(f"{each.name}: {each.found(context, at)}" for each in conditions)


def _during(source: Source, node: yaml.Node, label: str) -> Condition:
    periods = source.several(node, label, _period)
    return Condition(
        "during",
        lambda _, at: any(each.has(at) for each in periods),
        source.written(node),
        lambda _, at: " or ".join(dict.fromkeys(each.clock(at) for each in periods)),
    )


def _period(source: Source, node: yaml.Node, label: str) -> Any:
    from listener.hooks.during import period  # READY need not wait for it

    text = source.read(node, TEXT, label)
    if text is INVALID:
        return INVALID
    try:
        return period(text)
    except ValueError as error:
        source.refuse(node, f"{label} {error}")
        return INVALID


def _found(value: Any, keys: Sequence[str]) -> Any:
    """What stands behind these keys of mappings and places of lists; None if nothing does."""
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and re.fullmatch("[0-9]{1,9}", key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


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
    bool: Kind(_flag, "true or false", schema={"type": ["boolean", "null"]}),
    str: Kind(_pattern, "a text (write a number in quotes)", schema={"type": ["string", "null"]}),
    int: Kind(_count, "a whole number from 1 to 1001", schema={"type": "integer"}),
}
_VALUE = Kind(
    _value,
    "a text, a number, true, false or null",
    schema={"type": ["string", "number", "boolean", "null"]},
)
_FIELDS: Mapping[str, Form] = {
    field: _field(field, _KINDS[kind])
    for field, kind in {**CONTEXT_FIELDS, **HOOK_FAILED_FIELDS}.items()
}
_CONDITIONS: Mapping[str, Form] = {
    **_FIELDS,
    f"{_PARAMETERS}.NAME": _parameter(f"{_PARAMETERS}.NAME"),
    "not": Form(_not, WHEN),
    "any": Form(_any, one_or_more(WHEN)),
    "during": Form(_during, one_or_more(TEXT.schema)),
}

WHEN_SCHEMA = {
    **mapping({name: _CONDITIONS[name] for name in _CONDITIONS if "." not in name}),
    "patternProperties": {rf"^{_PARAMETERS}\.": _parameter(_PARAMETERS).schema},
}
