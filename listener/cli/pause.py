"""The verbs pause and resume: events are kept for a while, and no hook, or not that one, runs.

Owns their options, and what a person reads about a pause. What a pause does stands in
dispatch/pauses.py. Other verbs call it to say what is paused.
"""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Callable, Iterable

import click

from listener.cli.answers import output_option, print_json
from listener.cli.entries import until_option
from listener.cli.place import Place, place_options
from listener.dispatch.pauses import (
    REFRESH_S,
    Pause,
    Pauses,
    begin_pause,
    end_pause,
    has_ended,
    in_force,
    is_taken,
)
from listener.errors import HooksError, InUse
from listener.model.notification import iso_time
from listener.state.directory import is_locked, lock
from listener.state.journal import Journal

_LOOK_S = 0.2
_TAKEN_S = REFRESH_S + 3.0  # supervisord may be late with its TICK_5


@click.command(short_help="Keep events, but run no hook.")
@click.option("--until", metavar="TIME", callback=until_option, help="06:00, 30m, 2h, or a time (UTC).")
@click.option("--hook", default="", metavar="NAME", help="Only this hook, by its name in the history.")
@click.option("--comment", default="", metavar="TEXT", help="For the log and the history.")
@output_option
@place_options
def pause(
    until: float | None,
    hook: str,
    comment: str,
    output: str,
    place: Place,
) -> None:
    """Keep what comes, but begin no hook until resume, or until a time; then all runs in order.

    The running listener obeys within five seconds, or when the hook that runs now has ended. A pause
    outlives restarts. Meanwhile events are accepted, and the times of retries, 'at_most' and 'after'
    count on; fire runs hooks all the same. With --hook, all other hooks run on, and do not wait for the
    paused one. A second pause of the same replaces the first.

    Where the forwarder acknowledges what is acted on, messages above its 'prefetch' stay at the broker:
    mind the broker's consumer_timeout.
    """
    journal, folder = place.open_journal()
    if hook:
        _check_hook(hook, place)
    new = Pause(_user(), time.time(), hook, until, comment)
    begin_pause(journal, new)
    is_obeyed = _wait(lambda: is_taken(journal, new), folder)
    when = "" if is_obeyed else _when(folder)
    _answer(f"{new}: in force{when}", new, "in force" if is_obeyed else "waiting", output)


@click.command(short_help="End a pause.")
@click.option("--hook", default="", metavar="NAME", help="End the pause of this hook.")
@click.option("--drop", is_flag=True, help="Give up what was kept, if nothing was begun for it.")
@output_option
@place_options
def resume(hook: str, drop: bool, output: str, place: Place) -> None:
    """End a pause: the listener runs what was kept, in order, within five seconds.

    With --drop it is given up instead, and dropped in the history; replay can still run it. What was
    begun before the pause has its retries. Without --hook, pauses of single hooks stay. Exits with 1
    when there is no such pause.
    """
    journal, folder = place.open_journal()
    paused = {each.hook: each for each in in_force(journal, time.time())}
    if hook not in paused:
        what = f"hook {hook} is not paused" if hook else "nothing is paused as a whole"
        click.echo("; ".join((what, *map(str, paused.values()))), err=True)
        raise SystemExit(1)
    ended = paused.pop(hook)
    end_pause(journal, ended, gives_up_at=time.time() if drop else None)
    is_done_here = drop and _has_given_up(journal, folder)
    is_obeyed = _wait(lambda: has_ended(journal, ended), folder)
    is_obeyed &= is_done_here or is_locked(folder)
    when = "" if is_obeyed else _when(folder)
    what = "is dropped" if drop else "runs in order"
    state = "ended" if is_obeyed else "waiting"
    _answer(f"resumed: what was kept {what}{when}", ended, state, output)
    print_pauses(paused.values())


def print_pauses(pauses: Iterable[Pause]) -> None:
    """Say what is paused, beside the answer of another verb."""
    for each in pauses:
        click.echo(f"{each}; conductor-hooks resume{each.hook and ' --hook ' + each.hook}", err=True)


def _check_hook(name: str, place: Place) -> None:
    from listener.hooks.values import nearest  # YAML is slow to import, and history imports us

    names = [hook.name for hook in place.table().hooks]
    if name not in names:
        hint = nearest(name, names) if names else "it has no hooks"
        raise HooksError(f"{place.config} has no hook {name!r}; {hint}")


def _user() -> str:
    """Who pauses: the person behind sudo, if there is one."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return str(os.getuid())


def _wait(is_done: Callable[[], bool], folder: str) -> bool:
    """Whether the listener that works in this state directory has done it, within some seconds."""
    deadline = time.monotonic() + _TAKEN_S
    while not is_done():
        if time.monotonic() > deadline or not is_locked(folder):
            return is_done()
        time.sleep(_LOOK_S)
    return True


def _has_given_up(journal: Journal, folder: str) -> bool:
    """Whether this process has done what the listener would do: there is none."""
    try:
        lock(folder)  # until this process ends
    except InUse:
        return False
    Pauses(journal, time.time, time.monotonic).apply()
    return True


def _when(folder: str) -> str:
    """When a listener obeys that has not done so yet."""
    if is_locked(folder):
        return " when the hook that runs now has ended"
    return " when a listener starts: none runs now"


def pause_as_json(pause: Pause) -> dict[str, object]:
    """A pause as every verb prints it; `hook` is None where all are paused."""
    times = {"since": iso_time(pause.since), "until": pause.until and iso_time(pause.until)}
    return {"hook": pause.hook or None, "by": pause.by, "comment": pause.comment or None, **times}


def _answer(text: str, pause: Pause, state: str, output: str) -> None:
    if output == "json":
        print_json({**pause_as_json(pause), "state": state})
    else:
        click.echo(text)
