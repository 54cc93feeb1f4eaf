"""The command as a person at a shell runs it, and entries for it to find."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

from click.testing import CliRunner

from listener.cli import command
from listener.model.entry import Attempt, Entry, Run
from listener.state.journal import Journal
from tests.support import uncounted_env

COMMAND = [sys.executable, "-W", "error", "-m", "listener"]

_STRANGER = """
import importlib, os, pkgutil
import click
import listener
not_needed = ("supervisord", "snmp.receiver", "cli.demo.run", "interpreters.child.ctx",
              "actions.notify.sending")
for room in pkgutil.walk_packages(listener.__path__, "listener."):
    if not room.name.removeprefix("listener.").startswith(not_needed):
        importlib.import_module(room.name)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
importlib.import_module("listener.__main__").main()
"""
"""The command, run by another user; he may not read this Python, so all is imported first."""

FUNCTIONS_OF_FOLDER = """
import pathlib
pathlib.Path(__file__).with_suffix(".imported").touch()
def greet(context, name):
    return "hello " + name
def fail(context):
    raise ValueError("as it should")
"""

HOOKS = """
hooks:
  - name: greet
    event_type: workflow_started
    implementation: test_functions.greet
    inputs: {name: world}
  - name: fail
    event_type: workflow_failed
    implementation: test_functions.fail
"""
OF_PLUGIN = HOOKS.replace("test_functions.greet", "the-doors.doors.tasks.open_it")

TRIED = """
hooks:
  - {name: page, event_type: workflow_failed, implementation: command, inputs: {argv: ["true"]},
     when: {tenant_name: acme, execution_parameters.x: 1}}
  - {name: night, event_type: "*", implementation: command, inputs: {argv: ["true"]},
     when: {during: "22:00-06:00"}}
tests:
  - event: {event_type: workflow_failed, tenant_name: acme, execution_parameters: {x: 1}}
    at: 2026-01-31T12:00:00Z
    runs: page
  - {event: workflow_failed, at: 2026-01-31 23:00, runs: [night], runs_not: page}
  - {event: workflow_queued, at: 2026-01-31T12:00+01:00, runs: []}
"""
"""A hooks.conf whose own tests hold."""

THEN = 1_700_000_000.0  # 2023-11-14T22:13:20Z
NASTY = ("a\x1b[2Jb", "a\x1b]0;title\x07b", "a\nb", "a\rb", "a\x9b2Jb", "a\x7fb", "a\u202eb")
"""What somebody can put into a notification, and no terminal is to obey."""


def run(*arguments: str, stdin: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    """The command's exit status and what it printed."""
    pipes: dict[str, Any] = {"input": stdin, "capture_output": True, "text": True, "timeout": 60}
    return subprocess.run([*COMMAND, *arguments], check=False, **{**pipes, **options})


def run_here(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The same in this process, which takes a third of the time: for verbs that run no hook."""
    result = CliRunner().invoke(command, arguments, stdin, prog_name="conductor-hooks")
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)


def run_as_stranger(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The same, as a user to whom nothing belongs. Only root can do that."""
    program = [sys.executable, "-W", "error", "-c", _STRANGER, *arguments]
    env = uncounted_env()
    return subprocess.run(program, check=False, capture_output=True, text=True, timeout=60, env=env)


def answer(result: subprocess.CompletedProcess[str]) -> Any:
    """The JSON value that a verb has printed."""
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def lines(result: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of an answer for people."""
    assert (result.returncode, result.stderr) == (0, "")
    return [line.rstrip() for line in result.stdout.splitlines()]


def ids(*arguments: str) -> list[int]:
    """The ids of the entries that history shows."""
    return [entry["id"] for entry in answer(run("history", "--output", "json", *arguments))]


def new(
    state: Any = "done", *, runs: tuple[Run, ...] = (), event_type: str | None = "workflow_failed",
    execution: str = "e-1", received_at: float = 0.0, error: str = "", rest_token: str | None = None,
    text: str | None = None, source: str = "supervisord", **context: Any,
) -> Entry:  # fmt: skip
    """An entry to be stored, as the listener makes it; one without an event type is unreadable."""
    value = {"event_type": event_type, "context": {"execution_id": execution, **context}}
    made = json.dumps(value) if event_type else "no json"
    return Entry(
        0, received_at or time.time(), source, state, made if text is None else text,
        event_type=event_type, execution_id=execution if event_type else None, rest_token=rest_token,
        runs=runs, error=error,
    )  # fmt: skip


def store(journal: Journal, *arguments: Any, **options: Any) -> int:
    """Store a new entry; its id."""
    entry_id = journal.accept(new(*arguments, **options))
    assert entry_id is not None
    return entry_id


def state_of(journal: Journal, entry_id: int) -> str:
    entry = journal.get(entry_id)
    assert entry is not None
    return entry.state


def failed(hook: str = "page", error: str = "ValueError: no", implementation: str = "m.page") -> Run:
    return Run(hook, implementation, "failed", 0.0, 1, (Attempt(THEN, "failed", error, 0.25),))


def done(hook: str = "trap", implementation: str = "m.trap") -> Run:
    return Run(hook, implementation, "done", attempts=(Attempt(THEN, "done", "sent", 0.5),))


def waiting(hook: str = "page", due_at: float = 0.0, implementation: str = "m.page") -> Run:
    """A run that has failed once and is to be tried again."""
    attempts = (Attempt(THEN, "failed", "ValueError: no", 0.25),)
    return Run(hook, implementation, "pending", due_at, 1, attempts)
