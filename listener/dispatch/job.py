"""An entry in work: a Job, and how it is made from a new delivery or from a stored entry.

Owns what the dispatcher and the runner need for one entry. It runs nothing and stores nothing; the
dispatcher makes Jobs, the runner works on them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from listener import log
from listener.actions import Call
from listener.dispatch.rematch import rematch, updated
from listener.hooks.table import Hook, HookTable
from listener.log import loggable
from listener.model import payload
from listener.model.delivery import Delivery, as_entry
from listener.model.entry import Entry, Run
from listener.model.notification import Notification
from listener.state.stop import NOBODY, Stop


class Job(msgspec.Struct):
    """`entry` is the entry as it is stored, or will be; `hooks` has the hook of each of its runs.

    A hook is None if hooks.conf no longer has it. `origin` is for the log.
    """

    entry: Entry
    notification: Notification
    hook_context: Mapping[str, Any]
    hooks: Sequence[Hook | None]
    origin: str

    @property
    def about(self) -> str:
        """What the log calls the job."""
        execution = self.notification.context.get("execution_id")
        entry_id = self.entry.id
        entry = f", entry {entry_id}" if entry_id else ""
        return log.about(
            f"execution {loggable(execution)}, {self.origin}{entry}",
            entry_id=entry_id or None, event_type=self.notification.event_type, execution_id=execution,
        )  # fmt: skip

    def put(self, position: int, run: Run) -> None:
        """Put a run of the entry in the place of the one at this position."""
        runs = self.entry.runs
        self.entry = self.entry.with_runs((*runs[:position], run, *runs[position + 1 :]))

    def call(self, position: int, hook: Hook, stop: Stop = NOBODY) -> Call:
        """What the action of this run is called with."""
        entry = self.entry
        reached = entry.runs[position].reached
        return Call(
            hook, self.notification, self.hook_context, entry.received_at, reached, entry.id, stop=stop
        )


def planned(delivery: Delivery, table: HookTable | None, now: float) -> Job:
    """The job of a new delivery: one pending run for each hook of `table` that matches it."""
    notification = delivery.notification
    hook_context = notification.hook_context()
    hooks: Sequence[Hook] = ()
    if table is not None:
        hooks = table.match(notification.event_type, hook_context, now)
    runs = [Run(hook.name, hook.implementation, fingerprint=hook.fingerprint) for hook in hooks]
    key = delivery.key or os.urandom(12).hex()  # then this process alone recognises it
    return Job(as_entry(delivery, now, runs, key), notification, hook_context, hooks, delivery.origin)


def resumed(entry: Entry, table: HookTable) -> Job:
    """The job of a stored entry: each run with its hook in `table`. Raises UnreadableNotification."""
    notification = payload.decode(entry.body)
    if entry.rest_token is not None:
        context = {**notification.context, "rest_token": entry.rest_token}
        notification = notification._replace(context=context)
    hook_context = notification.hook_context()
    matching = table.match(notification.event_type, hook_context, entry.received_at)
    others = [hook for hook in table.of(notification.event_type) if hook not in matching]
    hooks = rematch(entry.runs, matching, others)
    runs = [
        run if hook is None else updated(run, hook) for run, hook in zip(entry.runs, hooks, strict=True)
    ]
    entry = msgspec.structs.replace(entry, runs=tuple(runs))
    return Job(entry, notification, hook_context, hooks, entry.source)
