"""Events of supervisord in this process: a real journal and dispatcher, the actions are doubles."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from listener.without_journal import WithoutJournal

from listener import log
from listener.dispatch.dispatcher import Dispatcher
from listener.errors import ActionFailed, HooksError, StateError, Unanswered
from listener.hooks.table import ListenerSettings
from listener.hooks.watch import HooksFile
from listener.inbox import whole_file
from listener.inbox.folder import FOLDER, RECORDED_IN, events_name
from listener.inbox.record import encode
from listener.inbox.runs import run_of
from listener.model.entry import Entry, Run
from listener.state.journal import Journal
from listener.supervisord.events import Events
from listener.supervisord.frames import Frame
from tests.dispatch.test_dispatch_journal import House, Killed, Mortal, MortalJournal, hook, lines

STDOUT = "PROCESS_COMMUNICATION_STDOUT"
DEFECT = "a defect of conductor-hooks; please report it"


RUN = run_of(os.getppid())


class Supervised(House):
    """A house whose dispatcher gets supervisord's events; `restart` begins another listener's life."""

    def __init__(self, tmp_path: Path) -> None:
        super().__init__(tmp_path)
        self.hooks(hook("h"))
        self.now = time.time()
        self.settings = ListenerSettings()
        self.events = self.restart()

    def restart(self, journal: Journal | None = None, *, run: str | None = RUN) -> Events:
        journal = journal or self.opened(Journal(str(self.folder)))
        self.dispatcher = self.start(journal)
        self.events = Events(self.dispatcher, self.actions, journal, self.settings, run=run)
        self.events.begin()
        return self.events

    def restart_without_journal(self) -> Events:
        without = WithoutJournal(HooksFile(self.path, {}), self.actions)
        self.events = Events(without, self.actions, None, self.settings, run=RUN)
        self.events.begin()
        return self.events

    def handle(
        self, serial: int, poolserial: int | None = None, eventname: str = STDOUT, **more: Any
    ) -> None:
        payload = "when:1" if eventname.startswith("TICK") else notification(f"x{serial}", **more)
        poolserial = serial if poolserial is None else poolserial
        self.events.handle(Frame(eventname, serial, poolserial, payload))
        self.events.settle()

    def finish(self) -> None:
        """Let the listener work until there is nothing more to do."""
        for _ in range(1000):
            wait_s = self.events.between()
            if wait_s is None:
                return
            self.now += wait_s
        pytest.fail("there is no end of work")

    def states(self) -> list[str]:
        return [entry.state for entry in self.entries]


class Unwritable(Journal):
    """A journal of which the methods in `broken` fail, after so many calls of them that do not."""

    METHODS = ("accept", "accept_all", "save", "note", "prune", "is_changed", "mend", "has_other")

    def __init__(self, folder: Path, *broken: str, spared: int = 0) -> None:
        super().__init__(str(folder))
        self.broken = set(broken)
        self._spared = spared
        for name in self.METHODS:
            setattr(self, name, self._breakable(name, getattr(self, name)))

    def _breakable(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self._spared -= name in self.broken
            if name in self.broken and self._spared < 0:
                raise StateError("the disk is full")
            return method(*args, **options)

        return call


@pytest.fixture
def house(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Supervised]:
    caplog.set_level(logging.DEBUG)
    house = Supervised(tmp_path)
    yield house
    house.close()


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


# Kinds of events


def test_a_defect_after_an_event_is_told_of_and_the_next_event_is_acted_on(
    house: Supervised, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Run, "ended", lambda *_: 1 / 0)
        house.handle(1)
    assert f"after an event: {DEFECT}" in lines(caplog, "ERROR")[0]

    house.handle(2)
    assert house.actions.served == ["x1", "x2"]
    assert house.states() == ["running", "done"]


def test_who_is_asked_to_stop_after_an_answer_that_is_not_stored_leaves(house: Supervised) -> None:
    house.restart(house.opened(Unwritable(house.folder, "save")))
    house.on_pause = lambda number: True
    with pytest.raises(Unanswered):
        house.handle(1)
    assert house.states() == ["running"]


@pytest.mark.parametrize("eventname", [STDOUT, "PROCESS_COMMUNICATION_STDERR"])
def test_a_notification_is_run_and_its_entry_tells_where_it_came_from(
    house: Supervised, caplog: pytest.LogCaptureFixture, eventname: str
) -> None:
    house.handle(7, 3, eventname)

    assert house.actions.served == ["x7"]
    entry = house.entry
    assert (entry.state, entry.source) == ("done", "supervisord")
    run, serial, poolserial = str(entry.serials).split("/")
    assert (serial, poolserial) == ("7", "3")
    assert str(entry.key).startswith(f"{run}/7 ")
    assert "serial 7 from workflows, entry 1" in caplog.text


def test_an_event_that_comes_again_runs_once(
    house: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    house.handle(7)
    house.handle(7)
    house.restart()
    house.handle(7)

    assert house.actions.served == ["x7"]
    said = "serial 7 from workflows: accepted already, as entry 1, which is done"
    assert lines(caplog, "INFO").count(said) == 2


def test_without_supervisord_equal_numbers_mean_nothing(house: Supervised) -> None:
    house.restart(run=None)

    for serial in (7, 7, 70):
        house.handle(serial)

    assert house.actions.served == ["x7", "x7", "x70"]
    assert [entry.serials for entry in house.entries] == [None] * 3
    assert len({entry.key for entry in house.entries}) == 3


@pytest.mark.parametrize(
    "payload",
    ["", "no line of supervisord's", "processname:p pid:1\n{", "\udce9", "processname:p\n\udce9"],
)
def test_what_is_no_notification_is_kept_raw(house: Supervised, payload: str) -> None:
    for _ in range(2):
        house.events.handle(Frame(STDOUT, 7, 7, payload))

    assert house.actions.calls == []
    assert house.states() == ["unreadable"]
    assert house.entry.body == payload.rpartition("\n")[2].replace("\udce9", "\\udce9")
    assert house.entry.error


def test_other_events_are_answered_and_named_once(
    house: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    for serial, name in enumerate(["PROCESS_STATE_RUNNING", "PROCESS_LOG_STDOUT"] * 2):
        house.handle(serial, eventname=name)

    assert [line.split(" events are ignored; ")[0] for line in lines(caplog, "WARNING")] == [
        "PROCESS_STATE_RUNNING",
        "PROCESS_LOG_STDOUT",
    ]
    assert house.entries == []


# What supervisord has discarded


def test_a_gap_is_told_of_and_can_be_seen_in_the_history(
    house: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    house.handle(7, 0)

    house.handle(20, 4)
    assert lines(caplog, "ERROR") == []
    house.handle(21, 5, "TICK_5")
    house.handle(22, 6, "TICK_5")

    [error] = lines(caplog, "ERROR")
    assert error.startswith("supervisord discarded 3 events before serial 20, because more")
    assert "raise buffer_size in the [eventlistener:" in error
    assert house.states() == ["done", "done", "dropped"]
    dropped = house.entries[2]
    assert (dropped.error, dropped.source, dropped.body) == (error, "supervisord", "")
    assert dropped.received_at == pytest.approx(time.time(), abs=60)
    assert house.actions.served == ["x7", "x20"]


@pytest.mark.parametrize("eventname", [STDOUT, "TICK_5", "PROCESS_STATE_RUNNING"])
def test_any_event_shows_a_gap(
    house: Supervised, caplog: pytest.LogCaptureFixture, eventname: str
) -> None:
    house.handle(7)

    house.handle(9, eventname=eventname)
    house.handle(10, eventname="TICK_5")

    assert "supervisord discarded 1 events before serial 9" in caplog.text


def test_all_gaps_since_the_last_tick_are_told_of_in_one_line(
    house: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    for serial in (7, 9, 12):
        house.handle(serial)
    house.handle(14, eventname="TICK_5")
    house.handle(16, eventname="TICK_5")

    told = [line.split(", ")[0] for line in lines(caplog, "ERROR")]
    assert told == [
        "supervisord discarded 4 events before serial 14",
        "supervisord discarded 1 events before serial 16",
    ]


def test_so_many_gaps_do_not_wait_for_a_tick(
    house: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    house.hooks()
    for serial in range(0, 2400, 2):
        house.handle(serial)

    [error] = lines(caplog, "ERROR")
    assert error.startswith("supervisord discarded 1000 events before serial 2000, ")


def test_what_a_neighbours_refusal_put_first_makes_no_gap(
    house: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    house.handle(7)
    for serial in (10, 9, 8, 9, 10, 11):
        house.handle(serial)
    house.handle(12, eventname="TICK_5")

    assert lines(caplog, "ERROR") == []
    assert house.actions.served == ["x7", "x10", "x9", "x8", "x11"]


def test_what_comes_late_after_a_restart_is_no_loss_and_what_does_not_come_is(
    house: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    house.handle(7)
    house.handle(12)
    house.handle(10)
    house.restart()
    house.handle(9)
    house.restart()
    house.handle(12)

    house.handle(13, eventname="TICK_5")

    [error] = lines(caplog, "ERROR")
    assert error.startswith("supervisord discarded 2 events before serial 12, ")
    house.restart()
    house.handle(14, eventname="TICK_5")
    assert lines(caplog, "ERROR") == [error]


def test_a_gap_that_an_earlier_supervisord_left_is_told_of(
    house: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    house.handle(7)
    house.handle(10)
    house.restart(run="4712.2")

    house.handle(0, eventname="TICK_5")

    [error] = lines(caplog, "ERROR")
    assert error.startswith("supervisord discarded 2 events before serial 10, ")


def test_with_no_gap_nothing_is_told(house: Supervised, caplog: pytest.LogCaptureFixture) -> None:
    for serial, poolserial in ((40, 12), (45, 13), (45, 13), (46, 14), (45, 13), (47, 15)):
        house.handle(serial, poolserial)
    house.handle(48, 16, "TICK_5")
    house.handle(49, 17)

    assert lines(caplog, "ERROR") == []


def test_a_gap_at_a_restart_is_seen(house: Supervised, caplog: pytest.LogCaptureFixture) -> None:
    house.handle(7)
    house.restart()

    house.handle(10)
    house.handle(11, eventname="TICK_5")

    assert "supervisord discarded 2 events before serial 10" in caplog.text


@pytest.mark.parametrize("restarts", [1, 3])
def test_events_without_an_entry_of_their_own_make_no_gap_at_a_restart(
    house: Supervised, caplog: pytest.LogCaptureFixture, restarts: int
) -> None:
    house.handle(7, id="n1")
    house.handle(8, eventname="TICK_5")
    house.handle(9, eventname="TICK_5")
    for _ in range(restarts):
        house.restart()
    house.handle(10, 10, id="n2")
    house.handle(11, 11, eventname="TICK_5")
    payload = notification("x10", id="n2")
    house.events.handle(Frame(STDOUT, 12, 12, payload))  # known by its id
    house.restart()

    house.handle(13)
    house.handle(14, eventname="TICK_5")

    assert house.actions.served == ["x7", "x10", "x13"]
    assert lines(caplog, "ERROR") == []


def test_other_events_make_no_gap_at_a_restart(
    house: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    house.handle(7)
    house.handle(8, eventname="PROCESS_STATE_RUNNING")
    house.restart()

    house.handle(9)
    house.handle(10, eventname="TICK_5")

    assert lines(caplog, "ERROR") == []


def test_an_event_that_could_not_be_accepted_is_no_gap_when_it_comes_again(
    house: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    house.handle(7)
    house.on_pause = lambda number: True
    house.restart(house.opened(Unwritable(house.folder, "accept")))
    with pytest.raises(Unanswered):
        house.handle(8)
    caplog.clear()
    house.restart()

    house.handle(8)
    house.handle(9, eventname="TICK_5")

    assert lines(caplog, "ERROR") == []
    assert house.actions.served == ["x7", "x8"]


def test_a_gap_before_an_event_that_comes_again_is_told_of_once(
    house: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    house.handle(7)
    house.on_pause = lambda number: True
    journal = house.opened(Unwritable(house.folder, "accept"))
    house.restart(journal)
    with pytest.raises(Unanswered):
        house.handle(10)
    house.restart()

    house.handle(10)
    house.handle(11, eventname="TICK_5")

    assert house.states() == ["done", "done", "dropped"]
    [error] = [line for line in lines(caplog, "ERROR") if "discarded" in line]
    assert error.startswith("supervisord discarded 2 events before serial 10, ")


def test_what_came_before_the_first_start_is_not_missed(
    house: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    house.handle(50)
    house.handle(51, eventname="TICK_5")

    assert lines(caplog, "ERROR") == []


def test_a_new_supervisord_counts_from_0(house: Supervised, caplog: pytest.LogCaptureFixture) -> None:
    house.handle(7)
    house.restart(run="4711.1")
    house.handle(12, 0)
    house.handle(13, 1, "TICK_5")
    assert lines(caplog, "ERROR") == []

    house.restart(run="4712.2")
    house.handle(12, 5)
    house.handle(13, 6, "TICK_5")

    assert "supervisord discarded 5 events before serial 12" in caplog.text
    assert house.actions.served == ["x7", "x12", "x12"]


@pytest.mark.parametrize(("first", "missing"), [(0, 0), (1, 1), (4, 4)])
@pytest.mark.parametrize("restarts", [True, False])
def test_a_new_pool_counts_from_0(
    house: Supervised,
    caplog: pytest.LogCaptureFixture,
    restarts: bool,
    first: int,
    missing: int,
) -> None:
    """After SIGHUP, and when the section was removed and added again."""
    house.handle(7, 6)
    if restarts:
        house.restart()

    house.handle(8, first)
    house.handle(9, first + 1, "TICK_5")

    told = [line.split(" before")[0] for line in lines(caplog, "ERROR")]
    assert told == [f"supervisord discarded {missing} events"] * bool(missing)


@pytest.mark.parametrize("lacks", ["supervisord", "a journal"])
def test_without_supervisord_or_a_journal_no_gap_is_looked_for(
    house: Supervised, caplog: pytest.LogCaptureFixture, lacks: str
) -> None:
    if lacks == "supervisord":
        house.restart(run=None)
    else:
        house.restart_without_journal()

    house.handle(1)
    house.handle(90, eventname="TICK_5")

    assert lines(caplog, "ERROR") == []
    assert house.actions.served == ["x1"]


# Every five seconds


def test_a_tick_takes_up_what_another_process_has_put_there(house: Supervised) -> None:
    house.handle(1)
    body = notification("x2", id="n2").partition("\n")[2]
    house.look.accept(Entry(0, house.now, "fire", "pending", body, runs=(Run("h", "h.f"),)))
    house.finish()
    assert house.actions.served == ["x1"]

    house.handle(2, eventname="TICK_5")
    house.finish()
    house.handle(3, eventname="TICK_5")
    house.finish()

    assert house.actions.served == ["x1", "x2"]


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        (ListenerSettings(), 450),
        (ListenerSettings(keep_entries=100), 100),
        (ListenerSettings(keep_entries=1), 1),
        (ListenerSettings(keep_days=1e-9), 1),
    ],
)
def test_ticks_prune_the_history_a_few_at_a_time(
    house: Supervised, settings: ListenerSettings, left: int
) -> None:
    house.hooks()
    house.now -= 60
    house.settings = settings
    house.restart()
    for serial in range(450):
        house.handle(serial)

    house.handle(450, eventname="TICK_5")
    assert len(house.entries) == max(250, left)
    for serial in range(451, 456):
        house.handle(serial, eventname="TICK_5")

    assert len(house.entries) == left


def test_what_is_not_settled_is_never_pruned(house: Supervised) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    house.settings = ListenerSettings(keep_entries=1, keep_days=1e-9)
    house.restart()
    house.now -= 60
    for serial in range(5):
        house.handle(serial)

    for serial in range(5, 8):
        house.handle(serial, eventname="TICK_5")
    assert house.states() == ["pending", "done"]  # the newest stays, too
    house.finish()
    house.handle(8, eventname="TICK_5")

    assert house.actions.served == ["x0", "x1", "x2", "x3", "x4", "x0"]
    assert house.states() == ["done"]


def test_pruning_goes_on_after_what_was_too_young_has_grown_old(house: Supervised) -> None:
    house.settings = ListenerSettings(keep_days=1 / 24)
    house.restart()
    house.now -= 7200
    house.handle(1)
    house.now += 7200
    house.handle(2)
    house.handle(3)
    house.handle(4, eventname="TICK_5")
    assert [entry.execution_id for entry in house.entries] == ["x2", "x3"]

    house.execute("UPDATE entries SET received_at = received_at - 7200")
    house.handle(5, eventname="TICK_5")

    assert [entry.execution_id for entry in house.entries] == ["x3"]


# Between two events


def test_between_two_events_one_thing_is_done_and_the_time_of_the_next_told(
    house: Supervised,
) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route")] * 2
    assert house.events.between() is None
    house.jitter = 0.25
    house.handle(1)
    house.jitter = 1.0
    house.handle(2)

    assert house.events.between() == pytest.approx(0.25)
    house.now += 0.25
    assert house.events.between() == pytest.approx(0.75)
    house.now += 0.75
    assert house.events.between() is None

    assert house.actions.served == ["x1", "x2", "x1", "x2"]


def test_between_two_events_the_log_is_settled_also_after_a_defect(
    house: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled: list[str] = []
    monkeypatch.setattr(log, "settle", lambda: settled.append("log"))
    assert house.events.between() is None
    monkeypatch.setattr(house.dispatcher, "work", defect)
    assert house.events.between() == 1.0
    assert settled == ["log", "log"]


# Defects, and a journal that cannot be written


def defect(*args: object, **options: object) -> Any:
    raise LookupError("of ours")


@pytest.mark.parametrize("method", ["deliver", "recall", "prune", "note"])
def test_a_defect_costs_one_event_and_is_told_of(
    house: Supervised,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Dispatcher, method, defect)
        house.handle(7, eventname=STDOUT if method == "deliver" else "TICK_5")

    assert lines(caplog, "ERROR") == [f"serial 7: {DEFECT}"]
    assert "LookupError: of ours" in caplog.text
    house.handle(8)
    house.handle(9, eventname="TICK_5")
    assert house.actions.served == ["x8"]


def test_a_defect_between_two_events_is_told_of_and_the_next_event_works(
    house: Supervised, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Dispatcher, "work", defect)
        house.events.between()

    assert lines(caplog, "ERROR") == [f"between two events: {DEFECT}"]
    house.handle(8)
    assert house.actions.served == ["x8"]


def test_a_defect_in_one_entry_leaves_the_others_to_be_run_without_an_event(
    house: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route")] * 2
    house.handle(1)
    house.handle(2)
    house.now += 10
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "get", defect)

        wait_s = house.events.between()

    assert wait_s is not None  # or the listener would sleep until supervisord has an event
    house.now += wait_s
    house.finish()
    assert "x2" in house.actions.served[2:]


def test_an_entry_in_which_a_defect_showed_is_not_left_until_a_restart(
    house: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    house.handle(1)
    house.now += 10
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "get", defect)
        house.events.between()

    house.now += 3600
    house.handle(2, eventname="TICK_5")
    house.finish()

    assert house.actions.served == ["x1", "x1"]


@pytest.mark.parametrize("eventname", [STDOUT, "TICK_5"])
def test_an_event_is_held_while_the_journal_cannot_be_written(
    house: Supervised, caplog: pytest.LogCaptureFixture, eventname: str
) -> None:
    journal = Unwritable(house.folder, "accept", "note")
    house.restart(house.opened(journal))

    def mend(number: int) -> bool:
        if number == 4:
            journal.broken.clear()
        return False

    house.on_pause = mend

    house.handle(7, eventname=eventname)

    assert house.pauses == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert lines(caplog, "ERROR") == ["nothing goes on until this is mended: the disk is full"]
    assert house.actions.served == (["x7"] if eventname == STDOUT else [])


@pytest.mark.parametrize(
    ("method", "eventname"),
    [
        ("accept", STDOUT),
        ("save", STDOUT),
        ("note", "TICK_5"),
        ("is_changed", "TICK_5"),
        ("mend", "TICK_5"),
        ("prune", "TICK_5"),
    ],
)
def test_who_is_asked_to_stop_while_it_holds_an_event_leaves_it_unanswered(
    house: Supervised, caplog: pytest.LogCaptureFixture, method: str, eventname: str
) -> None:
    house.on_pause = lambda number: True
    journal = Unwritable(house.folder)
    house.restart(house.opened(journal))
    journal.broken.add(method)

    with pytest.raises(Unanswered):
        house.handle(7, eventname=eventname)

    assert DEFECT not in caplog.text


def test_who_is_asked_to_stop_while_it_works_between_two_events_leaves(house: Supervised) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    house.on_pause = lambda number: True
    house.restart(house.opened(Unwritable(house.folder, "save", spared=1)))
    house.handle(1)
    house.now += 1

    with pytest.raises(Unanswered):
        house.events.between()


def test_a_journal_that_a_newer_version_has_taken_over_costs_no_event(house: Supervised) -> None:
    journal = house.opened(Journal(str(house.folder)))
    house.restart(journal)
    house.look.file.close()
    house.execute("PRAGMA user_version = 99")
    journal.close()  # as after any error

    with pytest.raises(HooksError):  # and so without an answer
        house.handle(7)


def test_without_a_journal_events_are_acted_on(
    house: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    house.restart_without_journal()

    house.handle(1)
    house.handle(1)
    house.handle(2, eventname="TICK_5")
    house.events.handle(Frame(STDOUT, 3, 3, "processname:p\n{"))
    house.events.settle()

    assert house.actions.served == ["x1", "x1"]
    assert house.events.between() is None
    assert len(lines(caplog, "ERROR")) == 1  # the last is no notification


# The inbox


@pytest.fixture
def recorded(house: Supervised, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the recorder writes to; what runs the tests is taken for supervisord."""
    monkeypatch.setenv(RECORDED_IN, str(house.folder))
    house.restart()
    return recorded_in(house)


