"""The text of hooks.conf becomes a HookTable.

Owns every key of the file: its name, its type and what is said when it is wrong. All mistakes are
found at once, each with its line; nothing here imports or runs what the file names.
"""

from __future__ import annotations

import fnmatch
import os
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from listener.hooks import values as readers
from listener.hooks.table import (
    ANY_EVENT,
    Hook,
    HookTable,
    ListenerSettings,
    Matcher,
    RestService,
)
from listener.hooks.yaml_lines import Mistake, Source, describe, line_of, nearest
from listener.model.notification import CONTEXT_FIELDS, EVENT_TYPES, HOOK_FAILED, storable

MAX_RETRIES = 1_000
MAX_DAYS = 36_500
MAX_ENTRIES = 100_000_000
MIN_MEMORY_MIB = 64
"""A child that has imported cloudify has taken a third of it."""
MAX_MEMORY_MIB = 1 << 20


def read(
    text: str, *, env: Mapping[str, str], folder: str | os.PathLike[str]
) -> tuple[HookTable | None, list[Mistake]]:
    """The table in the text of a hooks.conf, and all that is wrong or doubtful in it, by line.

    The table is None when there is a mistake that is more than a warning.
    """
    source = Source(env, folder)
    root = source.parse(text)
    is_blank = root is None or readers.is_nothing(root)
    hooks: tuple[Hook, ...] = ()
    listener = ListenerSettings()
    if root is not None and not is_blank:
        sections = source.known_items(root, "the file", ("hooks", "listener"))
        if "hooks" in sections:
            hooks = _read_hooks(source, sections["hooks"])
        if "listener" in sections:
            listener = _read_listener(source, sections["listener"])
    mistakes = sorted(set(source.mistakes))
    if any(not mistake.is_warning for mistake in mistakes):
        return None, mistakes
    return HookTable(hooks, listener, is_blank=is_blank), mistakes


def _read_hooks(source: Source, node: yaml.Node) -> tuple[Hook, ...]:
    if not isinstance(node, yaml.SequenceNode):
        source.mistake(
            node,
            f"'hooks' must be a list of hooks, each beginning with '-', found {describe(node)}",
        )
        return ()
    hooks: dict[str, Hook] = {}
    for position, item in enumerate(node.value, 1):
        hook = _read_hook(source, item, position)
        if hook is None:
            continue
        if hook.name in hooks:
            source.mistake(
                item,
                f"hook {position} has the name {hook.name!r} of the hook in line"
                f" {hooks[hook.name].line}; give it another 'name'",
            )
        hooks[hook.name] = hook
    return tuple(hooks.values())


def _read_hook(source: Source, node: yaml.Node, position: int) -> Hook | None:
    what = f"hook {position}"
    if not isinstance(node, yaml.MappingNode):
        source.mistake(node, f"{what} must be a mapping with 'event_type', found {describe(node)}")
        return None
    names = [value.value for key, value in node.value if key.value == "name"]
    if names and isinstance(names[-1], str) and names[-1]:  # the last overrides merged ones
        what = f"hook {names[-1]!r}"
    keys = source.known_items(node, what, _HOOK_KEYS)
    for required in ("event_type", "implementation"):
        if required not in keys:
            source.mistake(node, f"{what} has no {required!r}; add it")
    values = {key: _HOOK_KEYS[key](source, item, f"{what}: {key!r}") for key, item in keys.items()}
    event_types = values.pop("event_type", None) or ()
    inputs = values.pop("inputs", None) or {}
    if "timeout" in values:
        values["timeout_s"] = values.pop("timeout")
    first = "any" if ANY_EVENT in event_types else "".join(event_types[:1])
    hook: dict[str, Any] = {
        "name": f"{first}-{position}",
        "event_types": event_types,
        "inputs": inputs,
        "line": line_of(node),
        "input_lines": _lines(keys.get("inputs")),
        "implementation": "",
    }
    if "name" not in keys:
        text = source.text_of(keys["inputs"]) if "inputs" in keys else ""
        hook["mark"] = zlib.crc32(text.encode("utf-8", "backslashreplace")) or 1
    hook.update((key, value) for key, value in values.items() if value is not None)
    for key in ("name", "implementation"):
        hook[key] = storable(hook[key])  # in the journal; !env can bring what is no UTF-8
    return Hook(**hook)


def _read_listener(source: Source, node: yaml.Node) -> ListenerSettings:
    if readers.is_nothing(node):
        return ListenerSettings()
    keys = source.known_items(node, "'listener'", _LISTENER_KEYS)
    values = {
        key: _LISTENER_KEYS[key](source, item, f"listener: {key!r}") for key, item in keys.items()
    }
    return ListenerSettings(**{k: v for k, v in values.items() if v is not None})


def _lines(inputs: yaml.Node | None) -> dict[str, int]:
    """The line of each input; of `name`, `name.0` and `name.0.key` where one is a list of mappings."""
    lines = {}
    for name, line, value in _keys(inputs):
        lines[name] = line
        for position, item in enumerate(value.value if isinstance(value, yaml.SequenceNode) else ()):
            lines[f"{name}.{position}"] = line_of(item)
            for key, key_line, _ in _keys(item):
                lines[f"{name}.{position}.{key}"] = key_line
    return lines


def _keys(node: yaml.Node | None) -> list[tuple[str, int, yaml.Node]]:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return [(key.value, line_of(key), value) for key, value in pairs if isinstance(key.value, str)]


