"""A listener whose supervisord is a double of ours: events and signals as a fault orders them.

Owns the double's process, the frames that it sends and what it has reported. What a real supervisord
does beside that is not shown here but in supervised.py.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from listener.inbox.folder import FOLDER, events_name
from listener.inbox.record import encode
from tests.faults import processes
from tests.faults.hooks import Hooks, environment_of_hooks, notification
from tests.faults.ledger import SETTLED_S, is_settled
from tests.support import wait_for

CHECKOUT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
_LOOK_S = 0.01
LISTENER = (sys.executable, "-m", "listener", "listen")


class Double:
    """What a fault does with it: send, look at answers, at the log and at the listener's process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ready = 0
        self.started: list[int] = []
        self.ended: dict[int, int] = {}
        self.answered: list[int] = []
        self._serial = 0
        self._told = b""
        self._process = subprocess.Popen(
            [sys.executable, "-I", PROGRAMS / "supervisord_double.py", folder / "log"],
            env=processes.environment(folder, **environment_of_hooks(folder)),
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        assert self._process.stdin and self._process.stdout
        self._orders, self._reports = self._process.stdin, self._process.stdout
        self.run = processes.run_of(self._process.pid)

    def listen_with(
        self,
        command: Sequence[str] = LISTENER,
        *,
        autorestart: bool = True,
    ) -> None:
        """How the listener is started from now on."""
        env = {"PYTHONPATH": str(CHECKOUT)}
        self._order(listener={"command": command, "autorestart": autorestart, "env": env})

    def start(self) -> int:
        """Start a listener, where none is; its process."""
        before = len(self.look().started)
        self._order(start=True)
        self._wait_for("the start of a listener", lambda: len(self.started) > before)
        return self.started[-1]

    def signal(self, signum: int) -> None:
        self._order(signal=signum)

    def send(self, names: Iterable[str]) -> None:
        """Have an event waiting for each of these notifications."""
        for name in names:
            self._send(payload_of(name))

    def tick(self) -> None:
        """The pulse by which the listener does what nobody waits for."""
        self._send("when:0", "TICK_5")

    def record(self, names: Iterable[str], number: int = 1) -> None:
        """Record them in a file of its own, as the recorder inside supervisord does; send nothing."""
        inbox = self.folder / "state" / FOLDER
        inbox.mkdir(parents=True, exist_ok=True)
        with (inbox / events_name(number, self.run)).open("ab") as file:
            for serial, name in enumerate(names, self._serial):
                file.write(encode(serial, payload_of(name)))

    def _send(self, payload: str, eventname: str = "PROCESS_COMMUNICATION_STDOUT") -> None:
        serial, self._serial = self._serial, self._serial + 1
        header = (
            f"ver:3.0 server:supervisor serial:{serial} pool:conductor-hooks poolserial:{serial}"
            f" eventname:{eventname} len:{len(payload)}\n"
        )
        self._order(event={"serial": serial, "frame": header + payload})

    def _order(self, **order: Any) -> None:
        self._orders.write(json.dumps(order).encode() + b"\n")

    def look(self, wait_s: float = 0.0) -> Double:
        """Take in what the double has reported meanwhile, or reports within so many seconds."""
        while select.select([self._reports], [], [], wait_s)[0]:
            wait_s = 0.0
            data = os.read(self._reports.fileno(), 1 << 16)
            if not data:
                raise RuntimeError(f"the double of supervisord has ended; {self.log()[-2000:]}")
            *lines, self._told = (self._told + data).split(b"\n")
            for line in lines:
                self._take(json.loads(line))
        return self

    def _take(self, report: Mapping[str, Any]) -> None:
        if "started" in report:
            self.started.append(report["started"])
        if "ended" in report:
            self.ended[report["ended"]] = report["status"]
        if "answered" in report:
            self.answered.append(report["answered"])
        if "stray" in report:
            raise RuntimeError(f"the listener wrote {report['stray']} to supervisord")
        self.ready += "ready" in report

    def _wait_for(self, what: str, is_so: Callable[[], bool], limit_s: float = 60.0) -> None:
        """Like `wait_for`, and knows at once what the double reports."""
        deadline = time.monotonic() + limit_s
        while not is_so():
            if time.monotonic() > deadline:
                pytest.fail(
                    f"waited {limit_s:g} s in vain for {what}; the log ends: {self.log()[-500:]}"
                )
            self.look(_LOOK_S)

    @property
    def sent(self) -> int:
        return self._serial

    @property
    def pid(self) -> int:
        """The listener's process that was started last."""
        return self.look().started[-1]

    def wait_until_ready(self, times: int = 1) -> None:
        self._wait_for("READY", lambda: self.ready >= times)

    def wait_for_answers(self, count: int | None = None) -> None:
        """Until so many events, or all that were sent, have been answered."""
        wanted = self._serial if count is None else count
        self._wait_for(f"{wanted} answers", lambda: len(set(self.answered)) >= wanted)

    def wait_for_end(self, pid: int) -> int:
        """The exit status of a listener that has ended."""
        self._wait_for(f"the end of listener {pid}", lambda: pid in self.ended)
        return self.ended[pid]

    def wait_for_end_or_all(self, last: str) -> bool:
        """Until the listener has ended (True), or has done all and waits for more (False)."""
        pid = self.pid
        self._wait_for(
            f"the end of listener {pid}, or of its work",
            lambda: pid in self.ended or (self._is_idle and is_settled(self.folder, last)),
        )
        return pid in self.ended

    @property
    def _is_idle(self) -> bool:
        return len(set(self.answered)) == self._serial

    def wait_until_settled(self, last: str) -> None:
        """Until the journal has this notification, and nothing that is still to be done."""
        self._wait_for(f"all entries, {last} too", lambda: is_settled(self.folder, last), SETTLED_S)

    def log(self) -> str:
        """All that the listeners have logged."""
        file = self.folder / "log"
        return file.read_text("utf-8", "replace") if file.exists() else ""

    def wait_for_log(self, text: str) -> None:
        self._wait_for(f"{text!r} in the log", lambda: text in self.log())

    def stop(self) -> int:
        """End the listener with SIGTERM; its exit status."""
        self.listen_with(autorestart=False)
        self.signal(signal.SIGTERM)
        return self.wait_for_end(self.pid)

    def kill(self) -> None:
        """Kill the listener, and return when it has ended; another may have been started by then."""
        pid = self.pid
        self.signal(signal.SIGKILL)
        self.wait_for_end(pid)

    def wait_for_death(self) -> None:
        """Until the double has been killed, and its listener has done what it still had and ended."""
        wait_for("the end of the double", lambda: self._process.poll() is not None)
        wait_for("the end of its listener", lambda: not processes.of(self.folder))

    def close(self) -> None:
        """End the double, and with it the listener."""
        self._orders.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reports.close()


def payload_of(name: str) -> str:
    """What supervisord sends for a notification that a program has printed."""
    program = "processname:workflows groupname:workflows pid:4711\n"
    return program + json.dumps(notification(name))


@contextmanager
def doubled(folder: Path, hooks: Hooks) -> Iterator[Double]:
    """A double beside a hooks.conf and an empty state directory; no listener is started yet."""
    hooks.write(folder)
    (folder / "state").mkdir(mode=0o700)
    with again(folder) as double:
        yield double


@contextmanager
def again(folder: Path) -> Iterator[Double]:
    """Another double where one was before."""
    double = Double(folder)
    try:
        double.listen_with()
        yield double
    finally:
        double.close()


@contextmanager
def listening(folder: Path, hooks: Hooks) -> Iterator[Double]:
    """A double whose listener has said READY and opened its journal."""
    with doubled(folder, hooks) as double:
        double.start()
        double.wait_until_ready()
        double.wait_for_log("listening with")
        yield double
