"""The hooks of one hooks.conf, and which of them a notification has.

Owns what a Hook is and how it matches. It reads no file and runs nothing: conf.py makes the
table from the file's text, the dispatcher asks it for matches.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from listener.hooks.settings import ListenerSettings
from listener.model.notification import OWN_EVENT_TYPES

if TYPE_CHECKING:
    from listener.hooks.cases import Case
    from listener.hooks.template import Template

ANY_EVENT = "*"


class Condition(NamedTuple):
    """One condition of a hook: whether it holds for a hook context and the Unix time of its receipt.

    `wanted` is what hooks.conf says. `found` says what there is; only an explanation asks for it.
    """

    name: str
    holds: Callable[[Mapping[str, Any], float], Any]
    wanted: str
    found: Callable[[Mapping[str, Any], float], str]


Conditions = tuple[Condition, ...]


class AtMost(NamedTuple):
    """At most `runs` in any `per_s` seconds; counted for each value of `field`, if it has one.

    `words` are those of hooks.conf.
    """

    runs: int
    per_s: float
    field: str
    words: str


def unmet(conditions: Conditions, hook_context: Mapping[str, Any], at: float) -> Condition | None:
    """The first of these conditions that does not hold; None when all hold."""
    for condition in conditions:
        if not condition.holds(hook_context, at):
            return condition
    return None


class Hook(NamedTuple):
    """One entry of `hooks:`. `line` is where it begins, `input_lines` where each input stands.

    `fingerprint` is of the inputs of a hook without a name of its own, which a retry and a replay find
    again by it; 0 for one with a name or a problem. `repeatable` is None where the action decides.
    `after_s` is how long an execution has no end when a hook on workflow_overdue runs.
    `problem` is what is wrong with it in the file: such a hook can only fail, and has the values that
    could be read. `taken` are the texts that it takes from elsewhere, as (key, text), with '' as the
    key for what !file has brought. `templates` stand among its inputs; attempt.py replaces them.
    """

    name: str
    event_types: tuple[str, ...]
    implementation: str
    inputs: Mapping[str, Any]
    line: int
    input_lines: Mapping[str, int]
    when: Conditions = ()
    timeout_s: float = 60.0
    retries: int = 0
    repeatable: bool | None = None
    fresh: bool = False
    enabled: bool = True
    at_most: AtMost | None = None
    after_s: float | None = None
    fingerprint: int = 0
    problem: str = ""
    taken: tuple[tuple[str, str], ...] = ()
    templates: tuple["Template", ...] = ()

    def is_for(self, event_type: str) -> bool:
        """Whether the hook names the event type, or any that Conductor publishes."""
        event_types = self.event_types
        return event_type in event_types or (
            ANY_EVENT in event_types and event_type not in OWN_EVENT_TYPES
        )

    def line_of(self, place: str | None) -> int:
        """The line of an input, or of what it stands in; of `destinations.0.user`, for one."""
        while place and place not in self.input_lines:
            place = place.rpartition(".")[0]
        return self.input_lines[place] if place else self.line


class HookTable(NamedTuple):
    """All hooks of one file, in its order, and its other sections.

    `files` are those that !file names. `tests` is None where they are not read. `is_blank`: nothing at
    all stood in the file, or only comments.
    """

    hooks: tuple[Hook, ...] = ()
    listener: ListenerSettings = ListenerSettings()
    is_blank: bool = False
    files: tuple[str, ...] = ()
    forward: Any = None  # ForwardSettings; their module is imported where the section is read
    tests: tuple["Case", ...] | None = None

    @property
    def has_problem(self) -> bool:
        return any(hook.problem for hook in self.hooks)

    def match(self, event_type: str, hook_context: Mapping[str, Any], at: float) -> Sequence[Hook]:
        """Every enabled hook for the notification that came at this Unix time, in the file's order."""
        return [hook for hook in self.of(event_type) if unmet(hook.when, hook_context, at) is None]

    def of(self, event_type: str) -> Sequence[Hook]:
        """Every enabled hook for this event type, in the file's order."""
        return [hook for hook in self.hooks if hook.enabled and hook.is_for(event_type)]
