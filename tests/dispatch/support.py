"""What tests of the dispatcher share: actions that are doubles, and a house for them to work in.

Another process is another dispatcher on the same files. A process that was killed is an exception that
nothing in the listener catches.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from listener.actions import Action, Call
from listener.actions.registry import Actions
from listener.errors import ActionFailed
from listener.hooks.settings import ListenerSettings
from listener.hooks.table import Hook
from listener.hooks.watch import HooksFile
from listener.model.delivery import Delivery, decode
from listener.model.entry import Entry, Run
from listener.model.serials import Serials
from listener.state.filters import Filters
from listener.state.hold import Hold
from listener.state.journal import Journal
from tests.support import Finishing

TOKEN = "ctok-AbCdEfGhIj-0123456789abcdefghijklmnopqrstuvwxyzABCD"
NO = ActionFailed("no route")


class Killed(BaseException):
    """The process ends here, as by kill -9: nobody catches it."""


class Doubles(Actions):
    """Actions that end as `ends` says, one attempt after the other; any other attempt is done.

    `look` is called during each attempt. `instant` are the implementations that are over in a moment.
    """

    def __init__(self) -> None:
        super().__init__(ListenerSettings())
        self.ends: dict[str, list[str | BaseException]] = {}
        self.calls: list[Call] = []
        self.look: Callable[[Call], object] = lambda call: None
        self.instant: set[str] = set()

    @property
    def called(self) -> list[str]:
        """The implementations that were called, in that order."""
        return [call.hook.implementation for call in self.calls]

    @property
    def served(self) -> list[str]:
        """The executions that an action was called for, in that order."""
        return [call.hook_context["execution_id"] for call in self.calls]

    def of(self, hook: Hook) -> Action:
        return _Double(self, super().of(hook))

    def run(self, call: Call) -> str:
        self.calls.append(call)
        self.look(call)
        ends = self.ends.get(call.hook.implementation)
        end = ends.pop(0) if ends else ""
        if isinstance(end, BaseException):
            raise end
        return end


class _Double(Action):
    """What stands for an action: one that is as repeatable, and does what the doubles do."""

    def __init__(self, doubles: Doubles, action: Action) -> None:
        self._doubles = doubles
        self.repeatable = action.repeatable

    def run(self, call: Call) -> str:
        return self._doubles.run(call)

    def is_instant(self, hook: Hook) -> bool:
        return hook.implementation in self._doubles.instant


class House:
    """A state directory, a hooks.conf, actions and a clock, which outlive the dispatchers on them."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path / "hooks.conf"
        self.folder = tmp_path / "state"
        self.folder.mkdir()
        self.actions = Doubles()
        self.now = 1000.0
        self.monotonic: Callable[[], float] = lambda: self.now
        self.jitter = 1.0
        self.pauses: list[float] = []
        self.on_pause: Callable[[int], bool] = lambda number: pytest.fail("nobody should wait")
        self.is_stopping = False
        self.deleted: list[tuple[str, object]] = []
        self.delete_token = lambda token, tenant: self.deleted.append((token, tenant))
        self._journals: list[Journal] = []
        self.look = self.opened(Journal(str(self.folder)))
        self._versions = count(10**18)

    def opened(self, journal: Journal) -> Journal:
        """The journal, which is closed at the end of the test."""
        self._journals.append(journal)
        return journal

    @property
    def hold(self) -> Hold:
        """A hold whose pauses are `on_pause`, which gets the number of the pause."""

        def pause(seconds: float) -> bool:
            self.pauses.append(seconds)
            return self.on_pause(len(self.pauses))

        return Hold(pause)

    def hooks(self, *lines: str) -> None:
        """Write a hooks.conf with these hooks."""
        text = "\n".join(["hooks:", *(f"- {{{line}}}" for line in lines)])
        self.path.write_text(text if lines else "{}")
        version = next(self._versions)
        os.utime(self.path, ns=(version, version))

    def start(self, journal: Journal | None = None, *, wait_s: float = 900.0) -> Finishing:
        """A dispatcher as another process would have it."""
        return Finishing(
            HooksFile(self.path, {}),
            self.actions,
            journal or self.opened(Journal(str(self.folder), hold=self.hold)),
            wait_s,
            now=lambda: self.now,
            monotonic=self.monotonic,
            jitter=lambda: self.jitter,
            is_stopping=lambda: self.is_stopping,
            delete_token=self.delete_token,
        )

    def recalled(self, **options: Any) -> Finishing:
        """A dispatcher that has recalled what is unsettled."""
        dispatcher = self.start(**options)
        dispatcher.recall()
        return dispatcher

    def restarted(self, dispatcher: Finishing, restarts: bool, **options: Any) -> Finishing:
        """The same dispatcher, or another process that goes on in its place."""
        return self.recalled(**options) if restarts else dispatcher

    def work(self, dispatcher: Finishing, until: float = 0.0) -> None:
        """Work on, the clock going from one thing that is due to the next, up to a moment."""
        for _ in range(1000):
            wait_s = dispatcher.work()
            if wait_s is None or self.now + wait_s > max(until, self.now):
                self.now = max(until, self.now)
                return
            self.now += wait_s
        pytest.fail("there is no end of work")

    def die(self, dispatcher: Finishing, delivery: Delivery) -> None:
        """Deliver; the process is killed in the action that `ends` says."""
        with pytest.raises(Killed):
            dispatcher.act(delivery)

    @property
    def entries(self) -> list[Entry]:
        """What another process sees in the journal, the oldest first."""
        return self.look.newest(Filters(), 10_000)[::-1]

    @property
    def entry(self) -> Entry:
        [entry] = self.entries
        return entry

    @property
    def runs(self) -> tuple[Run, ...]:
        return self.entry.runs

    @property
    def states(self) -> list[str]:
        """The states of all entries, the oldest first."""
        return [entry.state for entry in self.entries]

    @property
    def run_states(self) -> list[str]:
        """The states of the only entry's runs."""
        return [run.state for run in self.runs]

    def close(self) -> None:
        for journal in self._journals:
            journal.close()


