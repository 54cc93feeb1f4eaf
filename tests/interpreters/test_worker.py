"""An interpreter that forks a process for each call: what reaches the next call, and what is lost."""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from listener import log
from listener.errors import ActionFailed, ActionTimedOut
from listener.interpreters import worker as worker_module
from listener.interpreters.output import MAX_OUTPUT
from listener.interpreters.worker import Worker
from listener.state.stop import Deadline
from tests.processes import children, living
from tests.support import wait_for

LIMIT_S = 20.0
SHORT_S = 0.5

MATERIAL = r'''
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

loaded = time.monotonic()


def own(context):
    return os.getpid()


def interpreter(context):
    return os.getppid()


def load_time(context):
    return loaded


def length(context):
    return len(context["text"])


def leaves_a_chatty_program(context):
    subprocess.Popen(["yes", "fifteen letters"])
    time.sleep(0.05)


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
    program = "exec 3< %s; echo late $1; read line <&3; printf cut" % context["fifo"]
    return subprocess.Popen(["/bin/sh", "-c", program, "", context.get("rest_token", "")]).pid


def kills_the_interpreter(context):
    os.kill(os.getppid(), signal.SIGKILL)


def starts(context):
    """Each command notes its process in a file of its own and then sleeps; none ends by itself."""
    for number, command in enumerate(context["commands"]):
        note = os.path.join(context["folder"], str(number))
        script = "echo $$ > $0.new; mv $0.new $0; exec sleep 600"
        subprocess.Popen(command + ["sh", "-c", script, note], start_new_session=context["is_own"])
    time.sleep(600)


def cleans_up(context):
    try:
        open(context["told"], "w").close()
        time.sleep(600)
    finally:
        os.unlink(context["told"])


def ignores_sigterm(context):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def ignored_signals(context):
    """Those that a program started here would ignore, as a mask in hexadecimal."""
    with open("/proc/self/status") as status:
        return [line.split()[1] for line in status if line.startswith("SigIgn")]


def logs(context):
    logging.getLogger("some.library").debug("too much")
    logging.info("plain")
    logging.getLogger("some.library").warning("from a library")
    logging.basicConfig()
    logging.error("once")
'''

LEAVE = {
    "a working directory that is gone": (
        "os.chdir(tempfile.mkdtemp()); os.rmdir(os.getcwd())",
        "os.getcwd()",
    ),
    "a umask": ("os.umask(0o777)", "mask = os.umask(0o22); os.umask(mask); assert mask != 0o777"),
    "SIGCHLD ignored": (
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
        "assert subprocess.call(['false']) == 1",
    ),
    "blocked signals": (
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])",
        "assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])",
    ),
    "an alarm": (
        "signal.setitimer(signal.ITIMER_REAL, 600)",
        "assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)",
    ),
    "an environment": ("os.environ['PATH'] = '/nowhere'", "subprocess.check_call(['true'])"),
    "a default timeout": (
        "socket.setdefaulttimeout(0.001)",
        "assert socket.getdefaulttimeout() is None",
    ),
    "an empty sys.path": ("sys.path[:] = []", "import colorsys"),
    "a closed stdin": ("os.close(0)", "sys.stdin.read()"),
    "a limit": (
        "resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))",
        "[open(os.devnull) for _ in range(20)]",
    ),
    "a filter of the root logger": (
        "logging.getLogger().handlers[0].addFilter(lambda record: False)",
        "assert not logging.getLogger().handlers[0].filters",
    ),
    "logging disabled": ("logging.disable(50)", "assert logging.root.manager.disable == 0"),
    "a thread that would end the process": (
        "threading.Timer(600, os._exit, [3]).start()",
        "assert threading.active_count() == 1",
    ),
    "another json.dumps": (
        "import json; json.dumps = None",
        "import json; assert json.dumps is not None",
    ),
}
"""What a function does to its process, and what the next one finds wrong if it is in the same."""