def _event_types(source: Source, node: yaml.Node, what: str) -> tuple[str, ...]:
    names = []
    for item in readers.items(source, node, what):
        name = readers.text(source, item, what)
        if name is None:
            continue
        names.append(name)
        known_types = (*EVENT_TYPES, HOOK_FAILED, ANY_EVENT)
        if name not in known_types:
            known = nearest(name, known_types)
            source.warn(item, f"{what}: Conductor publishes no event type {name!r}; {known}")
    return tuple(names)


def _implementation(source: Source, node: yaml.Node, what: str) -> str | None:
    text = readers.text(source, node, what)
    if text is not None and (not text.strip(".") or not all(text.split("."))):
        source.mistake(node, f"{what} must be a dotted path, as in 'package.module.function'")
    elif text is not None and "." not in text:
        source.mistake(
            node, f"{what} must name a module and a function in it, found only {describe(node)}"
        )
    return text


def _inputs(source: Source, node: yaml.Node, what: str) -> dict[str, Any] | None:
    if readers.is_nothing(node):
        return None
    if not isinstance(node, yaml.MappingNode):
        source.mistake(node, f"{what} must be a mapping, found {describe(node)}")
        return None
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:str":
            source.mistake(key, f"{what}: a name of an input must be a text, found {describe(key)}")
    value = source.value(node)
    return value if isinstance(value, dict) else None


def _durability(source: Source, node: yaml.Node, what: str) -> str | None:
    return readers.choice(source, node, what, ("process", "power"))


def _days(source: Source, node: yaml.Node, what: str) -> float | None:
    return readers.number(source, node, what, "days", MAX_DAYS)


def _entries(source: Source, node: yaml.Node, what: str) -> int | None:
    return readers.whole_number(source, node, what, 1, MAX_ENTRIES)


def _memory(source: Source, node: yaml.Node, what: str) -> int | None:
    return readers.whole_number(source, node, what, MIN_MEMORY_MIB, MAX_MEMORY_MIB)


def _manager(source: Source, node: yaml.Node, what: str) -> RestService | None:
    if not isinstance(node, yaml.MappingNode):
        source.mistake(node, f"{what} must be a mapping with 'rest_host', found {describe(node)}")
        return None
    keys = source.known_items(node, what, _MANAGER_KEYS)
    if "rest_host" not in keys:
        source.mistake(node, f"{what} has no 'rest_host'; add it")
    values = {
        key.removeprefix("rest_"): _MANAGER_KEYS[key](source, item, f"{what}: {key!r}")
        for key, item in keys.items()
    }
    service = RestService(**{"host": "", **{k: v for k, v in values.items() if v is not None}})
    if not os.path.isfile(service.cert):
        source.warn(
            node,
            f"{what}: there is no certificate {service.cert!r}, which cloudify wants also over http;"
            " name it with 'rest_cert'",
        )
    return service


def _port(source: Source, node: yaml.Node, what: str) -> int | None:
    return readers.whole_number(source, node, what, 1, 65535)


def _protocol(source: Source, node: yaml.Node, what: str) -> str | None:
    return readers.choice(source, node, what, ("https", "http"))


def _retries(source: Source, node: yaml.Node, what: str) -> int | None:
    return readers.whole_number(source, node, what, 0, MAX_RETRIES)


def _when(source: Source, node: yaml.Node, what: str) -> tuple[tuple[str, tuple[Matcher, ...]], ...]:
    conditions = source.known_items(node, what, CONTEXT_FIELDS)
    return tuple(
        (field, _matchers(source, item, f"{what}: {field!r}", CONTEXT_FIELDS[field]))
        for field, item in conditions.items()
    )


def _matchers(source: Source, node: yaml.Node, what: str, kind: type[Any]) -> tuple[Matcher, ...]:
    """One matcher per value: any of them is enough."""
    matchers: list[Matcher] = []
    for item in readers.items(source, node, what):
        value = source.value(item)
        if value is None:
            matchers.append(_is(None))
        elif not isinstance(value, kind):
            expected = "true or false" if kind is bool else "a text (write a number in quotes)"
            readers.refuse(source, item, value, f"{what} is compared with {expected}")
        else:
            matchers.append(_matches(value) if isinstance(value, str) else _is(value))
    return tuple(matchers)


def _is(value: bool | None) -> Matcher:
    return lambda found: found is value


def _matches(pattern: str) -> Matcher:
    compiled = re.compile(fnmatch.translate(pattern))
    return lambda found: isinstance(found, str) and compiled.match(found)


_Reader = Callable[[Source, yaml.Node, str], Any]

_HOOK_KEYS: Mapping[str, _Reader] = {
    "name": readers.text,
    "event_type": _event_types,
    "when": _when,
    "implementation": _implementation,
    "inputs": _inputs,
    "timeout": readers.seconds,
    "retries": _retries,
    "repeatable": readers.boolean,
    "fresh": readers.boolean,
    "enabled": readers.boolean,
    "description": readers.description,
}

_MANAGER_KEYS: Mapping[str, _Reader] = {
    "rest_host": readers.text,
    "rest_port": _port,
    "rest_protocol": _protocol,
    "rest_cert": readers.path,
}

_LISTENER_KEYS: Mapping[str, _Reader] = {
    "state_dir": readers.path,
    "python": readers.program,
    "python_path": readers.folders,
    "plugins": readers.folder,
    "manager": _manager,
    "child_memory": _memory,
    "durability": _durability,
    "keep_days": _days,
    "keep_entries": _entries,
    "wait_for_retries": readers.seconds,
}
