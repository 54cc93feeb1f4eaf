"""The verb replay: what was not done for an entry is done, by the hooks.conf of now.

Owns the plan of a replay. It has it carried out by the listener that works in the state directory, or
does so itself when there is none.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence

import click
import msgspec

from listener import log
from listener.actions.registry import Actions
from listener.cli.answers import ask, count, output_option
from listener.cli.entries import (
    MANY,
    open_selected,
    print_entries,
    required_entry,
    selecting,
)
from listener.cli.pause import print_pauses
from listener.cli.place import Place, place_options
from listener.dispatch.dispatcher import Dispatcher
from listener.dispatch.pauses import in_force
from listener.dispatch.rematch import rematch, updated
from listener.errors import HooksError, InUse, UnreadableNotification
from listener.hooks.settings import ListenerSettings
from listener.hooks.table import Hook, HookTable
from listener.hooks.watch import HooksFile
from listener.log import printable
from listener.model import payload
from listener.model.entry import FIRE, Entry, Run
from listener.model.notification import WORKFLOW_OVERDUE, Notification
from listener.state.directory import become_owner, is_locked, lock
from listener.state.journal import Journal

_LOOK_S = 0.2


@click.command(short_help="Do what was not done.")
@selecting
@click.option("--all-actions", is_flag=True, help="Also those that were done.")
@click.option("--no-wait", is_flag=True, help="Leave it to the listener, do not wait for the outcome.")
@output_option
@place_options
def replay(
    entry_ids: tuple[int, ...],
    failed: bool,
    since: float,
    all_actions: bool,
    no_wait: bool,
    yes: bool,
    output: str,
    place: Place,
) -> None:
    """Run again the hooks of entries that were not done, as hooks.conf has them now.

    The running listener runs them, within five seconds. Without one, they run here and now, as the
    owner of the state directory and in this environment. What is paused waits for resume. --failed
    leaves out what the verb fire made. Exits with 1 when a hook failed again.
    """
    log.start()
    journal, entries = open_selected(place, entry_ids, failed=failed, since=since)
    if failed:
        entries = list(filter(_can_be_read, _without_fired(entries)))
    path, folder = place.config, place.state_dir
    become_owner(folder)
    table = place.table()
    planned = _planned_again(entries, table, path, all_actions=all_actions)
    click.echo(f"with {path} as it is now: {_summary(planned)}", err=True)
    if len(planned) > MANY and not yes:
        ask("run them?")
    is_ours = _take_over(folder)
    planned = _reopened(journal, planned, entries)
    runs = [run for entry in planned for run in entry.runs]
    paused = [each for each in in_force(journal, time.time()) if each.keeps(runs)]
    print_pauses(paused)
    if is_ours:
        _run_here(planned, table.listener, path, folder, journal)
    elif planned and not no_wait and not paused:
        click.echo("the running listener does it; Ctrl-C ends only the waiting", err=True)
        _wait(journal, planned, folder)
    ended = [required_entry(journal, entry.id) for entry in planned]
    if planned or output == "json":
        print_entries(ended, output)
    is_left_to_listener = (no_wait or paused) and not is_ours
    if any(run.state != "done" for entry in ended for run in entry.runs) and not is_left_to_listener:
        raise SystemExit(1)


def _take_over(folder: str) -> bool:
    """Lock the state directory; False where a listener works in it."""
    try:
        lock(folder)  # until this process ends
    except InUse:
        return False
    return True


def _summary(planned: list[Entry]) -> str:
    if not planned:
        return "there is nothing to run"
    hooks = sum(run.state == "pending" for entry in planned for run in entry.runs)
    entries = "1 entry" if len(planned) == 1 else f"{len(planned)} entries"
    return f"{count(hooks, 'hook')} of {entries} to run"


def _reopened(journal: Journal, planned: Iterable[Entry], known: Iterable[Entry]) -> list[Entry]:
    """Those that are pending now; not those that have changed since they were read."""
    settled = {entry.id: entry for entry in known}
    reopened = []
    for entry in planned:
        if journal.reopen(settled[entry.id], entry.runs):
            reopened.append(entry)
        else:
            click.echo(f"entry {entry.id} has changed meanwhile, and is left as it is", err=True)
    return reopened


def _wait(journal: Journal, planned: list[Entry], folder: str) -> None:
    """Until the listener has tried everything once."""
    waiting = {entry.id: _attempts(entry.runs) for entry in planned}
    while waiting:
        time.sleep(_LOOK_S)
        for entry_id in list(waiting):
            entry = required_entry(journal, entry_id)
            if entry.is_settled or (
                entry.state == "pending" and _attempts(entry.runs) > waiting[entry_id]
            ):
                del waiting[entry_id]
        if waiting and not is_locked(folder):
            raise HooksError(
                "the listener has ended; what was not run yet, it runs when it starts again"
            )


def _attempts(runs: Iterable[Run]) -> int:
    return sum(len(run.attempts) for run in runs)


def _planned_again(
    entries: Iterable[Entry], table: HookTable, path: str, *, all_actions: bool
) -> list[Entry]:
    """The entries with a pending run for each matching hook that is not done; only those with one."""
    planned = []
    for entry in entries:
        if not entry.is_settled:
            raise HooksError(f"entry {entry.id} is {entry.state}: it will be run in any case")
        if entry.event_type is None:
            raise HooksError(f"entry {entry.id} is {entry.state}: there is no notification to replay")
        notification = _notification_of(entry)
        context = notification.hook_context()
        hooks = table.match(notification.event_type, context, entry.received_at)
        if entry.event_type == WORKFLOW_OVERDUE:  # of the hooks on it, each has its own time
            hooks = list(filter(None, rematch(entry.runs, hooks)))
        runs, left = _planned_runs(entry.runs, hooks, all_actions=all_actions)
        for run in left:
            if run.state != "done":
                gone = f"{path} no longer has hook {printable(run.hook)} for its event"
                click.echo(
                    f"entry {entry.id}: {gone}; conductor-hooks drop {entry.id} gives it up", err=True
                )
        again = entry.with_runs([*runs, *left])
        if not again.is_settled:
            planned.append(again)
    return planned


def _without_fired(entries: list[Entry]) -> list[Entry]:
    """Those that are not tests of a hook; that some are left out is said."""
    wanted = [entry for entry in entries if entry.source != FIRE]
    if fired := [str(entry.id) for entry in entries if entry.source == FIRE]:
        click.echo(
            f"left out, because fire made them: {' '.join(fired)}; to run them, name them", err=True
        )
    return wanted


def _can_be_read(entry: Entry) -> bool:
    """Whether an entry can be replayed at all; if not, it is said."""
    try:
        _notification_of(entry)
    except HooksError as error:
        click.echo(printable(str(error)), err=True)
        return False
    return True


def _notification_of(entry: Entry) -> Notification:
    """The entry's notification. Raises HooksError when it can no longer be read."""
    try:
        return payload.decode(entry.body)
    except UnreadableNotification as error:
        raise HooksError(
            f"entry {entry.id} cannot be replayed: {error}; conductor-hooks drop {entry.id} gives it up"
        ) from error


