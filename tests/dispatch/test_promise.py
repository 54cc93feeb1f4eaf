"""Whatever happens to the process or its journal, nothing accepted is lost and nothing done is repeated."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from listener.actions import Call
from listener.actions.snmp_trap.action import NAME as TRAP
from listener.errors import ActionFailed, StateError, Unanswered
from listener.state import database
from listener.state.journal import FILE, Journal
from tests.dispatch.support import (
    ALARM, House, Killed, Mortal, MortalJournal, delivery, hook, lines,
)  # fmt: skip

NO = ActionFailed("no route")


# kill -9, at every point


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

    def __init__(self, house: House) -> None:
        self._house = house
        self.completed: dict[str, int] = {}
        self.wrong: list[str] = []  # an exception here would be the action's
        self.life: Mortal | None = None
        house.hooks(*KINDS)
        house.actions.ends = {"fails.f": [NO] * 9, "again.f": [NO], "tries.f": [NO] * 9}
        house.actions.look = self._take

    def _take(self, call: Call) -> None:
        name = call.hook.name
        [entry] = [entry for entry in self._house.entries if entry.id == call.entry_id]
        if [run.state for run in entry.runs if run.hook == name] != ["running"]:
            self.wrong.append(f"{name} had not begun, or had finished")
        if self.life is not None:
            self.life.step(f"in {name}")
        self.completed[name] = self.completed.get(name, 0) + 1
        if self.life is not None:
            self.life.step(f"at the end of {name}")

    def live(self, life: Mortal | None, *, recalls_first: bool = True) -> bool:
        """A process from its start until there is nothing more to do; whether it lived so long.

        supervisord delivers the event, which has had no answer yet, as soon as the listener is READY.
        """
        house, self.life = self._house, life
        path = str(house.folder)
        journal = house.opened(MortalJournal(path, life) if life else Journal(path))
        dispatcher = house.start(journal)
        house.now += 1
        with suppress(Killed):
            if recalls_first:
                dispatcher.recall()
                dispatcher.work()
            dispatcher.act(delivery(serial=1))
            dispatcher.recall()
            house.work(dispatcher, until=house.now + 3600)
            return True
        return False

    def check(self, where: str, most_kills: int) -> None:
        """The promise: each run has ended, once, and each that failed for good has its alarm."""
        assert self.wrong == [], where
        entry, *alarms = self._house.entries
        runs = {run.hook: run for run in entry.runs}
        assert list(runs) == ["trap", "once", "fails", "again", "tries"], where
        assert runs["trap"].state == runs["again"].state == "done", where
        assert runs["once"].state in ("done", "interrupted"), where
        assert {runs["fails"].state, runs["tries"].state} <= {"failed", "interrupted"}, where
        for run in entry.runs:
            begun_in_vain = sum(attempt.state == "interrupted" for attempt in run.attempts)
            assert begun_in_vain <= most_kills, where
            completed = self.completed.get(run.hook, 0)
            assert len(run.attempts) - begun_in_vain <= completed <= len(run.attempts), where
        given_up = [run.hook for run in entry.runs if run.state != "done"]
        reported = [json.loads(alarm.body)["context"]["hook"] for alarm in alarms]
        assert sorted(reported) == sorted(given_up), where
        assert {alarm.state for alarm in alarms} == {"done"}, where


@pytest.mark.parametrize("recalls_first", [True, False])
def test_wherever_a_process_is_killed_nothing_is_lost_and_nothing_finished_is_done_twice(
    tmp_path: Path, recalls_first: bool
) -> None:
    died_at = []
    for steps in count():
        folder = tmp_path / str(steps)
        folder.mkdir()
        house, life = House(folder), Mortal(steps)
        ledger = Ledger(house)
        lived = ledger.live(life)
        house.actions.ends["again.f"] = []
        assert ledger.live(None, recalls_first=recalls_first)
        ledger.check(life.died_at, most_kills=1)
        house.close()
        shutil.rmtree(folder)
        if lived:
            break
        died_at.append(life.died_at)
    assert {"before accept", "in once", "at the end of once", "after save"} <= set(died_at)
    assert len(died_at) > 40


@pytest.mark.parametrize("steps", range(6, 42, 5))
def test_a_process_that_dies_again_and_again_gets_there_in_the_end(house: House, steps: int) -> None:
    ledger = Ledger(house)
    lives = next(number for number in range(100) if ledger.live(Mortal(steps)))
    ledger.check(f"after {steps} steps each time", most_kills=lives)


# A journal that cannot be written


@pytest.fixture
def locker(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """Another process's connection: BEGIN IMMEDIATE on it keeps the journal from being written."""
    monkeypatch.setattr(database, "_LOCKED_S", 0.0)
    house.look.unsettled()  # it is there now
    with closing(sqlite3.connect(house.folder / FILE, isolation_level=None)) as connection:
        yield connection


