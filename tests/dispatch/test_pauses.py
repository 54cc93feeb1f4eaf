"""A pause: what comes is kept, and runs in order when it ends; or it is given up."""

from __future__ import annotations

import msgspec
import pytest

from listener.actions.registry import TRAP
from listener.dispatch.pauses import (
    REFRESH_S,
    Pause,
    begin_pause,
    end_pause,
    has_ended,
    in_force,
    is_taken,
)
from tests.dispatch.support import NO, House, Killed, Log, delivery, hook
from tests.support import Finishing


def pause(house: House, hook: str = "", until: float | None = None, comment: str = "") -> Pause:
    """What the verb notes; a listener takes it at its next look."""
    made = Pause("ann", house.now, hook, until, comment)
    begin_pause(house.look, made)
    return made


def tick(house: House, dispatcher: Finishing, until: float = 0.0) -> None:
    """A TICK_5, and what comes after it."""
    dispatcher.recall()
    house.work(dispatcher, until)


def entries_of(house: House, execution_id: str) -> list[int]:
    """The entries of an execution for which an action was called, in that order."""
    calls = house.actions.calls
    return [each.entry_id for each in calls if each.hook_context["execution_id"] == execution_id]


def act(house: House, dispatcher: Finishing, *execution_ids: str) -> None:
    first = len(house.entries) + 1
    for serial, execution_id in enumerate(execution_ids, first):
        dispatcher.act(delivery(execution_id, serial=serial))


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("implementation", ["h.f", TRAP])
def test_in_a_pause_events_are_kept_and_run_in_order_when_it_ends(
    house: House, log: Log, restarts: bool, implementation: str
) -> None:
    house.hooks(hook("h", implementation=implementation))
    house.actions.instant = {TRAP}
    dispatcher = house.recalled()
    paused = pause(house, comment="relay down")
    assert not is_taken(house.look, paused)
    dispatcher.recall()
    assert is_taken(house.look, paused)
    act(house, dispatcher, "x1", "x2", "x1", "x3")
    dispatcher = house.restarted(dispatcher, restarts)
    tick(house, dispatcher, house.now + 10_000)
    assert (house.states, house.actions.served) == (["pending"] * 4, [])

    end_pause(house.look, paused)
    dispatcher = house.restarted(dispatcher, restarts)
    tick(house, dispatcher)
    act(house, dispatcher, "x4")
    assert house.actions.served == ["x1", "x2", "x1", "x3", "x4"]
    assert not is_taken(house.look, paused)
    about = "paused by ann since 1970-01-01T00:16:40.000Z (relay down)"
    begun = f"{about}: events are kept, and run when it ends (conductor-hooks resume)"
    over = f"the pause is over, and what it has kept runs in order ({about})"
    assert log("WARNING") == [begun] * (2 if restarts else 1) + [over]


def test_a_pause_ends_by_itself_and_a_second_one_replaces_the_first(house: House) -> None:
    house.hooks(hook("h"))
    dispatcher = house.recalled()
    pause(house, until=house.now + 60)
    house.now += 1
    later = pause(house, until=house.now + 3600)
    assert in_force(house.look, house.now) == [later]
    tick(house, dispatcher)
    act(house, dispatcher, "x1")
    tick(house, dispatcher, house.now + 3599)
    assert house.actions.served == []
    house.now += 1
    tick(house, dispatcher)
    assert house.actions.served == ["x1"]
    house.now -= 1000  # a correction of the clock does not bring it back
    tick(house, dispatcher)
    act(house, dispatcher, "x2")
    assert house.actions.served == ["x1", "x2"]


@pytest.mark.parametrize("restarts", [False, True])
def test_however_long_a_pause_is_an_execution_s_entries_keep_their_order(
    house: House, restarts: bool
) -> None:
    house.hooks(hook("h", retries=3))
    house.actions.ends["h.f"] = [NO, NO]
    dispatcher = house.recalled()
    act(house, dispatcher, "x1")
    paused = pause(house)
    tick(house, dispatcher)
    act(house, dispatcher, "x1", "x2")
    tick(house, dispatcher, house.now + 5000)
    assert house.actions.served == ["x1"]
    end_pause(house.look, paused)
    dispatcher = house.restarted(dispatcher, restarts)
    dispatcher.recall()
    dispatcher = house.restarted(dispatcher, restarts)
    house.work(dispatcher, house.now + 10)
    assert entries_of(house, "x1") == [1, 1, 2]
    assert house.states == ["done"] * 3


@pytest.mark.parametrize("name", ["", "b"])
def test_a_pause_comes_into_force_between_two_hooks_of_an_entry_too(house: House, name: str) -> None:
    house.hooks(hook("a"), hook("b"))
    dispatcher = house.recalled()

    def pause_meanwhile(_call: object) -> None:
        house.now += REFRESH_S
        pause(house, name)

    house.actions.look = pause_meanwhile
    act(house, dispatcher, "x1")
    assert (house.actions.called, house.run_states) == (["a.f"], ["done", "pending"])
    house.actions.look = lambda _call: None
    for paused in in_force(house.look, house.now):
        end_pause(house.look, paused)
    tick(house, dispatcher)
    assert (house.actions.called, house.run_states) == (["a.f", "b.f"], ["done", "done"])


