"""history, show and drop, as whoever is called at night uses them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import resource
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest
from click.testing import CliRunner
from listener.journal_owned import OwnedJournal

from listener import journal_redo
from listener.cli import command, entries
from listener.model.entry import Attempt, Entry, Run
from listener.model.outcome import Tally
from listener.state import database as journal_file
from listener.state.directory import lock
from listener.state.journal import Filters, Journal
from tests.snmp.receivers import closed_port, udp_socket
from tests.support import do_without, event, shown_at_terminal, uncounted_env, wait_for

COMMAND = [sys.executable, "-W", "error", "-m", "listener"]

STATES = ("pending", "running", "done", "failed", "interrupted", "ignored", "unreadable", "dropped")

STRANGER = """
import importlib, os, pkgutil
import click, rich.console, rich.table, rich.text
import listener
not_needed = (
    "listener.supervisord", "listener.snmp.receiver", "listener.cli.demo.run", "listener.interpreters.child.ctx"
)
for room in pkgutil.walk_packages(listener.__path__, "listener."):
    if not room.name.startswith(not_needed):
        importlib.import_module(room.name)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
importlib.import_module("listener.__main__").main()
"""
"""The command, run by another user; he may not read this Python, so all is imported first."""


FUNCTIONS = """
import os, time
def note(context):
    with open(__file__ + ".notes", "a") as notes:
        notes.write(context["execution_id"] + "\\n")
def slow(context):
    note(context)
    while not os.path.exists(__file__ + ".go"):
        time.sleep(0.005)
"""

HOOKS = """
listener: {python_path: [.]}
hooks:
  - {name: slow, event_type: workflow_started, implementation: test_functions.slow}
  - {name: page, event_type: workflow_failed, implementation: test_functions.note}
"""


def run(*arguments: str, stdin: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    """The command's exit status and what it printed."""
    pipes: dict[str, Any] = {"input": stdin, "capture_output": True, "text": True, "timeout": 30}
    return subprocess.run([*COMMAND, *arguments], check=False, **pipes, **options)


def run_as_stranger(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", STRANGER, *arguments]
    env = uncounted_env()
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30, env=env)


def run_at_terminal(*arguments: str, columns: int = 160) -> str:
    """What a person sees at a terminal, with \\n between the lines."""
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    with subprocess.Popen([*COMMAND, *arguments], stdout=terminal, env={**env, "TERM": "xterm"}):
        os.close(terminal)
        seen = b""
        with contextlib.suppress(OSError):  # EIO, when the other end is closed
            while data := os.read(main, 65536):
                seen += data
    os.close(main)
    text = seen.decode().replace("\r\n", "\n")
    return re.sub(r"\x1b\[[01]m", "", text)  # bold, which is the command's own


def answer(result: subprocess.CompletedProcess[str]) -> Any:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def ids(*arguments: str) -> list[int]:
    """The ids of the entries that history shows."""
    return [entry["id"] for entry in answer(run("history", "--output", "json", *arguments))]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """The journal of the test's state directory."""
    (tmp_path / "state").mkdir(0o700)
    journal = Journal(str(tmp_path / "state"))
    journal.open()
    yield journal
    journal.close()


def body(event_type: str = "workflow_failed", **context: Any) -> str:
    return json.dumps({"event_type": event_type, "context": context})


def new(
    state: Any = "done", *, runs: tuple[Run, ...] = (), event_type: str | None = "workflow_failed",
    execution: str = "e-1", received_at: float = 0.0, error: str = "", rest_token: str | None = None,
    text: str | None = None, **context: Any,
) -> Entry:  # fmt: skip
    """An entry to be stored, as the listener makes it; one without an event type is unreadable."""
    made = body(event_type, execution_id=execution, **context) if event_type else "no json"
    return Entry(
        0, received_at or time.time(), "supervisord", state, made if text is None else text,
        event_type=event_type, execution_id=execution if event_type else None, rest_token=rest_token,
        runs=runs, error=error,
    )  # fmt: skip


def store(journal: Journal, *arguments: Any, **options: Any) -> int:
    entry_id = journal.accept(new(*arguments, **options))
    assert entry_id is not None
    return entry_id


def state_of(journal: Journal, entry_id: int) -> str:
    entry = journal.get(entry_id)
    assert entry is not None
    return entry.state


def failed(hook: str = "page", error: str = "ValueError: no", implementation: str = "m.page") -> Run:
    return Run(
        hook, implementation, "failed", 0.0, 1, (Attempt(1_700_000_000.0, "failed", error, 0.25),)
    )


def done(hook: str = "trap", implementation: str = "m.trap") -> Run:
    return Run(hook, implementation, "done", attempts=(Attempt(1_700_000_000.0, "done", "sent", 0.5),))


def waiting(hook: str = "page", due_at: float = 0.0, implementation: str = "m.page") -> Run:
    """A run that has failed once and is to be tried again."""
    attempts = (Attempt(1_700_000_000.0, "failed", "ValueError: no", 0.25),)
    return Run(hook, implementation, "pending", due_at, 1, attempts)


def test_what_a_killed_listener_had_only_begun_with_is_shown(journal: Journal, tmp_path: Path) -> None:
    folder = str(tmp_path / "state")
    killed = OwnedJournal(folder)
    for key in ("k 1", "k 2"):
        killed.accept(msgspec.structs.replace(new("running", runs=(Run("h", "x.y"),)), key=key))
    killed._file.close()
    with_lock = lock(folder)
    assert ids() == []  # it is at work, or about to be
    os.close(with_lock)
    assert ids() == [2, 1]
    redo_log = tmp_path / "state" / journal_redo.FILE
    assert not journal_redo.has_records(str(redo_log))
    redo_log.unlink()
    assert ids() == [2, 1]


