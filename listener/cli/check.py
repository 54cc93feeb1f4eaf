"""The verb check: every mistake in a hooks.conf, before a listener meets it.

Owns its options and what it prints. It judges nothing itself and runs no hook: hooks/ and actions/ find
the mistakes.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from listener import log
from listener.actions.check import check_hooks, plugin_line, plugins_used
from listener.actions.registry import Actions
from listener.cli.answers import common_options, files, output_option, print_json, print_line
from listener.errors import HooksError
from listener.hooks.file import config_path, read_bytes, read_file
from listener.hooks.table import Hook, HookTable
from listener.hooks.yaml_lines import Mistake
from listener.interpreters.plugins import Plugin
from listener.log import printable
from listener.overview.textfile import lacking
from listener.rabbitmq.broker import read_broker
from listener.state.directory import path_of, writable_by_others

_BLANK = "nothing stands here, and a listener keeps the hooks that it has; for none, write hooks: []"

_Used = tuple[Hook, Plugin]


@click.command(short_help="Find every mistake in hooks.conf.")
@click.argument("file", required=False, shell_complete=files)
@click.option("--no-import", is_flag=True, help="Look for functions without running modules' code.")
@output_option
@common_options("config", "state_dir")
def check(
    file: str | None, no_import: bool, output: str, config: str | None, state_dir: str | None
) -> None:
    """Find every mistake in hooks.conf (FILE, or - for standard input); no hook is run.

    Exits with 1 when there is a mistake, with 0 when there is none or only warnings.
    """
    log.start()
    name, table, mistakes = _read(file, config)
    used: list[_Used] = []
    if table is not None:
        used, mistakes = _judged(table, mistakes, state_dir, may_import=not no_import)
    if output == "json":
        print_json(_as_json(name, table, mistakes, used))
    else:
        _print(name, table, mistakes, used)
    sys.exit(0 if all(mistake.is_warning for mistake in mistakes) else 1)


def _read(file: str | None, config: str | None) -> tuple[str, HookTable | None, list[Mistake]]:
    """The name of the file, its hooks, and the mistakes of its own. Raises HooksError."""
    if file == "-":
        return "standard input", *read_bytes(sys.stdin.buffer.read(), os.environ, os.getcwd())
    name = config_path(file or config, os.environ)
    try:
        return name, *read_file(name, os.environ)
    except OSError as error:
        hint = "name it, or set $CONDUCTOR_HOOKS_CONFIG"
        raise HooksError(f"{name} cannot be read: {error.strerror}; {hint}") from error


def _judged(
    table: HookTable, mistakes: list[Mistake], state_dir: str | None, *, may_import: bool
) -> tuple[list[_Used], list[Mistake]]:
    """The plugins that the hooks use, and all that is wrong: with the file and with what it names."""
    folder = path_of(state_dir, os.environ, lambda: table.listener.state_dir)
    with Actions(table.listener, folder) as actions:
        used = plugins_used(table, actions)
        mistakes = sorted(mistakes + check_hooks(table, actions, may_import=may_import))
    mistakes += _broker_faults(table)
    if table.listener.metrics and (lacks := lacking()):
        mistakes.append(Mistake(0, lacks))
    doubts = (_BLANK if table.is_blank else "", writable_by_others(folder))
    return used, mistakes + [Mistake(0, text, is_warning=True) for text in doubts if text]


def _print(name: str, table: HookTable | None, mistakes: list[Mistake], used: list[_Used]) -> None:
    for hook, plugin in used:
        print_line(printable(Mistake(hook.line, plugin_line(hook, plugin)).as_text(name)))
    for mistake in mistakes:
        label = "warning: " if mistake.is_warning else ""
        print_line(printable(mistake._replace(text=label + mistake.text).as_text(name)))
    hooks = "" if table is None else f"{_count(len(table.hooks), 'hook')}, "
    warnings = sum(mistake.is_warning for mistake in mistakes)
    wrong = _count(len(mistakes) - warnings, "mistake")
    print_line(f"{name}: {hooks}{wrong}, {_count(warnings, 'warning')}")


def _as_json(
    name: str, table: HookTable | None, mistakes: list[Mistake], used: list[_Used]
) -> dict[str, Any]:
    return {
        "file": name,
        "hooks": None if table is None else len(table.hooks),
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


def _broker_faults(table: HookTable) -> list[Mistake]:
    """What is wrong with the broker that the section `forward` means."""
    if table.forward is None or table.forward.problem:
        return []
    try:
        read_broker(table.forward)
    except HooksError as error:
        return [Mistake(0, f"forward: {error}")]
    return []


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
