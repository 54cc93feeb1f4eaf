"""The verbs that take a notification: fire, emit.

Owns their options and what they print; notifications.py reads or makes up what they take. They run
hooks through the same modules as the listener, so `fire` runs what the listener would run.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, NoReturn

import click
import msgspec

from listener import log
from listener.actions.registry import Actions
from listener.cli.answers import (
    coloured,
    output_option,
    print_json,
    print_table,
    supervisor_option,
)
from listener.cli.entries import as_json
from listener.cli.forward import import_rabbitmq
from listener.cli.notifications import described, notification_options, unknown, warn_of_unknown
from listener.cli.place import Place, place_options
from listener.dispatch.attempt import attempt, log_end, rehearsed
from listener.dispatch.job import Job, planned
from listener.errors import HooksError
from listener.hooks.file import load
from listener.hooks.forward import ForwardSettings
from listener.log import printable
from listener.model.delivery import decode
from listener.model.entry import FIRE, Entry
from listener.model.notification import EVENT_TYPES
from listener.model.outcome import Tally
from listener.state.journal import Journal
from listener.supervisord import emit as emitter

_EPILOG = f"Conductor publishes the event types {', '.join(EVENT_TYPES)}."


@click.command(short_help="Run the hooks for a notification.", epilog=_EPILOG)
@notification_options
@click.option("--dry-run", is_flag=True, help="Show which hooks would run, and run none.")
@click.option(
    "--through-supervisor", is_flag=True, help="Have the running listener run them, and wait for it."
)
@supervisor_option
@output_option
@place_options
def fire(
    event_type: str | None,
    file: str | None,
    values: tuple[str, ...],
    dry_run: bool,
    through_supervisor: bool,
    supervisor_config: str | None,
    output: str,
    place: Place,
) -> None:
    """Run the hooks for a made-up notification of EVENT_TYPE, or for the one in a file.

    They really run, here and now, with this shell's user and environment; the listener has those of
    supervisord. Each is tried once. Exits with 1 when no hook matches or an action fails.

    With --through-supervisor, supervisord sends the notification to the listener that runs.
    """
    if dry_run and through_supervisor:
        raise click.UsageError("--dry-run runs nothing, --through-supervisor does: choose one")
    log.start()
    notification = described(event_type, file, values)
    warn_of_unknown(notification["event_type"])
    if through_supervisor:
        from listener.cli.through import fire_through  # imports supervisor, which is slow

        fired = fire_through(notification, place, supervisor_config)
        _answer(as_json(fired), "the listener's hooks.conf", output)
    text = json.dumps(notification)
    table, folder = place.table(), place.state_dir
    job = planned(decode(text, source=FIRE, origin=FIRE), table, time.time())
    with Actions(table.listener, folder, os.path.dirname(place.config)) as actions:
        if dry_run:
            answer = _forecast(job, actions)
        else:
            answer = as_json(_recorded(_fired(job, actions), actions.take_tallies(), folder))
    log.flush()
    _answer(answer, place.config, output)


def _answer(answer: Mapping[str, Any], path: str, output: str) -> NoReturn:
    """Print how it went, and leave with the status that says so."""
    if output == "json":
        print_json(answer)
    else:
        _print_fired(answer, path)
    sys.exit(0 if answer["state"] in ("done", "would run") else 1)


def _print_fired(answer: Mapping[str, Any], path: str) -> None:
    if rows := list(map(_as_row, answer["runs"])):
        seconds = ["seconds"] if any(row["seconds"] for row in rows) else []
        columns = ("hook", "state", *seconds, "implementation", "what it said")
        print_table(columns, rows)
    else:
        click.echo(printable(f"no hook in {path} matches this {answer['event_type']}"))
    if entry_id := answer["id"]:
        click.echo(f"entry {entry_id} is {coloured(answer['state'])}; conductor-hooks show {entry_id}")


def _as_row(run: Mapping[str, Any]) -> dict[str, Any]:
    seconds = "" if run["seconds"] is None else f"{run['seconds']:.3f}"
    return {**run, "seconds": seconds, "what it said": run["error"] or run["result"]}


def _fired(job: Job, actions: Actions) -> Entry:
    """Try each hook once, in the file's order; the entry that a journal would have of it."""
    runs = []
    for position, hook in enumerate(filter(None, job.hooks)):
        begun = job.entry.runs[position].begun(time.time())
        outcome = attempt(actions, job.call(position, hook), job.about)
        log_end(begun, outcome, job.about)
        runs.append(begun.ended(outcome, None))
    return job.entry.with_runs(runs)