def test_it_is_on_the_disk_before_the_redo_log_is_cleared(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(tmp_path / "state")
    killed = OwnedJournal(folder, power_safe=True)
    killed.accept(new("running", runs=(Run("h", "x.y"),)))
    killed._file.close()
    made = Mock(wraps=OwnedJournal)
    monkeypatch.setattr(entries, "OwnedJournal", made)
    opened, _ = entries.opened_journal(None, folder)
    made.assert_called_once_with(folder, power_safe=True)
    assert [found.state for found in opened.unsettled()] == ["running"]
    opened.file.close()


# history


def test_history_is_newest_first_and_at_most_fifty_or_as_many_as_wanted(journal: Journal) -> None:
    journal.accept_all([new() for _ in range(52)])
    assert ids() == list(range(52, 2, -1))
    assert ids("--limit", "2") == [52, 51]
    assert run("history").stderr == "the newest 50 are shown; --limit shows more\n"
    assert run("history", "--limit", "51", "--output", "json").stderr.startswith("the newest 51 are")
    assert run("history", "--limit", "52").stderr == ""
    assert len(ids("--limit", "1000")) == 52


def test_history_is_a_table_for_people_with_what_went_wrong(journal: Journal) -> None:
    when = 1_700_000_000.5
    store(journal, "ignored", event_type="workflow_queued", received_at=when)
    store(
        journal,
        "failed",
        runs=(done(), failed(error="ValueError: 配置 is [red]not[/red] there")),
        execution="e-2",
        deployment_id="nodecellar",
        received_at=when,
    )
    store(journal, "unreadable", event_type=None, error="the payload is not JSON", received_at=when)

    result = run("history")

    head, unreadable, second, first = (re.split(" {2,}", line) for line in lines(result))
    assert head == ["id", "received", "event", "execution", "deployment", "state", "hooks"]
    assert unreadable[::2][:1] == ["3"]
    assert unreadable[-2:] == ["unreadable", "the payload is not JSON"]
    assert second[:1] + second[2:] == [
        "2",
        "workflow_failed",
        "e-2",
        "nodecellar",
        "failed",
        "trap: done, page: failed (ValueError: 配置 is [red]not[/red] there)",
    ]
    assert second[1] == "2023-11-14 22:13:20Z"
    assert first[-1] == "ignored"


def lines(result: subprocess.CompletedProcess[str]) -> list[str]:
    assert (result.returncode, result.stderr) == (0, "")
    return [line.rstrip() for line in result.stdout.splitlines()]


def test_an_empty_history_is_no_mistake(journal: Journal) -> None:
    assert ids() == []
    result = run("history")
    assert (result.returncode, result.stderr) == (0, "nothing found\n")


def test_history_in_json_has_the_fields_of_the_design(journal: Journal) -> None:
    about = {"deployment_id": "d-1", "workflow_id": "heal", "tenant": {"name": "acme"}}
    runs = (done(), failed(), waiting("again"))
    store(journal, "pending", runs=runs, execution="e-1", received_at=1_700_000_000.123, **about)
    store(journal, "unreadable", event_type=None, received_at=1_700_000_001.0, error="no JSON")

    second, first = answer(run("history", "--output", "json"))

    nothing: dict[str, Any] = dict.fromkeys(
        ("event_type", "execution_id", "deployment_id", "tenant_name", "workflow_id")
    )
    assert second == {
        **nothing,
        "id": 2,
        "received_at": "2023-11-14T22:13:21.000Z",
        "source": "supervisord",
        "state": "unreadable",
        "error": "no JSON",
        "runs": [],
    }
    assert first == {
        "id": 1,
        "event_type": "workflow_failed",
        "execution_id": "e-1",
        "deployment_id": "d-1",
        "tenant_name": "acme",
        "workflow_id": "heal",
        "received_at": "2023-11-14T22:13:20.123Z",
        "source": "supervisord",
        "state": "pending",
        "error": None,
        "runs": [
            {
                "hook": "trap",
                "implementation": "m.trap",
                "state": "done",
                "attempts": 1,
                "error": None,
                "result": "sent",
                "seconds": 0.5,
            },
            {
                "hook": "page",
                "implementation": "m.page",
                "state": "failed",
                "attempts": 1,
                "error": "ValueError: no",
                "result": None,
                "seconds": 0.25,
            },
            {
                "hook": "again",
                "implementation": "m.page",
                "state": "pending",
                "attempts": 1,
                "error": "ValueError: no",
                "result": None,
                "seconds": 0.25,
            },
        ],
    }


def test_an_attempt_that_timed_out_is_called_so(journal: Journal) -> None:
    attempt = Attempt(1_700_000_000.0, "timed out", "no end after 60 s", 60.0)
    store(journal, "failed", runs=(Run("page", "m.page", "failed", 0.0, 1, (attempt,)),))
    [entry] = answer(run("history", "--output", "json"))
    assert (entry["state"], entry["runs"][0]["state"]) == ("failed", "timed out")


def test_each_filter_of_history_leaves_out_what_it_should(journal: Journal) -> None:
    now = time.time()
    for number, state in enumerate(STATES):
        kind = "workflow_failed" if number % 2 else "workflow_started"
        known = state != "unreadable"
        store(
            journal,
            state,
            event_type=kind if known else None,
            execution=f"e-{number % 3}",
            received_at=now - 3600 * (len(STATES) - number),
        )

    for number, state in enumerate(STATES, 1):
        assert ids("--state", state) == [number]
    assert ids("--state", "failed", "--state", "done") == [4, 3]
    assert ids("--event-type", "workflow_failed") == [8, 6, 4, 2]
    assert ids("--event-type", "workflow_faile") == []
    assert ids("--execution", "e-1") == [8, 5, 2]
    assert ids("--execution", "e-_") == []
    assert ids("--since", "3h", "--limit", "1") == [8]
    assert ids("--since", "210m") == [8, 7, 6]
    assert ids("--state", "failed", "--execution", "e-0", "--event-type", "workflow_failed") == [4]
    assert ids("--state", "failed", "--since", "2h") == []


@pytest.mark.parametrize(
    ("since", "shown"),
    [("90s", 1), ("30m", 2), ("2h", 3), ("7d", 4), ("300d", 5), ("99999999999999d", 5), ("0m", 0)],
)
def test_since_takes_a_time_span(journal: Journal, since: str, shown: int) -> None:
    for age_s in (86_400 * 10, 86_400 * 3, 3600, 1200, 30):
        store(journal, received_at=time.time() - age_s)
    assert len(ids("--since", since)) == shown


@pytest.mark.parametrize(
    ("since", "shown"),
    [
        ("2026-01-31", 2),
        ("2026-01-31T12:00", 2),
        ("2026-01-31T12:30", 1),
        ("2026-01-31 12:30:00", 1),
        ("2026-01-31T12:30:00.500", 1),
        ("2026-01-31T12:30Z", 1),
        ("2026-01-31T13:30+01:00", 1),
        ("2026-01-31T13:00:00+01:00", 2),
        ("2026-01-31T12:30-01:00", 0),
        ("2026-01-31T13:00:00.001Z", 0),
    ],
)
def test_since_takes_a_time_which_is_utc_unless_it_says_more(
    journal: Journal, since: str, shown: int
) -> None:
    for noon in (1_769_860_800.0, 1_769_864_400.0):  # 12:00Z and 13:00Z
        store(journal, received_at=noon)
    result = run(
        "history", "--output", "json", "--since", since, env={**os.environ, "TZ": "XST-9"}
    )  # a machine nine hours east
    assert len(answer(result)) == shown


@pytest.mark.parametrize(
    "since",
    [
        "yesterday",
        "5",
        "30 m",
        "-5m",
        "1.5h",
        "",
        "2026-13-01",
        "9" * 400 + "s",
    ],
    ids=lambda since: since[:20],
)
def test_a_wrong_since_is_exit_2_with_a_hint(journal: Journal, since: str) -> None:
    for verb in (["history"], ["replay", "--failed"]):
        result = run(*verb, f"--since={since}")
        assert result.returncode == 2
        assert "write 30m, 2h, 7d or 2026-01-31T23:59" in result.stderr
        assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["history", "--limit", "0"],
        ["history", "--limit", "many"],
        ["history", "--state", "broken"],
        ["history", "4711"],
        ["show"],
        ["show", "x"],
        ["show", "1", "2"],
        ["drop"],
        ["drop", "x"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_2(journal: Journal, arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert "Usage: conductor-hooks" in result.stderr


@pytest.mark.parametrize("verb", ["history", "show", "drop", "replay"])
def test_every_verb_explains_itself_and_accepts_the_common_options(verb: str) -> None:
    result = run(verb, "--help")
    assert result.returncode == 0
    for option in ("--config", "--state-dir", "--output"):
        assert option in result.stdout


def test_the_journal_is_found_by_option_by_environment_and_by_hooks_conf(
    tmp_path: Path, journal: Journal
) -> None:
    store(journal)
    (tmp_path / "hooks.conf").write_text("listener: {state_dir: state}\nhooks: []\n")
    (tmp_path / "broken.conf").write_text("hooks: [")
    unset = {n: v for n, v in os.environ.items() if n != "CONDUCTOR_HOOKS_STATE_DIR"}
    elsewhere = {**os.environ, "CONDUCTOR_HOOKS_STATE_DIR": str(tmp_path / "elsewhere")}

    by_file = run("history", "--config", str(tmp_path / "hooks.conf"), env=unset)
    by_option = run("history", "--state-dir", "state", cwd=tmp_path, env=elsewhere)
    by_environment = run("history", "--config", str(tmp_path / "broken.conf"))

    for result in (by_file, by_option, by_environment):
        assert len(lines(result)) == 2


def test_secrets_in_hooks_conf_do_not_stop_whoever_names_the_directory(
    tmp_path: Path, journal: Journal
) -> None:
    entry_id = store(journal, "failed", runs=(failed(),))
    config = tmp_path / "hooks.conf"
    config.write_text(
        "hooks: [{event_type: workflow_failed, implementation: m.f, inputs: {a: !env NOT_SET}}]"
    )
    for arguments in (["history"], ["show", str(entry_id)], ["drop", str(entry_id)]):
        result = run(*arguments, "--config", str(config))
        assert result.returncode == 0, result.stderr


# history --destinations


def test_what_was_sent_where_is_a_table_for_people(journal: Journal) -> None:
    journal.count({"b.example:162": Tally(12, 10, 2), "[2001:db8::1]:1162": Tally(0, 0, 7)})
    head, *rows = (line.split() for line in lines(run("history", "--destinations")))
    assert head == ["destination", "sent", "acknowledged", "failed"]
    assert rows == [["[2001:db8::1]:1162", "0", "0", "7"], ["b.example:162", "12", "10", "2"]]


def test_what_was_sent_where_is_a_list_for_programs(journal: Journal) -> None:
    journal.count({"b:162": Tally(12, 10, 2), "a:162": Tally(1, 0, 0)})
    assert answer(run("history", "--destinations", "--output", "json")) == [
        {"destination": "a:162", "sent": 1, "acknowledged": 0, "failed": 0},
        {"destination": "b:162", "sent": 12, "acknowledged": 10, "failed": 2},
    ]


def test_where_nothing_was_sent_it_says_so(journal: Journal) -> None:
    store(journal)
    assert answer(run("history", "--destinations", "--output", "json")) == []
    assert lines(run("history", "--destinations")) == ["nothing was sent yet"]


def test_a_long_destination_stays_on_one_line_to_be_copied(journal: Journal) -> None:
    name = f"{'x' * 60}.example:162"
    journal.count({name: Tally(10**15, 10**15, 10**15)})
    assert name in run_at_terminal("history", "--destinations", columns=160)


def test_a_destination_shows_control_characters_and_does_not_obey_them(journal: Journal) -> None:
    journal.count({"\x1b[2Ja[red]b:162": Tally(1, 0, 0)})
    result = run("history", "--destinations")
    assert "\x1b" not in result.stdout
    assert r"\x1b[2Ja[red]b:162" in result.stdout
    [found] = answer(run("history", "--destinations", "--output", "json"))
    assert found["destination"] == "\x1b[2Ja[red]b:162"


def test_without_a_journal_nothing_was_counted_and_it_says_what_to_do(tmp_path: Path) -> None:
    result = run("history", "--destinations")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: there is no journal in {tmp_path}/state: ")


def test_a_journal_of_the_first_version_is_shown_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(0o700)
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "journal.db")) as connection:
        connection.executescript(journal_file._SCHEMAS[0])
        connection.execute("PRAGMA user_version = 1")
    assert answer(run("history", "--destinations", "--output", "json")) == []
    assert ids() == []


@pytest.mark.parametrize(
    "options",
    [
        ["--since", "1h"],
        ["--state", "failed"],
        ["--event-type", "workflow_failed"],
        ["--execution", "e"],
        ["--follow"],
    ],
    ids=lambda options: options[0],
)
def test_what_is_not_counted_apart_cannot_be_asked_for(journal: Journal, options: list[str]) -> None:
    """Numbers of all times, under `--since 1h`, mislead whoever looks for what has just happened."""
    assert run("history", "--destinations", *options).returncode == 2


TRAP_HOOKS = """
hooks:
- event_type: workflow_failed
  implementation: cloudify.snmp.snmp_trap.send_snmp_trap
  inputs:
    community_string: hush-hush
    destinations:
    - {{destination_address: 127.0.0.1, destination_port: {good}}}
    - {{destination_address: 127.0.0.1, destination_port: {closed}}}
"""


def fire(tmp_path: Path, *options: str) -> tuple[str, str]:
    """Fire one notification; the destinations, of which the second cannot be reached."""
    with udp_socket("127.0.0.1") as receiver:
        good, closed = receiver.getsockname()[1], closed_port("127.0.0.1")
        (tmp_path / "hooks.conf").write_text(TRAP_HOOKS.format(good=good, closed=closed))
        result = run("fire", "workflow_failed", "--config", str(tmp_path / "hooks.conf"), *options)
        assert result.returncode == 1, result.stderr
    assert "hush" not in result.stdout + result.stderr
    return f"127.0.0.1:{good}", f"127.0.0.1:{closed}"


def test_what_is_fired_counts_too(tmp_path: Path, journal: Journal) -> None:
    journal.count({"a:162": Tally(1, 0, 0)})
    good, closed = fire(tmp_path)
    assert journal.tallies() == {
        "a:162": Tally(1, 0, 0), good: Tally(1, 0, 0), closed: Tally(0, 0, 1)
    }  # fmt: skip
    shown = answer(run("history", "--destinations", "--output", "json"))
    assert {row["destination"]: row["failed"] for row in shown} == {"a:162": 0, good: 0, closed: 1}
    assert len(ids()) == 1


def test_a_dry_run_counts_nothing(tmp_path: Path, journal: Journal) -> None:
    (tmp_path / "hooks.conf").write_text(TRAP_HOOKS.format(good=1, closed=2))
    result = run("fire", "workflow_failed", "--dry-run", "--config", str(tmp_path / "hooks.conf"))
    assert result.returncode == 0, result.stderr
    assert journal.tallies() == {}


def test_what_is_fired_where_there_is_no_state_directory_is_counted_nowhere(tmp_path: Path) -> None:
    fire(tmp_path)
    assert not (tmp_path / "state").exists()


# history --follow


Follow = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def follow(tmp_path: Path) -> Iterator[Follow]:
    """Starts `history --follow`, which writes into the file `seen`."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: str) -> subprocess.Popen[str]:
            seen = stack.enter_context(open(tmp_path / "seen", "w"))
            errors = stack.enter_context(open(tmp_path / "errors", "w"))
            process = stack.enter_context(
                subprocess.Popen(
                    [*COMMAND, "history", "--follow", *arguments],
                    stdout=seen,
                    stderr=errors,
                    text=True,
                )
            )
            stack.callback(process.kill)
            return process

        yield start


def seen_ids(tmp_path: Path) -> list[int]:
    """The ids of the entries that were printed, in the order of the lines."""
    return [json.loads(line)["id"] for line in (tmp_path / "seen").read_text().splitlines()]


def wait_for_line(tmp_path: Path, number: int) -> list[str]:
    """The lines, when there are so many."""

    def found() -> list[str]:
        lines = (tmp_path / "seen").read_text().splitlines()
        return lines if len(lines) >= number else []

    return wait_for(f"line {number}", found)


def test_follow_prints_what_is_there_what_comes_and_what_goes_on_until_ctrl_c(
    tmp_path: Path, journal: Journal, follow: Follow
) -> None:
    journal.accept_all([new(execution=f"old-{number}") for number in range(3)])
    process = follow("--limit", "2")
    wait_for_line(tmp_path, 2)
    coming = store(journal, "pending", runs=(waiting(),), execution="new")
    wait_for_line(tmp_path, 3)
    entry = journal.get(coming)
    assert entry
    journal.save(entry.with_runs([failed()]))
    wait_for_line(tmp_path, 4)
    store(journal, execution="last")
    shown = wait_for_line(tmp_path, 5)

    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=10) == 0
    assert (tmp_path / "errors").read_text() == ""
    assert [re.findall(r"old-\d|new|last", line)[0] for line in shown] == [
        "old-1",
        "old-2",
        "new",
        "new",
        "last",
    ]
    assert re.search(r"pending +page: pending \(ValueError: no\)$", shown[2])
    assert re.search(r"failed +page: failed \(ValueError: no\)$", shown[3])
    assert wait_for_line(tmp_path, 1) == shown


def test_follow_in_json_is_one_object_a_line(tmp_path: Path, journal: Journal, follow: Follow) -> None:
    store(journal, "failed", runs=(failed(error="two\nlines"),))
    process = follow("--output", "json")
    wait_for_line(tmp_path, 1)
    store(journal, "pending", runs=(waiting(),))
    first, second = map(json.loads, wait_for_line(tmp_path, 2))
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 0
    [*_, of_history] = answer(run("history", "--output", "json"))
    assert first == of_history
    assert (second["id"], second["state"]) == (2, "pending")


def test_follow_of_an_empty_journal_waits_for_the_first_entry(
    tmp_path: Path, journal: Journal, follow: Follow
) -> None:
    process = follow("--output", "json", "--event-type", "workflow_failed")
    store(journal, event_type="workflow_started")
    store(journal)
    wait_for_line(tmp_path, 1)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=10)
    assert seen_ids(tmp_path) == [2]


def test_follow_of_failures_shows_each_in_whatever_order_they_fail(
    tmp_path: Path, journal: Journal, follow: Follow
) -> None:
    before, *both = [store(journal, "pending", runs=(waiting(),)) for _ in range(3)]
    process = follow("--output", "json", "--state", "failed")
    for number, entry_id in enumerate((*reversed(both), before), 1):
        entry = journal.get(entry_id)
        assert entry
        journal.save(entry.with_runs([failed()]))
        if number == 1:
            wait_for_line(tmp_path, 1)
    last = store(journal, "failed", runs=(failed(),))
    wait_for("the last one", lambda: last in seen_ids(tmp_path))
    process.send_signal(signal.SIGINT)
    process.wait(timeout=10)
    assert sorted(seen_ids(tmp_path)) == [before, *both, last]


def test_follow_shows_all_of_a_burst(tmp_path: Path, journal: Journal, follow: Follow) -> None:
    process = follow("--output", "json")
    first = store(journal)
    wait_for_line(tmp_path, 1)
    journal.accept_all([new() for _ in range(1100)])
    wait_for("the end of the burst", lambda: 1101 in seen_ids(tmp_path))
    process.send_signal(signal.SIGINT)
    process.wait(timeout=10)
    assert seen_ids(tmp_path) == list(range(first, 1102))


def test_what_comes_while_the_first_lines_are_printed_is_not_left_out(journal: Journal) -> None:
    journal.accept_all([new(event_type="x" * 1000) for _ in range(200)])
    arguments = ["history", "--follow", "--output", "json", "--limit", "200"]
    seen = bytearray()
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, bufsize=0) as process:
        try:
            assert process.stdout is not None
            seen += process.stdout.read(1)  # it has begun, and the pipe cannot hold all
            store(journal)
            os.set_blocking(process.stdout.fileno(), False)

            def shown() -> list[int]:
                assert process.stdout is not None
                seen.extend(process.stdout.read(65536) or b"")
                return [json.loads(line)["id"] for line in seen.splitlines(True) if b"\n" in line]

            wait_for("the one that came later", lambda: 201 in shown(), limit_s=5)
            assert shown() == list(range(1, 202))
        finally:
            process.kill()


def test_follow_ends_quietly_when_its_reader_has_gone(journal: Journal) -> None:
    store(journal)
    process = subprocess.Popen(
        [*COMMAND, "history", "--follow"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        store(journal)
        errors = process.stderr.read()
    assert (process.returncode, errors) == (0, "")


# A journal that cannot be used

ALL_VERBS = (["history", "--follow"], ["show", "1"], ["drop", "1"], ["replay", "1"])


@pytest.mark.parametrize("is_there", [False, True], ids=["no directory", "an empty one"])
def test_without_a_journal_every_verb_says_what_to_do_and_creates_nothing(
    tmp_path: Path, is_there: bool
) -> None:
    if is_there:
        (tmp_path / "state").mkdir()
    for arguments in ALL_VERBS:
        result = run(*arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == (
            f"Error: there is no journal in {tmp_path}/state: no listener has run with this state"
            " directory; name the right one, which the listener's log says at its start, with"
            " --state-dir or $CONDUCTOR_HOOKS_STATE_DIR\n"
        )
    assert [*tmp_path.rglob("*")] == ([tmp_path / "state"] if is_there else [])


def damage_all(file: Path) -> None:
    file.write_bytes(b"not what it was\n" * 1000)


def damage_a_part(file: Path) -> None:
    with open(file, "r+b") as opened:
        opened.seek(2048)
        opened.write(b"\xff" * 16_384)


@pytest.mark.parametrize("damage", [damage_all, damage_a_part])
def test_a_damaged_journal_is_told_in_one_line(
    tmp_path: Path, journal: Journal, damage: Callable[[Path], None]
) -> None:
    store(journal, "failed", runs=(failed(),))
    journal.close()
    damage(tmp_path / "state" / "journal.db")
    for arguments in ALL_VERBS:
        result = run(*arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert re.fullmatch(
            rf"Error: the journal {tmp_path}/state/journal\.db: .+; it is damaged: move it .*away; the"
            r" listener goes on with a new one\n",
            result.stderr,
        )


def test_a_journal_of_a_newer_version_is_left_as_it_is(tmp_path: Path, journal: Journal) -> None:
    store(journal, "failed", runs=(failed(),))
    journal.close()
    file = tmp_path / "state" / "journal.db"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.commit()
    for arguments in ALL_VERBS:
        result = run(*arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert re.fullmatch(
            rf"Error: {file} has schema 99, and this conductor-hooks knows \d+: install the newer one"
            r" again, or .*\n",
            result.stderr,
        )
    with contextlib.closing(sqlite3.connect(file)) as connection:
        query = "SELECT user_version, state FROM pragma_user_version, entries"
        [[version, state]] = connection.execute(query)
        assert (version, state) == (99, "failed")


@contextlib.contextmanager
def open_to_others(folder: Path) -> Iterator[None]:
    """Lets other users reach what is in the folder, as they may reach /var/lib."""
    if os.geteuid() != 0:
        do_without("only root can become another user")
    modes = {each: each.stat().st_mode & 0o7777 for each in (folder, *folder.parents)}
    closed = {each: mode for each, mode in modes.items() if not mode & 0o001}
    for each, mode in closed.items():
        each.chmod(mode | 0o011)
    try:
        yield
    finally:
        for each, mode in closed.items():
            each.chmod(mode)


@pytest.mark.parametrize("mode", [0o700, 0o755], ids=oct)
def test_the_journal_of_another_user_is_not_taken_for_none(
    tmp_path: Path, journal: Journal, mode: int
) -> None:
    store(journal, "failed", runs=(failed(),))
    (tmp_path / "state").chmod(mode)
    for arguments in ALL_VERBS[:1] if mode == 0o755 else ALL_VERBS:
        with open_to_others(tmp_path):
            result = run_as_stranger(*arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("Error: ")
        assert f"{tmp_path}/state" in result.stderr
        assert "Permission denied; " in result.stderr
        assert "listener's user" in result.stderr
        assert "no listener has run" not in result.stderr
        assert result.stderr.count("\n") == 1


def test_history_is_readable_on_a_full_disk(journal: Journal) -> None:
    store(journal)

    def fill_the_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    assert len(lines(run("history", preexec_fn=fill_the_disk, env=uncounted_env()))) == 2


def test_history_is_readable_while_somebody_keeps_the_journal_locked(
    tmp_path: Path, journal: Journal
) -> None:
    store(journal)
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "journal.db")) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert len(lines(run("history"))) == 2


def test_the_verbs_work_beside_a_listener_that_writes(tmp_path: Path, journal: Journal) -> None:
    number = 1500
    (tmp_path / "test_functions.py").write_text(FUNCTIONS)
    (tmp_path / "hooks.conf").write_text(HOOKS)
    (tmp_path / "events").write_bytes(
        b"".join(event(body(execution_id=f"e-{serial}"), serial=serial) for serial in range(number))
    )
    arguments = ["listen", "--config", str(tmp_path / "hooks.conf")]
    newest = []
    with (
        open(tmp_path / "events", "rb") as events,
        open(tmp_path / "log", "wb") as log,
        open(tmp_path / "answers", "wb") as answers,
        subprocess.Popen([*COMMAND, *arguments], stdin=events, stdout=answers, stderr=log) as listener,
    ):
        wait_for("the first entry", lambda: journal.newest(Filters(), 1))
        while listener.poll() is None:
            newest += ids("--limit", "1")
            assert run("show", str(newest[-1])).returncode == 0
            assert "there is nothing to give up" in run("drop", "1").stderr
    assert listener.returncode == 0
    assert (tmp_path / "answers").read_bytes().count(b"RESULT 2\nOK") == number
    assert newest == sorted(newest)
    assert len(ids("--state", "done", "--limit", "10000")) == number


# What somebody has put into a notification

NASTY = ("a\x1b[2Jb", "a\x1b]0;title\x07b", "a\nb", "a\rb", "a\x9b2Jb", "a\x7fb", "a\u202eb")


def nasty(journal: Journal, text: str) -> None:
    """An entry that has this text wherever somebody can put one."""
    store(
        journal,
        "failed",
        runs=(done(), failed(error=f"ValueError: {text}")),
        execution=text,
        event_type=f"workflow_{text}",
        deployment_id=text,
        workflow_id=text,
        tenant_name=text,
        execution_parameters={text: [text]},
    )


def test_history_shows_control_characters_and_does_not_obey_them(journal: Journal) -> None:
    for text in NASTY:
        nasty(journal, text)
    at_terminal = run_at_terminal("history", columns=400)
    for shown in (at_terminal, run("history").stdout):
        assert all(line.isprintable() for line in shown.split("\n"))
        assert re.findall(r"^\d+", shown, re.MULTILINE) == list("7654321")
    for text in NASTY:
        assert repr(text)[1:-1] in at_terminal


def test_show_shows_control_characters_and_does_not_obey_them(journal: Journal) -> None:
    for entry_id, text in enumerate(NASTY, 1):
        nasty(journal, text)
        shown = run_at_terminal("show", str(entry_id))
        assert all(line.isprintable() for line in shown.split("\n"))
        assert "\nb" not in shown
        assert repr(text)[1:-1] in shown


def test_follow_shows_control_characters_and_does_not_obey_them(
    tmp_path: Path, journal: Journal, follow: Follow
) -> None:
    for text in NASTY:
        nasty(journal, text)
    process = follow()
    wait_for("the last one", lambda: re.search(r"^7 ", (tmp_path / "seen").read_text(), re.MULTILINE))
    process.send_signal(signal.SIGINT)
    process.wait(timeout=10)
    shown = (tmp_path / "seen").read_text().rstrip("\n").split("\n")
    assert [line.split()[0] for line in shown] == list("1234567")
    assert all(line.isprintable() for line in shown)


def test_json_brings_every_text_back_the_same(journal: Journal) -> None:
    texts = (*NASTY, "half \ud800 a pair", "\0", "配置")
    for text in texts:
        store(journal, deployment_id=text, workflow_id={"not": [text]})
    shown = answer(run("history", "--output", "json"))[::-1]
    assert [entry["deployment_id"] for entry in shown] == list(texts)
    assert [entry["workflow_id"] for entry in shown] == [{"not": [text]} for text in texts]
    half = answer(run("show", "8", "--output", "json"))
    assert half["notification"]["context"]["deployment_id"] == "half \ud800 a pair"
    for arguments in (["history"], ["show", "8"], ["show", "9"]):
        assert run(*arguments).returncode == 0


def test_one_long_field_does_not_push_everything_else_off_the_screen(journal: Journal) -> None:
    store(journal)
    store(journal, execution="x" * 20_000)
    store(journal, deployment_id="y" * 20_000)
    store(journal, event_type="z" * 20_000)
    store(journal)
    shown = lines(run("history"))
    assert len(shown) == 6
    assert [len(line) < 200 for line in shown] == [True, True, False, False, False, True]
    assert max(map(len, shown)) < 600


def test_a_row_is_one_line_unless_a_terminal_is_too_narrow_for_it(journal: Journal) -> None:
    store(journal)
    store(journal, "failed", runs=(failed(error="ValueError: " + "配置 " * 150),))
    store(journal)
    _, third, second, first = lines(run("history"))
    assert [line.split()[0] for line in (third, second, first)] == ["3", "2", "1"]
    assert len(second) > 300
    assert max(len(third), len(first)) < 160

    at_terminal = shown_at_terminal([*COMMAND, "history"], columns=100, stream="stdout")
    assert len(at_terminal) > 8
    assert max(map(len, at_terminal)) <= 100


# show


def test_show_has_every_attempt_with_its_time_its_end_and_its_error(journal: Journal) -> None:
    due_at = time.time() + 1000
    attempts = (
        Attempt(1_700_000_000.0, "failed", "ValueError: first", 0.25),
        Attempt(1_700_000_002.5, "timed out", "no end after 60 s", 60.0),
        Attempt(1_700_000_100.0, "interrupted"),
    )
    runs = (done(), Run("page", "m.page", "pending", due_at, 3, attempts))
    about = {"deployment_id": "nodecellar", "workflow_id": "heal", "tenant_name": "acme"}
    store(journal, "pending", runs=runs, received_at=1_700_000_000.0, **about)

    result = run("show", "1")
    entry = answer(run("show", "1", "--output", "json"))

    shown = result.stdout
    for text in (
        "2023-11-14T22:13:20.000Z  failed after 0.250 s: ValueError: first\n",
        "2023-11-14T22:13:22.500Z  timed out after 60.000 s: no end after 60 s\n",
        "2023-11-14T22:15:00.000Z  interrupted\n",
        "2023-11-14T22:13:20.000Z  done after 0.500 s: sent\n",
        "the next attempt is due at 20",
        "trap: done   m.trap\n",
        "page: pending   m.page\n",
        "nodecellar",
        "acme",
        "heal",
        "supervisord",
    ):
        assert text in shown
    assert json.loads(shown[shown.index("\n{") :])["context"]["deployment_id"] == "nodecellar"
    first, second, third = entry["runs"][1]["attempts"]
    assert first == {
        "began_at": "2023-11-14T22:13:20.000Z",
        "state": "failed",
        "text": "ValueError: first",
        "seconds": 0.25,
    }
    assert (second["state"], third["began_at"]) == ("timed out", "2023-11-14T22:15:00.000Z")
    assert entry["runs"][1]["due_at"].startswith("20")
    assert entry["runs"][0]["due_at"] is None
    assert entry["notification"]["event_type"] == "workflow_failed"


def test_every_attempt_in_json_has_the_same_fields(journal: Journal) -> None:
    attempts = (Attempt(1_700_000_000.0), Attempt(1_700_000_001.0, "done", "", 0.5))
    store(journal, "done", runs=(Run("page", "m.page", "done", attempts=attempts),))
    [shown] = answer(run("show", "1", "--output", "json"))["runs"]
    interrupted, ended = shown["attempts"]
    assert interrupted.keys() == ended.keys() == {"began_at", "state", "text", "seconds"}
    assert interrupted["state"] == "interrupted"


def test_an_attempt_that_runs_now_is_not_called_interrupted(journal: Journal) -> None:
    store(journal, "running", runs=(Run("page", "m.page").begun(time.time()), Run("trap", "m.trap")))
    shown = run("show", "1").stdout
    assert "page: running" in shown
    assert "interrupted" not in shown


def test_a_dropped_entry_does_not_promise_another_attempt(journal: Journal) -> None:
    entry_id = store(journal, "pending", runs=(waiting(due_at=time.time() + 1000),))
    assert run("drop", str(entry_id)).returncode == 0
    assert "the next attempt" not in run("show", str(entry_id)).stdout
    [shown] = answer(run("show", str(entry_id), "--output", "json"))["runs"]
    assert shown["due_at"] is None


SECRETS = {
    "password": "s3cret-1",
    "admin_Password": "s3cret-2",
    "api_token": "s3cret-3",
    "client_secret": "s3cret-4",
    "private_key": {"pem": "s3cret-5"},
    "aws_credentials": ["s3cret-6", {"user": "s3cret-7"}],
    "nested": {"deeper": [{"passphrase": "s3cret-8", "host": "visible-1"}]},
    "host": "visible-2",
    "empty_password": "",
}


def test_show_hides_what_a_key_calls_a_secret(journal: Journal) -> None:
    context = {"execution_id": "e-1", "rest_token": "s3cret-9", "execution_parameters": SECRETS}
    notification = {
        "event_type": "workflow_failed",
        "context": context,
        "message": {"arguments": {"token": "s3cret-0"}},
    }
    store(journal, "pending", runs=(waiting(),), text=json.dumps(notification), rest_token="s3cret-9")
    for arguments in (["show", "1"], ["show", "1", "--output", "json"], ["history"]):
        result = run(*arguments)
        assert result.returncode == 0
        assert "s3cret" not in result.stdout + result.stderr
    shown = answer(run("show", "1", "--output", "json"))["notification"]["context"]
    assert shown["execution_parameters"]["password"] == "…"
    assert shown["execution_parameters"]["empty_password"] == ""
    assert shown["execution_parameters"]["host"] == "visible-2"
    assert shown["execution_parameters"]["nested"]["deeper"][0] == {
        "passphrase": "…",
        "host": "visible-1",
    }
    assert shown["rest_token"] == "…"


def test_show_hides_secrets_with_other_usual_names(journal: Journal) -> None:
    names = ("apikey", "apiKey", "api-key", "pwd", "Authorization", "community_string")
    store(journal, execution_parameters={name: f"s3cret of {name}" for name in names})
    assert "s3cret" not in run("show", "1").stdout


def test_show_of_an_unreadable_entry_says_why_it_is_one(journal: Journal) -> None:
    store(journal, "unreadable", event_type=None, error="the payload is not JSON: raise the limit")
    assert "the payload is not JSON: raise the limit" in run("show", "1").stdout
    entry = answer(run("show", "1", "--output", "json"))
    assert (entry["error"], entry["runs"]) == ("the payload is not JSON: raise the limit", [])


def test_show_shows_the_payload_of_what_is_no_notification(journal: Journal) -> None:
    store(journal, "unreadable", event_type=None)
    assert "payload       no json" in lines(run("show", "1"))
    entry = answer(run("show", "1", "--output", "json"))
    assert (entry["payload"], entry["notification"]) == ("no json", None)


def test_an_unknown_id_is_exit_2_and_says_where_ids_are(journal: Journal) -> None:
    store(journal)
    for verb in ("show", "drop", "replay"):
        for unknown in ("4711", "0"):
            result = run(verb, unknown)
            assert (result.returncode, result.stdout) == (2, "")
            said = f"Error: the journal has no entry {unknown}; conductor-hooks history lists them\n"
            assert result.stderr == said


def test_a_number_that_no_id_can_be_is_exit_2(journal: Journal) -> None:
    store(journal)
    for arguments in (["show", "9" * 20], ["drop", "9" * 20], ["history", "--limit", "9" * 20]):
        result = run(*arguments)
        assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)


# drop


@pytest.mark.parametrize("state", ["pending", "failed", "interrupted", "unreadable"])
def test_what_is_not_done_can_be_dropped(journal: Journal, state: str) -> None:
    runs = () if state == "unreadable" else (failed(),)
    kind = None if state == "unreadable" else "workflow_failed"
    entry_id = store(journal, state, runs=runs, event_type=kind)
    [shown] = answer(run("drop", str(entry_id), "--output", "json"))
    assert (shown["id"], shown["state"]) == (entry_id, "dropped")
    assert state_of(journal, entry_id) == "dropped"
    assert ids("--state", state) == []


@pytest.mark.parametrize("state", ["done", "ignored", "running", "dropped"])
def test_what_is_done_or_runs_cannot_be_dropped(journal: Journal, state: str) -> None:
    entry_id = store(journal, state, runs=(done(),))
    before = journal.get(entry_id)
    result = run("drop", str(entry_id))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"Error: entry {entry_id} is {state}: there is nothing to give up\n"
    assert journal.get(entry_id) == before


def test_several_can_be_dropped_at_once(journal: Journal) -> None:
    first, second = (store(journal, "failed", runs=(failed(),)) for _ in range(2))
    result = run("drop", str(first), str(second))
    assert [line.split()[0] for line in lines(result)] == ["id", str(first), str(second)]
    assert ids("--state", "dropped") == [second, first]


@pytest.mark.parametrize("wrong", ["2", "4711"])
def test_nothing_is_dropped_when_one_cannot_be(journal: Journal, wrong: str) -> None:
    entry_id = store(journal, "failed", runs=(failed(),))
    store(journal, "done", runs=(done(),))
    result = run("drop", str(entry_id), wrong)
    assert result.returncode == 2
    assert state_of(journal, entry_id) == "failed"


def test_what_the_listener_begins_in_that_moment_is_not_said_to_be_dropped(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_id = store(journal, "pending", runs=(waiting(),))
    really_drop = Journal.drop

    def drop(self: Journal, entry_id: int) -> bool:
        entry = journal.get(entry_id)
        assert entry
        journal.save(entry.with_runs([entry.runs[0].begun(time.time())]))
        return really_drop(self, entry_id)

    monkeypatch.setattr(Journal, "drop", drop)
    result = CliRunner().invoke(command, ["drop", str(entry_id)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"entry {entry_id} is running" in result.stderr


def test_a_dropped_entry_keeps_no_rest_token(journal: Journal) -> None:
    store(journal, "pending", runs=(waiting(),), rest_token="ctok-secret")
    assert run("drop", "1").returncode == 0
    dropped = journal.get(1)
    assert dropped
    assert dropped.rest_token is None


def test_a_retry_that_is_dropped_while_the_listener_works_is_not_run_any_more(
    tmp_path: Path, journal: Journal
) -> None:
    file = tmp_path / "test_functions.py"
    file.write_text(FUNCTIONS)
    notes = tmp_path / "test_functions.py.notes"
    (tmp_path / "hooks.conf").write_text(HOOKS)
    implementation = "test_functions.note"
    slow = waiting("slow", 1.0, "test_functions.slow")
    store(journal, "pending", runs=(slow,), event_type="workflow_started", execution="slow")
    dropped, kept = (
        store(journal, "pending", runs=(waiting("page", due_at, implementation),), execution=name)
        for due_at, name in ((2.0, "dropped"), (3.0, "kept"))
    )
    with (
        open(tmp_path / "log", "wb") as log,
        subprocess.Popen(
            [*COMMAND, "listen", "--config", str(tmp_path / "hooks.conf")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
        ) as listener,
    ):
        try:
            wait_for("the first retry", notes.exists)  # the next two are on the listener's agenda
            result = run("drop", str(dropped))
            (tmp_path / "test_functions.py.go").touch()
            wait_for("the last retry", lambda: state_of(journal, kept) == "done")
            listener.terminate()
            assert listener.wait(timeout=10) == 0
        finally:
            listener.kill()
    assert result.returncode == 0
    assert notes.read_text().split() == ["slow", "kept"]
    assert state_of(journal, dropped) == "dropped"
