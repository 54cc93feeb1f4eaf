"""Processes: one is told from another that has its number later."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from listener.inbox import runs as processes
from listener.inbox.runs import is_alive, run_of
from tests.processes import ALIVE, DEAD, another_process


def test_a_run_is_the_same_text_for_the_process_itself_and_for_its_child() -> None:
    program = "import os; from listener.inbox.runs import run_of; print(run_of(os.getppid()))"
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == run_of(os.getpid())
    assert re.fullmatch(rf"{os.getpid()}\.[1-9][0-9]*", ALIVE)


def test_a_process_may_have_any_name() -> None:
    own = Path("/proc/self/comm")
    before = own.read_text()
    own.write_text(") Z 1 (")
    try:
        assert run_of(os.getpid()) == ALIVE
        assert is_alive(ALIVE)
    finally:
        own.write_text(before)


def test_a_run_ends_with_its_process_even_if_nobody_has_asked_for_its_status() -> None:
    with another_process() as process:
        run = run_of(process.pid)
        assert is_alive(run)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not is_alive(run)
        process.wait()
        assert not is_alive(run)
    assert not is_alive(DEAD)


def test_where_proc_tells_nothing_a_run_is_a_pid_and_lives_as_long_as_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreadable(*_: object, **__: object) -> None:
        raise FileNotFoundError

    def of_somebody_else(*_: object) -> None:
        raise PermissionError

    with another_process() as process:
        monkeypatch.setattr(processes, "open", unreadable, raising=False)
        run = run_of(process.pid)
        assert run == f"{process.pid}.0"
        assert is_alive(run)
        process.kill()
        process.wait()
        assert not is_alive(run)
    with monkeypatch.context() as patch:
        patch.setattr(os, "kill", of_somebody_else)
        assert is_alive(ALIVE)
    monkeypatch.undo()
    assert is_alive(f"{os.getpid()}.0")
