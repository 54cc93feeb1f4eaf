"""The pool's side: output, children that are lost or talk nonsense, interpreters that are none."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from listener import log
from listener.errors import ActionFailed, ActionTimedOut
from listener.interpreters.output import MAX_OUTPUT
from listener.interpreters.pool import Worker
from tests.processes import children, living
from tests.support import wait_for

LIMIT_S = 20.0
SHORT_S = 0.5
AFTER = "a program left behind by a hook"

MATERIAL = r'''
import os
import signal
import subprocess
import time


def pid(context):
    return os.getpid()


def length(context):
    return len(context["text"])


def prints(context):
    os.write(1, context["text"])


def floods(context):
    while True:
        os.write(1, b"x" * 65536)


def exits_at_once(context):
    print("so long", end="")
    os._exit(4)


def leaves_a_fork(context):
    """It has every descriptor of ours, and goes on when we have ended."""
    if not os.fork():
        time.sleep(600)
    return os.getpid()


def leaves_a_fork_and_exits(context):
    """On one core, so that the fork runs when we have ended."""
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    leaves_a_fork(context)
    os._exit(4)


def forks_twice(context):
    """As a daemon does; what the first fork opens has to be open in the second."""
    fork = os.fork()
    if fork:
        return os.waitpid(fork, 0)[1]
    pipes = [os.pipe() for _ in range(20)]
    again = os.fork()
    if again:
        os._exit(os.waitpid(again, 0)[1] != 0)
    try:
        for fd in sum(pipes, ()):
            os.fstat(fd)
    except OSError:
        os._exit(1)
    os._exit(0)


def sleeps(context):
    print("so far", end="")
    time.sleep(600)


def leaves_a_program(context):
    """It prints once somebody has opened the fifo to write, and again when it is closed."""
    program = "exec 3< %s; echo late; read line <&3; printf cut" % context["fifo"]
    return subprocess.Popen(["/bin/sh", "-c", program]).pid


def stops_its_group(context):
    subprocess.Popen(["sleep", "600"])
    os.killpg(0, signal.SIGSTOP)
'''

# What an interpreter that is none of ours may do: `requests` and `answers` are its pipes.
STAND_IN = """
import json, os, sys, time
requests, answers = map(int, sys.argv[5:7])
def line(value):
    return b"1 %s\\n" % json.dumps(value).encode()
"""

Stand = Callable[..., Worker]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("functions")
    (folder / "material.py").write_text(MATERIAL)
    return folder


@pytest.fixture
def worker(folder: Path) -> Iterator[Worker]:
    worker = Worker(sys.executable, (str(folder),))
    yield worker
    worker.close()


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[Stand]:
    """A worker whose interpreter runs a script of ours instead of child.py."""
    workers: list[Worker] = []

    def make(script: str) -> Worker:
        (tmp_path / "stand_in.py").write_text(STAND_IN + script)
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path}/stand_in.py" "$@"\n')
        python.chmod(0o755)
        workers.append(Worker(str(python)))
        return workers[-1]

    yield make
    for worker in workers:
        worker.close()


@pytest.fixture(autouse=True)
def _all_lines_are_seen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "listener")


def ask(
    worker: Worker,
    function: str,
    context: dict[str, Any] | None = None,
    timeout_s: float = LIMIT_S,
    label: str = "label",
) -> str:
    request = {"op": "call", "path": f"material.{function}", "context": context or {}, "inputs": {}}
    answer = worker.ask(request, timeout_s=timeout_s, label=label)
    assert "error" not in answer
    return str(answer["text"])


def child_of(worker: Worker) -> int:
    return int(ask(worker, "pid").partition(" ")[2])


def state(pid: int) -> str:
    """As in proc(5); '' when there is no such process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def test_a_child_killed_while_idle_is_replaced_with_a_warning(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    child = child_of(worker)
    os.kill(int(child), signal.SIGKILL)
    wait_for("the end of the child", lambda: state(child) == "Z")
    assert child_of(worker) != child
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"the child interpreter {sys.executable} ended while it was idle"
    ]
    wait_for("the end of its watcher", lambda: not living(child), 3)


