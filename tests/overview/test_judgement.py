"""What is wrong with how the listener stands."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

import pytest
from msgspec.structs import replace

from listener.hooks.watch import MISSING, NEEDS_RESTART
from listener.inbox.runs import run_of
from listener.overview.judgement import judge
from listener.overview.standing import InHand, Process, Standing
from listener.rabbitmq.presence import ForwarderPresence
from listener.state.totals import Totals
from listener.supervisord.presence import Presence

NOW = 1_700_000_000.0
DEAD = "999999999.1"
LISTENER = Presence(
    run=run_of(os.getpid()),
    version="0.1.0",
    began_at=NOW - 3600,
    config="/etc/hooks.conf",
    supervisord="1.1",
    process="hooks:hooks",
    heard_at=NOW - 3,
)
WELL = Standing(
    at=NOW,
    folder="/state",
    listener=LISTENER,
    is_running=True,
    process=Process("RUNNING", NOW - 3600),
    in_hand=(InHand(7, "workflow_failed", "page", "m.page", NOW - 9, NOW + 51),),
    totals=Totals({"pending": 3, "running": 1}, 2, NOW - 9, 0, None),
    inbox_fault="",
    recorder={"trouble": "", "recorded": 7, "failed": 0},
    forwarder=ForwarderPresence(run_of(os.getpid()), NOW, "consuming the queue", is_trouble=False),
    tallies={},
    pauses=(),
    table=None,
)
DEAF = replace(LISTENER, heard_at=NOW - 20)
"""It has not heard supervisord for longer than it should."""


def totals(**values: Any) -> Totals:
    return WELL.totals._replace(**values)


def test_nothing_needs_doing_while_all_is_well() -> None:
    assert judge(WELL) == []


LATE = "2023-11-14T21:13:21.000Z ERROR disk full"
OLD = "2023-11-14T21:13:19.000Z ERROR of an old listener"
HOLD = "2023-11-14T22:13:{} ERROR the journal cannot be written, events are held: disk full; free space"


@pytest.mark.parametrize(
    ("changes", "where", "what", "cure"),
    [
        ({"listener": None}, "listener", "none has run yet", "supervisorctl start"),
        (
            {"is_running": False, "process": Process("FATAL", 0, "can't find command", "", "old")},
            "listener", "supervisord cannot start it (FATAL): can't find command", "correct that",
        ),
        (
            {"is_running": False, "process": Process("BACKOFF", 0, "see its log", "", "ERROR why")},
            "listener", "(BACKOFF): see its log; the last ERROR in its log: ERROR why",
            "correct that, then supervisorctl restart hooks",
        ),
        (
            {"is_running": False, "process": Process("STARTING", last_error="ERROR why")},
            "listener", "supervisord is starting it; the last ERROR in its log: ERROR why",
            "look again;",
        ),
        ({"is_running": False, "process": Process("STOPPED")}, "listener", "STOPPED", "start hooks;"),
        (
            {"is_running": False, "process": Process("RUNNING", last_error="ERROR why")},
            "listener", "in this state directory; the last ERROR in its log: ERROR why",
            "supervisorctl tail",
        ),
        (
            {"listener": DEAF, "in_hand": (), "process": Process("RUNNING", last_error=LATE)},
            "listener", "no TICK_5 in its journal since 2023-11-14T22:13:00.000Z; the last ERROR in its"
            f" log: {LATE}", "do what its log says",
        ),
        (
            {"listener": DEAF, "in_hand": (), "process": Process("RUNNING", last_error=OLD)},
            "listener", "no TICK_5 in its journal since 2023-11-14T22:13:00.000Z", "do what its log",
        ),
        (
            {"listener": replace(DEAF, heard_at=0.0), "in_hand": ()},
            "listener", "no TICK_5 in its journal since 2023-11-14T21:13:20", "TICK_5 is not among",
        ),
        (
            {"process": Process("RUNNING", last_error=HOLD.format("18.000Z"))},
            "listener", HOLD.format("18.000Z"), "do what that says",
        ),
        ({"process": Process("", why_not="it hangs")}, "supervisord", "it hangs", "look again"),
        (
            {"in_hand": (InHand(7, "x", "page", "m.page", NOW - 99, NOW - 39),)},
            "entry 7", "hook page should have ended at 2023-11-14T22:12:41",
            "supervisorctl restart hooks",
        ),
        ({"totals": totals(by_state={"failed": 2})}, "journal", "2 failed", "replay --failed"),
        ({"totals": totals(by_state={"interrupted": 1})}, "journal", "1 interrupted", "replay ID"),
        ({"totals": totals(by_state={"unreadable": 1})}, "journal", "1 unreadable", "show ID"),
        ({"totals": totals(gaps=4, gap_at=NOW)}, "supervisord", "discarded events", "buffer_size"),
        (
            {"inbox_fault": "it is no directory"},
            "/state/inbox", "it is no directory: what is written there", "chmod u+rwx /state/inbox",
        ),
        ({"recorder": {"trouble": "disk full"}}, "recorder", "disk full", "correct that"),
        (
            {"forwarder": ForwarderPresence(run_of(os.getpid()), NOW, "no route", is_trouble=True)},
            "forwarder", "no route", "tries again",
        ),
        (
            {"forwarder": ForwarderPresence(DEAD, NOW, "consuming", is_trouble=False)},
            "forwarder", "does not run", "/state/forwarder.json",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_has_a_place_and_a_cure(
    changes: dict[str, Any], where: str, what: str, cure: str
) -> None:
    [finding] = judge(WELL._replace(**changes))
    assert finding.where == where
    assert what in finding.what
    assert "old" not in finding.what
    assert cure in finding.cure


def test_a_hold_that_is_over_is_well() -> None:
    assert judge(WELL._replace(process=Process("RUNNING", last_error=HOLD.format("16.000Z")))) == []


@pytest.mark.parametrize("which", ["listener", "forwarder"])
def test_a_process_that_is_stopped_is_no_running_one(which: str) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        run = run_of(process.pid)
        presence: Any = {
            "listener": replace(DEAF, run=run),
            "forwarder": ForwarderPresence(run, NOW, "consuming", is_trouble=False),
        }[which]
        standing = WELL._replace(**{which: presence})
        try:
            assert judge(standing) == []
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            [finding] = judge(standing)
            assert (finding.where, finding.cure) == (which, f"kill -CONT {process.pid}")
            assert "is stopped" in finding.what
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("problem", "cure"),
    [
        ("hooks.conf:3: no such key", "conductor-hooks check /etc/hooks.conf says where; correct it"),
        (NEEDS_RESTART, "supervisorctl restart hooks"),
        ("hooks.conf cannot be read: Permission denied", "let the listener's user read it"),
        (f"{MISSING}; no hook is in force", "write it, or name another one in $CONDUCTOR_HOOKS_CONFIG"),
    ],
)
def test_a_hooks_conf_that_is_not_in_force_is_told_while_the_listener_runs(
    problem: str, cure: str
) -> None:
    [finding] = judge(WELL._replace(listener=replace(LISTENER, problem=problem)))
    assert finding == ("/etc/hooks.conf", problem, cure)


def test_a_hook_that_runs_keeps_the_listener_from_hearing_and_that_is_well() -> None:
    assert judge(WELL._replace(listener=DEAF)) == []


def test_without_a_supervisord_nobody_waits_for_its_ticks() -> None:
    by_hand = replace(DEAF, supervisord="", process="")
    assert judge(WELL._replace(listener=by_hand, in_hand=(), process=Process(""))) == []
