"""YAML text becomes values that know the line they came from.

Owns everything about YAML that hooks.conf needs and PyYAML's loaders do not give: line numbers,
keys that stand twice, the tags !env and !file, dates as ISO text. It reports every mistake instead
of stopping at the first. It knows no key of hooks.conf; hooks_conf.py asks it for values.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, NamedTuple

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PREFIX = "tag:yaml.org,2002:"
_MAX_DEPTH = 50
_SHOWN = 40
_MANY_BRACKETS = 1000  # fewer cannot do harm
_TAGS = frozenset(
    _PREFIX + kind
    for kind in (
        "null", "bool", "int", "float", "str", "binary", "timestamp", "seq", "map", "merge", "value"
    )
) | {"!env", "!file"}  # fmt: skip

UNREADABLE: Any = object()
"""What stands for a value that could not be read, and whose mistake has been recorded."""


class Mistake(NamedTuple):
    """Something wrong in a file, as a person is told of it. `line` counts from 1; 0: the whole file."""

    line: int
    text: str
    is_warning: bool = False

    def told(self, file: object) -> str:
        """The mistake as a person reads it: `hooks.conf, line 14: …`."""
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
        self._open: set[int] = set()  # nodes being read, to refuse one that holds itself
        self._values: dict[int, Any] = {}

    def parse(self, text: str) -> yaml.Node | None:
        """The root of the one document in `text`; None when there is none, or it is no YAML."""
        self._text = text
        try:
            _refuse_abyss(text)
            root = yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 0
            self.mistakes.append(Mistake(line, f"no valid YAML: {_why(error)}"))
            return None
        except yaml.reader.ReaderError as error:
            line = text.encode("utf-8", "replace").count(b"\n", 0, error.position) + 1
            self.mistakes.append(Mistake(line, f"no valid YAML: {error.reason}"))
            return None
        if root is not None:
            self._look_over(_nodes(root))
        return root

    def _look_over(self, nodes: list[yaml.Node]) -> None:
        """Record unknown tags and keys that stand twice; then follow the merge keys (<<)."""
        mappings = [node for node in nodes if isinstance(node, yaml.MappingNode)]
        for node in nodes:
            if node.tag not in _TAGS:
                self.mistake(node, f"the tag {node.tag!r} is not known here; only !env and !file are")
        for mapping in mappings:
            for key in _repeated(mapping):
                self.mistake(key, f"the key {key.value!r} stands here for the second time")
        for mapping in mappings:
            try:
                self._scalars.flatten_mapping(mapping)
            except yaml.MarkedYAMLError as error:
                self.mistake(mapping, _why(error))
            except RecursionError:
                self.mistake(mapping, "this mapping merges (<<) itself")
            mapping.value = list({_identity(pair[0]): pair for pair in mapping.value}.values())

    def text_of(self, node: yaml.Node) -> str:
        """The part of the file that `node` stands for."""
        return self._text[node.start_mark.index : node.end_mark.index]

    def path(self, text: str) -> str:
        """The path that a text in the file means."""
        return os.path.join(self._folder, text)

    def mistake(self, node: yaml.Node, text: str) -> None:
        """Record what is wrong at `node`."""
        self.mistakes.append(Mistake(line_of(node), text))

    def warn(self, node: yaml.Node, text: str) -> None:
        """Record what is doubtful at `node`, but can be worked with."""
        self.mistakes.append(Mistake(line_of(node), text, is_warning=True))

    def pairs(self, node: yaml.Node, what: str) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        """The keys and values of a mapping; of a key that overrides a merged one, the last counts."""
        if not isinstance(node, yaml.MappingNode):
            self.mistake(node, f"{what} must be a mapping, found {describe(node)}")
            return []
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.mistake(key, f"{what}: a key must be a text or a number, found {describe(key)}")
        return [pair for pair in node.value if isinstance(pair[0], yaml.ScalarNode)]

    def known_items(self, node: yaml.Node, what: str, known: Iterable[str]) -> dict[str, yaml.Node]:
        """A mapping by its keys; one that is not in `known` is a mistake that names the nearest."""
        known = tuple(known)
        found = {}
        for key, value in self.pairs(node, what):
            if key.value in known:
                found[key.value] = value
            else:
                shown = f"{key.value:.{_SHOWN}}"
                self.mistake(key, f"{what} has the unknown key {shown!r}; {nearest(shown, known)}")
        return found

    def value(self, node: yaml.Node) -> Any:
        """The plain value of `node`: JSON's types and bytes; a date becomes its ISO text.

        What cannot be read is recorded, and UNREADABLE stands in its place. A node that aliases point
        to is read once, and its value shared.
        """
        if id(node) in self._values:
            return self._values[id(node)]
        if id(node) in self._open:
            self.mistake(node, "this value holds itself; an alias may not point to what it stands in")
            return UNREADABLE
        if len(self._open) == _MAX_DEPTH:
            self.mistake(node, f"this value is nested deeper than {_MAX_DEPTH} levels")
            return UNREADABLE
        self._open.add(id(node))
        value = self._read(node)
        self._open.discard(id(node))
        self._values[id(node)] = value
        return value

    def _read(self, node: yaml.Node) -> Any:
        if node.tag == "!env":
            return self._from_env(node)
        if node.tag == "!file":
            return self._from_file(node)
        if isinstance(node, yaml.SequenceNode) and node.tag == _PREFIX + "seq":
            return [self.value(item) for item in node.value]
        if isinstance(node, yaml.MappingNode) and node.tag == _PREFIX + "map":
            pairs = self.pairs(node, "this mapping")
            return {self.value(key): self.value(value) for key, value in pairs}
        if isinstance(node, yaml.ScalarNode) and node.tag in _TAGS:
            return self._scalar(node, node.tag, node.value)
        return UNREADABLE

    def _scalar(self, node: yaml.Node, tag: str, text: str) -> Any:
        """`text` as the plain scalar that `tag` says it is."""
        scalar = yaml.ScalarNode(tag, text, node.start_mark, node.end_mark)
        try:
            value = self._scalars.construct_object(scalar)
        except (yaml.YAMLError, ValueError, OverflowError, LookupError, AttributeError):
            self.mistake(node, f"{describe(node)} is no {tag.removeprefix(_PREFIX)}; put it in quotes")
            return UNREADABLE
        return value.isoformat() if isinstance(value, date) else value

    def _from_env(self, node: yaml.Node) -> Any:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not 1 <= len(parts) <= 2 or not all(isinstance(part, yaml.ScalarNode) for part in parts):
            self.mistake(node, "!env takes a name, or a list of a name and a default")
            return UNREADABLE
        name: str = parts[0].value
        text = self.env.get(name)
        if text is not None:
            return self._scalar(node, _Loader("").resolve(yaml.ScalarNode, text, (True, False)), text)
        if len(parts) == 2:
            return self.value(parts[1])
        self.mistake(
            node,
            f"the environment variable {name!r} is not set; set it (environment= in supervisord's"
            " section), or give a default, as in !env [NAME, default]",
        )
        return UNREADABLE

    def _from_file(self, node: yaml.Node) -> Any:
        if not isinstance(node, yaml.ScalarNode) or not node.value:
            self.mistake(node, "!file takes the path of a file")
            return UNREADABLE
        path = self.path(node.value)
        path_shown = " ".join(path.split())
        try:
            with open(path, encoding="utf-8") as file:
                return file.read().removesuffix("\n")
        except UnicodeDecodeError:
            self.mistake(node, f"!file {path_shown} cannot be read: it is not UTF-8 text")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            self.mistake(node, f"!file {path_shown} cannot be read: {reason}")
        return UNREADABLE


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


def _identity(key: yaml.Node) -> tuple[str, object]:
    """What makes two keys of a mapping the same; a key that is no scalar is like no other."""
    return key.tag, key.value if isinstance(key, yaml.ScalarNode) else id(key)


def _repeated(mapping: yaml.MappingNode) -> list[yaml.Node]:
    seen: set[tuple[str, object]] = set()
    repeated = []
    for key, _ in mapping.value:
        if _identity(key) in seen:
            repeated.append(key)
        seen.add(_identity(key))
    return repeated


def _refuse_abyss(text: str) -> None:
    """Raise MarkedYAMLError where a text nests so deep that libyaml would overrun the stack."""
    if sum(map(text.count, "[{-?:")) < _MANY_BRACKETS:
        return
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            problem = f"nested deeper than {_MAX_DEPTH} levels"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)  # type: ignore[arg-type]


def line_of(node: yaml.Node) -> int:
    """The line that `node` begins in, from 1."""
    return int(node.start_mark.line) + 1


def describe(node: yaml.Node) -> str:
    """What a mistake calls the thing that was found; never the value behind !env or !file."""
    if node.tag == "!env" and isinstance(node, yaml.SequenceNode) and node.value:
        node = yaml.ScalarNode(node.tag, str(node.value[0].value))
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if not isinstance(node, yaml.ScalarNode):
        return "a list"
    shown = " ".join(node.value.split())  # a mistake is one line
    shown = shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"
    if node.tag.startswith("!"):
        return f"what {node.tag} {shown} gave"
    if node.tag == _PREFIX + "null":
        return "nothing"
    if not node.value:
        return "an empty text"
    return f"the text {shown!r}" if node.tag == _PREFIX + "str" else shown


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?`, or the list of what would be right."""
    import difflib  # only a mistake needs it, and it is slow to import

    known = tuple(known)
    by_spelling = {spelled_alike(each): each for each in known}
    close = difflib.get_close_matches(spelled_alike(word), by_spelling, n=1, cutoff=0.6)
    return f"did you mean {by_spelling[close[0]]!r}?" if close else f"known are: {', '.join(known)}"


def spelled_alike(word: str) -> str:
    """The same for all words that differ in case, or in - and _."""
    return word.casefold().replace("_", "-")


def _why(error: yaml.MarkedYAMLError) -> str:
    return ", ".join(part for part in (error.context, error.problem) if part)