# What an interpreter that is none of ours may do: `channel` is that of the first call, `control` is for
# its orders.
STAND_IN = """
import os, socket, sys, time
control = socket.socket(fileno=int(sys.argv[5]))
order, (fd, output), _, _ = socket.recv_fds(control, 65536, 2)
channel = socket.socket(fileno=fd)
"""
HELLO = "channel.send(b'%d\\n' % os.getpid()); channel.recv(1); "

Stand = Callable[..., Worker]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "material.py").write_text(MATERIAL)
    return tmp_path


@pytest.fixture
def worker(folder: Path) -> Iterator[Worker]:
    worker = Worker(sys.executable, (str(folder),))
    yield worker
    worker.close()


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[Stand]:
    """A worker whose interpreter runs a script of ours instead of the fork server."""
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


def call(
    worker: Worker,
    function: str,
    context: dict[str, Any] | None = None,
    timeout_s: float = LIMIT_S,
    label: str = "label",
    secrets: tuple[str, ...] = (),
) -> str:
    """The answer; the process of the next call is made ahead."""
    path = function if "." in function else f"material.{function}"
    request = {"op": "call", "path": path, "context": context or {}, "inputs": {}, "secrets": secrets}
    try:
        answer = worker.request(request, timeout_s=timeout_s, label=label)
    finally:
        worker.make_ahead(path.rpartition(".")[0])
    assert "error" not in answer, answer
    return str(answer["text"]).removeprefix("returned ")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def drained(worker: Worker) -> Worker:
    worker.drain()
    return worker


def wait_until_nothing_is_read(worker: Worker) -> None:
    """Until every writer to the outputs of the calls has ended."""
    wait_for("the ends of the calls", lambda: not drained(worker)._left)


def descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def has_ended(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


# A process for each call


def test_each_call_has_a_process_of_its_own_from_one_interpreter_that_has_imported_the_module(
    worker: Worker,
) -> None:
    interpreters = {call(worker, "interpreter") for _ in range(3)}
    assert len(interpreters) == 1
    assert len({call(worker, "own") for _ in range(3)}) == 3
    assert len({call(worker, "load_time") for _ in range(3)}) == 1


def test_the_process_of_the_next_call_is_there_before_it_is_needed(worker: Worker) -> None:
    server, first = int(call(worker, "interpreter")), call(worker, "own")
    waiting = Path(f"/proc/{server}/task/{server}/children")

    def only_one() -> str:
        pids = [pid for pid in waiting.read_text().split() if not has_ended(int(pid))]
        return pids[0] if len(pids) == 1 and pids != [first] else ""

    ahead = wait_for("the process that waits", only_one)
    assert call(worker, "own") == ahead


def test_nothing_that_a_call_does_to_its_process_reaches_the_next(worker: Worker, folder: Path) -> None:
    for number, (leave, find) in enumerate(LEAVE.values()):
        text = f"from material import *\ndef leave(c): {leave}\ndef find(c): {find}\n"
        (folder / f"pair_{number}.py").write_text(text)
        found = call(worker, f"pair_{number}.find")
        call(worker, f"pair_{number}.leave")
        assert call(worker, f"pair_{number}.find") == found


def test_a_program_that_a_call_starts_ignores_no_signal_but_those_that_we_ignore(
    worker: Worker,
) -> None:
    by_us = [number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN]
    mask = sum(1 << number - 1 for number in by_us)
    assert call(worker, "ignored_signals") == str([f"{mask:016x}"])


def test_a_function_cannot_answer_for_the_next_call(worker: Worker, folder: Path) -> None:
    (folder / "forger.py").write_text(
        "import os, threading, time\n"
        "def forge(c):\n"
        "    threading.Thread(target=write).start()\n"
        "def write():\n"
        "    for fd in range(3, 64):\n"
        "        try:\n"
        "            os.write(fd, b'\"returned forged\"\\n')\n"
        "        except OSError:\n"
        "            pass\n"
    )
    for _ in range(5):
        with contextlib.suppress(ActionFailed):
            call(worker, "forger.forge")
        assert call(worker, "length", {"text": "four"}) == "4"


def test_what_loggers_say_is_logged_once_and_at_its_level(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    call(worker, "logs")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "label | plain"),
        ("WARNING", "label | from a library"),
        ("ERROR", "label | once"),
    ]


