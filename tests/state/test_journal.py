"""The journal: what a method has stored, the others find. In a file and in memory it is the same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from listener.errors import StateError
from listener.model.entry import Entry
from listener.model.outcome import Tally
from listener.state.filters import Filters
from listener.state.journal import Journal
from listener.state.rows import Milestone
from tests.state.entries import FAILED, RUN, TOKEN, bodies, entry, ids

changed = msgspec.structs.replace
SETTLED = ("done", "suppressed", "failed", "interrupted", "ignored", "unreadable", "dropped")
NO_TEXT = "\ud83d"
"""What cannot be stored, so that a transaction fails in its middle."""


@pytest.fixture(params=["in a file", "in memory"])
def journal(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Journal]:
    journal = Journal(str(tmp_path) if request.param == "in a file" else None)
    yield journal
    journal.close()


# Accepting


def test_an_accepted_entry_is_found_as_it_was(journal: Journal) -> None:
    everything = entry(
        state="running",
        body='{"ü": "€😀\0"}',
        key="b7c1 0badc0de",
        serials="4711.99/12/3",
        event_type="workflow_failed",
        execution_id="x1",
        rest_token=TOKEN,
        runs=(RUN, RUN.begun(5.5), RUN.begun(1.0).ended(FAILED, 3.5)),
        error="an error",
    )
    for number, accepted in enumerate((everything, entry(runs=())), 1):
        assert journal.accept(accepted) == number
        assert journal.get(number) == changed(accepted, id=number)
    assert journal.find("b7c1 0badc0de") == journal.get(1)


def test_what_is_not_there_is_none(journal: Journal) -> None:
    journal.accept(entry())
    assert journal.get(2) is None
    assert journal.find("b7c1 0badc0de") is None
    assert journal.noted("serials") is None
    assert journal.last_serials() is None


def test_a_key_is_accepted_once_and_a_repeated_call_gives_the_same_id(journal: Journal) -> None:
    first = entry(key="k 1", body="first")
    assert journal.accept(first) == 1
    assert journal.accept(changed(first, received_at=1001.0, body="delivered again")) is None
    assert journal.accept(first) == 1
    assert journal.accept(entry(key="k 2", body="another")) == 2
    assert bodies(journal) == ["first", "another"]


def test_entries_without_a_key_are_never_taken_for_each_other(journal: Journal) -> None:
    assert [journal.accept(entry()) for _ in range(3)] == [1, 2, 3]


def test_many_are_accepted_like_one_by_one_together_with_a_note(journal: Journal) -> None:
    journal.accept(entry(key="k 1"))
    many = [entry(key=key, received_at=2000.0) for key in ("k 2", "k 1", None, "k 3", None)]
    for _ in range(2):
        assert journal.accept_all(many[:2] + many[3:4], ("to", "k 3")) == [2, None, 3]
    assert journal.noted("to") == "k 3"
    assert journal.accept_all(many[2::2]) == [4, 5]
    assert journal.accept_all([]) == []


def test_of_many_none_is_accepted_when_one_cannot_be(journal: Journal) -> None:
    def interrupted() -> Iterator[Entry]:
        yield entry()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        journal.accept_all(interrupted(), ("to", "k 1"))
    with pytest.raises(UnicodeEncodeError):
        journal.accept_all([entry(), entry(body=NO_TEXT), entry()])
    assert ids(journal) == []
    assert journal.noted("to") is None
    assert journal.accept(entry()) == 1


def test_notes_of_an_entry_are_kept_with_its_acceptance_and_only_then(journal: Journal) -> None:
    first = entry(key="k 1", notes=(("at_most a", "1"), ("at_most b", "1")))
    for known in (first, first, changed(first, received_at=2000.0, notes=(("at_most a", "2"),))):
        journal.accept(known)
    assert journal.all_noted_as("at_most ", int) == {"at_most a": 1, "at_most b": 1}
    journal.accept_all([entry(notes=(("at_most a", "3"),)), changed(first, notes=())])
    journal.save(entry(id=1, state="failed"), [entry(notes=(("at_most b", "4"),))])
    journal.note("other", "7")
    assert journal.all_noted_as("at_most ", int) == {"at_most a": 3, "at_most b": 4}
    with pytest.raises(StateError):
        journal.accept(entry(notes=(("at_most c", None),)))
    journal.forget(["at_most a", "at_most c"])
    assert journal.all_noted_as("", int) == {"at_most b": 4, "other": 7}
    assert ids(journal) == [1, 2, 3]
    assert journal.get(1) == entry(id=1, state="failed", key="k 1")


# Saving


def test_what_became_of_an_entry_is_recorded_and_its_token_kept_for_retries_alone(
    journal: Journal,
) -> None:
    journal.accept(entry(rest_token=TOKEN))
    before = entry(id=1, rest_token=TOKEN)
    running = RUN.begun(5.0)
    for run in (running, running.ended(FAILED, 6.0)):
        unsettled = before.with_runs([run])
        assert journal.save(unsettled) == []
        assert journal.unsettled() == [unsettled]
    failed = before.with_runs([running.ended(FAILED, None)])
    journal.save(failed)
    assert journal.get(1) == changed(failed, rest_token=None)


def test_the_newest_events_from_elsewhere_come_in_their_order(journal: Journal) -> None:
    for event_type in ("workflow_failed", "hook_failed", None, "workflow_queued", "workflow_started"):
        journal.accept(entry(event_type=event_type))
    journal.accept(entry(event_type="workflow_failed", source="fire"))
    assert [found.id for found in journal.events(10)] == [1, 4, 5]
    assert [found.id for found in journal.events(2)] == [4, 5]


@pytest.mark.parametrize("state", SETTLED)
def test_a_settled_entry_is_not_saved(journal: Journal, state: str) -> None:
    journal.accept(entry(state=state))
    assert journal.save(entry(id=1, state="running", runs=(RUN.begun(5.0),)), [entry()]) is None
    assert journal.newest(Filters(), 10) == [entry(id=1, state=state)]


def test_another_entry_with_the_id_of_one_that_was_lost_is_not_saved(journal: Journal) -> None:
    journal.accept(entry())
    assert journal.save(entry(id=1, state="failed", received_at=5.0)) is None
    assert journal.get(1) == entry(id=1)


def test_what_follows_is_accepted_with_the_end_however_often_that_is_saved(journal: Journal) -> None:
    journal.accept(entry())
    failed = entry(id=1, state="failed")
    follow_ups = [entry(key="k 1"), entry(key="k 2", body="last")]
    for _ in range(2):
        assert journal.save(failed, follow_ups) == [2, 3]
    assert journal.get(1) == failed
    assert bodies(journal) == [entry().body, "last"]


def test_nothing_is_saved_when_what_follows_cannot_be_accepted(journal: Journal) -> None:
    journal.accept(entry())
    with pytest.raises(UnicodeEncodeError):
        journal.save(entry(id=1, state="failed"), [entry(), entry(body=NO_TEXT)])
    assert journal.newest(Filters(), 10) == [entry(id=1)]


# Finding


def test_the_unsettled_are_found_in_the_order_of_their_ids(journal: Journal) -> None:
    states = ["pending", "done", "running", "failed", "pending", "dropped", "interrupted", "running"]
    journal.accept_all(entry(state=state) for state in states)
    assert [found.id for found in journal.unsettled()] == [1, 3, 5, 8]


@pytest.mark.parametrize(
    ("number", "entry_id", "expected"),
    [
        ("b7c1", 1, True),
        ("b7c1", 2, True),
        ("b7c1", 9, True),
        ("b7c", 3, False),
        ("b7c11", 4, False),
        ("order 17", 9, True),
        ("order", 9, False),
        ("", 9, False),
    ],
)
def test_another_notification_with_the_same_id_is_noticed(
    journal: Journal, number: str, entry_id: int, expected: bool
) -> None:
    own_ids = ("b7c1", "b7c1", "b7c", "b7c11", "order 17")
    keys = [f"{own_id} {digest:016x}" for digest, own_id in enumerate(own_ids)]
    journal.accept_all([*(entry(key=key) for key in keys), entry()])
    assert journal.has_other(number, entry_id) is expected


def test_the_newest_are_found_newest_first_and_through_all_filters(journal: Journal) -> None:
    for number, state in enumerate(("done", "failed", "pending", "failed", "interrupted", "done"), 1):
        event_type = "odd" if number % 2 else "even"
        execution_id = f"x{number // 3}"
        at = float(number)
        journal.accept(
            entry(state=state, received_at=at, event_type=event_type, execution_id=execution_id)
        )

    def found(limit: int = 50, **values: Any) -> list[int]:
        filters = Filters(**values)
        given = journal.newest(filters, limit)
        assert given == [each for each in journal.after(0)[::-1] if filters.let_pass(each)][:limit]
        return [each.id for each in given]

    assert found() == [6, 5, 4, 3, 2, 1]
    assert found(limit=2) == [6, 5]
    assert found(states=("failed",)) == [4, 2]
    assert found(states=("failed", "interrupted"), limit=2) == [5, 4]
    assert found(event_type="odd") == [5, 3, 1]
    assert found(execution_id="x1") == [5, 4, 3]
    assert found(since=4.0) == [6, 5, 4]
    assert found(states=("failed", "done"), event_type="even", since=3.0) == [6, 4]
    assert found(event_type="odd", execution_id="x2") == []


def test_few_notable_entries_among_many_are_found_by_their_index(journal: Journal) -> None:
    journal.accept_all(entry(state=state) for state in ("pending", *SETTLED))
    asked: list[str] = []
    with journal._database as connection:
        connection.set_trace_callback(asked.append)
        found = [
            [each.state for each in entries]
            for entries in (
                journal.unsettled(),
                journal.newest(Filters(("failed", "interrupted", "unreadable")), 10),
                journal.newest(Filters(("done", "failed")), 10),
            )
        ]
        connection.set_trace_callback(None)
        plans = [connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchone() for query in asked]
    assert found == [["pending"], ["unreadable", "interrupted", "failed"], ["failed", "done"]]
    assert ["entries_notable" in plan["detail"] for plan in plans] == [True, True, False]


def test_starts_and_ends_of_executions_are_found_oldest_first_in_pieces(journal: Journal) -> None:
    kinds = ("started", "queued", "succeeded", "failed", "cancelled")
    journal.accept_all(
        entry(received_at=float(number), event_type=f"workflow_{kinds[number % 5]}", execution_id="x")
        for number in range(2000)
    )
    started = entry(event_type="workflow_started", execution_id="x", source="fire")
    journal.accept_all([started, changed(started, source="hook", execution_id=None)])
    found: list[Milestone] = []
    while given := journal.milestones(found[-1].entry_id if found else journal.last_before(500.0)):
        found += given
    expected = [Milestone(number + 1, float(number), f"workflow_{kinds[number % 5]}", "x")
                for number in range(500, 2000) if number % 5 != 1]  # fmt: skip
    assert found == expected
    assert journal.last_before(0.0) == 0


def test_all_after_an_id_are_found_oldest_first_in_pieces(journal: Journal) -> None:
    journal.accept_all([entry()] * 1500)
    seen: list[int] = []
    while given := journal.after(seen[-1] if seen else 10):
        assert len(given) <= 1000
        seen += [found.id for found in given]
    assert seen == list(range(11, 1501))


# Changing what is settled


def test_a_settled_entry_is_made_pending_once(journal: Journal) -> None:
    journal.accept(entry(state="failed"))
    failed = entry(id=1, state="failed")
    again = (RUN, changed(RUN, hook="other"))
    assert journal.reopen(failed, again)
    assert journal.get(1) == entry(id=1, runs=again)
    assert not journal.reopen(failed, (RUN,))


@pytest.mark.parametrize("since", [{"state": "dropped"}, {"runs": ()}, {"received_at": 5.0}], ids=str)
def test_what_has_changed_since_it_was_read_is_not_made_pending(
    journal: Journal, since: dict[str, Any]
) -> None:
    failed = entry(id=1, state="failed")
    journal.accept(changed(failed, **since))
    assert not journal.reopen(failed, (RUN,))
    assert journal.get(1) == changed(failed, **since)


@pytest.mark.parametrize("state", ["pending", "running", *SETTLED])
def test_what_is_left_to_do_or_to_repair_can_be_given_up(journal: Journal, state: str) -> None:
    can_be = state not in ("running", "done", "suppressed", "ignored", "dropped")
    journal.accept(entry(state=state))
    assert journal.drop(1) is can_be
    assert journal.get(1) == entry(id=1, state="dropped" if can_be else state)
    assert not journal.drop(2)


def test_a_dropped_entry_keeps_no_token(journal: Journal) -> None:
    journal.accept(entry(rest_token=TOKEN))
    assert journal.drop(1)
    assert journal.get(1) == entry(id=1, state="dropped")


# Notes and numbers


def test_the_last_serials_are_those_of_the_newest_entry_that_has_some(journal: Journal) -> None:
    journal.accept_all(entry(serials=serials) for serials in ("1.2/5/5", "1.2/3/3", None))
    assert journal.last_serials() == "1.2/3/3"


def test_a_note_is_kept_until_another_of_its_name_replaces_it(journal: Journal) -> None:
    for name, value in (("serials", "first"), ("other", "other"), ("serials", "second")):
        journal.note(name, value)
    assert (journal.noted("serials"), journal.noted("other")) == ("second", "other")


def test_what_was_sent_adds_up_by_destination_in_the_order_of_their_names(journal: Journal) -> None:
    assert journal.tallies() == {}
    journal.count({"b:162": Tally(1, 0, 0), "[::1]:162": Tally(2, 2, 1)}, NOW)
    journal.count({}, NOW)
    journal.count({"b:162": Tally(10, 0, 3), "a:162": Tally(0, 0, 1)}, NOW - 60)
    assert list(journal.tallies().items()) == [
        ("[::1]:162", Tally(2, 2, 1, NOW)),
        ("a:162", Tally(0, 0, 1)),
        ("b:162", Tally(11, 0, 3, NOW)),
    ]  # fmt: skip


def test_of_what_is_counted_together_nothing_is_kept_when_one_cannot_be(journal: Journal) -> None:
    with pytest.raises(StateError):
        journal.count({"a:162": Tally(1, 1, 0), "b:162": Tally(2**64, 0, 0)}, NOW)
    assert journal.tallies() == {}


@pytest.mark.parametrize(
    ("column", "value"), [("received_at", "then"), ("state", "lost"), ("body", b"{}"), ("runs", 7)]
)
def test_a_row_that_is_not_as_it_was_written_is_told_and_not_shown(
    journal: Journal, column: str, value: object
) -> None:
    journal.accept(entry())
    with journal._database as connection:
        connection.execute(f"UPDATE entries SET {column} = ?", (value,))
    with pytest.raises(StateError, match="a part of it cannot be read; it is damaged: move it"):
        journal.get(1)


def test_a_note_that_is_not_as_it_was_written_is_told_likewise(journal: Journal) -> None:
    journal.note("limits a", "[1.5]")
    journal.note("limits b", "[1.5")
    assert journal.noted_as("limits a", list[float]) == [1.5]
    for read in (journal.noted_as, journal.all_noted_as):
        with pytest.raises(StateError, match="a part of it cannot be read; it is damaged: move it"):
            read("limits b", list[float])


# Pruning

NOW = 10_000.0


def prune(journal: Journal, *, older_than: float = 0.0, keep: int = 10**9) -> list[int]:
    """Prune step by step until there is nothing left to do; what each step returned."""
    returned = [0]
    while after := journal.prune(returned[-1], now=NOW, keep_s=NOW - older_than, keep=keep):
        returned.append(after)
        assert len(returned) < 100
    return [*returned[1:], 0]


def test_there_is_nothing_to_prune_in_an_empty_journal(journal: Journal) -> None:
    assert journal.prune(0, now=NOW, keep_s=0.0, keep=0) == 0


def test_pruning_goes_in_steps_and_each_returns_where_the_next_begins(journal: Journal) -> None:
    journal.accept_all(entry(state="done", received_at=float(number)) for number in range(1000))
    assert journal.prune(0, now=NOW, keep_s=NOW - 700.0, keep=10**9) == 200
    assert ids(journal) == list(range(201, 1001))
    assert prune(journal, older_than=700.0) == [400, 600, 0]
    assert ids(journal) == list(range(701, 1001))
    assert prune(journal, older_than=700.0) == [0]


def test_many_unsettled_entries_do_not_hide_what_is_behind_them(journal: Journal) -> None:
    journal.accept_all([*[entry()] * 450, *[entry(state="done")] * 150, entry()])
    assert prune(journal, older_than=NOW) == [200, 400, 600, 0]
    assert ids(journal) == [*range(1, 451), 601]


@pytest.mark.parametrize("seed", range(4))
def test_all_that_is_old_or_too_many_is_pruned_and_nothing_unsettled(
    journal: Journal, seed: int
) -> None:
    chance = random.Random(seed)
    times = sorted(chance.uniform(0.0, 100.0) for _ in range(1000))
    entries = [
        entry(state=chance.choice(("pending", "running", *SETTLED)), received_at=at) for at in times
    ]
    entries[-1] = entry(received_at=100.0)
    journal.accept_all(entries)
    older_than, keep = chance.uniform(0.0, 100.0), chance.randint(1, 1000)

    assert len(prune(journal, older_than=older_than, keep=keep)) <= 6

    assert ids(journal) == [
        number
        for number, found in enumerate(entries, 1)
        if not found.is_settled or (found.received_at >= older_than and number > 1000 - keep)
    ]


def test_an_entry_with_a_wrong_time_is_kept_as_long_as_its_neighbours(journal: Journal) -> None:
    times = (100.0, NOW + 1, 100.0, 700.0, 0.0, 100.0, 800.0)
    journal.accept_all(entry(state="done", received_at=at) for at in times)
    prune(journal, older_than=700.0)
    assert ids(journal) == [2, 4, 5, 6, 7]
    prune(journal, older_than=701.0)
    assert ids(journal) == [2, 7]
    prune(journal, keep=1)
    assert ids(journal) == [7]


def test_no_id_is_given_twice_and_what_was_counted_stays(journal: Journal) -> None:
    journal.accept_all([entry(state="done")] * 3)
    journal.count({"a:162": Tally(1, 0, 0)}, NOW)
    prune(journal, older_than=NOW)
    assert ids(journal) == [3]
    assert journal.accept(entry()) == 4
    assert journal.tallies() == {"a:162": Tally(1, 0, 0, NOW)}


def test_a_closed_journal_is_opened_again_when_it_is_used(journal: Journal) -> None:
    for _ in range(2):
        journal.close()
        journal.close()
        assert journal.accept(entry()) is not None


# What the broker has, too


def test_what_no_hook_has_begun_of_a_source_is_withdrawn(journal: Journal) -> None:
    begun = RUN.begun(5.5)
    tried = begun.ended(FAILED, 3.5)
    of_source = [
        entry(source="ours", key="k 1", rest_token=TOKEN),
        entry(source="ours", key="k 2", state="running", runs=(begun,)),
        entry(source="ours", key="k 3", runs=(RUN, tried)),
        entry(source="ours", key="k 4"),
        *(entry(source="ours", key=f"k {state}", state=state) for state in SETTLED),
    ]
    others = [entry(source="theirs", key="k 5")]
    for each in of_source + others:
        journal.accept(each)
    before = {each.id: each for each in journal.newest(Filters(), 100)}

    assert journal.withdraw("ours", "why") == (2, [2, 3])

    withdrawn = {"state": "dropped", "key": None, "rest_token": None, "error": "why"}
    expected = {**before, **{number: changed(before[number], **withdrawn) for number in (1, 4)}}
    assert {each.id: each for each in journal.newest(Filters(), 100)} == expected
    assert journal.withdraw("ours", "why") == (0, [2, 3])
    assert journal.withdraw("nobody", "why") == (0, [])
    assert journal.accept(changed(of_source[0], id=0)) == len(before) + 1  # its key is free again
    assert journal.accept(entry(key="k 2", received_at=7.0)) is None


def test_of_some_keys_those_are_found_whose_entries_have_nothing_left_to_do(journal: Journal) -> None:
    for state in (*SETTLED, "pending", "running"):
        journal.accept(entry(key=f"k {state}", state=state))
    journal.accept(entry(state="done"))
    asked = ["k pending", "k none", "k dropped", "k running", "k done"]
    assert sorted(journal.settled(asked)) == ["k done", "k dropped"]
    assert sorted(journal.settled([f"k {state}" for state in SETTLED])) == sorted(
        f"k {state}" for state in SETTLED
    )
    assert journal.settled([]) == []
