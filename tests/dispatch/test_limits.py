"""`at_most`: what is above a hook's limit is suppressed, counted once, and told when it is over."""

from __future__ import annotations

import json
from typing import Any

import pytest

from listener.actions.registry import TRAP
from tests.dispatch.support import NO, House, Log, delivery, hook

TOLD = hook("told", event_type="hook_suppressed")
"""A hook that is told what was suppressed."""


def context_of(body: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(body)["context"]
    return value


def of_deployment(name: str | None, serial: int) -> Any:
    return delivery(serial=serial, context={"execution_id": f"x{serial}", "deployment_id": name})


@pytest.mark.parametrize("implementation", ["h.f", TRAP])
@pytest.mark.parametrize("restarts", [False, True])
def test_runs_above_the_limit_are_suppressed_until_the_window_has_room(
    house: House, log: Log, restarts: bool, implementation: str
) -> None:
    house.hooks(hook("h", at_most="2 per 10s", implementation=implementation))
    house.actions.instant = {TRAP}
    dispatcher = house.recalled()
    for serial, at in enumerate((0, 1, 2, 3, 10, 10.5, 11), 1):
        house.now = 1000.0 + at
        dispatcher = house.restarted(dispatcher, restarts)
        dispatcher.act(delivery(f"x{serial}", serial=serial))

    assert house.states == ["done", "done", "suppressed", "suppressed", "done", "suppressed", "done"]
    assert house.actions.served == ["x1", "x2", "x5", "x7"]
    assert house.entries[2].runs[0].attempts == ()
    assert [line for line in log("WARNING") if "suppressed" in line] == [
        "hook h: above 'at_most: 2 per 10s': further runs are suppressed (execution x3, serial 3)"
    ]


def test_of_an_entry_only_the_runs_above_a_limit_are_suppressed(house: House) -> None:
    house.hooks(hook("a", at_most="1 per 1h"), hook("b"), hook("c", implementation=TRAP))
    house.actions.instant = {TRAP}
    dispatcher = house.recalled()
    for serial in (1, 2):
        dispatcher.act(delivery(f"x{serial}", serial=serial))

    assert house.actions.called == ["a.f", "b.f", TRAP, "b.f", TRAP]
    assert [run.state for run in house.entries[1].runs] == ["suppressed", "done", "done"]
    assert house.states == ["done", "suppressed"]
    assert house.deleted == [(delivery().notification.context["rest_token"], "acme")] * 2


def test_each_group_has_its_own_limit(house: House) -> None:
    house.hooks(hook("h", at_most="1 per 1h per deployment_id"))
    dispatcher = house.recalled()
    for serial, name in enumerate(("a", "b", "a", None, None, "b"), 1):
        dispatcher.act(of_deployment(name, serial))

    assert house.actions.served == ["x1", "x2", "x4"]


def test_half_a_surrogate_pair_in_the_field_of_a_group_is_counted_and_told(house: House) -> None:
    house.hooks(hook("h", at_most="1 per 10s per deployment_id"), TOLD)
    dispatcher = house.recalled()
    for serial in (1, 2):
        dispatcher.act(of_deployment("prod\udcef", serial))
    house.now += 11
    dispatcher.accept_due()

    assert house.states == ["done", "suppressed", "pending"]
    assert context_of(house.entries[2].body)["deployment_id"] == r"prod\udcef"


def test_a_retry_is_not_counted_again_and_a_correction_of_the_clock_forgets_what_is_ahead(
    house: House,
) -> None:
    house.hooks(hook("h", at_most="2 per 1h", retries=3))
    house.actions.ends["h.f"] = [NO, NO]
    dispatcher = house.recalled()
    dispatcher.act(delivery("x1", serial=1))
    house.work(dispatcher, until=1060.0)
    dispatcher.act(delivery("x2", serial=2))
    house.now -= 1000
    dispatcher.act(delivery("x3", serial=3))

    assert house.states == ["done"] * 3


@pytest.mark.parametrize("restarts", [False, True])
def test_what_is_delivered_again_counts_once(house: House, restarts: bool) -> None:
    house.hooks(hook("h", at_most="2 per 1h"))
    dispatcher = house.recalled()
    first, second = delivery("x1", serial=1), delivery("x2", serial=2)
    dispatcher.accept_all([first, first], ("accepted", ""))
    dispatcher = house.restarted(dispatcher, restarts)
    dispatcher.accept_all([first, second], ("accepted", ""))
    dispatcher.act(first)
    house.work(dispatcher)

    assert house.states == ["done", "done"]


def test_a_limit_holds_for_hooks_on_hook_failed_too(house: House) -> None:
    house.hooks(hook("h"), hook("alarm", event_type="hook_failed", at_most="1 per 1h"))
    house.actions.ends["h.f"] = [NO, NO]
    dispatcher = house.recalled()
    for serial in (1, 2):
        dispatcher.act(delivery(f"x{serial}", serial=serial))
        house.work(dispatcher)

    assert house.actions.called == ["h.f", "alarm.f", "h.f"]
    assert house.states == ["failed", "done", "failed", "suppressed"]


@pytest.mark.parametrize("restarts", [False, True])
def test_when_suppression_is_over_hooks_on_hook_suppressed_are_told_once_for_each_group(
    house: House, log: Log, restarts: bool
) -> None:
    house.hooks(hook("h", at_most="1 per 10s per deployment_id"), TOLD)
    dispatcher = house.recalled()
    for serial, name in enumerate(("a", "a", "b", "b", "a", "c"), 1):
        house.now += 1
        dispatcher.act(of_deployment(name, serial))
    for at in (1010.0, 1015.0, 1030.0, 1050.0):
        house.now = at
        dispatcher = house.restarted(dispatcher, restarts)
        dispatcher.accept_due()
        house.work(dispatcher)

    told = [entry for entry in house.entries if entry.event_type == "hook_suppressed"]
    begin, middle, end = (f"1970-01-01T00:16:4{second}.000Z" for second in (2, 4, 5))
    assert [context_of(entry.body) for entry in told] == [
        {"deployment_id": "a", "hook": "h", "count": 2, "since": begin, "until": end},
        {"deployment_id": "b", "hook": "h", "count": 1, "since": middle, "until": middle},
    ]
    assert [(entry.source, entry.state) for entry in told] == [("hook_suppressed", "done")] * 2
    ended = f"hook h, deployment_id a: runs suppressed from {begin} to {end}: 2"
    assert log("WARNING").count(ended) == 1
    assert house.look.all_noted_as("at_most ", Any) == {}


def test_without_a_hook_that_names_it_hook_suppressed_makes_no_entry(house: House, log: Log) -> None:
    house.hooks(hook("h", at_most="1 per 10s"), hook("all", event_type="*"))
    dispatcher = house.recalled()
    for serial in (1, 2):
        dispatcher.act(delivery(f"x{serial}", serial=serial))
    house.now += 10
    for _ in range(2):
        dispatcher.accept_due()

    assert len(house.entries) == 2
    assert sum("runs suppressed from" in line for line in log("WARNING")) == 1


def test_a_hook_on_hook_suppressed_may_have_a_limit_itself(house: House) -> None:
    house.hooks(
        hook("h", at_most="1 per 10s per deployment_id"),
        hook("told", event_type="hook_suppressed", at_most="1 per 20s"),
    )
    dispatcher = house.recalled()
    for serial, name in enumerate(("a", "a", "b", "b"), 1):
        dispatcher.act(of_deployment(name, serial))
    for at in (1010.0, 1040.0, 1080.0):
        house.now = at
        dispatcher.accept_due()
        house.work(dispatcher)

    told = [call.hook_context for call in house.actions.calls if call.hook.name == "told"]
    assert [(context["hook"], context["count"]) for context in told] == [("h", 1), ("told", 1)]
    assert house.look.all_noted_as("at_most ", Any) == {}
