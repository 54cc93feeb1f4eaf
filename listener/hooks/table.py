"""The hooks of one hooks.conf, and which of them a notification has.

Owns what a Hook is and how it matches. It reads no file and runs nothing: hooks_conf.py makes the
table from the file's text, the dispatcher asks it for matches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from listener.model.notification import EVENT_TYPES, HOOK_FAILED

ANY_EVENT = "*"

DEFAULT_TIMEOUT_S = 60.0

Matcher = Callable[[Any], Any]


class Hook(NamedTuple):
    """One entry of `hooks:`. `line` is where it begins, `input_lines` where each input stands.

    `mark` tells hooks without a name of their own apart by their inputs; it is 0 for one with a name.
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
    description: str = ""
    mark: int = 0

    def is_for(self, event_type: str) -> bool:
        """Whether the hook names the event type, or any that Conductor publishes."""
        is_any = ANY_EVENT in self.event_types and event_type != HOOK_FAILED
        return is_any or event_type in self.event_types

    def matches(self, hook_context: Mapping[str, Any]) -> bool:
        """Whether every `when` field of this hook matches; the event type is not looked at."""
        return all(
            any(matcher(hook_context.get(field)) for matcher in matchers)
            for field, matchers in self.when
        )


class RestService(NamedTuple):
    """A manager's REST service and the certificate that it is known by, by default a manager's own.

    `host` may name several, with commas between them.
    """

    host: str
    port: int = 53333
    protocol: str = "https"
    cert: str = "/etc/cloudify/ssl/cloudify_internal_ca_cert.pem"


class ListenerSettings(NamedTuple):
    """The `listener:` section. None means the default, which the place that needs it knows."""

    state_dir: str | None = None
    python: str | None = None
    python_path: tuple[str, ...] = ()
    durability: str = "process"
    keep_days: float = 30.0
    keep_entries: int = 1_000_000
    wait_for_retries: float = 900.0
    plugins: str | None = None
    manager: RestService | None = None
    child_memory: int | None = None


_NO_SETTINGS = ListenerSettings()


class HookTable:
    """All hooks of one file, in its order, and its `listener` section.

    `is_blank`: nothing at all stood in the file, or only comments.
    """

    def __init__(
        self,
        hooks: tuple[Hook, ...] = (),
        listener: ListenerSettings = _NO_SETTINGS,
        *,
        is_blank: bool = False,
    ) -> None:
        self.is_blank = is_blank
        self.hooks = hooks
        self.listener = listener
        self._by_event_type: dict[str, tuple[Hook, ...]] = {}

    def match(self, event_type: str, hook_context: Mapping[str, Any]) -> Sequence[Hook]:
        """Every enabled hook for this notification, in the file's order."""
        return [hook for hook in self.of(event_type) if not hook.when or hook.matches(hook_context)]

    def of(self, event_type: str) -> Sequence[Hook]:
        """Every enabled hook for this event type, in the file's order."""
        hooks = self._by_event_type.get(event_type)
        if hooks is None:
            hooks = tuple(hook for hook in self.hooks if hook.enabled and hook.is_for(event_type))
            if event_type in EVENT_TYPES:  # others are unbounded in number
                self._by_event_type[event_type] = hooks
        return hooks
