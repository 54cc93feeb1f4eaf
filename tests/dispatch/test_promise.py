"""Whatever happens to the process or its journal, nothing is lost and nothing done is repeated."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from listener.actions import Call
from listener.actions.registry import TRAP
from listener.errors import StateError, Unanswered
from listener.state import database, journal
from listener.state.database import Database
from listener.state.journal import FILE, Journal
from tests.dispatch.support import NO, House, Killed, Log, Mortal, MortalJournal, delivery, hook

KINDS = (
    hook("trap", implementation=TRAP),
    hook("once"),
    hook("fails"),
    hook("again", repeatable=True, retries=2),
    hook("tries", retries=1),
    hook("alarm", implementation=TRAP, event_type="hook_failed"),
)
"""Each kind of hook, of which `fails` and `tries` fail for good, `again` once."""


class Ledger:
    """Counts what each hook has done, and sees at each call that it was begun and had not finished."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.house = House(folder)
        self.house.hooks(*KINDS)
        self.house.actions.ends = {"fails.f": [NO] * 9, "again.f": [NO], "tries.f": [NO] * 9}
        self.house.actions.look = self._take
        self.house.on_pause = lambda number: False
        self.completed: Counter[str] = Counter()
        self.wrong: list[str] = []  # an exception here would be the action's
        self._life: Mortal | None = None

    def _take(self, call: Call) -> None:
        name = call.hook.name
        [entry] = [entry for entry in self.house.entries if entry.id == call.entry_id]
        if [run.state for run in entry.runs if run.hook == name] != ["running"]:
            self.wrong.append(f"{name} had not begun, or had finished")
        if self._life is not None:
            self._life.step(f"in {name}")
        self.completed[name] += 1
        if self._life is not None:
            self._life.step(f"at the end of {name}")

    def live(self, life: Mortal | None, *, recalls: bool = True, is_recorded: bool = False) -> bool:
        """A process from its start until there is nothing more to do; whether it lived so long.

        supervisord delivers the event, which has had no answer yet, as soon as the listener is READY,
        and once more at the end.
        """
        house, self._life = self.house, life
        path = str(house.folder)
        dispatcher = house.start(
            house.opened(MortalJournal(path, life) if life else Journal(path, hold=house.hold))
        )
        with suppress(Killed):
            if recalls:
                dispatcher.recall()
                dispatcher.work()
            for _ in range(2):
                house.now += 1
                if is_recorded:
                    dispatcher.accept_all([delivery(serial=1)], ("accepted", "17.4/1"))
                dispatcher.act(delivery(serial=1))
                dispatcher.recall()
                house.work(dispatcher, until=house.now + 3600)
            return True
        return False

    def check(self, where: str, most_kills: int) -> None:
        """The promise: each run has ended, once, and each that failed for good has its alarm."""
        assert self.wrong == [], where
        entry, *alarms = self.house.entries
        states = {run.hook: run.state for run in entry.runs}
        assert list(states) == ["trap", "once", "fails", "again", "tries"], where
        assert states["trap"] == states["again"] == "done", where
        assert states["once"] in ("done", "interrupted"), where
        assert {states["fails"], states["tries"]} <= {"failed", "interrupted"}, where
        for run in entry.runs:
            begun_in_vain = sum(attempt.state == "interrupted" for attempt in run.attempts)
            assert begun_in_vain <= most_kills, where
            finished = len(run.attempts) - begun_in_vain
            assert finished <= self.completed[run.hook] <= len(run.attempts), where
        reported = [json.loads(alarm.body)["context"]["hook"] for alarm in alarms]
        assert sorted(reported) == sorted(name for name in states if states[name] != "done"), where
        assert {alarm.state for alarm in alarms} == {"done"}, where
        self.house.close()
        shutil.rmtree(self.house.folder)


@pytest.mark.parametrize(("recalls", "is_recorded"), [(True, False), (False, False), (True, True)])
def test_wherever_a_process_is_killed_nothing_is_lost_or_done_twice(
    tmp_path: Path, recalls: bool, is_recorded: bool
) -> None:
    died_at = []
    for steps in count():
        ledger, life = Ledger(tmp_path / str(steps)), Mortal(steps)
        lived = ledger.live(life, is_recorded=is_recorded)
        ledger.house.actions.ends["again.f"] = []
        assert ledger.live(None, recalls=recalls, is_recorded=is_recorded)
        ledger.check(life.died_at, most_kills=1)
        if lived:
            break
        died_at.append(life.died_at)
    assert {"in once", "at the end of once", "after save", "before note"} <= set(died_at)
    assert ("after accept_all" if is_recorded else "after accept") in died_at
    assert len(died_at) > 40


@pytest.mark.parametrize("is_recorded", [False, True])
def test_wherever_a_process_is_killed_each_suppression_and_each_overdue_execution_is_told_once(
    tmp_path: Path, is_recorded: bool
) -> None:
    died_at = []
    for steps in count():
        folder, life = tmp_path / str(steps), Mortal(steps)
        folder.mkdir()
        house = House(folder)
        house.hooks(
            hook("limited", implementation=TRAP, event_type="workflow_started", at_most="1 per 1m"),
            hook("late", event_type="workflow_overdue", after="1h", repeatable=True),
            hook("told", event_type="hook_suppressed", repeatable=True),
        )
        house.actions.instant = {TRAP}
        lived = _live_through(house, life, is_recorded=is_recorded)
        assert _live_through(house, None, is_recorded=is_recorded)
        assert sorted((entry.state, str(entry.event_type)) for entry in house.entries) == [
            ("done", "hook_suppressed"),
            *[("done", "workflow_overdue")] * 3,
            ("done", "workflow_started"),
            *[("suppressed", "workflow_started")] * 2,
        ], life.died_at
        [told] = [entry for entry in house.entries if entry.event_type == "hook_suppressed"]
        assert json.loads(told.body)["context"]["count"] == 2, life.died_at
        assert house.look.all_noted("at_most ") == {}
        house.close()
        if lived:
            break
        died_at.append(life.died_at)
    assert {"before save", "after accept_all", "before forget", "after forget"} <= set(died_at)


