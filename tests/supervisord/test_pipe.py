"""The listener as a process: frames piped in, answers and log piped out, signals sent."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from listener.without_journal import WithoutJournal

from listener import pause
from listener.actions.registry import Actions
from listener.hooks.table import ListenerSettings
from listener.hooks.watch import HooksFile
from listener.supervisord import pipe as supervisor
from listener.supervisord.emit import sample
from listener.supervisord.events import Events
from listener.supervisord.frames import Frame, FrameDecoder
from listener.supervisord.pipe import (
    ProtocolDescriptors,
    SupervisorSource,
    UnheardError,
    is_supervised,
)
from tests.support import event, wait_for

OK = "RESULT 2\nOKREADY\n"

FUNCTIONS = """
import os, time
def note(context):
    with open(os.environ["TEST_NOTES"], "a") as notes:
        notes.write(context["execution_id"] + "\\n")
def slow(context):
    note(context)
    while not os.path.exists(os.environ["TEST_NOTES"] + ".go"):
        time.sleep(0.005)
"""


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    (tmp_path / "test_functions.py").write_text(FUNCTIONS)
    return tmp_path / "notes"


def start(
    tmp_path: Path, hooks: str, extra_env: Mapping[str, str] = MappingProxyType({}), **options: Any
) -> subprocess.Popen[bytes]:
    """`listen` with its three descriptors as pipes."""
    (tmp_path / "hooks.conf").write_text(hooks)
    env = {
        **os.environ,
        "CONDUCTOR_HOOKS_CONFIG": str(tmp_path / "hooks.conf"),
        "TEST_NOTES": str(tmp_path / "notes"),
        **extra_env,
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [sys.executable, "-W", "error", "-m", "listener", "listen"]
    return subprocess.Popen(command, env=env, **{**pipes, **options})


def listen(tmp_path: Path, hooks: str, data: bytes) -> tuple[int, str, str]:
    """Exit status, answers and log of a listener that was given `data` and the end of stdin."""
    process = start(tmp_path, hooks)
    answers, log = process.communicate(data, timeout=30)
    return process.returncode, answers.decode(), log.decode()


NOTE = "hooks: [{event_type: '*', implementation: test_functions.note}]"


def notification(execution_id: str = "e-1", **changes: Any) -> str:
    now = datetime.now(timezone.utc)
    value = sample("workflow_started", {"execution_id": execution_id}, now)
    return json.dumps({**value, **changes}, ensure_ascii=False)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (notification(), "done in"),
        (notification(message={"text": "配置 😀\r\n"}), "done in"),
        (
            notification(context={"execution_id": "e-1"}),
            "lacks workflow_id, tenant_name, depl",
        ),
        (notification(event_type="workflow_paused"), "done in"),
        ("", "the payload is empty"),
        ("no json", "not JSON"),
        ("[1]", "expected an object"),
        ('{"event_type": "x"}', "'context' must be an object"),
        ('{"event_type": null, "context": {}}', "'event_type' must be a text"),
        ("caf\udce9", "not UTF-8"),
        (notification(message={"text": "x" * 10_000_000}), "done in"),
        ("x" * 10_000_000, "not JSON"),
    ],
    ids=range(12),
)
def test_whatever_the_payload_is_the_answer_is_ok_and_the_next_event_is_acted_on(
    tmp_path: Path, notes: Path, payload: str, said: str
) -> None:
    data = event(payload) + event(notification("next"), serial=2)
    status, answers, log = listen(tmp_path, NOTE, data)
    assert (status, answers) == (0, "READY\n" + OK * 2)
    assert said in log
    assert notes.read_text().split()[-1] == "next"


def test_no_depth_of_json_ends_the_listener(tmp_path: Path, notes: Path) -> None:
    depths = range(900, 1010)
    payloads = [
        f'{{"event_type": 7, "context": {{}}, "x": {"[" * depth}{"]" * depth}}}' for depth in depths
    ]
    data = b"".join(event(payload) for payload in [*payloads, notification("next")])
    status, answers, log = listen(tmp_path, NOTE, data)
    assert (status, answers) == (0, "READY\n" + OK * (len(depths) + 1))
    assert log.count("nothing was run") == len(depths)
    assert notes.read_text().split() == ["next"]


def test_frames_that_come_byte_by_byte_are_answered(tmp_path: Path, notes: Path) -> None:
    process = start(tmp_path, NOTE)
    assert process.stdin is not None
    for byte in event(notification("é€😀")) + event(notification("next"), serial=2):
        process.stdin.write(bytes((byte,)))
        process.stdin.flush()
    answers, _ = process.communicate(timeout=30)
    assert (process.returncode, answers.decode()) == (0, "READY\n" + OK * 2)
    assert notes.read_text().split() == ["é€😀", "next"]


def test_a_defect_of_ours_costs_one_event_and_is_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def fails(*_args: object) -> None:
        raise LookupError("a defect")

    monkeypatch.setattr(WithoutJournal, "deliver", fails)
    [frame] = FrameDecoder().feed(event(notification(), serial=7))
    settings = ListenerSettings()
    with Actions(settings) as actions:
        without = WithoutJournal(HooksFile(tmp_path / "none", {}), actions)
        Events(without, actions, None, settings, run=None).handle(frame)
    assert "serial 7: a defect of conductor-hooks" in caplog.text
    assert "LookupError: a defect" in caplog.text


def test_nothing_that_a_notification_holds_makes_a_long_or_a_second_line(
    tmp_path: Path, notes: Path
) -> None:
    context = {"execution_id": "e\x1b[2J\r\n2026-01-01T00:00:00.000Z ERROR forged" + "x" * 100_000}
    data = event(notification(event_type="t" * 100_000, context=context))
    _, _, log = listen(tmp_path, NOTE, data)
    assert max(map(len, log.splitlines())) < 500
    assert "\x1b" not in log
    assert not any(line.startswith("2026-01-01") for line in log.splitlines())


def test_stderr_events_are_taken_too_and_others_are_answered_and_named_once(
    tmp_path: Path, notes: Path
) -> None:
    data = (
        event(notification(), eventname="PROCESS_COMMUNICATION_STDERR")
        + event("when:1", serial=2, eventname="TICK_5")
        + event("processname:x", serial=3, eventname="PROCESS_STATE_RUNNING") * 2
    )
    status, answers, log = listen(tmp_path, NOTE, data)
    assert (status, answers) == (0, "READY\n" + OK * 4)
    assert notes.read_text().split() == ["e-1"]
    assert log.count("PROCESS_STATE_RUNNING events are ignored; subscribe to") == 1


@pytest.mark.parametrize(
    "broken", [b"junk\n", event("x")[:-1], event("x").replace(b"len:", b"len:-"), b"ver:3.0 server"]
)
def test_broken_framing_ends_without_an_answer(tmp_path: Path, notes: Path, broken: bytes) -> None:
    status, answers, log = listen(tmp_path, NOTE, event(notification()) + broken)
    assert (status, answers) == (1, "READY\n" + OK)
    assert "leaving, for supervisord to start the listener again" in log
    assert notes.read_text().split() == ["e-1"]


def test_a_script_between_supervisord_and_the_listener_is_warned_of(tmp_path: Path) -> None:
    process = start(tmp_path, NOTE, extra_env={"SUPERVISOR_ENABLED": "1"})
    _, log = process.communicate(b"", timeout=30)
    assert b"WARNING the parent process is not supervisord" in log


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_a_closed_descriptor_ends_the_start_and_says_what_is_missing(closed: str) -> None:
    command = f"exec {sys.executable} -m listener listen {closed}"
    result = subprocess.run(
        ["sh", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False
    )
    assert result.returncode == 2
    assert b"cannot start: listen needs stdin and stdout, one of them is closed" in result.stderr


@pytest.mark.parametrize(
    "hooks",
    ["hooks:", "hooks: {}", "- a", "text", "hooks: [a]", "hook: []", "hooks: [{name: 1}]"],
)
def test_mistakes_of_shape_end_the_start_with_2_and_no_ready(tmp_path: Path, hooks: str) -> None:
    status, answers, log = listen(tmp_path, hooks, b"")
    assert (status, answers) == (2, "")
    assert "cannot start, correct hooks.conf first" in log
    assert f"{tmp_path}/hooks.conf, line 1: " in log


@pytest.mark.parametrize(
    ("hooks", "said"), [("", "has no hooks: nothing is handled"), ("hooks: []", "has no hooks")]
)
def test_without_hooks_the_listener_handles_nothing_and_says_so(
    tmp_path: Path, hooks: str, said: str
) -> None:
    status, answers, log = listen(tmp_path, hooks, event(notification()))
    assert (status, answers) == (0, "READY\n" + OK)
    assert said in log
    assert "received `workflow_started` event but didn't find a compatible hook" in log


def test_without_a_file_the_listener_handles_nothing_and_says_so(tmp_path: Path) -> None:
    env = {**os.environ, "CONDUCTOR_HOOKS_CONFIG": str(tmp_path / "none")}
    result = subprocess.run(
        [sys.executable, "-m", "listener", "listen"],
        input=event(notification()),
        env=env,
        capture_output=True,
        timeout=30,
        check=True,
    )
    log = result.stderr.decode()
    assert result.stdout.decode() == "READY\n" + OK
    assert "no hook runs until there is one" in log
    assert "received `workflow_started` event but the hooks config file doesn't exist" in log


def test_an_implementation_that_is_not_there_is_warned_of_at_the_start(tmp_path: Path) -> None:
    hooks = "hooks:\n- {event_type: workflow_startet, implementation: no_such.thing}"
    _, _, log = listen(tmp_path, hooks, b"")
    assert "line 2: hook 1: 'event_type': Conductor publishes no event type 'workflow_startet'" in log
    assert "line 2: hook 'workflow_startet-1': No module named no_such" in log


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_action_in_hand_end_and_be_answered(
    tmp_path: Path, notes: Path, signum: signal.Signals
) -> None:
    process = start(tmp_path, NOTE.replace(".note", ".slow"))
    assert process.stdin is not None
    process.stdin.write(event(notification("one")) + event(notification("two"), serial=2))
    process.stdin.flush()
    wait_for("the action", lambda: notes.exists() and notes.read_text())
    process.send_signal(signum)
    Path(f"{notes}.go").touch()
    answers, _ = process.communicate(timeout=30)
    assert (process.returncode, answers.decode()) == (0, "READY\nRESULT 2\nOK")
    assert notes.read_text().split() == ["one"]


@pytest.mark.parametrize("written", [b"", event("x")[:50]])
def test_a_signal_while_waiting_ends_with_0(tmp_path: Path, written: bytes) -> None:
    process = start(tmp_path, "hooks: []")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(written)
    process.stdin.flush()
    assert process.stdout.read(6) == b"READY\n"
    process.terminate()
    answers, log = process.communicate(timeout=30)
    assert (process.returncode, answers) == (0, b"")
    assert b"Traceback" not in log


def test_an_answer_that_nobody_reads_any_more_ends_with_1(tmp_path: Path) -> None:
    process = start(tmp_path, "hooks: []")
    assert process.stdout is not None
    assert process.stdout.read(6) == b"READY\n"
    process.stdout.close()
    process.stdout = None
    _, log = process.communicate(event("x"), timeout=30)
    assert process.returncode == 1
    assert b"Broken pipe" in log
    assert b"Traceback" not in log


def test_at_a_terminal_the_end_of_input_ends_the_listener(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = start(tmp_path, "hooks: []", stdin=theirs)
    os.close(theirs)
    assert process.stdout is not None
    assert process.stdout.read(6) == b"READY\n"
    os.write(ours, b"\x04")
    process.communicate(timeout=30)
    os.close(ours)
    assert process.returncode == 0


# The watchdog, without a supervisord: pipes in this process and a short silence.


SILENCE_S = 0.2


class Peer:
    """supervisord's ends of the pipes to a source in this process."""

    def __init__(self) -> None:
        events, self.events = os.pipe()
        self.answers, answers = os.pipe()
        self.descriptors = object.__new__(ProtocolDescriptors)  # leaves this process's 0 and 1 alone
        self.descriptors.events, self.descriptors.answers = events, answers

    def end_after(self, seconds: float) -> None:
        """Close stdin of the listener, that much later."""
        threading.Timer(seconds, os.close, [self.events]).start()

    def serve(self, *, is_supervised: bool, action_s: float = 0) -> list[str]:
        """The names of the events served until stdin ended."""
        served = []

        def handle(frame: Frame) -> None:
            served.append(frame.eventname)
            threading.Event().wait(action_s)

        source = SupervisorSource(self.descriptors, is_supervised=is_supervised, silence_s=SILENCE_S)
        source.serve(handle, lambda: None, lambda: SILENCE_S / 4)
        return served


