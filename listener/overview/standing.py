"""How the listener stands now: what runs, what waits, what has failed.

Owns the one way of looking at it, which every verb shares. It changes nothing, and asks supervisord
about the listener and the recorder alone. judgement.py says what is wrong with it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from listener.dispatch.pauses import Pause, in_force
from listener.errors import HooksError
from listener.hooks.file import load
from listener.hooks.table import Hook, HookTable
from listener.inbox.folder import fault
from listener.model.entry import Entry, Run
from listener.model.outcome import Tally
from listener.rabbitmq import presence as rabbitmq
from listener.rabbitmq.presence import ForwarderPresence
from listener.state.directory import is_locked
from listener.state.filters import Filters
from listener.state.journal import Journal
from listener.state.totals import Totals
from listener.supervisord.presence import Presence, read_presence

_MOST_RUNNING = 10  # one runs; a killed listener leaves others


class InHand(NamedTuple):
    """A hook that runs now. Both are Unix times; `deadline_at` is None if it is not in hooks.conf."""

    entry_id: int
    event_type: str
    hook: str
    implementation: str
    began_at: float
    deadline_at: float | None


class Process(NamedTuple):
    """The listener as its supervisord sees it. `state` is '' if it is not known; `why_not` says why.

    `description` is supervisord's: of one that cannot be started, the reason. `last_error` is the
    newest ERROR in the end of its log.
    """

    state: str
    since: float = 0.0
    description: str = ""
    why_not: str = ""
    last_error: str = ""


class Standing(NamedTuple):
    """Everything at the Unix time `at`. `listener` is the last one that has run, None if none has yet.

    `is_running` is whether it still does, and works in this state directory. `in_hand` is what was
    begun and has no end: of a listener that runs not more than one. `inbox_fault` is why nothing comes
    in by the inbox, '' if it can. `recorder` is the status that recorder.py gives, None if it records
    nothing into this directory.
    """

    at: float
    folder: str
    listener: Presence | None
    is_running: bool
    process: Process
    in_hand: tuple[InHand, ...]
    totals: Totals
    inbox_fault: str
    recorder: Mapping[str, Any] | None
    forwarder: ForwarderPresence | None
    tallies: Mapping[str, Tally]
    pauses: Sequence[Pause]
    table: HookTable | None


def stand(journal: Journal, folder: str, supervisor_config: str | None, now: float) -> Standing:
    """How things stand with the listener of this state directory. Raises HooksError."""
    listener = read_presence(journal)
    table = _table(listener)
    process, recorder = _supervisord(listener, folder, supervisor_config)
    begun = journal.newest(Filters(("running",)), _MOST_RUNNING)
    return Standing(
        at=now,
        folder=folder,
        listener=listener,
        is_running=listener is not None and listener.is_alive and is_locked(folder),
        process=process,
        in_hand=tuple(_in_hand(entry, table) for entry in begun),
        totals=journal.totals(now),
        inbox_fault=fault(folder),
        recorder=recorder,
        forwarder=rabbitmq.read_presence(folder),
        tallies=journal.tallies(),
        pauses=in_force(journal, now),
        table=table,
    )


def _table(listener: Presence | None) -> HookTable | None:
    """The hooks that the listener has, as far as the file still says so; None if it cannot be read."""
    if listener is None:
        return None
    try:
        return load(listener.config, os.environ).table
    except HooksError:
        return None


def _supervisord(
    listener: Presence | None, folder: str, config: str | None
) -> tuple[Process, Mapping[str, Any] | None]:
    from listener.supervisord.control import Control, address_of  # slow to import

    if listener is None or not listener.process:
        return Process("", why_not="no supervisord has started the last listener"), None
    try:
        control = Control(address_of(listener, config))
        recorder = control.recorder(folder)
        for info in control.processes():
            if f"{info['group']}:{info['name']}" == listener.process:
                error = ""
                with suppress(HooksError):  # its section may give it no log
                    error = control.last_error(listener.process)
                found = Process(info["statename"], info["start"], info["description"], "", error)
                return found, recorder
    except HooksError as error:
        return Process("", why_not=str(error)), None
    return Process("", why_not=f"supervisord knows no {listener.process}"), recorder


def _in_hand(entry: Entry, table: HookTable | None) -> InHand:
    run = next(run for run in entry.runs if run.state == "running")
    began_at = run.attempts[-1].began_at
    hook = _hook_of(run, table)
    return InHand(
        entry.id,
        entry.event_type or "",
        run.hook,
        run.implementation,
        began_at,
        began_at + hook.timeout_s if hook else None,
    )


def _hook_of(run: Run, table: HookTable | None) -> Hook | None:
    from listener.dispatch.rematch import rematch

    return rematch([run], table.hooks)[0] if table is not None else None