def test_a_child_that_has_ended_while_idle_is_told_of_without_a_question(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    child = child_of(worker)
    os.kill(child, signal.SIGKILL)

    def told() -> list[str]:
        worker.drain()
        return caplog.messages

    wait_for("the warning", told)
    assert caplog.messages == [f"the child interpreter {sys.executable} ended while it was idle"]
    assert state(child) == ""


def test_the_end_of_a_child_is_seen_at_once_when_a_fork_of_its_goes_on(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    child = int(ask(worker, "leaves_a_fork").partition(" ")[2])
    os.kill(child, signal.SIGKILL)
    wait_for("the end of the child", lambda: state(child) == "Z")
    assert child_of(worker) != child
    assert caplog.messages == [f"the child interpreter {sys.executable} ended while it was idle"]
    with pytest.raises(ActionFailed, match="exited with status 4"):
        ask(worker, "leaves_a_fork_and_exits")
    wait_for("the end of the fork", lambda: not living(child), 3)


def test_the_fork_of_a_fork_has_what_that_has_opened(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    assert ask(worker, "forks_twice") == "returned 0"
    assert caplog.messages == []


@pytest.mark.parametrize(("function", "line"), [("exits_at_once", "so long"), ("sleeps", "so far")])
def test_what_a_function_printed_before_its_child_was_lost_is_logged(
    worker: Worker, caplog: pytest.LogCaptureFixture, function: str, line: str
) -> None:
    child_of(worker)
    with pytest.raises((ActionFailed, ActionTimedOut)):
        ask(worker, function, timeout_s=SHORT_S)
    assert caplog.messages == [f"label | {line}"]


@pytest.mark.parametrize(
    ("printed", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"one\ntwo\r\nno end", ["one", "two", "no end"]),
        ("ä€".encode() + b"\xff\n", ["ä€�"]),
        (b"x" * (MAX_OUTPUT - 1) + b"\n", ["x" * (MAX_OUTPUT - 1)]),
    ],
    ids=["nothing", "an empty line", "lines", "UTF-8 and not", "just as much as allowed"],
)
def test_output_is_logged_line_by_line(
    worker: Worker, caplog: pytest.LogCaptureFixture, printed: bytes, lines: list[str]
) -> None:
    ask(worker, "prints", {"text": printed})
    assert caplog.messages == [f"label | {line}" for line in lines]


@pytest.mark.parametrize("surplus", [1, 3_000_000])
def test_output_beyond_the_limit_is_dropped_with_a_warning_and_the_next_call_may_print_again(
    worker: Worker, caplog: pytest.LogCaptureFixture, surplus: int
) -> None:
    line = "x" * 1023
    with pytest.raises(AssertionError):  # the call has failed
        ask(worker, "prints", {"text": f"{line}\n".encode() * 1024 + b"x" * surplus})
    *lines, warning = caplog.messages
    assert lines == [f"label | {line}"] * 1024
    assert warning == (
        f"label: it printed {MAX_OUTPUT + surplus} bytes;"
        f" what follows the first {MAX_OUTPUT} was dropped"
    )
    caplog.clear()
    ask(worker, "prints", {"text": b"again"})
    assert caplog.messages == ["label | again"]


def test_a_flood_of_output_does_not_hold_up_the_clock(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    child_of(worker)
    began = time.monotonic()
    with pytest.raises(ActionTimedOut):
        ask(worker, "floods", timeout_s=SHORT_S)
    assert time.monotonic() - began < SHORT_S + 3
    assert sum(map(len, caplog.messages)) < MAX_OUTPUT + 1000
    assert caplog.messages[-1].endswith(f"what follows the first {MAX_OUTPUT} was dropped")


def test_lines_that_wait_are_written_while_a_function_takes_long(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[float] = []
    monkeypatch.setattr(log, "flush", lambda: flushed.append(time.monotonic()))
    began = time.monotonic()
    with pytest.raises(ActionTimedOut):
        ask(worker, "sleeps", timeout_s=SHORT_S)
    assert 0 < flushed[0] - began < SHORT_S


@pytest.fixture
def fifo(tmp_path: Path) -> str:
    os.mkfifo(tmp_path / "fifo")
    return str(tmp_path / "fifo")


def test_what_a_program_left_behind_prints_is_logged_by_drain(
    worker: Worker, caplog: pytest.LogCaptureFixture, fifo: str
) -> None:
    worker.drain()  # there is no child yet
    ask(worker, "leaves_a_program", {"fifo": fifo})
    worker.drain()
    assert caplog.messages == []

    def printed() -> list[str]:
        worker.drain()
        return caplog.messages

    with open(fifo, "w"):
        wait_for("the line", printed)
    assert caplog.messages == [f"{AFTER} | late"]


@pytest.mark.parametrize("function", ["pid", "exits_at_once"])
def test_what_a_program_left_behind_printed_is_not_the_next_calls_output(
    worker: Worker, caplog: pytest.LogCaptureFixture, fifo: str, function: str
) -> None:
    program = int(ask(worker, "leaves_a_program", {"fifo": fifo}).partition(" ")[2])
    with open(fifo, "w"):
        pass
    wait_for("the end of the program", lambda: state(program) in ("", "Z"))
    with contextlib.suppress(ActionFailed):
        ask(worker, function, label="next")
    lines = [f"{AFTER} | late", f"{AFTER} | cut"]
    assert caplog.messages == lines + ["next | so long"] * (function == "exits_at_once")


def test_what_a_program_left_behind_printed_is_logged_on_closing(
    worker: Worker, caplog: pytest.LogCaptureFixture, fifo: str
) -> None:
    program = int(ask(worker, "leaves_a_program", {"fifo": fifo}).partition(" ")[2])
    with open(fifo, "w"):
        pass
    wait_for("the end of the program", lambda: state(program) in ("", "Z"))
    worker.close()
    assert caplog.messages == [f"{AFTER} | late", f"{AFTER} | cut"]


def test_a_request_that_the_child_does_not_read_ends_at_the_timeout(worker: Worker) -> None:
    child = child_of(worker)
    os.kill(child, signal.SIGSTOP)
    wait_for("the stop", lambda: state(child) == "T")
    began = time.monotonic()
    with pytest.raises(ActionTimedOut):
        ask(worker, "length", {"text": "x" * 10_000_000}, timeout_s=SHORT_S)
    assert time.monotonic() - began < SHORT_S + 3
    assert ask(worker, "length", {"text": "x" * 10_000_000}) == "returned 10000000"


def test_a_group_that_stops_itself_and_its_watcher_is_ended_at_the_timeout(worker: Worker) -> None:
    child = child_of(worker)
    with pytest.raises(ActionTimedOut):
        ask(worker, "stops_its_group", timeout_s=SHORT_S)
    wait_for("the end of the group", lambda: not living(child), 3)
    assert child_of(worker) != child


def test_a_timeout_that_is_over_before_the_child_is_there_is_a_timeout(worker: Worker) -> None:
    with pytest.raises(ActionTimedOut, match=r"no end within 1e-06 s"):
        ask(worker, "pid", timeout_s=1e-6)
    assert child_of(worker)


def test_the_end_of_a_child_is_seen_when_the_listener_has_many_descriptors(worker: Worker) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(open(os.devnull))
        with pytest.raises(ActionFailed, match="exited with status 4"):
            ask(worker, "exits_at_once", timeout_s=5)


def test_after_two_hundred_calls_and_ends_nothing_is_left_over(worker: Worker) -> None:
    known = children()
    child_of(worker)
    before = descriptors()
    groups = set()
    for number in range(200):
        if number % 6 == 0:
            with pytest.raises(ActionFailed):
                ask(worker, "exits_at_once")
        elif number % 50 == 1:
            with pytest.raises(ActionTimedOut):
                ask(worker, "sleeps", timeout_s=0.1)
        elif number % 10 == 3:
            worker.close()
        else:
            groups.add(child_of(worker))
    child = child_of(worker)
    assert descriptors() == before
    assert children() - known == {str(child)}
    worker.close()
    assert descriptors() == before - 3
    assert not children() - known
    wait_for("the end of every group", lambda: not any(map(living, groups)), 3)


@pytest.mark.parametrize(
    ("name", "text", "mode", "problem"),
    [
        ("missing", None, 0, "No such file or directory"),
        ("", None, 0, "Permission denied"),  # a directory
        ("plain", "print()", 0o644, "Permission denied"),
        ("binary", "\x7fELF", 0o755, "Exec format error"),
    ],
)
def test_an_interpreter_that_cannot_be_started_is_named_with_the_setting_to_correct(
    tmp_path: Path, name: str, text: str | None, mode: int, problem: str
) -> None:
    python = tmp_path / name
    if text is not None:
        python.write_text(text)
        python.chmod(mode)
    worker = Worker(str(python))
    before = descriptors()
    for _ in range(2):
        with pytest.raises(ActionFailed) as failed:
            ask(worker, "pid")
        assert str(failed.value) == (
            f"the interpreter {python} cannot be started: {problem};"
            " correct 'listener: python' in hooks.conf, or upload the plugin again"
        )
    assert descriptors() == before
    worker.close()


@pytest.mark.parametrize(
    ("script", "ending", "said"),
    [
        ("exit 0", "exited with status 0", None),
        ("echo 'Unknown option: -X' >&2; exit 2", "exited with status 2", "Unknown option: -X"),
        ("kill -9 $$", "was ended by SIGKILL", None),
    ],
    ids=["says nothing", "is too old", "is killed"],
)
def test_an_interpreter_that_is_no_python_is_named_and_what_it_says_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, script: str, ending: str, said: str | None
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    worker = Worker(str(python))
    known = children()
    for _ in range(2):
        with pytest.raises(ActionFailed) as failed:
            ask(worker, "length", {"text": "x" * 1_000_000})
        assert f"{python} {ending} before it answered" in str(failed.value)
    assert caplog.messages == ([f"label | {said}"] * 2 if said else [])
    assert not children() - known


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("os.close(requests); os.close(answers); time.sleep(600)", "closed its connection"),
        ("os.write(answers, line({})[:3])", "exited with status 0"),
        ("os.write(answers, line([])); time.sleep(600)", "nonsense"),
        ("os.write(answers, b'2' + line({})[1:]); time.sleep(600)", "nonsense"),
        ("os.write(answers, b'1 {[}\\n'); time.sleep(600)", "nonsense"),
        ("os.write(answers, b'1 \\xff\\xff\\n'); time.sleep(600)", "nonsense"),
        ("os.write(answers, b'junk\\n'); time.sleep(600)", "nonsense"),
        ("while True: os.write(answers, b'x' * 65536)", "nonsense"),
    ],
    ids=["nothing", "a part", "a list", "another's", "no JSON", "no UTF-8", "no number", "no end"],
)
def test_a_child_that_answers_with_nonsense_is_ended_at_once(
    stand_in: Stand, script: str, problem: str
) -> None:
    worker = stand_in(script)
    known = children()
    with pytest.raises(ActionFailed, match=problem):
        ask(worker, "pid", timeout_s=5)
    assert not children() - known


def test_a_child_that_talks_unasked_has_not_ended(
    stand_in: Stand, fifo: str, caplog: pytest.LogCaptureFixture
) -> None:
    worker = stand_in(f"""
os.write(answers, line(''))
open({fifo!r}).close()  # waits for us
os.write(answers, b'2 junk\\n')
time.sleep(600)
""")
    ask(worker, "pid")
    with open(fifo, "w"):
        pass
    wait_for("the junk", lambda: worker._child is not None and worker._child.has_news)
    with pytest.raises(ActionFailed, match="nonsense"):
        ask(worker, "pid")
    assert caplog.messages == []


def test_a_child_that_answers_without_reading_never_blocks_the_listener(stand_in: Stand) -> None:
    worker = stand_in("os.write(answers, line('')); time.sleep(600)")
    request = {"text": "x" * 1_000_000}
    with contextlib.suppress(ActionFailed):
        ask(worker, "length", request)
    with pytest.raises((ActionFailed, ActionTimedOut)):
        ask(worker, "length", request, timeout_s=SHORT_S)


def test_a_child_that_does_not_leave_when_let_go_is_ended(stand_in: Stand) -> None:
    worker = stand_in("os.write(answers, line('')); time.sleep(600)")
    known = children()
    ask(worker, "pid")
    assert children() - known
    began = time.monotonic()
    worker.close()
    assert not children() - known
    assert time.monotonic() - began < 4


def test_a_child_that_not_even_a_kill_ends_is_told_of_and_not_waited_for(
    stand_in: Stand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    worker = stand_in("os.write(answers, line('')); time.sleep(600)")
    ask(worker, "pid")
    assert worker._child is not None
    process = worker._child._process
    with monkeypatch.context() as without_kill:
        without_kill.setattr(os, "killpg", lambda group, signum: None)
        worker.close()
    assert caplog.messages == [f"process {process.pid} does not end although it was killed"]
    process.kill()
    process.wait()


def test_waiting_for_a_child_that_has_closed_its_output_takes_no_time_of_the_processor(
    stand_in: Stand,
) -> None:
    worker = stand_in("os.close(1); os.close(2); time.sleep(600)")
    began = time.process_time()
    with pytest.raises(ActionTimedOut):
        ask(worker, "pid", timeout_s=2 * SHORT_S)
    assert time.process_time() - began < SHORT_S / 2
