"""What calls functions, and functions that tests have it call: MATERIAL is a module of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from listener.actions import Surroundings
from listener.actions.function import FunctionAction
from listener.hooks.settings import ListenerSettings

MakeAction = Callable[..., FunctionAction]


@pytest.fixture
def make_action() -> Iterator[MakeAction]:
    """Makes actions with these settings, which end with the test."""
    with ExitStack() as stack:

        def make(state_dir: Path | None = None, folder: str | Path = "", **settings: Any) -> Any:
            place = str(state_dir) if state_dir else None
            made = FunctionAction(Surroundings(ListenerSettings(**settings), place, str(folder)))
            stack.callback(made.close)
            return made

        yield make


MATERIAL = r'''
import atexit
import ctypes
import functools
import io
import operator
import os
import re
import signal
import subprocess
import sys
import threading
import time

libc = ctypes.CDLL(None)
calls = 0
number = 7
part = functools.partial(lambda context: None)
picks = operator.itemgetter("missing")


def next_call(context):
    """What every other function has to leave possible."""
    global calls
    calls += 1
    print("the next call")
    return calls


def interpreter(context):
    """The process that stays for the next call."""
    return os.getppid()


def echo(context, **inputs):
    return repr((context, inputs))


def nothing(context):
    pass


def surroundings(context):
    mark = os.environ["CONDUCTOR_HOOKS_TEST_MARK"]
    return mark, sys.stdin.read(), os.read(0, 10).decode(), os.readlink("/proc/self/fd/0")


class Mute(Exception):
    def __str__(self):
        raise RuntimeError


class Shy(dict):
    def __repr__(self):
        return 1 / 0


def raises(context):
    raise ValueError("the door is shut")


def raises_what_has_no_text(context):
    raise Mute


def raises_what_says_much(context):
    raise ValueError("much " * 1000)


def raises_half_a_character(context):
    raise ValueError("\ud83d")


def raises_no_exception(context):
    raise KeyboardInterrupt


def raises_its_own_type_error(context):
    return len(context, context)


def recurses(context):
    recurses_too(context)


def recurses_too(context):
    recurses(context)


def exits(context):
    sys.exit("no more")


def exits_at_once(context):
    os._exit(4)


def exits_leaving_a_program(context):
    os.system("sleep 600 &")
    os._exit(4)


def segfaults(context):
    ctypes.string_at(0)


def ends_itself(context, signum):
    os.kill(os.getpid(), signum)
    time.sleep(600)


def ends_its_group(context):
    os.killpg(0, signal.SIGTERM)
    time.sleep(600)


def closes_all_descriptors(context):
    os.closerange(0, 1024)


def returns_shy(context):
    return Shy()


def returns_a_lock(context):
    return threading.Lock()


def returns_itself(context):
    context["itself"] = context
    return context


def returns_half_a_character(context):
    return ["\udcff"]


def returns_much(context):
    return "much " * 10000000


def forks(context):
    return os.fork() * 0


def forks_and_raises(context):
    if not os.fork():
        raise ValueError("in the copy")


def waits_for_all_its_children(context):
    subprocess.Popen(["true"])
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return "none left"


def closes_the_streams(context):
    sys.stdout.close()
    sys.stderr.close()


def closes_its_output(context):
    os.close(1)
    os.close(2)


def leads_its_output_elsewhere(context):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def detaches_the_streams(context):
    sys.stdout.detach()
    sys.stderr.detach()


def replaces_the_streams(context, stream):
    sys.stdout = sys.stderr = eval(stream)


class Failing:
    def write(self, text):
        raise RuntimeError("cannot write")

    def flush(self):
        raise RuntimeError("cannot flush")


def prints_into_a_stream_of_its_own(context):
    global kept
    kept = sys.stdout = open(os.dup(1), "w", buffering=4096)
    print("printed")


def prints_into_a_stream_that_holds_it_back(context):
    sys.stdout.reconfigure(write_through=False)
    print("printed")


def deletes_the_streams(context):
    del sys.stdout, sys.stderr


def leaves_a_thread(context):
    threading.Thread(target=time.sleep, args=(600,)).start()


def prints(context):
    print("from Python")
    print("to stderr, as text", file=sys.stderr)
    libc.write(1, b"from C\n", 7)
    libc.puts(b"from C's own buffer")
    libc.fflush(None)
    subprocess.check_call(["echo", "from a program"])
    sys.stdout.write("cut \xff\r\nno end of line")


def prints_at_its_end(context):
    atexit.register(os.write, 1, b"from an exit handler\ncut")


def prints_later(context, fifo):
    def wait_and_print():
        with open(fifo) as file:
            file.read()
        print("later")
    threading.Thread(target=wait_and_print).start()


def start_program(context):
    subprocess.Popen(["sleep", "600"])
    with open(context["told"], "w") as file:
        file.write(str(os.getpid()))


def loops(context):
    start_program(context)
    while True:
        pass


def ignores_the_exception_that_ends_loops(context):
    start_program(context)
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass


def holds_the_interpreter_lock(context):
    start_program(context)
    re.match("(a+)+$", "a" * 64 + "b")


def leaves_a_program(context):
    start_program(context)
'''

_PROCESS = "the process of the call {} before it answered"
ENDS_ITS_PROCESS: dict[str, tuple[str, dict[str, Any], str]] = {
    "exits at once": ("exits_at_once", {}, _PROCESS.format("exited with status 4")),
    "exits, leaving a program": (
        "exits_leaving_a_program",
        {},
        _PROCESS.format("exited with status 4"),
    ),
    "segfaults": ("segfaults", {}, _PROCESS.format("was ended by SIGSEGV")),
    "ends itself": ("ends_itself", {"signum": 15}, "it was ended by SIGTERM"),
    "ends itself by a signal without a name": (
        "ends_itself",
        {"signum": 40},
        _PROCESS.format("was ended by signal 40"),
    ),
    "ends its group": ("ends_its_group", {}, "it was ended by SIGTERM"),
    "closes all descriptors": (
        "closes_all_descriptors",
        {},
        _PROCESS.format("exited with status 1"),
    ),
}