def _planned_runs(
    runs: Sequence[Run], hooks: Sequence[Hook], *, all_actions: bool
) -> tuple[list[Run], list[Run]]:
    """The runs of the hooks of now, in their order; and those whose hooks are not there any more."""
    known: dict[str, Run] = {}
    left: list[Run] = []
    for run, hook in zip(runs, rematch(runs, hooks), strict=True):
        if hook is None:
            left.append(run)
        else:
            known[hook.name] = updated(run, hook)
    planned = []
    for hook in hooks:
        run = known.get(hook.name, Run(hook.name, hook.implementation, fingerprint=hook.fingerprint))
        if run.state != "done" or all_actions:
            reached = () if all_actions else run.reached
            run = msgspec.structs.replace(run, state="pending", due_at=0.0, failures=0, reached=reached)
        planned.append(run)
    return planned, left


def _run_here(
    entries: Iterable[Entry], settings: ListenerSettings, path: str, folder: str, journal: Journal
) -> None:
    """Run these entries in this process, which holds the state directory's lock."""
    with Actions(settings, folder, os.path.dirname(path)) as actions:
        hooks_file = HooksFile(path, os.environ)
        dispatcher = Dispatcher(hooks_file, actions, journal, settings.wait_for_retries)
        for entry in entries:
            dispatcher.resume(entry.id)
        while dispatcher.work() == 0.0:  # hooks on hook_failed follow at once
            continue
        journal.count(actions.take_tallies(), time.time())
    log.flush()
