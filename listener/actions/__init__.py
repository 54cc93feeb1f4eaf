"""What a hook can do: the Action contract, and one room for each built-in action.

An action does one hook's work for one notification, in the listener's process, before the event is
answered. It never looks at the journal or at other hooks; the dispatcher runs it and judges.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from listener.hooks.table import Hook
from listener.model.notification import Notification


class Call(msgspec.Struct, frozen=True):
    """One attempt at a hook: what to work with. `received_at` is Unix time in seconds.

    `reached` are the destinations that an earlier attempt has reached; this one leaves them out.
    `entry_id` is 0 where there is no journal.
    """

    hook: Hook
    notification: Notification
    hook_context: Mapping[str, Any]
    received_at: float
    reached: tuple[str, ...] = ()
    entry_id: int = 0


class Fault(NamedTuple):
    """Something that will make an action fail: the input it is about, or None, and the reason.

    `is_certain` is False when it need not be so where and when the hook runs.
    """

    input: str | None
    reason: str
    is_certain: bool = True


class Action(Protocol):
    def run(self, call: Call) -> str:
        """Do the work within the hook's `timeout_s`; return what to log about it, or ''.

        Raises ActionFailed or ActionTimedOut. Any other exception counts as failed too.
        """
        ...

    def check(self, hook: Hook, *, may_import: bool) -> list[Fault]:
        """What would make the hook fail, as far as it can be seen without doing the work.

        `may_import` allows running the code of modules that the hook names.
        """
        ...
