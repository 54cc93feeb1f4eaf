"""What is wrong with how the listener stands, and what to do about it.

Owns the judgement that `status` gives its exit status by, and that `report` begins with. It asks nobody
and changes nothing: all it knows is in a Standing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from listener.hooks.watch import MISSING, NEEDS_RESTART
from listener.inbox.folder import FOLDER
from listener.model.notification import iso_time
from listener.overview.finding import Finding
from listener.overview.standing import Process, Standing
from listener.state.hold import HELD
from listener.supervisord.presence import Presence

SILENT_S = 15.0
"""Two TICK_5 periods, and then some; a listener that supervisord no longer hears ends itself at 12."""

_LATE_S = 5.0  # so long after its deadline a hook's processes are dead


def judge(standing: Standing) -> list[Finding]:
    """What needs doing, the most urgent first; [] when all is well."""
    return [
        *_listener(standing),
        *_hooks_conf(standing),
        *_in_hand(standing),
        *_entries(standing),
        *_ways_in(standing),
    ]


def _listener(standing: Standing) -> Iterator[Finding]:
    listener, state = standing.listener, standing.process.state
    if listener is None:
        start = "supervisorctl start conductor-hooks"
        yield Finding("listener", "none has run yet with this state directory", start)
    elif not standing.is_running and state == "RUNNING":
        yield Finding(
            "listener",
            "supervisord says RUNNING, but it does not work in this state"
            f" directory{_in_log(standing.process)}",
            f"supervisorctl tail -20000 {listener.known_as} stderr says why, and in which it works",
        )
    elif not standing.is_running:
        yield _not_running(standing.process, listener.known_as)
    elif listener.is_stopped:
        cure = f"kill -CONT {listener.pid}"
        yield Finding("listener", "it is stopped (SIGSTOP): it acts on no event", cure)
    elif _holds_events(listener, standing.process):
        cure = "do what that says: held events resume then, and none is lost"
        yield Finding("listener", standing.process.last_error, cure)
    elif listener.supervisord and not standing.in_hand and _is_silent(listener, standing.at):
        since = iso_time(_noted_at(listener))
        said = _in_log(standing.process) if _erred_after(standing.process, listener.began_at) else ""
        yield Finding(
            "listener",
            f"it has noted no TICK_5 in its journal since {since}{said}",
            "do what its log says; if TICK_5 is not among its section's events, add it, then"
            " supervisorctl update",
        )
    if listener and listener.process and not state:
        yield Finding("supervisord", standing.process.why_not, "do what that says, and look again")


def _not_running(process: Process, name: str) -> Finding:
    correct = f"correct that, then supervisorctl restart {name}"
    if process.state == "STARTING":
        what = f"supervisord is starting it{_in_log(process)}"
        return Finding("listener", what, f"look again; if it stays so, {correct}")
    if process.state in ("BACKOFF", "FATAL"):
        logged = _in_log(process) if "log" in process.description else ""  # else it was not even begun
        what = f"supervisord cannot start it ({process.state}): {process.description}{logged}"
        return Finding("listener", what, correct)
    seen = f", and supervisord says {process.state}" if process.state else ""
    start = f"supervisorctl start {name}; its log says why it ended"
    return Finding("listener", f"it does not run{seen}", start)


def _in_log(process: Process) -> str:
    return process.last_error and f"; the last ERROR in its log: {process.last_error}"


def _noted_at(listener: Presence) -> float:
    """When it was last able to write to its journal, as far as that shows."""
    return max(listener.heard_at, listener.began_at)


def _is_silent(listener: Presence, now: float) -> bool:
    return now - _noted_at(listener) > SILENT_S


def _holds_events(listener: Presence, process: Process) -> bool:
    """Whether its newest ERROR says so, and it has noted no TICK_5 since: the next one ends a hold."""
    return HELD in process.last_error and _erred_after(process, _noted_at(listener))


def _erred_after(process: Process, at: float) -> bool:
    said_at = re.search(r"\d{4}-\d\d-\d\dT[\d:.]+Z", process.last_error)
    return said_at is not None and said_at[0] > iso_time(at)


def _hooks_conf(standing: Standing) -> Iterator[Finding]:
    listener = standing.listener
    if listener is not None and standing.is_running and listener.problem:
        what = listener.problem.splitlines()[0]
        cure = f"conductor-hooks check {listener.config} says where; correct it"
        if what == NEEDS_RESTART:
            cure = f"supervisorctl restart {listener.known_as}"
        elif what.startswith(MISSING):
            cure = "write it, or name another one in $CONDUCTOR_HOOKS_CONFIG"
        elif "Permission denied" in what:  # `check` as root finds nothing
            cure = "let the listener's user read it"
        yield Finding(listener.config, what, cure)


def _in_hand(standing: Standing) -> Iterator[Finding]:
    listener = standing.listener
    if listener is None or not standing.is_running:
        return
    for hook in standing.in_hand:
        if hook.deadline_at is not None and standing.at > hook.deadline_at + _LATE_S:
            yield Finding(
                f"entry {hook.entry_id}",
                f"hook {hook.hook} should have ended at {iso_time(hook.deadline_at)}",
                f"conductor-hooks stop {hook.entry_id}; if that does not help, supervisorctl restart"
                f" {listener.known_as}",
            )


def _entries(standing: Standing) -> Iterator[Finding]:
    number = standing.totals.by_state
    for state, meaning, cure in _STATES:
        if count := number.get(state, 0):
            look = f"conductor-hooks history --state {state}"
            yield Finding("journal", f"{count} {meaning}", f"{look}; {cure}")
    if standing.totals.gaps:
        yield Finding(
            "supervisord",
            "it discarded events in the last 24 hours, and their ERROR in the log says how many",
            "raise buffer_size in the listener's section; conductor-hooks history --state dropped",
        )


_STATES = (
    ("failed", "failed", "correct the cause, then replay --failed; or drop --failed"),
    ("interrupted", "interrupted by a kill of the listener", "then replay ID, or drop ID"),
    ("unreadable", "unreadable", "show ID names the cause; then drop ID, or drop --failed"),
)


def _ways_in(standing: Standing) -> Iterator[Finding]:
    recorder, forwarder = standing.recorder, standing.forwarder
    if standing.inbox_fault:
        inbox = f"{standing.folder}/{FOLDER}"
        yield Finding(
            inbox,
            f"{standing.inbox_fault}: what is written there is not acted on",
            f"make it a directory of the listener's user, then sudo chmod u+rwx {inbox}",
        )
    if recorder and recorder["trouble"]:
        yield Finding(
            "recorder",
            f"events are not recorded: {recorder['trouble']}",
            "correct that; until the next event comes, supervisord's buffer alone keeps them",
        )
    if forwarder is not None and forwarder.is_stopped:
        cure = f"kill -CONT {forwarder.pid}"
        yield Finding("forwarder", "it is stopped (SIGSTOP): it takes no messages", cure)
    elif forwarder is not None and forwarder.is_alive and forwarder.is_trouble:
        yield Finding("forwarder", forwarder.said, "mend that; it tries again by itself")
    elif forwarder is not None and not forwarder.is_alive:
        yield Finding(
            "forwarder",
            f"it does not run; it last said, at {iso_time(forwarder.at)}: {forwarder.said}",
            "supervisorctl start conductor-forwarder; if it is not used any more, remove"
            f" {standing.folder}/forwarder.json",
        )
