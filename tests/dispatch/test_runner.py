"""The hooks of one entry: what is on record when, retries, interruptions, what follows a failure."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any
from unittest.mock import patch

import pytest

from listener.actions.registry import TRAP
from listener.errors import ActionFailed, ActionTimedOut
from listener.model.delivery import Delivery, decode
from listener.model.entry import Entry
from listener.model.notification import Notification
from listener.state.database import Database
from listener.state.journal import Journal
from tests.dispatch.support import (
    ALARM,
    NO,
    TOKEN,
    House,
    Killed,
    Log,
    Mortal,
    MortalJournal,
    delivery,
    hook,
)

# What is on record, and when


def test_a_begin_is_on_record_before_the_work_and_an_end_after_it(house: House) -> None:
    house.hooks(hook("a"), hook("b"), hook("c"))
    house.actions.ends["b.f"] = [NO]
    seen: list[Any] = []
    house.actions.look = lambda call: seen.append((house.entry.state, house.run_states))

    house.start().act(delivery())

    assert seen == [
        ("running", ["running", "pending", "pending"]),
        ("running", ["done", "running", "pending"]),
        ("running", ["done", "failed", "running"]),
    ]
    assert house.states == ["failed"]
    assert house.run_states == ["done", "failed", "done"]


def test_an_answer_waits_for_the_work_but_not_for_the_record_of_its_end(house: House) -> None:
    house.hooks(hook("a"), hook("b"))
    dispatcher = house.start()

    dispatcher.deliver(delivery("x1"))

    assert house.actions.called == ["a.f", "b.f"]
    assert house.run_states == ["done", "running"]
    assert [attempt.state for attempt in house.runs[1].attempts] == ["interrupted"]
    for _ in range(2):
        dispatcher.finish()
        assert house.run_states == ["done", "done"]


def test_the_end_of_an_event_is_stored_before_anything_is_done_for_the_next(house: House) -> None:
    house.hooks(hook("a"))
    dispatcher = house.start()
    dispatcher.deliver(delivery("x1"))
    seen: list[list[str]] = []
    house.actions.look = lambda call: seen.append(house.states)

    dispatcher.deliver(delivery("x2"))

    assert seen == [["done", "running"]]


@pytest.mark.parametrize("hooks", [0, 1, 3])
def test_an_event_uses_the_journal_once_more_than_it_has_hooks(house: House, hooks: int) -> None:
    house.hooks(*(hook(f"h{number}") for number in range(hooks)))
    enter = Database.__enter__
    dispatcher = house.recalled()

    with patch.object(Database, "__enter__", autospec=True, side_effect=enter) as used:
        dispatcher.act(delivery(serial=1))

    assert used.call_count == hooks + 1
    assert house.run_states == ["done"] * hooks


# Instant hooks


def instant(house: House, *hooks: str) -> None:
    """A hooks.conf in which `i` and `j` are over in a moment and harmless to run twice."""
    house.actions.instant = {"i.f", "j.f"}
    house.hooks(hook("i", repeatable=True), hook("j", repeatable=True), *hooks)


def test_instant_hooks_at_the_head_run_before_the_notification_is_stored(house: House) -> None:
    instant(house, hook("a"), hook("i2", implementation="i.f", repeatable=True))
    seen: list[list[str]] = []
    house.actions.look = lambda call: seen.append(house.run_states if house.entries else [])

    house.start().act(delivery())

    assert seen == [[], [], ["done", "done", "running", "pending"], ["done", "done", "done", "running"]]
    assert house.states == ["done"]


def test_an_entry_of_instant_hooks_is_written_once(house: House, log: Log) -> None:
    instant(house)
    enter = Database.__enter__

    with patch.object(Database, "__enter__", autospec=True, side_effect=enter) as used:
        house.start().act(delivery(serial=1))

    assert used.call_count == 2  # one of them looks whether it is known
    assert [line for line in log("INFO") if "done in" in line] == [
        f"hook {name}: done in 0.000 s (execution x1, serial 1, entry 1)" for name in "ij"
    ]


def test_an_instant_hook_that_fails_is_tried_again_and_reported_like_any_other(house: House) -> None:
    instant(house, hook("a"), ALARM)
    house.actions.ends = {"i.f": [NO], "j.f": [ActionFailed("no", reached=("there",))]}
    house.hooks(hook("i", repeatable=True, retries=1), hook("j", repeatable=True), hook("a"), ALARM)
    dispatcher = house.start()

    dispatcher.act(delivery())
    house.work(dispatcher, until=2000)

    assert [entry.state for entry in house.entries] == ["failed", "done"]
    assert [run.state for run in house.entries[0].runs] == ["done", "failed", "done"]
    assert house.actions.called == ["i.f", "j.f", "a.f", "alarm.f", "i.f"]


def test_an_instant_hook_that_is_not_repeatable_is_on_record_first(house: House) -> None:
    house.actions.instant = {"i.f"}
    house.hooks(hook("i"))
    seen: list[list[str]] = []
    house.actions.look = lambda call: seen.append(house.run_states)

    house.start().act(delivery())

    assert seen == [["running"]]


@pytest.mark.parametrize("steps", range(8))
def test_an_instant_hook_runs_once_more_only_where_the_process_was_killed_before_its_record(
    house: House, steps: int
) -> None:
    instant(house)
    life = Mortal(steps)
    house.actions.look = lambda call: life.step("in a hook")
    with suppress(Killed):
        house.start(house.opened(MortalJournal(str(house.folder), life))).act(delivery(serial=1))
    was_stored = bool(house.entries)
    before = len(house.actions.calls)
    house.actions.look = lambda call: None
    house.now += 1

    house.recalled().act(delivery(serial=1))  # it was not answered

    assert len(house.actions.calls) - before == (0 if was_stored else 2)
    assert house.states == ["done"]


# Retries


@pytest.mark.parametrize("restarts", [False, True])
def test_each_attempt_stands_in_the_entry_and_after_the_last_it_has_failed(
    house: House, log: Log, restarts: bool
) -> None:
    house.hooks(hook("h", retries=2))
    house.actions.ends["h.f"] = [NO, ActionTimedOut("no end"), ValueError("three")]
    dispatcher = house.start()

    dispatcher.act(delivery())
    assert house.states == ["pending"]
    house.work(house.restarted(dispatcher, restarts), until=2000)

    [run] = house.runs
    assert [(attempt.began_at, attempt.state, attempt.text) for attempt in run.attempts] == [
        (1000.0, "failed", "no route"),
        (1001.0, "timed out", "no end"),
        (1003.0, "failed", "ValueError: three"),
    ]
    assert (house.entry.state, run.state, run.failures) == ("failed", "failed", 3)
    assert [line.split(" (")[0] for line in log("INFO") if "attempt" in line] == [
        "hook h: attempt 2 of 3 in 1.0 s",
        "hook h: attempt 3 of 3 in 2.0 s",
    ]
    assert log("ERROR")[-1].startswith("hook h: given up after attempt 3 of 3 (execution x1, ")


def test_only_the_run_that_failed_is_tried_again_after_all_others(house: House) -> None:
    house.hooks(hook("a", retries=9), hook("b"), hook("c", retries=1), hook("d", retries=2))
    house.actions.ends = {"b.f": [NO], "c.f": [NO] * 2, "d.f": [NO] * 2}
    house.jitter = 0.0  # each retry is due at once
    dispatcher = house.start()
    dispatcher.act(delivery())
    assert house.run_states == ["done", "failed", "pending", "pending"]

    house.work(dispatcher)

    assert house.run_states == ["done", "failed", "failed", "done"]
    assert house.actions.called == ["a.f", "b.f", "c.f", "d.f", "c.f", "d.f", "d.f"]


@pytest.mark.parametrize(("retries", "attempts"), [(0, 2), (9, 4)])
def test_a_retry_uses_hooks_conf_as_it_is_now(house: House, retries: int, attempts: int) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [NO] * 3
    dispatcher = house.start()
    dispatcher.act(delivery())
    house.hooks(hook("h", retries=retries, timeout=7))

    house.work(dispatcher, until=2000)

    assert [call.hook.timeout_s for call in house.actions.calls] == [60, *[7] * (attempts - 1)]
    assert {call.received_at for call in house.actions.calls} == {1000.0}


def test_a_retry_of_a_hook_that_is_gone_fails_and_says_so(house: House, log: Log) -> None:
    house.hooks(hook("h", retries=2), hook("other", retries=2))
    house.actions.ends = {"h.f": [NO], "other.f": [NO]}
    dispatcher = house.start()
    dispatcher.act(delivery())
    house.hooks(hook("other", retries=2))

    house.work(dispatcher, until=2000)

    assert house.run_states == ["failed", "done"]
    assert house.actions.called == ["h.f", "other.f", "other.f"]
    reason = "hooks.conf no longer has hook h with h.f for the event"
    assert [attempt.text for attempt in house.runs[0].attempts] == ["no route", reason]
    assert log("ERROR")[2].startswith(f"hook h: failed after 0.000 s: {reason} (execution x1, ")


def test_what_was_reached_is_left_out_by_every_later_attempt(house: House) -> None:
    house.hooks(hook("h", retries=2))
    reaches = [ActionFailed("c is away", reached=(name,) if name else ()) for name in ("a", "", "b")]
    house.actions.ends["h.f"] = [*reaches]
    dispatcher = house.start()

    dispatcher.act(delivery())
    house.work(dispatcher, until=2000)

    assert [call.reached for call in house.actions.calls] == [(), ("a",), ("a",)]
    assert house.runs[0].reached == ("a", "b")


# The rest_token


def test_the_rest_token_is_there_for_retries_and_gone_once_all_is_settled(house: House) -> None:
    house.hooks(hook("a"), hook("h", retries=2))
    house.actions.ends["h.f"] = [NO]
    dispatcher = house.start()
    dispatcher.act(delivery())
    assert house.entry.rest_token == TOKEN
    assert house.deleted == []

    house.work(dispatcher, until=2000)

    assert [call.hook_context["rest_token"] for call in house.actions.calls] == [TOKEN] * 3
    assert not house.entry.rest_token
    assert json.loads(house.entry.body)["context"]["rest_token"] == ""
    assert house.deleted == [(TOKEN, "acme")]


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("last", ["", NO], ids=["the entry settles last", "an alarm settles last"])
def test_the_rest_token_is_deleted_when_no_hook_on_hook_failed_needs_it_any_more(
    house: House, restarts: bool, last: str | ActionFailed
) -> None:
    house.hooks(hook("h"), hook("tried", retries=1), ALARM)
    house.actions.ends = {"h.f": [NO], "tried.f": [NO, last]}
    seen: list[int] = []
    house.actions.look = lambda call: seen.append(len(house.deleted))
    dispatcher = house.start()

    dispatcher.act(delivery())
    house.work(house.restarted(dispatcher, restarts), until=2000)

    assert seen == [0] * (5 if last else 4)
    assert house.deleted == [(TOKEN, "acme")]


@pytest.mark.parametrize("hooks", [(), (hook("i", repeatable=True),)])
def test_the_rest_token_of_an_entry_that_is_stored_as_settled_is_deleted(
    house: House, hooks: tuple[str, ...]
) -> None:
    house.actions.instant = {"i.f"}
    house.hooks(*hooks)
    seen: list[int] = []
    house.actions.look = lambda call: seen.append(len(house.deleted))
    dispatcher = house.start()

    dispatcher.act(delivery(serial=1))
    house.now += 1
    dispatcher.act(delivery(serial=1))  # accepted already
    dispatcher.act(decode("no JSON", source="supervisord", origin="serial 2"))

    assert house.deleted == [(TOKEN, "acme")]
    assert seen == [0] * len(hooks)


# Interrupted


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ({}, "interrupted"),
        ({"retries": 5}, "interrupted"),
        ({"repeatable": True}, "done"),
        ({"implementation": TRAP}, "done"),
        ({"implementation": TRAP, "repeatable": False}, "interrupted"),
    ],
)
def test_what_was_begun_is_run_again_only_if_it_is_repeatable_and_the_next_hooks_run(
    house: House, log: Log, kind: dict[str, Any], state: str
) -> None:
    house.hooks(hook("first"), hook("h", **kind), hook("next"))
    implementation = kind.get("implementation", "h.f")
    house.actions.ends[implementation] = [Killed()]
    house.die(house.start(), delivery())

    house.work(house.recalled())

    is_repeated = state == "done"
    assert house.run_states == ["done", state, "done"]
    assert house.actions.called == [
        "first.f", implementation, *[implementation] * is_repeated, "next.f"
    ]  # fmt: skip
    attempts = [attempt.state for attempt in house.runs[1].attempts]
    assert attempts == ["interrupted", *["done"] * is_repeated]
    [line] = log("WARNING")
    how = "not repeatable, and interrupted until conductor-hooks replay 1"
    how = "run again" if is_repeated else how
    assert line.startswith(f"hook h: the listener ended while it ran; it is {how} (execution x1, ")


def test_what_was_begun_for_a_hook_that_is_gone_is_interrupted(house: House) -> None:
    house.hooks(hook("h", repeatable=True))
    house.actions.ends["h.f"] = [Killed()]
    house.die(house.start(), delivery())
    house.hooks(hook("other", repeatable=True))

    house.work(house.recalled())

    assert house.run_states == ["interrupted"]
    assert house.actions.called == ["h.f"]


def test_an_interruption_is_no_failure_and_takes_no_retry_away(house: House) -> None:
    house.hooks(hook("h", repeatable=True, retries=1))
    house.actions.ends["h.f"] = [Killed(), NO, NO]
    house.die(house.start(), delivery())

    house.work(house.recalled(), until=2000)

    attempts = [attempt.state for attempt in house.runs[0].attempts]
    assert attempts == ["interrupted", "failed", "failed"]


# hook_failed


def test_hooks_on_hook_failed_get_the_context_and_what_has_failed(house: House) -> None:
    house.hooks(hook("h", retries=1), ALARM)
    house.actions.ends["h.f"] = [NO, ActionTimedOut("no end")]
    dispatcher = house.start()
    dispatcher.act(delivery(message={"text": "Workflow failed", "arguments": {"error": "e"}}))

    house.work(dispatcher, until=2000)

    *_, failed, alarm = house.actions.calls
    said = {"event_type": "hook_failed", "hook": "h", "error": "no end", "attempts": 2}
    assert alarm.hook_context == {**failed.hook_context, **said}
    assert (alarm.notification.text, alarm.notification.timestamp) == ("Workflow failed", "now")
    entry, follow_up = house.entries
    assert (entry.state, follow_up.state) == ("failed", "done")
    assert (follow_up.source, follow_up.event_type) == ("hook_failed", "hook_failed")
    assert (follow_up.execution_id, follow_up.serials, follow_up.rest_token) == ("x1", None, None)
    assert TOKEN not in follow_up.body


def test_each_failure_has_an_entry_of_its_own_but_a_failure_of_an_alarm_has_none(house: House) -> None:
    house.hooks(
        hook("a"), hook("b"), hook("c", retries=1), hook("alarm", event_type="hook_failed", retries=1)
    )
    house.actions.ends = {"a.f": [Killed()], "c.f": [NO] * 2, "alarm.f": [NO] * 3}
    house.die(house.start(), delivery())

    house.work(house.recalled(), until=2000)

    alarms = [call.hook_context for call in house.actions.calls if call.hook.name == "alarm"]
    assert [(alarm["hook"], alarm["error"]) for alarm in alarms] == [
        ("a", "interrupted"), ("c", "no route"), ("a", "interrupted"), ("c", "no route")
    ]  # fmt: skip
    assert house.states == ["failed", "failed", "done"]


def test_two_hooks_of_one_name_that_fail_have_two_entries(house: House) -> None:
    first, second = (hook(None, implementation="h.f", retries=1, inputs={"to": to}) for to in "ab")
    house.hooks(first, second, ALARM)
    house.actions.ends["h.f"] = [NO] * 3
    dispatcher = house.start()
    dispatcher.act(delivery())
    house.hooks(second, ALARM)

    house.work(dispatcher, until=2000)

    assert {run.hook for run in house.entries[0].runs} == {"workflow_failed-1"}
    assert house.states == ["failed", "done", "done"]


def test_nothing_follows_from_a_failure_that_no_hook_wants_to_know_of(house: House) -> None:
    house.hooks(hook("h"), hook("any", event_type="*"))
    house.actions.ends["h.f"] = [NO]
    dispatcher = house.start()

    dispatcher.act(delivery())
    house.work(dispatcher)

    assert house.actions.called == ["h.f", "any.f"]
    assert house.states == ["failed"]


@pytest.mark.parametrize("restarts", [False, True])
def test_what_follows_from_a_failure_runs_after_the_event(house: House, restarts: bool) -> None:
    house.hooks(hook("h"), hook("tried", retries=1), ALARM)
    house.actions.ends = {"h.f": [NO], "tried.f": [NO]}
    dispatcher = house.start()

    dispatcher.act(delivery())
    assert house.actions.called == ["h.f", "tried.f"]
    assert house.states == ["pending", "pending"]
    house.work(house.restarted(dispatcher, restarts), until=2000)

    assert house.actions.called == ["h.f", "tried.f", "alarm.f", "tried.f"]


def test_no_depth_of_a_context_keeps_a_failure_from_being_recorded(house: House, log: Log) -> None:
    house.hooks(hook("h"), ALARM)
    house.actions.ends["h.f"] = [NO]
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    notification = Notification("workflow_failed", {"deep": deep})

    house.start().act(Delivery(notification, "{}", "supervisord", "serial 7"))

    assert house.states == ["failed"]
    assert log("ERROR")[-1].startswith("entry 1 nests too deep for hooks on hook_failed")


# Beside another process


def test_what_is_dropped_in_the_moment_before_its_retry_is_not_run(house: House) -> None:
    class Racing(Journal):
        def get(self, entry_id: int) -> Entry | None:
            entry = super().get(entry_id)
            assert house.look.drop(entry_id)
            return entry

    house.hooks(hook("h", retries=9))
    house.actions.ends["h.f"] = [NO]
    dispatcher = house.start(house.opened(Racing(str(house.folder))))
    dispatcher.act(delivery())

    house.work(dispatcher, until=2000)

    assert house.states == ["dropped"]
    assert house.actions.called == ["h.f"]
