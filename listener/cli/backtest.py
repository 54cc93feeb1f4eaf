"""What hooks would have done with the events of the history: the option --against of check.

Owns the comparison of the runs of an entry with the hooks that match it now, and its words. It runs no
hook and changes no entry. check.py calls it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from listener.cli.answers import count
from listener.dispatch.rematch import rematch
from listener.errors import UnreadableNotification
from listener.hooks.table import HookTable
from listener.model import payload
from listener.model.entry import Entry
from listener.model.notification import iso_time

_NAMED = 5
"""Entries of each hook that are named."""


class Backtest(NamedTuple):
    """By hook, the ids of the entries that it would run for now and did not, and the other way round.

    `different` of the `events` have such a hook. The times are those of the receipt of the first and
    the last event, None without any.
    """

    events: int
    different: int
    first_at: str | None
    last_at: str | None
    more: dict[str, list[int]]
    fewer: dict[str, list[int]]


def backtest(table: HookTable, entries: Sequence[Entry]) -> Backtest:
    """Compare what ran, or was planned, for these entries with what the hooks of `table` are for."""
    more: dict[str, list[int]] = defaultdict(list)
    fewer: dict[str, list[int]] = defaultdict(list)
    different = 0
    for entry in entries:
        new, gone = _difference(table, entry)
        different += bool(new or gone)
        for hooks, name in [*((more, name) for name in new), *((fewer, name) for name in gone)]:
            hooks[name].append(entry.id)
    first_at, last_at = (iso_time(entries[place].received_at) if entries else None for place in (0, -1))
    return Backtest(len(entries), different, first_at, last_at, more, fewer)


def _difference(table: HookTable, entry: Entry) -> tuple[list[str], list[str]]:
    """The hooks that would run for an entry and have not, and those that have and would not."""
    try:
        notification = payload.decode(entry.body)
    except UnreadableNotification:
        return [], []
    hooks = table.match(notification.event_type, notification.hook_context(), entry.received_at)
    known = rematch(entry.runs, hooks)
    gone = [run.hook for run, hook in zip(entry.runs, known, strict=True) if hook is None]
    return [hook.name for hook in hooks if hook not in known], gone


def lines(result: Backtest) -> Iterator[str]:
    """The result for a person."""
    for hook, word, ids in _changes(result):
        others = ", …" if len(ids) > _NAMED else ""
        named = ", ".join(map(str, ids[:_NAMED]))
        yield f"hook {hook!r} would run {count(len(ids), f'{word} time')}: entries {named}{others}"
    events = count(result.events, "event")
    period = f", from {result.first_at} to {result.last_at}" if result.events else ""
    yield f"{events}{period}: {result.different} would run other hooks"


def as_json(result: Backtest) -> dict[str, Any]:
    """The result for a program."""
    return {
        "events": result.events,
        "from": result.first_at,
        "to": result.last_at,
        "different": result.different,
        "hooks": [
            {"hook": hook, "change": word, "times": len(ids), "entries": ids[:_NAMED]}
            for hook, word, ids in _changes(result)
        ],
    }


def _changes(result: Backtest) -> Iterable[tuple[str, str, list[int]]]:
    for word, hooks in (("more", result.more), ("fewer", result.fewer)):
        for hook, ids in hooks.items():
            yield hook, word, ids