def _forecast(job: Job, actions: Actions) -> dict[str, Any]:
    """The entry that there would be; its state, and that of each run, says what would happen."""
    answer = as_json(job.entry)
    for position, hook in enumerate(filter(None, job.hooks)):
        _, fault = rehearsed(actions, job.call(position, hook))
        state = "would fail" if fault else "would run"
        answer["runs"][position] |= {"state": state, "error": fault or None}
    if answer["runs"]:
        would_fail = any(run["error"] for run in answer["runs"])
        answer["state"] = "would fail" if would_fail else "would run"
    return answer


def _recorded(entry: Entry, tallies: Mapping[str, Tally], folder: str) -> Entry:
    """The entry with its id in the history; without one where there is no history."""
    if not os.path.isdir(folder):
        return entry
    entry = msgspec.structs.replace(entry, key=None)  # the same file can be fired twice
    try:
        with contextlib.closing(Journal(folder)) as journal:
            entry_id = journal.accept(entry)
            journal.count(tallies, time.time())
    except HooksError as error:
        click.echo(f"the history will not show it: {error}", err=True)
        return entry
    return msgspec.structs.replace(entry, id=entry_id)


@click.command(short_help="Print a notification for supervisord.", epilog=_EPILOG)
@notification_options
@click.option("--durable", is_flag=True, help="Put it into the listener's inbox first.")
@click.option("--amqp", is_flag=True, help="Publish it to RabbitMQ instead, as a manager does.")
@click.option(
    "--any", "is_any", is_flag=True, help="Also an event type that Conductor does not publish."
)
@place_options
def emit(
    event_type: str | None,
    file: str | None,
    values: tuple[str, ...],
    durable: bool,
    amqp: bool,
    is_any: bool,
    place: Place,
) -> None:
    """Print one notification as supervisord takes it from a program's stdout.

    For programs that supervisord runs with stdout_capture_maxbytes set. With --durable, it is acted on
    even if supervisord dies, and later if the listener does not run now; this program's user must be
    able to write into the inbox.

    With --amqp, the broker of the section 'forward' of hooks.conf gets it instead.
    """
    if amqp and durable:
        raise click.UsageError("--durable puts it into the inbox, --amqp into RabbitMQ: choose one")
    notification = described(event_type, file, values)
    if not is_any and (problem := unknown(notification["event_type"])):
        raise HooksError(f"nothing was sent: {problem} (--any sends it as it is)")
    _, text = emitter.as_json(notification)
    if amqp:
        _publish(text, place)
        execution_id = str(notification["context"].get("execution_id"))
        click.echo(f"published, with the execution {printable(execution_id)}")
        return
    data = emitter.enframe(text)
    if len(data) > emitter.ATOMIC_FRAME:
        click.echo(
            f"the frame has {len(data)} bytes: above {emitter.ATOMIC_FRAME}, frames of several"
            " processes that share this stdout can get mixed up",
            err=True,
        )
    if durable:
        emitter.add_to_inbox(text, place.given_state_dir, place.given_config)
    emitter.write(data, 1, is_in_inbox=durable)


def _publish(text: str, place: Place) -> None:
    """Publish a notification's JSON to the broker that hooks.conf names."""
    table = load(place.config, os.environ).table
    settings: ForwardSettings = (table and table.forward) or ForwardSettings()
    if settings.problem:
        raise HooksError(settings.problem)
    import_rabbitmq("publisher").publish(text, settings)
