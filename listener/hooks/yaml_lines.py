"""YAML text becomes values that know the line they came from.

Owns everything about YAML that hooks.conf needs and PyYAML's loaders do not give: line numbers,
doubtful keys and numbers, our own tags, dates as ISO text. It reports every mistake instead of
stopping at the first. It knows no key of hooks.conf; readers.py builds on it.
"""

import os
import re
import warnings
from collections.abc import Callable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from listener.hooks import text_file
from listener.hooks.values import INVALID, PATH, in_words, shortened
from listener.hooks.yaml_nodes import (
    NO_YAML,
    PREFIX,
    in_words_of,
    is_text,
    line_of,
    looks_as_read,
    why_no_yaml,
)

if TYPE_CHECKING:
    from listener.hooks.template import Template

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = PREFIX + "merge"
_TEXT_AS_DEFAULT = {PREFIX + kind for kind in ("str", "int", "float", "bool", "timestamp")}
_TAGS = frozenset(
    PREFIX + kind
    for kind in (
        "null", "bool", "int", "float", "str", "binary", "timestamp", "seq", "map", "merge", "value"
    )
)  # fmt: skip

ENDLESS = "a value is nested too deep, or an alias (*) stands inside its own anchor (&)"


class Mistake(NamedTuple):
    """Something wrong in a file. `line` counts from 1; 0 means the whole file.

    `is_of_part`: only one hook, or the section `forward`, cannot be used.
    """

    line: int
    text: str
    is_warning: bool = False
    is_of_part: bool = False

    def as_text(self, file: object) -> str:
        """`hooks.conf, line 14: …`, as a person reads it."""
        return f"{file}, line {self.line}: {self.text}" if self.line else f"{file}: {self.text}"


Taken = tuple[str, str]
"""A text that !env or !file has brought, and before it the key that it belongs to, '' of a !file."""


