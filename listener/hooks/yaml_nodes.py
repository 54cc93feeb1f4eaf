"""What can be said of a single node of YAML, and of a text that is none.

Owns the words about what was found. It reads no value and keeps no mistakes; yaml_lines.py and conf.py
ask it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import yaml

from listener.hooks.values import in_words, shortened

PREFIX = "tag:yaml.org,2002:"

NO_YAML = "invalid YAML"
"""How the mistake of a text that is no YAML begins."""

_LOOKS_AS_READ = r"[-+]?(0|[1-9]\d*|\d+\.\d*(e[-+]?\d+)?|\.(\d+(e[-+]?\d+)?|inf|nan))|true|false"


def line_of(node: yaml.Node) -> int:
    """The line that `node` begins in, from 1."""
    return int(node.start_mark.line) + 1


def is_nothing(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == PREFIX + "null"


def is_text(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == PREFIX + "str"


def is_whole_number(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == PREFIX + "int"


def items_of(node: yaml.Node) -> list[yaml.Node]:
    """The items of a list, or the one value that is no list."""
    is_list = isinstance(node, yaml.SequenceNode) and not node.tag.startswith("!")
    return node.value if is_list else [node]


def in_words_of(node: yaml.Node) -> str:
    """What a mistake calls the thing that was found; never the value behind !env or !file."""
    if node.tag.startswith("!"):
        name = f" {shortened(node.value)}" if isinstance(node, yaml.ScalarNode) else ""
        return f"what {node.tag}{name} gave"
    if isinstance(node, yaml.CollectionNode):
        return "a mapping" if isinstance(node, yaml.MappingNode) else "a list"
    if is_nothing(node):
        return in_words(None)
    return in_words(node.value) if is_text(node) else shortened(node.value)


def looks_as_read(node: yaml.Node) -> bool:
    """Whether a number or a boolean looks like what YAML 1.1 reads."""
    return re.fullmatch(_LOOKS_AS_READ, node.value, re.IGNORECASE) is not None


def why_no_yaml(error: yaml.MarkedYAMLError, lines: Sequence[str]) -> tuple[int, str]:
    """What is wrong with a text of these lines that is no YAML: a line, from 1, and the reason."""
    marks = [mark.line for mark in (error.context_mark, error.problem_mark) if mark]
    for number in (*marks, *(number - 1 for number in marks)):
        if lines[number : number + 1] and lines[number].strip() in ("...", "…"):
            dots = f"the line {lines[number].strip()!r} of Conductor's example stands for more hooks"
            return number + 1, f"{NO_YAML}: {dots}; delete it"
    why = ", ".join(part for part in (error.context, error.problem) if part)
    if any(re.match(r" *\t", line) for number in marks[-1:] for line in lines[number : number + 1]):
        why = "a tab indents this line; write blanks"
    return (marks[-1] + 1 if marks else 0), f"{NO_YAML}: {why}"
