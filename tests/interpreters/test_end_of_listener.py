"""What becomes of the children when the listener ends, by whatever means: nothing of them is left.

A driver process stands in for the listener; the functions it runs start programs of their own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import listener
from tests.processes import living
from tests.support import wait_for

LIMIT_S = 1.5
"""The promise is one second; a busy machine gets more."""

MATERIAL = '''
import os
import re
import signal
import subprocess
import threading
import time


def start_program(context):
    """A program that outlives its parent, and a file that tells who we are."""
    subprocess.Popen(["/bin/sh", "-c", "trap '' HUP INT TERM; sleep 600 & wait"])
    with open(context["told"] + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(context["told"] + ".new", context["told"])


def sleeps(context):
    start_program(context)
    time.sleep(600)


def loops(context):
    start_program(context)
    while True:
        pass


def loops_after_a_signal_to_its_group(context):
    for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
        os.killpg(0, signum)
    loops(context)


def holds_the_interpreter_lock(context):
    start_program(context)
    re.match("(a+)+$", "a" * 64 + "b")


def returns(context):
    start_program(context)


def leaves_a_thread(context):
    threading.Thread(target=time.sleep, args=(600,)).start()
    start_program(context)
'''

DRIVER = """
import sys
from listener.actions import Call
from listener.actions.registry import Actions
from listener.hooks.table import Hook
from listener.hooks.settings import ListenerSettings
from listener.model.notification import Notification

folder, function, told, ending = sys.argv[1:]
script = (
    "sh -c 'trap : HUP INT TERM; sleep 600 & wait; wait' &"
    " echo $$ > $TOLD.new; mv $TOLD.new $TOLD; wait"
)
inputs = {"argv": ["sh", "-c", script], "env": {"TOLD": told}} if function == "command" else {}
path = function if function == "command" else "material." + function
actions = Actions(ListenerSettings(python_path=(folder,)))
hook = Hook("h1", ("*",), path, inputs, 1, {}, timeout_s=600)
actions.of(hook).run(Call(hook, Notification("workflow_failed", {}), {"told": told}, 0.0))
sys.stdin.readline()
if ending == "closes":
    actions.of(hook).close()
    sys.stdin.readline()
if ending == "raises":
    raise RuntimeError("on purpose")
"""

Driver = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def told(tmp_path: Path) -> Path:
    return tmp_path / "told"


@pytest.fixture
def start(tmp_path: Path, told: Path) -> Iterator[Driver]:
    """Starts the driver; `ending` is what it does after the function has returned."""
    (tmp_path / "material.py").write_text(MATERIAL)
    (tmp_path / "driver.py").write_text(DRIVER)
    started: list[subprocess.Popen[str]] = []

    def start(function: str, ending: str = "ends") -> subprocess.Popen[str]:
        driver = subprocess.Popen(
            [sys.executable, tmp_path / "driver.py", tmp_path, function, told, ending],
            env={**os.environ, "PYTHONPATH": str(Path(listener.__file__).parent.parent)},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )
        started.append(driver)
        return driver

    yield start
    for driver in started:
        driver.kill()
        driver.communicate()
    if told.exists():
        for pid in living(int(told.read_text())):
            os.kill(pid, signal.SIGKILL)


def call_with_its_programs(told: Path) -> int:
    """The process of the call, once the program that it started and its `sleep` run."""
    wait_for("the function", told.exists)
    call = int(told.read_text())
    wait_for("the programs", lambda: len({*living(call)} - {call}) == 2)
    return call


def assert_nothing_is_left(call: int, began: float) -> None:
    wait_for("the end of the group", lambda: not living(call), LIMIT_S)
    print(f"all gone after {time.monotonic() - began:.2f} s")


@pytest.mark.parametrize(
    ("signum", "function"),
    [
        (signal.SIGKILL, "sleeps"),
        (signal.SIGKILL, "loops"),
        (signal.SIGKILL, "loops_after_a_signal_to_its_group"),
        (signal.SIGKILL, "holds_the_interpreter_lock"),
        (signal.SIGKILL, "returns"),
        (signal.SIGKILL, "command"),
        (signal.SIGTERM, "loops"),
        (signal.SIGTERM, "command"),
    ],
)
def test_a_listener_that_is_killed_takes_its_child_and_the_programs_of_functions_along(
    start: Driver, told: Path, signum: int, function: str
) -> None:
    driver = start(function)
    call = call_with_its_programs(told)
    began = time.monotonic()
    driver.send_signal(signum)
    driver.wait()
    assert_nothing_is_left(call, began)


def test_a_stopped_call_goes_too(start: Driver, told: Path) -> None:
    driver = start("sleeps")
    call = call_with_its_programs(told)
    os.killpg(call, signal.SIGSTOP)
    began = time.monotonic()
    driver.kill()
    driver.wait()
    assert_nothing_is_left(call, began)


@pytest.mark.parametrize(
    ("ending", "function"), [("ends", "returns"), ("raises", "returns"), ("ends", "leaves_a_thread")]
)
def test_a_listener_that_ends_without_closing_leaves_nothing_behind(
    start: Driver, told: Path, ending: str, function: str
) -> None:
    driver = start(function, ending)
    call = call_with_its_programs(told)
    began = time.monotonic()
    driver.communicate("go on\n")
    assert_nothing_is_left(call, began)


@pytest.mark.parametrize("function", ["returns", "leaves_a_thread"])
def test_closing_ends_the_child_and_its_programs_while_the_listener_goes_on(
    start: Driver, told: Path, function: str
) -> None:
    driver = start(function, "closes")
    call = call_with_its_programs(told)
    began = time.monotonic()
    assert driver.stdin is not None
    driver.stdin.write("close\n")
    assert_nothing_is_left(call, began)
    assert driver.poll() is None