@pytest.fixture
def peer() -> Iterator[Peer]:
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)}
    yield Peer()
    signal.set_wakeup_fd(-1)
    for signum, handler in before.items():
        signal.signal(signum, handler)


TICK = event("when:1", eventname="TICK_5")


def test_silence_after_a_tick_means_that_supervisord_no_longer_hears_us(peer: Peer) -> None:
    os.write(peer.events, TICK)
    with pytest.raises(UnheardError, match="state UNKNOWN"):
        peer.serve(is_supervised=True)


@pytest.mark.parametrize(("first", "is_supervised"), [(event("x"), True), (TICK, False), (b"", True)])
def test_silence_means_nothing_without_a_tick_or_without_supervisord(
    peer: Peer, first: bytes, is_supervised: bool
) -> None:
    os.write(peer.events, first)
    peer.end_after(SILENCE_S * 2)
    assert len(peer.serve(is_supervised=is_supervised)) == (1 if first else 0)


def test_every_event_is_settled_after_its_answer_also_when_nobody_takes_that(peer: Peer) -> None:
    os.write(peer.events, TICK * 2)
    os.set_blocking(peer.answers, False)
    heard: list[bytes] = []

    def settle() -> None:
        heard.append(os.read(peer.answers, 100))
        os.close(peer.answers)

    source = SupervisorSource(peer.descriptors, is_supervised=False)
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        source.serve(lambda frame: None, settle, lambda: None)

    assert heard == [b"RESULT 2\nOKREADY\n"]
    assert isinstance(caught.value.__context__, BrokenPipeError)