def test_a_module_whose_file_has_changed_is_imported_anew_by_the_next_call(
    worker: Worker, folder: Path
) -> None:
    installed = folder / "site-packages"
    installed.mkdir()
    (installed / "library.py").write_text("x = 1\n")
    (folder / "helper.py").write_text("y = 1\n")
    (folder / "paging.py").write_text(
        f"import sys; sys.path.append({str(installed)!r})\nimport helper, library\n"
        "def page(c): return [library.x, helper.y, 1]\n"
    )
    assert [call(worker, "paging.page") for _ in range(3)] == ["[1, 1, 1]"] * 3
    server = call(worker, "interpreter")
    (folder / "helper.py").write_text("y = 20\n")
    assert call(worker, "paging.page") == "[1, 20, 1]"
    (installed / "library.py").unlink()  # as pip replaces files, with an entry for each in the folder
    (installed / "library.py").write_text("x = 300\n")
    assert call(worker, "paging.page") == "[300, 20, 1]"
    (folder / "paging.py").write_text("def page(c): return 'new'\n")
    assert call(worker, "paging.page") == "'new'"
    assert call(worker, "interpreter") != server


def test_a_module_in_an_archive_is_imported_anew_when_that_has_changed(folder: Path) -> None:
    archive = folder / "hooks.zip"

    def write(text: str) -> None:
        (folder / "zipped.py").write_text(f"def page(c): return {text!r}\n")
        subprocess.check_call([sys.executable, "-m", "zipfile", "-c", archive, folder / "zipped.py"])
        (folder / "zipped.py").unlink()

    write("old")
    worker = Worker(sys.executable, (str(archive),))
    assert [call(worker, "zipped.page") for _ in range(2)] == ["'old'"] * 2
    write("newer")
    assert call(worker, "zipped.page") == "'newer'"
    worker.close()


ENDS_BEFORE_A_FORK = """
import os, signal
if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL: os._exit(3)
"""


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("import threading, time\nthreading.Thread(target=time.sleep, args=[600], daemon=True).start()",
         "starts threads"),
        (ENDS_BEFORE_A_FORK, "exited with status 3"),
    ],
    ids=["threads", "an end"],
)  # fmt: skip
def test_a_module_that_cannot_be_imported_before_a_fork_is_told_of_once_and_works(
    worker: Worker, folder: Path, caplog: pytest.LogCaptureFixture, text: str, how: str
) -> None:
    (folder / "awkward.py").write_text(f"{text}\ndef page(c): return 'paged'\n")
    for _ in range(3):
        assert call(worker, "awkward.page") == "'paged'"
    assert warnings(caplog) == [
        f"module awkward {how} when it is imported: each call imports it anew, which takes longer"
    ]


def test_a_module_that_ignores_sigchld_at_its_import_fails_no_call(
    worker: Worker, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "deaf.py").write_text(
        "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\ndef page(c): return 'paged'\n"
    )
    for _ in range(3):
        assert call(worker, "deaf.page") == "'paged'"
        assert call(worker, "length", {"text": "four"}) == "4"
    assert warnings(caplog) == []
    with pytest.raises(ActionFailed, match="of the call closed its connection before it answered"):
        call(worker, "exits_at_once")


def test_a_module_that_ends_the_interpreter_is_named_also_when_no_call_comes(
    worker: Worker, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "awkward.py").write_text(f"{ENDS_BEFORE_A_FORK}\ndef page(c): return 'paged'\n")
    for _ in range(2):
        assert call(worker, "awkward.page") == "'paged'"
        server = worker._server
        assert server is not None
        wait_for("its end", lambda: server.has_ended or "awkward" in worker._unshared)  # noqa: B023
        worker.drain()
    assert [line.partition(" when")[0] for line in warnings(caplog)] == [
        "module awkward exited with status 3"
    ]


