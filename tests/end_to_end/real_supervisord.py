"""A real supervisord for one test: on a unix socket, in a folder of its own, with a program that emits.

The program copies what the test writes into a named pipe to its stdout, so a test decides every byte
that supervisord reads. Hooks write what they did into files.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

from supervisor.xmlrpc import SupervisorTransport

from listener.cli.shipped import shipped
from listener.model.sample import sample
from tests.support import frame_of, wait_for

FUNCTIONS = """
import ctypes, json, os, subprocess, sys, time

def _note(context, what):
    with open(os.environ["TEST_NOTES"], "a") as notes:
        notes.write(json.dumps([what, context["execution_id"], context["deployment_id"]]) + "\\n")

def note(context):
    _note(context, "done")

def note_of_worker(context):
    _note(context, "worker")

def slow(context, seconds=0.1):
    _note(context, "begun")
    time.sleep(seconds)
    _note(context, "done")

def wait_for_file(context, path):
    _note(context, "begun")
    while not os.path.exists(path):
        time.sleep(0.01)
    _note(context, "done")

def chatter(context):
    print("RESULT 4\\nFAILREADY")
    sys.stderr.write("READY\\n")
    os.write(1, b"READY\\n")
    ctypes.CDLL(None).puts(b"RESULT 2\\nOK")
    subprocess.run(["echo", "READY"])
    assert sys.stdin.read() == ""
    _note(context, "done")

def fail(context):
    raise ValueError("as it should")
"""

NOTE = """
hooks:
  - event_type: "*"
    implementation: test_functions.note
"""

_CONF = """\
[unix_http_server]
file={folder}/s

[supervisord]
identifier=a:b c
nodaemon=true
logfile={folder}/supervisord.log
pidfile={folder}/pid
childlogdir={folder}
loglevel=info

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{folder}/s

[include]
files={folder}/conf.d/*.conf

[program:workflows]
command=sh -c "exec cat {folder}/frames {output}"
stdout_capture_maxbytes={capture}
stderr_capture_maxbytes=1MB
"""


class RealSupervisord:
    """What a test does with it: emit, look at what hooks did, control the listener, read logs."""

    def __init__(self, folder: Path, hooks: str, *, capture: str, output: str) -> None:
        self.folder = folder
        self.hooks_conf = folder / "hooks.conf"
        self.hooks_conf.write_text(hooks)
        self.notes_file = folder / "notes"
        self.notes_file.touch()
        (folder / "test_functions.py").write_text(FUNCTIONS)
        os.mkfifo(folder / "frames")
        (folder / "conf.d").mkdir()
        shutil.copy(shipped("supervisor.d/conductor-hooks.conf"), folder / "conf.d")
        self.conf = folder / "supervisord.conf"
        values = {"folder": folder, "capture": capture, "output": output}
        self.conf.write_text(_CONF.format(**values))
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        self.env = {
            **os.environ,
            "PATH": programs,
            "CONDUCTOR_HOOKS_CONFIG": str(self.hooks_conf),
            "TEST_NOTES": str(self.notes_file),
            "PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        }
        self.env.setdefault("CONDUCTOR_HOOKS_STATE_DIR", str(folder / "state"))  # one for a module
        self._frames: int | None = None
        self.start()

    def start(self) -> None:
        """Start a supervisord, where none is."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", self.conf],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def wait_until_listening(self) -> None:
        """Until the listener is RUNNING and has said so in its log."""
        wait_for("the listener", lambda: self.state() == "RUNNING" and "listening with" in self.log())

    def state(self) -> str:
        """The listener's state, as supervisorctl shows it; '' while supervisord does not answer."""
        try:
            return str(self._info()["statename"])
        except (OSError, Fault):
            return ""

    def pid(self) -> int:
        """The listener's process; not the 0 that is said of none, and would signal ourselves."""
        pid = int(self._info()["pid"])
        assert pid, "the listener does not run"
        return pid

    def _info(self) -> dict[str, Any]:
        return dict(self.ask("supervisor.getProcessInfo", "conductor-hooks"))

    def ask(self, method: str, *arguments: Any) -> Any:
        """The answer of one of supervisord's RPCs."""
        transport = SupervisorTransport(None, None, f"unix://{self.folder}/s")
        try:
            called: Any = ServerProxy("http://127.0.0.1", transport)
            for name in method.split("."):
                called = getattr(called, name)
            return called(*arguments)
        finally:
            transport.close()

    def supervisorctl(self, *arguments: str) -> str:
        """What the real supervisorctl prints."""
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "supervisor.supervisorctl",
                "-c",
                f"{self.folder}/supervisord.conf",
                *arguments,
            ],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        ).stdout

    def write(self, data: bytes) -> None:
        """Have the program print these bytes."""
        if self._frames is None:
            self._frames = os.open(self.folder / "frames", os.O_WRONLY)
        while data:
            data = data[os.write(self._frames, data) :]

    def emit(self, event_type: str, execution_id: str, **values: Any) -> None:
        """Have the program emit a notification."""
        self.write(notification_frame(event_type, execution_id, **values))

    def notes(self, what: str = "done") -> list[str]:
        """The execution ids that hooks have noted so, in order."""
        lines = self.notes_file.read_text().split("\n")[:-1]  # a note may be half written
        return [execution_id for noted, execution_id, _ in map(json.loads, lines) if noted == what]

    def log(self) -> str:
        """All that the listener has logged, also before restarts."""
        files = sorted(self.folder.glob("conductor-hooks-std*.log*"))
        return "".join(file.read_text("utf-8", "replace") for file in files)

    def supervisord_log(self) -> str:
        file = self.folder / "supervisord.log"
        return file.read_text("utf-8", "replace") if file.exists() else ""

    def _close_frames(self) -> None:
        if self._frames is not None:
            os.close(self._frames)
            self._frames = None

    def close(self) -> None:
        self._close_frames()
        self.process.terminate()
        try:
            wait_for("the end of supervisord", self.has_ended)
        finally:
            self.process.kill()
            self.process.wait()

    def has_ended(self) -> bool:
        """Knocks at its socket, too, or each program that it stops costs it a second of sleep."""
        with socket.socket(socket.AF_UNIX) as knock, suppress(OSError):
            knock.settimeout(1)
            knock.connect(f"{self.folder}/s")
        return self.process.poll() is not None


def ids(count: int, prefix: str = "e") -> list[str]:
    """So many execution ids."""
    return [f"{prefix}-{number}" for number in range(count)]


def notification_frame(event_type: str, execution_id: str, **values: Any) -> bytes:
    """The bytes that a program prints for a notification."""
    now = datetime.now(timezone.utc)
    return frame_of(sample(event_type, {"execution_id": execution_id, **values}, now))


@contextmanager
def running(
    hooks: str, *, capture: str = "1MB", output: str = "", wait: bool = True
) -> Iterator[RealSupervisord]:
    """A supervisord with the shipped section and this hooks.conf.

    `output` is a shell's redirection of what the program prints. The identifier of this supervisord
    has a colon and a space in it, as any may.
    """
    with tempfile.TemporaryDirectory(prefix="ch-") as folder:  # short: a socket's path has 107 bytes
        supervisord = RealSupervisord(Path(folder), hooks, capture=capture, output=output)
        try:
            if wait:
                supervisord.wait_until_listening()
            yield supervisord
        finally:
            supervisord.close()
