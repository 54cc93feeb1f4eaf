"""Destinations in the journal: which of them a retry leaves out, and how often each was reached.

The receivers are real sockets, the actions and the journal are the listener's own; the clock and the
jitter are the test's. A restart is another set of actions and another dispatcher on the same files.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from listener.actions.registry import Actions
from listener.actions.snmp_trap.action import NAME as TRAP
from listener.dispatch.attempt import attempt
from listener.errors import ActionFailed, StateError, Unanswered
from listener.hooks.table import ListenerSettings
from listener.hooks.watch import HooksFile
from listener.model.entry import Entry, Run
from listener.model.outcome import Outcome, Tally
from listener.state.journal import Journal
from listener.supervisord.events import Events
from listener.supervisord.frames import Frame
from tests.dispatch.test_dispatch_journal import House, delivery, hook
from tests.supervisord.test_events import notification
from tests.support import Settling, SettlingWithout, event

COMMAND = [sys.executable, "-W", "error", "-m", "listener"]


class Receiver:
    """A receiver of traps that is away until it comes; its port is its own for all that time.

    The port is taken by a socket that hears only one peer: whoever else sends to it is refused.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._placeholder = self._bound(0)
        self._placeholder.connect(("127.0.0.1", 9))
        self.port: int = self._placeholder.getsockname()[1]
        self.name = f"127.0.0.1:{self.port}"
        self._socket: socket.socket | None = None

    def come(self) -> Receiver:
        self._socket = self._bound(self.port)
        return self

    def _bound(self, port: int) -> socket.socket:
        bound = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        bound.setblocking(False)
        return bound

    def took(self) -> int:
        """How many traps have come since this was last asked; loopback delivers at once."""
        assert self._socket is not None
        number = 0
        with suppress(BlockingIOError):
            while self._socket.recv(65535):
                number += 1
        return number


class Place(House):
    """A house with the listener's own actions, and three receivers, of which one is there."""

    def __init__(self, tmp_path: Path, stack: ExitStack) -> None:
        super().__init__(tmp_path)
        self._stack = stack
        self.near, self.away, self.third = (Receiver(stack) for _ in range(3))
        self.near.come()
        stack.callback(self.close)

    def listener(self, journal: Journal | None = None) -> tuple[Settling, Actions]:
        """What another process would have."""
        actions = self._stack.enter_context(Actions(ListenerSettings(), str(self.folder)))
        journal = journal or self.opened(Journal(str(self.folder)))
        return Settling(
            HooksFile(self.path, {}), actions, journal,
            now=lambda: self.now, jitter=lambda: self.jitter, pause=self._pause,
        ), actions  # fmt: skip

    def destinations(self, *receivers: Receiver, retries: int = 9, **more: Any) -> None:
        """Write a hooks.conf with one hook for these receivers."""
        inputs = {
            "community_string": "public",
            "destinations": [
                {"destination_address": "127.0.0.1", "destination_port": each.port}
                for each in receivers
            ],
        }
        named = {"name": "trap", "implementation": TRAP, "inputs": inputs, "retries": retries}
        self.hooks(hook(**{**named, **more}))

    @property
    def run(self) -> Run:
        [run] = self.runs
        return run


@pytest.fixture
def place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Place]:
    caplog.set_level(logging.DEBUG)
    with ExitStack() as stack:
        yield Place(tmp_path, stack)


# What a retry leaves out


@pytest.mark.parametrize("restarts", [False, True])
def test_a_retry_reaches_only_the_destinations_that_failed(place: Place, restarts: bool) -> None:
    place.destinations(place.near, place.away)
    dispatcher, _ = place.listener()

    dispatcher.act(delivery())
    assert (place.run.state, place.run.reached) == ("pending", (place.near.name,))
    assert place.near.took() == 1
    place.away.come()
    if restarts:
        dispatcher, _ = place.listener()
        dispatcher.recall()
    place.work(dispatcher, until=2000)

    assert place.run.state == "done"
    assert place.away.took() == 1
    assert place.near.took() == 0
    assert place.run.attempts[-1].text == f"sent to {place.away.name}"


def test_what_was_reached_is_kept_through_any_number_of_failures(place: Place) -> None:
    place.destinations(place.near, place.away, place.third)
    dispatcher, _ = place.listener()
    dispatcher.act(delivery())
    place.work(dispatcher, until=1001)
    assert list(place.run.reached) == [place.near.name]
    place.away.come()
    place.work(dispatcher, until=1003)
    assert list(place.run.reached) == [place.near.name, place.away.name]
    place.third.come()
    place.work(dispatcher, until=2000)
    assert place.run.state == "done"
    assert (place.near.took(), place.away.took(), place.third.took()) == (1, 1, 1)


def test_a_destination_that_was_added_is_reached_and_one_that_was_removed_is_not_missed(
    place: Place,
) -> None:
    third = place.third.come()
    place.destinations(place.near, place.away)
    dispatcher, _ = place.listener()
    dispatcher.act(delivery())

    place.destinations(place.near, third)
    place.work(dispatcher, until=2000)

    assert place.run.state == "done"
    assert (place.near.took(), third.took()) == (1, 1)


