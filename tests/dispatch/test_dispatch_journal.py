"""One notification to its hooks, with a real journal: what is on record when, and what goes on later.

The actions are doubles, the clock, the jitter and the pauses are the test's. Another process is another
dispatcher on the same file; that one was killed is an exception which nothing in the listener catches.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest

from listener.actions import Call, Fault
from listener.actions.registry import Actions
from listener.actions.snmp_trap.action import NAME as TRAP
from listener.errors import ActionFailed, ActionTimedOut, StateError, Unanswered
from listener.hooks.table import Hook, ListenerSettings
from listener.hooks.watch import HooksFile
from listener.model.delivery import Delivery, as_entry, decode
from listener.model.entry import Entry, Run
from listener.model.notification import EVENT_TYPES
from listener.model.serials import Serials
from listener.state import database as journal_file
from listener.state.hold import Hold
from listener.state.journal import FILE, Filters, Journal
from tests.support import Finishing

TOKEN = "ctok-AbCdEfGhIj-0123456789abcdefghijklmnopqrstuvwxyzABCD"

_T = TypeVar("_T")


class Killed(BaseException):
    """The process ends here, as by kill -9: nobody catches it."""


class Doubles(Actions):
    """Actions that end as they are told, one attempt after the other; what nobody has told is done."""

    def __init__(self) -> None:
        super().__init__(ListenerSettings())
        self.ends: dict[str, list[str | BaseException]] = {}
        self.calls: list[Call] = []
        self.look: Callable[[Call], object] = lambda call: None

    @property
    def called(self) -> list[str]:
        """The implementations that were called, in that order."""
        return [call.hook.implementation for call in self.calls]

    @property
    def served(self) -> list[str]:
        """The executions that an action was called for, in that order."""
        return [call.hook_context["execution_id"] for call in self.calls]

    def of(self, hook: Hook) -> Doubles:
        return self

    def run(self, call: Call) -> str:
        self.calls.append(call)
        self.look(call)
        ends = self.ends.get(call.hook.implementation)
        end = ends.pop(0) if ends else ""
        if isinstance(end, BaseException):
            raise end
        return end

    def check(self, hook: Hook, *, may_import: bool) -> list[Fault]:
        raise NotImplementedError


class House:
    """A state directory, a hooks.conf, actions and a clock, which outlive the dispatchers on them."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path / "hooks.conf"
        self.folder = tmp_path / "state"
        self.folder.mkdir()
        self.actions = Doubles()
        self.now = 1000.0
        self.jitter = 1.0
        self.pauses: list[float] = []
        self.on_pause: Callable[[int], bool] = lambda number: pytest.fail("nobody should wait")
        self._journals: list[Journal] = []
        self.look = self.opened(Journal(str(self.folder)))
        self._versions = count(10**18)

    def opened(self, journal: Journal) -> Journal:
        """The journal, which is closed at the end of the test."""
        self._journals.append(journal)
        return journal

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
            journal or self.opened(Journal(str(self.folder), hold=Hold(self._pause))),
            wait_s,
            now=lambda: self.now,
            jitter=lambda: self.jitter,
        )

    def _pause(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        return self.on_pause(len(self.pauses))

    def recalled(self, **options: Any) -> Finishing:
        """A dispatcher that has taken up what is there."""
        dispatcher = self.start(**options)
        dispatcher.recall()
        return dispatcher

    def work(self, dispatcher: Finishing, until: float = 0.0) -> None:
        """Work on, the clock going from one thing that is due to the next, up to a moment."""
        for _ in range(1000):
            wait_s = dispatcher.work()
            if wait_s is None or self.now + wait_s > max(until, self.now):
                self.now = max(until, self.now)
                return
            self.now += wait_s
        pytest.fail("there is no end of work")

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

    def execute(self, statement: str, *values: object) -> None:
        """Write into the journal, as another process."""
        with closing(sqlite3.connect(self.folder / "journal.db", isolation_level=None)) as connection:
            connection.execute(statement, values)

    def close(self) -> None:
        for journal in self._journals:
            journal.close()


@pytest.fixture
def house(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[House]:
    caplog.set_level(logging.DEBUG)
    house = House(tmp_path)
    yield house
    house.close()
    for record in caplog.get_records("call"):
        assert TOKEN not in record.getMessage()


def hook(name: str, **more: object) -> str:
    """A hook `name` with the implementation `<name>.f`, or what else is said of it."""
    values = {"event_type": "workflow_failed", "implementation": f"{name}.f", "name": name, **more}
    return json.dumps(values)[1:-1]


def delivery(
    execution_id: str | None = "x1",
    *,
    serial: int | None = None,
    source: str = "supervisord",
    **more: Any,
) -> Delivery:
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
    return decode(json.dumps(value), source=source, origin=f"serial {serial}", serials=serials)


def states(entry: Entry) -> list[str]:
    return [run.state for run in entry.runs]


def lines(caplog: pytest.LogCaptureFixture, level: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == level]


# What is on record, and when


class Transactions:
    """Counts the transactions that write, as SQLite tells of its statements."""

    def __init__(self, journal: Journal) -> None:
        self.number = 0
        self._is_inside = False
        journal.file.opened().set_trace_callback(self._take)

    def _take(self, statement: str) -> None:
        verb = statement.split(maxsplit=1)[0].upper()
        if verb in ("BEGIN", "COMMIT", "ROLLBACK"):
            self._is_inside = verb == "BEGIN"
            self.number += verb == "COMMIT"
        elif verb in ("INSERT", "UPDATE", "DELETE", "REPLACE"):
            self.number += not self._is_inside


@pytest.mark.parametrize(("hooks", "expected"), [(0, 1), (1, 2), (2, 3), (3, 4)])
def test_an_event_takes_one_transaction_more_than_it_has_hooks(
    house: House, hooks: int, expected: int
) -> None:
    house.hooks(*(hook(f"h{number}") for number in range(hooks)))
    journal = house.opened(Journal(str(house.folder)))
    dispatcher = house.start(journal)
    transactions = Transactions(journal)

    dispatcher.act(delivery(id="n1", serial=1))

    assert transactions.number == expected
    assert states(house.entry) == ["done"] * hooks


@pytest.mark.parametrize(
    ("again", "expected"),
    [(delivery(serial=1), 2), (decode("no json", source="s", origin="o"), 1)],
    ids=["known, and its numbers are noted", "unreadable"],
)
def test_what_runs_no_hook_takes_few_transactions(house: House, again: Delivery, expected: int) -> None:
    house.hooks(hook("h"))
    journal = house.opened(Journal(str(house.folder)))
    dispatcher = house.start(journal)
    dispatcher.act(delivery(serial=1))
    transactions = Transactions(journal)

    dispatcher.act(again)

    assert transactions.number == expected
    assert house.actions.called == ["h.f"]


def test_a_retry_takes_two_transactions_and_a_hook_failed_none_of_its_own(house: House) -> None:
    house.hooks(hook("h", retries=1), hook("alarm", event_type="hook_failed"))
    house.actions.ends["h.f"] = [ActionFailed("no route"), ActionFailed("no route")]
    journal = house.opened(Journal(str(house.folder)))
    dispatcher = house.start(journal)
    dispatcher.act(delivery())
    transactions = Transactions(journal)

    house.now += 1
    dispatcher.work()

    assert transactions.number == 2
    assert [entry.state for entry in house.entries] == ["failed", "pending"]


def test_many_are_taken_in_with_one_transaction(house: House) -> None:
    house.hooks(hook("h"))
    journal = house.opened(Journal(str(house.folder)))
    dispatcher = house.start(journal)
    transactions = Transactions(journal)

    dispatcher.accept_all([delivery(f"x{number}") for number in range(50)])

    assert transactions.number == 1
    assert [entry.state for entry in house.entries] == ["pending"] * 50
    assert house.actions.calls == []


def test_what_was_begun_is_on_record_before_the_work_and_what_has_finished_after_it(
    house: House,
) -> None:
    house.hooks(hook("a"), hook("b"), hook("c"))
    house.actions.ends["b.f"] = [ActionFailed("no route")]
    seen: list[tuple[str, list[str]]] = []
    house.actions.look = lambda call: seen.append((house.entry.state, states(house.entry)))

    house.start().act(delivery())

    assert seen == [
        ("running", ["running", "pending", "pending"]),
        ("running", ["done", "running", "pending"]),
        ("running", ["done", "failed", "running"]),
    ]
    assert (house.entry.state, states(house.entry)) == ("failed", ["done", "failed", "done"])


def test_an_answer_waits_for_the_work_but_not_for_the_record_of_its_end(house: House) -> None:
    house.hooks(hook("a"), hook("b"))
    dispatcher = house.start()

    dispatcher.deliver(delivery())

    assert house.actions.called == ["a.f", "b.f"]
    assert states(house.entry) == ["done", "running"]
    settled = dispatcher.finish()
    assert settled is not None
    assert states(house.entry) == ["done", "done"]
    assert (settled.state, settled.runs) == ("done", house.entry.runs)
    assert dispatcher.finish() is None


@pytest.mark.parametrize(
    ("repeatable", "state", "calls"), [(True, "done", 2), (False, "interrupted", 1)]
)
def test_who_dies_between_the_answer_and_the_record_of_the_end_leaves_what_has_begun(
    house: House, repeatable: bool, state: str, calls: int
) -> None:
    house.hooks(hook("a", repeatable=repeatable))
    house.start().deliver(delivery(serial=1))

    dispatcher = house.recalled()
    dispatcher.act(delivery(serial=1))
    house.work(dispatcher)

    assert (states(house.entry), len(house.actions.calls)) == ([state], calls)


def test_what_one_event_has_left_is_stored_before_anything_is_done_for_the_next(house: House) -> None:
    house.hooks(hook("a"))
    dispatcher = house.start()
    dispatcher.deliver(delivery("x1"))
    seen: list[list[str]] = []
    house.actions.look = lambda call: seen.append([entry.state for entry in house.entries])

    dispatcher.deliver(delivery("x2"))
    dispatcher.finish()

    assert seen == [["done", "running"]]


def test_a_defect_in_what_the_log_is_told_does_not_keep_an_end_from_being_put_on_record(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.hooks(hook("a"))
    dispatcher = house.start()
    dispatcher.deliver(delivery(id="n1"))
    assert states(house.entry) == ["running"]

    monkeypatch.setattr(Journal, "has_other", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        dispatcher.finish()

    assert states(house.entry) == ["done"]
    assert dispatcher.finish() is None


def test_an_event_that_no_hook_matches_is_on_record_before_it_is_answered(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """Or the next listener would take it for one that supervisord has discarded."""
    house.hooks(hook("a", event_type="workflow_started"))
    dispatcher = house.start()
    dispatcher.deliver(delivery(serial=1))
    assert [entry.state for entry in house.entries] == ["ignored"]
    assert dispatcher.finish() is None

    without = SettlingWithout(HooksFile(house.path, {}), house.actions)
    before = len(caplog.messages)
    without.deliver(delivery(serial=2))
    assert caplog.messages[before:] == []  # without a journal, the log alone is told, after the answer
    settled = without.finish()
    assert settled is not None
    assert settled.state == "ignored"
    assert "didn't find a compatible hook" in caplog.messages[-1]


def test_a_defect_that_shows_when_a_retry_is_put_on_record_costs_that_retry_some_minutes(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.hooks(hook("h", retries=2, repeatable=True))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    dispatcher = house.start()
    dispatcher.act(delivery())
    house.now += 1
    with monkeypatch.context() as patch:
        patch.setattr(Run, "ended", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            dispatcher.work()
    assert states(house.entry) == ["running"]

    assert dispatcher.work() == 300.0
    house.work(dispatcher, until=house.now + 300)

    assert states(house.entry) == ["done"]


def test_what_has_the_id_of_an_entry_but_is_another_one_is_not_taken_for_it(house: House) -> None:
    house.hooks(hook("a"))
    journal = house.opened(Journal(str(house.folder)))
    dispatcher = house.start(journal)
    dispatcher.deliver(delivery("x1"))
    journal.file.opened().execute("UPDATE entries SET received_at = 7")

    settled = dispatcher.finish()

    assert settled is not None
    assert settled.state == "dropped"
    assert states(house.entry) == ["running"]


def test_a_begun_attempt_is_on_record_as_interrupted_which_is_right_if_nothing_comes_after(
    house: House,
) -> None:
    house.hooks(hook("a"))
    house.actions.look = lambda call: seen.extend(house.runs[0].attempts)
    seen: list[Any] = []

    house.start().act(delivery())

    assert [(attempt.state, attempt.began_at) for attempt in seen] == [("interrupted", 1000.0)]
    assert [attempt.state for attempt in house.runs[0].attempts] == ["done"]


def test_the_entry_tells_what_was_delivered(house: House) -> None:
    house.hooks(hook("a"))
    given = delivery(serial=7)

    returned = house.start().act(given)

    entry = house.entry
    assert returned is not None
    assert (returned.id, returned.state, returned.runs) == (entry.id, entry.state, entry.runs)
    assert entry.body == given.body
    assert (entry.key, entry.serials) == (given.key, "17.4/7/7")
    assert (entry.source, entry.event_type, entry.execution_id) == (
        "supervisord",
        "workflow_failed",
        "x1",
    )
    assert (entry.received_at, entry.state, entry.error) == (1000.0, "done", "")
    assert [(run.hook, run.implementation) for run in entry.runs] == [("a", "a.f")]


def test_what_cannot_be_read_is_kept_raw_with_the_reason(house: House) -> None:
    house.hooks(hook("a"))

    house.start().act(decode('{"event_ty', source="supervisord", origin="serial 7"))

    assert (house.entry.state, house.entry.body) == ("unreadable", '{"event_ty')
    assert "the payload is not JSON" in house.entry.error


# kill -9, at every point


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

    def do(self, what: str, work: Callable[[], _T]) -> _T:
        self.step(f"before {what}")
        done = work()
        self.step(f"after {what}")
        return done


class MortalJournal(Journal):
    """A journal of a process that dies at a given step."""

    def __init__(self, folder: str, life: Mortal) -> None:
        super().__init__(folder)
        self.life = life

    def accept(self, entry: Entry) -> int | None:
        return self.life.do("accept", lambda: super(MortalJournal, self).accept(entry))

    def accept_all(self, entries: Any, note: tuple[str, str] | None = None) -> list[int | None]:
        return self.life.do("accept_all", lambda: super(MortalJournal, self).accept_all(entries, note))

    def save(self, entry: Entry, follow_ups: Sequence[Entry] = ()) -> list[int | None] | None:
        return self.life.do("save", lambda: super(MortalJournal, self).save(entry, follow_ups))

    def note(self, name: str, value: str) -> None:
        self.life.do("note", lambda: super(MortalJournal, self).note(name, value))


class Ledger:
    """Counts what each hook has done, and sees at each call that it was begun and had not finished."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.completed: dict[tuple[str, str], int] = {}
        self.wrong: list[str] = []  # an exception here would be the action's
        self.life: Mortal | None = None
        house.actions.look = self._take

    def _take(self, call: Call) -> None:
        key = (call.notification.event_type, call.hook.name)
        runs = [
            run
            for entry in self._house.entries
            if entry.event_type == call.notification.event_type
            if call.notification.event_type != "hook_failed" or entry.state == "running"
            for run in entry.runs
            if run.hook == call.hook.name
        ]
        if [run.state for run in runs] != ["running"]:
            self.wrong.append(f"{call.hook.name} had not begun, or had finished")
        if self.life is not None:
            self.life.step(f"in {call.hook.name}")
        self.completed[key] = self.completed.get(key, 0) + 1
        if self.life is not None:
            self.life.step(f"at the end of {call.hook.name}")


KINDS = (
    hook("trap", implementation=TRAP),
    hook("once"),
    hook("fails"),
    hook("again", repeatable=True, retries=2),
    hook("tries", retries=1),
    hook("alarm", implementation=TRAP, event_type="hook_failed"),
)
"""Each kind of hook, of which `fails` and `tries` fail for good, `again` once."""


def ends() -> dict[str, list[str | BaseException]]:
    no = ActionFailed("no route")
    return {"fails.f": [no] * 9, "again.f": [no], "tries.f": [no] * 9}


def live(house: House, life: Mortal | None, ledger: Ledger, *, recalls_first: bool = True) -> bool:
    """A process from its start until there is nothing more to do; whether it lived so long.

    supervisord delivers the event, which has had no answer yet, as soon as the listener is READY.
    """
    ledger.life = life
    path = str(house.folder)
    journal = house.opened(MortalJournal(path, life) if life else Journal(path))
    dispatcher = house.start(journal)
    with suppress(Killed):
        if recalls_first:
            dispatcher.recall()
            dispatcher.work()
        dispatcher.act(delivery(serial=1))
        dispatcher.recall()
        house.work(dispatcher, until=house.now + 3600)
        return True
    return False


@pytest.mark.parametrize("recalls_first", [True, False])
def test_wherever_a_process_is_killed_nothing_is_lost_and_nothing_finished_is_done_twice(
    tmp_path: Path, recalls_first: bool
) -> None:
    died_at = []
    for steps in count():
        folder = tmp_path / str(steps)
        folder.mkdir()
        house, life = House(folder), Mortal(steps)
        house.hooks(*KINDS)
        house.actions.ends = ends()
        ledger = Ledger(house)
        lived = live(house, life, ledger)
        house.actions.ends["again.f"] = []
        assert live(house, None, ledger, recalls_first=recalls_first)
        check_the_promise(house, ledger, life.died_at)
        house.close()
        shutil.rmtree(folder)
        if lived:
            break
        died_at.append(life.died_at)
    assert {"before accept", "in once", "at the end of once", "after save"} <= set(died_at)
    assert len(died_at) > 40


def check_the_promise(house: House, ledger: Ledger, where: str) -> None:
    entry, *told = house.entries
    assert ledger.wrong == [], where
    assert entry.event_type == "workflow_failed", where
    assert {entry.event_type for entry in told} == {"hook_failed"}, where
    assert all(entry.is_settled for entry in house.entries), where
    runs = {run.hook: run for run in entry.runs}
    assert list(runs) == ["trap", "once", "fails", "again", "tries"], where
    assert runs["trap"].state == runs["again"].state == "done", where
    assert runs["once"].state in ("done", "interrupted"), where
    assert {runs["fails"].state, runs["tries"].state} <= {"failed", "interrupted"}, where
    for run in entry.runs:
        completed = ledger.completed.get(("workflow_failed", run.hook), 0)
        begun_in_vain = sum(attempt.state == "interrupted" for attempt in run.attempts)
        assert begun_in_vain <= 1, where  # it was killed once
        assert len(run.attempts) - begun_in_vain <= completed <= len(run.attempts), where
        if run.state == "interrupted":
            assert run.attempts[-1].state == "interrupted", where
    given_up = [run.hook for run in entry.runs if run.state in ("failed", "interrupted")]
    named = [json.loads(entry.body)["context"]["hook"] for entry in told]
    assert sorted(named) == sorted(given_up), where
    assert all(states(entry) == ["done"] for entry in told), where


@pytest.mark.parametrize("steps", range(6, 42, 5))
def test_a_process_that_dies_again_and_again_gets_there_in_the_end(house: House, steps: int) -> None:
    house.hooks(*KINDS)
    house.actions.ends = ends()
    ledger = Ledger(house)

    for _ in range(100):
        if live(house, Mortal(steps), ledger):
            break
    else:
        pytest.fail("it never gets there")

    entry, *told = house.entries
    assert all(entry.is_settled for entry in house.entries)
    assert states(entry)[0] == "done"
    given_up = [run.hook for run in entry.runs if run.state in ("failed", "interrupted")]
    named = [json.loads(entry.body)["context"]["hook"] for entry in told]
    assert sorted(named) == sorted(given_up)


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (hook("h"), "interrupted"),
        (hook("h", repeatable=False), "interrupted"),
        (hook("h", repeatable=True), "done"),
        (hook("h", implementation=TRAP), "done"),
        (hook("h", implementation=TRAP, repeatable=True), "done"),
        (hook("h", implementation=TRAP, repeatable=False), "interrupted"),
        (hook("h", retries=5), "interrupted"),
    ],
)
def test_what_was_begun_is_run_again_only_if_it_is_repeatable_and_the_next_hooks_run(
    house: House, caplog: pytest.LogCaptureFixture, kind: str, state: str
) -> None:
    house.hooks(hook("first"), kind, hook("next"))
    house.actions.ends[json.loads(f"{{{kind}}}")["implementation"]] = [Killed()]
    with pytest.raises(Killed):
        house.start().act(delivery())
    calls = len(house.actions.calls)

    dispatcher = house.recalled()
    house.work(dispatcher)

    assert states(house.entry) == ["done", state, "done"]
    assert house.entry.state == state
    again = state == "done"
    assert len(house.actions.calls) - calls == (2 if again else 1)
    assert house.runs[1].attempts[0].state == "interrupted"
    assert len(house.runs[1].attempts) == (2 if again else 1)
    [line] = lines(caplog, "WARNING")
    how = "run again" if again else "not repeatable, and interrupted until conductor-hooks replay 1"
    assert line.startswith(f"hook h: the listener ended while it ran; it is {how} (execution x1, ")


@pytest.mark.parametrize(
    "left", [(), (hook("k", implementation="h.f"),), (hook("h", implementation="g.f"),)]
)
def test_what_was_begun_for_a_hook_that_is_gone_is_interrupted(
    house: House, left: tuple[str, ...]
) -> None:
    house.hooks(hook("h", repeatable=True))
    house.actions.ends["h.f"] = [Killed()]
    with pytest.raises(Killed):
        house.start().act(delivery())
    house.hooks(*left)

    house.work(house.recalled())

    assert states(house.entry) == ["interrupted"]
    assert house.actions.called == ["h.f"]


def test_an_interruption_is_no_failure_and_takes_no_retry_away(house: House) -> None:
    house.hooks(hook("h", repeatable=True, retries=1))
    house.actions.ends["h.f"] = [Killed(), ActionFailed("one"), ActionFailed("two")]
    with pytest.raises(Killed):
        house.start().act(delivery())

    house.work(house.recalled(), until=2000)

    [run] = house.runs
    assert [attempt.state for attempt in run.attempts] == ["interrupted", "failed", "failed"]
    assert (run.state, run.failures) == ("failed", 2)


def test_a_defect_in_between_leaves_what_was_begun_to_the_next_process(house: House) -> None:
    class Defective(Journal):
        def save(self, entry: Entry, follow_ups: Sequence[Entry] = ()) -> list[int | None]:
            raise LookupError("a defect")

    house.hooks(hook("h", repeatable=True), hook("next"))
    with pytest.raises(LookupError):
        house.start(house.opened(Defective(str(house.folder)))).act(delivery())

    house.work(house.recalled())

    assert states(house.entry) == ["done", "done"]


# Recognised


def test_the_same_key_runs_once_and_one_line_names_the_first_entry(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.hooks(hook("h"))
    dispatcher = house.start()
    dispatcher.act(delivery("before"))
    first = dispatcher.act(delivery(serial=1))
    assert first is not None
    caplog.clear()

    for other in (dispatcher, house.start()):
        assert other.act(delivery(serial=1)) is None

        [record] = caplog.records
        assert (record.levelname, record.getMessage()) == (
            "INFO",
            f"serial 1: accepted already, as entry {first.id}, which is done",
        )
        caplog.clear()
    assert house.actions.served == ["before", "x1"]


@pytest.mark.parametrize(
    ("first", "second", "runs"),
    [
        (delivery(), delivery(), 2),
        (delivery(id="n1"), delivery(id="n1"), 1),
        (delivery(id="n1", serial=1), delivery(id="n1", serial=2), 1),
        (delivery(id="n1", serial=1), delivery(id="n1"), 1),
        (delivery(id="n1"), delivery(id="n2"), 2),
        (delivery(serial=1), delivery(serial=1), 1),
        (delivery(serial=1), delivery(serial=2), 2),
        (delivery(serial=1), delivery(), 2),
        (delivery("a", serial=1), delivery("b", serial=1), 2),
        (delivery(id=""), delivery(id=""), 2),
        (delivery(id=7), delivery(id=7), 2),
    ],
)
def test_what_counts_as_the_same(house: House, first: Delivery, second: Delivery, runs: int) -> None:
    house.hooks(hook("h"))
    dispatcher = house.start()

    dispatcher.act(first)
    dispatcher.act(second)

    assert len(house.actions.calls) == len(house.entries) == runs


def test_other_white_space_at_the_end_makes_no_other_notification(house: House) -> None:
    house.hooks(hook("h"))
    text = json.dumps({"event_type": "workflow_failed", "context": {}, "id": "n1"})
    dispatcher = house.start()

    for end in ("", "\n", "    \r\n"):
        dispatcher.act(decode(text + end, source="supervisord", origin="o"))

    assert len(house.actions.calls) == 1


def test_the_same_id_with_another_payload_runs_with_a_warning(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.hooks(hook("h"))
    dispatcher = house.start()
    dispatcher.act(delivery("a", id="n1"))
    assert lines(caplog, "WARNING") == []

    dispatcher.act(delivery("b", id="n1", serial=4))

    assert house.actions.served == ["a", "b"]
    assert lines(caplog, "WARNING") == [
        "execution b, serial 4, entry 2: another notification had the id n1;"
        " they differ, so both are acted on"
    ]


@pytest.mark.parametrize("taken_in", [True, False])
def test_ids_of_which_one_begins_with_the_other_are_two(
    house: House, caplog: pytest.LogCaptureFixture, taken_in: bool
) -> None:
    house.hooks(hook("h"))
    dispatcher = house.start()

    for own_id in ("n", "n1", "n1-", "n1%", "n_"):
        if taken_in:
            dispatcher.accept_all([delivery(id=own_id)])
        else:
            dispatcher.act(delivery(id=own_id))

    house.work(dispatcher)
    assert len(house.actions.calls) == 5
    assert lines(caplog, "WARNING") == []


def test_a_redelivery_leaves_a_retry_as_it_is(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    dispatcher = house.start()
    dispatcher.act(delivery(serial=1))

    assert dispatcher.act(delivery(serial=1)) is None
    assert "serial 1: accepted already, as entry 1, which is pending" in lines(caplog, "INFO")
    assert len(house.actions.calls) == 1
    house.work(dispatcher, until=2000)

    assert len(house.actions.calls) == 2
    assert house.entry.state == "done"


def test_a_redelivery_of_what_was_begun_leaves_it_to_what_is_recalled(house: House) -> None:
    house.hooks(hook("h", repeatable=True))
    house.actions.ends["h.f"] = [Killed()]
    with pytest.raises(Killed):
        house.start().act(delivery(serial=1))

    dispatcher = house.start()
    dispatcher.act(delivery(serial=1))
    dispatcher.recall()
    dispatcher.act(delivery(serial=1))
    house.work(dispatcher)

    assert len(house.actions.calls) == 2
    assert house.entry.state == "done"


def test_a_redelivery_of_what_was_pruned_in_between_is_dropped(house: House) -> None:
    class Pruning(Journal):
        def find(self, key: str) -> Entry | None:
            self.prune(0, older_than=1e12, keep=0)
            return super().find(key)

    house.hooks(hook("h"))
    for serial in (1, 2):  # the newest entry is never pruned
        house.start().act(delivery(serial=serial))
    dispatcher = house.start(house.opened(Pruning(str(house.folder))))

    assert dispatcher.act(delivery(serial=1)) is None

    assert len(house.actions.calls) == 2


# Retries


@pytest.mark.parametrize(
    ("jitter", "pauses_s"),
    [
        (1.0, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]),
        (0.5, [0.5, 1, 2, 4, 8, 16, 32, 64, 128, 150, 150]),
        (0.0, [0.0] * 11),
    ],
)
def test_retries_are_due_after_growing_pauses_times_the_jitter(
    house: House, jitter: float, pauses_s: list[float]
) -> None:
    house.hooks(hook("h", retries=11))
    house.actions.ends["h.f"] = [ActionFailed("no route")] * 11
    house.jitter = jitter
    dispatcher = house.start()
    dispatcher.act(delivery())

    for pause_s in pauses_s:
        assert house.runs[0].due_at == house.now + pause_s
        if pause_s:
            house.now += pause_s - 0.01
            assert dispatcher.work() == pytest.approx(0.01)
        assert house.runs[0].state == "pending"
        house.now = house.runs[0].due_at
        dispatcher.work()

    assert house.entry.state == "done"
    assert dispatcher.work() is None


def test_each_attempt_stands_in_the_entry_and_after_the_last_it_has_failed(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.hooks(hook("h", retries=2))
    house.actions.ends["h.f"] = [ActionFailed("one"), ActionTimedOut("two"), ValueError("three")]

    entry = house.start().act(delivery())

    assert entry is not None
    assert (entry.state, entry.runs[0].state) == ("pending", "pending")
    house.work(house.recalled(), until=2000)
    [run] = house.runs
    assert [(attempt.began_at, attempt.state, attempt.text) for attempt in run.attempts] == [
        (1000.0, "failed", "one"),
        (1001.0, "timed out", "two"),
        (1003.0, "failed", "ValueError: three"),
    ]
    assert (house.entry.state, run.state, run.failures) == ("failed", "failed", 3)
    assert [line.split(" (")[0] for line in lines(caplog, "INFO") if "attempt" in line] == [
        "hook h: attempt 2 of 3 in 1.0 s",
        "hook h: attempt 3 of 3 in 2.0 s",
    ]
    assert [line.split(" (")[0] for line in lines(caplog, "ERROR")][-1] == (
        "hook h: given up after attempt 3 of 3"
    )


def test_only_the_run_that_failed_is_tried_again(house: House) -> None:
    house.hooks(hook("a", retries=3), hook("b", retries=3), hook("c", retries=3))
    house.actions.ends["b.f"] = [ActionFailed("no route")] * 2
    dispatcher = house.start()
    dispatcher.act(delivery())
    assert states(house.entry) == ["done", "pending", "done"]

    house.work(dispatcher, until=2000)

    assert house.actions.called == ["a.f", "b.f", "c.f", "b.f", "b.f"]
    assert states(house.entry) == ["done", "done", "done"]


def test_a_retry_that_is_due_at_once_comes_after_the_other_hooks_of_its_entry(house: House) -> None:
    house.jitter = 0.0
    house.hooks(hook("a", retries=1), hook("b"))
    house.actions.ends["a.f"] = [ActionFailed("no route")]
    dispatcher = house.start()

    dispatcher.act(delivery())
    assert house.actions.called == ["a.f", "b.f"]
    dispatcher.work()

    assert house.actions.called == ["a.f", "b.f", "a.f"]


def test_each_run_has_its_own_retries(house: House) -> None:
    house.hooks(hook("a", retries=1), hook("b"), hook("c", retries=2))
    no = ActionFailed("no route")
    house.actions.ends = {"a.f": [no] * 2, "b.f": [no], "c.f": [no] * 2}
    dispatcher = house.start()
    dispatcher.act(delivery())
    assert states(house.entry) == ["pending", "failed", "pending"]

    house.work(dispatcher, until=2000)

    assert states(house.entry) == ["failed", "failed", "done"]
    assert [len(run.attempts) for run in house.runs] == [2, 1, 3]
    assert house.entry.state == "failed"


def test_retries_outlive_the_process_and_wait_no_longer_for_it(house: House) -> None:
    house.hooks(hook("h", retries=3))
    house.actions.ends["h.f"] = [ActionFailed("no route")] * 3
    house.start().act(delivery())
    due = []

    while house.entry.state == "pending":
        due.append(house.runs[0].due_at)
        dispatcher = house.recalled()
        assert dispatcher.work() == due[-1] - house.now
        house.now = due[-1]
        dispatcher.work()

    assert due == [1001.0, 1003.0, 1007.0]
    assert [attempt.began_at for attempt in house.runs[0].attempts] == [1000.0, *due]


@pytest.mark.parametrize(("after", "attempts"), [(0, 2), (1, 2), (2, 3), (9, 4)])
def test_the_number_of_retries_is_that_of_the_hooks_conf_of_now(
    house: House, after: int, attempts: int
) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route")] * 3
    dispatcher = house.start()
    dispatcher.act(delivery())
    house.hooks(hook("h", retries=after))

    house.work(dispatcher, until=2000)

    assert len(house.runs[0].attempts) == attempts


def test_a_retry_uses_the_inputs_and_the_limits_of_the_hooks_conf_of_now(house: House) -> None:
    house.hooks(hook("h", retries=1, inputs={"host": "old"}), hook("other"))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    dispatcher = house.start()
    dispatcher.act(delivery())
    house.hooks(hook("new"), hook("h", retries=1, timeout=7, inputs={"host": "new"}))

    house.work(dispatcher, until=2000)

    first, _, again = house.actions.calls
    assert (first.hook.inputs, again.hook.inputs) == ({"host": "old"}, {"host": "new"})
    assert again.hook.timeout_s == 7
    assert [run.hook for run in house.runs] == ["h", "other"]


@pytest.mark.parametrize(
    "changed",
    [(), (hook("renamed", implementation="h.f", retries=2),), (hook("h", implementation="g.f"),)],
    ids=["removed", "renamed", "another implementation"],
)
@pytest.mark.parametrize("restarts", [False, True])
def test_a_retry_of_a_hook_that_is_gone_fails_and_says_so(
    house: House, caplog: pytest.LogCaptureFixture, changed: tuple[str, ...], restarts: bool
) -> None:
    house.hooks(hook("h", retries=2), hook("other", retries=2))
    house.actions.ends = {"h.f": [ActionFailed("one")], "other.f": [ActionFailed("two")]}
    dispatcher = house.start()
    dispatcher.act(delivery())
    house.hooks(*changed, hook("other", retries=2))

    house.work(house.recalled() if restarts else dispatcher, until=2000)

    gone, other = house.runs
    assert (gone.state, other.state) == ("failed", "done")
    assert [attempt.text for attempt in gone.attempts] == [
        "one",
        f"hook h with h.f is no longer in {house.path} for it",
    ]
    assert house.actions.called == ["h.f", "other.f", "other.f"]
    assert (
        f"hook h: failed after 0.000 s: hook h with h.f is no longer in {house.path} for it"
        " (execution x1, " in "".join(lines(caplog, "ERROR"))
    )


def test_a_retry_of_a_nameless_hook_that_is_gone_is_not_run_by_the_one_in_its_place(
    house: House,
) -> None:
    first, second = (nameless(retries=1, inputs={"to": to}) for to in "ab")
    house.hooks(first, second)
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    dispatcher = house.start()
    dispatcher.act(delivery())
    house.hooks(second)

    house.work(dispatcher, until=2000)

    assert [call.hook.inputs["to"] for call in house.actions.calls] == ["a", "b"]
    assert states(house.entry) == ["failed", "done"]


def nameless(**more: object) -> str:
    """A hook on workflow_failed with the implementation h.f, or what else is said of it."""
    return hook("h", **more).replace('"name": "h", ', "")


def called_with(house: House) -> list[tuple[str | None, float]]:
    """Of each call the input `to`, and the hook's timeout."""
    return [(call.hook.inputs.get("to"), call.hook.timeout_s) for call in house.actions.calls]


def test_nameless_hooks_with_equal_inputs_keep_their_own_limits(house: House) -> None:
    house.hooks(
        nameless(event_type="workflow_queued", retries=0, timeout=1),
        nameless(retries=2, timeout=5),
        nameless(event_type="workflow_started", retries=0, timeout=3),
    )
    house.actions.ends["h.f"] = [ActionFailed("no route")] * 2
    dispatcher = house.start()
    dispatcher.act(delivery())

    house.work(dispatcher, until=2000)

    assert called_with(house) == [(None, 5)] * 3
    assert house.entry.state == "done"


def test_nameless_hooks_are_told_apart_by_what_they_match_then_by_their_order(house: House) -> None:
    def hooks(*more: str) -> None:
        other = nameless(when={"workflow_id": "heal"}, timeout=1, retries=1)
        house.hooks(*more, other, nameless(timeout=2, retries=1), nameless(timeout=3, retries=1))

    hooks()
    house.actions.ends["h.f"] = [ActionFailed("no route")] * 2
    dispatcher = house.start()
    dispatcher.act(delivery())
    hooks(hook("added"))  # all names without a name of their own are others now

    house.work(dispatcher, until=2000)

    assert called_with(house) == [(None, 2), (None, 3)] * 2


def test_nameless_hooks_are_known_again_though_the_inputs_that_they_share_were_corrected(
    house: House,
) -> None:
    def hooks(to: str) -> None:
        house.hooks(
            *(nameless(event_type=event_type, inputs={"to": to}, retries=1, timeout=timeout)
              for timeout, event_type in enumerate(EVENT_TYPES, 1)),
            nameless(event_type="*", inputs={"to": to}, retries=1, timeout=60),
            nameless(when={"workflow_id": "heal"}, inputs={"to": to}),
            hook("h", inputs={"to": "named"}),
        )  # fmt: skip

    hooks("a")
    house.actions.ends["h.f"] = [ActionFailed("no route")] * 2
    dispatcher = house.start()
    dispatcher.act(delivery())
    hooks("b")

    house.work(dispatcher, until=2000)

    own = 1.0 + EVENT_TYPES.index("workflow_failed")
    first, again = [("a", own), ("a", 60), ("named", 60)], [("b", own), ("b", 60)]
    assert called_with(house) == first + again
    assert house.entry.state == "done"


def test_what_is_left_of_equal_nameless_hooks_is_for_what_is_left_to_do(house: House) -> None:
    house.hooks(nameless(event_type="*", retries=1), nameless(retries=1))
    house.actions.ends["h.f"] = ["", ActionFailed("no route")]
    dispatcher = house.start()
    dispatcher.act(delivery())
    house.hooks(nameless(retries=1))

    house.work(dispatcher, until=2000)

    assert states(house.entry) == ["done", "done"]
    assert len(house.actions.calls) == 3


def test_a_nameless_hook_that_is_not_for_the_event_type_any_more_is_gone(house: House) -> None:
    house.hooks(nameless(retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    dispatcher = house.start()
    dispatcher.act(delivery())
    house.hooks(nameless(retries=1, event_type="workflow_queued"))

    house.work(dispatcher, until=2000)

    assert len(house.actions.calls) == 1
    assert house.entry.state == "failed"


def test_the_only_nameless_hook_is_known_again_though_its_inputs_were_corrected(house: House) -> None:
    wrong, right = (nameless(retries=1, inputs={"to": to}) for to in "ab")
    house.hooks(wrong)
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    dispatcher = house.start()
    dispatcher.act(delivery())
    house.hooks(right)

    house.work(dispatcher, until=2000)

    assert [call.hook.inputs["to"] for call in house.actions.calls] == ["a", "b"]
    assert house.entry.state == "done"


def test_a_hook_that_was_disabled_is_not_tried_again(house: House) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    dispatcher = house.start()
    dispatcher.act(delivery())
    house.hooks(hook("h", retries=1, enabled=False))

    house.work(dispatcher, until=2000)

    assert len(house.actions.calls) == 1
    assert house.entry.state == "failed"


def test_while_there_is_no_hooks_conf_a_retry_waits_for_it(house: House) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    house.start().act(delivery())
    house.path.unlink()
    dispatcher = house.recalled()
    house.now = 1010.0
    assert dispatcher.work() == 300.0
    assert states(house.entry) == ["pending"]
    house.hooks(hook("h", retries=1))

    house.work(dispatcher, until=2000)

    assert house.entry.state == "done"


def test_a_retry_gets_the_whole_notification_and_the_time_of_its_receipt(house: House) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    house.start().act(delivery("ü€😀\x00", message={"text": "t", "arguments": {"error": "e"}}))

    house.work(house.recalled(), until=2000)

    first, again = house.actions.calls
    assert again.notification == first.notification
    assert again.hook_context == first.hook_context
    assert again.received_at == 1000.0


def test_the_rest_token_is_there_for_retries_and_gone_once_all_is_settled(house: House) -> None:
    house.hooks(hook("a"), hook("h", retries=2))
    house.actions.ends["h.f"] = [ActionFailed("no route")] * 2
    house.start().act(delivery())
    assert house.entry.rest_token == TOKEN
    assert TOKEN not in house.entry.body

    for _ in range(2):
        house.now += 10
        house.recalled().work()

    assert [call.hook_context["rest_token"] for call in house.actions.calls] == [TOKEN] * 4
    [entry] = house.entries
    assert (entry.state, entry.rest_token) == ("done", None)
    assert json.loads(entry.body)["context"]["rest_token"] == ""


@pytest.mark.parametrize(
    "given", [delivery(event_type="workflow_queued"), delivery()], ids=["no hook", "done"]
)
def test_the_rest_token_is_not_kept_of_what_is_settled_at_once(house: House, given: Delivery) -> None:
    house.hooks(hook("h"))

    house.start().act(given)

    assert house.entry.is_settled
    house.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for file in house.folder.iterdir():
        assert TOKEN.encode() not in file.read_bytes()


def test_the_rest_token_of_what_is_interrupted_is_gone(house: House) -> None:
    house.hooks(hook("h"))
    house.actions.ends["h.f"] = [Killed()]
    with pytest.raises(Killed):
        house.start().act(delivery())
    assert house.entry.rest_token == TOKEN

    house.work(house.recalled())

    [entry] = house.entries
    assert (entry.state, entry.rest_token) == ("interrupted", None)


@pytest.mark.parametrize("end", [f"sent {TOKEN}", ActionFailed(f"401 for {TOKEN}")])
def test_a_rest_token_that_an_action_tells_of_is_not_kept(
    house: House, caplog: pytest.LogCaptureFixture, end: str | BaseException
) -> None:
    house.hooks(hook("h"))
    house.actions.ends["h.f"] = [end]

    house.start().act(delivery())

    caplog.clear()  # log.py masks it when it writes the line
    assert TOKEN not in house.runs[0].attempts[0].text


@pytest.mark.parametrize("token", ["e", "1", "x1", "workflow_failed", '"', "true", "{"])
def test_a_short_rest_token_takes_nothing_else_out_of_the_notification(
    house: House, token: str
) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    value = {
        "event_type": "workflow_failed",
        "context": {"execution_id": "x1", "rest_token": token, "is_system_workflow": True},
    }
    house.start().act(decode(json.dumps(value), source="supervisord", origin="o"))

    house.work(house.recalled(), until=2000)

    first, again = house.actions.calls
    assert again.hook_context == first.hook_context


# hook_failed


ALARM = hook("alarm", event_type="hook_failed")


def test_hooks_on_hook_failed_get_the_context_and_what_has_failed(house: House) -> None:
    house.hooks(hook("h", retries=1), ALARM)
    house.actions.ends["h.f"] = [ActionFailed("one"), ActionTimedOut("two")]
    dispatcher = house.start()
    dispatcher.act(delivery(message={"text": "Workflow failed", "arguments": {"error": "e"}}))

    house.work(dispatcher, until=2000)

    *_, failed, told = house.actions.calls
    context = {**failed.hook_context, "event_type": "hook_failed"}
    assert told.hook_context == {**context, "hook": "h", "error": "two", "attempts": 2}
    assert told.notification.event_type == "hook_failed"
    assert (told.notification.text, told.notification.timestamp) == ("Workflow failed", "now")
    assert told.notification.arguments == {"error": "e"}
    entry, follow_up = house.entries
    assert (entry.state, follow_up.state) == ("failed", "done")
    assert (follow_up.source, follow_up.event_type) == ("hook_failed", "hook_failed")
    assert (follow_up.execution_id, follow_up.serials) == ("x1", None)


def test_an_interruption_for_good_is_a_failure_too(house: House) -> None:
    house.hooks(hook("h"), ALARM)
    house.actions.ends["h.f"] = [Killed()]
    with pytest.raises(Killed):
        house.start().act(delivery())

    house.work(house.recalled())

    told = house.actions.calls[-1].hook_context
    assert (told["hook"], told["error"], told["attempts"]) == ("h", "interrupted", 1)


def test_each_hook_that_fails_is_told_of_by_an_entry_of_its_own(house: House) -> None:
    house.hooks(hook("a"), hook("b"), hook("c", retries=1), ALARM)
    no = ActionFailed("no route")
    house.actions.ends = {"a.f": [no], "c.f": [no] * 2}
    dispatcher = house.start()
    dispatcher.act(delivery())

    house.work(dispatcher, until=2000)

    told = [call.hook_context["hook"] for call in house.actions.calls if call.hook.name == "alarm"]
    assert told == ["a", "c"]
    assert [entry.state for entry in house.entries] == ["failed", "done", "done"]


def test_hook_failed_is_never_told_of_itself(house: House) -> None:
    house.hooks(hook("h"), hook("alarm", event_type="hook_failed", retries=1))
    house.actions.ends = {"h.f": [ActionFailed("one")], "alarm.f": [ActionFailed("two")] * 9}
    dispatcher = house.start()
    dispatcher.act(delivery())

    house.work(dispatcher, until=2000)

    assert house.actions.called == ["h.f", "alarm.f", "alarm.f"]
    assert [entry.state for entry in house.entries] == ["failed", "failed"]


@pytest.mark.parametrize(
    "others",
    [
        (),
        (hook("any", event_type="*"),),
        (hook("other", event_type="hook_failed", when={"tenant_name": "other"}),),
        (hook("off", event_type="hook_failed", enabled=False),),
    ],
)
def test_nothing_follows_from_a_failure_that_no_hook_wants_to_know_of(
    house: House, others: tuple[str, ...]
) -> None:
    house.hooks(hook("h", implementation="g.f"), *others)
    house.actions.ends["g.f"] = [ActionFailed("no route")]
    dispatcher = house.start()

    dispatcher.act(delivery())
    house.work(dispatcher)

    assert house.entry.state == "failed"
    assert "hook_failed" not in [call.notification.event_type for call in house.actions.calls]


def test_what_follows_from_a_failure_runs_after_the_event_and_outlives_the_process(
    house: House,
) -> None:
    house.hooks(hook("h"), hook("next"), ALARM)
    house.actions.ends["h.f"] = [ActionFailed("no route")]

    house.start().act(delivery())
    assert house.actions.called == ["h.f", "next.f"]
    assert house.entries[1].state == "pending"
    house.work(house.recalled())

    assert house.actions.called == ["h.f", "next.f", "alarm.f"]


def test_what_tells_of_a_failure_has_the_token_but_not_in_what_is_stored(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.hooks(hook("h"), hook("alarm", event_type="hook_failed", retries=1))
    house.actions.ends = {
        "h.f": [ActionFailed(f"401 for {TOKEN}")],
        "alarm.f": [ActionFailed("no route")],
    }
    dispatcher = house.start()
    dispatcher.act(delivery())
    dispatcher.work()

    assert TOKEN not in house.entries[1].body
    house.work(dispatcher, until=2000)

    assert [call.hook_context["rest_token"] for call in house.actions.calls] == [TOKEN] * 3
    assert [entry.rest_token for entry in house.entries] == [None, None]
    caplog.clear()  # log.py masks it when it writes the line


def test_no_depth_of_a_context_keeps_a_failure_from_being_recorded(house: House) -> None:
    house.hooks(hook("h"))
    house.actions.ends["h.f"] = [ActionFailed("no route")] * 100
    dispatcher = house.start()

    for depth in range(900, 1000):
        context = f'{{"execution_id": "{depth}", "deep": {"[" * depth}{"]" * depth}}}'
        text = f'{{"event_type": "workflow_failed", "context": {context}}}'
        with suppress(RecursionError):
            dispatcher.act(decode(text, source="supervisord", origin="o"))

    assert {entry.state for entry in house.entries} == {"failed", "unreadable"}


# The order


def test_an_execution_s_later_notification_waits_for_the_retries_of_its_earlier_one(
    house: House,
) -> None:
    house.hooks(hook("h", retries=1, event_type="workflow_started"), hook("late"))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    dispatcher = house.start()
    dispatcher.act(delivery(event_type="workflow_started"))

    dispatcher.act(delivery())

    assert [entry.state for entry in house.entries] == ["pending", "pending"]
    assert house.actions.called == ["h.f"]
    assert dispatcher.work() == 1.0
    house.now += 1
    assert dispatcher.work() == 0.0
    assert house.actions.called == ["h.f", "h.f"]
    assert dispatcher.work() is None
    assert house.actions.called == ["h.f", "h.f", "late.f"]
    assert [entry.state for entry in house.entries] == ["done", "done"]


@pytest.mark.parametrize("ends", [["one"], [ActionFailed("one")]], ids=["done", "failed"])
@pytest.mark.parametrize("restarts", [False, True])
def test_it_runs_right_after_the_retries_have_ended_either_way(
    house: House, ends: list[str | BaseException], restarts: bool
) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route"), *ends]
    dispatcher = house.start()
    for name in ("one", "two", "three"):
        dispatcher.act(delivery(message={"text": name}))
    if restarts:
        dispatcher = house.recalled()
    house.now += 1

    assert [dispatcher.work() for _ in range(3)] == [0.0, 0.0, None]

    texts = [call.notification.text for call in house.actions.calls]
    assert texts == ["one", "one", "two", "three"]


@pytest.mark.parametrize("restarts", [False, True])
def test_it_waits_no_longer_than_it_has_to(house: House, restarts: bool) -> None:
    house.hooks(hook("h", retries=20))
    house.actions.ends["h.f"] = [ActionFailed("no route")] * 10
    dispatcher = house.start(wait_s=100.0)
    dispatcher.act(delivery(message={"text": "one"}))
    house.now += 0.5
    dispatcher.act(delivery(message={"text": "two"}))
    if restarts:
        dispatcher = house.recalled(wait_s=100.0)

    house.work(dispatcher, until=1100.4)
    assert {call.notification.text for call in house.actions.calls} == {"one"}
    assert len(house.actions.calls) == 7  # at 0, 1, 3, 7, 15, 31 and 63 s
    assert dispatcher.work() == pytest.approx(0.1)
    house.now = 1100.5
    dispatcher.work()

    assert house.actions.calls[-1].notification.text == "two"


def test_with_nothing_to_wait_for_it_runs_at_once(house: House) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    dispatcher = house.start(wait_s=0.0)
    dispatcher.act(delivery())

    dispatcher.act(delivery())

    assert len(house.actions.calls) == 2
    assert [entry.state for entry in house.entries] == ["pending", "done"]


@pytest.mark.parametrize("other", ["x2", None])
def test_other_executions_and_what_has_none_run_at_once(house: House, other: str | None) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route")] * 2
    dispatcher = house.start()
    for name in ("x1", None):
        dispatcher.act(delivery(name))

    dispatcher.act(delivery(other))

    assert house.actions.calls[-1].notification.context.get("execution_id") == other
    assert house.entries[-1].state == "done"


def test_what_tells_of_a_failure_waits_for_no_retries_and_holds_up_nothing(house: House) -> None:
    house.hooks(hook("a"), hook("h", retries=3), hook("alarm", event_type="hook_failed", retries=3))
    no = ActionFailed("no route")
    house.actions.ends = {"a.f": [no], "h.f": [no], "alarm.f": [no] * 2}
    dispatcher = house.start()
    dispatcher.act(delivery())

    dispatcher.work()
    assert house.actions.called == ["a.f", "h.f", "alarm.f"]
    house.now += 1
    dispatcher.work()
    assert [entry.state for entry in house.entries] == ["failed", "pending"]
    house.actions.calls.clear()
    dispatcher.act(delivery())

    assert house.actions.called == ["a.f", "h.f"]


def test_what_was_taken_in_runs_in_order_and_before_what_is_delivered(house: House) -> None:
    house.hooks(hook("h"))
    dispatcher = house.start()
    dispatcher.accept_all([delivery("a"), delivery("b"), delivery("a"), delivery("c")])
    assert house.actions.calls == []

    dispatcher.act(delivery("d"))

    assert house.actions.served == ["a", "b", "a", "c", "d"]
    assert [entry.state for entry in house.entries] == ["done"] * 5
    assert dispatcher.work() is None


def test_what_was_taken_in_runs_one_by_one_while_nothing_comes(house: House) -> None:
    house.hooks(hook("h"))
    dispatcher = house.start()
    dispatcher.accept_all([delivery("a"), delivery("b"), delivery("c")])

    assert [dispatcher.work() for _ in range(4)] == [0.0, 0.0, None, None]

    assert house.actions.served == ["a", "b", "c"]


def test_what_was_taken_in_before_the_end_runs_in_the_next_process_in_order(house: House) -> None:
    house.hooks(hook("h"))
    house.start().accept_all([delivery("a"), delivery("b"), delivery("c")])

    dispatcher = house.recalled()
    dispatcher.accept_all([delivery("d")])
    dispatcher.act(delivery("e"))

    assert house.actions.served == ["a", "b", "c", "d", "e"]


def test_taking_in_recognises_what_is_known_and_what_comes_twice(house: House) -> None:
    house.hooks(hook("h"))
    dispatcher = house.start()
    dispatcher.act(delivery("a", serial=1))

    known = [delivery("a", serial=1), delivery("b", serial=2), delivery("b", serial=2)]
    dispatcher.accept_all([*known, decode("no json", source="recorder", origin="o"), delivery("c")])
    dispatcher.accept_all([])
    house.work(dispatcher)

    assert house.actions.served == ["a", "b", "c"]
    assert [entry.state for entry in house.entries] == ["done", "done", "unreadable", "done"]


def test_what_is_delivered_after_it_was_taken_in_runs_once_and_before_what_came_later(
    house: House,
) -> None:
    house.hooks(hook("h"))
    dispatcher = house.start()
    dispatcher.accept_all([delivery("a", serial=1), delivery("b", serial=2)])

    dispatcher.act(delivery("b", serial=2))
    assert house.actions.served == ["a", "b"]
    assert dispatcher.act(delivery("a", serial=1)) is None

    assert house.actions.served == ["a", "b"]
    assert dispatcher.work() is None


def test_a_retry_that_is_due_comes_after_what_was_never_tried(house: House) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    dispatcher = house.start()
    dispatcher.act(delivery("a"))
    house.now += 5
    dispatcher.accept_all([delivery("b"), delivery("c")])

    house.work(dispatcher)

    assert house.actions.served == ["a", "b", "c", "a"]


def test_work_does_one_thing_and_tells_when_there_is_more(house: House) -> None:
    house.hooks(hook("h", retries=2))
    house.actions.ends["h.f"] = [ActionFailed("no route")] * 3
    dispatcher = house.start()
    assert dispatcher.work() is None
    for name, jitter in (("a", 1.0), ("b", 0.25), ("c", 0.5)):
        house.jitter = jitter
        dispatcher.act(delivery(name))

    assert dispatcher.work() == 0.25
    house.now += 0.75
    assert dispatcher.work() == 0.0
    assert dispatcher.work() == 0.25
    house.now += 100
    assert dispatcher.work() is None

    assert house.actions.served == ["a", "b", "c", "b", "c", "a"]


def test_a_retry_does_not_wait_until_a_clock_that_was_set_back_is_right_again(house: House) -> None:
    house.hooks(hook("h", retries=2))
    house.actions.ends["h.f"] = [ActionFailed("no route"), ActionFailed("none", retry_after_s=5000.0)]
    house.now = 10_000.0
    dispatcher = house.start()
    dispatcher.act(delivery("a"))
    dispatcher.act(delivery("b"))
    assert dispatcher.work() == 1.0

    house.now -= 3600
    assert dispatcher.work() == 0.0
    assert house.actions.served == ["a", "b", "a"]
    dispatcher.act(delivery("a"))
    house.work(dispatcher)

    assert house.actions.served == ["a", "b", "a", "a", "b"]
    assert [entry.state for entry in house.entries] == ["done"] * 3


def test_a_listener_that_starts_when_the_clock_was_set_back_goes_on_at_once(house: House) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    house.now = 10_000.0
    house.start().act(delivery("a"))
    house.now -= 3600

    house.work(house.recalled())

    assert house.actions.served == ["a", "a"]
    assert house.entry.state == "done"


# Other processes


def emit(house: House, execution_id: str = "x1", **more: Any) -> None:
    """Put a notification into the journal as `emit --durable` does: pending, and not planned."""
    given = delivery(execution_id, source="emit", **more)
    house.look.accept(as_entry(given, house.now, None, given.key))


def test_what_another_process_has_put_there_is_planned_and_runs_once(house: House) -> None:
    house.hooks(hook("h"), hook("k"))
    dispatcher = house.recalled()
    emit(house, id="n1")

    dispatcher.recall()
    house.work(dispatcher)
    dispatcher.act(delivery(id="n1"))
    dispatcher.recall()
    house.work(dispatcher)

    assert house.actions.called == ["h.f", "k.f"]
    assert states(house.entry) == ["done", "done"]
    assert house.actions.calls[0].hook_context["rest_token"] == TOKEN
    assert house.entry.rest_token is None


def test_what_is_delivered_before_it_was_recalled_runs_once_and_at_once(house: House) -> None:
    house.hooks(hook("h"))
    dispatcher = house.recalled()
    emit(house, id="n1")

    dispatcher.act(delivery(id="n1", serial=4))
    assert house.actions.called == ["h.f"]
    dispatcher.recall()
    house.work(dispatcher)

    assert house.actions.called == ["h.f"]
    assert house.entry.state == "done"


def test_what_was_put_there_while_no_listener_ran_comes_before_what_is_delivered(
    house: House,
) -> None:
    house.hooks(hook("h"))
    for name in ("a", "b"):
        emit(house, name, id=name)

    house.recalled().act(delivery("c"))

    assert house.actions.served == ["a", "b", "c"]


@pytest.mark.parametrize("delivered", [False, True])
def test_what_another_process_has_put_there_waits_for_retries_like_any_other(
    house: House, delivered: bool
) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    dispatcher = house.recalled()
    dispatcher.act(delivery("a"))
    emit(house, "a", id="n1")

    if delivered:
        dispatcher.act(delivery("a", id="n1"))
        dispatcher.act(delivery("a", id="n1"))
    dispatcher.recall()
    assert dispatcher.work() == 1.0
    house.now += 1
    dispatcher.work()
    dispatcher.work()

    assert len(house.actions.calls) == 3
    assert [entry.state for entry in house.entries] == ["done", "done"]


def test_what_another_process_has_put_there_for_no_hook_is_ignored(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.hooks(hook("h"))
    emit(house, event_type="workflow_queued")

    house.work(house.recalled())

    assert (house.entry.state, house.entry.rest_token) == ("ignored", None)
    assert "didn't find a compatible hook" in "".join(lines(caplog, "INFO"))


def test_an_entry_that_cannot_be_read_holds_up_no_other(house: House) -> None:
    house.hooks(hook("h"))
    for name in ("a", "b"):
        emit(house, name)
    house.execute("UPDATE entries SET body = '{\"event_ty' WHERE id = 1")
    dispatcher = house.recalled()

    house.work(dispatcher)

    assert house.actions.served == ["b"]
    assert [entry.state for entry in house.entries] == ["unreadable", "done"]


@pytest.mark.parametrize("restarts", [False, True])
def test_what_another_process_has_dropped_is_tried_no_more_and_holds_nothing_up(
    house: House, restarts: bool
) -> None:
    house.hooks(hook("h", retries=9))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    dispatcher = house.start()
    dispatcher.act(delivery(message={"text": "one"}))
    dispatcher.act(delivery(message={"text": "two"}))
    house.look.drop(1)

    house.work(house.recalled() if restarts else dispatcher, until=1001)

    assert [call.notification.text for call in house.actions.calls] == ["one", "two"]
    assert [entry.state for entry in house.entries] == ["dropped", "done"]


def test_what_runs_cannot_be_dropped_but_what_waits_for_its_retry_can(house: House) -> None:
    house.hooks(hook("h", retries=9), hook("next"))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    dropped = []
    house.actions.look = lambda call: dropped.append(house.look.drop(1))
    dispatcher = house.start()

    dispatcher.act(delivery())
    assert dropped == [False, False]
    assert house.look.drop(1)
    house.work(dispatcher, until=2000)

    assert house.entry.state == "dropped"
    assert house.actions.called == ["h.f", "next.f"]


def test_what_is_dropped_in_the_moment_before_its_retry_is_not_run(house: House) -> None:
    class Racing(Journal):
        def get(self, entry_id: int) -> Entry | None:
            entry = super().get(entry_id)
            assert house.look.drop(entry_id)
            return entry

    house.hooks(hook("h", retries=9))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    dispatcher = house.start(house.opened(Racing(str(house.folder))))
    dispatcher.act(delivery())

    house.work(dispatcher, until=2000)

    assert house.entry.state == "dropped"
    assert house.actions.called == ["h.f"]


def test_what_another_process_has_opened_again_is_run_again(house: House) -> None:
    house.hooks(hook("h"), hook("k"))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    dispatcher = house.recalled()
    dispatcher.act(delivery())
    run, other = house.runs
    assert house.look.reopen(house.entry, (Run("h", "h.f", attempts=run.attempts), other))
    dispatcher.recall()
    house.work(dispatcher)

    assert house.actions.called == ["h.f", "k.f", "h.f"]
    assert states(house.entry) == ["done", "done"]
    assert [attempt.state for attempt in house.runs[0].attempts] == ["failed", "done"]


# Without a journal


def test_without_a_journal_hooks_run_and_nothing_is_tried_again(house: House) -> None:
    house.hooks(hook("a"), hook("h", retries=3), hook("c"))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    without = SettlingWithout(HooksFile(house.path, {}), house.actions)

    for _ in range(2):
        entry = without.act(delivery(id="n1", serial=1))
        assert entry is not None
        assert (entry.id, entry.state) == (0, "failed" if len(house.actions.calls) == 3 else "done")
    unreadable = without.act(decode("no json", source="s", origin="o"))

    assert unreadable is not None
    assert unreadable.state == "unreadable"
    assert without.work() is None
    assert without.finish() is None
    assert house.actions.called == ["a.f", "h.f", "c.f"] * 2
    assert list(house.folder.iterdir()) == []


# A journal that cannot be written


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A locked journal is told of at once."""
    monkeypatch.setattr(journal_file, "_LOCKED_S", 0.0)


@pytest.fixture
def locker(house: House, impatient: None) -> Iterator[sqlite3.Connection]:
    """Another process's connection: BEGIN IMMEDIATE on it keeps the journal from being written."""
    house.look.open()
    connection = sqlite3.connect(house.folder / "journal.db", isolation_level=None)
    yield connection
    connection.close()


def test_an_event_is_held_until_the_journal_can_be_written(
    house: House, locker: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    house.hooks(hook("h"))
    dispatcher = house.recalled()
    locker.execute("BEGIN IMMEDIATE")

    def unlock_at_last(number: int) -> bool:
        assert house.actions.calls == []
        if number == 10:
            locker.execute("ROLLBACK")
        return False

    house.on_pause = unlock_at_last

    entry = dispatcher.act(delivery())

    assert entry is not None
    assert entry.state == "done"
    assert house.pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10])
    [error] = lines(caplog, "ERROR")
    assert error.startswith("nothing goes on until this is mended: the journal ")
    assert "database is locked; another process keeps it locked" in error
    assert lines(caplog, "WARNING") == ["it works again, and goes on"]
    assert house.actions.called == ["h.f"]
    assert house.entry.state == "done"


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
    assert states(house.entry) == ["done", "done", "done"]
    assert house.pauses == pytest.approx([0.1, 0.2, 0.4] * 3)


def test_another_trouble_is_told_of_too(house: House, caplog: pytest.LogCaptureFixture) -> None:
    class Troubled(Journal):
        troubles = ("disk full", "disk full", "read only", "read only")
        calls = -1

        def accept(self, entry: Entry) -> int | None:
            self.calls += 1
            if self.calls < len(self.troubles):
                raise StateError(self.troubles[self.calls])
            return super().accept(entry)

    house.hooks(hook("h"))
    house.on_pause = lambda number: False

    house.start(house.opened(Troubled(str(house.folder)))).act(delivery())

    assert lines(caplog, "ERROR") == [
        "nothing goes on until this is mended: disk full",
        "nothing goes on until this is mended: read only",
    ]
    assert house.entry.state == "done"


def test_who_is_asked_to_stop_while_an_event_is_held_leaves_without_a_trace_of_it(
    house: House, locker: sqlite3.Connection
) -> None:
    house.hooks(hook("h"))
    dispatcher = house.recalled()
    locker.execute("BEGIN IMMEDIATE")
    house.on_pause = lambda number: number == 3

    with pytest.raises(Unanswered, match="stopping before the journal could be written"):
        dispatcher.act(delivery(serial=1))

    assert len(house.pauses) == 3
    assert house.actions.calls == []
    assert house.entries == []
    locker.execute("ROLLBACK")
    assert house.recalled().act(delivery(serial=1)) is not None
    assert house.actions.called == ["h.f"]


@pytest.mark.parametrize(("repeatable", "state"), [(True, "done"), (False, "interrupted")])
def test_who_is_asked_to_stop_with_an_end_to_write_has_it_as_begun(
    house: House, locker: sqlite3.Connection, repeatable: bool, state: str
) -> None:
    house.hooks(hook("h", repeatable=repeatable), hook("next"))
    dispatcher = house.recalled()
    house.actions.look = lambda call: locker.execute("BEGIN IMMEDIATE")
    house.on_pause = lambda number: True

    with pytest.raises(Unanswered):
        dispatcher.act(delivery(serial=1))

    assert states(house.entry) == ["running", "pending"]
    locker.execute("ROLLBACK")
    house.actions.look = lambda call: None
    dispatcher = house.recalled()
    dispatcher.act(delivery(serial=1))
    house.work(dispatcher)
    assert states(house.entry) == [state, "done"]


class Failing(Journal):
    """A journal of which each method fails at its first call, before or after its work."""

    def __init__(self, folder: str, methods: Sequence[str], *, late: bool = False) -> None:
        super().__init__(folder)
        for name in methods:
            setattr(self, name, self._failing(getattr(self, name), late))

    def _failing(self, method: Callable[..., Any], late: bool) -> Callable[..., Any]:
        failures = [StateError("the disk")]

        def fail(*args: Any, **options: Any) -> Any:
            if late and failures:
                method(*args, **options)
            if failures:
                raise failures.pop()
            return method(*args, **options)

        return fail


@pytest.mark.parametrize(
    "method",
    ["find", "get", "is_changed", "unsettled", "mend", "has_other"],
)
def test_whatever_of_the_journal_cannot_be_read_for_a_moment_nothing_is_lost(
    house: House, method: str
) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    emit(house, "a")
    house.on_pause = lambda number: False
    journal = house.opened(Failing(str(house.folder), [method]))
    dispatcher = house.start(journal)

    dispatcher.recall()
    dispatcher.act(delivery("b", id="n1"))
    dispatcher.act(delivery("b", id="n1"))
    house.work(dispatcher, until=2000)

    assert sorted(house.actions.served) == ["a", "a", "b"]
    assert [entry.state for entry in house.entries] == ["done", "done"]


def test_what_was_taken_in_runs_although_something_could_not_be_read_for_a_moment(
    house: House,
) -> None:
    house.hooks(hook("h"))
    house.on_pause = lambda number: False
    dispatcher = house.start(house.opened(Failing(str(house.folder), ["has_other"])))

    dispatcher.accept_all([delivery(name, id=name) for name in "abc"])
    house.work(dispatcher)

    assert house.actions.served == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("method", "serial"),
    [
        ("accept", 1),
        ("accept", None),
        ("accept_all", 1),
        ("accept_all", None),
        ("save", 1),
    ],
)
def test_an_error_from_a_commit_that_was_made_all_the_same_changes_nothing(
    house: House, method: str, serial: int | None
) -> None:
    """As from a disk that fails to sync, with `durability: power`."""
    house.hooks(hook("h"), ALARM)
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    house.on_pause = lambda number: False
    journal = Failing(str(house.folder), [method], late=True)
    dispatcher = house.start(house.opened(journal))

    if method == "accept_all":
        dispatcher.accept_all([delivery("a", serial=serial)])
    else:
        dispatcher.act(delivery("a", serial=serial))
    house.work(dispatcher)
    house.work(house.recalled())

    assert house.actions.called == ["h.f", "alarm.f"]
    assert [entry.state for entry in house.entries] == ["failed", "done"]


def test_an_id_that_no_utf_8_can_hold_is_an_id_like_any_other(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.hooks(hook("h"))
    dispatcher = house.start()

    for name in ("a", "a", "b"):
        dispatcher.act(delivery(name, id="half \ud83d"))

    assert house.actions.served == ["a", "b"]
    assert len(lines(caplog, "WARNING")) == 1


@pytest.mark.parametrize("field", ["event_type", "execution_id", "rest_token", "name", "text"])
def test_half_a_surrogate_pair_anywhere_costs_no_retry(house: House, field: str) -> None:
    half = "half \ud83d"
    house.hooks(hook("h", event_type=["workflow_failed", "*"], retries=1))
    house.actions.ends["h.f"] = [ActionFailed(half)]
    value = json.loads(delivery().body)
    value["context"] |= {name: half for name in (field,) if name in ("execution_id", "rest_token")}
    value["message"] = {"text": half if field == "text" else "t"}
    if field == "event_type":
        value["event_type"] = half
    dispatcher = house.start()

    dispatcher.act(decode(json.dumps(value), source="supervisord", origin="o"))
    house.work(dispatcher, until=2000)

    assert len(house.actions.calls) == 2
    assert house.entry.state == "done"


# A journal that is removed while it is in use


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("replaced", [False, True])
def test_what_was_pending_in_a_journal_that_was_removed_is_gone_on_with(
    house: House, caplog: pytest.LogCaptureFixture, restarts: bool, replaced: bool
) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route")] * 2
    dispatcher = house.recalled()
    for name in ("a", "b"):
        dispatcher.act(delivery(name, id=name))
    dispatcher.recall()
    house.look.file.close()
    for file in house.folder.iterdir():
        file.unlink()
    if replaced:  # as `emit --durable` does it
        emit(house, "c", id="c")

    dispatcher.recall()
    assert lines(caplog, "ERROR")[-1] == (
        f"{house.folder / FILE} was removed while it was in use; it has been written again"
    )
    if restarts:
        dispatcher = house.recalled()
    for name in ("a", "b", "c"):
        dispatcher.act(delivery(name, id=name))
    house.work(dispatcher, until=2000)

    assert sorted(house.actions.served) == ["a", "a", "b", "b", "c"]
    assert [entry.state for entry in house.entries] == ["done"] * 3


@pytest.mark.parametrize("times", [2, 3, 4])
def test_a_journal_may_be_removed_again_and_again(house: House, times: int) -> None:
    house.hooks(hook("h", retries=9))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    dispatcher = house.recalled()
    dispatcher.act(delivery())

    for _ in range(times):
        house.look.file.close()
        for file in house.folder.iterdir():
            file.unlink()
        dispatcher.recall()
    house.work(dispatcher, until=2000)

    assert len(house.actions.calls) == 2
    assert house.entry.state == "done"


def test_what_was_pending_outlives_that_its_directory_was_away_for_a_moment(house: House) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    dispatcher = house.start()
    dispatcher.act(delivery(serial=1))
    house.look.file.close()
    shutil.rmtree(house.folder)

    def make_again(number: int) -> bool:
        if number == 3:
            house.folder.mkdir()
        return False

    house.on_pause = make_again

    dispatcher.recall()
    house.work(dispatcher, until=2000)

    assert len(house.actions.calls) == 2
    assert house.entry.state == "done"
