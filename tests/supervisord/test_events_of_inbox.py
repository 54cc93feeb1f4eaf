"""The inbox: what was recorded or put there by a program is accepted before it comes, and runs once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from listener.dispatch.dispatcher import Dispatcher
from listener.dispatch.withdrawal import hand_over
from listener.errors import StateError, Unanswered
from listener.hooks.settings import ListenerSettings
from listener.inbox import whole_file
from listener.inbox.folder import FOLDER, RECORDED_IN, events_name
from listener.inbox.record import encode
from listener.model.delivery import FROM_BROKER, SHARED_WITH_BROKER
from listener.state.database import Database
from listener.supervisord.emit import WAKE_UP, enframe
from listener.supervisord.frames import Frame
from tests.dispatch.support import lines
from tests.processes import ALIVE, DEAD
from tests.supervisord.supervised import DEFECT, RUN, STDOUT, Supervised, defect, notification


@pytest.fixture
def recorded(house: Supervised, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the recorder writes to; what runs the tests is taken for supervisord."""
    monkeypatch.setenv(RECORDED_IN, str(house.folder))
    house.restart()
    return recorded_in(house)


def recorded_in(house: Supervised) -> Path:
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
    house.work_on()
    house.restart()
    house.handle(4)
    house.tick(5)
    assert house.actions.served == ["x1", "x2", "x3", "x4"]
    assert [entry.source for entry in house.entries] == ["recorder"] * 3 + ["supervisord"]
    assert lines(caplog, "ERROR") == []  # also no loss


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
    house.tick(4)
    assert house.actions.served == ["x7", "x1", "x2", "x0", "x1", "x2", "x3"]
    assert lines(caplog, "ERROR") == []


