"""How verbs print their answers, and the options for that.

Owns the form of lines, of tables and of JSON, and the colours of states. Answers go to stdout; progress
and logs go to stderr. It knows no verb; every one of them calls it.
"""

from __future__ import annotations

import json
import math
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click

from listener.cli.place import A_FILE
from listener.errors import HooksError
from listener.hooks.values import shortened
from listener.log import printable
from listener.model.entry import Run
from listener.model.notification import EVENT_TYPES, OWN_EVENT_TYPES, iso_time
from listener.model.outcome import Tally

_CELL = 400  # characters of a value in a table
_PADDED = 40  # columns of a terminal; a longer value moves only what follows it on its own line

_COLOURS = {
    "pending": "yellow",
    "running": "cyan",
    "done": "green",
    "failed": "red",
    "timed out": "red",
    "interrupted": "magenta",
    "suppressed": "yellow",
    "ignored": "bright_black",
    "unreadable": "red",
    "dropped": "bright_black",
    "would run": "green",
    "would fail": "red",
    "would not run": "bright_black",
}

_Verb = TypeVar("_Verb", bound=Callable[..., Any])


def event_types(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Let the shell complete an event type."""
    return [name for name in (*EVENT_TYPES, *OWN_EVENT_TYPES) if name.startswith(incomplete)]


def output_option(verb: _Verb) -> _Verb:
    """--output, for every verb that prints answers."""
    return click.option(
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="For people or for programs.",
    )(verb)


def supervisor_option(verb: _Verb) -> _Verb:
    """--supervisor-config, for the verbs that ask supervisord."""
    return click.option(
        "--supervisor-config",
        metavar="FILE",
        type=A_FILE,
        help="supervisord's configuration.  [default: that of the supervisord that runs the listener]",
    )(verb)


def ask(question: str) -> None:
    """Return when a person says yes. Raises click.Abort, or HooksError where there is no terminal."""
    try:
        is_wanted = click.confirm(question, err=True)
    except click.Abort as error:
        if sys.stdin is not None and sys.stdin.isatty():
            raise
        raise HooksError("the question got no answer; where there is no terminal, add --yes") from error
    if not is_wanted:
        raise click.Abort


def run_as_json(run: Run) -> dict[str, Any]:
    """A run as every verb prints it: how often it was tried, and how the last attempt ended."""
    last = run.attempts[-1] if run.attempts else None
    is_done = run.state == "done"
    return {
        "hook": run.hook,
        "implementation": run.implementation,
        "state": last.state if last and run.state == "failed" else run.state,
        "attempts": len(run.attempts),
        "error": last.text if last and not is_done else None,
        "result": last.text if last and is_done else None,
        "seconds": round(last.seconds, 3) if last else None,
    }


def tallies_as_json(tallies: Mapping[str, Tally]) -> list[dict[str, Any]]:
    """What was sent where, as every verb prints it; `sent_at` is None where nothing was."""
    return [
        {
            "destination": name,
            **tally._asdict(),
            "sent_at": iso_time(tally.sent_at) if tally.sent else None,
        }
        for name, tally in tallies.items()
    ]


def one_line(value: Any, most: int | None = None) -> str:
    """The value as one line without control characters; None is ''. It is cut after `most`."""
    text = "" if value is None else str(value)
    return printable(text if most is None else shortened(text, most))


def count(number: int, noun: str) -> str:
    """`1 hook`, `2 hooks`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def coloured(state: str) -> str:
    """A state in its colour, which click.echo leaves out where there is no terminal."""
    return click.style(state, fg=_COLOURS.get(state))


def print_json(answer: Any, *, indent: int | None = 2) -> None:
    """One JSON document on stdout; with `indent` None, on one line."""
    text = json.dumps(answer, ensure_ascii=False, indent=indent)
    lines = text.split("\n")  # those of the document: a string has none
    click.echo("\n".join(line if line.isprintable() else _escaped(line) for line in lines))


def _escaped(text: str) -> str:
    """JSON with what a terminal would obey as \\u…, which means the same."""
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def print_line(text: str, *, below: int = 4) -> None:
    """One line; where a terminal is too narrow for it, what does not fit stands `below`.

    A value of a row, two blanks behind the last one, is divided only if it fills more than a line, and
    begins on one of its own then. No word is divided, so that a path or an id can be copied.
    """
    columns, line = _columns(), ""
    for value in re.findall(r"\s*\S+(?: \S+)*", text):
        is_whole = below + _width(value.lstrip()) <= columns
        begins_line = not is_whole and _width(line) > below
        for part in [value] if is_whole else re.findall(r"\s*\S+", value):
            if begins_line or (line and _width(line + part) > columns):
                begins_line = False
                click.echo(line)
                line = " " * below + part.lstrip()
            else:
                line += part
    click.echo(line)


def print_table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Rows that have a value for each column; a long one is cut, control characters are escaped."""
    cells = [[one_line(row[name], _CELL) for name in columns] for row in rows]
    widths = [min(_PADDED, max(map(_width, column))) for column in zip(columns, *cells, strict=True)]
    heads = [click.style(name, bold=True) for name in columns]
    shown = [
        [coloured(cell) if name == "state" else cell for name, cell in zip(columns, row, strict=True)]
        for row in cells
    ]
    for row in (heads, *shown):
        padded = (cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True))
        print_line("  ".join(padded))


def _columns() -> float:
    """Those of the terminal; anywhere else a line is not folded, for grep and its like."""
    if not sys.stdout.isatty():
        return math.inf
    from shutil import get_terminal_size  # it takes as long to import as JSON does

    return get_terminal_size().columns


def _width(text: str) -> int:
    """The columns of a terminal that a text takes; its colours take none."""
    text = click.unstyle(text)
    if text.isascii():
        return len(text)
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in text)
