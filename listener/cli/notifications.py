"""The notification that a verb takes: one from a file, or one that is made up for an event type.

Owns the options for it, how it is read, and the words about one that cannot be used. It runs and sends
nothing. author.py, explain.py and check.py call it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from listener.cli.answers import event_types
from listener.cli.place import A_FILE
from listener.errors import HooksError, UnreadableNotification
from listener.hooks.text_file import text_of
from listener.hooks.values import nearest
from listener.model import payload
from listener.model.notification import EVENT_TYPES, OWN_EVENT_TYPES
from listener.model.sample import sample

set_option = click.option(
    "--set", "values", metavar="FIELD=VALUE", multiple=True,
    help="A field of the made-up notification, such as error=… or tenant_name=acme;"
    " VALUE is JSON, or else a text. Repeatable.",
)  # fmt: skip


def notification_options(verb: Any) -> Any:
    """A notification from a file, or made up for an event type."""
    for option in (
        set_option,
        click.option("--notification", "file", metavar="FILE", type=A_FILE,
                     help="The notification, in JSON; - is standard input."),
        click.argument("event_type", required=False, shell_complete=event_types),
    ):  # fmt: skip
        verb = option(verb)
    return verb


def described(event_type: str | None, file: str | None, values: tuple[str, ...]) -> Any:
    """The JSON value of the notification that the options describe."""
    if (event_type is None) == (file is None):
        either = "name either" if file else "name"
        raise click.UsageError(
            f"{either} an event type ({', '.join(EVENT_TYPES)}) or a file with --notification"
        )
    if event_type is not None:
        return made_up(event_type, values)
    if values:
        raise click.UsageError("--set goes with an event type; with --notification, edit the file")
    return read_from(str(file))


def made_up(event_type: str, values: Iterable[str]) -> dict[str, Any]:
    """A notification of this type, with the fields that --set has."""
    return sample(event_type, dict(map(_field, values)), datetime.now(timezone.utc))


def _field(assignment: str) -> tuple[str, Any]:
    name, equals, text = assignment.partition("=")
    if not equals:
        raise click.UsageError(f"--set takes FIELD=VALUE, found {assignment!r}")
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text


def read_from(file: str) -> Any:
    """The JSON value of the notification in a file; - is standard input. Raises HooksError."""
    name = "standard input" if file == "-" else file
    try:
        text = text_of(sys.stdin.buffer.read() if file == "-" else Path(name).read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"not UTF-8: {error.reason}"
        raise HooksError(f"{name} cannot be read: {reason}") from error
    try:
        value = payload.read_json(text)
        payload.from_mapping(value)
    except UnreadableNotification as error:
        raise HooksError(f"{name}: {error}") from error
    return value


def unknown(event_type: str) -> str:
    """What is wrong with an event type that Conductor does not publish; '' for one that it does."""
    if event_type in EVENT_TYPES:
        return ""
    return f"Conductor publishes no event type {event_type!r}; {nearest(event_type, EVENT_TYPES)}"


def warn_of_unknown(event_type: str) -> None:
    """Say on stderr if an event type is none that Conductor publishes or the listener makes."""
    if event_type not in OWN_EVENT_TYPES and (problem := unknown(event_type)):
        click.echo(problem, err=True)
