"""The hooks of one hooks.conf, and which of them a notification has.

Owns what a Hook is and how it matches. It reads no file and runs nothing: conf.py makes the
table from the file's text, the dispatcher asks it for matches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from listener.hooks.at_most import AtMost
from listener.hooks.forward import ForwardSettings
from listener.hooks.settings import ListenerSettings
from listener.model.notification import OWN_EVENT_TYPES

ANY_EVENT = "*"

DEFAULT_TIMEOUT_S = 60.0

Matcher = Callable[[Any], Any]


class Hook(NamedTuple):
    """One entry of `hooks:`. `line` is where it begins, `input_lines` where each input stands.

    `fingerprint` is of the inputs of a hook without a name of its own, which a retry and a replay find
    again by it; 0 for one with a name or a problem. `repeatable` is None where the action decides.
    `after_s` is how long an execution has no end when a hook on workflow_overdue runs.
    `problem` is what is wrong with it in the file: such a hook can only fail, and has the values that
    could be read. `taken` are the texts that it takes from elsewhere, as (key, text), with '' as the
    key for what !file has brought.
    """

    name: str
    event_types: tuple[str, ...]
    implementation: str
    inputs: Mapping[str, Any]
    line: int
    input_lines: Mapping[str, int]
    when: tuple[tuple[str, tuple[Matcher, ...]], ...] = ()
    timeout_s: float = DEFAULT_TIMEOUT_S
    retries: int = 0
    repeatable: bool | None = None
    fresh: bool = False
    enabled: bool = True
    at_most: AtMost | None = None
    after_s: float | None = None
    fingerprint: int = 0
    problem: str = ""
    taken: tuple[tuple[str, str], ...] = ()

    def is_for(self, event_type: str) -> bool:
        """Whether the hook names the event type, or any that Conductor publishes."""
        is_any = ANY_EVENT in self.event_types and event_type not in OWN_EVENT_TYPES
        return is_any or event_type in self.event_types

    def line_of(self, place: str | None) -> int:
        """The line of an input, or of what it stands in; of `destinations.0.user`, for one."""
        while place and place not in self.input_lines:
            place = place.rpartition(".")[0]
        return self.input_lines[place] if place else self.line

    def matches(self, hook_context: Mapping[str, Any]) -> bool:
        """Whether all conditions (`when`) of the hook hold, whatever the event type is."""
        return all(
            any(matcher(hook_context.get(field)) for matcher in matchers)
            for field, matchers in self.when
        )


class HookTable(NamedTuple):
    """All hooks of one file, in its order, and its other sections.

    `files` are those that !file names. `is_blank`: nothing at all stood in the file, or only comments.
    """

    hooks: tuple[Hook, ...] = ()
    listener: ListenerSettings = ListenerSettings()
    is_blank: bool = False
    files: tuple[str, ...] = ()
    forward: ForwardSettings | None = None

    @property
    def has_problem(self) -> bool:
        return any(hook.problem for hook in self.hooks)

    def match(self, event_type: str, hook_context: Mapping[str, Any]) -> Sequence[Hook]:
        """Every enabled hook for this notification, in the file's order."""
        return [hook for hook in self.of(event_type) if hook.matches(hook_context)]

    def of(self, event_type: str) -> Sequence[Hook]:
        """Every enabled hook for this event type, in the file's order."""
        return [hook for hook in self.hooks if hook.enabled and hook.is_for(event_type)]
