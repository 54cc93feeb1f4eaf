"""What a person does to a listener that runs under a real supervisord."""

from __future__ import annotations

import os
import signal
import subprocess

from tests.cli.commands import COMMAND
from tests.end_to_end.real_supervisord import NOTE, RealSupervisord, ids, running
from tests.support import wait_for

HANGING = """
hooks:
  - {event_type: workflow_failed, implementation: test_functions.slow, inputs: {seconds: 600},
     timeout: 3600}
  - {event_type: workflow_started, implementation: test_functions.note}
"""


def verb(supervisord: RealSupervisord, *arguments: str) -> str:
    """What a verb prints."""
    done = subprocess.run(
        [*COMMAND, *arguments], env=supervisord.env, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_what_comes_in_a_pause_runs_once_and_in_order_after_it_though_the_listener_was_killed() -> None:
    with running(NOTE) as supervisord:
        assert ": in force\n" in verb(supervisord, "pause", "--comment", "pager down")
        for name in ids(3):
            supervisord.emit("workflow_started", name)
        pending = ("history", "--state", "pending", "--output", "json")
        wait_for("three entries", lambda: verb(supervisord, *pending).count('"id"') == 3)
        killed = supervisord.pid()
        os.kill(killed, signal.SIGKILL)
        wait_for("the next listener", lambda: supervisord.log().count("(pager down)") == 2)
        assert supervisord.notes() == []
        verb(supervisord, "resume")
        wait_for("three notes", lambda: len(supervisord.notes()) >= 3)
        assert supervisord.notes() == ids(3)
        wait_for("their ends", lambda: verb(supervisord, *pending) == "[]\n")


def test_a_hook_that_hangs_is_stopped_and_the_next_event_is_acted_on() -> None:
    with running(HANGING) as supervisord:
        supervisord.emit("workflow_failed", "e-0")
        wait_for("the hook", lambda: supervisord.notes("begun") == ["e-0"])
        supervisord.emit("workflow_started", "e-1")
        assert '"state": "timed out"' in verb(supervisord, "stop", "1", "--output", "json")
        wait_for("the next event", lambda: supervisord.notes() == ["e-1"])
        assert "stopped by conductor-hooks stop: the function and" in supervisord.log()
