"""The listener as a process with its journal: killed, started again, kept from writing, refused."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from listener.inbox.folder import FOLDER, RECORDED_IN, events_name
from listener.inbox.record import encode
from listener.inbox.runs import run_of
from listener.model.entry import Entry
from listener.state.directory import OF_THE_MACHINE
from listener.state.journal import Filters, Journal
from tests.supervisord.test_pipe import OK, notification
from tests.support import event, wait_for

FUNCTIONS = """
import os, time
NOTES = os.environ["TEST_NOTES"]
def note(context):
    with open(NOTES, "a") as notes:
        notes.write(context["execution_id"] + "\\n")
def idle(context):
    pass
def slow(context):
    note(context)
    while not os.path.exists(NOTES + ".go"):
        time.sleep(0.005)
def odd(context):
    note(context)
    return note
def picky(context):
    note(context)
    if not os.path.exists(NOTES + ".go"):
        raise LookupError("no " + context["rest_token"][:4])
"""

NOTE = "{name: h, event_type: '*', implementation: test_functions.note}"
SLOW = "{name: h, event_type: '*', implementation: test_functions.slow, repeatable: %s}"
PICKY = "{name: h, event_type: '*', implementation: test_functions.picky, retries: 50}"
NEXT = "{name: next, event_type: '*', implementation: test_functions.note}"
TOKEN = "ctok-AbCdEfGhIj-0123456789abcdefghijklmnopqrstuvwxyzABCD"


class Listener:
    """One `listen` with pipes; what it answers and logs is gathered as it comes."""

    def __init__(self, env: dict[str, str], **options: Any) -> None:
        command = [sys.executable, "-W", "error", "-m", "listener", "listen"]
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.process = subprocess.Popen(command, env=env, **pipes | options)
        self._answers, self._log = bytearray(), bytearray()
        outputs = ((self.process.stdout, self._answers), (self.process.stderr, self._log))
        self._readers = [threading.Thread(target=_gather, args=output) for output in outputs]
        for reader in self._readers:
            reader.start()

    @property
    def answers(self) -> str:
        return self._answers.decode()

    @property
    def log(self) -> str:
        return self._log.decode()

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    @property
    def unread_bytes(self) -> int:
        """How much of what was sent the listener has not read yet."""
        assert self.process.stdin is not None
        size = fcntl.ioctl(self.process.stdin, termios.FIONREAD, bytes(4))
        return int.from_bytes(size, sys.byteorder)

    def wait_for_answers(self, number: int) -> None:
        wait_for(f"answer {number}", lambda: self.answers == "READY\n" + OK * number)

    def wait_for_log(self, text: str) -> None:
        wait_for(f"{text!r} in the log", lambda: text in self.log)

    def ended(self) -> int:
        """The exit status, as soon as there is one."""
        status = self.process.wait(timeout=30)
        for reader in self._readers:
            reader.join(timeout=30)
        return status

    def end(self) -> int:
        """The exit status, after the end of stdin."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.ended()

    def terminate(self) -> int:
        self.process.terminate()
        return self.ended()

    def kill(self) -> None:
        self.process.kill()
        self.ended()

    def close(self) -> None:
        self.kill()
        for pipe in filter(None, (self.process.stdin, self.process.stdout, self.process.stderr)):
            pipe.close()

    def may_write(self, is_allowed: bool) -> None:
        """Let it write to files, or let that fail as on a disk that is full."""
        limit = resource.RLIM_INFINITY if is_allowed else 0
        limits = (limit, resource.RLIM_INFINITY)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, limits)


def _gather(pipe: BinaryIO, gathered: bytearray) -> None:
    while data := os.read(pipe.fileno(), 65536):
        gathered += data


