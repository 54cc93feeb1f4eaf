"""What a person does to a listener that runs under a real supervisord."""

from __future__ import annotations

import os
import signal
import subprocess

from tests.cli.commands import COMMAND
from tests.end_to_end.real_supervisord import NOTE, RealSupervisord, ids, running
from tests.support import wait_for


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
        wait_for("the next listener", lambda: supervisord.log().count("(pager down)") == 2, 30)
        assert supervisord.notes() == []
        verb(supervisord, "resume")
        wait_for("three notes", lambda: len(supervisord.notes()) >= 3)
        assert supervisord.notes() == ids(3)
        wait_for("their ends", lambda: verb(supervisord, *pending) == "[]\n")
