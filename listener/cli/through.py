"""A notification goes through the running supervisord to the running listener, for the verb fire.

Owns the waiting for the journal's answer, and what is said when none comes. It runs no hook. author.py
calls it.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import click

from listener.cli.entries import required_entry
from listener.cli.pause import print_pauses
from listener.cli.place import Place
from listener.dispatch.pauses import in_force
from listener.errors import HooksError
from listener.log import printable
from listener.model.delivery import decode
from listener.model.entry import FIRE, Entry, Run
from listener.overview.judgement import judge
from listener.overview.standing import stand
from listener.state.filters import Filters
from listener.state.journal import Journal
from listener.supervisord.control import Control, address_of
from listener.supervisord.presence import read_presence

ACCEPTED_S = 10.0
_LOOK_S = 0.1


def fire_through(
    notification: dict[str, Any],
    place: Place,
    supervisor_config: str | None,
) -> Entry:
    """Send it, and wait until each of its hooks was tried once; the entry as it is then.

    Raises HooksError when supervisord does not take it, or the listener does not accept it.
    """
    journal, folder = place.open_journal()
    listener = read_presence(journal)
    if listener is None or not listener.is_alive or not listener.process:
        raise HooksError(
            "nothing was sent: no listener runs under supervisord with the state directory"
            f" {folder}; conductor-hooks status says more"
        )
    text = json.dumps({**notification, "id": notification.get("id") or uuid.uuid4().hex})
    key = decode(text, source=FIRE, origin=FIRE).key
    Control(address_of(listener, supervisor_config)).send(listener.process, text)
    entry = _accepted(journal, str(key))
    if entry is None:
        for finding in judge(stand(journal, folder, supervisor_config, time.time())):
            click.echo(printable(f"{finding.where}: {finding.what}: {finding.cure}"), err=True)
        raise HooksError(_NO_ANSWER)
    return _tried(journal, entry)


_NO_ANSWER = (
    f"supervisord has sent it, and the listener has not accepted it within {ACCEPTED_S:g} s. Its"
    " section needs events=PROCESS_COMMUNICATION,REMOTE_COMMUNICATION,TICK_5; after a change of the"
    " section, supervisorctl update"
)


def _accepted(journal: Journal, key: str) -> Entry | None:
    """The entry with this key; None if the listener has had the time to accept it, and has not."""
    deadline = time.monotonic() + ACCEPTED_S
    is_said = False
    while (entry := journal.find(key)) is None:
        if running := journal.newest(Filters(("running",)), 1):
            deadline = time.monotonic() + ACCEPTED_S
            if not is_said:
                click.echo(f"waiting: the listener works on entry {running[0].id}", err=True)
                is_said = True
        if time.monotonic() > deadline:
            return None
        time.sleep(_LOOK_S)
    return entry


def _tried(journal: Journal, entry: Entry) -> Entry:
    """The entry when each of its hooks was tried once, or none will be before a pause ends."""
    while not entry.is_settled and any(map(_is_awaited, entry.runs)):
        if paused := [each for each in in_force(journal, time.time()) if each.keeps(entry.runs)]:
            print_pauses(paused)
            break
        time.sleep(_LOOK_S)
        entry = required_entry(journal, entry.id)
    return entry


def _is_awaited(run: Run) -> bool:
    return run.state == "running" or (run.state == "pending" and not run.attempts)
