"""The command line: the group of all verbs.

Owns which verbs there are and the exit status of a mistake. 0: success. 1: a mistake, a failure, or no
match. 2: usage, or unreadable input. The verbs themselves are in the other modules of this package;
only the one that is called is imported.
"""

from __future__ import annotations

import gc
import importlib
import os
from typing import Any

import click

import listener
from listener.errors import HooksError

_MODULES = {
    "listen": "run",
    "forward": "forward",
    "check": "check",
    "explain": "explain",
    "keys": "keys",
    "fire": "author",
    "emit": "author",
    "status": "status",
    "doctor": "doctor",
    "history": "operate",
    "show": "operate",
    "replay": "replay",
    "drop": "operate",
    "pause": "pause",
    "resume": "pause",
    "stop": "stop",
    "report": "report",
    "plugins": "plugins",
    "traps": "run",
    "demo": "demo",
}


class _Group(click.Group):
    """Turns our own errors into one line on stderr and exit status 2; obeys $NO_COLOR."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        module = importlib.import_module(f"listener.cli.{_MODULES[cmd_name]}")
        if not gc.isenabled():  # as main leaves it
            gc.freeze()  # what is imported is not searched, not even at the exit: a sixth of the time
            gc.enable()
        verb: click.Command = getattr(module, cmd_name)
        return verb

    def invoke(self, ctx: click.Context) -> Any:
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except HooksError as error:
            from listener.log import printable_lines  # only needed here

            raise _Unreadable(printable_lines(str(error))) from error
        except ImportError as error:
            if os.access(__file__, os.R_OK):
                raise
            raise _Unreadable(
                "root continues as the owner of the state directory, who may not read"
                f" {listener.__path__[0]}; let that user read it, and pass through all folders above"
            ) from error


class _Unreadable(click.ClickException):
    exit_code = 2


_EPILOG = """
\b
For completion in bash, put this into ~/.bashrc; zsh has zsh_source for it:
  eval "$(_CONDUCTOR_HOOKS_COMPLETE=bash_source conductor-hooks)"
In fish:
  _CONDUCTOR_HOOKS_COMPLETE=fish_source conductor-hooks | source
"""


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.version_option(listener.__version__, prog_name="conductor-hooks")
def command() -> None:
    """Actionable Events (Hooks) for Studio Conductor, run by a supervisord event listener.

    Exits with 0 for success, with 1 for a mistake, a failed hook, no match or what needs doing, and
    with 2 for usage or unreadable input. In a pipe a table has one line a row. With --output json, an
    entry has the same fields in all verbs; show adds more.
    """
