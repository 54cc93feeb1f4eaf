"""Which entry comes next: deliveries, redeliveries, retries, and what other processes change."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import msgspec
import pytest

from listener.dispatch.dispatcher import Dispatcher
from listener.errors import ActionFailed
from listener.hooks.watch import HooksFile
from listener.model.delivery import FROM_HOOK, decode
from listener.model.entry import Entry, Run
from listener.state.journal import FILE, SERIALS, Journal
from tests.dispatch.support import ALARM, NO, House, Log, delivery, hook

NOTE = ("accepted", "17.4/9")


# What the log says of an event


def test_an_event_without_a_hook_is_logged_as_the_original_does(house: House, log: Log) -> None:
    house.hooks(hook("a", event_type="workflow_started"))

    house.start().deliver(delivery(serial=7))

    assert house.states == ["ignored"]
    assert log("INFO") == [
        "The hook consumer received `workflow_failed` event but didn't find a compatible hook in the"
        " configuration (execution x1, serial 7, entry 1)"
    ]


def test_every_event_without_a_file_is_logged_as_the_original_does(house: House, log: Log) -> None:
    dispatcher = house.start()
    for _ in range(2):
        dispatcher.act(delivery())
    house.hooks(hook("a"))
    dispatcher.act(delivery())

    assert house.states == ["ignored", "ignored", "done"]
    warnings = log("WARNING")
    said = "The hook consumer received `workflow_failed` event but the hooks config file doesn't exist"
    assert [line.startswith(f"{said} ({house.path})") for line in warnings] == [True, True]


def test_what_cannot_be_read_is_kept_raw_with_the_reason(house: House, log: Log) -> None:
    house.hooks(hook("a"))

    house.start().act(decode('{"event_ty', source="supervisord", origin="serial 7"))

    assert (house.states, house.entry.body) == (["unreadable"], '{"event_ty')
    assert house.entry.error.startswith("the payload is not JSON")
    assert log("ERROR") == [f"serial 7, entry 1: nothing was run: {house.entry.error}"]


def test_what_a_hook_has_emitted_is_warned_of_where_a_hook_matches(house: House, log: Log) -> None:
    house.hooks(hook("a"))
    dispatcher = house.start()
    for execution_id, event_type in (("x1", "workflow_failed"), ("x2", "workflow_started")):
        made = delivery(execution_id, event_type=event_type)
        dispatcher.act(msgspec.structs.replace(made, source=FROM_HOOK))
    [warning] = log("WARNING")
    assert "entry 1" in warning
    assert "a hook has emitted this workflow_failed: if it is one of those that match" in warning


def test_missing_fields_are_warned_about_once_and_the_hooks_run(house: House, log: Log) -> None:
    house.hooks(hook("a"), hook("b"))

    house.start().act(delivery(context={"execution_id": "x1"}))

    assert house.run_states == ["done", "done"]
    [line] = log("WARNING")
    assert line.endswith(": the notification lacks workflow_id, tenant_name, deployment_id")


@pytest.mark.parametrize(("own_id", "said"), [("n1", "n1"), ("half \ud83d", "half \\ud83d")])
def test_the_same_id_with_another_payload_runs_with_a_warning(
    house: House, log: Log, own_id: str, said: str
) -> None:
    house.hooks(hook("h"))
    dispatcher = house.start()
    for each in ("n", "n1-", "n1%", "n_", own_id):
        dispatcher.act(delivery("a", id=each))
    assert log("WARNING") == []

    dispatcher.act(delivery("b", serial=4, id=own_id))

    assert house.actions.served == ["a"] * 5 + ["b"]
    assert log("WARNING") == [
        f"execution b, serial 4, entry 6: another notification had the id {said}; they differ, so both"
        " are acted on"
    ]


# Redeliveries


@pytest.mark.parametrize("restarts", [False, True])
def test_a_redelivery_runs_nothing_and_one_line_names_the_first_entry(
    house: House, log: Log, restarts: bool
) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = ["", NO]
    dispatcher = house.start()
    dispatcher.act(delivery("before"))
    dispatcher.act(delivery(serial=1))
    house.now += 0.5
    dispatcher = house.restarted(dispatcher, restarts)

    for state in ("pending", "done"):
        dispatcher.act(delivery(serial=1))
        assert log("INFO")[-1] == f"serial 1: accepted already, as entry 2, which is {state}"
        house.work(dispatcher, until=1001)

    assert house.actions.served == ["before", "x1", "x1"]
    assert house.look.noted(SERIALS) == "17.4/1/1"


def test_a_redelivery_of_what_was_never_tried_runs_it_once_and_in_its_turn(house: House) -> None:
    house.hooks(hook("h"))
    house.start().accept_all([delivery("a", serial=1), delivery("b", serial=2)], NOTE)
    house.now += 1
    dispatcher = house.recalled()

    for _ in range(2):
        dispatcher.act(delivery("b", serial=2))
    dispatcher.act(delivery("a", serial=1))

    assert house.actions.served == ["a", "b"]


def test_a_redelivery_of_what_was_pruned_in_between_is_dropped(house: House) -> None:
    class Pruning(Journal):
        def find(self, key: str) -> Entry | None:
            self.prune(0, now=0.0, keep_s=0.0, keep=0)
            return super().find(key)

    house.hooks(hook("h"))
    for serial in (1, 2):  # the newest entry is never pruned
        house.start().act(delivery(serial=serial))
    house.now += 1

    house.start(house.opened(Pruning(str(house.folder)))).act(delivery(serial=1))

    assert len(house.actions.calls) == 2


# The order


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("ends", [[""], [NO]], ids=["done", "failed"])
def test_an_execution_s_later_notification_waits_for_the_retries_of_its_earlier_one(
    house: House, restarts: bool, ends: list[str | BaseException]
) -> None:
    house.hooks(hook("h", retries=1), hook("k", event_type="workflow_queued"))
    house.actions.ends["h.f"] = [NO, *ends]
    dispatcher = house.start()
    dispatcher.act(delivery(message={"text": "one"}))
    dispatcher.act(delivery(message={"text": "two"}))
    dispatcher.act(delivery("x2", event_type="workflow_queued", message={"text": "other"}))
    dispatcher.act(delivery(message={"text": "three"}))
    dispatcher = house.restarted(dispatcher, restarts)
    assert dispatcher.work() == 1.0
    house.now += 1

    assert [dispatcher.work() for _ in range(3)] == [0.0, 0.0, None]

    texts = [call.notification.text for call in house.actions.calls]
    assert texts == ["one", "other", "one", "two", "three"]


@pytest.mark.parametrize(("wait_s", "began_at"), [(0.0, 1000.5), (100.0, 1100.5)])
@pytest.mark.parametrize("restarts", [False, True])
def test_it_waits_no_longer_than_it_has_to(
    house: House, wait_s: float, began_at: float, restarts: bool
) -> None:
    house.hooks(hook("h", retries=20), hook("late", event_type="workflow_succeeded"))
    house.actions.ends["h.f"] = [NO] * 10
    dispatcher = house.start(wait_s=wait_s)
    dispatcher.act(delivery())
    house.now += 0.5
    dispatcher.act(delivery(event_type="workflow_succeeded"))

    house.work(house.restarted(dispatcher, restarts, wait_s=wait_s), until=1110)

    assert house.entries[1].runs[0].attempts[0].began_at == began_at


def test_what_was_accepted_runs_in_order_and_before_what_is_delivered(house: House) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [NO]
    dispatcher = house.start()
    dispatcher.act(delivery("retried"))
    house.now += 5
    many = [delivery(name) for name in ("a", "b", "a", "c")]
    dispatcher.accept_all([*many, decode("no json", source="recorder", origin="o")], NOTE)
    assert house.actions.served == ["retried"]
    assert house.look.noted(NOTE[0]) == NOTE[1]

    dispatcher.act(delivery("d"))
    dispatcher.work()

    assert house.actions.served == ["retried", "a", "b", "a", "c", "d", "retried"]
    assert house.states == [*["done"] * 5, "unreadable", "done"]


@pytest.mark.parametrize("restarts", [False, True])
def test_what_was_accepted_runs_one_by_one_while_no_event_comes(house: House, restarts: bool) -> None:
    house.hooks(hook("h"))
    dispatcher = house.start()
    dispatcher.accept_all([delivery("a", serial=1), delivery("b"), delivery("c")], NOTE)
    house.now += 1
    dispatcher = house.restarted(dispatcher, restarts)
    dispatcher.accept_all([delivery("a", serial=1)], NOTE)

    assert [dispatcher.work() for _ in range(4)] == [0.0, 0.0, None, None]

    assert house.actions.served == ["a", "b", "c"]


def test_a_listener_that_is_asked_to_stop_leaves_the_rest_to_the_next_one(house: House) -> None:
    house.hooks(hook("h"))
    dispatcher = house.start()
    dispatcher.accept_all([delivery("a"), delivery("b")], NOTE)
    house.actions.look = lambda call: setattr(house, "is_stopping", True)

    dispatcher.act(delivery("c"))

    assert house.states == ["done", "pending", "pending"]


def test_work_does_one_thing_and_returns_when_there_is_more_within_a_day(house: House) -> None:
    house.hooks(hook("h", retries=2))
    house.actions.ends["h.f"] = [NO, ActionFailed("much later", retry_after_s=1e9), NO]
    dispatcher = house.start()
    assert dispatcher.work() is None
    for name in "abc":
        dispatcher.act(delivery(name))

    assert dispatcher.work() == 1.0
    house.now += 5
    assert dispatcher.work() == 0.0
    assert dispatcher.work() == 86_400

    assert house.actions.served == ["a", "b", "c", "a", "c"]


@pytest.mark.parametrize("restarts", [False, True])
def test_a_retry_does_not_wait_for_a_clock_that_was_set_back(house: House, restarts: bool) -> None:
    house.hooks(hook("h", retries=2))
    house.actions.ends["h.f"] = [NO, ActionFailed("none", retry_after_s=5000.0)]
    house.now = 10_000.0
    dispatcher = house.start()
    for name in "ab":
        dispatcher.act(delivery(name))
    assert dispatcher.work() == 1.0

    house.now -= 3600
    house.work(house.restarted(dispatcher, restarts))

    assert house.actions.served == ["a", "b", "a", "b"]


# What other processes and defects change


@pytest.mark.parametrize("how", ["it comes upon it", "it recalls", "it restarts"])
def test_what_another_process_dropped_is_tried_no_more(house: House, how: str) -> None:
    house.hooks(hook("h", retries=9), hook("next"))
    house.actions.ends["h.f"] = [NO]
    dropped: list[bool] = []
    house.actions.look = lambda call: dropped.append(house.look.drop(1))
    dispatcher = house.recalled()
    dispatcher.act(delivery(message={"text": "one"}))
    assert dropped == [False, False]  # it was running

    assert house.look.drop(1)
    dispatcher.act(delivery(message={"text": "two"}))
    if how == "it recalls":
        dispatcher.recall()
    dispatcher = house.restarted(dispatcher, how == "it restarts")
    house.work(dispatcher, until=1001 if how == "it comes upon it" else 1000)

    assert [call.notification.text for call in house.actions.calls] == ["one", "one", "two", "two"]
    assert house.states == ["dropped", "done"]


def test_what_another_process_has_reopened_is_run_again(house: House) -> None:
    house.hooks(hook("h"), hook("k"))
    house.actions.ends["h.f"] = [NO]
    dispatcher = house.recalled()
    dispatcher.act(delivery())
    run, other = house.runs
    assert house.look.reopen(house.entry, (Run("h", "h.f", attempts=run.attempts), other))

    dispatcher.recall()
    house.work(dispatcher)

    assert house.actions.called == ["h.f", "k.f", "h.f"]
    assert [attempt.state for attempt in house.runs[0].attempts] == ["failed", "done"]


def test_an_entry_that_is_damaged_holds_up_no_other(house: House, log: Log) -> None:
    house.hooks(hook("h"))
    house.start().accept_all([delivery("a"), delivery("b")], NOTE)
    with closing(sqlite3.connect(house.folder / FILE, isolation_level=None)) as connection:
        connection.execute("UPDATE entries SET body = '{\"event_ty' WHERE id = 1")

    house.work(house.recalled())

    assert house.actions.served == ["b"]
    assert house.states == ["unreadable", "done"]
    assert log("ERROR")[0].startswith("entry 1: nothing more is run: the payload is not JSON")


def test_a_journal_that_was_removed_is_an_error_and_a_new_one_begins(house: House, log: Log) -> None:
    house.hooks(hook("h", retries=1))
    house.actions.ends["h.f"] = [NO] * 2
    dispatcher = house.recalled()
    for name in ("lost", "lost too"):
        dispatcher.act(delivery(name))
    house.look.close()
    for file in house.folder.iterdir():
        file.unlink()

    dispatcher.recall()
    error = log("ERROR")[-1]
    assert error.startswith(f"{house.folder / FILE} was removed while it was in use: ")
    dispatcher.act(delivery("new"))
    house.work(dispatcher, until=2000)

    assert house.actions.served == ["lost", "lost too", "new"]
    assert (house.states, house.entry.id) == (["done"], 1)


def test_while_there_is_no_hooks_conf_an_entry_waits_for_it(house: House) -> None:
    house.hooks(hook("h"))
    house.start().accept_all([delivery()], NOTE)
    house.path.unlink()
    dispatcher = house.recalled()

    assert dispatcher.work() == 300.0
    assert house.states == ["pending"]
    house.hooks(hook("h"))
    house.work(dispatcher, until=1300)

    assert house.states == ["done"]


def test_after_a_defect_of_ours_an_entry_is_resumed_some_minutes_later(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.hooks(hook("h", repeatable=True))
    dispatcher = house.start()
    dispatcher.accept_all([delivery()], NOTE)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "ended", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            dispatcher.work()
    assert house.run_states == ["running"]

    assert dispatcher.work() == 300.0
    house.work(dispatcher, until=1300)

    assert house.run_states == ["done"]


def test_a_journal_in_memory_does_the_same_while_the_process_lives(house: House) -> None:
    house.hooks(hook("a"), hook("h", retries=1), ALARM)
    house.actions.ends["h.f"] = [ActionFailed("again", retry_after_s=0.0), NO]
    hooks_file, journal = HooksFile(house.path, {}), house.opened(Journal(None))
    dispatcher = Dispatcher(hooks_file, house.actions, journal, 900.0)  # with the real clock
    dispatcher.recall()

    dispatcher.accept_all([delivery(id="n1"), delivery(id="n1")], NOTE)
    dispatcher.deliver(delivery(id="n1"))
    while dispatcher.work() is not None:
        dispatcher.deliver(delivery(id="n1"))

    assert house.actions.called == ["a.f", "h.f", "h.f", "alarm.f"]
    assert house.actions.calls[0].received_at > 1.7e9
    assert house.entries == []
