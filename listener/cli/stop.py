"""The verb stop: the hook that runs now is ended, as its timeout would end it.

Owns the question to the listener, by a file that names the attempt, and the wait for its end. It ends
no process: what waits for the hook does (state/stop.py).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NoReturn

import click

from listener.cli.answers import output_option
from listener.cli.entries import print_entries, required_entry
from listener.cli.place import Place, place_options
from listener.dispatch.attempt import STOPPED
from listener.errors import HooksError
from listener.log import printable
from listener.model.entry import Attempt
from listener.state.directory import is_locked
from listener.state.stop import LOOK_S, ask, path_of, withdraw

_LOOK_S = 0.05
_SEEN_S = 10 * LOOK_S
_ENDED_S = 15.0  # it is killed after 2 s


@click.command(short_help="End the hook that runs now.")
@click.argument("entry_id", metavar="ID", type=int)
@output_option
@place_options
def stop(entry_id: int, output: str, place: Place) -> None:
    """End the hook that runs for an entry, as its timeout would: SIGTERM, two seconds later SIGKILL.

    The attempt counts as one that took too long: the hook's retries follow, which drop gives up, and
    the entry's next hooks run. An action of an installed package may not obey. Exits with 1 when no
    hook of the entry runs, or when it ended by itself.
    """
    journal, folder = place.open_journal()
    entry = required_entry(journal, entry_id)
    found = [position for position, run in enumerate(entry.runs) if run.state == "running"]
    if not found or not is_locked(folder):
        _refuse(f"entry {entry_id} is not running: {entry.state if not found else 'no listener runs'}")
    run = entry.runs[found[0]]

    def ended() -> Attempt | None:
        """The attempt when its end is on record."""
        now = required_entry(journal, entry_id).runs[found[0]]
        has_ended = now.state != "running" or len(now.attempts) > len(run.attempts)
        return now.attempts[len(run.attempts) - 1] if has_ended else None

    hook, path = printable(run.hook), path_of(folder, entry_id, run.attempts[-1].began_at)
    attempt = ended() if _is_unseen(path, ended) else _wait(ended, folder)
    if attempt is None:
        _refuse(f"hook {hook} cannot be stopped from here: {run.implementation} ends at its timeout")
    if not attempt.text.startswith(STOPPED):
        _refuse(f"entry {entry_id} is not running: hook {hook} has just ended, {attempt.state}")
    click.echo(f"hook {hook} was stopped", err=True)
    print_entries([required_entry(journal, entry_id)], output)


def _is_unseen(path: str, ended: Callable[[], Attempt | None]) -> bool:
    """Ask for the end. True if the listener has not seen that within some seconds, or the attempt
    has ended meanwhile."""
    ask(path)
    try:
        deadline = time.monotonic() + _SEEN_S
        while os.path.exists(path) and not ended() and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
    finally:
        is_unseen = withdraw(path)
    return is_unseen


def _wait(ended: Callable[[], Attempt | None], folder: str) -> Attempt:
    deadline = time.monotonic() + _ENDED_S
    while (attempt := ended()) is None:
        if not is_locked(folder):
            raise HooksError("the listener has ended; when it starts, it resumes what was not done")
        if time.monotonic() > deadline:
            raise HooksError(
                "the hook was stopped, but that is not on record yet; see the listener's log"
            )
        time.sleep(_LOOK_S)
    return attempt


def _refuse(reason: str) -> NoReturn:
    click.echo(reason, err=True)
    raise SystemExit(1)
