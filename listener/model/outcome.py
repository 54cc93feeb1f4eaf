"""How one attempt at a hook ended.

Owns the four words that everything else uses for it: done, failed, timed out, interrupted; and the
Tally of a destination. It does not know how actions run; attempt.py makes Outcomes, the runner stores
them in runs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Literal, NamedTuple

import msgspec

State = Literal["done", "failed", "timed out", "interrupted"]

NEVER = math.inf
"""The `retry_after_s` of a failure that is final, whatever `retries` the hook has."""


class Outcome(msgspec.Struct, frozen=True):
    """The end of one attempt.

    `text` is what the action had to say: a function's return value, where a trap went, or the
    reason why it failed. `details` is a traceback or ''. `seconds` is wall-clock time. `reached` are
    the destinations for which it was done although it failed for others. `retry_after_s` is when the
    action itself wants a retry, NEVER when none can help; None leaves that to the hook.
    """

    state: State
    text: str
    seconds: float
    details: str = ""
    reached: tuple[str, ...] = ()
    retry_after_s: float | None = None

    @property
    def is_done(self) -> bool:
        return self.state == "done"


class Tally(NamedTuple):
    """How many notifications were sent to a destination, acknowledged there, or failed to get there.

    `sent_at` is the Unix time of about the last that was sent; 0.0 if none was, or it is not known yet.
    Of an action without destinations, its `implementation` is the destination.
    """

    sent: int = 0
    acknowledged: int = 0
    failed: int = 0
    sent_at: float = 0.0


class Tallies:
    """Those of destinations, by name, since they were last taken."""

    def __init__(self) -> None:
        self._counted: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])

    def count(self, name: str, *, is_sent: bool, is_acknowledged: bool = False) -> None:
        """Count one notification for a destination."""
        counted = self._counted[name]  # changed in its place: each trap waits for it
        counted[0] += is_sent
        counted[1] += is_acknowledged
        counted[2] += not is_sent

    def take(self) -> dict[str, Tally]:
        """What was counted since this was last called."""
        tallies = {name: Tally(*counted) for name, counted in self._counted.items()}
        self._counted.clear()
        return tallies
