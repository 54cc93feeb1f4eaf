"""The listener as a process with pipes, on a hooks.conf and a state directory of a test."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

from listener.model.entry import Entry
from listener.model.sample import sample
from listener.state.filters import Filters
from listener.state.journal import Journal
from tests.support import event, wait_for

COMMAND = (sys.executable, "-W", "error", "-m", "listener")
READY = "READY\n"
OK = "RESULT 2\nOKREADY\n"

FUNCTIONS = """
import os, time
NOTES = os.environ["TEST_NOTES"]
def note(context):
    with open(NOTES, "a") as notes:
        notes.write(context["execution_id"] + "\\n")
def told(context):
    note({"execution_id": context["event_type"]})
def slow(context):
    note(context)
    while not os.path.exists(NOTES + ".go"):
        time.sleep(0.005)
def picky(context):
    note(context)
    if not os.path.exists(NOTES + ".go"):
        raise LookupError("no " + context["rest_token"][:4])
"""


class Listener:
    """One `listen` with pipes; what it answers and logs is gathered as it comes."""

    def __init__(self, env: dict[str, str], **options: Any) -> None:
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.process = subprocess.Popen([*COMMAND, "listen"], env=env, **pipes | options)
        self._answers, self._log = bytearray(), bytearray()
        outputs = ((self.process.stdout, self._answers), (self.process.stderr, self._log))
        self._readers = [threading.Thread(target=_gather, args=each) for each in outputs if each[0]]
        for reader in self._readers:
            reader.start()

    @property
    def answers(self) -> str:
        return self._answers.decode()

    @property
    def log(self) -> str:
        return self._log.decode()

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def wait_for_answers(self, number: int) -> None:
        wait_for(f"answer {number}", lambda: self.answers == READY + OK * number)

    def wait_for_log(self, text: str) -> None:
        wait_for(f"{text!r} in the log", lambda: text in self.log)

    def ended(self) -> int:
        """The exit status, as soon as there is one."""
        status = self.process.wait(timeout=30)
        for reader in self._readers:
            reader.join(timeout=30)
        return status

    def end(self) -> int:
        """The exit status, after the end of stdin."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.ended()

    def terminate(self) -> int:
        """The exit status, after SIGTERM."""
        self.process.terminate()
        return self.ended()

    def close(self) -> None:
        self.process.kill()
        self.ended()
        for pipe in filter(None, (self.process.stdin, self.process.stdout, self.process.stderr)):
            pipe.close()

    def may_write(self, is_allowed: bool) -> None:
        """Let it write to files, or let that fail as on a disk that is full."""
        limit = resource.RLIM_INFINITY if is_allowed else 0
        limits = (limit, resource.RLIM_INFINITY)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, limits)


def _gather(pipe: BinaryIO, gathered: bytearray) -> None:
    while data := os.read(pipe.fileno(), 65536):
        gathered += data


class Site:
    """A hooks.conf, functions and a state directory, with the listeners that were started on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hooks_conf = folder / "hooks.conf"
        self.notes_file = folder / "notes"
        self.state_dir = Path(os.environ["CONDUCTOR_HOOKS_STATE_DIR"])
        self._listeners: list[Listener] = []
        (folder / "test_functions.py").write_text(FUNCTIONS)

    @property
    def env(self) -> dict[str, str]:
        """What a listener or a verb is started with."""
        return {
            **os.environ,
            "CONDUCTOR_HOOKS_CONFIG": str(self.hooks_conf),
            "TEST_NOTES": str(self.notes_file),
            "PYTHONPATH": f"{self.folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        }

    def start(
        self, *hooks: str, env: dict[str, str] | None = None, settings: str = "", **options: Any
    ) -> Listener:
        """`listen` with these hooks, and these keys of the section `listener`."""
        self.hooks_conf.write_text(f"hooks: [{', '.join(hooks)}]\nlistener: {{{settings}}}")
        self._listeners.append(Listener({**self.env, **(env or {})}, **options))
        return self._listeners[-1]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One of the verbs, beside the listener."""
        command = [*COMMAND, *arguments]
        return subprocess.run(
            command, env=self.env, capture_output=True, text=True, timeout=30, check=False
        )

    @property
    def notes(self) -> list[str]:
        return self.notes_file.read_text().split() if self.notes_file.exists() else []

    def go(self) -> None:
        """Let the slow function end and the picky one succeed."""
        Path(f"{self.notes_file}.go").touch()

    @property
    def entries(self) -> list[Entry]:
        with closing(Journal(str(self.state_dir))) as journal:
            return journal.newest(Filters(), 1000)[::-1]

    @property
    def states(self) -> list[str]:
        return [entry.state for entry in self.entries]

    def wait_for_states(self, *states: str) -> None:
        """Until the entries are in these: the last end is on record only after the answer."""
        wait_for(f"{states}", lambda: self.states == list(states))

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()


@contextmanager
def site_in(folder: Path) -> Iterator[Site]:
    """A site whose listeners are ended at the end."""
    site = Site(folder)
    try:
        yield site
    finally:
        site.close()


def notification(execution_id: str = "e-1", **changes: Any) -> str:
    """What a program has printed."""
    now = datetime.now(timezone.utc)
    value = sample("workflow_started", {"execution_id": execution_id}, now)
    return json.dumps({**value, **changes}, ensure_ascii=False)


def frame(execution_id: str, *, serial: int = 1, **changes: Any) -> bytes:
    """The event of a notification, as supervisord writes it."""
    return event(notification(execution_id, **changes), serial=serial)
