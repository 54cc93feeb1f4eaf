"""Why a hook matches an event, or does not, in words.

Owns what a person reads about it. It judges nothing: the conditions of the hook do. The verbs explain
and check call it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from listener.hooks.table import Condition, Hook


class Refusal(NamedTuple):
    """The first condition of a hook that fails, by its key: what it wants, what there is."""

    condition: str
    wanted: str
    found: str

    def __str__(self) -> str:
        return f"{self.condition}: wants {self.wanted}, found {self.found}"


def refusal(hook: Hook, event_type: str, hook_context: Mapping[str, Any], at: float) -> Refusal | None:
    """Why the hook does not match; None if it does."""
    unmet = hook.unmet(event_type, hook_context, at)
    return unmet and Refusal(_key(unmet, hook), unmet.wanted, unmet.found(hook_context, at))


def reasons(hook: Hook, event_type: str, hook_context: Mapping[str, Any], at: float) -> Iterator[str]:
    """What each condition of a hook that matches has found."""
    yield f"event_type: {event_type}"
    for condition in hook.when:
        yield f"{_key(condition, hook)}: {condition.found(hook_context, at)}"


def _key(condition: Condition, hook: Hook) -> str:
    return f"when.{condition.name}" if condition in hook.when else condition.name
