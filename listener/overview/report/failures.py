"""What has failed and is still to be repaired, the same failures in one group.

Owns what makes failures the same: the hook, how it ended, and the error's text. It keeps a bounded
number of groups, and counts the rest. It reads no journal; gather.py hands entries over.
"""

from __future__ import annotations

from typing import NamedTuple

from listener.hooks.values import shortened
from listener.model.entry import Entry, Run
from listener.overview.report.outcomes import is_wrong, outcome_of

_MOST = 100
_TEXT = 400


class Failure(NamedTuple):
    """So many failures of a hook with the same text, between two Unix times.

    `newest_id` is the newest one's entry, `execution_id` its execution.
    Of a payload that was no notification, `hook` and `implementation` are ''. `outcome` is "pending"
    while another attempt is due.
    """

    hook: str
    implementation: str
    outcome: str
    text: str
    number: int
    newest_id: int
    execution_id: str | None
    newest_at: float
    oldest_at: float

    @property
    def cures(self) -> tuple[str, ...]:
        """The verbs that look at the newest one and repair it."""
        if self.outcome == "pending":
            return ("show",)
        return ("show", "drop") if self.outcome == "unreadable" else ("show", "replay")


class Failures:
    """Collects them from entries, of which the newest must come first. `left_out` are in no group."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, ...], Failure] = {}
        self.left_out = 0

    def add(self, entry: Entry) -> None:
        if entry.state == "unreadable":
            self._add(entry, "", "", "unreadable", entry.error)
        elif entry.state != "dropped":
            for run in entry.runs:
                if is_wrong(run) or (run.state == "pending" and run.attempts):
                    self._add(entry, run.hook, run.implementation, outcome_of(run), _text_of(run))

    def _add(self, entry: Entry, hook: str, implementation: str, outcome: str, text: str) -> None:
        text = shortened(text, _TEXT)
        key = (hook, outcome, text)
        found = self._groups.get(key)
        if found is not None:
            number = found.number + 1
            self._groups[key] = found._replace(number=number, oldest_at=entry.received_at)
        elif len(self._groups) < _MOST:
            newest = (entry.id, entry.execution_id, entry.received_at)
            self._groups[key] = Failure(
                hook, implementation, outcome, text, 1, *newest, oldest_at=entry.received_at
            )
        else:
            self.left_out += 1

    def groups(self) -> tuple[Failure, ...]:
        """Those of the hook with the newest failure first; of a hook, that with the newest one."""
        hooks = list(dict.fromkeys(failure.hook for failure in self._groups.values()))
        return tuple(sorted(self._groups.values(), key=lambda failure: hooks.index(failure.hook)))


def _text_of(run: Run) -> str:
    return run.attempts[-1].text if run.attempts else ""
