"""When a run is tried again.

Owns the whole policy: how often, after which pause, and what counts as due. It stores nothing and has
no clock; the runner asks it after each attempt, and before it resumes an entry.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from listener.model.entry import Run
from listener.model.outcome import NEVER, Outcome

MAX_BACKOFF_S = 300.0


def retry_at(run: Run, outcome: Outcome, retries: int, now: float, jitter: float) -> float | None:
    """The Unix time of the next attempt at a run after this outcome; None if there will be none.

    The pause is 1 s, doubled at each failure, at most MAX_BACKOFF_S, times `jitter` (0 to 1); or what
    the outcome itself asks for.
    """
    pause_s = outcome.retry_after_s
    if outcome.is_done or run.failures >= retries or pause_s == NEVER:
        return None
    if pause_s is None:
        pause_s = jitter * min(MAX_BACKOFF_S, 2.0**run.failures)
    return now + pause_s


def first_due(
    runs: Sequence[Run], now: float, begin: int = 0, paused: Container[str] = ()
) -> int | None:
    """The position, from `begin` on, of the first pending run whose time has come.

    Those of `paused` hooks are left out.
    """
    for position, run in enumerate(runs[begin:], begin):
        if run.state == "pending" and run.hook not in paused and is_due(run, now):
            return position
    return None


def is_due(run: Run, now: float) -> bool:
    """Whether to try a pending run now; at once if the clock was set back since its last attempt."""
    return run.due_at <= now or run.attempts[-1].began_at > now
