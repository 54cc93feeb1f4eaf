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
from listener.cli.answers import common_options, output_option, print_json
from listener.errors import HooksError
from listener.hooks.file import config_path, read_bytes, read_file
from listener.hooks.table import Hook, HookTable
from listener.hooks.yaml_lines import Mistake
from listener.interpreters.plugins import Plugin
from listener.log import printable
from listener.rabbitmq.broker import read_broker
from listener.state.directory import path_of, writable_by_others


@click.command(short_help="Find every mistake in hooks.conf.")
@click.argument("file", required=False)
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
    if file == "-":
        name = "standard input"
        table, mistakes = read_bytes(sys.stdin.buffer.read(), os.environ, os.getcwd())
    else:
        name = config_path(file or config, os.environ)
        try:
            table, mistakes = read_file(name, os.environ)
        except OSError as error:
            hint = "name it, or set $CONDUCTOR_HOOKS_CONFIG"
            raise HooksError(f"{name} cannot be read: {error.strerror}; {hint}") from error
    used: list[tuple[Hook, Plugin]] = []
    if table is not None:
        settings = table.listener
        folder = path_of(state_dir, os.environ, lambda: settings.state_dir)
        with Actions(settings, folder) as actions:
            used = plugins_used(table, actions)
            mistakes = sorted(mistakes + check_hooks(table, actions, may_import=not no_import))
        mistakes += _broker_faults(table)
        if table.is_blank:
            mistakes.append(Mistake(0, _BLANK, is_warning=True))
        if open_to_others := writable_by_others(folder):
            mistakes.append(Mistake(0, open_to_others, is_warning=True))
    wrong = sum(not mistake.is_warning for mistake in mistakes)
    if output == "json":
        print_json(_check_answer(name, table, mistakes, used))
    else:
        for hook, plugin in used:
            click.echo(printable(Mistake(hook.line, plugin_line(hook, plugin)).as_text(name)))
        for mistake in mistakes:
            label = "warning: " if mistake.is_warning else ""
            click.echo(printable(mistake._replace(text=label + mistake.text).as_text(name)))
        hooks = "" if table is None else f"{_count(len(table.hooks), 'hook')}, "
        warnings = _count(len(mistakes) - wrong, "warning")
        click.echo(f"{name}: {hooks}{_count(wrong, 'mistake')}, {warnings}")
    sys.exit(1 if wrong else 0)


_BLANK = "nothing stands here, and a listener keeps the hooks that it has; for none, write hooks: []"


def _check_answer(
    name: str, table: HookTable | None, mistakes: list[Mistake], used: list[tuple[Hook, Plugin]]
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
