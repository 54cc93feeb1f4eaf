"""The demo: what it shows, what it judges, and that it leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from listener.cli.demo import run as demo
from listener.snmp.trap import Trap
from tests.support import wait_for


@contextlib.contextmanager
def started() -> Iterator[subprocess.Popen[str]]:
    """The demo, of which nothing runs any more at the end."""
    mark = f"DEMO_MARK={uuid.uuid4()}"
    env = {**os.environ, "DEMO_MARK": mark.partition("=")[2]}
    command = [sys.executable, "-W", "error", "-m", "listener", "demo"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
    wait_for("the demo's processes to end", lambda: not is_left(mark))


def is_left(mark: str) -> list[str]:
    """The processes that have inherited `mark` in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it has just ended
    return found


def test_the_demo_kills_the_listener_and_shows_all_five_once_a_retry_and_a_function() -> None:
    with started() as process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    for event_type in ("queued", "started", "succeeded", "failed", "cancelled"):
        assert f"workflow_{event_type}   " in output
        assert output.count(f"cloudifyWorkflow{event_type.capitalize()} from 127.0.0.1:") == 1
    assert "cloudifyDeploymentID = 配置中心" in output
    assert '{"message": "the parameters are left out: 623 bytes, at most 512 fit"}' in output
    steps = (
        "starting supervisord, with the listener,",
        " runs as process ",
        "supervisord started the listener ",
        "hook page-on-call: failed after ",
        "ConnectionError: the pager does not answer\n",
        "kill -9 ",
        "supervisord started the listener ",
        "five of five notifications were acted on, once each\n",
        "What to try next:\n",
    )
    at = 0
    for step in steps:
        at = output.index(step, at) + len(step)
    assert all(len(line) <= 80 for line in output[at:].splitlines())
    assert output.count("page-on-call: done in ") == 1


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_demo_leaves_nothing_running(signum: signal.Signals) -> None:
    with started() as process:
        assert process.stdout is not None
        while "workflow_queued" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signum)
        process.communicate(timeout=60)
    assert process.returncode != 0


def test_the_workflow_of_a_demo_ends_with_its_supervisord_also_while_it_waits(tmp_path: Path) -> None:
    (tmp_path / "notifications").write_text("\n")
    command = [sys.executable, "-m", "listener.cli.demo.workflow", str(tmp_path / "notifications")]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert ended.returncode == 0


def test_a_demo_that_sees_too_little_says_what_was_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "TIME_LIMIT_S", 0.0)
    assert demo.run() is False
    errors = capsys.readouterr().err
    assert "the listener was not killed" in errors
    assert "workflow_failed: 0 traps came, and not one" in errors
    assert "workflow_failed: not all of its hooks are done: none has run" in errors
    assert "the last that supervisord said:" in errors


def test_the_demo_sees_what_is_not_done_or_done_twice() -> None:
    [failed] = [n for n in demo.notifications() if n["event_type"] == "workflow_failed"]
    done = ["hook x: done in 0.001 s", "hook page-on-call: done in 0.001 s"]
    trap = Trap("", "cloudifyWorkflowFailed", 0.0, {})

    def found(ran: list[str], *traps: Trap) -> int:
        return len(demo.differences(demo.Course(failed, ran, list(traps))))

    assert found(done, trap) == 0
    assert found(done[:1], trap) == found(done, trap, trap) == 1
    assert found([*done[:1], "hook page-on-call: failed after 1 s"], trap) == 1