class Values:
    """One YAML file whose values are read, with the mistakes in it and the texts from elsewhere so far.

    `env` answers !env; relative paths start at `folder`.
    """

    def __init__(self, env: Mapping[str, str], folder: str | os.PathLike[str]) -> None:
        self.mistakes: list[Mistake] = []
        self.taken: list[Taken] = []
        self.templates: list[Template] = []
        self.files: list[str] = []
        self.env = env
        self._folder = folder
        self._scalars = yaml.constructor.SafeConstructor()
        self._text = ""

    def parse(self, text: str) -> yaml.Node | None:
        """The root of the one document in `text`; None when there is none, or it is no YAML."""
        self._text = text
        try:
            return yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            self.mistakes.append(Mistake(*why_no_yaml(error, text.split("\n"))))
        except yaml.reader.ReaderError as error:
            line = text.encode("utf-8", "replace").count(b"\n", 0, error.position) + 1
            self.mistakes.append(Mistake(line, f"{NO_YAML}: {error.reason}"))
        except RecursionError:
            self.mistakes.append(Mistake(0, ENDLESS))
        return None

    def pairs(self, mapping: yaml.MappingNode) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        """What stands in a mapping, behind what it merges (<<): of equal keys, the last counts.

        PyYAML 6.0.4 gets it wrong: of several merged mappings its last one counts, not the first.
        """
        merged: list[tuple[yaml.ScalarNode, yaml.Node]] = []
        own: list[tuple[yaml.ScalarNode, yaml.Node]] = []
        seen: dict[object, str] = {}
        for key, value in mapping.value:
            if key.tag == _MERGE:
                merged = self._merged(value) + merged
            elif (plain := self._key(key)) is not INVALID:
                self._warn_of_same(key, seen.get(plain))
                seen[plain] = key.value
                own.append((key, value))
        return merged + own

    def _key(self, node: yaml.Node) -> Any:
        value = self.value(node) if isinstance(node, yaml.ScalarNode) else {}
        if isinstance(value, (list, dict, re.Pattern)):
            self.refuse(node, f"a key must be a text or a number, found {in_words_of(node)}")
            return INVALID
        return value

    def _merged(self, node: yaml.Node) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        pairs: list[tuple[yaml.ScalarNode, yaml.Node]] = []
        for each in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if isinstance(each, yaml.MappingNode):
                pairs = self.pairs(each) + pairs
            else:
                self.refuse(each, f"<< can merge only mappings, found {in_words_of(each)}")
        return pairs

    def _warn_of_same(self, key: yaml.ScalarNode, other: str | None) -> None:
        if other is not None:
            same = "" if other == key.value else f", as {shortened(other)!r}, which is the same value"
            name = shortened(key.value)
            self.warn(key, f"the key {name!r} stands here twice{same}; the last one counts")

    def text_of(self, node: yaml.Node) -> str:
        """The part of the file that `node` stands for."""
        return self._text[node.start_mark.index : node.end_mark.index]

    def path(self, text: str) -> str:
        """The path that a text in the file means."""
        return os.path.join(self._folder, text)

    def refuse(self, node: yaml.Node, text: str) -> None:
        """Record what is wrong at `node`."""
        self._record(line_of(node), text, is_warning=False)

    def warn(self, node: yaml.Node, text: str) -> None:
        """Record what is doubtful at `node`, but can be worked with."""
        self._record(line_of(node), text, is_warning=True)

    def _record(self, line: int, text: str, *, is_warning: bool) -> None:
        if self.taken:
            from listener.model.secrets import mask, secrets_in  # slow to import, and seldom needed

            text = mask(text, secrets_in({}, self.taken))
        one_line = " ".join(text.split())
        self.mistakes.append(Mistake(line, one_line, is_warning))

    def value(self, node: yaml.Node, keys: tuple[str, ...] = ()) -> Any:
        """The plain value of `node`, behind these keys: JSON's types and bytes; a date as its ISO text.

        !template gives a Template, !regex a compiled pattern. INVALID stands for what cannot be read,
        and the mistake is recorded. Raises RecursionError for a value that an alias in it makes
        endless.
        """
        value = self._value(node, keys)
        self._warn_of_look(node, value, keys)
        return value

    def _value(self, node: yaml.Node, keys: tuple[str, ...] = ()) -> Any:
        if not self._is_known(node):
            return INVALID
        if node.tag in _OWN_TAGS:
            return _OWN_TAGS[node.tag](self, node, keys)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, keys) for item in node.value]
        if isinstance(node, yaml.MappingNode):
            pairs = self.pairs(node)
            return {self._value(key): self.value(item, (*keys, key.value)) for key, item in pairs}
        return self._scalar(node)

    def _is_known(self, node: yaml.Node) -> bool:
        if node.tag in _TAGS or node.tag in _OWN_TAGS:
            return True
        self.refuse(node, f"the tag {node.tag!r} is not known here; known are: {', '.join(_OWN_TAGS)}")
        return False

    def _scalar(self, node: yaml.Node) -> Any:
        if is_text(node):
            return node.value
        try:
            value = self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError, LookupError, AttributeError):
            kind = node.tag.removeprefix(PREFIX)
            self.refuse(node, f"{in_words_of(node)} cannot be read as {kind}; put it in quotes")
            return INVALID
        return value.isoformat() if isinstance(value, date) else value

    def _warn_of_look(self, node: yaml.Node, value: Any, keys: tuple[str, ...] = ()) -> None:
        """Warn of a number or a boolean that does not look like what YAML 1.1 reads."""
        if not isinstance(value, (int, float)) or looks_as_read(node):
            return
        from listener.model.secrets import names_secret  # slow to import, and seldom needed

        what = f"{shortened(node.value)} as {in_words(value)}"
        if any(map(names_secret, keys)):
            what = "what stands here as another number or as true or false"
        self.warn(node, f"YAML reads {what}; put it in quotes to keep it as it is written")

    def _from_env(self, node: yaml.Node, keys: tuple[str, ...]) -> Any:
        key = keys[-1] if keys else ""
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not 1 <= len(parts) <= 2 or not all(isinstance(part, yaml.ScalarNode) for part in parts):
            self.refuse(node, "!env takes a name, or a list of a name and a default")
            return INVALID
        name: str = parts[0].value
        if name in self.env:
            return self._checked(node, key, self.env[name].removeprefix("\ufeff"))
        if len(parts) == 2:
            return parts[1].value if parts[1].tag in _TEXT_AS_DEFAULT else self.value(parts[1])
        self.refuse(
            node,
            f"the environment variable {name!r} is not set; set it (environment= in supervisord's"
            " section), or give a default, as in !env [NAME, default]",
        )
        return INVALID

    def _from_file(self, node: yaml.Node, _: tuple[str, ...]) -> Any:
        if not isinstance(node, yaml.ScalarNode) or PATH.read(node.value) is INVALID:
            self.refuse(node, "!file takes the path of a file")
            return INVALID
        path = self.path(node.value)
        self.files.append(path)
        try:
            text = text_file.text_of(text_file.read(path))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else f"not UTF-8: {error.reason}"
            self.refuse(node, f"!file {path} cannot be read: {reason}")
            return INVALID
        return self._checked(node, "", text.replace("\r\n", "\n").removesuffix("\n"))

    def _template(self, node: yaml.Node, keys: tuple[str, ...]) -> Any:
        if not keys or not isinstance(node, yaml.ScalarNode):
            self.refuse(node, "!template takes a text, and can stand only within a hook's 'inputs'")
            return INVALID
        from listener.hooks import template as made  # slow to import

        is_block = node.style == "|"
        first = line_of(node) + is_block
        try:
            template = made.Template(node.value, first, is_block=is_block)
        except made.TemplateMistake as error:
            self._record(error.line, f"!template: {error}", is_warning=False)
            return INVALID
        self.templates.append(template)
        return template

    def _regex(self, node: yaml.Node, keys: tuple[str, ...]) -> Any:
        if keys or not isinstance(node, yaml.ScalarNode):
            self.refuse(node, "!regex takes a text, and can stand only within a hook's 'when'")
            return INVALID
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what another Python may read otherwise
                return re.compile(node.value)
        except (re.error, OverflowError) as error:
            self.refuse(node, f"!regex {shortened(node.value)!r} is no regular expression: {error}")
            return INVALID

    def _checked(self, node: yaml.Node, key: str, text: str) -> str:
        """The text, which came from elsewhere; a warning does not show it, since it may be secret."""
        self.taken.append((key, text))
        if doubt := text_file.doubt(text):
            self.warn(node, f"{in_words_of(node)} {doubt}")
        return text


_OWN_TAGS: Mapping[str, Callable[[Values, yaml.Node, tuple[str, ...]], Any]] = {
    "!env": Values._from_env,
    "!file": Values._from_file,
    "!template": Values._template,
    "!regex": Values._regex,
}
"""What reads the value of a node with a tag of ours. The keys are those above it, of inputs alone."""
