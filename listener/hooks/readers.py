"""What may stand where in a YAML file: each value as its reader takes it.

Owns the mistakes about values of the wrong kind, and about keys that are unknown or missing. It knows
no key itself: conf.py and settings.py have tables of keys and readers.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import yaml

from listener.hooks.schema import Form
from listener.hooks.values import INVALID, PATH, Kind, near, nearest, quoted, shortened
from listener.hooks.yaml_lines import ENDLESS, Values
from listener.hooks.yaml_nodes import in_words_of, is_nothing, is_text, items_of

_TYPO = 0.8
"""How much a key has to be like one of ours to be taken for it: 1 is the same word."""


class Source(Values):
    """A YAML file that readers read."""

    def read(self, node: yaml.Node, reader: Reader, label: str) -> Any:
        """The value at `node` as the reader takes it. A mistake calls it `label`.

        INVALID when it is wrong, or cannot be read; the mistake is recorded.
        """
        try:
            if isinstance(reader, Kind):
                return self._of_kind(node, reader, label)
            if reader is not COMMENT and not self._is_known(node):
                return INVALID
            function = reader.read if isinstance(reader, Form) else reader
            return function(self, node, label)
        except RecursionError:
            self.refuse(node, ENDLESS)
            return INVALID

    def _of_kind(self, node: yaml.Node, kind: Kind, label: str) -> Any:
        found = self._value(node)
        if found is INVALID:
            return INVALID
        value = kind.read(found)
        if value is INVALID:
            self.refuse(node, f"{label} {kind.refusal(in_words_of(node))}")
        elif not isinstance(found, bool):
            self._warn_of_look(node, found)
        return value

    def read_path(self, node: yaml.Node, label: str, is_there: Callable[[str], bool]) -> Any:
        """The path at `node`, as schema.path; a relative one starts at hooks.conf's folder.

        INVALID if it is wrong.
        """
        value = self.read(node, PATH, label)
        if value is INVALID:
            return INVALID
        value = self.path(value)
        if not is_there(value):
            self.warn(node, f"{label}: there is no {value!r}")
        return value

    def mapping(
        self,
        node: yaml.Node,
        label: str,
        readers: Mapping[str, Reader],
        required: Sequence[str] = (),
        *,
        is_open: bool = False,
    ) -> dict[str, Any]:
        """What the readers take of the values of a mapping, by key, without those that are INVALID.

        A key without a reader is a mistake, which names the nearest key that has one. If the mapping
        `is_open`, it is only a warning, unless it looks like a key that is missing. No value at all is
        an empty mapping, unless a key is `required`.
        """
        if is_nothing(node) and not required:
            return {}
        if not isinstance(node, yaml.MappingNode):
            example = f" with {required[0]!r}" if required else ""
            self.refuse(node, f"{label} must be a mapping{example}, found {in_words_of(node)}")
            return {}
        pairs = self.pairs(node)
        found = {key.value: value for key, value in pairs if key.value in readers}
        for key, _ in pairs:
            if key.value not in readers:
                self._unknown(key, label, readers, found if is_open else None)
        for name in required:
            if name not in found:
                self.refuse(node, f"{label} has no {name!r}; add it")
        values = {
            name: self.read(item, readers[name], f"{label}: {name!r}") for name, item in found.items()
        }
        return {name: value for name, value in values.items() if value is not INVALID}

    def _unknown(
        self,
        key: yaml.ScalarNode,
        label: str,
        readers: Mapping[str, Reader],
        given: Container[str] | None,
    ) -> None:
        """Record an unknown key. `given` are the keys that are there; None: it is not open."""
        name = shortened(key.value)
        unknown = f"{label} has the unknown key {name!r}"
        if given is None:
            self.refuse(key, f"{unknown}; {nearest(name, readers)}")
            return
        missing = [each for each in readers if each not in given and readers[each] is not COMMENT]
        if near(name, missing, _TYPO):
            self.refuse(key, f"{unknown}; {nearest(name, missing)}")
        else:
            hint = f"; {nearest(name, missing)}" if near(name, missing) else ""
            self.warn(key, f"{unknown}, which is ignored{hint}")

    def several(self, node: yaml.Node, label: str, reader: Reader) -> tuple[Any, ...]:
        """What the reader takes of each item of a list, or of the one value that is no list."""
        nodes = items_of(node)
        if not nodes:
            self.refuse(node, f"{label} is an empty list; name at least one")
        values = [self.read(item, reader, label) for item in nodes]
        return tuple(value for value in values if value is not INVALID)

    def end_part(self, known: int) -> list[str]:
        """Mark all mistakes but the first `known` as those of one part of the file.

        Only that part cannot be used because of them. Returns their texts, without those of warnings.
        """
        own = [mistake._replace(is_of_part=True) for mistake in self.mistakes[known:]]
        self.mistakes[known:] = own
        wrong = sorted({mistake for mistake in own if not mistake.is_warning})
        return [mistake.as_text("hooks.conf") for mistake in wrong]

    def written(self, node: yaml.Node) -> str:
        """What the file says at a node that has one value or several, for an explanation."""
        return " or ".join(map(self._written, items_of(node)))

    def _written(self, node: yaml.Node) -> str:
        if is_text(node) or is_nothing(node):
            return quoted(node.value if is_text(node) else None)
        return " ".join(self.text_of(node).split())


Reader = Kind | Form | Callable[[Source, yaml.Node, str], Any]
"""Takes the value at a node: as its kind does, or with a function where lines of more nodes matter."""

COMMENT = Form(lambda *_: None, {})
"""Takes whatever stands there, and leaves it alone."""
