"""The texts of !template: Jinja templates that are filled from a notification at each attempt.

Owns what a template may hold, so that none can take long or grow large, and the words about one that
is wrong. It knows no YAML and runs no action. yaml_lines.py makes Templates, attempt.py renders them,
registry.py asks where they stand: each imports it for a !template alone, jinja2 is slow to import.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.filters import FILTERS
from jinja2.runtime import LoopContext
from jinja2.sandbox import SandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import missing

from listener.errors import ActionFailed
from listener.hooks.values import near, nearest
from listener.model.notification import CONTEXT_FIELDS, OWN_FIELDS
from listener.model.outcome import NEVER

MOST_CHARACTERS = 65_536
"""Of a rendered text."""

MOST_ITEMS = 1_000
"""Of a loop. No loop holds another one."""

MOST_CPU_S = 1.0
"""Of a loop, measured before each item."""

_MOST_LEVELS = 40
"""Of nested expressions: jinja2 takes seconds to compile hundreds of levels."""

_FIELDS = (*CONTEXT_FIELDS, "execution_parameters", "arguments", "rest_token", "entry_id", "text")

_ALLOWED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For,
    nodes.Name, nodes.Literal, nodes.Pair, nodes.Keyword, nodes.CondExpr, nodes.Filter, nodes.Test,
    nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Concat, nodes.Add, nodes.Sub, nodes.Neg,
    nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not,
)  # fmt: skip
"""None of these makes a text longer than its operands are together, or calls anything."""

_FAILURES = (
    jinja2.TemplateError, TypeError, ValueError, LookupError, ArithmeticError, AssertionError,
    RecursionError,
)  # fmt: skip
"""What the allowed expressions can raise."""


class TemplateMistake(Exception):
    """A text that is no template, or holds what none may, at this line of hooks.conf."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


class Template:
    """One template, compiled. `line` is that of hooks.conf in which its text begins.

    `is_block`: each line of the text is one of hooks.conf. Raises TemplateMistake.
    """

    def __init__(self, text: str, line: int, *, is_block: bool) -> None:
        self.text = text
        self._line, self._is_block = line, is_block
        try:
            tree = _ENVIRONMENT.parse(text)
            _limit(tree)
            _take_absent_as_empty(tree)
            self._template = _ENVIRONMENT.from_string(tree)
        except jinja2.TemplateSyntaxError as error:
            raise TemplateMistake(self._line_at(error.lineno), str(error.message)) from error
        names = list(tree.find_all(nodes.Name))
        own = {"loop"}.union(name.name for name in names if name.ctx == "store")
        self._names = {name.name: name.lineno for name in names if name.name not in own}

    def render(self, fields: Mapping[str, Any]) -> str:
        """The text with these fields filled in. Raises ActionFailed, which no retry can mend."""
        pieces, size = [], 0
        try:
            for piece in self._template.generate(fields):
                size += len(piece)
                _refuse_above(MOST_CHARACTERS, size, "its text has more than {} characters")
                pieces.append(piece)
        except _FAILURES as error:
            line = self._line_at(_line_of(error))
            reason = f"hooks.conf, line {line}: !template: {' '.join(str(error).split())}"
            raise ActionFailed(reason, retry_after_s=NEVER) from error
        return "".join(pieces)

    def doubts(self, event_types: Iterable[str]) -> Iterator[tuple[int, str]]:
        """What is doubtful in it for a hook on these event types: the lines in hooks.conf, and why."""
        own = [field for event_type in event_types for field in OWN_FIELDS.get(event_type, ())]
        known = (*_FIELDS, *own)
        for name, line in self._names.items():
            if name == "rest_token":
                yield self._line_at(line), "hands the secret rest_token to the action"
            elif name not in known:
                reason = f"Conductor sends no field {name!r}; {nearest(name, known)}"
                yield self._line_at(line), reason

    def _line_at(self, line: int) -> int:
        return self._line + line - 1 if self._is_block else self._line


def rendered(value: Any, fields: Mapping[str, Any]) -> Any:
    """The inputs of a hook, or one of them, with a text for each template. Raises ActionFailed.

    A field that every context can have is None where this one lacks it.
    """
    return _with_texts(value, {**dict.fromkeys(_FIELDS), **fields})


def _with_texts(value: Any, fields: Mapping[str, Any] | None) -> Any:
    """Each template as its rendered text; without fields, as it is written."""
    if isinstance(value, Template):
        return value.text if fields is None else value.render(fields)
    if isinstance(value, dict):
        return {key: _with_texts(item, fields) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_texts(item, fields) for item in value]
    return value


def as_written(inputs: Mapping[str, Any]) -> Any:
    """The inputs with the text of each template, for what only looks at them."""
    return _with_texts(inputs, None)


def places(value: Any, place: str = "") -> Iterator[str]:
    """Where the templates stand among inputs: `name`, `name.0`, `name.0.key`."""
    if isinstance(value, Template):
        yield place
    elif isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, f"{place}.{key}" if place else str(key))


class _Missing(jinja2.StrictUndefined):
    """A field that is not there: whatever is done with it fails, and names the nearest one."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return self._undefined_hint
        name, within = str(self._undefined_name), self._undefined_obj
        if within is missing:
            return f"the notification has no field {name!r}; {nearest(name, _FIELDS)}"
        close = near(name, map(str, within)) if isinstance(within, Mapping) else None
        return f"there is no {name!r} in that value" + (f"; did you mean {close!r}?" if close else "")


class _Environment(SandboxedEnvironment):
    """Values of JSON have items and no attributes: `parameters.items` is the item of that name."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, LoopContext):
            return super().getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        try:
            return obj[argument]
        except (TypeError, LookupError):
            return self.undefined(obj=obj, name=argument)


