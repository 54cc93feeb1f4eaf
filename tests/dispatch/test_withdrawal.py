"""What a forwarder has brought with `acknowledge: acted` is given back when its connection is gone."""

from __future__ import annotations

import msgspec
import pytest

from listener.dispatch.withdrawal import hand_over, withdraw_of_dead
from listener.model.delivery import FROM_BROKER, SHARED_WITH_BROKER, Delivery
from tests.dispatch.support import NO, House, Log, delivery, hook
from tests.processes import ALIVE, DEAD


def brought(execution_id: str, source: str = SHARED_WITH_BROKER) -> Delivery:
    """What the listener has read in the inbox."""
    return msgspec.structs.replace(delivery(execution_id, id=f"amqp-{execution_id}"), source=source)


@pytest.fixture
def house(house: House) -> House:
    house.hooks(hook("a", retries=1, repeatable=True))
    return house


def test_what_no_hook_has_begun_is_given_back_and_runs_here_no_more(house: House, log: Log) -> None:
    dispatcher = house.start()
    dispatcher.accept_all([brought("x1"), brought("x2"), brought("x3", FROM_BROKER)], ("to", "1"))
    hand_over(house.look, ALIVE)
    house.work(dispatcher, until=house.now + 10_000)
    assert house.actions.served == ["x3"]
    assert house.states == ["dropped", "dropped", "done"]
    given_back = "given back to the queue before a hook began"
    assert [entry.error for entry in house.entries] == [given_back, given_back, ""]
    assert [entry.rest_token for entry in house.entries] == [None] * 3
    assert len(house.deleted) == 1  # the token of x3: another host needs the others
    assert f"{given_back}: 2" in log("WARNING")


def test_what_was_given_back_is_a_new_entry_when_it_comes_again(house: House) -> None:
    dispatcher = house.start()
    for _ in range(2):
        dispatcher.accept_all([brought("x1")], ("to", "1"))
        hand_over(house.look, ALIVE)
    dispatcher.accept_all([brought("x1")], ("to", "1"))
    house.work(dispatcher)
    assert house.actions.served == ["x1"]
    assert house.states == ["dropped", "dropped", "done"]


def test_what_has_begun_is_named_and_goes_on_and_is_known_when_it_comes_again(
    house: House, log: Log
) -> None:
    house.actions.ends["a.f"] = [NO]
    dispatcher = house.start()
    dispatcher.accept_all([brought("x1"), brought("x2")], ("to", "1"))
    dispatcher.work()
    hand_over(house.look, ALIVE)
    hand_over(house.look, ALIVE)
    begun = "; begun already, and may run on another host, too: entries 1"
    assert log("WARNING")[-2:] == [
        f"given back to the queue before a hook began: {count}{begun}" for count in (1, 0)
    ]
    assert house.states == ["pending", "dropped"]
    dispatcher.accept_all([brought("x1")], ("to", "1"))
    house.work(dispatcher, until=house.now + 10_000)
    assert house.actions.served == ["x1", "x1"]
    assert house.states == ["done", "dropped"]


def test_what_has_ended_is_left_alone_and_nothing_is_logged(house: House, log: Log) -> None:
    dispatcher = house.start()
    dispatcher.accept_all([brought("x1")], ("to", "1"))
    house.work(dispatcher)
    hand_over(house.look, ALIVE)
    assert (house.states, log("WARNING")) == (["done"], [])


@pytest.mark.parametrize(
    ("run", "states"), [(DEAD, ["dropped"]), (ALIVE, ["pending"]), (None, ["pending"])]
)
def test_only_of_a_forwarder_that_does_not_run_any_more_the_listener_gives_back(
    house: House, run: str | None, states: list[str]
) -> None:
    if run is not None:
        hand_over(house.look, run)
    house.start().accept_all([brought("x1")], ("to", "1"))
    withdraw_of_dead(house.look)
    assert house.states == states