def test_what_supervisord_discarded_is_run_when_it_was_recorded(
    house: Supervised, recorded: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(recorded, 1)
    house.handle(1)
    write(recorded, 2, 3, 4)
    house.handle(4)
    house.tick(5)
    assert house.actions.served == ["x1", "x2", "x3", "x4"]
    [error] = lines(caplog, "ERROR")
    assert error.startswith("supervisord discarded 2 events before serial 5")
    assert error.endswith("; the recorder has kept them")


def test_what_was_recorded_while_no_listener_ran_is_run_at_its_start(
    house: Supervised, recorded: Path
) -> None:
    write(recorded, 1, 2)
    house.restart()
    house.work_on()
    assert house.actions.served == ["x1", "x2"]


def test_a_tick_accepts_what_was_recorded_and_removes_what_will_not_grow(
    house: Supervised, recorded: Path
) -> None:
    write(recorded, 1)
    house.tick(1)
    house.work_on()
    assert house.actions.served == ["x1"]
    write(recorded.with_name(events_name(2, RUN)), 2)
    house.tick(2)
    house.tick(3)
    house.work_on()
    assert house.actions.served == ["x1", "x2"]
    assert not recorded.exists()


def test_what_was_recorded_and_pruned_does_not_run_again_at_a_restart(
    house: Supervised, recorded: Path
) -> None:
    house.settings = ListenerSettings(keep_entries=1)
    house.restart()
    for serial in (1, 2, 3):
        write(recorded, serial)
        house.handle(serial)
    for serial in (4, 5):
        house.tick(serial)
    assert len(house.entries) == 1
    assert recorded.exists()  # supervisord goes on writing to it
    house.restart()
    house.work_on()
    assert house.actions.served == ["x1", "x2", "x3"]


def test_a_recorded_event_that_is_no_notification_is_kept_raw_once(
    house: Supervised, recorded: Path
) -> None:
    payload = "processname:p groupname:g pid:1\n{half"
    recorded.write_bytes(encode(1, payload))
    house.handle_frame(Frame(STDOUT, 1, 1, payload))
    assert house.states == ["unreadable"]


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
        house.tick(1)
    if moment != "event":
        assert os.listdir(house.folder / FOLDER) == []
        house.work_on()
        assert house.actions.served == ["x1"]
    house.handle_frame(Frame(STDOUT, 2, 2, payload))
    house.work_on()
    assert house.actions.served == ["x1"]
    assert [(entry.source, entry.state) for entry in house.entries] == [("emit", "done")]
    assert os.listdir(house.folder / FOLDER) == []


def test_a_listener_that_leaves_with_recorded_events_in_hand_loses_none(
    house: Supervised, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StateError("the disk is full")

    write(recorded, 1, 2)
    house.on_pause = lambda number: True
    with monkeypatch.context() as full:
        full.setattr(Database, "transaction", refuse)
        with pytest.raises(Unanswered):
            house.handle(2)
    house.restart()
    house.handle(2)
    assert house.actions.served == ["x1", "x2"]


def test_a_defect_with_recorded_events_in_hand_costs_none_of_them_nor_a_start(
    house: Supervised, recorded: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(recorded, 1, 2)
    with monkeypatch.context() as patch:
        patch.setattr(Dispatcher, "accept_all", defect)
        house.restart()
        house.handle(2)
        assert house.actions.served == ["x2"]
    house.tick(3)
    house.work_on()
    assert house.actions.served == ["x2", "x1"]
    assert lines(caplog, "ERROR") == [f"what came in by files: {DEFECT}"] * 2


def test_what_is_damaged_is_logged_and_set_aside(
    house: Supervised, recorded: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(recorded, 1)
    recorded.write_bytes(recorded.read_bytes() + b"half a record\n")
    for serial in (3, 4):
        house.tick(serial)
    house.work_on()
    assert house.actions.served == ["x1"]
    [error] = lines(caplog, "ERROR")
    assert "no complete record stands there" in error
    assert [file.name for file in recorded.parent.iterdir()] == [f"{recorded.name}.damaged"]


# What the forwarder has brought


def text_of(execution_id: str, **more: Any) -> str:
    return notification(execution_id, **more).partition("\n")[2]


def test_the_frame_that_follows_each_message_of_the_broker_is_not_worth_a_line(
    house: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    whole_file.add(str(house.folder), FROM_BROKER, [text_of("x1", id="amqp-1")])
    for serial in (1, 2):
        house.handle_frame(Frame(STDOUT, serial, serial, notification("x1", id="amqp-1")))
        house.work_on()
    assert house.actions.served == ["x1"]
    assert [(entry.source, entry.state) for entry in house.entries] == [(FROM_BROKER, "done")]
    assert [line for line in lines(caplog, "INFO") if "accepted already" in line] == []


def test_a_wake_up_has_the_inbox_read_and_is_no_notification_itself(
    house: Supervised, recorded: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole_file.add(str(house.folder), SHARED_WITH_BROKER, [text_of("x1", id="amqp-1")])
    captured = enframe(WAKE_UP).decode().partition("BEGIN-->")[2].partition("<!--")[0]
    payload = f"processname:p groupname:p pid:1\n{captured}"
    recorded.write_bytes(encode(1, payload))
    house.handle_frame(Frame(STDOUT, 1, 1, payload))
    house.work_on()
    house.tick(2)
    assert house.actions.served == ["x1"]
    assert [entry.source for entry in house.entries] == [SHARED_WITH_BROKER]
    assert lines(caplog, "WARNING") == lines(caplog, "ERROR") == []


@pytest.mark.parametrize("where", ["journal", "inbox"])
@pytest.mark.parametrize("forwarder", ["dead", "alive"])
def test_at_its_start_a_listener_gives_back_what_a_dead_forwarder_shares_with_the_broker(
    house: Supervised, caplog: pytest.LogCaptureFixture, where: str, forwarder: str
) -> None:
    hand_over(house.look, DEAD if forwarder == "dead" else ALIVE)
    whole_file.add(str(house.folder), SHARED_WITH_BROKER, [text_of("x1", id="amqp-1")])
    whole_file.add(str(house.folder), FROM_BROKER, [text_of("x2", id="amqp-2")])
    if where == "journal":
        house.tick(1)  # it is accepted; another listener is started before anything is run
    house.restart()
    house.work_on()
    assert house.actions.served == (["x2"] if forwarder == "dead" else ["x1", "x2"])
    assert house.states == (["dropped", "done"] if forwarder == "dead" else ["done", "done"])
    given_back = ["given back to the queue before a hook began: 1"]
    assert lines(caplog, "WARNING") == (given_back if forwarder == "dead" else [])


def test_what_comes_through_the_inbox_alone_is_not_said_to_be_cut(house: Supervised) -> None:
    whole_file.add(str(house.folder), FROM_BROKER, ['cution_id": "x1"}}'])
    house.tick(1)
    house.handle_frame(Frame(STDOUT, 2, 2, 'processname:p groupname:g pid:1\ncution_id": "x1"}}'))
    kept, captured = (entry.error for entry in house.entries)
    assert "stdout_capture_maxbytes" not in kept
    assert "raise stdout_capture_maxbytes" in captured
