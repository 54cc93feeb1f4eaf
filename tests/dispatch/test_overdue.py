"""workflow_overdue: an execution that was started and has no end, once for each start and hook."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from listener.model.delivery import Delivery, as_entry, decode
from listener.model.entry import FIRE
from tests.dispatch.support import NO, TOKEN, House, Log, delivery, hook
from tests.support import Finishing

LATE = hook("late", event_type="workflow_overdue", after="1h")
LATER = hook("later", event_type="workflow_overdue", after="2h")
HOUR = 3600.0


def event(execution_id: str, kind: str = "started") -> Delivery:
    return delivery(execution_id, event_type=f"workflow_{kind}")


def tick(house: House, dispatcher: Finishing, seconds: float = 0.0) -> None:
    """So much later, a TICK_5, and what follows from it."""
    house.now += seconds
    dispatcher.accept_due()
    house.work(dispatcher)


@pytest.mark.parametrize("restarts", [False, True])
def test_an_execution_without_an_end_is_overdue_once_for_each_hook(
    house: House, restarts: bool
) -> None:
    house.hooks(LATER, LATE)
    dispatcher = house.recalled()
    tick(house, dispatcher)
    dispatcher.act(event("x1"))
    for _ in range(40):
        dispatcher = house.restarted(dispatcher, restarts)
        tick(house, dispatcher, 450.0)

    first, second = house.actions.calls
    assert [call.hook.name for call in (first, second)] == ["late", "later"]
    assert [call.hook_context["overdue_s"] for call in (first, second)] == [HOUR, 2 * HOUR]
    started = event("x1").notification.hook_context()
    said = {"event_type": "workflow_overdue", "started_at": "1970-01-01T00:16:40.000Z"}
    assert {**started, **said, "overdue_s": HOUR} == {**first.hook_context, "rest_token": TOKEN}
    assert [entry.source for entry in house.entries] == ["supervisord"] + ["workflow_overdue"] * 2


@pytest.mark.parametrize("kind", ["succeeded", "failed", "cancelled"])
@pytest.mark.parametrize("restarts", [False, True])
def test_an_end_cancels_it(house: House, restarts: bool, kind: str) -> None:
    house.hooks(LATE)
    dispatcher = house.recalled()
    tick(house, dispatcher)
    for execution_id in ("x1", "x2"):
        dispatcher.act(event(execution_id))
    tick(house, dispatcher, HOUR - 1)
    dispatcher.act(event("x1", kind))
    dispatcher.act(event("unknown", kind))
    dispatcher.act(event("x2", "queued"))
    tick(house, house.restarted(dispatcher, restarts), 1.0)

    assert house.actions.served == ["x2"]


def test_a_resumed_execution_starts_anew(house: House) -> None:
    house.hooks(LATE)
    dispatcher = house.recalled()
    tick(house, dispatcher)
    dispatcher.act(event("x1"))
    tick(house, dispatcher, HOUR / 2)
    dispatcher.act(event("x1", "failed"))
    dispatcher.act(event("x1"))
    called = []
    for _ in range(6):
        tick(house, dispatcher, HOUR / 2)
        called.append(len(house.actions.calls))
        if len(called) == 3:
            dispatcher.act(event("x1"))

    assert called == [0, 1, 1, 1, 2, 2]


def test_only_hooks_that_match_run_and_as_they_are_in_the_file_now(house: House) -> None:
    house.hooks(LATE, LATER)
    dispatcher = house.recalled()
    tick(house, dispatcher)
    dispatcher.act(event("x1"))
    tick(house, dispatcher, HOUR - 1)
    off = hook("late", event_type="workflow_overdue", after="90m", enabled=False)
    other = hook("other", event_type="workflow_overdue", after="90m", when={"tenant_name": "other"})
    sooner = hook("sooner", event_type="workflow_overdue", after="30m")
    named = hook("named", event_type="workflow_overdue", after="90m", when={"tenant_name": "acme"})
    house.hooks(off, other, sooner, named)
    for _ in range(4):
        tick(house, dispatcher, HOUR)

    assert house.actions.called == ["named.f"]  # sooner was due before it was there
    assert len(house.entries) == 2


def test_a_new_hook_sees_what_was_started_before_it_and_is_not_overdue_yet(house: House) -> None:
    house.hooks()
    dispatcher = house.recalled()
    for execution_id in ("x1", "x2", "x3"):
        dispatcher.act(event(execution_id))
        tick(house, dispatcher, 0.6 * HOUR)
    house.hooks(LATE)
    tick(house, dispatcher)
    assert house.actions.served == []
    tick(house, dispatcher, HOUR)
    assert house.actions.served == ["x3"]

    house.hooks()
    tick(house, dispatcher)
    dispatcher.act(event("x4"))
    tick(house, dispatcher, 3 * HOUR)
    house.hooks(LATE)
    for _ in range(3):
        tick(house, dispatcher, HOUR)
    assert house.actions.served == ["x3"]  # nobody has waited for x4


@pytest.mark.parametrize("restarts", [False, True])
def test_what_became_overdue_while_no_listener_ran_is_seen_by_the_next_one(
    house: House, restarts: bool
) -> None:
    house.hooks(LATE)
    dispatcher = house.recalled()
    tick(house, dispatcher)
    dispatcher.act(event("x1"))
    dispatcher.act(event("x2"))
    tick(house, dispatcher, 60.0)
    house.now += 24 * HOUR
    dispatcher = house.restarted(dispatcher, restarts)
    dispatcher.accept_all([event("x2", "succeeded")], ("accepted", ""))
    tick(house, dispatcher)

    assert house.actions.served == ["x1"]


@pytest.mark.parametrize("jump", [-10 * HOUR, 10 * HOUR])
def test_a_jump_of_the_clock_makes_nothing_overdue_and_hides_nothing(house: House, jump: float) -> None:
    house.hooks(LATE)
    house.now, passed = 1e6, 0.0
    house.monotonic = lambda: passed
    dispatcher = house.recalled()
    dispatcher.accept_due()
    dispatcher.act(event("x1"))
    dispatcher.accept_due()
    house.now += jump
    passed += HOUR - 1
    tick(house, dispatcher)
    assert house.actions.calls == []

    if jump > 0:  # a restart knows the clock alone
        tick(house, house.recalled())
        assert house.actions.served == ["x1"]
    dispatcher.act(event("x2"))
    for _ in range(2):
        passed += HOUR
        tick(house, dispatcher)
    assert house.actions.served == ["x1", "x2"]


def test_what_fire_has_made_or_was_pruned_or_has_no_execution_is_never_overdue(house: House) -> None:
    house.hooks(LATE, hook("all", event_type="*"))
    dispatcher = house.recalled()
    tick(house, dispatcher)
    dispatcher.act(decode(event("fired").text, source=FIRE, origin=FIRE))
    dispatcher.act(delivery(None, event_type="workflow_started"))
    dispatcher.act(event("pruned"))
    dispatcher.act(event("x1"))
    tick(house, dispatcher, 60.0)
    house.look.prune(0, now=house.now, keep_s=0.0, keep=10)
    house.actions.calls.clear()
    tick(house, dispatcher, HOUR)

    assert house.actions.served == ["x1"]


def test_a_start_that_can_no_longer_be_read_is_told_and_keeps_no_other_from_being_overdue(
    house: House, log: Log
) -> None:
    house.hooks(LATE)
    dispatcher = house.recalled()
    tick(house, dispatcher)
    spoilt = as_entry(event("spoilt"), house.now, (), "k 1")
    house.look.accept(msgspec.structs.replace(spoilt, body="[" * 100_000))
    dispatcher.act(event("x2"))
    tick(house, dispatcher, HOUR)

    assert house.actions.served == ["x2"]
    [error] = log("ERROR")
    assert error.startswith("entry 1: hook late on its execution is not run: the payload is not JSON")


def test_it_is_suppressed_above_a_limit_like_any_run(house: House) -> None:
    house.hooks(hook("late", event_type="workflow_overdue", after="1h", at_most="1 per 1h"))
    dispatcher = house.recalled()
    tick(house, dispatcher)
    for execution_id in ("x1", "x2"):
        dispatcher.act(event(execution_id))
    tick(house, dispatcher, HOUR)

    assert house.states == ["ignored", "ignored", "done", "suppressed"]


def test_without_a_hooks_conf_nothing_is_overdue(house: House) -> None:
    tick(house, house.recalled(), HOUR)
    assert house.entries == []


def test_an_overdue_entry_does_not_wait_for_retries_of_its_execution(house: House) -> None:
    started: dict[str, Any] = {"event_type": "workflow_started", "retries": 9}
    house.hooks(hook("start", **started), LATE)
    house.actions.ends["start.f"] = [NO] * 9
    dispatcher = house.recalled()
    tick(house, dispatcher)
    dispatcher.act(event("x1"))
    house.now += HOUR
    house.jitter = 1.0
    dispatcher.accept_due()
    dispatcher.work()

    assert house.actions.called[-1] == "late.f"
