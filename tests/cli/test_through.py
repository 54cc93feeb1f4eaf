"""fire --through-supervisor: the way of a real notification, but for the program that prints it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from listener.cli import command, through
from listener.state.journal import FILE, Journal
from listener.supervisord.presence import read_presence
from tests.cli.commands import COMMAND
from tests.end_to_end.real_supervisord import RealSupervisord, running
from tests.support import wait_for

HOOKS = """
hooks:
  - {name: note, event_type: [workflow_started, workflow_failed], implementation: test_functions.note}
  - {name: fail, event_type: workflow_failed, implementation: test_functions.fail, retries: 3}
  - {name: slow, event_type: workflow_queued, implementation: test_functions.wait_for_file,
     inputs: {path: !env GO}}
"""


@pytest.fixture
def supervisord(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealSupervisord]:
    monkeypatch.setenv("GO", str(tmp_path_factory.mktemp("go") / "go"))
    with running(HOOKS) as supervisord:
        wait_for("its note", lambda: is_present(supervisord.pid()))
        yield supervisord


def is_present(pid: int) -> bool:
    """Whether this process has said that it is the listener."""
    folder = os.environ["CONDUCTOR_HOOKS_STATE_DIR"]
    if not os.path.exists(os.path.join(folder, FILE)):
        return False
    with closing(Journal(folder)) as journal:
        presence = read_presence(journal)
    return presence is not None and presence.pid == pid


def fire(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["fire", "--through-supervisor", *arguments])


def test_the_running_listener_runs_the_hooks_and_its_journal_answers(
    supervisord: RealSupervisord,
) -> None:
    result = fire("workflow_started", "--set", "execution_id=e-1", "--output", "json")
    assert result.exit_code == 0, result.stderr  # which has what it waits for on a busy machine
    answer = json.loads(result.stdout)
    assert (answer["execution_id"], answer["state"], answer["source"]) == ("e-1", "done", "fire")
    assert supervisord.notes() == ["e-1"]
    wait_for("the log", lambda: "fired, entry 1)" in supervisord.log())


def test_it_waits_until_each_hook_was_tried_and_not_for_retries(supervisord: RealSupervisord) -> None:
    result = fire("workflow_failed", "--output", "json")
    assert result.exit_code == 1
    states = {run["hook"]: run["state"] for run in json.loads(result.stdout)["runs"]}
    assert states == {"note": "done", "fail": "pending"}


def test_in_a_pause_it_says_so_and_does_not_wait(supervisord: RealSupervisord) -> None:
    assert ": in force" in CliRunner().invoke(command, ["pause"]).stdout
    result = fire("workflow_failed", "--output", "json")
    assert "; conductor-hooks resume\n" in result.stderr
    assert '"state": "pending"' in result.stdout


def test_what_no_hook_matches_is_said_to_be_so(supervisord: RealSupervisord) -> None:
    result = fire("workflow_cancelled")
    assert result.exit_code == 1
    assert "no hook in the listener's hooks.conf matches this workflow_cancelled" in result.stdout


def test_without_an_answer_it_says_what_is_in_the_way(
    supervisord: RealSupervisord, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = supervisord.folder / "conf.d/conductor-hooks.conf"
    section.write_text(section.read_text().replace("REMOTE_COMMUNICATION,", ""))
    supervisord.supervisorctl("update")
    wait_for("the listener", lambda: is_present(supervisord.pid()))
    monkeypatch.setattr(through, "ACCEPTED_S", 0.3)
    result = fire("workflow_started")
    assert (result.exit_code, result.stdout, supervisord.notes()) == (2, "", [])
    assert "has not accepted it within" in result.stderr
    supervisord.supervisorctl("stop", "conductor-hooks")
    result = fire("workflow_started")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "nothing was sent: no listener runs under supervisord with" in result.stderr


def test_while_the_listener_is_busy_it_waits_and_says_for_what(
    supervisord: RealSupervisord,
) -> None:
    supervisord.emit("workflow_queued", "slow")
    wait_for("the slow hook", lambda: supervisord.notes("begun") == ["slow"])
    fired = [*COMMAND, "fire", "--through-supervisor", "workflow_started"]
    with subprocess.Popen(
        fired, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "waiting: the listener works on entry 1\n"
        Path(supervisord.env["GO"]).touch()
        assert process.wait(60) == 0


def test_to_run_nothing_and_to_have_it_run_are_two_wishes() -> None:
    result = fire("workflow_failed", "--dry-run")
    assert result.exit_code == 2
    assert "choose one" in result.stderr
