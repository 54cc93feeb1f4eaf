"""The listener's section of supervisord's configuration.

Owns which of its lines lose or repeat events, and what to write instead. It looks at the file alone,
whatever runs.
"""

from __future__ import annotations

import itertools
import math
import os
import pwd
from collections.abc import Iterator
from contextlib import suppress

from supervisor import events
from supervisor.datatypes import RestartUnconditionally

from listener.hooks.table import HookTable
from listener.model.notification import EVENT_TYPES, OWN_EVENT_TYPES
from listener.overview.doctor.facts import Facts
from listener.overview.finding import Finding
from listener.supervisord.configuration import Program

_BUFFER = 1000
_RETRIES = 10  # the pauses between them add up to 55 seconds
_KILL_S = 2.0  # from SIGTERM at a hook's timeout to SIGKILL

_Wrong = tuple[str, str]
"""What is wrong, and the line to write instead."""


def judge_section(facts: Facts) -> Iterator[Finding]:
    configuration, program = facts.supervisord.configuration, facts.supervisord.listener
    if configuration is None:
        return
    if program is None:
        yield Finding(
            configuration.file,
            "no section in it runs conductor-hooks listen",
            "include supervisor.d/conductor-hooks.conf, then supervisorctl update",
        )
        return
    others = [each for each in configuration.programs if each.events and each is not program]
    wrong = itertools.chain(
        _events(program, others),
        _process(program),
        _output(program),
        _stop(program, facts),
        _user(facts),
    )
    for what, line in wrong:
        yield Finding(program.place, what, f"{line}; then supervisorctl update")


def _events(program: Program, others: list[Program]) -> Iterator[_Wrong]:
    wanted = "events=PROCESS_COMMUNICATION,REMOTE_COMMUNICATION,TICK_5"
    if not any(map(_has_communication, program.events)):
        yield "PROCESS_COMMUNICATION is missing: it gets no notifications", wanted
    if not any(issubclass(events.Tick5Event, each) for each in program.events):
        yield "TICK_5 is missing: a listener that supervisord no longer hears stays deaf", wanted
    pairs = itertools.permutations(program.events, 2)
    if any(issubclass(one, other) and _has_communication(other) for one, other in pairs):
        yield "two of its events overlap: each notification comes twice", wanted
    if program.buffer_size < _BUFFER:
        what = f"buffer_size is {program.buffer_size}: a burst above it is lost"
        yield what, "buffer_size=65536"
    for other in others:
        if other.process.priority == program.process.priority:
            what = f"[{other.section}] has the same priority: what it refuses, this listener gets again"
            yield what, f"priority={_free_priority(others)}"
        if other.is_verb("listen") and _place(other) == _place(program):
            what = f"[{other.section}] has the same state directory: one of the two cannot start"
            yield what, 'environment=CONDUCTOR_HOOKS_STATE_DIR="…" of its own for that one'


def _place(program: Program) -> list[str | None]:
    """What the state directory of a listener follows from."""
    names = ("CONDUCTOR_HOOKS_CONFIG", "CONDUCTOR_HOOKS_STATE_DIR")
    return [program.process.environment.get(name) for name in names]


def _has_communication(event: type) -> bool:
    return issubclass(events.ProcessCommunicationEvent, event) or issubclass(
        event, events.ProcessCommunicationEvent
    )


def _free_priority(others: list[Program]) -> int:
    taken = {other.process.priority for other in others}
    return next(number for number in itertools.count(7142) if number not in taken)


def _process(program: Program) -> Iterator[_Wrong]:
    if len(program.processes) > 1:
        yield "numprocs is above 1: one process owns the state directory", "numprocs=1"
    if program.process.autorestart is not RestartUnconditionally:
        what = "autorestart is not true: after a clean end no listener runs, and events are lost"
        yield what, "autorestart=true"
    if program.process.startretries < _RETRIES:
        what = f"startretries is {program.process.startretries}: supervisord gives up within a minute"
        yield what, "startretries=100"


def _output(program: Program) -> Iterator[_Wrong]:
    if program.process.stderr_capture_maxbytes:
        what = "stderr_capture_maxbytes is set: parts of its log could become events for itself"
        yield what, "stderr_capture_maxbytes=0"
    if program.process.stdout_logfile is not None:
        yield "stdout_logfile is not NONE: stdout has the protocol, and no log", "stdout_logfile=NONE"


def _stop(program: Program, facts: Facts) -> Iterator[_Wrong]:
    if program.process.stopasgroup:
        what = "stopasgroup is true: a stop ends the hook in progress, too"
        yield what, "stopasgroup=false"
    longest_s, event_type = _longest(facts.hooks.table)
    if program.process.stopwaitsecs < longest_s:
        yield (
            f"stopwaitsecs is {program.process.stopwaitsecs}: all hooks of one {event_type} may take"
            f" {longest_s:.0f} s, and a stop kills the one that runs then",
            f"stopwaitsecs={math.ceil(longest_s)}",
        )


def _longest(table: HookTable | None) -> tuple[float, str]:
    """How long the hooks of one event can take at most, and of which event type that is."""
    return (
        max(
            (sum(hook.timeout_s + _KILL_S for hook in table.of(event_type)), event_type)
            for event_type in (*EVENT_TYPES, *OWN_EVENT_TYPES)
        )
        if table
        else (0.0, "")
    )


def _user(facts: Facts) -> Iterator[_Wrong]:
    uid, hooks = facts.supervisord.uid, facts.hooks
    if not hooks.programs or uid is None:
        return
    if uid == 0:
        names = ", ".join(hooks.programs)
        what = f"root runs these hooks, which may do everything on this host: {names}"
        yield what, "user=NAME of a user to whom you give the state directory"
        return
    with suppress(KeyError, OSError):
        user, home = pwd.getpwuid(uid), _home(facts)
        if home and home != user.pw_dir and os.stat(home).st_uid != uid:
            what = f"HOME is {home}, which belongs to another user than {user.pw_name}"
            yield what, f'environment=HOME="{user.pw_dir}"'


def _home(facts: Facts) -> str:
    """What the listener has, or will have by its section; '' where supervisord's own is not known."""
    program, environment = facts.supervisord.listener, facts.supervisord.environment
    given = program.process.environment.get("HOME") if program else None
    return str(given or (environment or {}).get("HOME", ""))
