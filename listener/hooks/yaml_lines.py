"""YAML text becomes values that know the line they came from.

Owns everything about YAML that hooks.conf needs and PyYAML's loaders do not give: line numbers,
keys that stand twice, the tags !env and !file, dates as ISO text. It reports every mistake instead
of stopping at the first. It knows no key of hooks.conf; conf.py says which a mapping may have.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

import yaml

from listener.hooks.values import INVALID, Kind, in_words, nearest, shortened

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PREFIX = "tag:yaml.org,2002:"
_MERGE = _PREFIX + "merge"
_TAGS = frozenset(
    _PREFIX + kind
    for kind in (
        "null", "bool", "int", "float", "str", "binary", "timestamp", "seq", "map", "merge", "value"
    )
) | {"!env", "!file"}  # fmt: skip


class Mistake(NamedTuple):
    """Something wrong in a file. `line` counts from 1; 0 means the whole file."""

    line: int
    text: str
    is_warning: bool = False

    def as_text(self, file: object) -> str:
        """`hooks.conf, line 14: …`, as a person reads it."""
        return f"{file}, line {self.line}: {self.text}" if self.line else f"{file}: {self.text}"


class Source:
    """One YAML file being read, and the mistakes found in it so far.

    `env` answers !env; relative paths start at `folder`.
    """

    def __init__(self, env: Mapping[str, str], folder: str | os.PathLike[str]) -> None:
        self.mistakes: list[Mistake] = []
        self.env = env
        self._folder = folder
        self._scalars = yaml.constructor.SafeConstructor()
        self._text = ""

    def parse(self, text: str) -> yaml.Node | None:
        """The root of the one document in `text`; None when there is none, or it is no YAML."""
        self._text = text
        try:
            root = yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 0
            self.mistakes.append(Mistake(line, f"invalid YAML: {_why(error)}"))
            return None
        except yaml.reader.ReaderError as error:
            line = text.encode("utf-8", "replace").count(b"\n", 0, error.position) + 1
            self.mistakes.append(Mistake(line, f"invalid YAML: {error.reason}"))
            return None
        if root is not None:
            self._check(_nodes(root))
        return root

    def _check(self, nodes: list[yaml.Node]) -> None:
        """Record unknown tags and wrong keys; then follow the merge keys (<<)."""
        for node in nodes:
            if node.tag not in _TAGS:
                self.refuse(node, f"the tag {node.tag!r} is not known here; only !env and !file are")
        mappings = [node for node in nodes if isinstance(node, yaml.MappingNode)]
        for mapping in mappings:
            self._check_keys(mapping)
        for mapping in mappings:
            self._merge(mapping)

    def _check_keys(self, mapping: yaml.MappingNode) -> None:
        """Record keys that stand twice, and keys that are collections; leave the latter out."""
        seen: set[str] = set()
        for key, _ in mapping.value:
            if not isinstance(key, yaml.ScalarNode):
                self.refuse(key, f"a key must be a text or a number, found {in_words_of(key)}")
            elif key.value in seen:
                self.refuse(key, f"the key {key.value!r} stands here twice")
            else:
                seen.add(key.value)
        mapping.value = [pair for pair in mapping.value if isinstance(pair[0], yaml.ScalarNode)]

    def _merge(self, mapping: yaml.MappingNode) -> None:
        """Put the pairs that a mapping merges (<<) before its own: of equal keys, the last counts.

        PyYAML 6.0.4 gets it wrong: of several merged mappings its last one counts, not the first.
        """
        merges = [value for key, value in mapping.value if key.tag == _MERGE]
        mapping.value = [pair for pair in mapping.value if pair[0].tag != _MERGE]
        for merged in merges:
            for node in merged.value if isinstance(merged, yaml.SequenceNode) else [merged]:
                if isinstance(node, yaml.MappingNode):
                    self._merge(node)
                    mapping.value = node.value + mapping.value
                else:
                    self.refuse(node, f"<< can merge only mappings, found {in_words_of(node)}")

    def text_of(self, node: yaml.Node) -> str:
        """The part of the file that `node` stands for."""
        return self._text[node.start_mark.index : node.end_mark.index]

    def path(self, text: str) -> str:
        """The path that a text in the file means."""
        return os.path.join(self._folder, text)

    def refuse(self, node: yaml.Node, text: str) -> None:
        """Record what is wrong at `node`."""
        self._record(node, text, is_warning=False)

    def warn(self, node: yaml.Node, text: str) -> None:
        """Record what is doubtful at `node`, but can be worked with."""
        self._record(node, text, is_warning=True)

    def _record(self, node: yaml.Node, text: str, *, is_warning: bool) -> None:
        one_line = " ".join(text.split())
        self.mistakes.append(Mistake(line_of(node), one_line, is_warning))

    def read(self, node: yaml.Node, reader: Reader, label: str) -> Any:
        """The value at `node` as the reader takes it. A mistake calls it `label`.

        INVALID when it is wrong, or cannot be read; the mistake is recorded.
        """
        if not isinstance(reader, Kind):
            return reader(self, node, label)
        found = self.value(node)
        if found is INVALID:
            return INVALID
        value = reader.read(found)
        if value is INVALID:
            self.refuse(node, f"{label} {reader.refusal(in_words_of(node))}")
        return value

    def mapping(
        self,
        node: yaml.Node,
        label: str,
        readers: Mapping[str, Reader],
        required: Sequence[str] = (),
    ) -> dict[str, Any]:
        """What the readers take of the values of a mapping, by key, without those that are INVALID.

        A key that has no reader is a mistake that names the nearest one that has. Where nothing is
        `required`, nothing is an empty mapping.
        """
        if is_nothing(node) and not required:
            return {}
        if not isinstance(node, yaml.MappingNode):
            example = f" with {required[0]!r}" if required else ""
            self.refuse(node, f"{label} must be a mapping{example}, found {in_words_of(node)}")
            return {}
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if key.value in readers:
                found[key.value] = value
            else:
                known = nearest(shortened(key.value), readers)
                self.refuse(key, f"{label} has the unknown key {shortened(key.value)!r}; {known}")
        for name in required:
            if name not in found:
                self.refuse(node, f"{label} has no {name!r}; add it")
        values = {
            name: self.read(item, readers[name], f"{label}: {name!r}") for name, item in found.items()
        }
        return {name: value for name, value in values.items() if value is not INVALID}

    def several(self, node: yaml.Node, label: str, reader: Reader) -> tuple[Any, ...]:
        """What the reader takes of each item of a list, or of the one value that is no list."""
        nodes = [node]
        if isinstance(node, yaml.SequenceNode) and node.tag != "!env":
            nodes = node.value
            if not nodes:
                self.refuse(node, f"{label} is an empty list; name at least one")
        values = [self.read(item, reader, label) for item in nodes]
        return tuple(value for value in values if value is not INVALID)

    def value(self, node: yaml.Node) -> Any:
        """The plain value of `node`: JSON's types and bytes; a date becomes its ISO text.

        INVALID stands for what cannot be read, and the mistake is recorded. Raises RecursionError for a
        value that an alias in it makes endless.
        """
        if node.tag == "!env":
            return self._from_env(node)
        if node.tag == "!file":
            return self._from_file(node)
        if node.tag not in _TAGS:
            return INVALID
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item) for item in node.value]
        if isinstance(node, yaml.MappingNode):
            return {self.value(key): self.value(value) for key, value in node.value}
        return self._scalar(node, node.tag, node.value)

    def _scalar(self, node: yaml.Node, tag: str, text: str) -> Any:
        """`text` as the plain scalar that `tag` says it is."""
        scalar = yaml.ScalarNode(tag, text, node.start_mark, node.end_mark)
        try:
            value = self._scalars.construct_object(scalar)
        except (yaml.YAMLError, ValueError, OverflowError, LookupError, AttributeError):
            kind = tag.removeprefix(_PREFIX)
            self.refuse(node, f"{in_words_of(node)} cannot be read as {kind}; put it in quotes")
            return INVALID
        return value.isoformat() if isinstance(value, date) else value

    def _from_env(self, node: yaml.Node) -> Any:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not 1 <= len(parts) <= 2 or not all(isinstance(part, yaml.ScalarNode) for part in parts):
            self.refuse(node, "!env takes a name, or a list of a name and a default")
            return INVALID
        name: str = parts[0].value
        text = self.env.get(name)
        if text is not None:
            return self._scalar(node, _Loader("").resolve(yaml.ScalarNode, text, (True, False)), text)
        if len(parts) == 2:
            return self.value(parts[1])
        self.refuse(
            node,
            f"the environment variable {name!r} is not set; set it (environment= in supervisord's"
            " section), or give a default, as in !env [NAME, default]",
        )
        return INVALID

    def _from_file(self, node: yaml.Node) -> Any:
        if not isinstance(node, yaml.ScalarNode) or not node.value:
            self.refuse(node, "!file takes the path of a file")
            return INVALID
        path = self.path(node.value)
        try:
            with open(path, encoding="utf-8") as file:
                return file.read().removesuffix("\n")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            self.refuse(node, f"!file {path} cannot be read: {reason}")
        return INVALID


def _nodes(root: yaml.Node) -> list[yaml.Node]:
    """Every node from `root` on, each once, also where aliases go in circles, in the text's order."""
    found: dict[int, yaml.Node] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in found:
            continue
        found[id(node)] = node
        if isinstance(node, yaml.MappingNode):
            waiting += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
    return sorted(found.values(), key=lambda node: node.start_mark.index)


def line_of(node: yaml.Node) -> int:
    """The line that `node` begins in, from 1."""
    return int(node.start_mark.line) + 1


def is_nothing(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == _PREFIX + "null"


def is_text(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == _PREFIX + "str"


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


def _why(error: yaml.MarkedYAMLError) -> str:
    return ", ".join(part for part in (error.context, error.problem) if part)


Reader = Kind | Callable[[Source, yaml.Node, str], Any]
"""Takes the value at a node: as its kind does, or with a function where lines of more nodes matter."""
