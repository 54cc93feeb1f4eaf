"""How entries of the journal are found and printed.

Owns the one form of an entry, as a row and as a JSON object, and the options that choose entries. It
changes no entry. operate.py and replay.py call it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from typing import Any, TypeVar

import click

from listener.cli.answers import print_json, print_table, run_as_json
from listener.cli.place import Place
from listener.errors import HooksError, UnreadableNotification
from listener.hooks.values import SECONDS, unix_time
from listener.model import payload
from listener.model.entry import Entry, Run
from listener.model.notification import iso_time, short_time
from listener.state.filters import Filters
from listener.state.journal import Journal

MANY = 10
"""Verbs that change more entries ask first."""

TO_REPLAY = ("failed", "interrupted")
_Verb = TypeVar("_Verb", bound=Callable[..., Any])


def time_option(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float:
    """An option's Unix time: `90s`, `30m`, `2h`, `7d` ago, or ISO 8601 (UTC unless it says more)."""
    if value is None:
        return 0.0
    return _time(value, -1, "30m, 2h, 7d or 2026-01-31T23:59")


def until_option(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """An option's Unix time that is to come: as above, or the next `06:00`."""
    if value is None:
        return None
    now = datetime.now(timezone.utc)
    is_of_day = re.fullmatch(r"\d\d:\d\d", value)
    at = _time(f"{now:%Y-%m-%dT}{value}" if is_of_day else value, 1, _UNTIL)
    if is_of_day and at <= now.timestamp():
        at += SECONDS["d"]
    if not 0 < at - time.time() < _MOST_S:
        raise click.BadParameter(f"must be to come, within ten years; write {_UNTIL}")
    return at


_UNTIL = "06:00, 30m, 2h, 7d or 2026-12-31T23:59"
_MOST_S = 3653 * SECONDS["d"]


def _time(value: str, sign: int, wanted: str) -> float:
    if match := re.fullmatch(r"(\d{1,15})([smhd])", value):
        return time.time() + sign * int(match[1]) * SECONDS[match[2]]
    try:
        return unix_time(value)
    except ValueError as error:
        raise click.BadParameter(f"write {wanted}") from error


def selecting(verb: _Verb) -> _Verb:
    """ID..., or --failed with --since: the entries that a verb changes, which `open_selected` finds."""
    for option in (
        click.option("--yes", is_flag=True, help=f"Do not ask, even for more than {MANY}."),
        click.option(
            "--since",
            metavar="TIME",
            callback=time_option,
            help="With --failed: 30m, 2h, 7d, or a time (UTC).",
        ),
        click.option("--failed", is_flag=True, help="All that failed or was interrupted."),
        click.argument("entry_ids", metavar="[ID]...", type=int, nargs=-1),
    ):
        verb = option(verb)
    return verb


def open_selected(
    place: Place,
    entry_ids: Sequence[int],
    *,
    failed: bool,
    since: float,
    states: tuple[str, ...] = TO_REPLAY,
) -> tuple[Journal, list[Entry]]:
    """The journal, and its entries with these ids; with --failed all in these states, oldest first."""
    if bool(entry_ids) == failed or (since and not failed):
        raise click.UsageError("name entries, or take all that --failed [--since TIME]")
    journal, _ = place.open_journal()
    if failed:
        return journal, journal.newest(Filters(states, since=since), 1_000_000)[::-1]
    return journal, [required_entry(journal, entry_id) for entry_id in dict.fromkeys(entry_ids)]


def as_json(entry: Entry) -> dict[str, Any]:
    """An entry as every verb prints it; one that is not stored has no id."""
    context = notification_of(entry).get("context", {})
    tenant = context.get("tenant")
    named = tenant.get("name") if isinstance(tenant, dict) else None
    return {
        "id": entry.id or None,
        "event_type": entry.event_type,
        "execution_id": entry.execution_id,
        "deployment_id": context.get("deployment_id"),
        "tenant_name": named or context.get("tenant_name"),
        "workflow_id": context.get("workflow_id"),
        "received_at": iso_time(entry.received_at),
        "source": entry.source,
        "state": entry.state,
        "error": entry.error or None,
        "runs": [_run_as_json(run, entry) for run in entry.runs],
    }


def _run_as_json(run: Run, entry: Entry) -> dict[str, Any]:
    """A run that was pending when its entry was given up is dropped, too."""
    shown = run_as_json(run)
    is_given_up = entry.state == "dropped" and run.state == "pending"
    return shown | {"state": "dropped"} if is_given_up else shown


def notification_of(entry: Entry) -> dict[str, Any]:
    """The notification as it came; {} if there is none, or if it can no longer be read."""
    try:
        value: dict[str, Any] = payload.read_json(entry.body)
        payload.from_mapping(value)
    except UnreadableNotification:
        return {}
    return value


def as_row(entry: Entry) -> dict[str, Any]:
    """An entry as a row of a table. `source` is '' for supervisord, from which nearly all come."""
    answer = as_json(entry)
    runs = ", ".join(
        f"{run['hook']}: {run['state']}" + (f" ({run['error']})" if run["error"] else "")
        for run in answer["runs"]
    )
    return {
        "id": entry.id,
        "received": short_time(entry.received_at),
        "state": entry.state,
        "event": entry.event_type or "",
        "execution": entry.execution_id,
        "deployment": answer["deployment_id"],
        "source": "" if entry.source == "supervisord" else entry.source,
        "hooks": runs or entry.error,
    }


_COLUMNS = ("id", "received", "state", "event", "execution", "deployment", "source", "hooks")


def print_entries(entries: Iterable[Entry], output: str) -> None:
    if output == "json":
        print_json([as_json(entry) for entry in entries])
    else:
        rows = list(map(as_row, entries))
        has_source = any(row["source"] for row in rows)
        print_table([name for name in _COLUMNS if name != "source" or has_source], rows)
        if not rows:
            click.echo("nothing found", err=True)


def required_entry(journal: Journal, entry_id: int) -> Entry:
    entry = journal.get(entry_id)
    if entry is None:
        raise HooksError(f"the journal has no entry {entry_id}; conductor-hooks history lists them")
    return entry
