"""The verb demo, on parts of its own.

Owns its options and its first and last words. It starts nothing itself: run.py does. The command's
group in cli/__init__.py has it.
"""

from __future__ import annotations

import signal
import sys

import click

from listener.cli.place import place_options


@click.command(short_help="Show all of it at work, on this machine alone.")
@place_options
def demo(**_: object) -> None:
    """Show the whole way from a workflow to a trap, on this machine alone, within 30 seconds.

    Starts a supervisord of its own with the shipped section and the shipped hooks.conf, to which a
    function is added. Kills the listener in the middle, and ends all that it started. Exits with 0 only
    when every expected action was seen, once.
    """
    click.echo("starting supervisord, with the listener, a workflow and a receiver of traps …")
    from listener.cli.demo.run import run  # pysnmp is slow to import

    for signum in (signal.SIGTERM, signal.SIGHUP):  # end what was started, as for Ctrl-C
        signal.signal(signum, signal.default_int_handler)
    if not run():
        sys.exit(1)
    click.secho("five of five notifications were acted on, once each", fg="green")
    click.echo(_NEXT)


_NEXT = """
What to try next:
  conductor-hooks check hooks.conf                every mistake in yours
  conductor-hooks fire workflow_failed --dry-run  which of its hooks would run
  conductor-hooks traps --port 1162               what a receiver gets
  "Register it in supervisord" in README.rst      the same on your host"""