def test_when_only_what_was_reached_is_left_the_retry_is_done_without_a_trap(place: Place) -> None:
    place.destinations(place.near, place.away)
    dispatcher, _ = place.listener()
    dispatcher.act(delivery())

    place.destinations(place.near)
    place.work(dispatcher, until=2000)

    assert place.run.attempts[-1].text == "every destination has got it before"
    assert (place.run.state, place.near.took()) == ("done", 1)


def test_another_notification_reaches_every_destination_again(place: Place) -> None:
    place.destinations(place.near, place.away, retries=0)
    dispatcher, _ = place.listener()
    for name in ("a", "b"):
        dispatcher.act(delivery(name))
    assert place.near.took() == 2


def test_each_hook_of_a_notification_remembers_its_own(place: Place) -> None:
    inputs = {"community_string": "c", "destination_address": "127.0.0.1"}
    names = {"near": place.near, "away": place.away}
    place.hooks(
        *(
            hook(name, implementation=TRAP, inputs={**inputs, "destination_port": each.port}, retries=1)
            for name, each in names.items()
        )
    )
    dispatcher, _ = place.listener()
    dispatcher.act(delivery())
    assert [(run.state, run.reached) for run in place.runs] == [("done", ()), ("pending", ())]


def test_after_a_kill_the_attempt_is_made_again_and_leaves_out_what_was_on_record(place: Place) -> None:
    """What the killed attempt itself has reached nobody knows: rather twice than never."""
    place.destinations(place.near, place.away)
    dispatcher, _ = place.listener()
    dispatcher.act(delivery())
    assert place.near.took() == 1
    place.away.come()
    running = place.entry.with_runs([place.run.begun(1000.0)])
    assert place.look.save(running) == []

    dispatcher, _ = place.listener()
    dispatcher.recall()
    place.work(dispatcher, until=2000)

    assert [each.state for each in place.run.attempts] == ["failed", "interrupted", "done"]
    assert (place.near.took(), place.away.took()) == (0, 1)


def test_reached_goes_from_the_action_through_the_outcome_into_the_run_and_back(house: House) -> None:
    house.hooks(hook("h", retries=2))
    house.actions.ends["h.f"] = [
        ActionFailed("b is away", "details", reached=("a",)),
        ActionFailed("b is away, too"),
        ActionFailed("c is away", reached=("b",)),
    ]
    dispatcher = house.start()

    dispatcher.act(delivery())
    house.work(dispatcher, until=2000)

    assert [call.reached for call in house.actions.calls] == [(), ("a",), ("a",)]
    assert house.runs[0].reached == ("a", "b")
    outcome = attempt(house.actions, house.actions.calls[0], "about")
    assert outcome.reached == ()


def test_an_outcome_has_what_its_action_has_reached(house: House) -> None:
    house.hooks(hook("h"))
    house.start().act(delivery())
    house.actions.ends["h.f"] = [ActionFailed("no", reached=("a", "b"))]
    assert attempt(house.actions, house.actions.calls[0], "about").reached == ("a", "b")


def test_a_run_of_an_older_version_has_reached_nothing_and_takes_no_room() -> None:
    run = Run("h", "h.f")
    assert b"reached" not in msgspec.json.encode(run)
    old = msgspec.json.decode(b'{"hook":"h","implementation":"h.f"}', type=Run)
    assert old == run
    ended = run.begun(1.0).ended(Outcome("failed", "no", 0.1, reached=("a",)), 0, 2.0, 1.0)
    assert msgspec.json.decode(msgspec.json.encode(ended), type=Run).reached == ("a",)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


# replay


def replay(place: Place, *options: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "replay", "1", "--config", str(place.path), *options]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize(("options", "again"), [((), 0), (("--all-actions",), 1)])
def test_replay_leaves_out_what_was_reached_unless_all_is_to_be_done(
    place: Place, options: tuple[str, ...], again: int
) -> None:
    place.destinations(place.near, place.away, retries=0)
    dispatcher, _ = place.listener()
    dispatcher.act(delivery())
    assert (place.entry.state, place.near.took()) == ("failed", 1)
    place.away.come()

    result = replay(place, *options)

    assert result.returncode == 0, result.stderr
    assert place.entry.state == "done"
    assert (place.near.took(), place.away.took()) == (again, 1)


def test_a_replay_that_fails_again_keeps_what_it_has_reached(place: Place) -> None:
    third = place.third
    place.destinations(place.near, place.away, third, retries=0)
    dispatcher, _ = place.listener()
    dispatcher.act(delivery())
    place.away.come()
    assert replay(place).returncode == 1
    assert place.run.reached == (place.near.name, place.away.name)
    third.come()
    assert replay(place).returncode == 0
    assert (place.near.took(), place.away.took(), third.took()) == (1, 1, 1)


