"""What the journal keeps of a notification: an Entry, its Runs, their Attempts.

Owns these three values and the words for their states. It knows no SQL and runs nothing; the dispatcher
makes them, the journal stores them, the verbs print them.
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from typing import Literal

import msgspec

from listener.model.notification import storable
from listener.model.outcome import Outcome
from listener.model.outcome import State as AttemptState
from listener.model.secrets import mask_tokens

RunState = Literal["pending", "running", "done", "suppressed", "failed", "interrupted", "dropped"]
EntryState = Literal[
    "pending", "running", "done", "suppressed", "failed", "interrupted", "ignored", "unreadable",
    "dropped",
]  # fmt: skip
UNSETTLED = ("pending", "running")

FIRE = "fire"
"""The source of what the verb fire made to test a hook."""


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt at a run. `began_at` is Unix time; `text` is its result, or why it failed.

    Stored as "interrupted" until it ends, so a crash needs no clean-up.
    """

    began_at: float
    state: AttemptState = "interrupted"
    text: str = ""
    seconds: float = 0.0


class Run(msgspec.Struct, frozen=True, omit_defaults=True):
    """One hook of one entry. `due_at` is the Unix time from which a pending run may be tried.

    `failures` counts since the run was planned or replayed; the hook's `retries` limit it.
    `fingerprint` is that of the Hook. `reached` are the destinations that need no further attempt.
    """

    hook: str
    implementation: str
    state: RunState = "pending"
    due_at: float = 0.0
    failures: int = 0
    attempts: tuple[Attempt, ...] = ()
    fingerprint: int = 0
    reached: tuple[str, ...] = ()

    def begun(self, now: float) -> Run:
        """The run with another attempt, which begins now."""
        return msgspec.structs.replace(
            self, state="running", due_at=0.0, attempts=(*self.attempts, Attempt(now))
        )

    def ended(self, outcome: Outcome, retry_at: float | None) -> Run:
        """The run after its attempt: done, pending until `retry_at`, or failed where that is None."""
        began_at = self.attempts[-1].began_at
        text = mask_tokens(storable(outcome.text))
        attempt = Attempt(began_at, outcome.state, text, round(outcome.seconds, 6))
        attempts = (*self.attempts[:-1], attempt)
        if outcome.is_done:
            return msgspec.structs.replace(self, state="done", attempts=attempts)
        return msgspec.structs.replace(
            self,
            state="failed" if retry_at is None else "pending",
            due_at=retry_at or 0.0,
            failures=self.failures + 1,
            attempts=attempts,
            reached=(*self.reached, *outcome.reached),
        )

    def with_state(self, state: RunState) -> Run:
        """The run in a state that no attempt of it has brought about."""
        return msgspec.structs.replace(self, state=state)


class Entry(msgspec.Struct, frozen=True):
    """The journal's row for a notification; times are Unix times.

    `key` recognises another delivery of it. `serials` are supervisord's numbers: run/serial/poolserial.
    `body` is the notification's JSON without its rest_token, which is kept beside it until the entry is
    settled. `error` says why an unreadable one is unreadable. `notes` are notes of the
    journal's that change with its acceptance; they are not read back.
    """

    id: int
    received_at: float
    source: str
    state: EntryState
    body: str
    key: str | None = None
    serials: str | None = None
    event_type: str | None = None
    execution_id: str | None = None
    rest_token: str | None = None
    runs: tuple[Run, ...] = ()
    error: str = ""
    notes: tuple[tuple[str, str], ...] = ()

    @property
    def is_settled(self) -> bool:
        return self.state not in UNSETTLED

    def due_at(self, paused: Container[str] = ()) -> float:
        """The Unix time from which there is something to do for it, but for paused hooks.

        0.0: at once; infinite: not before a pause ends.
        """
        unsettled = [run for run in self.runs if run.state in UNSETTLED]
        times = [run.due_at for run in unsettled if run.hook not in paused]
        return min(times, default=math.inf if unsettled else 0.0)

    @property
    def is_fresh(self) -> bool:
        """Whether nothing was ever tried for it."""
        return not any(run.attempts for run in self.runs)

    def was_tried_after(self, now: float) -> bool:
        """Whether an attempt began later than now: the clock was set back since."""
        return any(run.attempts[-1].began_at > now for run in self.runs if run.attempts)

    def with_runs(self, runs: Sequence[Run]) -> Entry:
        """The entry with these runs, in the state that follows from theirs."""
        return msgspec.structs.replace(self, runs=tuple(runs), state=state_of(runs))


def state_of(runs: Sequence[Run]) -> EntryState:
    """The state of an entry with these runs: that of the worst, or ignored when there is none."""
    states = [run.state for run in runs]
    for state in _WORST_FIRST:
        if state in states:
            return state
    return "ignored"


_WORST_FIRST: tuple[EntryState, ...] = (
    "running", "pending", "failed", "interrupted", "dropped", "suppressed", "done"
)  # fmt: skip
