"""The command line: the group of all verbs.

Owns which verbs there are and which exit status a mistake gives: 0 yes, 1 a negative answer, 2 usage
or something that cannot be read. What the verbs do stands in the other rooms of this folder, of which
only the one that is asked for is imported.
"""

from __future__ import annotations

import importlib
from typing import Any

import click

from listener.errors import HooksError

_ROOMS = {
    "listen": "run",
    "check": "author",
    "fire": "author",
    "emit": "author",
    "history": "operate",
    "show": "operate",
    "replay": "replay",
    "drop": "operate",
    "plugins": "plugins",
    "traps": "run",
    "demo": "run",
}


class _Group(click.Group):
    """Turns our own errors into one line on stderr and exit status 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_ROOMS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _ROOMS:
            return None
        room = importlib.import_module(f"listener.cli.{_ROOMS[cmd_name]}")
        verb: click.Command = getattr(room, cmd_name)
        return verb

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HooksError as error:
            raise _Unreadable(str(error)) from error


class _Unreadable(click.ClickException):
    exit_code = 2


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="conductor-hooks", prog_name="conductor-hooks")
def command() -> None:
    """Actionable Events (Hooks) for Studio Conductor, run by a supervisord event listener."""
