"""Which entries of the journal somebody wants to see.

Owns one answer in two forms: for an entry in memory, and for a query. It reads nothing; journal.py and
the verbs that look for entries use it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from listener.model.entry import Entry
from listener.state.database import NOTABLE, QUIET


class Filters(NamedTuple):
    """Which entries are wanted; what is empty lets all pass. `since` is Unix time."""

    states: tuple[str, ...] = ()
    event_type: str = ""
    execution_id: str = ""
    since: float = 0.0

    def let_pass(self, entry: Entry) -> bool:
        """Whether an entry is wanted."""
        return (
            (not self.states or entry.state in self.states)
            and (not self.event_type or entry.event_type == self.event_type)
            and (not self.execution_id or entry.execution_id == self.execution_id)
            and entry.received_at >= self.since
        )

    def condition(self) -> tuple[str, Sequence[object]]:
        """The same as SQL, and its values."""
        is_state = f"state IN ({', '.join('?' for _ in self.states)})"
        if QUIET.isdisjoint(self.states):
            is_state = f"{NOTABLE} AND {is_state}"
        conditions = {
            is_state: self.states,
            "event_type = ?": self.event_type and (self.event_type,),
            "execution_id = ?": self.execution_id and (self.execution_id,),
            "received_at >= ?": self.since and (self.since,),
        }
        used = {condition: values for condition, values in conditions.items() if values}
        return " AND ".join(used) or "1", [*itertools.chain(*used.values())]