def test_an_event_is_held_until_the_journal_can_be_written(
    house: House, locker: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    house.hooks(hook("h"))
    dispatcher = house.recalled()
    locker.execute("BEGIN IMMEDIATE")

    def unlock_at_last(number: int) -> bool:
        assert house.actions.calls == []
        if number == 3:
            locker.execute("ROLLBACK")
        return False

    house.on_pause = unlock_at_last

    dispatcher.act(delivery())

    assert house.pauses == pytest.approx([0.1, 0.2, 0.4])
    [error] = lines(caplog, "ERROR")
    assert error.startswith("the journal cannot be written, events are held: the journal ")
    assert "database is locked; another process keeps it locked" in error
    assert lines(caplog, "WARNING") == ["the journal can be written again: held events resume"]
    assert house.actions.called == ["h.f"]
    assert house.states == ["done"]


def test_an_action_whose_end_cannot_be_written_has_run_once_when_it_can(
    house: House, locker: sqlite3.Connection
) -> None:
    house.hooks(hook("a"), hook("b"), hook("c"))
    dispatcher = house.recalled()
    house.actions.look = lambda call: locker.execute("BEGIN IMMEDIATE")

    def unlock(number: int) -> bool:
        if number % 3 == 0:
            locker.execute("ROLLBACK")
        return False

    house.on_pause = unlock

    dispatcher.act(delivery(id="n1", serial=1))

    assert house.actions.called == ["a.f", "b.f", "c.f"]
    assert house.run_states == ["done"] * 3
    assert len(house.pauses) == 9


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
@pytest.mark.parametrize("is_delivered", [True, False])
def test_a_listener_that_is_asked_to_stop_with_an_end_to_write_leaves_it_begun(
    house: House, locker: sqlite3.Connection, repeatable: bool, state: str, is_delivered: bool
) -> None:
    house.hooks(hook("h", repeatable=repeatable), hook("next"))
    dispatcher = house.start()
    house.actions.look = lambda call: locker.execute("BEGIN IMMEDIATE")
    house.on_pause = lambda number: True
    if not is_delivered:
        dispatcher.accept_all([delivery(serial=1)], ("accepted", ""))

    with pytest.raises(Unanswered):
        dispatcher.act(delivery(serial=1)) if is_delivered else dispatcher.work()

    assert house.run_states == ["running", "pending"]
    locker.execute("ROLLBACK")
    house.actions.look = lambda call: None
    house.now += 1
    dispatcher = house.recalled()
    dispatcher.act(delivery(serial=1))
    house.work(dispatcher)
    assert house.run_states == [state, "done"]


def failing(house: House, name: str, *, late: bool) -> Journal:
    """A journal of which a method fails at its first call, before or after its work."""
    journal = house.opened(Journal(str(house.folder)))
    method: Callable[..., Any] = getattr(journal, name)
    failures = [StateError("the disk")]

    def fail(*args: Any, **options: Any) -> Any:
        if late and failures:
            method(*args, **options)
        if failures:
            raise failures.pop()
        return method(*args, **options)

    hold = house.hold
    setattr(journal, name, lambda *args, **options: hold(lambda: fail(*args, **options)))
    house.on_pause = lambda number: False
    return journal


@pytest.mark.parametrize(
    "name", ["find", "get", "is_changed", "unsettled", "renew_if_removed", "has_other", "note"]
)
def test_whatever_of_the_journal_fails_for_a_moment_nothing_is_lost(house: House, name: str) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [NO]
    house.start().accept_all([delivery("a")], ("accepted", ""))
    dispatcher = house.start(failing(house, name, late=False))

    dispatcher.recall()
    for _ in range(2):
        dispatcher.act(delivery("b", id="n1", serial=1))
        house.now += 0.5
    house.work(dispatcher, until=2000)

    assert house.actions.served == ["a", "b", "a"]
    assert house.states == ["done", "done"]


@pytest.mark.parametrize("name", ["accept", "accept_all", "save"])
@pytest.mark.parametrize("serial", [None, 1])
def test_an_error_from_a_commit_that_was_made_all_the_same_changes_nothing(
    house: House, name: str, serial: int | None
) -> None:
    """As from a disk that fails to sync, with `durability: power`."""
    house.hooks(hook("h"), ALARM)
    house.actions.ends["h.f"] = [NO]
    dispatcher = house.start(failing(house, name, late=True))

    if name == "accept_all":
        dispatcher.accept_all([delivery("a", serial=serial)], ("accepted", ""))
    else:
        dispatcher.act(delivery("a", serial=serial))
    house.work(dispatcher)
    house.work(house.recalled())

    assert len(house.pauses) == 1
    assert house.actions.called == ["h.f", "alarm.f"]
    assert house.states == ["failed", "done"]
