"""How long it took: from the receipt of a notification to the end of its last hook, and each hook.

Owns how durations are counted in the same memory however many there are, and the quantiles they give.
It reads no journal; gather.py hands entries over.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from typing import NamedTuple

from listener.model.entry import Entry

_STEP = math.log(1.01)
"""Durations that differ by less than one per cent count as the same."""
_SHORTEST_S = 1e-6
_HAS_ENDED = ("done", "suppressed", "failed")


class Latency(NamedTuple):
    """How long something took, so many times; all in seconds but the `number`."""

    number: int
    p50: float
    p90: float
    p99: float
    longest: float


class Durations:
    """Counts durations; their quantiles are right within half a per cent."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._shortest, self._longest = math.inf, 0.0

    def add(self, seconds: float) -> None:
        seconds = max(seconds, _SHORTEST_S)  # the clock may have been set back meanwhile
        self._counts[round(math.log(seconds) / _STEP)] += 1
        self._shortest = min(self._shortest, seconds)
        self._longest = max(self._longest, seconds)

    @property
    def is_any(self) -> bool:
        return bool(self._counts)

    def latency(self) -> Latency:
        """What was counted; there must have been something."""
        p50, p90, p99 = (self._quantile(part) for part in (0.5, 0.9, 0.99))
        return Latency(self._counts.total(), p50, p90, p99, self._longest)

    def _quantile(self, part: float) -> float:
        """The shortest duration that this part of all does not exceed."""
        steps = sorted(self._counts)
        reached = itertools.accumulate(self._counts[step] for step in steps)
        wanted = math.ceil(part * self._counts.total())
        step = next(step for step, number in zip(steps, reached, strict=True) if number >= wanted)
        return min(max(math.exp(step * _STEP), self._shortest), self._longest)


class Latencies:
    """Collects them from entries."""

    def __init__(self) -> None:
        self._whole = Durations()
        self._by_hook: defaultdict[str, Durations] = defaultdict(Durations)

    def add(self, entry: Entry) -> None:
        for run in entry.runs:
            for attempt in run.attempts:
                if attempt.state != "interrupted":  # that of one that runs, too
                    self._by_hook[run.hook].add(attempt.seconds)
        last = [run.attempts[-1] for run in entry.runs if run.attempts]
        if last and entry.state in _HAS_ENDED:
            end = max(attempt.began_at + attempt.seconds for attempt in last)
            self._whole.add(end - entry.received_at)

    def whole(self) -> Latency | None:
        """From receipt to the end of the last hook; None if no entry has come so far."""
        return self._whole.latency() if self._whole.is_any else None

    def by_hook(self) -> dict[str, Latency]:
        """One attempt of each hook, the slowest hook first."""
        found = {hook: durations.latency() for hook, durations in self._by_hook.items()}
        return dict(sorted(found.items(), key=lambda item: -item[1].p90))
