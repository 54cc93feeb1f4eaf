"""stop: the hook that runs now is ended, that one and no other, and the verb says how."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from listener.cli import command
from listener.model.entry import Attempt, Run
from listener.model.outcome import Outcome
from listener.state.directory import lock
from listener.state.journal import Journal
from listener.state.stop import path_of
from tests.cli.commands import COMMAND, answer, failed, run, store
from tests.handmade_plugins import make_plugin
from tests.listening import Site, frame, site_in
from tests.processes import living
from tests.support import wait_for

SLEEPING = """
import os, signal, subprocess, time
def begin():
    program = subprocess.Popen(["sleep", "600"])
    with open(os.environ["TEST_NOTES"], "a") as notes:
        notes.write("%d %d " % (os.getpid(), program.pid))
def sleep(context):
    begin()
    time.sleep(600)
def resist(context):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    begin()
    while True:
        print("still here")
        time.sleep(0.1)
"""
ENDED = "the function and the programs it started were"
KILLED = "the function and the programs it started were killed, as SIGTERM did not end them within 2 s"
ARGV = """{argv: [sh, -c, 'trap "" TERM; echo $$ $$ >>$TEST_NOTES; while :; do sleep 1; done']}"""
BEGUN = Run("page", "m.page", "running", attempts=(Attempt(1.0),))
AFTER = "{name: after, event_type: '*', implementation: test_functions.told}"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "sleeping.py").write_text(SLEEPING)
    with site_in(tmp_path) as site:
        yield site


def hook(implementation: str, inputs: str = "{}", more: str = "") -> str:
    values = f"name: h, event_type: '*', implementation: {implementation}, inputs: {inputs}"
    return f"{{{values}, timeout: 3600{more}}}"


@pytest.mark.parametrize(
    ("implementation", "inputs", "how"),
    [
        ("sleeping.sleep", "{}", ENDED),
        ("sleeping.resist", "{}", KILLED),
        ("the-plugin.sleeping.sleep", "{}", ENDED),
        ("command", ARGV, KILLED.replace("function", "program")),
    ],
)
def test_what_a_hook_has_started_is_ended_and_the_next_hook_runs(
    site: Site, implementation: str, inputs: str, how: str
) -> None:
    make_plugin(site.state_dir / "plugins", "the-plugin", {"sleeping.py": SLEEPING})
    site.state_dir.chmod(0o700)
    listener = site.start(hook(implementation, inputs), AFTER)
    listener.send(frame("e-1"))
    pids = wait_for("its processes", lambda: site.notes[1:] and site.notes)
    [shown] = answer(site.run("stop", "1", "--output", "json"))
    assert (shown["id"], shown["runs"][0]["state"]) == (1, "timed out")
    assert shown["runs"][0]["error"].startswith(f"stopped by conductor-hooks stop: {how}")
    site.wait_for_states("failed")
    assert not any(living(int(pid)) for pid in pids)
    assert site.notes[2:] == ["workflow_started"]
    assert list(site.state_dir.glob("stop-*")) == []
    again = site.run("stop", "1")
    assert (again.returncode, again.stderr) == (1, "entry 1 is not running: failed\n")


@pytest.mark.parametrize(
    ("implementation", "inputs", "states"),
    [
        ("webhook", "{url: 'http://127.0.0.1:PORT'}", ("timed out", "no answer; the request may have")),
        (
            "cloudify.snmp.snmp_trap.send_snmp_trap",
            "{destination_address: 127.0.0.1, destination_port: PORT, community_string: c,"
            " notify: inform, timeout: 900, retries: 1}",
            ("failed", "no acknowledgement from"),
        ),
        (
            "notify",
            "{urls: ['json://127.0.0.1:PORT', 'json://127.0.0.1:PORT/second']}",
            ("failed", "; #2 json: not sent"),
        ),
    ],
)  # fmt: skip
def test_a_request_without_an_answer_is_given_up(
    site: Site, implementation: str, inputs: str, states: tuple[str, str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", port))
            listener = site.start(hook(implementation, inputs.replace("PORT", str(port))))
            listener.send(frame("e-1"))
            listener.wait_for_log("the hook implementation is")
            wait_for("the begin", lambda: site.states == ["running"])
            [shown] = answer(site.run("stop", "1", "--output", "json"))
    [shown_run] = shown["runs"]
    state, text = states
    assert shown_run["state"] == state
    assert shown_run["error"].startswith("stopped by conductor-hooks stop: ")
    assert text in shown_run["error"]


def test_the_retries_of_a_stopped_hook_follow_and_no_attempt_but_the_one_meant_is_stopped(
    site: Site,
) -> None:
    listener = site.start(hook("test_functions.slow", more=", retries: 1"))
    listener.send(frame("e-1"))
    wait_for("the hook", lambda: site.notes)
    [first] = site.entries
    late = Path(path_of(str(site.state_dir), 1, first.runs[0].attempts[0].began_at))
    assert site.run("stop", "1").returncode == 0
    wait_for("the retry", lambda: len(site.notes) == 2)
    late.touch()  # of a verb that comes too late
    assert site.run("stop", "1").returncode == 0
    assert late.exists()
    [entry] = site.entries
    assert [attempt.state for attempt in entry.runs[0].attempts] == ["timed out", "timed out"]


def test_what_does_not_run_is_not_stopped(folder: Path, journal: Journal) -> None:
    store(journal, "failed", runs=(failed(),))
    store(journal, "running", runs=(BEGUN,))
    results = [run("stop", str(entry_id)) for entry_id in (1, 2, 3)]
    assert [result.returncode for result in results] == [1, 1, 2]
    assert [result.stderr for result in results[:2]] == [
        "entry 1 is not running: failed\n",
        "entry 2 is not running: no listener runs\n",
    ]


def test_a_hook_that_ends_by_itself_meanwhile_is_not_called_stopped(
    tmp_path: Path, journal: Journal
) -> None:
    held = lock(str(tmp_path / "state"))
    entry = journal.get(store(journal, "running", runs=(BEGUN,)))
    assert entry is not None
    with subprocess.Popen([*COMMAND, "stop", "1"], stderr=subprocess.PIPE, text=True) as process:
        wait_for("the question", lambda: list((tmp_path / "state").glob("stop-*")))
        journal.save(entry.with_runs([BEGUN.ended(Outcome("done", "", 1.0), None)]))
        _, errors = process.communicate(timeout=30)
    os.close(held)
    assert (process.returncode, errors) == (
        1,
        "entry 1 is not running: hook page has just ended, done\n",
    )


def test_a_hook_that_looks_at_no_file_ends_at_its_timeout(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(journal, "running", runs=(BEGUN,))
    monkeypatch.setattr("listener.cli.stop._SEEN_S", 0.0)
    held = lock(str(tmp_path / "state"))
    result = CliRunner().invoke(command, ["stop", "1"])
    os.close(held)
    wrong = "hook page cannot be stopped from here: m.page ends at its timeout\n"
    assert (result.exit_code, result.stderr) == (1, wrong)
    assert list((tmp_path / "state").glob("stop-*")) == []


def test_the_verb_ends_though_the_listener_cannot_record_what_it_has_stopped(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(journal, "running", runs=(BEGUN,))
    monkeypatch.setattr("listener.cli.stop._ENDED_S", 0.0)
    monkeypatch.setattr("listener.cli.stop.ask", lambda _path: None)  # as if it had been seen at once
    held = lock(str(tmp_path / "state"))
    result = CliRunner().invoke(command, ["stop", "1"])
    os.close(held)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "not on record yet" in str(result.stderr)