# Processes that are lost


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGUSR1])
def test_an_interpreter_ended_while_idle_is_replaced_with_a_warning(
    worker: Worker, caplog: pytest.LogCaptureFixture, signum: signal.Signals
) -> None:
    interpreter = int(call(worker, "interpreter"))
    assert worker._ahead is not None
    worker._ahead.begin(Deadline(LIMIT_S))
    os.kill(interpreter, signum)

    def told() -> list[str]:
        worker.drain()
        return warnings(caplog)

    assert wait_for("the warning", told) == [
        f"the interpreter {sys.executable} ended while it was idle"
    ]
    assert call(worker, "interpreter") != str(interpreter)


def test_a_process_made_ahead_that_is_killed_is_replaced_without_a_word(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    call(worker, "own")
    ahead = worker._ahead
    assert ahead is not None
    ahead.begin(Deadline(LIMIT_S))
    os.kill(ahead.pid, signal.SIGKILL)
    wait_for("its end", lambda: ahead.has_hung_up)
    assert call(worker, "own") != str(ahead.pid)
    assert caplog.messages == []


def test_a_function_that_kills_the_interpreter_is_done_and_the_next_one_has_another(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    call(worker, "own")
    call(worker, "kills_the_interpreter")
    server = worker._server
    assert server is None or server.wait(LIMIT_S) == -signal.SIGKILL
    call(worker, "own")
    assert [text for text in warnings(caplog) if "ended while it was idle" in text]


def test_a_fork_that_a_function_leaves_keeps_nobody_waiting(worker: Worker) -> None:
    leader = int(call(worker, "leaves_a_fork"))
    wait_for("the end of the call itself", lambda: has_ended(leader))
    assert call(worker, "forks_twice") == "0"
    worker.close()
    wait_for("the end of the fork", lambda: not living(leader))


@pytest.mark.parametrize(("function", "line"), [("exits_at_once", "so long"), ("sleeps", "so far")])
def test_what_a_function_printed_before_its_process_was_lost_is_logged(
    worker: Worker, caplog: pytest.LogCaptureFixture, function: str, line: str
) -> None:
    call(worker, "own")
    with pytest.raises((ActionFailed, ActionTimedOut)):
        call(worker, function, timeout_s=SHORT_S)
    wait_until_nothing_is_read(worker)
    assert caplog.messages == [f"label | {line}"]


# Timeouts


def test_a_timeout_lets_a_function_clean_up(worker: Worker, tmp_path: Path) -> None:
    told = tmp_path / "told"
    call(worker, "own")
    with pytest.raises(ActionTimedOut) as late:
        call(worker, "cleans_up", {"told": str(told)}, timeout_s=SHORT_S)
    assert not told.exists()
    assert str(late.value) == (
        "no end within 0.5 s, the hook's 'timeout'; the function and the programs it started were ended"
        " by SIGTERM"
    )


def test_a_function_that_does_not_heed_sigterm_is_killed(worker: Worker) -> None:
    call(worker, "own")
    with pytest.raises(ActionTimedOut, match=r"were killed, as SIGTERM did not end them within 2 s$"):
        call(worker, "ignores_sigterm", timeout_s=SHORT_S)
    assert call(worker, "own")


COMMANDS = [
    ["sh", "-c", 'exec "$@"', ""],
    ["timeout", "500"],
    ["bash", "-c", 'set -m; "$@" & wait', ""],
]


@pytest.mark.parametrize("is_own", [False, True], ids=["the call's session", "one of its own"])
def test_a_timeout_ends_every_program_but_those_in_a_session_of_their_own(
    worker: Worker, tmp_path: Path, is_own: bool
) -> None:
    call(worker, "own")
    context = {"commands": COMMANDS, "folder": str(tmp_path), "is_own": is_own}
    with pytest.raises(ActionTimedOut):
        call(worker, "starts", context, timeout_s=2 * SHORT_S)
    notes = [tmp_path / str(number) for number in range(len(COMMANDS))]
    wait_for("the programs", lambda: not is_own or all(note.exists() for note in notes))
    pids = [int(note.read_text()) for note in notes if note.exists()]
    assert [has_ended(pid) for pid in pids] == [not is_own] * len(pids)
    for pid in pids if is_own else ():
        os.kill(pid, signal.SIGKILL)


def test_a_timeout_that_is_over_before_a_process_is_there_is_a_timeout(worker: Worker) -> None:
    with pytest.raises(ActionTimedOut, match=r"no end within 1e-06 s"):
        call(worker, "own", timeout_s=1e-6)
    assert call(worker, "own")


def test_a_request_that_is_not_read_ends_at_the_timeout(worker: Worker) -> None:
    call(worker, "own")
    assert worker._ahead is not None
    worker._ahead.begin(Deadline(LIMIT_S))
    os.kill(worker._ahead.pid, signal.SIGSTOP)
    with pytest.raises(ActionTimedOut):
        call(worker, "length", {"text": "x" * 10_000_000}, timeout_s=SHORT_S)
    assert call(worker, "length", {"text": "x" * 10_000_000}) == "10000000"


def test_a_flood_of_output_does_not_hold_up_the_clock(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    call(worker, "own")
    with pytest.raises(ActionTimedOut):
        call(worker, "floods", timeout_s=SHORT_S)
    assert sum(map(len, caplog.messages)) < MAX_OUTPUT + 1000


def test_lines_that_wait_are_written_while_a_function_takes_long(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[float] = []
    monkeypatch.setattr(log, "flush", lambda: flushed.append(time.monotonic()))
    with pytest.raises(ActionTimedOut):
        call(worker, "sleeps", timeout_s=SHORT_S)
    assert flushed


# Output


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
    call(worker, "prints", {"text": printed})
    assert caplog.messages == [f"label | {line}" for line in lines]


def test_output_beyond_the_limit_is_dropped_with_a_warning_and_the_next_call_may_print_again(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    line = "x" * 1023
    with pytest.raises(AssertionError, match="ran to its end, and is not run again: let it print less"):
        call(worker, "prints", {"text": f"{line}\n".encode() * 1024 + b"x"})
    *lines, warning = caplog.messages
    assert lines == [f"label | {line}"] * 1024
    assert warning == (
        f"label: it printed {MAX_OUTPUT + 1} bytes; what follows the first {MAX_OUTPUT} was dropped"
    )
    caplog.clear()
    call(worker, "prints", {"text": b"again"})
    assert caplog.messages == ["label | again"]


@pytest.fixture
def fifo(tmp_path: Path) -> str:
    os.mkfifo(tmp_path / "fifo")
    return str(tmp_path / "fifo")


def test_what_a_program_left_behind_prints_is_logged_under_its_hook_and_without_its_token(
    worker: Worker, caplog: pytest.LogCaptureFixture, fifo: str
) -> None:
    worker.drain()  # nothing is there yet
    context = {"fifo": fifo, "rest_token": "WyIwIiwi"}
    call(worker, "leaves_a_program", context, label="first", secrets=("WyIwIiwi",))
    worker.drain()
    assert caplog.messages == []
    with open(fifo, "w"):
        call(worker, "own", label="second")
        wait_for("the line", lambda: drained(worker) and caplog.messages)
    wait_until_nothing_is_read(worker)
    assert caplog.messages == ["first | late …", "first | cut"]


def test_a_chatty_program_left_behind_keeps_neither_its_call_nor_the_next_waiting(
    worker: Worker,
) -> None:
    call(worker, "leaves_a_chatty_program")
    assert call(worker, "own")


def test_what_a_program_left_behind_printed_is_logged_on_closing(
    worker: Worker, caplog: pytest.LogCaptureFixture, fifo: str
) -> None:
    program = int(call(worker, "leaves_a_program", {"fifo": fifo}))
    with open(fifo, "w"):
        pass
    wait_for("the end of the program", lambda: has_ended(program))
    worker.close()
    assert caplog.messages == ["label | late", "label | cut"]


def test_of_too_many_programs_left_behind_the_oldest_are_not_read_from_any_more(
    worker: Worker, caplog: pytest.LogCaptureFixture, fifo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "_MAX_LEFT", 2)
    for number in range(3):
        call(worker, "leaves_a_program", {"fifo": fifo}, label=f"hook {number}")
    wait_for("the ends of the calls", lambda: len(worker._left) == 2)
    assert warnings(caplog) == [
        "hook 0: a program that it left behind is not read from any more, because 2 newer ones print,"
        " too: let it print into a file"
    ]


# Descriptors and ends


def test_after_many_calls_and_ends_nothing_is_left_over(worker: Worker) -> None:
    known = children()
    call(worker, "own")
    wait_until_nothing_is_read(worker)
    before = descriptors()
    groups = set()
    for number in range(40):
        if number % 6 == 0:
            with pytest.raises(ActionFailed):
                call(worker, "exits_at_once")
        elif number == 1:
            with pytest.raises(ActionTimedOut):
                call(worker, "sleeps", timeout_s=0.1)
        elif number % 10 == 3:
            worker.close()
        else:
            groups.add(int(call(worker, "own")))
    call(worker, "own")
    wait_until_nothing_is_read(worker)
    assert descriptors() == before
    assert len(children() - known) == 1
    worker.close()
    assert descriptors() == before - 4
    assert not children() - known
    wait_for("the end of every call", lambda: not any(map(living, groups)))


def test_no_descriptor_is_lost_when_there_are_too_few(worker: Worker, folder: Path) -> None:
    request = {"op": "call", "path": "material.own", "context": {}, "inputs": {}}
    worker.request(request, timeout_s=LIMIT_S, label="label")  # and no process is made ahead
    wait_until_nothing_is_read(worker)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = descriptors()
    other = Worker(sys.executable, (str(folder),))
    for each, spare in itertools.product((worker, other), range(-1, 2)):
        resource.setrlimit(resource.RLIMIT_NOFILE, (before + spare, hard))
        try:
            with pytest.raises(ActionFailed, match="Too many open files"):
                each.request(request, timeout_s=LIMIT_S, label="label")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert descriptors() == before


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
            call(worker, "own")
        assert str(failed.value) == (
            f"the interpreter {python} cannot be started: {problem};"
            " correct 'listener: python' in hooks.conf, or upload the plugin again"
        )
    assert descriptors() == before


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
            call(worker, "own")
        assert str(failed.value) == f"the interpreter {python} {ending} before it answered"
    assert caplog.messages == ([f"label | {said}"] * 2 if said else [])
    assert not children() - known


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("channel.close(); time.sleep(600)", "python closed its connection before it answered"),
        ("control.send(b'{\"fork\": \"none\"}')", "python cannot start a process for the call: none"),
        ("channel.send(b'junk\\n')", "python exited with status 0 before it answered"),
        (HELLO + "channel.send(b'{}'[:1])", "the call closed its connection"),
        (HELLO + "channel.send(b'[]\\n'); time.sleep(600)", "nonsense"),
        (HELLO + "channel.send(b'{[}\\n'); time.sleep(600)", "nonsense"),
        (HELLO + "channel.send(b'\\xff\\xff\\n'); time.sleep(600)", "nonsense"),
        (HELLO + "\nwhile True: channel.send(b'x' * 65536)", "nonsense"),
    ],
    ids=["nothing", "no process", "no number", "a part", "a list", "no JSON", "no UTF-8",
         "no end"],
)  # fmt: skip
def test_an_interpreter_that_answers_with_nonsense_is_a_failure(
    stand_in: Stand, script: str, problem: str
) -> None:
    worker = stand_in(script)
    known = children()
    with pytest.raises(ActionFailed, match=problem):
        call(worker, "own", timeout_s=5)
    worker.close()
    assert not children() - known


def test_an_interpreter_that_does_not_leave_when_let_go_is_killed(stand_in: Stand) -> None:
    worker = stand_in(HELLO + "channel.send(b'\"\"\\n'); time.sleep(600)")
    known = children()
    call(worker, "own")
    assert children() - known
    worker.close()
    assert not children() - known


def test_waiting_for_a_process_that_has_closed_its_output_takes_no_time_of_the_processor(
    stand_in: Stand,
) -> None:
    worker = stand_in("os.close(output); os.close(1); os.close(2); time.sleep(600)")
    began = time.process_time()
    with pytest.raises(ActionTimedOut):
        call(worker, "own", timeout_s=2 * SHORT_S)
    assert time.process_time() - began < SHORT_S / 2
