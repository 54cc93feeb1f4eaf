"""What a hook can do: the Action contract, and one file or folder for each action.

An action does one hook's work for one notification, in the listener's process, before the event is
answered. It never looks at the journal or at other hooks. registry.py has all of them; the runner calls
them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from listener.errors import ActionFailed
from listener.hooks.settings import ListenerSettings
from listener.hooks.table import Hook
from listener.hooks.values import Kind
from listener.log import about
from listener.model.notification import Notification
from listener.model.outcome import NEVER, Tally
from listener.state.stop import NOBODY, Stop

if TYPE_CHECKING:
    from listener.interpreters.plugins import Plugin


class Call(msgspec.Struct, frozen=True):
    """One attempt at a hook: what to work with. `received_at` is Unix time in seconds.

    `reached` are the destinations that an earlier attempt has reached; this one leaves them out.
    `entry_id` is 0 where the notification has no entry. `secrets` are for `mask`: nothing that is
    logged or stored of the call shows them. While `stop.is_asked()`, the attempt has to end, as it
    does at its timeout.
    """

    hook: Hook
    notification: Notification
    hook_context: Mapping[str, Any]
    received_at: float
    reached: tuple[str, ...] = ()
    entry_id: int = 0
    secrets: tuple[str, ...] = ()
    stop: Stop = NOBODY

    @property
    def label(self) -> str:
        """What stands in the log before each line of output; the entry's id finds the other lines."""
        entry = f", entry {self.entry_id}" if self.entry_id else ""
        name = self.hook.name
        return about(f"hook {name}{entry}", hook=name, entry_id=self.entry_id or None)


class Fault(NamedTuple):
    """Something that will make an action fail: the input it is about, or None, and the reason.

    `is_certain` is False when it need not be so where and when the hook runs.
    """

    input: str | None
    reason: str
    is_certain: bool = True


class Surroundings(NamedTuple):
    """What every action is made with. `state_dir` is None where there is no state directory.

    `config_folder` is that of hooks.conf, where a task finds what it names by a relative path.
    """

    settings: ListenerSettings
    state_dir: str | None = None
    config_folder: str = ""


class Action:
    """One kind of work; an instance lives as long as its process. All but `run` have defaults.

    To add one: a file here, a line in registry.py, its inputs in cli/keys.py; or an installed package
    with an entry point in the group `conductor_hooks.actions`.
    """

    repeatable = False
    """Whether doing it twice is harmless: then it is run again when the listener died while it ran.

    A hook's own `repeatable` overrides it.
    """

    runs_programs = False
    """Whether it runs code that a hook names: a listener that root runs warns of such hooks."""

    has_destinations = False
    """Whether `take_tallies` counts; what an action without destinations does is counted for it."""

    def __init__(self, surroundings: Surroundings) -> None:
        """Be quick: what only some hooks need is opened when it is first used."""

    def run(self, call: Call) -> str:
        """Do the work within the hook's `timeout_s`; return what to log about it, or ''.

        Raises ActionFailed or ActionTimedOut. Any other exception counts as failed, too.
        """
        raise NotImplementedError

    def check(self, hook: Hook, *, may_import: bool) -> list[Fault]:
        """What would make the hook fail, as far as it can be seen without doing the work.

        `may_import` allows running the code of modules that the hook names.
        """
        return []

    def hosts(self, hook: Hook) -> Collection[str]:
        """The names and addresses that the hook sends to, as far as they must be resolved here."""
        return ()

    @classmethod
    def inputs(cls) -> Mapping[str, Kind]:
        """The inputs that a hook can have, and what each may be; {} where any may stand."""
        return {}

    def plugins(self, hook: Hook) -> Sequence[Plugin]:
        """The managed plugins that have the hook's task, one for each tenant that has its own."""
        return ()

    def is_instant(self, hook: Hook) -> bool:
        """Whether an attempt at the hook takes no longer than a write to the journal.

        If it is harmless to do it twice, too, the listener does it before it stores the notification.
        """
        return False

    def prepare(self, hook: Hook) -> None:
        """Do now, while nothing waits, what the hook's first attempt would have to do first."""

    def drain(self) -> None:
        """Log what programs left behind have printed since; called every five seconds."""

    def take_tallies(self) -> dict[str, Tally]:
        """What was counted for each destination since this was last called."""
        return {}

    def close(self) -> None:
        """Free what it holds. Safe to call twice."""


class MistakenAction(Action):
    """Stands for an action that cannot be had: each run fails at once, whatever `retries` the hook has.

    The history has these runs with the reason, and `replay` runs them when it is mended.
    """

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def run(self, call: Call) -> str:
        raise ActionFailed(self._reason, retry_after_s=NEVER)

    def check(self, hook: Hook, *, may_import: bool) -> list[Fault]:
        return [Fault(None, self._reason)]
