"""Events of supervisord in this process: a real journal and dispatcher, the actions are doubles."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from unittest.mock import ANY

import pytest

from listener import log
from listener.actions.registry import Actions
from listener.dispatch.dispatcher import Dispatcher
from listener.errors import ActionFailed, Unanswered
from listener.hooks.settings import ListenerSettings
from listener.model.entry import Run
from listener.model.outcome import Tally
from listener.state import database
from listener.state.filters import Filters
from listener.state.journal import FILE, Journal
from listener.supervisord.events import Events
from listener.supervisord.frames import Frame
from tests.dispatch.support import hook, lines
from tests.supervisord.supervised import DEFECT, STDOUT, Supervised, defect, notification

# Kinds of events


@pytest.mark.parametrize("eventname", [STDOUT, "PROCESS_COMMUNICATION_STDERR"])
def test_a_notification_is_run_and_its_entry_says_where_it_came_from(
    house: Supervised, caplog: pytest.LogCaptureFixture, eventname: str
) -> None:
    house.handle(7, 3, eventname)
    assert house.actions.served == ["x7"]
    assert (house.entry.state, house.entry.source) == ("done", "supervisord")
    run, serial, poolserial = str(house.entry.serials).split("/")
    assert (serial, poolserial) == ("7", "3")
    assert str(house.entry.key).startswith(f"{run}/7 ")
    assert "serial 7 from workflows, entry 1" in caplog.text


def test_without_a_state_directory_there_is_no_inbox_and_events_are_acted_on(house: Supervised) -> None:
    with closing(Journal(None)) as journal:
        dispatcher = house.start(journal)
        events = Events(dispatcher, house.actions, journal, house.settings, inbox=None, run=None)
        events.begin()
        events.handle(Frame(STDOUT, 1, 1, notification("x1")))
        events.finish()
        assert dispatcher.newest.state == "done"


def test_the_log_says_at_a_signal_which_hook_is_waited_for(
    house: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    house.hooks(hook("a", timeout=10), hook("b", timeout=20))
    house.actions.look = lambda _call: house.events.log_stopping("SIGTERM")
    house.handle(1)
    house.events.log_stopping("SIGTERM")
    assert [line for line in lines(caplog, "INFO") if "SIGTERM" in line] == [
        "SIGTERM: waiting for hook a and 1 after it, at most 34 s",
        "SIGTERM: waiting for hook b, at most 22 s",
    ]


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


def test_without_supervisord_equal_numbers_mean_nothing(
    house: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    house.restart(run=None)
    for serial in (7, 7, 70):
        house.handle(serial)
    house.tick(99)
    assert house.actions.served == ["x7", "x7", "x70"]
    assert [entry.serials for entry in house.entries] == [None] * 3
    assert lines(caplog, "ERROR") == []  # also no loss


@pytest.mark.parametrize(
    "payload",
    ["", "no line of supervisord's", "processname:p pid:1\n{", "\udce9", "processname:p\n\udce9"],
)
def test_what_is_no_notification_is_kept_raw_once(house: Supervised, payload: str) -> None:
    for _ in range(2):
        house.handle_frame(Frame(STDOUT, 7, 7, payload))
    assert house.actions.calls == []
    assert house.states == ["unreadable"]
    assert house.entry.body == payload.rpartition("\n")[2].replace("\udce9", "\\udce9")
    assert house.entry.error


def test_other_events_are_named_once(house: Supervised, caplog: pytest.LogCaptureFixture) -> None:
    for serial, name in enumerate(["PROCESS_STATE_RUNNING", "PROCESS_LOG_STDOUT"] * 2):
        house.handle(serial, eventname=name)
    named = [line.split(" events are ignored; ")[0] for line in lines(caplog, "WARNING")]
    assert named == ["PROCESS_STATE_RUNNING", "PROCESS_LOG_STDOUT"]
    assert house.entries == []


# What supervisord has discarded


def losses(caplog: pytest.LogCaptureFixture) -> list[str]:
    """How each loss was logged, up to the reason."""
    return [line.split(", because ")[0] for line in lines(caplog, "ERROR") if "discarded" in line]


def test_what_is_missing_is_logged_at_the_next_tick_once_and_is_in_the_history(
    house: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    for serial in (7, 9, 12):
        house.handle(serial)
    assert lines(caplog, "ERROR") == []
    house.tick(14)
    house.tick(15)
    [error] = lines(caplog, "ERROR")
    assert error.startswith("supervisord discarded 4 events before serial 14, because more waited")
    assert "raise buffer_size in the [eventlistener:" in error
    assert house.states == ["done", "done", "done", "dropped"]
    dropped = house.entries[-1]
    assert (dropped.error, dropped.source, dropped.body) == (error, "supervisord", "")
    assert dropped.received_at == pytest.approx(time.time(), abs=60)


def test_what_a_neighbours_refusal_put_first_is_not_missing(
    house: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    house.handle(7)
    for serial in (10, 9, 8, 10, 11):
        house.handle(serial)
    house.tick(12)
    assert losses(caplog) == []
    assert house.actions.served == ["x7", "x10", "x9", "x8", "x11"]


def test_what_is_missing_is_kept_over_restarts_and_logged_once(
    house: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    house.handle(7)
    house.restart()
    house.handle(12)
    house.restart()
    house.handle(9)
    house.restart(run="4712.2")
    house.tick(0)
    house.restart(run="4712.2")
    house.tick(1)
    assert losses(caplog) == ["supervisord discarded 3 events before serial 0"]


@pytest.mark.parametrize("eventname", ["TICK_5", "PROCESS_STATE_RUNNING"])
def test_events_without_an_entry_of_their_own_are_not_missing_after_a_restart(
    house: Supervised, caplog: pytest.LogCaptureFixture, eventname: str
) -> None:
    house.handle(7, id="n1")
    house.handle(8, eventname=eventname)
    house.restart()
    house.handle_frame(Frame(STDOUT, 9, 9, notification("x7", id="n1")))  # known by its id
    house.restart()
    house.handle(10)
    house.tick(11)
    assert losses(caplog) == []
    assert house.actions.served == ["x7", "x10"]


# Every five seconds


def test_a_tick_recalls_what_another_process_has_put_there(house: Supervised) -> None:
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    house.handle(1)
    failed = house.entry
    assert house.look.reopen(failed, (Run("h", "h.f"),))
    house.work_on()
    assert house.actions.served == ["x1"]
    for serial in (2, 3):
        house.tick(serial)
        house.work_on()
    assert house.actions.served == ["x1", "x1"]


def test_a_tick_accepts_what_time_alone_brings_by_the_hooks_conf_of_now(house: Supervised) -> None:
    house.handle(1, event_type="workflow_started")
    house.hooks(hook("late", event_type="workflow_overdue", after="1h"))
    for serial in (2, 3):
        house.tick(serial)
        house.work_on()
        house.now += 3600
    assert house.actions.served == ["x1"]


def test_a_tick_keeps_the_lock_and_counts_what_was_sent_and_so_does_the_end(
    house: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Actions, "take_tallies", lambda _: {"a:162": Tally(1, 0, 0)})
    house.tick(1)
    assert house.kept_lock == 1
    assert house.look.tallies() == {"a:162": Tally(1, 0, 0, ANY)}
    house.events.end()
    assert house.look.tallies() == {"a:162": Tally(2, 0, 0, ANY)}


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        (ListenerSettings(), 450),
        (ListenerSettings(keep_entries=100), 100),
    ],
)
def test_ticks_prune_the_history_a_few_entries_at_a_time(
    house: Supervised, settings: ListenerSettings, left: int
) -> None:
    house.hooks()
    house.settings = settings
    house.restart()
    for serial in range(450):
        house.handle(serial)
    house.tick(450)
    assert len(house.entries) == max(250, left)
    for serial in range(451, 456):
        house.tick(serial)
    assert len(house.entries) == left


def test_a_clock_that_has_jumped_deletes_nothing_for_an_hour(house: Supervised) -> None:
    for serial in (1, 2):
        house.handle(serial, id=f"n-{serial}")
    house.now += 40 * 86_400.0
    for serial, steady_s, left in ((3, 0.0, 2), (4, 3599.0, 2), (5, 1.0, 1)):
        house.now += steady_s
        house.uptime_s += steady_s
        house.tick(serial)
        assert len(house.entries) == left


# Between two events


def test_between_two_events_one_thing_is_done_and_the_time_of_the_next_returned(
    house: Supervised,
) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route")] * 2
    assert house.events.between() is None
    house.jitter = 0.25
    house.handle(1)
    house.jitter = 1.0
    house.handle(2)

    assert house.events.between() == pytest.approx(0.25, abs=0.01)
    house.now += 0.25
    assert house.events.between() == pytest.approx(0.75, abs=0.01)
    house.now += 0.75
    assert house.events.between() is None

    assert house.actions.served == ["x1", "x2", "x1", "x2"]
    assert house.checked_hooks == 4


# Defects, and a journal that cannot be written


@pytest.mark.parametrize("method", ["deliver", "finish", "recall"])
def test_a_defect_costs_one_event_and_is_logged(
    house: Supervised,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Dispatcher, method, defect)
        house.handle(7, eventname="TICK_5" if method == "recall" else STDOUT)
    where = {f"serial 7: {DEFECT}", f"after an event: {DEFECT}"}
    assert set(lines(caplog, "ERROR")) <= where
    assert "LookupError: of ours" in caplog.text
    house.handle(8)
    house.tick(9)
    assert house.actions.served[-1] == "x8"


def test_a_defect_between_two_events_is_logged_and_the_listener_looks_again_in_a_second(
    house: Supervised, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(log, "flush_if_due", lambda: written.append("log"))
    with monkeypatch.context() as patch:
        patch.setattr(Dispatcher, "work", defect)
        assert house.events.between() == 1.0
    assert lines(caplog, "ERROR") == [f"between two events: {DEFECT}"]
    assert house.events.between() is None
    assert written == ["log", "log"]


@pytest.mark.parametrize("eventname", [STDOUT, "TICK_5"])
@pytest.mark.parametrize("stops", [False, True])
def test_an_event_is_held_while_the_journal_is_locked_and_left_at_sigterm(
    house: Supervised,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    eventname: str,
    stops: bool,
) -> None:
    monkeypatch.setattr(database, "_LOCKED_S", 0.0)
    house.restart()
    with closing(sqlite3.connect(house.folder / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        def pause(number: int) -> bool:
            if number == 4:
                other.execute("ROLLBACK")
            return stops

        house.on_pause = pause
        if stops:
            with pytest.raises(Unanswered):
                house.handle(7, eventname=eventname)
        else:
            house.handle(7, eventname=eventname)
    assert house.pauses == pytest.approx([0.1] if stops else [0.1, 0.2, 0.4, 0.8])
    [error] = lines(caplog, "ERROR")
    assert error.startswith("the journal cannot be written, events are held: the journal ")
    assert house.actions.served == ([] if stops or eventname == "TICK_5" else ["x7"])


def test_a_removed_journal_is_an_error_and_the_next_events_are_acted_on(
    house: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [ActionFailed("no route")]
    house.handle(1)
    house.look.close()
    (house.folder / FILE).unlink()
    house.tick(2)
    house.handle(3)
    house.work_on()
    assert [line for line in lines(caplog, "ERROR") if "its entries are lost" in line] != []
    assert house.actions.served == ["x1", "x3"]
    with closing(Journal(str(house.folder))) as new:
        assert [entry.state for entry in new.after(0)] == ["done"]


@pytest.mark.parametrize(
    ("kind", "states"),
    [("conductor-hooks hooks:fast", ["done"]), ("conductor-hooks hooks:slow", []), ("other", [])],
)
def test_of_what_clients_of_supervisord_send_it_takes_what_is_addressed_to_it(
    house: Supervised, monkeypatch: pytest.MonkeyPatch, kind: str, states: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setenv("SUPERVISOR_GROUP_NAME", "hooks")
    monkeypatch.setenv("SUPERVISOR_PROCESS_NAME", "fast")
    house.restart()
    text = notification("x1").partition("\n")[2]
    house.handle_frame(Frame("REMOTE_COMMUNICATION", 1, 1, f"type:{kind}\n{text}"))
    entries = house.look.newest(Filters(), 9)
    assert [(entry.state, entry.source) for entry in entries] == [(each, "fire") for each in states]
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