def test_a_replay_here_and_now_is_counted(place: Place) -> None:
    place.destinations(place.near, retries=0)
    dispatcher, _ = place.listener()
    dispatcher.act(delivery())
    assert replay(place, "--all-actions").returncode == 0
    assert place.look.tallies() == {place.near.name: Tally(1, 0, 0)}  # by the replay alone


# What is counted, and when it is on record


Listener = Callable[[], Events]


@pytest.fixture
def listener(place: Place) -> Listener:
    """Starts a listener: the events of one life."""

    def start() -> Events:
        journal = place.opened(Journal(str(place.folder)))
        dispatcher, actions = place.listener(journal)
        events = Events(dispatcher, actions, journal, ListenerSettings(), run=None)
        events.begin()
        return events

    return start


def send(events: Events, serial: int, eventname: str = "PROCESS_COMMUNICATION_STDOUT") -> None:
    payload = "when:1" if eventname.startswith("TICK") else notification(f"x{serial}")
    events.handle(Frame(eventname, serial, serial, payload))
    events.settle()


def test_what_was_sent_where_is_on_record_at_the_next_tick_and_adds_up(
    place: Place, listener: Listener
) -> None:
    place.destinations(place.near, place.away, retries=0)
    events = listener()

    for serial in (1, 2):
        send(events, serial)
    assert place.look.tallies() == {}
    send(events, 3, "TICK_5")
    expected = {place.near.name: Tally(2, 0, 0), place.away.name: Tally(0, 0, 2)}
    assert place.look.tallies() == expected
    send(events, 4, "TICK_5")
    assert place.look.tallies() == expected
    place.away.come()
    send(events, 5)
    send(events, 6, "TICK_5")
    expected = {place.near.name: Tally(3, 0, 0), place.away.name: Tally(1, 0, 2)}
    assert place.look.tallies() == expected


def test_at_the_end_nothing_counted_is_lost_and_the_next_listener_goes_on(
    place: Place, listener: Listener
) -> None:
    place.destinations(place.near)
    for number in (1, 2):
        events = listener()
        send(events, number)
        events.end()
        events.end()
        assert place.look.tallies() == {place.near.name: Tally(number, 0, 0)}


def test_a_tick_without_a_trap_writes_no_tallies(
    place: Place, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.hooks()
    events = listener()
    counted: list[object] = []
    monkeypatch.setattr(Journal, "count", lambda self, tallies: counted.append(tallies))
    send(events, 1)
    send(events, 2, "TICK_5")
    events.end()
    assert counted == []


def test_tallies_wait_until_the_journal_can_be_written(place: Place) -> None:
    class Troubled(Journal):
        troubles = 2

        def count(self, tallies: Any) -> None:
            self.troubles -= 1
            if self.troubles >= 0:
                raise StateError("the disk is full")
            super().count(tallies)

    place.on_pause = lambda number: False
    dispatcher, _ = place.listener(place.opened(Troubled(str(place.folder))))
    dispatcher.count({"a:162": Tally(1, 1, 0)})
    assert len(place.pauses) == 2
    assert place.look.tallies() == {"a:162": Tally(1, 1, 0)}


def test_who_is_asked_to_stop_while_nothing_can_be_written_leaves(place: Place) -> None:
    class Broken(Journal):
        def count(self, tallies: Any) -> None:
            raise StateError("the disk is full")

    place.on_pause = lambda number: True
    dispatcher, _ = place.listener(place.opened(Broken(str(place.folder))))
    with pytest.raises(Unanswered):
        dispatcher.count({"a:162": Tally(1, 0, 0)})


def test_without_a_journal_traps_are_sent_and_nothing_is_counted(place: Place) -> None:
    place.destinations(place.near, retries=0)
    with Actions(ListenerSettings()) as actions:
        without = SettlingWithout(HooksFile(place.path, {}), actions)
        events = Events(without, actions, None, ListenerSettings(), run=None)
        events.begin()
        entry = without.act(delivery())
        events.end()
    assert isinstance(entry, Entry)
    assert entry.state == "done"
    assert place.near.took() == 1
    assert place.look.tallies() == {}


@pytest.mark.parametrize("ends", ["at a tick", "at the end of stdin"])
def test_the_listener_as_a_process_keeps_what_it_has_counted(place: Place, ends: str) -> None:
    place.destinations(place.near, place.away, retries=0)
    context = {"execution_id": "x1", "workflow_id": "install", "deployment_id": "d", "tenant_name": "t"}
    said = json.dumps({"event_type": "workflow_failed", "context": context})
    sent = event(said)
    if ends == "at a tick":
        sent += event("when:1", serial=2, eventname="TICK_5")
    env = {name: value for name, value in os.environ.items() if not name.startswith("SUPERVISOR")}
    command = [*COMMAND, "listen", "--config", str(place.path)]
    done = subprocess.run(command, input=sent, capture_output=True, timeout=30, check=False, env=env)
    assert done.returncode == 0, done.stderr
    expected = {place.near.name: Tally(1, 0, 0), place.away.name: Tally(0, 0, 1)}
    assert place.look.tallies() == expected