def test_what_is_held_back_is_let_go_when_no_event_comes_soon(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    to_come: list[bytes] = []
    waits: Iterator[Callable[[], object]] = iter(
        [
            lambda: None,
            lambda: os.write(peer.events, event("there already", eventname="OTHER")),
            lambda: to_come.append(event("seen while looking", eventname="OTHER")),
            lambda: None,
            lambda: os.close(peer.events),
        ]
    )

    def between() -> float:
        next(waits)()
        return 0.0

    monkeypatch.setattr(os, "sched_yield", lambda: to_come and os.write(peer.events, to_come.pop()))
    monkeypatch.setattr(pause, "let_go", lambda: happened.append("let go"))
    os.write(peer.events, event("first", eventname="OTHER"))
    source = SupervisorSource(peer.descriptors, is_supervised=False)
    source.serve(lambda frame: happened.append(frame.payload), lambda: None, between)

    assert happened == ["first", "there already", "seen while looking", "let go"]


def test_the_time_that_actions_take_is_no_silence(peer: Peer) -> None:
    os.write(peer.events, TICK * 2)
    peer.end_after(SILENCE_S * 4.5)
    assert peer.serve(is_supervised=True, action_s=SILENCE_S * 2) == ["TICK_5", "TICK_5"]


@pytest.mark.parametrize(
    ("env", "cmdline", "expected"),
    [
        ({}, b"supervisord", False),
        ({"SUPERVISOR_ENABLED": "1"}, b"/usr/bin/python3\0/usr/bin/supervisord\0-n", True),
        ({"SUPERVISOR_ENABLED": "1"}, b"bash", False),
        ({"SUPERVISOR_ENABLED": "1"}, None, True),
    ],
)
def test_being_supervised_takes_more_than_an_inherited_variable(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], cmdline: bytes | None, expected: bool
) -> None:
    def opened(_path: str, _mode: str) -> io.BytesIO:
        if cmdline is None:
            raise FileNotFoundError
        return io.BytesIO(cmdline)

    monkeypatch.setattr(supervisor, "open", opened, raising=False)
    assert is_supervised(env, os.getppid()) is expected