def _limit(tree: nodes.Template) -> None:
    """Raise TemplateSyntaxError for what is not allowed; let each loop stop at MOST_ITEMS."""
    if _levels(tree) > _MOST_LEVELS:
        raise jinja2.TemplateSyntaxError("it nests too deep", 1)
    for node in tree.find_all(nodes.Node):
        if not isinstance(node, _ALLOWED):
            raise jinja2.TemplateSyntaxError(_why_not(node), node.lineno)
        if isinstance(node, (nodes.Filter, nodes.Test)):
            kind, known = ("filter", _FILTERS) if isinstance(node, nodes.Filter) else ("test", _TESTS)
            if node.name not in known:
                reason = f"there is no {kind} {node.name!r}; {nearest(node.name, known)}"
                raise jinja2.TemplateSyntaxError(reason, node.lineno)
    for loop in tree.find_all(nodes.For):
        if loop.recursive or loop.find(nodes.For):
            raise jinja2.TemplateSyntaxError("a loop cannot hold another one", loop.lineno)
        loop.iter = nodes.Filter(loop.iter, _COUNTED, [], [], None, None, lineno=loop.lineno)


def _levels(node: nodes.Node) -> int:
    """How many nodes stand in one another."""
    return 1 + max(map(_levels, node.iter_child_nodes()), default=0)


def _take_absent_as_empty(tree: nodes.Template) -> None:
    """Let filters and `~` take an empty text for None, as it is printed; the library says "None"."""
    for joined in list(tree.find_all(nodes.Concat)):
        joined.nodes = [_or_empty(each) for each in joined.nodes]
    for filtered in list(tree.find_all(nodes.Filter)):
        if filtered.name not in _TAKE_NONE and filtered.node is not None:
            filtered.node = _or_empty(filtered.node)


def _or_empty(value: nodes.Expr) -> nodes.Expr:
    return nodes.Filter(value, _OR_EMPTY, [], [], None, None, lineno=value.lineno)


def _why_not(node: nodes.Node) -> str:
    if isinstance(node, nodes.Call):
        return "nothing can be called; use a filter, as in 'deployment_id | upper'"
    return f"{type(node).__name__!r} is not allowed; only texts, fields, filters, 'if' and 'for' are"


def _refuse_above(most: float, size: float, reason: str) -> None:
    if size > most:
        raise jinja2.TemplateRuntimeError(reason.format(most))


def _line_of(error: BaseException) -> int:
    """The line of the template that has raised it."""
    frames = list(traceback.walk_tb(error.__traceback__))
    lines = [line for frame, line in frames if frame.f_code.co_filename == _ENVIRONMENT_FILE]
    return lines[-1] if lines else 1


def _counted(items: Iterable[Any] | None) -> Iterator[Any]:
    began = time.thread_time()
    for number, item in enumerate(() if items is None else items, 1):
        _refuse_above(MOST_ITEMS, number, "a loop goes over more than {} items")
        _refuse_above(MOST_CPU_S, time.thread_time() - began, "a loop takes more than {:g} s")
        yield item


def _join(items: Any, separator: str = "") -> str:
    texts = ["" if item is None else str(item) for item in items]
    size = len(texts) * len(separator)
    _refuse_above(MOST_CHARACTERS, size, "'join' makes more than {} characters")
    return separator.join(texts)


def _replace(text: Any, old: str, new: str) -> str:
    size = str(text).count(old) * (len(new) - len(old))
    _refuse_above(MOST_CHARACTERS, size, "'replace' makes more than {} characters longer")
    return str(text).replace(old, new)


def _default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    return FILTERS["default"](_Missing() if value is None else value, default_value, boolean)


def _empty_if_none(value: Any) -> Any:
    return "" if value is None else value


def _json(value: Any) -> str:
    """As JSON; the library's own is made for HTML."""
    return json.dumps(value, ensure_ascii=False, default=str)


_COUNTED, _OR_EMPTY = "counted items", "or empty"  # names that no template can write
_FILTERS = {
    **{
        name: FILTERS[name]
        for name in (
            "capitalize", "first", "items", "last", "length", "lower", "string",
            "trim", "truncate", "upper", "urlencode",
        )
    },
    "d": _default, "default": _default, "join": _join, "replace": _replace, "tojson": _json,
}  # fmt: skip
"""Those that make no text much longer than it was."""
_TAKE_NONE = ("d", "default", "tojson", _COUNTED, _OR_EMPTY)

_TESTS = {
    name: TESTS[name]
    for name in ("defined", "undefined", "none", "boolean", "number", "string", "mapping", "sequence")
}
"""Of the others, `even` and its like format a text with %, to any length."""

_ENVIRONMENT_FILE = "<template>"
_ENVIRONMENT = _Environment(undefined=_Missing, autoescape=False, finalize=_empty_if_none)
_ENVIRONMENT.globals.clear()
_ENVIRONMENT.tests = dict(_TESTS)
_ENVIRONMENT.filters = {**_FILTERS, _COUNTED: _counted, _OR_EMPTY: _empty_if_none}
