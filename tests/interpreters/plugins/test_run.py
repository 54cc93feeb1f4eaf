"""Programs that run to their end: real ones, which fail, hang and flood."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from listener.errors import ProgramFailed
from listener.interpreters.plugins.run import MAX_OUTPUT, run
from tests.faults.processes import is_gone
from tests.support import wait_for

CHILD = """
import os, subprocess, sys
child = subprocess.Popen(["sleep", "600"])
open(sys.argv[1], "w").write(str(child.pid))
os.rename(sys.argv[1], sys.argv[1] + ".done")
child.wait()
"""


def python(program: str, *arguments: str) -> list[str]:
    return [sys.executable, "-I", "-c", program, *arguments]


def test_it_has_the_stated_environment_alone_and_nothing_to_read() -> None:
    program = "import os, sys; print(os.environ['ONE'], 'HOME' in os.environ, repr(sys.stdin.read()))"
    assert run(python(program), env={"ONE": "1"}, limit_s=30) == "1 False ''\n"


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        ("import os; os.write(2, b'one '); os.write(1, b'two \\xff')", "one two \ufffd"),
        (f"print('x' * {MAX_OUTPUT} + 'end')", "x" * (MAX_OUTPUT - 4) + "end\n"),
    ],
    ids=["both streams in their order", "of a flood the end"],
)
def test_what_it_printed_is_returned(program: str, printed: str) -> None:
    assert run(python(program), env={}, limit_s=30) == printed


@pytest.mark.parametrize(
    ("command", "reason", "output"),
    [
        (python("print('no'); raise SystemExit(3)"), "exited with status 3", "no\n"),
        (python("import os; os.kill(os.getpid(), 9)"), "was ended by SIGKILL", ""),
        (["/none"], "/none cannot be started: No such file or directory", ""),
    ],
)
def test_a_program_that_fails_is_an_error_with_what_it_printed(
    command: list[str], reason: str, output: str
) -> None:
    with pytest.raises(ProgramFailed) as caught:
        run(command, env={}, limit_s=30)
    assert (str(caught.value), caught.value.output) == (reason, output)


def assert_child_is_gone(note: Path) -> None:
    child = int(note.with_suffix(".done").read_text())
    wait_for("its child's end", lambda: is_gone(child))


def test_after_its_limit_it_is_killed_with_what_it_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note, wait = tmp_path / "note", subprocess.Popen.wait

    def wait_for_child_first(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        wait_for("its child", note.with_suffix(".done").exists)
        return wait(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", wait_for_child_first)
    with pytest.raises(ProgramFailed, match=r"^no end within 0\.01 s; it was killed$"):
        run(python(CHILD, str(note)), env=os.environ, limit_s=0.01)
    assert_child_is_gone(note)


def test_when_we_are_interrupted_it_is_killed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "note"

    def interrupt(*_: object) -> None:
        if note.with_suffix(".done").exists():
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    former = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(python(CHILD, str(note)), env=os.environ, limit_s=60)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
    assert_child_is_gone(note)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_the_middle_of_its_start_waits_until_it_can_be_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signum: signal.Signals
) -> None:
    note, init = tmp_path / "note", subprocess.Popen.__init__

    def interrupted(process: subprocess.Popen[bytes], *args: Any, **options: Any) -> None:
        init(process, *args, **options)
        wait_for("its child", note.with_suffix(".done").exists)
        signal.raise_signal(signum)

    monkeypatch.setattr(subprocess.Popen, "__init__", interrupted)
    former = signal.signal(signum, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(python(CHILD, str(note)), env=os.environ, limit_s=60)
        assert signal.getsignal(signum) is signal.default_int_handler
    finally:
        signal.signal(signum, former)
    assert_child_is_gone(note)


def test_an_interrupt_just_after_its_end_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    wait = subprocess.Popen.wait

    def interrupted(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        status = wait(process)
        if timeout is not None:
            raise KeyboardInterrupt
        return status

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(python("pass"), env={}, limit_s=60)


def test_held_descriptors_are_open_in_it_and_no_others() -> None:
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    program = "import os, sys; os.write(int(sys.argv[1]), b'held'); os.close(int(sys.argv[2]))"
    with pytest.raises(ProgramFailed) as caught:
        run(python(program, str(writer), str(reader)), env={}, limit_s=30, held_fds=[writer])
    assert "Bad file descriptor" in caught.value.output
    assert os.read(reader, 10) == b"held"
    for fd in (reader, writer):
        os.close(fd)