def _live_through(house: House, life: Mortal | None, *, is_recorded: bool) -> bool:
    """A process with three starts within a minute and the two hours that follow; whether it lived."""
    path = str(house.folder)
    journal = MortalJournal(path, life) if life else Journal(path, hold=house.hold)
    with suppress(Killed):
        dispatcher = house.recalled(journal=house.opened(journal))
        deliveries = [
            delivery(f"x{serial}", serial=serial, event_type="workflow_started") for serial in (1, 2, 3)
        ]
        if is_recorded:
            dispatcher.accept_all(deliveries, ("accepted", "17.4/3"))
        for each in deliveries:
            dispatcher.act(each)
        for _ in range(4):
            dispatcher.accept_due()
            house.work(dispatcher)
            house.now += 1800
        return True
    return False


@pytest.mark.parametrize("steps", range(9, 45, 5))
def test_a_process_that_dies_again_and_again_gets_there_in_the_end(tmp_path: Path, steps: int) -> None:
    ledger = Ledger(tmp_path / "house")
    lives = next(number for number in range(100) if ledger.live(Mortal(steps)))
    ledger.check(f"after {steps} steps each time", most_kills=lives)


@pytest.mark.parametrize("is_recorded", [False, True])
@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after it was done"])
def test_whichever_use_of_the_journal_fails_nothing_is_lost_or_done_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_late: bool, is_recorded: bool
) -> None:
    """A commit that was made may fail all the same: on a disk that does not sync, say."""

    class Troubled(Database):
        left = 0

        def __enter__(self) -> sqlite3.Connection:
            self._fail(not is_late)
            return super().__enter__()

        def __exit__(self, *raised: Any) -> None:
            super().__exit__(*raised)
            self._fail(is_late and raised[0] is None)

        def _fail(self, is_time: bool) -> None:
            Troubled.left -= is_time
            if is_time and Troubled.left == -1:
                raise StateError("the disk")

    for uses in count():
        ledger = Ledger(tmp_path / str(uses))
        with monkeypatch.context() as patch:
            patch.setattr(journal, "Database", Troubled)
            Troubled.left = uses
            assert ledger.live(None, is_recorded=is_recorded)
        ledger.check(f"use {uses}", most_kills=0)
        if not ledger.house.pauses:
            break
    assert uses > 10


# A journal that cannot be written


@pytest.fixture
def locker(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """Another process's connection: BEGIN IMMEDIATE on it keeps the journal from being written."""
    monkeypatch.setattr(database, "_LOCKED_S", 0.0)
    house.look.unsettled()  # it is there now
    with closing(sqlite3.connect(house.folder / FILE, isolation_level=None)) as connection:
        yield connection


def test_an_event_is_held_until_the_journal_can_be_written_and_its_actions_run_once(
    house: House, locker: sqlite3.Connection, log: Log
) -> None:
    house.hooks(hook("a"), hook("b"))
    dispatcher = house.recalled()
    locker.execute("BEGIN IMMEDIATE")
    house.actions.look = lambda call: locker.execute("BEGIN IMMEDIATE")
    begun: list[int] = []

    def unlock_at_last(number: int) -> bool:
        begun.append(len(house.actions.calls))
        if number % 3 == 0:
            locker.execute("ROLLBACK")
        return False

    house.on_pause = unlock_at_last

    dispatcher.act(delivery())

    assert begun == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert house.pauses == pytest.approx([0.1, 0.2, 0.4] * 3)
    error = log("ERROR")[0]
    assert error.startswith("the journal cannot be written, events are held: the journal ")
    assert "database is locked; another process keeps it locked" in error
    mended = "the journal can be written again: held events resume; mended is: the journal "
    assert [line.startswith(mended) for line in log("WARNING")] == [True] * 3
    assert house.run_states == ["done", "done"]


def test_a_listener_that_is_asked_to_stop_while_an_event_is_held_leaves_no_trace_of_it(
    house: House, locker: sqlite3.Connection
) -> None:
    house.hooks(hook("h"))
    dispatcher = house.recalled()
    locker.execute("BEGIN IMMEDIATE")
    house.on_pause = lambda number: number == 3

    with pytest.raises(Unanswered, match="stopping before the journal could be written"):
        dispatcher.act(delivery(serial=1))

    assert (len(house.pauses), house.actions.calls, house.entries) == (3, [], [])
    locker.execute("ROLLBACK")
    house.recalled().act(delivery(serial=1))
    assert house.actions.called == ["h.f"]


@pytest.mark.parametrize(("repeatable", "state"), [(True, "done"), (False, "interrupted")])
def test_a_listener_that_is_asked_to_stop_with_an_end_to_write_leaves_it_begun(
    house: House, locker: sqlite3.Connection, repeatable: bool, state: str
) -> None:
    house.hooks(hook("h", repeatable=repeatable), hook("next"))
    dispatcher = house.start()
    dispatcher.accept_all([delivery()], ("accepted", ""))
    house.actions.look = lambda call: locker.execute("BEGIN IMMEDIATE")
    house.on_pause = lambda number: True

    with pytest.raises(Unanswered):
        dispatcher.work()

    assert house.run_states == ["running", "pending"]
    locker.execute("ROLLBACK")
    house.actions.look = lambda call: None
    house.work(house.recalled())
    assert house.run_states == [state, "done"]