def recorded_in(house: House) -> Path:
    folder = house.folder / FOLDER
    folder.mkdir()
    return folder / events_name(1, RUN)


def write(recorded: Path, *serials: int, **more: Any) -> None:
    with open(recorded, "ab") as file:
        for serial in serials:
            file.write(encode(serial, notification(f"x{serial}", **more)))


def test_what_was_recorded_runs_before_a_newer_event_and_once(
    house: Supervised, recorded: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(recorded, 1, 2, 3)

    house.handle(3)
    assert house.actions.served == ["x1", "x2", "x3"]
    for serial in (1, 2, 3):
        house.handle(serial)
    house.finish()

    assert house.actions.served == ["x1", "x2", "x3"]
    assert [entry.source for entry in house.entries] == ["recorder"] * 3
    assert lines(caplog, "ERROR") == []


@pytest.mark.parametrize("begins", ["before", "after"])
def test_what_was_recorded_runs_once_where_proc_hides_when_supervisord_began(
    house: Supervised, recorded: Path, caplog: pytest.LogCaptureFixture, begins: str
) -> None:
    pid = RUN.partition(".")[0]
    write(recorded.with_name(events_name(0, f"{pid}.1")), 1, 2)
    write(recorded.with_name(events_name(0, "1.1")), 7)
    if begins == "after":
        write(recorded, 0)
    house.restart(run=f"{pid}.0")
    for serial in (0, 1, 2):
        if begins == "before" or serial > 0:
            write(recorded, serial)
        house.handle(serial)
    house.restart(run=f"{pid}.0")
    house.handle(2)
    house.handle(3)
    house.handle(4, eventname="TICK_5")
    assert house.actions.served == ["x7", "x1", "x2", "x0", "x1", "x2", "x3"]
    assert lines(caplog, "ERROR") == []


def test_what_supervisord_discarded_is_run_when_it_was_recorded(
    house: Supervised, recorded: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(recorded, 1)
    house.handle(1)
    write(recorded, 2, 3, 4)

    house.handle(4)
    house.handle(5, eventname="TICK_5")

    assert house.actions.served == ["x1", "x2", "x3", "x4"]
    assert "supervisord discarded 2 events before serial 4" in caplog.text


def test_what_was_recorded_while_no_listener_ran_is_run_at_its_start(
    house: Supervised, recorded: Path
) -> None:
    write(recorded, 1, 2)

    house.restart()
    house.finish()

    assert house.actions.served == ["x1", "x2"]


def test_a_tick_takes_in_what_was_recorded_and_removes_what_will_not_grow(
    house: Supervised, recorded: Path
) -> None:
    write(recorded, 1)
    house.handle(1, eventname="TICK_5")
    house.finish()
    assert house.actions.served == ["x1"]
    write(recorded.with_name(events_name(2, RUN)), 2)

    house.handle(2, eventname="TICK_5")
    house.handle(3, eventname="TICK_5")
    house.finish()

    assert house.actions.served == ["x1", "x2"]
    assert not recorded.exists()


def test_events_that_were_recorded_first_make_no_gap_at_a_restart(
    house: Supervised, recorded: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for serial in (1, 2):
        write(recorded, serial)
        house.handle(serial)
    house.restart()

    house.handle(3)
    house.handle(4, eventname="TICK_5")

    assert lines(caplog, "ERROR") == []


def test_what_was_recorded_and_pruned_does_not_run_again_at_a_restart(
    house: Supervised, recorded: Path
) -> None:
    house.settings = ListenerSettings(keep_days=1e-9)
    house.restart()
    house.now -= 60
    for serial in (1, 2, 3):
        write(recorded, serial)
        house.handle(serial)
    for serial in (4, 5):
        house.handle(serial, eventname="TICK_5")
    assert len(house.entries) == 1
    assert recorded.exists()  # supervisord goes on writing to it

    house.restart()
    house.finish()

    assert house.actions.served == ["x1", "x2", "x3"]


def test_what_was_recorded_and_comes_through_a_script_runs_once(
    house: Supervised, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that does not exec stands between supervisord and the listener."""
    monkeypatch.setenv("SUPERVISOR_ENABLED", "1")
    house.restart(run=None)
    write(recorded, 1)

    house.handle(1)
    house.handle(2, eventname="TICK_5")
    house.finish()

    assert house.actions.served == ["x1"]


def test_a_recorded_event_that_is_no_notification_is_kept_raw_once(
    house: Supervised, recorded: Path
) -> None:
    payload = "processname:p groupname:g pid:1\n{half"
    recorded.write_bytes(encode(1, payload))

    house.events.handle(Frame(STDOUT, 1, 1, payload))

    assert house.states() == ["unreadable"]


@pytest.mark.parametrize("moment", ["start", "event", "TICK_5"])
@pytest.mark.parametrize("run", [RUN, None], ids=["supervised", "behind a script"])
def test_what_a_program_put_into_the_inbox_is_run_once_and_removed(
    house: Supervised, monkeypatch: pytest.MonkeyPatch, moment: str, run: str | None
) -> None:
    monkeypatch.setenv("SUPERVISOR_ENABLED", "1")
    payload = notification("x1", id="n1")
    if moment != "start":
        house.restart(run=run)
    whole_file.add(str(house.folder), "emit", [payload.partition("\n")[2]])
    if moment == "start":
        house.restart(run=run)
    elif moment == "TICK_5":
        house.handle(1, eventname="TICK_5")
    if moment != "event":
        assert os.listdir(house.folder / FOLDER) == []
        house.finish()
        assert house.actions.served == ["x1"]
    house.events.handle(Frame(STDOUT, 2, 2, payload))
    house.finish()

    assert house.actions.served == ["x1"]
    assert [(entry.source, entry.state) for entry in house.entries] == [("emit", "done")]
    assert os.listdir(house.folder / FOLDER) == []


@pytest.mark.parametrize("method", ["accept_all", "has_other"])
def test_who_has_to_leave_with_recorded_events_in_hand_loses_none(
    house: Supervised, recorded: Path, method: str
) -> None:
    write(recorded, 1, 2, id="n1")
    house.on_pause = lambda number: True
    with pytest.raises(Unanswered):
        house.restart(house.opened(Unwritable(house.folder, method)))
    house.restart()

    house.handle(2, id="n1")
    house.finish()

    assert house.actions.served == ["x1", "x2"]


def test_a_defect_with_recorded_events_in_hand_costs_none_of_them(
    house: Supervised, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(recorded, 1, 2)
    with monkeypatch.context() as patch:
        patch.setattr(Dispatcher, "take_in", defect)
        house.handle(2)

    house.handle(3, eventname="TICK_5")
    house.finish()

    assert house.actions.served == ["x1", "x2"]


def test_wherever_a_process_is_killed_what_was_recorded_and_delivered_runs_once(
    tmp_path: Path,
) -> None:
    died_at = [""]
    while died_at[-1] or len(died_at) == 1:
        folder = tmp_path / str(len(died_at))
        folder.mkdir()
        house, life = Supervised(folder), Mortal(len(died_at) - 1)
        house.hooks(hook("h", repeatable=True))
        recorded = recorded_in(house)
        with suppress(Killed):
            live(house, recorded, house.opened(MortalJournal(str(house.folder), life)))
        died_at.append(life.died_at)
        live(house, recorded, house.opened(Journal(str(house.folder))))
        house.close()
        served = house.actions.served
        assert sorted(set(served)) == ["x1", "x2", "x3", "x4"], life.died_at
        assert len(served) == 4 + (life.died_at == "before save" and len(served) > 4), life.died_at
        assert house.states() == ["done"] * 4, life.died_at
    assert len(died_at) > 20


def live(house: Supervised, recorded: Path, journal: Journal) -> None:
    """A listener's life, from its start until all is done: of four events, two come with the third."""
    if not recorded.exists():
        write(recorded, 1, 2)
    house.restart(journal)
    for serial in (1, 2):
        house.handle(serial)
    if "x4" not in recorded.read_text():
        write(recorded, 3, 4)
    for serial in (3, 4):
        house.handle(serial)
    house.handle(5, eventname="TICK_5")
    house.finish()
