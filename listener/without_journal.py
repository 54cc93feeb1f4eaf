"""What is done with deliveries where there is no journal: hooks are run, the log is told, that is all.

Nothing is recognised, tried again or followed by hooks on hook_failed, since nothing is kept. It does
for serving.py and for the verb `fire` what the dispatcher does where there is a journal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from listener import log
from listener.actions import Call
from listener.actions.registry import Actions
from listener.attempt import attempt, tell
from listener.delivery import Delivery, as_entry
from listener.entry import Entry, Run
from listener.hooks import Hook
from listener.hooks_watch import HooksFile
from listener.notification import Notification
from listener.outcome import Outcome
from listener.telling import about_of, tell_missing, tell_unmatched, tell_unreadable

_End = tuple[Hook, float, Outcome]
"""A hook that was run, when that began in Unix time, and how it ended."""


class WithoutJournal:
    """Runs the hooks of deliveries, each once, in the file's order. `now` gives Unix time."""

    def __init__(
        self, hooks_file: HooksFile, actions: Actions, *, now: Callable[[], float] = time.time
    ) -> None:
        self._hooks_file = hooks_file
        self._actions = actions
        self._now = now
        self._rest: tuple[Delivery, str, float, list[_End]] | None = None

    def deliver(self, delivery: Delivery) -> None:
        """Run the hooks. It is all that an answer waits for; `settle` has to follow."""
        self.settle()
        received_at = self._now()
        about = about_of(delivery.notification, delivery.origin)
        ended = [] if delivery.problem else self._run(delivery.notification, about, received_at)
        self._rest = delivery, about, received_at, ended

    def _run(self, notification: Notification, about: str, received_at: float) -> list[_End]:
        hook_context = notification.hook_context()
        ended: list[_End] = []
        for hook in self._hooks_file.match(notification.event_type, hook_context):
            if ended:
                _tell(ended[-1], about)  # the last one is left to `settle`
            else:
                # supervisord takes these lines while a trap is sent, and need not be woken for the
                # answer. With a journal that gains nothing, and before a function it costs time.
                log.flush()
            began_at = self._now()
            call = Call(hook, notification, hook_context, received_at)
            ended.append((hook, began_at, attempt(self._actions, call, about)))
        return ended

    def settle(self) -> Entry | None:
        """Tell the log what an answer need not wait for.

        What a journal would have for the delivery; None when there was nothing to do.
        """
        rest, self._rest = self._rest, None
        return self._settled(*rest) if rest is not None else None

    def work(self) -> float | None:
        """Prepare for an event that may come at once; there is never more to do later."""
        return None

    def _settled(
        self, delivery: Delivery, about: str, received_at: float, ended: Sequence[_End]
    ) -> Entry:
        if ended:
            _tell(ended[-1], about)
        if delivery.problem:
            tell_unreadable(delivery)
        else:
            tell_missing(delivery.notification, about)
            if not ended and self._hooks_file.table is not None:
                tell_unmatched(delivery.notification, about)
        runs = [
            Run(hook.name, hook.implementation, fingerprint=hook.fingerprint)
            .begun(began_at)
            .ended(outcome, 0, began_at, 0.0)
            for hook, began_at, outcome in ended
        ]
        return as_entry(delivery, received_at, runs, None)


def _tell(end: _End, about: str) -> None:
    hook, _, outcome = end
    tell(hook.name, outcome, about)
