"""A house (tests/dispatch/support.py) whose dispatcher gets supervisord's events."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from listener.hooks.settings import ListenerSettings
from listener.inbox.reader import InboxReader
from listener.inbox.runs import run_of
from listener.state.clock import Clock
from listener.state.journal import Journal
from listener.supervisord.events import Events
from listener.supervisord.frames import Frame
from tests.dispatch.support import House, hook

STDOUT = "PROCESS_COMMUNICATION_STDOUT"
RUN = run_of(os.getppid())
DEFECT = "a defect of conductor-hooks; please report it"


class Supervised(House):
    """`restart` begins another listener's life; `run` is the supervisord that sends the events."""

    def __init__(self, tmp_path: Path) -> None:
        super().__init__(tmp_path)
        self.hooks(hook("h"))
        self.now = time.time()
        self.settings = ListenerSettings()
        self.uptime_s = 0.0
        self.kept_lock = self.checked_hooks = 0
        self.restart()

    def restart(self, journal: Journal | None = None, *, run: str | None = RUN) -> None:
        journal = journal or self.opened(Journal(str(self.folder), hold=self.hold))
        self.dispatcher = self.start(journal)
        self.events = Events(
            self.dispatcher, self.actions, journal, self.settings,
            inbox=InboxReader(str(self.folder), with_events=run is not None), run=run,
            keep_lock=self._keep_lock, check_hooks=self._check_hooks,
            clock=Clock(lambda: self.now, lambda: self.uptime_s),
        )  # fmt: skip
        self.events.begin()

    def _keep_lock(self) -> None:
        self.kept_lock += 1

    def _check_hooks(self) -> None:
        self.checked_hooks += 1

    def handle(
        self, serial: int, poolserial: int | None = None, eventname: str = STDOUT, **more: Any
    ) -> None:
        """Handle an event and finish it; a notification has the execution x<serial>."""
        payload = notification(f"x{serial}", **more) if "COMMUNICATION" in eventname else "when:1"
        self.handle_frame(
            Frame(eventname, serial, serial if poolserial is None else poolserial, payload)
        )

    @property
    def now(self) -> float:
        """Unix time, which moves whenever somebody asks for it."""
        self._now += 1e-6
        return self._now

    @now.setter
    def now(self, now: float) -> None:
        self._now = now

    def handle_frame(self, frame: Frame) -> None:
        self.events.handle(frame)
        self.events.finish()

    def tick(self, serial: int, poolserial: int | None = None) -> None:
        self.handle(serial, poolserial, "TICK_5")

    def work_on(self) -> None:
        """Let the listener work until there is nothing more to do."""
        for _ in range(1000):
            wait_s = self.events.between()
            if wait_s is None:
                return
            self.now += wait_s
        pytest.fail("there is no end of work")


def notification(execution_id: str, **more: Any) -> str:
    """What a program has written, as it stands in an event's payload."""
    context = {
        "execution_id": execution_id,
        "workflow_id": "install",
        "deployment_id": "dep1",
        "tenant_name": "acme",
    }
    value = {"event_type": "workflow_failed", "context": context, **more}
    return f"processname:workflows groupname:workflows pid:4711\n{json.dumps(value)}"


def defect(*args: object, **options: object) -> Any:
    """What a method is replaced by that has a defect."""
    raise LookupError("of ours")
