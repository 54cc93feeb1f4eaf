"""The verb check: every mistake in a hooks.conf, before a listener meets it.

Owns its options and what it prints. It judges nothing itself and runs no hook: overview/hooks_conf.py
finds the mistakes.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

import click

from listener import log
from listener.actions.check import plugin_line, plugins_used
from listener.actions.registry import Actions
from listener.cli.answers import (
    count,
    output_option,
    print_json,
    print_line,
)
from listener.cli.backtest import Backtest, as_json, backtest, lines
from listener.cli.place import A_FILE, Place, journal_in, place_options
from listener.cli.schema import hooks_schema
from listener.cli.trial import failing
from listener.errors import HooksError
from listener.hooks.cases import CASES
from listener.hooks.file import config_path, read_bytes, read_file
from listener.hooks.table import Hook, HookTable
from listener.hooks.yaml_lines import Mistake
from listener.interpreters.plugins import Plugin
from listener.log import printable
from listener.overview.hooks_conf import all_mistakes
from listener.state.directory import path_of, writable_by_others

_Used = tuple[Hook, Plugin]


class _Checked(NamedTuple):
    """What was found in the file of this name; `table` is None if it cannot be used."""

    name: str
    table: HookTable | None
    mistakes: list[Mistake]
    used: list[_Used]
    against: Backtest | None

    @property
    def is_right(self) -> bool:
        is_same = self.against is None or not self.against.different
        return is_same and all(mistake.is_warning for mistake in self.mistakes)


@click.command(short_help="Find every mistake in hooks.conf.")
@click.argument("file", required=False, type=A_FILE)
@click.option("--no-import", is_flag=True, help="Look for functions without running modules' code.")
@click.option("--schema", is_flag=True, help="Instead, print the JSON Schema of hooks.conf.")
@click.option(
    "--against",
    type=click.Choice(["history"]),
    help="Also show which events of the journal would run other hooks.",
)
@click.option(
    "--last", type=click.IntRange(1), default=1000, show_default=True, help="How many, the newest."
)
@output_option
@place_options
def check(
    file: str | None,
    no_import: bool,
    schema: bool,
    against: str | None,
    last: int,
    output: str,
    place: Place,
) -> None:
    """Find every mistake in hooks.conf (FILE, or - for standard input); no hook is run.

    A function or plugin that is not found is a warning: the listener may find it. A test of the
    section 'tests' that fails is a mistake. --against judges each event at the time of its receipt, and
    leaves out those that fire or the listener made.

    The schema is for editors with the YAML language server: write it to the file that the first line of
    the shipped hooks.conf names, and give the editor our tags as yaml.customTags: !env, !env sequence,
    !file, !regex, !template.

    Exits with 1 when there is a mistake, or a difference to the history; with 0 when there is none, or
    only warnings.
    """
    log.start()
    if schema:
        print_json(hooks_schema())
        return
    name, table, mistakes = _read(file or place.given_config)
    used: list[_Used] = []
    difference: Backtest | None = None
    if table is not None:
        folder = path_of(place.given_state_dir, os.environ, lambda: table.listener.state_dir)
        used, mistakes = _judged(table, mistakes, folder, may_import=not no_import)
        difference = backtest(table, journal_in(folder).events(last)) if against else None
    checked = _Checked(name, table, mistakes, used, difference)
    if output == "json":
        print_json(_as_json(checked))
    else:
        _print(checked)
    sys.exit(0 if checked.is_right else 1)


def _read(file: str | None) -> tuple[str, HookTable | None, list[Mistake]]:
    """The name of the file, its hooks, and the mistakes of its own. Raises HooksError."""
    if file == "-":
        return "standard input", *read_bytes(sys.stdin.buffer.read(), os.environ, os.getcwd(), CASES)
    name = config_path(file, os.environ)
    try:
        return name, *read_file(name, os.environ, CASES)
    except OSError as error:
        hint = "name it, or set $CONDUCTOR_HOOKS_CONFIG"
        raise HooksError(f"{name} cannot be read: {error.strerror}; {hint}") from error


def _judged(
    table: HookTable, mistakes: list[Mistake], folder: str, *, may_import: bool
) -> tuple[list[_Used], list[Mistake]]:
    """The plugins that the hooks use, and all that is wrong: with the file and with what it names."""
    with Actions(table.listener, folder) as actions:
        used = plugins_used(table, actions)
        mistakes = all_mistakes(table, [*mistakes, *failing(table)], actions, may_import=may_import)
    doubt = writable_by_others(folder)
    return used, mistakes + ([Mistake(0, doubt, is_warning=True)] if doubt else [])


def _print(checked: _Checked) -> None:
    name, table, mistakes, used, against = checked
    for hook, plugin in used:
        print_line(printable(Mistake(hook.line, plugin_line(hook, plugin)).as_text(name)))
    for mistake in mistakes:
        label = "warning: " if mistake.is_warning else ""
        print_line(printable(mistake._replace(text=label + mistake.text).as_text(name)))
    hooks = "" if table is None else f"{count(len(table.hooks), 'hook')}, "
    hooks += f"{count(len(table.tests), 'test')}, " if table and table.tests else ""
    warnings = sum(mistake.is_warning for mistake in mistakes)
    wrong = count(len(mistakes) - warnings, "mistake")
    print_line(f"{name}: {hooks}{wrong}, {count(warnings, 'warning')}")
    for line in lines(against) if against else ():
        print_line(printable(line))


def _as_json(checked: _Checked) -> dict[str, Any]:
    name, table, mistakes, used, against = checked
    answer = {
        "file": name,
        "hooks": None if table is None else len(table.hooks),
        "tests": len(table.tests or ()) if table else None,
        "plugins": [
            {
                "line": hook.line,
                "hook": hook.name,
                "name": plugin.name,
                "version": plugin.version,
                "tenant": plugin.tenant,
            }
            for hook, plugin in used
        ],
        "findings": [
            {
                "level": "warning" if mistake.is_warning else "mistake",
                "line": mistake.line or None,
                "text": mistake.text,
            }
            for mistake in mistakes
        ],
    }
    return answer | {"against": as_json(against)} if against else answer
