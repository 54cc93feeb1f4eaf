"""Actions that installed packages bring along, by entry points of the group `conductor_hooks.actions`.

Owns how one is found and made, and that its errors are its own hooks' failures alone. It knows no
built-in. registry.py asks it for an implementation without a dot that is none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

from listener.actions import Action, Call, Fault, MistakenAction, Surroundings
from listener.errors import ActionFailed
from listener.hooks.table import Hook
from listener.hooks.values import nearest
from listener.model.outcome import Tally

GROUP = "conductor_hooks.actions"

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


def installed(name: str, surroundings: Surroundings, built_in: Iterable[str]) -> Action:
    """The action that an entry point of this name leads to; else one that fails, and says why."""
    from importlib.metadata import entry_points  # slow to import

    found = {each.value: each for each in entry_points(group=GROUP, name=name)}
    if not found:
        function = f"a function needs its module, as in module.{name}"
        return MistakenAction(f"there is no action {name!r}, and {function}; {nearest(name, built_in)}")
    if len(found) > 1:
        return MistakenAction(f"several packages have an action {name!r}: {', '.join(sorted(found))}")
    ((place, entry_point),) = found.items()
    try:
        return InstalledAction(name, _made(entry_point.load(), surroundings))
    except Exception as error:  # whatever the package raises fails its hooks, and nothing else
        return MistakenAction(f"the action {name!r} of {place} cannot be used: {_in_words(error)}")


def _made(kind: Any, surroundings: Surroundings) -> Action:
    if not (isinstance(kind, type) and issubclass(kind, Action)):
        raise TypeError("it is no class that inherits from listener.actions.Action")
    return kind(surroundings)


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


class InstalledAction(Action):
    """A package's action, all of whose errors stay with its own hooks."""

    def __init__(self, name: str, action: Action) -> None:
        self.name = name
        self.repeatable = action.repeatable
        self.runs_programs = action.runs_programs
        self.has_destinations = action.has_destinations
        self._action = action

    def run(self, call: Call) -> str:
        """What it returns, as a text: without a `return` in it, that is None."""
        try:
            result: Any = self._action.run(call)
        except SystemExit as error:  # of a command line's `main`, for one; the listener must not end
            raise ActionFailed(f"it called sys.exit({error.code!r})") from error
        return "" if result is None else str(result)

    def check(self, hook: Hook, *, may_import: bool) -> list[Fault]:
        return self._done("check", lambda: list(self._action.check(hook, may_import=may_import)), [])

    def hosts(self, hook: Hook) -> Collection[str]:
        return self._done("name its hosts", lambda: self._action.hosts(hook), ())

    def prepare(self, hook: Hook) -> None:
        self._done("prepare", lambda: self._action.prepare(hook), None)

    def drain(self) -> None:
        self._done("drain", self._action.drain, None)

    def take_tallies(self) -> dict[str, Tally]:
        return self._done("take_tallies", self._action.take_tallies, {})

    def close(self) -> None:
        self._done("close", self._action.close, None)

    def _done(self, what: str, do: Callable[[], _T], otherwise: _T) -> _T:
        try:
            return do()
        except Exception as error:  # of other people's code, which must not end the listener
            _log.error("the action %s failed to %s: %s", self.name, what, _in_words(error))
            return otherwise
