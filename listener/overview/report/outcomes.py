"""How the runs of each hook ended, in numbers.

Owns the words for that: a run's state, but "timed out" where that is why it failed. It reads no
journal; gather.py hands entries over.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from listener.model.entry import Entry, Run

OUTCOMES = (
    "done", "failed", "timed out", "interrupted", "suppressed", "dropped", "pending", "running",
)  # fmt: skip
_WRONG = ("failed", "timed out", "interrupted")


class HookOutcomes(NamedTuple):
    """How often the runs of a hook ended in which way, and how many further attempts that took."""

    hook: str
    numbers: Mapping[str, int]
    retries: int

    @property
    def failures(self) -> int:
        return sum(self.numbers.get(outcome, 0) for outcome in _WRONG)

    @property
    def success(self) -> float | None:
        """The part of the runs that were done, of those that have ended; None if none has."""
        done = self.numbers.get("done", 0)
        ended = done + self.failures
        return done / ended if ended else None


def outcome_of(run: Run) -> str:
    is_timed_out = run.state == "failed" and run.attempts and run.attempts[-1].state == "timed out"
    return "timed out" if is_timed_out else run.state


def is_wrong(run: Run) -> bool:
    """Whether the run has ended, and is not what was wanted."""
    return run.state in _WRONG


class Outcomes:
    """Counts them in entries."""

    def __init__(self) -> None:
        self._numbers: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._retries: Counter[str] = Counter()

    def add(self, entry: Entry) -> None:
        for run in entry.runs:
            self._numbers[run.hook][outcome_of(run)] += 1
            if len(run.attempts) > 1:
                self._retries[run.hook] += len(run.attempts) - 1

    def by_hook(self) -> tuple[HookOutcomes, ...]:
        """The hook that failed most often first."""
        found = [
            HookOutcomes(hook, numbers, self._retries[hook]) for hook, numbers in self._numbers.items()
        ]
        return tuple(sorted(found, key=lambda each: (-each.failures, each.hook)))