def hook(name: str | None, **more: object) -> str:
    """A line of hooks.conf: a hook `name` with the implementation `<name>.f`, or what `more` says."""
    values = {"event_type": "workflow_failed", "implementation": f"{name}.f", "name": name, **more}
    return json.dumps({key: value for key, value in values.items() if value is not None})[1:-1]


ALARM = hook("alarm", event_type="hook_failed")


def delivery(execution_id: str | None = "x1", *, serial: int | None = None, **more: Any) -> Delivery:
    """A delivery as Events makes it; supervisord has given it `serial`, if anything."""
    context: dict[str, Any] = {
        "workflow_id": "install",
        "deployment_id": "dep1",
        "tenant": {"name": "acme"},
        "rest_token": TOKEN,
    }
    if execution_id is not None:
        context["execution_id"] = execution_id
    value = {"event_type": "workflow_failed", "context": context, "timestamp": "now", **more}
    serials = None if serial is None else Serials("17.4", serial, serial)
    return decode(json.dumps(value), source="supervisord", origin=f"serial {serial}", serials=serials)


Log = Callable[[str], list[str]]
"""What was logged at a level."""


def lines(caplog: pytest.LogCaptureFixture, level: str) -> list[str]:
    """What was logged at that level."""
    return [record.getMessage() for record in caplog.records if record.levelname == level]


class Mortal:
    """Lives for so many steps; a call of the journal or an action has one before and one after it."""

    def __init__(self, steps: int) -> None:
        self._left = steps
        self.died_at = ""

    def step(self, where: str) -> None:
        self._left -= 1
        if self._left < 0:
            self.died_at = self.died_at or where
            raise Killed(where)

    def do(self, what: str, work: Callable[..., Any], *arguments: Any) -> Any:
        self.step(f"before {what}")
        done = work(*arguments)
        self.step(f"after {what}")
        return done


class MortalJournal(Journal):
    """The journal of a process that is killed at a given step."""

    def __init__(self, folder: str, life: Mortal) -> None:
        super().__init__(folder)
        for name in ("accept", "accept_all", "save", "note", "forget"):
            setattr(self, name, partial(life.do, name, getattr(self, name)))
