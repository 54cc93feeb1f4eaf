"""Why a hook matches an event, or does not, in words.

Owns what a person reads about it. It judges nothing: the conditions of the hook do. The verbs explain
and check call it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from listener.hooks.table import Hook, unmet


class Refusal(NamedTuple):
    """The first condition of a hook that fails, by its key: what it wants, what there is."""

    condition: str
    wanted: str
    found: str

    def __str__(self) -> str:
        return f"{self.condition}: wants {self.wanted}, found {self.found}"


def refusal(hook: Hook, event_type: str, hook_context: Mapping[str, Any], at: float) -> Refusal | None:
    """Why the hook does not match; None if it does."""
    if not hook.enabled:
        return Refusal("enabled", "true", "false")
    if not hook.is_for(event_type):
        return Refusal("event_type", " or ".join(hook.event_types), event_type)
    failing = unmet(hook.when, hook_context, at)
    return failing and Refusal(f"when.{failing.name}", failing.wanted, failing.found(hook_context, at))


def reasons(hook: Hook, event_type: str, hook_context: Mapping[str, Any], at: float) -> Iterator[str]:
    """What each condition of a hook that matches has found."""
    yield f"event_type: {event_type}"
    for condition in hook.when:
        yield f"when.{condition.name}: {condition.found(hook_context, at)}"
