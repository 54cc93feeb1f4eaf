"""The listener as a process: frames piped in, answers and log piped out, signals sent."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from listener.state.journal import FILE
from tests.listening import COMMAND, OK, READY, Site, frame, notification, site_in
from tests.manager import running
from tests.support import event, wait_for

NOTE = "{name: h, event_type: '*', implementation: test_functions.note}"
SLOW = NOTE.replace(".note", ".slow")
PICKY = "{name: picky, event_type: '*', implementation: test_functions.picky, retries: 50}"
ALARM = "{name: alarm, event_type: hook_failed, implementation: test_functions.note}"
TOKEN = "ctok-AbCdEfGhIj-0123456789abcdefghijklmnopqrstuvwxyzABCD"
HELD = "ERROR the journal cannot be written, events are held: the "


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site:
        yield site


# Events, answers and signals


def test_whatever_the_payloads_are_each_is_answered_ok_and_the_next_event_is_acted_on(
    site: Site,
) -> None:
    evil = "e\x1b[2J\r\n2026-01-01T00:00:00.000Z ERROR forged" + "x" * 100_000
    payloads = {
        notification("é€😀", message={"text": "配置 😀\r\n"}): "execution é€😀, serial 0 from",
        notification(context={"execution_id": "e-1"}): "lacks workflow_id, tenant_name, depl",
        notification(event_type="t" * 100_000, context={"execution_id": evil}): "tttt",
        notification(message={"text": "x" * 10_000_000}): "done in",
        "": "the payload is empty",
        "no json": "not JSON",
        "[1]": "expected an object",
        '{"event_type": "x"}': "'context' must be an object",
        '{"event_type": null, "context": {}}': "'event_type' must be a text",
        "caf\udce9": "not UTF-8",
        "x" * 10_000_000: "not JSON",
        **{
            f'{{"event_type": 7, "context": {{}}, "x": {"[" * depth}{"]" * depth}}}': "nothing was run"
            for depth in range(900, 1010, 5)
        },
        notification("next"): "execution next",
    }
    listener = site.start(NOTE)
    for serial, payload in enumerate(payloads):
        listener.send(event(payload, serial=serial))
    assert listener.end() == 0
    assert listener.answers == READY + OK * len(payloads)
    assert [words for words in payloads.values() if words not in listener.log] == []
    lines = listener.log.splitlines()
    assert max(map(len, lines)) < 500
    assert "\x1b" not in listener.log
    assert not any(line.startswith("2026-01-01") for line in lines)
    assert site.notes[0] == "é€😀"
    assert site.notes[-1] == "next"


@pytest.mark.parametrize("broken", [b"junk\n", event("x")[:-1]])
def test_broken_framing_ends_without_an_answer(site: Site, broken: bytes) -> None:
    listener = site.start(NOTE)
    listener.send(frame("e-1") + broken)
    assert listener.end() == 1
    assert listener.answers == READY + OK
    assert "leaving, for supervisord to start the listener again" in listener.log
    assert site.notes == ["e-1"]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_lets_the_action_in_progress_end_and_be_answered(
    site: Site, signum: signal.Signals
) -> None:
    listener = site.start(SLOW, NOTE)
    listener.send(frame("one") + frame("two", serial=2))
    wait_for("the action", lambda: site.notes)
    listener.process.send_signal(signum)
    listener.wait_for_log(f"INFO {signum.name}: waiting for hook h and 1 after it, at most 1")
    site.go()
    assert listener.ended() == 0
    assert listener.answers == "READY\nRESULT 2\nOK"
    assert site.notes == ["one"] * 2


@pytest.mark.parametrize("written", [b"", event("x")[:50]])
def test_a_signal_while_waiting_ends_with_0(site: Site, written: bytes) -> None:
    listener = site.start()
    listener.send(written)
    wait_for("READY", lambda: listener.answers == READY)
    assert listener.terminate() == 0
    assert "Traceback" not in listener.log


def test_an_answer_that_nobody_reads_ends_with_1(site: Site) -> None:
    read, write = os.pipe()
    listener = site.start(stdout=write)
    os.close(write)
    assert os.read(read, 100) == READY.encode()
    os.close(read)
    listener.send(event("x"))
    assert listener.ended() == 1
    assert "Broken pipe" in listener.log
    assert "Traceback" not in listener.log


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_a_closed_descriptor_ends_the_start_and_is_named(closed: str) -> None:
    command = f"exec {' '.join(COMMAND)} listen {closed}"
    result = subprocess.run(
        ["sh", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False
    )
    assert result.returncode == 2
    assert b"cannot start: listen needs stdin and stdout, one of them is closed" in result.stderr


def test_a_log_in_json_has_an_object_a_line_with_what_operators_filter_by(site: Site) -> None:
    say = "{name: say, event_type: '*', implementation: command, inputs: {argv: [echo, hi]}}"
    listener = site.start(PICKY.replace("50", "0"), say, settings="log_format: json")
    listener.send(frame("e-1"))
    listener.wait_for_answers(1)
    second = site.start(settings="log_format: json, log_level: error")
    assert second.ended() == 2
    [refusal] = map(json.loads, second.log.splitlines())
    assert refusal["message"].startswith("cannot start: process ")
    assert listener.end() == 0
    lines = list(map(json.loads, listener.log.splitlines()))
    [failed] = [line for line in lines if line.get("outcome") == "failed"]
    about = {"entry_id": 1, "event_type": "workflow_started", "execution_id": "e-1", "attempt": 1}
    assert failed.items() >= {**about, "level": "ERROR", "hook": "picky"}.items()
    assert "test_functions.py" in failed["details"] and "\n" not in failed["message"]
    [printed] = [line for line in lines if line["message"].endswith(" | hi")]
    assert (printed["hook"], printed["entry_id"]) == ("say", 1)


def test_a_hooks_conf_that_is_meaningless_ends_the_start_with_2_and_no_ready(site: Site) -> None:
    listener = site.start("]")
    assert listener.ended() == 2
    assert listener.answers == ""
    assert "cannot start, correct hooks.conf first (conductor-hooks check " in listener.log
    assert f"\n    {site.hooks_conf}, line 1: " in listener.log


def test_a_hook_with_a_mistake_fails_alone_and_its_runs_are_replayed_when_it_is_mended(
    site: Site,
) -> None:
    implementation = "implementation: test_functions.note"
    mistaken = f"{{event_type: '*', inputs: {{a: !file gone}}, {implementation}, retries: 5}}"
    misnamed = f"{{event_type: '*', {implementation.replace('tion:', 'toin:')}}}"
    listener = site.start(mistaken, NOTE, misnamed, ALARM)
    listener.send(frame("e-1"))
    listener.wait_for_answers(1)
    site.wait_for_states("failed", "done", "done")
    assert site.notes == ["e-1"] * 3
    problem = f"!file {site.folder}/gone cannot be read: No such file or directory"
    assert f"ERROR {site.hooks_conf}, line 1: {problem}\n" in listener.log
    assert listener.end() == 0
    failed, done, _ = site.entries[0].runs
    assert [each.text for each in failed.attempts] == [f"hooks.conf, line 1: {problem}"]
    assert done.state == "done"

    mended = mistaken.replace("{a: !file gone}", "{}")
    site.hooks_conf.write_text(f"hooks: [{mended}, {NOTE}, {misnamed.replace('toin', 'tion')}]")
    replayed = site.run("replay", "--failed")

    assert replayed.returncode == 0, replayed.stdout
    assert [run.state for run in site.entries[0].runs] == ["done"] * 3
    assert site.notes == ["e-1"] * 5


V3_TRAP = (
    "{name: v3, event_type: workflow_failed, implementation: cloudify.snmp.snmp_trap.send_snmp_trap,"
    " inputs: {destination_address: 127.0.0.1, destination_port: 9, version: 3, user: night}}"
)


def test_actions_are_prepared_at_the_start_unless_an_event_waits(site: Site) -> None:
    idle = site.start(V3_TRAP, NOTE)
    idle.wait_for_log("SNMPv3 user night: engine ID 0x")
    assert idle.end() == 0
    reader, writer = os.pipe()
    os.write(writer, frame("e-1"))
    busy = site.start(V3_TRAP, NOTE, stdin=reader)
    busy.wait_for_answers(1)
    os.close(writer)
    os.close(reader)
    assert busy.ended() == 0
    assert "SNMPv3" not in busy.log


# The journal


def test_retries_run_while_nothing_comes_and_no_token_is_left_when_the_listener_has_ended(
    site: Site,
) -> None:
    listener = site.start(PICKY)
    listener.send(frame("e-1", context={"execution_id": "e-1", "rest_token": TOKEN}))
    listener.wait_for_answers(1)
    wait_for("a second attempt", lambda: len(site.notes) > 1)
    site.go()
    site.wait_for_states("done")
    assert listener.end() == 0
    [run] = site.entries[0].runs
    assert {attempt.text for attempt in run.attempts[:-1]} == {"LookupError: no ctok"}
    for file in site.state_dir.iterdir():
        assert TOKEN.encode() not in file.read_bytes(), file.name
    assert TOKEN not in listener.log


def test_a_rest_token_is_deleted_at_the_manager_when_no_hook_needs_it_any_more(site: Site) -> None:
    with running() as manager:
        at = f"rest_host: 127.0.0.1, rest_port: {manager.server_port}, rest_protocol: http"
        hook = PICKY.replace("'*'", "workflow_started")
        listener = site.start(hook, settings=f"manager: {{{at}}}")
        for number, event_type in enumerate(("workflow_started", "workflow_failed"), 1):
            context = {"tenant_name": "acme", "execution_id": "x", "rest_token": f"ctok-{number}-x"}
            listener.send(frame("x", serial=number, event_type=event_type, context=context))
        wait_for("the deletion of one token", lambda: manager.asked)
        site.go()
        wait_for("the deletion of both tokens", lambda: len(manager.asked) > 1)
        assert listener.end() == 0
    assert [path.rpartition("/")[2] for path, *_ in manager.asked] == ["2", "1"]


def test_what_a_hook_emits_for_itself_is_told_of(site: Site) -> None:
    (site.folder / "looping.py").write_text(
        "from listener import emit\n"
        "def again(context):\n"
        "    if context['execution_id'] != 'the second':\n"
        "        own = {**context, 'execution_id': 'the second'}\n"
        "        emit({'event_type': context['event_type'], 'context': own}, durable=True)\n"
    )
    listener = site.start("{event_type: workflow_started, implementation: looping.again}")
    listener.send(frame("the first"))
    listener.wait_for_answers(1)
    listener.send(frame("the second", serial=2))
    listener.wait_for_answers(2)
    assert listener.end() == 0
    assert [entry.source for entry in site.entries] == ["supervisord", "hook", "supervisord"]
    assert listener.log.count("a hook has emitted this workflow_started: if it is one of those") == 1


def test_while_a_function_runs_the_verbs_read_and_write_the_journal(site: Site) -> None:
    """No transaction is open while an action runs."""
    listener = site.start(SLOW.replace("'*'", "workflow_started"), PICKY.replace("50", "0"))
    listener.send(frame("fails", event_type="workflow_failed"))
    listener.send(frame("given up", serial=2, event_type="workflow_failed"))
    listener.wait_for_answers(2)
    listener.send(frame("slow", serial=3))
    site.wait_for_states("failed", "failed", "running")

    replayed = site.run("replay", "1", "--no-wait")
    dropped = site.run("drop", "2")
    shown = site.run("history")

    assert [verb.returncode for verb in (replayed, dropped, shown)] == [0, 0, 0]
    assert site.states == ["pending", "dropped", "running"]
    assert [line.split()[0] for line in shown.stdout.splitlines()] == ["id", "3", "2", "1"]
    site.go()
    listener.wait_for_answers(3)
    listener.send(event("when:1", serial=4, eventname="TICK_5"))
    site.wait_for_states("done", "dropped", "done")


def test_without_a_state_directory_all_works_while_the_listener_lives_and_one_warning_says_so(
    site: Site,
) -> None:
    (site.folder / "file").touch()
    state_dir = f"{site.folder}/file/state"
    listener = site.start(PICKY.replace("50", "1"), ALARM, env={"CONDUCTOR_HOOKS_STATE_DIR": state_dir})
    payload = notification("e-1", id="n-1", context={"execution_id": "e-1", "rest_token": TOKEN})
    listener.send(event(payload, serial=1))
    wait_for("a retry, and the hook on hook_failed", lambda: site.notes == ["e-1"] * 3)
    listener.send(event(payload, serial=2))
    listener.send(event("when:1", serial=3, eventname="TICK_5"))
    assert listener.end() == 0
    assert listener.answers == READY + OK * 3
    assert "serial 2 from workflows: accepted already, as entry 1, which is failed" in listener.log
    warning, *_ = [line for line in listener.log.splitlines() if " WARNING " in line]
    assert listener.log.count("the journal is kept in memory") == 1
    assert "the journal is kept in memory: when this process ends, the history, retries and" in warning
    assert f"the state directory {state_dir} cannot be made: Not a directory; " in warning
    assert site.notes == ["e-1"] * 3


def test_a_journal_of_another_version_ends_the_listener_with_2_and_no_answer(site: Site) -> None:
    site.state_dir.mkdir()
    with closing(sqlite3.connect(site.state_dir / FILE)) as connection:
        connection.execute("PRAGMA user_version = 99")
    listener = site.start(NOTE)
    listener.send(frame("e-1"))
    assert listener.ended() == 2
    assert listener.answers == READY
    assert f"cannot start: {site.state_dir / FILE} has schema 99, and this conductor" in listener.log


def hinder_the_lock(state_dir: Path) -> Callable[[], None]:
    (state_dir / "lock").mkdir()
    return (state_dir / "lock").rmdir


def spoil_the_journal(state_dir: Path) -> Callable[[], None]:
    (state_dir / FILE).write_bytes(b"no database " * 1000)
    return (state_dir / FILE).unlink


@pytest.mark.parametrize("hinder", [hinder_the_lock, spoil_the_journal])
def test_what_keeps_the_journal_from_being_opened_holds_the_first_event_until_it_is_mended(
    site: Site, hinder: Callable[[Path], Callable[[], None]]
) -> None:
    site.state_dir.mkdir()
    mend = hinder(site.state_dir)
    first = site.start(NOTE)
    first.wait_for_log(HELD)
    assert first.terminate() == 0
    orphan = site.start(NOTE)
    orphan.wait_for_log(HELD)
    assert orphan.end() == 1
    second = site.start(NOTE)
    second.send(frame("e-1"))
    second.wait_for_log(HELD)
    assert second.answers == READY

    mend()

    second.wait_for_answers(1)
    assert second.log.count("ERROR") == 1
    site.wait_for_states("done")


def test_on_a_full_disk_an_event_is_held_until_there_is_room(site: Site) -> None:
    listener = site.start(NOTE)
    listener.send(frame("e-1"))
    listener.wait_for_answers(1)
    site.wait_for_states("done")
    listener.may_write(False)
    listener.send(frame("e-2", serial=2))
    listener.wait_for_log(HELD)
    assert listener.answers == READY + OK

    listener.may_write(True)

    listener.wait_for_answers(2)
    site.wait_for_states("done", "done")
    assert site.notes == ["e-1", "e-2"]
    assert "WARNING the journal can be written again: held events resume" in listener.log