class Site:
    """A hooks.conf, functions and a state directory, with the listeners that were started on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes_file = folder / "notes"
        self.state_dir = Path(os.environ["CONDUCTOR_HOOKS_STATE_DIR"])
        self._listeners: list[Listener] = []
        (folder / "test_functions.py").write_text(FUNCTIONS)

    def start(self, *hooks: str, env: dict[str, str] | None = None, **options: Any) -> Listener:
        """`listen` with these hooks, in a file system of its own as far as the test goes."""
        (self.folder / "hooks.conf").write_text(f"hooks: [{', '.join(hooks)}]")
        env = {
            **os.environ,
            "CONDUCTOR_HOOKS_CONFIG": str(self.folder / "hooks.conf"),
            "TEST_NOTES": str(self.notes_file),
            "PYTHONPATH": f"{self.folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            **(env or {}),
        }
        self._listeners.append(Listener(env, **options))
        return self._listeners[-1]

    @property
    def notes(self) -> list[str]:
        return self.notes_file.read_text().split() if self.notes_file.exists() else []

    def has_notes(self, number: int) -> bool:
        return len(self.notes) == number

    def go(self) -> None:
        Path(f"{self.notes_file}.go").touch()

    @property
    def entries(self) -> list[Entry]:
        journal = Journal(str(self.state_dir))
        with closing(journal):
            return journal.newest(Filters(), 1000)[::-1]

    @property
    def states(self) -> list[str]:
        return [entry.state for entry in self.entries]

    def wait_for_states(self, *states: str) -> None:
        """Until the entries are in these: the last end is on record only after the answer."""
        wait_for(f"{states}", lambda: self.states == list(states))

    def connect(self) -> sqlite3.Connection:
        """A connection to the journal as another program has it."""
        return sqlite3.connect(self.state_dir / "journal.db", isolation_level=None)

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


def frame(execution_id: str, *, serial: int = 1, **more: Any) -> bytes:
    return event(notification(execution_id, **more), serial=serial)


# Killed and started again


@pytest.mark.parametrize(("repeatable", "state"), [("true", "done"), ("false", "interrupted")])
def test_what_ran_when_the_listener_was_killed_is_gone_on_with_at_once_and_without_an_event(
    site: Site, repeatable: str, state: str
) -> None:
    first = site.start(SLOW % repeatable, NEXT)
    first.send(frame("e-1"))
    wait_for("the function", lambda: site.notes)
    first.kill()
    assert site.states in ([], ["running"])  # before a pause it is in the redo log alone
    site.go()

    second = site.start(SLOW % repeatable, NEXT)

    wait_for("the end", lambda: site.states == [state])
    again = ["e-1"] * (state == "done")
    assert site.notes == ["e-1", *again, "e-1"]
    assert [run.state for run in site.entries[0].runs] == [state, "done"]
    assert second.answers == "READY\n"
    assert "hook h: the listener ended while it ran; it is " in second.log
    assert second.end() == 0


def test_what_had_finished_when_the_listener_was_killed_is_not_run_again_when_it_comes_again(
    site: Site,
) -> None:
    data = frame("e-1", id="n-1")
    first = site.start(NEXT, SLOW % "false")
    first.send(data)
    wait_for("both functions", lambda: len(site.notes) == 2)
    first.kill()
    site.go()

    second = site.start(NEXT, SLOW % "false")
    second.send(data + frame("e-2", id="n-2", serial=2))
    second.wait_for_answers(2)

    assert site.notes == ["e-1", "e-1", "e-2", "e-2"]
    site.wait_for_states("interrupted", "done")
    second.wait_for_log("serial 1 from workflows: accepted already, as entry 1")


def test_killed_again_and_again_it_gets_through_in_the_end(site: Site) -> None:
    listener = site.start(SLOW % "true", NEXT)
    listener.send(frame("e-1"))
    for number in range(1, 4):
        wait_for("the function", partial(site.has_notes, number))
        listener.kill()
        listener = site.start(SLOW % "true", NEXT)
    site.go()

    wait_for("the end", lambda: site.states == ["done"])
    slow, last = site.entries[0].runs
    assert [attempt.state for attempt in slow.attempts] == ["interrupted"] * 3 + ["done"]
    assert len(last.attempts) == 1


# While nothing comes, and at the end


def test_retries_run_while_nothing_comes(site: Site) -> None:
    listener = site.start(PICKY)
    listener.send(frame("e-1", context={"execution_id": "e-1", "rest_token": TOKEN}))
    listener.wait_for_answers(1)
    wait_for("a second attempt", lambda: len(site.notes) > 1)
    site.go()

    wait_for("the end", lambda: site.states == ["done"])

    [run] = site.entries[0].runs
    assert [attempt.text for attempt in run.attempts[:-1]] == ["LookupError: no ctok"] * (
        len(site.notes) - 1
    )
    assert site.entries[0].rest_token is None
    assert TOKEN not in listener.log


def test_at_the_end_of_stdin_what_is_due_stays_for_the_next_start(site: Site) -> None:
    listener = site.start(PICKY)
    listener.send(b"".join(frame(f"e-{serial}", serial=serial) for serial in range(1, 6)))
    assert listener.end() == 0
    assert listener.answers == "READY\n" + OK * 5
    assert site.states == ["pending"] * 5
    site.go()

    site.start(PICKY)

    wait_for("the end", lambda: site.states == ["done"] * 5)


def test_sigterm_with_retries_to_come_ends_at_once(site: Site) -> None:
    listener = site.start(PICKY)
    listener.send(frame("e-1"))
    listener.wait_for_answers(1)

    assert listener.terminate() == 0

    assert site.states == ["pending"]
    assert "Traceback" not in listener.log


def test_a_retry_that_is_due_in_years_keeps_no_event_from_being_served(site: Site) -> None:
    """As after a clock that was years ahead has been set right."""
    first = site.start(PICKY)
    first.send(frame("e-1"))
    first.wait_for_answers(1)
    assert first.terminate() == 0
    with closing(site.connect()) as connection:
        [[runs]] = connection.execute("SELECT runs FROM entries").fetchall()
        [run] = json.loads(runs)
        later = json.dumps([{**run, "due_at": run["due_at"] + 1e8}])
        connection.execute("UPDATE entries SET runs = ?", (later,))
    site.go()

    second = site.start(PICKY)
    second.send(frame("e-2", serial=2))
    wait_for("the end", lambda: "hook h: done in" in second.log or second.process.poll() is not None)

    assert second.end() == 0  # when it had no more to do, and waited
    assert site.states == ["pending", "done"]


def test_sigterm_with_a_backlog_leaves_it_to_the_next_start_after_the_action_in_hand(
    site: Site,
) -> None:
    """Or supervisord would kill it after stopwaitsecs, in the middle of some action."""
    listener = site.start(SLOW % "false", env={RECORDED_IN: str(site.state_dir)})
    listener.send(event("when:1", serial=0, eventname="TICK_5"))
    listener.wait_for_answers(1)
    folder = site.state_dir / FOLDER
    folder.mkdir()
    line = "processname:workflows groupname:workflows pid:4711\n"
    recorded = [encode(serial, line + notification(f"e-{serial}")) for serial in (1, 2, 3)]
    (folder / events_name(1, run_of(os.getpid()))).write_bytes(b"".join(recorded))
    listener.send(frame("e-4", serial=4))
    wait_for("the function", lambda: site.notes == ["e-1"])

    listener.process.terminate()
    site.go()

    assert listener.ended() == 0
    assert site.notes == ["e-1"]
    assert site.states[:3] == ["done", "pending", "pending"]


def test_a_durable_emission_runs_without_its_frame_and_not_again_with_it(site: Site) -> None:
    listener = site.start(NOTE)
    listener.send(frame("e-1"))
    listener.wait_for_answers(1)
    emit = [sys.executable, "-m", "listener", "emit", "workflow_failed", "--durable"]
    written = subprocess.run(
        [*emit, "--set", "execution_id=e-2"], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    listener.send(event("when:1", serial=2, eventname="TICK_5"))
    wait_for("the end", lambda: site.states == ["done", "done"])
    payload = written.removeprefix("<!--XSUPERVISOR:BEGIN-->").partition("<!--XSUPERVISOR:END-->")[0]
    listener.send(event(payload, serial=3))
    listener.wait_for_answers(3)

    assert site.notes == ["e-1", "e-2"]


# The state directory


def test_a_second_listener_is_refused_before_it_says_ready(site: Site) -> None:
    first = site.start(NOTE)
    wait_for("READY", lambda: first.answers)

    second = site.start(NOTE)

    assert second.ended() == 2
    assert second.answers == ""
    assert (
        f"cannot start: process {first.process.pid} works in the state directory {site.state_dir}:"
        " one listener owns it (numprocs must be 1)"
    ) in second.log
    first.send(frame("e-1"))
    first.wait_for_answers(1)


def test_after_a_kill_the_next_listener_is_not_refused_while_the_function_still_runs(
    site: Site,
) -> None:
    first = site.start(SLOW % "false")
    first.send(frame("e-1"))
    wait_for("the function", lambda: site.notes)
    first.kill()

    second = site.start(NOTE)

    wait_for("READY", lambda: second.answers)
    second.send(frame("e-2"))
    second.wait_for_answers(1)


def test_without_a_state_directory_hooks_run_and_the_log_warns(site: Site) -> None:
    (site.folder / "file").touch()
    env = {"CONDUCTOR_HOOKS_STATE_DIR": str(site.folder / "file" / "state")}

    listener = site.start(NOTE, env=env)
    listener.send(frame("e-1", id="n-1") + frame("e-1", id="n-1", serial=2))
    listener.send(event("when:1", serial=3, eventname="TICK_5"))
    listener.wait_for_answers(3)

    assert listener.end() == 0
    assert site.notes == ["e-1", "e-1"]
    assert "WARNING no journal is kept, an event can get lost or be acted on twice: the state" in (
        listener.log
    )
    assert "recorded by" not in listener.log


def test_without_a_state_directory_a_hook_that_has_retries_is_refused(site: Site) -> None:
    (site.folder / "file").touch()
    env = {"CONDUCTOR_HOOKS_STATE_DIR": str(site.folder / "file" / "state")}

    listener = site.start(NOTE, PICKY.replace("name: h", "name: picky"), env=env)

    assert listener.ended() == 2
    assert listener.answers == ""
    assert "line 1: hook 'picky' needs a journal, for its retries" in listener.log
    assert f"the state directory {env['CONDUCTOR_HOOKS_STATE_DIR']} cannot be made: " in listener.log


@pytest.mark.parametrize("has_journal", [True, False])
def test_what_will_make_a_hook_fail_is_told_when_its_file_is_read_again(
    site: Site, has_journal: bool
) -> None:
    (site.folder / "file").touch()
    env = {} if has_journal else {"CONDUCTOR_HOOKS_STATE_DIR": str(site.folder / "file" / "state")}
    listener = site.start(NOTE, env=env)
    for serial, hooks in enumerate([NOTE, PICKY.replace("picky", "pickey"), PICKY]):
        (site.folder / "hooks.conf").write_text(f"hooks:\n - {hooks}\n")
        listener.send(frame(f"e-{serial}", serial=serial))
        listener.wait_for_answers(serial + 1)
    assert listener.end() == 0
    told = f"WARNING {site.folder / 'hooks.conf'}, line 2: hook 'h'"
    found = [line.partition(told)[2] for line in listener.log.splitlines() if told in line]
    no_function = ": test_functions has no function named 'pickey'"
    no_journal = " needs a journal, for its retries, and none is kept"
    assert found == [no_function, *(() if has_journal else (no_journal, no_journal))]


@pytest.mark.parametrize(("folder", "warnings"), [("state", 0), ("other", 1)])
def test_a_recorder_with_another_state_directory_is_warned_of(
    site: Site, folder: str, warnings: int
) -> None:
    recorded_in = str(site.state_dir.with_name(folder))

    listener = site.start(NOTE, env={RECORDED_IN: recorded_in})

    assert listener.end() == 0
    warning = f"WARNING supervisord records into {recorded_in}, but the state directory here is"
    assert listener.log.count(warning) == warnings
    assert listener.log.count(", recorded by supervisord\n") == 1


def test_a_journal_of_a_newer_version_is_refused_and_left_alone(site: Site) -> None:
    site.state_dir.mkdir()
    with closing(site.connect()) as connection:
        connection.execute("PRAGMA user_version = 99")

    listener = site.start(NOTE)
    listener.send(frame("e-1"))

    assert listener.ended() == 2
    assert "RESULT" not in listener.answers
    assert "cannot start" in listener.log
    assert "journal.db has schema 99, and this conductor-hooks knows" in listener.log
    assert "Traceback" not in listener.log
    with closing(site.connect()) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_the_default_state_directory_is_left_alone_when_another_one_is_named(site: Site) -> None:
    def look() -> list[tuple[str, int]]:
        return [(path, os.stat(path).st_mtime_ns) for path in (OF_THE_MACHINE,) if os.path.exists(path)]

    before = look()
    home = site.folder / "home"
    listener = site.start(NOTE, env={"HOME": str(home), "XDG_STATE_HOME": str(home)})
    listener.send(frame("e-1"))
    listener.wait_for_answers(1)

    assert listener.end() == 0
    assert look() == before
    assert not home.exists()
    assert {"journal.db", "lock"} <= set(os.listdir(site.state_dir))


# A journal that cannot be written


def fill_the_disk(listener: Listener) -> bytes:
    """Let the listener's writes fail, and wait until it has said so; the two events that it was sent.

    It holds the second one. The first is on record: the redo log had room for it.
    """
    listener.may_write(False)
    first, second = (frame(f"e-{serial}", serial=serial, id=f"n-{serial}") for serial in (2, 3))
    listener.send(first)
    listener.wait_for_answers(2)
    listener.send(second)
    listener.wait_for_log("ERROR nothing goes on until this is mended: the journal ")
    return first + second


def test_on_a_full_disk_an_event_is_held_and_goes_on_when_there_is_room(site: Site) -> None:
    listener = site.start(NOTE)
    listener.send(frame("e-1"))
    listener.wait_for_answers(1)
    fill_the_disk(listener)
    assert listener.answers == "READY\n" + OK * 2
    assert site.notes == ["e-1", "e-2"]

    listener.may_write(True)
    listener.wait_for_answers(3)

    assert site.notes == ["e-1", "e-2", "e-3"]
    site.wait_for_states("done", "done", "done")
    assert listener.log.count("ERROR") == 1
    assert "WARNING it works again, and goes on" in listener.log


def test_what_was_answered_on_a_full_disk_is_on_record_when_the_listener_is_killed_there(
    site: Site,
) -> None:
    listener = site.start(NOTE)
    listener.send(frame("e-1"))
    listener.wait_for_answers(1)
    both = fill_the_disk(listener)
    listener.kill()

    second = site.start(NOTE)
    second.send(both)
    second.wait_for_answers(2)

    assert site.notes == ["e-1", "e-2", "e-3"]
    site.wait_for_states("done", "done", "done")


def test_a_function_whose_end_meets_a_full_disk_has_run_once(site: Site) -> None:
    listener = site.start(SLOW % "false", NEXT)
    listener.send(frame("e-1"))
    wait_for("the function", lambda: site.notes)
    site.wait_for_states("running")
    listener.may_write(False)
    site.go()
    listener.wait_for_log("ERROR nothing goes on until this is mended: the journal ")
    assert listener.answers == "READY\n"

    listener.may_write(True)
    listener.wait_for_answers(1)

    assert site.notes == ["e-1", "e-1"]  # each hook once
    site.wait_for_states("done")
    assert [run.state for run in site.entries[0].runs] == ["done", "done"]


def test_the_end_of_a_function_is_on_record_though_the_disk_was_full_all_the_time(site: Site) -> None:
    listener = site.start(SLOW % "false")
    wait_for("the redo log", (site.state_dir / "journal.db-redo").exists)
    listener.wait_for_log("listening with")
    wait_for("the journal", lambda: site.entries == [])
    listener.may_write(False)
    data = frame("e-1", id="n-1")
    listener.send(data)
    listener.wait_for_log("The hook consumer received")  # told at a pause, where a commit has failed
    site.go()
    listener.wait_for_log("ERROR nothing goes on until this is mended: the journal ")
    listener.kill()

    second = site.start(SLOW % "false")
    second.send(data)
    second.wait_for_answers(1)

    assert site.notes == ["e-1"]
    site.wait_for_states("done")


def test_a_redo_log_that_somebody_shortens_ends_the_listener_and_loses_nothing(site: Site) -> None:
    first = site.start(NOTE)
    first.send(frame("e-1"))
    first.wait_for_answers(1)
    site.wait_for_states("done")
    os.truncate(site.state_dir / "journal.db-redo", 0)
    data = frame("e-2", serial=2, id="n-2")
    first.send(data)
    assert first.ended() == -signal.SIGBUS

    second = site.start(NOTE)
    second.send(data)
    second.wait_for_answers(1)

    assert site.notes == ["e-1", "e-2"]
    site.wait_for_states("done", "done")


def test_sigterm_while_an_event_is_held_leaves_it_to_the_next_listener(site: Site) -> None:
    listener = site.start(NOTE)
    listener.send(frame("e-1"))
    listener.wait_for_answers(1)
    fill_the_disk(listener)

    assert listener.terminate() == 0

    assert listener.answers == "READY\n" + OK * 2
    assert "WARNING stopping before the journal could be written: supervisord" in listener.log
    second = site.start(NOTE)
    second.send(frame("e-3", serial=3, id="n-3"))
    second.wait_for_answers(1)
    assert site.notes == ["e-1", "e-2", "e-3"]


def test_sigterm_while_the_journal_is_locked_leaves_without_an_answer(site: Site) -> None:
    data = frame("e-1", id="n-1")
    first = site.start(NOTE)
    wait_for("the journal", lambda: (site.state_dir / "journal.db-wal").exists() and site.entries == [])
    with closing(site.connect()) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        first.send(data)
        wait_for("it to read the event", lambda: first.unread_bytes == 0)

        assert first.terminate() == 0

        assert first.answers == "READY\n"
        assert "Traceback" not in first.log
    assert site.notes == []
    second = site.start(NOTE)
    second.send(data)
    second.wait_for_answers(1)
    assert site.notes == ["e-1"]


def hinder_the_lock(state_dir: Path) -> Callable[[], None]:
    (state_dir / "lock").mkdir()
    return (state_dir / "lock").rmdir


def spoil_the_journal(state_dir: Path) -> Callable[[], None]:
    (state_dir / "journal.db").write_bytes(b"no database " * 1000)
    return (state_dir / "journal.db").unlink


@pytest.mark.parametrize("hinder", [hinder_the_lock, spoil_the_journal])
def test_what_keeps_the_journal_from_being_opened_holds_the_first_event_until_it_is_mended(
    site: Site, hinder: Callable[[Path], Callable[[], None]]
) -> None:
    site.state_dir.mkdir()
    mend = hinder(site.state_dir)
    listener = site.start(NOTE)
    listener.send(frame("e-1"))
    listener.wait_for_log("ERROR nothing goes on until this is mended: the ")
    assert listener.answers == "READY\n"

    mend()

    listener.wait_for_answers(1)
    assert listener.log.count("ERROR") == 1
    site.wait_for_states("done")


@pytest.mark.parametrize("hinder", [hinder_the_lock, spoil_the_journal])
def test_sigterm_before_the_journal_could_be_opened_ends_with_0(
    site: Site, hinder: Callable[[Path], Callable[[], None]]
) -> None:
    site.state_dir.mkdir()
    hinder(site.state_dir)
    listener = site.start(NOTE)
    listener.wait_for_log("ERROR nothing goes on until this is mended: the ")

    assert listener.terminate() == 0

    assert listener.answers == "READY\n"


def test_a_start_on_a_full_disk_holds_the_first_event_until_there_is_room(site: Site) -> None:
    limits = (0, resource.RLIM_INFINITY)
    listener = site.start(
        NOTE.replace(".note", ".idle"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits),
        env={"PYTHONDONTWRITEBYTECODE": "1"},
    )
    listener.send(frame("e-1"))
    wait_for("what it says", lambda: "mended" in listener.log or listener.process.poll() is not None)
    assert listener.process.poll() is None, listener.log

    listener.may_write(True)

    listener.wait_for_answers(1)
    site.wait_for_states("done")


V3_TRAP = (
    "{name: v3, event_type: workflow_failed, implementation: cloudify.snmp.snmp_trap.send_snmp_trap,"
    " inputs: {destination_address: 127.0.0.1, destination_port: 9, version: 3, user: night}}"
)


def test_version_3_is_prepared_at_the_start_unless_an_event_waits(site: Site) -> None:
    idle = site.start(V3_TRAP, NOTE)
    idle.wait_for_log("SNMPv3 user night: engine ID 0x")
    assert idle.end() == 0

    reader, writer = os.pipe()
    os.write(writer, frame("e-1"))
    busy = site.start(V3_TRAP, NOTE, stdin=reader)
    busy.wait_for_answers(1)
    os.close(writer)
    assert busy.ended() == 0
    os.close(reader)
    assert "SNMPv3" not in busy.log


def test_hooks_that_send_nothing_in_version_3_prepare_nothing(site: Site) -> None:
    listener = site.start(V3_TRAP.replace("{name", "{enabled: false, name"), NOTE)
    assert listener.end() == 0
    assert "SNMPv3" not in listener.log


def test_a_rest_token_leaves_no_trace_when_the_listener_has_ended(site: Site) -> None:
    listener = site.start(NOTE)
    context = {"execution_id": "e-1", "rest_token": TOKEN}
    listener.send(frame("e-1", context=context) + frame("e-2", serial=2, context=context))
    listener.wait_for_answers(2)
    site.wait_for_states("done", "done")
    assert listener.end() == 0

    for file in site.state_dir.iterdir():
        assert TOKEN.encode() not in file.read_bytes(), file.name


def test_what_ran_to_its_end_with_a_result_that_is_no_json_has_failed_for_good_and_is_told_of(
    site: Site,
) -> None:
    listener = site.start(
        "{name: h, event_type: '*', implementation: test_functions.odd, retries: 50}",
        "{name: alarm, event_type: hook_failed, implementation: test_functions.note}",
    )
    listener.send(frame("e-1"))
    listener.wait_for_answers(1)
    wait_for("the alarm", lambda: site.has_notes(2))
    assert listener.end() == 0
    assert site.states == ["failed", "done"]
    failed, alarm = site.entries
    [attempt] = failed.runs[0].attempts
    assert attempt.text.endswith("Object of type function is not JSON serializable; let it return what"
                                 " can, or nothing")  # fmt: skip
    assert alarm.event_type == "hook_failed"
    assert "ERROR hook h: failed after " in listener.log


def test_a_damaged_entry_holds_the_first_event_until_the_journal_is_moved_away(site: Site) -> None:
    first = site.start(PICKY)
    first.send(frame("e-1"))
    first.wait_for_answers(1)
    assert first.terminate() == 0
    with closing(site.connect()) as connection:
        connection.execute("UPDATE entries SET runs = '[7]'")

    second = site.start(NOTE)
    second.send(frame("e-2", serial=2))
    second.wait_for_log("an entry cannot be read; it is damaged: move it and its -wal file away;")
    assert second.answers == "READY\n"
    for name in ("journal.db", "journal.db-wal"):
        (site.state_dir / name).unlink(missing_ok=True)

    second.wait_for_answers(1)
    site.wait_for_states("done")
