"""The verbs for operating the listener: history, show, drop.

Owns their options and what they print of the journal, which they read beside a running listener.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

import click

from listener.cli.answers import (
    ask,
    coloured,
    event_types,
    one_line,
    output_option,
    print_json,
    print_line,
    print_table,
    tallies_as_json,
)
from listener.cli.entries import (
    MANY,
    TO_REPLAY,
    as_json,
    as_row,
    notification_of,
    open_selected,
    print_entries,
    required_entry,
    selecting,
    time_option,
)
from listener.cli.pause import print_pauses
from listener.cli.place import Place, place_options
from listener.dispatch.pauses import in_force
from listener.errors import HooksError
from listener.model import payload
from listener.model.entry import Attempt, Entry, EntryState
from listener.model.notification import iso_time
from listener.model.outcome import Tally
from listener.model.secrets import mask_values
from listener.state.filters import Filters
from listener.state.journal import Journal
from listener.state.statements import DROPPABLE

_STATES = get_args(EntryState)
_LOOK_S = 0.2


@click.command(short_help="What was accepted, and what was done about it.")
@click.option(
    "--state",
    "states",
    metavar="STATE",
    type=click.Choice(_STATES),
    multiple=True,
    help=f"Only this one of {', '.join(_STATES)}. Repeatable.",
)
@click.option(
    "--event-type", default="", metavar="TYPE", shell_complete=event_types, help="Only this event type."
)
@click.option("--execution", default="", metavar="ID", help="Only this execution.")
@click.option("--since", metavar="TIME", callback=time_option, help="30m, 2h, 7d, or a time (UTC).")
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="At most so many.",
)
@click.option("--follow", is_flag=True, help="Then show what comes, oldest first, until Ctrl-C.")
@click.option("--destinations", is_flag=True, help="Instead, what was sent where, in numbers.")
@output_option
@place_options
def history(
    states: tuple[str, ...],
    event_type: str,
    execution: str,
    since: float,
    limit: int,
    follow: bool,
    destinations: bool,
    output: str,
    place: Place,
) -> None:
    """The entries of the journal, newest first. With --output json and --follow, one a line.

    The states of an entry:

    \b
    pending      an attempt is due, now or later
    running      a hook runs
    done         every hook is done
    failed       the last attempt of a hook has failed
    interrupted  the listener was killed during a hook that is not repeatable
    suppressed   a run was above the hook's at_most; replay runs it
    ignored      no hook matched
    unreadable   the payload was no notification; show prints it
    dropped      it, or a run of it, was given up, or supervisord discarded it
    """
    if destinations and (states or event_type or execution or since or follow):
        raise click.UsageError("--destinations counts all that was ever sent, and takes no filters")
    journal, _ = place.open_journal()
    if destinations:
        _print_tallies(journal.tallies(), output)
        return
    filters = Filters(states, event_type, execution, since)
    before = journal.newest(Filters(), 1)
    unsettled = journal.unsettled() if follow else []
    newest = journal.newest(filters, limit + 1)
    entries = newest[:limit]
    print_pauses(in_force(journal, time.time()))
    if not follow:
        print_entries(entries, output)
        if len(newest) > limit:
            click.echo(f"the newest {limit} are shown; --limit shows more", err=True)
        return
    after = before[0].id if before else 0
    coming = _follow(journal, filters, (*unsettled, *entries), after)
    _print_as_they_come(itertools.chain(reversed(entries), coming), output)


def _print_as_they_come(entries: Iterable[Entry], output: str) -> None:
    """Until Ctrl-C or until the reader has gone, which is no error."""
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        for entry in entries:
            if output == "json":
                print_json(as_json(entry), indent=None)
            else:
                _print_line(as_row(entry))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left in the buffer has nowhere to go


def _print_line(row: Mapping[str, Any]) -> None:
    """An entry on one line, without what it lacks."""
    texts = {name: one_line(value) for name, value in row.items()}
    print_line("  ".join(filter(None, {**texts, "state": coloured(texts["state"])}.values())))


def _print_tallies(tallies: Mapping[str, Tally], output: str) -> None:
    rows = tallies_as_json(tallies)
    if output == "json":
        print_json(rows)
    elif rows:
        print_table((*Tally._fields, "destination"), rows)
    else:
        click.echo("nothing was sent yet")


def _follow(journal: Journal, filters: Filters, seen: Iterable[Entry], after: int) -> Iterator[Entry]:
    """Every entry that passes the filters and is new or has changed, without end.

    `seen` are entries as they were seen before, `after` is the highest id there was before that.
    """
    known = {entry.id: entry for entry in seen}
    while True:
        now = [journal.get(entry_id) for entry_id in known]
        changed = [entry for entry in now if entry is not None and entry != known[entry.id]]
        while new := journal.after(after):
            after = new[-1].id
            changed += [entry for entry in new if entry.id not in known]
        known |= {entry.id: entry for entry in changed}
        known = {entry_id: entry for entry_id, entry in known.items() if not entry.is_settled}
        yield from filter(filters.let_pass, changed)
        while not journal.is_changed():
            time.sleep(_LOOK_S)


@click.command(short_help="One entry, with every attempt.")
@click.argument("entry_id", metavar="ID", type=int)
@output_option
@place_options
def show(entry_id: int, output: str, place: Place) -> None:
    """The notification of one entry, with secrets hidden, and every attempt at its hooks."""
    journal, _ = place.open_journal()
    answer = _in_full(required_entry(journal, entry_id))
    if output == "json":
        print_json(answer)
    else:
        _print_in_full(answer)


def _in_full(entry: Entry) -> dict[str, Any]:
    """The entry with every attempt, and with the notification or what came instead of one."""
    answer = as_json(entry)
    for run, shown in zip(entry.runs, answer["runs"], strict=True):
        is_due = run.state == "pending" and run.due_at and not entry.is_settled
        shown["due_at"] = iso_time(run.due_at) if is_due else None
        shown["each_attempt"] = list(map(_attempt_as_json, run.attempts))
        if run.state == "running":
            shown["each_attempt"][-1]["state"] = "running"
    answer["notification"] = mask_values(notification_of(entry)) or None
    answer["payload"] = None if answer["notification"] else _payload(entry)
    return answer


def _print_in_full(answer: Mapping[str, Any]) -> None:
    for name, value in answer.items():
        if value is not None and name not in ("runs", "notification"):
            text = one_line(value)
            print_line(f"{name:<15}{coloured(text) if name == 'state' else text}")
    for run in answer["runs"]:
        _print_run(run)
    if answer["notification"] is not None:
        click.echo()
        text = json.dumps(answer["notification"], ensure_ascii=False, indent=2)
        click.echo("\n".join(map(one_line, text.split("\n"))))


def _print_run(run: Mapping[str, Any]) -> None:
    click.secho(f"\n{one_line(run['hook'])}: ", bold=True, nl=False)
    click.echo(f"{coloured(run['state'])}   {one_line(run['implementation'])}")
    for attempt in run["each_attempt"]:
        is_timed = attempt["state"] not in ("running", "interrupted")
        seconds = f" after {attempt['seconds']:.3f} s" if is_timed else ""
        why = _INTERRUPTED if attempt["state"] == "interrupted" else attempt["text"]
        text = why and f": {one_line(why)}"
        print_line(f"  {attempt['began_at']}  {coloured(attempt['state'])}{seconds}{text}")
    if run["due_at"]:
        click.echo(f"  the next attempt is due at {run['due_at']}")


_INTERRUPTED = "the listener ended while it ran"


def _payload(entry: Entry) -> str:
    """What came instead of a notification; a part of one that can no longer be read."""
    return entry.body if entry.event_type is None else payload.shorten(entry.body)


def _attempt_as_json(attempt: Attempt) -> dict[str, Any]:
    return {
        "began_at": iso_time(attempt.began_at),
        "state": attempt.state,
        "text": attempt.text,
        "seconds": attempt.seconds,
    }


@click.command(short_help="Give entries up.")
@selecting
@output_option
@place_options
def drop(
    entry_ids: tuple[int, ...],
    failed: bool,
    since: float,
    yes: bool,
    output: str,
    place: Place,
) -> None:
    """Give entries up: nothing more is tried for them, and they no longer count as failed.

    --failed also takes those that are unreadable, since nothing else can be done about them.
    """
    states = (*TO_REPLAY, "unreadable")
    journal, entries = open_selected(place, entry_ids, failed=failed, since=since, states=states)
    for entry in entries:
        if entry.state not in DROPPABLE:
            left = "there is nothing to give up"
            if entry.state == "running":
                both = f"conductor-hooks stop {entry.id} && conductor-hooks drop {entry.id}"
                left = f"end its hook with {both}"
            raise HooksError(f"entry {entry.id} is {entry.state}: {left}")
    if len(entries) > MANY and not yes:
        ask(f"give {len(entries)} entries up?")
    for entry in entries:
        if not journal.drop(entry.id):
            state = required_entry(journal, entry.id).state
            raise HooksError(f"entry {entry.id} is {state} by now, and not dropped")
    print_entries([required_entry(journal, entry.id) for entry in entries], output)