@pytest.mark.parametrize("restarts", [False, True])
def test_the_pause_of_a_hook_keeps_its_runs_alone_and_holds_up_no_other_hook(
    house: House, restarts: bool
) -> None:
    house.hooks(hook("page", repeatable=True), hook("trap", retries=1))
    house.actions.ends["trap.f"] = ["", NO]
    dispatcher = house.recalled()
    paused = pause(house, "page")
    dispatcher.recall()
    act(house, dispatcher, "x1", "x1", "x2")
    assert house.actions.called == ["trap.f"] * 3
    dispatcher = house.restarted(dispatcher, restarts)
    tick(house, dispatcher, house.now + 1000)
    assert house.actions.called == ["trap.f"] * 4
    assert [[run.state for run in entry.runs] for entry in house.entries] == [["pending", "done"]] * 3

    end_pause(house.look, paused)
    dispatcher = house.restarted(dispatcher, restarts)
    tick(house, dispatcher)
    assert house.actions.called[4:] == ["page.f"] * 3
    assert house.actions.served[4:] == ["x1", "x1", "x2"]
    assert house.states == ["done"] * 3


def test_a_paused_hook_that_was_interrupted_runs_again_after_the_pause(house: House) -> None:
    house.hooks(hook("h", repeatable=True))
    house.actions.ends["h.f"] = [Killed()]
    house.die(house.recalled(), delivery("x1", serial=1))
    paused = pause(house, "h")
    dispatcher = house.recalled()
    house.work(dispatcher)
    assert house.states == ["pending"]
    end_pause(house.look, paused)
    tick(house, dispatcher)
    assert (house.states, house.actions.served) == (["done"], ["x1", "x1"])


@pytest.mark.parametrize("restarts", [False, True])
def test_what_was_kept_and_never_begun_can_be_given_up(house: House, log: Log, restarts: bool) -> None:
    house.hooks(hook("h", retries=1), hook("late", event_type="other"))
    house.actions.ends["h.f"] = [NO]
    dispatcher = house.recalled()
    act(house, dispatcher, "x1")
    paused = pause(house)
    dispatcher.recall()
    act(house, dispatcher, "x1", "x2")
    end_pause(house.look, paused, gives_up_at=house.now)
    house.now += 1
    act(house, dispatcher, "x3")  # it came later
    dispatcher = house.restarted(dispatcher, restarts)
    tick(house, dispatcher, house.now + 1)
    act(house, dispatcher, "x4")
    assert house.states == ["done", "dropped", "dropped", "done", "done"]
    assert sorted(house.actions.served) == ["x1", "x1", "x3", "x4"]
    assert house.entries[1].rest_token is None
    assert log("INFO").count("given up by conductor-hooks resume --drop, entries: 2") == 1
    assert [line.partition(" (")[0] for line in log("WARNING")][1:] == [
        "the pause is over, and what it has kept is given up"
    ]


def test_a_pause_takes_back_nothing_that_was_given_up_before(house: House) -> None:
    house.hooks(hook("h"))
    dispatcher = house.recalled()
    first = pause(house)
    dispatcher.recall()
    act(house, dispatcher, "x1")
    end_pause(house.look, first, gives_up_at=house.now)
    house.now += 1
    second = pause(house)
    act(house, dispatcher, "x2")
    tick(house, dispatcher)
    assert house.states == ["dropped", "pending"]
    assert has_ended(house.look, first)
    end_pause(house.look, second)
    tick(house, dispatcher)
    assert house.states == ["dropped", "done"]


def test_one_resume_ends_what_two_people_have_paused_at_the_same_time(house: House) -> None:
    notes = dict[str, Pause]()
    for by in ("ann", "bob"):
        begin_pause(house.look, Pause(by, house.now))
        notes |= house.look.all_noted_as("pause ", Pause)
        house.now += 1
    for name, value in notes.items():  # each had noted its own before the other one looked
        house.look.note(name, msgspec.json.encode(value).decode())
    end_pause(house.look, in_force(house.look, house.now)[-1])
    assert in_force(house.look, house.now) == []


def test_of_two_pauses_each_keeps_what_the_other_gives_up(house: House) -> None:
    house.hooks(hook("page"), hook("trap"))
    dispatcher = house.recalled()
    of_page = pause(house, "page")
    dispatcher.recall()
    act(house, dispatcher, "x1")
    house.now += 1
    of_all = pause(house)
    dispatcher.recall()
    act(house, dispatcher, "x2")
    end_pause(house.look, of_all, gives_up_at=house.now)
    tick(house, dispatcher)
    act(house, dispatcher, "x3")
    assert house.actions.called == ["trap.f", "trap.f"]
    states = [[run.state for run in entry.runs] for entry in house.entries]
    assert states == [["pending", "done"], ["pending", "dropped"], ["pending", "done"]]

    end_pause(house.look, of_page, gives_up_at=house.now)
    tick(house, dispatcher)
    assert house.states == ["dropped"] * 3
    assert house.actions.called == ["trap.f", "trap.f"]


def test_limits_and_overdue_executions_are_seen_in_a_pause_and_their_hooks_run_after_it(
    house: House,
) -> None:
    house.hooks(
        hook("h", at_most="1 per 10s"),
        hook("told", event_type="hook_suppressed"),
        hook("late", event_type="workflow_overdue", after="1m"),
    )
    dispatcher = house.recalled()
    dispatcher.accept_due()
    paused = pause(house)
    dispatcher.recall()
    act(house, dispatcher, "x1", "x2")
    dispatcher.act(delivery("x3", serial=3, event_type="workflow_started"))
    house.now += 61
    dispatcher.recall()
    dispatcher.accept_due()
    assert house.actions.called == []
    end_pause(house.look, paused)
    tick(house, dispatcher)
    assert house.actions.called == ["h.f", "told.f", "late.f"]
