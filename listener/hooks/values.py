"""The values that keys of hooks.conf have: a text, a list, a number of seconds, a path, …

Owns what is said of a value that has the wrong type or cannot be one. Every function reads the value
at one node; what is wrong is recorded with `what`, which names the key, and None stands in its place.
"""

from __future__ import annotations

import os
from typing import Any

import yaml

from listener.hooks.yaml_lines import UNREADABLE, Source, describe

MAX_SECONDS = 86_400  # a day


def is_nothing(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def text(source: Source, node: yaml.Node, what: str) -> str | None:
    value = source.value(node)
    if isinstance(value, str) and value:
        return value
    refuse(source, node, value, f"{what} must be a text")
    return None


def refuse(source: Source, node: yaml.Node, value: Any, what: str) -> None:
    """Record what was found instead, unless it could not even be read, which is recorded already."""
    if value is not UNREADABLE:
        source.mistake(node, f"{what}, found {describe(node)}")


def description(source: Source, node: yaml.Node, what: str) -> str:
    """A comment in the original, so anything may stand there."""
    return node.value if isinstance(node, yaml.ScalarNode) else ""


def items(source: Source, node: yaml.Node, what: str) -> list[yaml.Node]:
    """The nodes of a list, or the one node that stands for a list of one."""
    if not isinstance(node, yaml.SequenceNode) or node.tag == "!env":
        return [node]
    if not node.value:
        source.mistake(node, f"{what} is an empty list; name at least one")
    return list(node.value)


def boolean(source: Source, node: yaml.Node, what: str) -> bool | None:
    value = source.value(node)
    if isinstance(value, bool):
        return value
    refuse(source, node, value, f"{what} must be true or false")
    return None


def seconds(source: Source, node: yaml.Node, what: str) -> float | None:
    return number(source, node, what, "seconds", MAX_SECONDS)


def number(source: Source, node: yaml.Node, what: str, unit: str, most: float) -> float | None:
    value = source.value(node)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= most:
        return float(value)
    refuse(source, node, value, f"{what} must be a number of {unit} above 0 and at most {most}")
    return None


def whole_number(source: Source, node: yaml.Node, what: str, least: int, most: int) -> int | None:
    value = source.value(node)
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    refuse(source, node, value, f"{what} must be a whole number from {least} to {most}")
    return None


def choice(source: Source, node: yaml.Node, what: str, known: tuple[str, ...]) -> str | None:
    value = source.value(node)
    if value in known:
        return str(value)
    refuse(source, node, value, f"{what} must be {' or '.join(known)}")
    return None


def path(source: Source, node: yaml.Node, what: str) -> str | None:
    """A path; a relative one starts at the folder of hooks.conf."""
    value = text(source, node, what)
    if value is not None and "\0" in value:
        source.mistake(node, f"{what} must be a path, found {describe(node)}")
        return None
    return value and source.path(value)


def folder(source: Source, node: yaml.Node, what: str) -> str | None:
    """A path; one where nothing is gets a warning."""
    value = path(source, node, what)
    if value is not None and not os.path.exists(value):  # a zip file is fine, too, for modules
        source.warn(node, f"{what}: there is no {value!r}")
    return value


def folders(source: Source, node: yaml.Node, what: str) -> tuple[str, ...]:
    """A path or a list of paths, each as `folder`."""
    found = [folder(source, item, what) for item in items(source, node, what)]
    return tuple(value for value in found if value is not None)


def program(source: Source, node: yaml.Node, what: str) -> str | None:
    """An executable file: a path, or a name that is looked up on the PATH."""
    import shutil  # slow, and only this key needs it

    value = text(source, node, what)
    if value is not None and ("/" in value or "\0" in value):
        value = path(source, node, what)
    if value is None:
        return None
    found = shutil.which(value, path=source.env.get("PATH"))
    if found is None:
        source.warn(node, f"{what}: {value!r} is not there or not executable")
    return found or value
