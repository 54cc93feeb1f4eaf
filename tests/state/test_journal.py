"""The journal: what was accepted is there, whatever happens to the file, the disk or the process.

Every file, lock, limit, kill and second process here is a real one.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from listener.journal_owned import OwnedJournal

from listener import journal_redo
from listener.actions.registry import Actions
from listener.errors import StateError
from listener.hooks.table import ListenerSettings
from listener.hooks.watch import HooksFile
from listener.model.delivery import read
from listener.model.entry import Entry, Run
from listener.model.outcome import Outcome, Tally
from listener.state import database as journal_file
from listener.state.database import Database, NewerSchema
from listener.state.journal import FILE, Filters, Journal
from tests.state.test_directory import (
    NOBODY,
    child,
    folder_of_nobody,
    mode,
    needs_root,
    said,
    unprivileged,
)
from tests.support import Settling, do_without

TOKEN = "ctok-AbCdEfGhIj-0123456789abcdefghijklmnopqrstuvwxyzABCD"
RUN = Run("page", "my.page")
FAILED = Outcome("failed", "no route", 0.25)

Make = Callable[..., Journal]


def entry(**values: Any) -> Entry:
    """A pending entry with one run, but for what is given."""
    fresh: dict[str, Any] = {
        "id": 0,
        "received_at": 1000.5,
        "source": "supervisord",
        "state": "pending",
        "body": '{"event_type": "x", "context": {}}',
        "runs": (RUN,),
    }
    return Entry(**{**fresh, **values})


def changed(old: Entry, **values: Any) -> Entry:
    fields = {name: getattr(old, name) for name in Entry.__annotations__}
    return Entry(**{**fields, **values})


@pytest.fixture(params=[Journal, OwnedJournal])
def make(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes Journals, of one directory unless another is named; all are closed at the end.

    Each promise is kept by both kinds, to whoever looks at a pause. A directory has one owner.
    """
    with ExitStack() as made:
        owned: dict[Path, OwnedJournal] = {}

        def make(folder: Path = tmp_path, **options: bool) -> Journal:
            if folder in owned:
                owned[folder].let_go()
                journal = Journal(str(folder), **options)
            else:
                journal = request.param(str(folder), **options)
            if isinstance(journal, OwnedJournal):
                owned[folder] = journal
            made.callback(journal._file.close)
            return journal

        yield make


@pytest.fixture
def journal(make: Make) -> Journal:
    return make()


writes_at_once = pytest.mark.parametrize("make", [Journal], indirect=True)


def at_a_pause(journal: Journal) -> None:
    if isinstance(journal, OwnedJournal):
        journal.let_go()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / FILE


def bodies(journal: Journal) -> list[str]:
    return [entry.body for entry in journal.unsettled()]


def ids(journal: Journal) -> list[int]:
    """All entries that are there, oldest first."""
    return [entry.id for entry in reversed(journal.newest(Filters(), 100_000))]


def in_files(folder: Path, text: str) -> list[str]:
    """The names of the files in which the text stands."""
    return [file.name for file in folder.iterdir() if text.encode() in file.read_bytes()]


def problem(work: Callable[[], object], path: Path) -> str:
    """What a StateError says of the journal at this path."""
    with pytest.raises(StateError) as caught:
        work()
    start = f"the journal {path}: "
    assert str(caught.value).startswith(start)
    assert caught.value.__cause__ is not None
    return str(caught.value).removeprefix(start)


# Accepting


def test_an_accepted_entry_is_given_back_as_it_was(journal: Journal) -> None:
    runs = (RUN, RUN.begun(5.5), RUN.begun(1.0).ended(FAILED, 3, 2.0, 0.5))
    everything = entry(
        state="running",
        body='{"ü": "€😀\0"}',
        key="b7c1 0badc0de",
        serials="4711.99/12/3",
        event_type="workflow_failed",
        execution_id="x1",
        rest_token=TOKEN,
        runs=runs,
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


def test_a_key_is_accepted_once_and_the_first_entry_stays(journal: Journal) -> None:
    assert journal.accept(entry(key="k 1", body="first")) == 1
    assert journal.accept(entry(key="k 1", body="second")) is None
    assert journal.accept(entry(key="k 2", body="third")) == 2
    assert bodies(journal) == ["first", "third"]


def test_entries_without_a_key_are_never_taken_for_each_other(journal: Journal) -> None:
    assert [journal.accept(entry()) for _ in range(3)] == [1, 2, 3]


def test_many_are_accepted_like_one_by_one(journal: Journal) -> None:
    journal.accept(entry(key="k 1"))
    keys = ["k 2", "k 1", None, "k 2", None]
    assert journal.accept_all(entry(key=key) for key in keys) == [2, None, 3, None, 4]
    assert [found.key for found in journal.unsettled()] == ["k 1", "k 2", None, None]
    assert journal.accept_all([]) == []


def test_of_many_none_is_accepted_when_one_cannot_be(journal: Journal) -> None:
    def interrupted() -> Iterator[Entry]:
        yield entry()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        journal.accept_all(interrupted())
    with pytest.raises(UnicodeEncodeError):
        journal.accept_all([entry(), entry(body="\ud83d"), entry()])
    assert ids(journal) == []
    assert journal.accept(entry()) == 1


@writes_at_once
def test_another_process_may_accept_at_the_same_time_and_each_key_is_accepted_once(
    journal: Journal, tmp_path: Path
) -> None:
    program = """
import sys
from listener.model.entry import Entry
from listener.state.journal import Journal
journal = Journal(sys.argv[1])
print("ready", flush=True)
keys = sys.stdin.readline().strip().split(",")
ids = [journal.accept(Entry(0, 1.0, "child", "pending", "{}", key)) for key in keys]
print(len(ids) - ids.count(None))
"""
    keys = [f"k {number}" for number in range(200)]
    with child(program, str(tmp_path)) as other:
        assert said(other) == "ready"
        assert other.stdin is not None
        other.stdin.write(",".join(keys) + "\n")
        other.stdin.flush()
        here = [journal.accept(entry(key=key)) for key in keys]
        there = int(said(other))
    assert len(here) - here.count(None) + there == 200
    assert sorted(str(found.key) for found in journal.unsettled()) == sorted(keys)


# Saving


def test_what_became_of_an_entry_is_recorded(journal: Journal, make: Make) -> None:
    entry_id = journal.accept(entry(rest_token=TOKEN))
    before = entry(id=entry_id, rest_token=TOKEN)
    begun = before.with_runs([RUN.begun(5.0)])
    assert journal.save(begun) == []
    assert make().get(1) == begun
    pending = begun.with_runs([RUN.begun(5.0).ended(FAILED, 1, 6.0, 1.0)])
    journal.save(pending)
    assert make().get(1) == pending
    failed = begun.with_runs([RUN.begun(5.0).ended(FAILED, 0, 6.0, 1.0)])
    journal.save(failed)
    assert make().get(1) == changed(failed, rest_token=None)


def test_what_is_settled_stays_as_it_is(journal: Journal) -> None:
    for state in ("done", "failed", "interrupted", "ignored", "unreadable", "dropped"):
        entry_id = journal.accept(entry(state=state))
        assert entry_id is not None
        settled = journal.get(entry_id)
        journal.save(entry(id=entry_id, state="running", runs=(RUN.begun(5.0),)))
        assert journal.get(entry_id) == settled


def test_what_follows_is_accepted_with_the_end_of_what_it_follows_from(journal: Journal) -> None:
    journal.accept(entry())
    failed = entry(id=1, state="failed")
    follow_ups = [entry(key="k 1"), entry(key="k 1"), entry(body="last")]
    assert journal.save(failed, follow_ups) == [2, None, 3]
    assert journal.get(1) == failed
    assert bodies(journal) == [entry().body, "last"]


def test_nothing_is_recorded_when_what_follows_cannot_be(journal: Journal) -> None:
    journal.accept(entry())
    with pytest.raises(UnicodeEncodeError):
        journal.save(entry(id=1, state="failed"), [entry(), entry(body="\ud83d")])
    assert journal.get(1) == entry(id=1)
    assert ids(journal) == [1]


# The token


@pytest.mark.parametrize("way", ["save", "drop", "accept"])
def test_the_token_of_a_settled_entry_is_nowhere_in_the_files(
    journal: Journal, tmp_path: Path, way: str
) -> None:
    if way == "accept":
        journal.accept(entry(state="ignored", rest_token=TOKEN))
    else:
        journal.accept(entry(rest_token=TOKEN))
        assert in_files(tmp_path, TOKEN) != []
        journal.close()
        assert in_files(tmp_path, TOKEN) == [FILE]
    if way == "save":
        journal.save(entry(id=1, state="done", rest_token=TOKEN))
    elif way == "drop":
        assert journal.drop(1)
    journal.close()
    assert in_files(tmp_path, "ctok-") == []
    found = journal.get(1)
    assert found is not None
    assert found.rest_token is None


def test_no_token_is_left_where_entries_of_all_sizes_were_moved_about(
    journal: Journal, tmp_path: Path
) -> None:
    """Rows that grow are moved between SQLite's pages, where copies of them could stay."""
    chance = random.Random(4711)
    unsettled: list[Entry] = []
    for number in range(250):
        body = "x" * chance.randint(10, chance.choice([100, 1000, 9000]))
        fresh = entry(body=body, key=f"k {number}", rest_token=f"ctok-{chance.getrandbits(160):040x}")
        unsettled.append(changed(fresh, id=journal.accept(fresh)))
        while len(unsettled) > chance.randint(0, 40):
            found = unsettled.pop(chance.randrange(len(unsettled)))
            begun = found.with_runs([RUN.begun(1.0)])
            journal.save(begun)
            said = Outcome("failed", "why" * chance.randint(0, 500), 0.1)
            journal.save(begun.with_runs([begun.runs[0].ended(said, 0, 2.0, 0.5)]))
    assert in_files(tmp_path, "ctok-") != []
    for found in unsettled:
        assert journal.drop(found.id)
    journal.close()
    assert in_files(tmp_path, "ctok-") == []


def test_a_token_is_kept_for_the_retries(journal: Journal, make: Make) -> None:
    journal.accept(entry(rest_token=TOKEN))
    retry = RUN.begun(5.0).ended(FAILED, 1, 6.0, 1.0)
    journal.save(entry(id=1, rest_token=TOKEN, runs=(retry,)))
    assert make().unsettled() == [entry(id=1, rest_token=TOKEN, runs=(retry,))]


@pytest.mark.parametrize("end", ["raise ValueError(context)", "return context"])
def test_a_token_that_a_function_lets_out_is_not_in_the_history(
    make: Make, tmp_path: Path, end: str
) -> None:
    (tmp_path / "leaky.py").write_text(f"def leak(context):\n    {end}\n")
    conf = tmp_path / "hooks.conf"
    conf.write_text("hooks:\n- {event_type: x, implementation: leaky.leak}\n")
    state = tmp_path / "state"
    state.mkdir()
    text = json.dumps({"event_type": "x", "context": {"rest_token": TOKEN}})
    journal = make(state)
    with Actions(ListenerSettings(python_path=(str(tmp_path),))) as actions:
        dispatcher = Settling(HooksFile(conf, {}), actions, journal)
        dispatcher.act(read(text, source="supervisord", origin="serial 1"))
    found = journal.get(1)
    assert found is not None
    assert "'rest_token': '" in found.runs[0].attempts[0].text
    journal.close()
    assert in_files(state, TOKEN) == []


# Finding


def test_the_unsettled_are_given_in_the_order_of_their_ids(journal: Journal) -> None:
    states = ["pending", "done", "running", "failed", "pending", "dropped", "interrupted", "running"]
    for state in states:
        journal.accept(entry(state=state))
    assert [found.id for found in journal.unsettled()] == [1, 3, 5, 8]
    journal.save(entry(id=3, state="done"))
    assert [found.id for found in journal.unsettled()] == [1, 5, 8]


def own_key(own_id: str, digest: int = 0) -> str:
    """The key of a delivery whose notification has an id of its own."""
    return f"{own_id} {digest:016x}"


def test_another_entry_with_the_same_id_of_its_own_is_noticed(journal: Journal) -> None:
    for key in (own_key("b7c1", 1), own_key("b7c1", 2), own_key("b7c"), own_key("b7c11"), None):
        journal.accept(entry(key=key))
    assert journal.has_other("b7c1", 1)
    assert journal.has_other("b7c1", 2)
    assert journal.has_other("b7c1", 9)
    assert not journal.has_other("b7c", 3)
    assert not journal.has_other("b7c11", 4)
    assert not journal.has_other("b7", 9)
    assert not journal.has_other("", 9)


def test_an_id_with_a_blank_is_not_taken_for_another(journal: Journal) -> None:
    journal.accept(entry(key=own_key("order 17")))
    assert journal.has_other("order 17", 9)
    assert not journal.has_other("order", 9)


def test_the_newest_entries_are_given_newest_first_and_through_all_filters(journal: Journal) -> None:
    states = ["done", "failed", "pending", "failed", "interrupted", "done"]
    for number, state in enumerate(states, 1):
        journal.accept(
            entry(
                state=state,
                received_at=float(number),
                event_type="odd" if number % 2 else "even",
                execution_id=f"x{number // 3}",
            )
        )

    def found(limit: int = 50, **values: Any) -> list[int]:
        filters = Filters(**values)
        given = journal.newest(filters, limit)
        assert given == [entry for entry in journal.after(0)[::-1] if filters.let_pass(entry)][:limit]
        return [entry.id for entry in given]

    assert found() == [6, 5, 4, 3, 2, 1]
    assert found(limit=2) == [6, 5]
    assert found(states=("failed",)) == [4, 2]
    assert found(states=("failed", "interrupted"), limit=2) == [5, 4]
    assert found(event_type="odd") == [5, 3, 1]
    assert found(execution_id="x1") == [5, 4, 3]
    assert found(since=4.0) == [6, 5, 4]
    assert found(states=("failed", "done"), event_type="even", since=3.0) == [6, 4]
    assert found(event_type="odd", execution_id="x2") == []


def test_entries_are_given_oldest_first_from_any_id_on_and_many_in_pieces(journal: Journal) -> None:
    journal.accept_all([entry()] * 1500)
    seen: list[int] = []
    while given := journal.after(seen[-1] if seen else 10):
        assert len(given) <= 1000
        seen += [found.id for found in given]
    assert seen == list(range(11, 1501))


def test_a_settled_entry_can_be_made_pending_again_once(journal: Journal) -> None:
    journal.accept(entry(state="failed", body="failed"))
    failed = entry(id=1, state="failed", body="failed")
    again = (RUN, msgspec.structs.replace(RUN, hook="other"))
    assert journal.reopen(failed, again)
    assert journal.get(1) == entry(id=1, body="failed", runs=again)
    assert not journal.reopen(failed, (RUN,))
    assert not journal.reopen(msgspec.structs.replace(failed, id=2), again)


@pytest.mark.parametrize(
    "since",
    [{"state": "dropped"}, {"runs": ()}, {"received_at": 5.0}],
    ids=["state", "runs", "another"],
)
def test_what_has_gone_on_since_it_was_read_is_not_made_pending(
    journal: Journal, since: dict[str, Any]
) -> None:
    now = msgspec.structs.replace(entry(id=1, state="failed", runs=(RUN,)), **since)
    journal.accept(now)
    assert not journal.reopen(entry(id=1, state="failed", runs=(RUN,)), (RUN,))
    assert journal.get(1) == now


@pytest.mark.parametrize(
    ("state", "is_dropped"),
    [
        ("pending", True),
        ("failed", True),
        ("interrupted", True),
        ("unreadable", True),
        ("running", False),
        ("done", False),
        ("ignored", False),
        ("dropped", False),
    ],
)
def test_what_there_is_to_give_up_can_be_dropped(
    journal: Journal, state: str, is_dropped: bool
) -> None:
    journal.accept(entry(state=state))
    assert journal.drop(1) is is_dropped
    assert journal.get(1) == entry(id=1, state="dropped" if is_dropped else state)
    assert not journal.drop(2)


def test_the_newest_serials_are_those_of_the_newest_entry_that_has_some(journal: Journal) -> None:
    assert journal.last_serials() is None
    for serials in ("1.2/5/5", "1.2/3/3", None):
        journal.accept(entry(serials=serials))
    assert journal.last_serials() == "1.2/3/3"


def test_a_note_is_kept_until_another_of_its_name_replaces_it(journal: Journal, make: Make) -> None:
    assert journal.noted("serials") is None
    journal.note("serials", "first")
    journal.note("other", "other")
    journal.note("serials", "second")
    for reader in (journal, make()):
        assert reader.noted("serials") == "second"
        assert reader.noted("other") == "other"


# What was sent where


def test_what_was_counted_adds_up_by_destination_in_the_order_of_their_names(
    journal: Journal, make: Make
) -> None:
    assert journal.tallies() == {}
    journal.count({"b:162": Tally(1, 0, 0), "[::1]:162": Tally(2, 2, 1)})
    make().count({"b:162": Tally(10, 0, 3), "a:162": Tally(0, 0, 1)})
    for reader in (journal, make()):
        tallies = reader.tallies()
        assert list(tallies) == ["[::1]:162", "a:162", "b:162"]
        assert tallies == {
            "[::1]:162": Tally(2, 2, 1), "a:162": Tally(0, 0, 1), "b:162": Tally(11, 0, 3)
        }  # fmt: skip


def test_to_count_nothing_changes_nothing(journal: Journal) -> None:
    journal.count({"a:162": Tally(1, 1, 0)})
    journal.count({})
    journal.count({"a:162": Tally()})
    assert journal.tallies() == {"a:162": Tally(1, 1, 0)}


def test_of_what_was_counted_together_nothing_is_kept_when_one_cannot_be(journal: Journal) -> None:
    with pytest.raises(StateError):
        journal.count({"a:162": Tally(1, 1, 0), "b:162": Tally(2**64, 0, 0)})
    assert journal.tallies() == {}


def test_two_processes_may_count_at_the_same_moment(journal: Journal, tmp_path: Path) -> None:
    program = """
import sys
from listener.state.journal import Journal
from listener.model.outcome import Tally
journal = Journal(sys.argv[1])
for _ in range(100):
    journal.count({"a:162": Tally(1, 1, 0)})
print("done")
"""
    journal.open()
    with child(program, str(tmp_path)) as one, child(program, str(tmp_path)) as other:
        assert [said(one), said(other)] == ["done", "done"]
    assert journal.tallies() == {"a:162": Tally(200, 200, 0)}


def test_pruning_leaves_what_was_counted(journal: Journal) -> None:
    journal.accept_all([entry(state="done"), entry(state="done")])
    journal.count({"a:162": Tally(1, 0, 0)})
    prune(journal, older_than=1e10, keep=1)
    assert journal.tallies() == {"a:162": Tally(1, 0, 0)}


# Pruning


def prune(journal: Journal, *, older_than: float = 0.0, keep: int = 10**9) -> list[int]:
    """Prune step by step until there is nothing left to do; what each step returned."""
    returned = [0]
    while after := journal.prune(returned[-1], older_than=older_than, keep=keep):
        returned.append(after)
        assert len(returned) < 100
    return [*returned[1:], 0]


def test_there_is_nothing_to_prune_in_an_empty_journal(journal: Journal) -> None:
    assert journal.prune(0, older_than=1e10, keep=0) == 0


def test_what_is_older_than_a_time_is_pruned(journal: Journal) -> None:
    for received_at in (1.0, 2.0, 3.0):
        journal.accept(entry(state="done", received_at=received_at))
    prune(journal, older_than=2.0)
    assert ids(journal) == [2, 3]


def test_what_is_beyond_the_newest_so_many_is_pruned(journal: Journal) -> None:
    journal.accept_all([entry(state="failed")] * 10)
    prune(journal, keep=10)
    assert len(ids(journal)) == 10
    prune(journal, keep=3)
    assert ids(journal) == [8, 9, 10]


def test_what_is_not_settled_is_never_pruned(journal: Journal) -> None:
    states = ("pending", "running", "done", "dropped", "pending")
    journal.accept_all([entry(state=state) for state in states])
    prune(journal, older_than=1e10, keep=0)
    assert ids(journal) == [1, 2, 5]


def test_pruning_goes_in_steps_and_each_tells_where_the_next_begins(journal: Journal) -> None:
    journal.accept_all([entry(state="done", received_at=float(number)) for number in range(1000)])
    assert journal.prune(0, older_than=700.0, keep=10**9) == 200
    assert ids(journal) == list(range(201, 1001))
    assert journal.prune(200, older_than=700.0, keep=10**9) == 400
    assert prune(journal, older_than=700.0) == [600, 0]
    assert ids(journal) == list(range(701, 1001))
    assert prune(journal, older_than=700.0) == [0]
    assert len(ids(journal)) == 300


def test_many_unsettled_entries_do_not_hide_what_is_behind_them(journal: Journal) -> None:
    pending, done = entry(), entry(state="done")
    journal.accept_all([*[pending] * 450, *[done] * 150, pending])
    assert prune(journal, older_than=1e10) == [200, 400, 600, 0]
    assert ids(journal) == [*range(1, 451), 601]


@pytest.mark.parametrize("seed", range(4))
def test_all_that_is_to_be_pruned_is_pruned_and_nothing_else(journal: Journal, seed: int) -> None:
    chance = random.Random(seed)
    states = ("pending", "running", "done", "failed", "ignored", "dropped")
    times = sorted(chance.uniform(0.0, 100.0) for _ in range(1000))
    entries = [entry(state=chance.choice(states), received_at=time) for time in times]
    entries[-1] = entry(received_at=100.0)
    journal.accept_all(entries)
    older_than, keep = chance.uniform(0.0, 100.0), chance.randint(1, 1000)

    steps = prune(journal, older_than=older_than, keep=keep)

    assert len(steps) <= 6
    assert ids(journal) == [
        number
        for number, found in enumerate(entries, 1)
        if not found.is_settled or (found.received_at >= older_than and number > 1000 - keep)
    ]


def test_no_id_is_given_twice(journal: Journal) -> None:
    journal.accept_all([entry(state="done")] * 3)
    prune(journal, older_than=1e10)
    assert journal.accept(entry()) == 4


# Other processes


def test_whoever_asks_is_told_once_that_somebody_else_has_written(
    journal: Journal, make: Make, tmp_path: Path
) -> None:
    other = make()
    other.open()
    for _ in range(2):
        assert journal.is_changed()  # nothing is known yet
        assert not journal.is_changed()
        journal.close()
    assert journal.is_changed()
    journal.accept(entry())
    journal.save(entry(id=1, state="done"))
    assert not journal.is_changed()
    assert other.get(1) is not None
    assert not journal.is_changed()
    other.accept(entry())
    other.note("name", "value")
    assert journal.is_changed()
    assert not journal.is_changed()

    program = """
import sys
from listener.model.entry import Entry
from listener.state.journal import Journal
Journal(sys.argv[1]).accept(Entry(0, 1.0, "child", "pending", "{}"))
print("accepted")
"""
    with child(program, str(tmp_path)) as process:
        assert said(process) == "accepted"
    assert journal.is_changed()
    assert not journal.is_changed()
    journal.close()
    assert journal.is_changed()


def test_two_processes_may_make_the_journal_at_the_same_moment(tmp_path: Path) -> None:
    program = """
import sys, time
from listener.model.entry import Entry
from listener.errors import StateError
from listener.state.journal import Journal
print("ready", flush=True)
for line in sys.stdin:
    folder, moment = line.split()
    journal = Journal(folder)
    while time.monotonic() < float(moment):
        pass
    try:
        journal.accept(Entry(0, 1.0, "child", "pending", "{}"))
        print("accepted", flush=True)
    except StateError as error:
        print(error, flush=True)
    journal.close()
"""
    with child(program) as first, child(program) as second:
        both = (first, second)
        assert [said(process) for process in both] == ["ready", "ready"]
        for number in range(15):
            folder = tmp_path / str(number)
            folder.mkdir()
            moment = time.monotonic() + 0.003
            for process in both:
                assert process.stdin is not None
                process.stdin.write(f"{folder} {moment}\n")
                process.stdin.flush()
            assert [said(process) for process in both] == ["accepted", "accepted"]


@writes_at_once
def test_a_second_journal_in_this_process_takes_nothing_from_the_first(
    journal: Journal, make: Make, tmp_path: Path
) -> None:
    program = """
import sys
from listener.model.entry import Entry
from listener.state.journal import Journal
print(Journal(sys.argv[1]).accept(Entry(0, 1.0, "child", "pending", "{}")))
"""
    assert journal.accept(entry()) == 1
    make().open()
    for expected in (2, 4):
        with child(program, str(tmp_path)) as process:
            assert said(process) == str(expected)
        assert journal.accept(entry()) == expected + 1
    assert ids(make()) == [1, 2, 3, 4, 5]


def test_a_process_killed_in_the_middle_loses_nothing_it_had_accepted(
    make: Make, tmp_path: Path
) -> None:
    program = """
import sys
from listener.model.entry import Entry
from listener.state.journal import Journal
journal = Journal(sys.argv[1])
entry = Entry(0, 1.0, "child", "pending", "x" * 1000)
while True:
    print(journal.accept(entry), flush=True)
"""
    for enough in (1, 20, 200, 1000):
        with child(program, str(tmp_path)) as process:
            assert process.stdout is not None
            accepted = [said(process) for _ in range(enough)]
            process.kill()
            last = int([*accepted, *process.stdout.read().split()][-1])
        journal = make()
        there = [found.id for found in journal.unsettled()]
        assert there in (list(range(1, last + 1)), list(range(1, last + 2)))
        assert journal.file.opened().execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        journal.close()


def test_a_process_killed_while_it_accepts_many_leaves_all_of_them_or_none(
    make: Make, tmp_path: Path
) -> None:
    program = """
import sys
from listener.model.entry import Entry
from listener.state.journal import Journal
journal = Journal(sys.argv[1])
entry = Entry(0, 1.0, "child", "pending", "x" * 1000)
while True:
    print(journal.accept_all([entry] * 100)[-1], flush=True)
"""
    for _ in range(3):
        with child(program, str(tmp_path)) as process:
            assert process.stdout is not None
            accepted = [said(process)]
            process.kill()
            last = int([*accepted, *process.stdout.read().split()][-1])
        count = len(ids(make()))
        assert count % 100 == 0
        assert last <= count <= last + 100


# The file


def test_the_files_are_for_their_owner_alone(journal: Journal, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        journal.accept(entry())
    finally:
        os.umask(before)
    assert {file.name: mode(file) for file in tmp_path.iterdir()} == {
        file: 0o600
        for file in (FILE, f"{FILE}-wal", f"{FILE}-shm", journal_redo.FILE)
        if file != journal_redo.FILE or isinstance(journal, OwnedJournal)
    }


def test_what_root_makes_belongs_to_the_directory_s_owner(journal: Journal, tmp_path: Path) -> None:
    needs_root()
    os.chown(tmp_path, NOBODY, NOBODY)
    journal.accept(entry())
    files = list(tmp_path.iterdir())
    assert len(files) == (4 if isinstance(journal, OwnedJournal) else 3)
    assert {(file.stat().st_uid, file.stat().st_gid) for file in files} == {(NOBODY, NOBODY)}


@pytest.mark.parametrize(("power_safe", "synchronous"), [(False, 1), (True, 2)])
def test_every_commit_waits_for_the_disk_when_it_has_to_outlive_a_loss_of_power(
    make: Make, power_safe: bool, synchronous: int
) -> None:
    connection = make(power_safe=power_safe).file.opened()
    assert connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA secure_delete").fetchone() == (1,)
    assert connection.execute("PRAGMA page_size").fetchone() == (2048,)


def test_the_file_may_be_closed_at_any_time(journal: Journal) -> None:
    journal.close()
    journal.close()
    assert journal.accept(entry()) == 1
    journal.close()
    assert journal.accept(entry()) == 2


def test_a_connection_that_cannot_be_closed_is_given_up(journal: Journal) -> None:
    with ThreadPoolExecutor(1) as another_thread:
        another_thread.submit(journal.open).result()
        connection = journal.file.opened()
        journal.close()  # SQLite lets only the thread close it that has opened it
        assert journal.accept(entry()) == 1
        assert journal.file.opened() is not connection
        another_thread.submit(connection.close).result()


@writes_at_once
def test_an_upgrade_keeps_what_is_unsettled_and_cannot_be_taken_back(
    journal: Journal, make: Make, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = len(journal_file._SCHEMAS)
    before = [entry(body="first", key="k 1", rest_token=TOKEN), entry(body="second")]
    journal.accept_all(before)
    journal.close()
    with monkeypatch.context() as newer:
        added = "ALTER TABLE entries ADD COLUMN host TEXT; CREATE TABLE hosts (name TEXT);"
        newer.setattr(journal_file, "_SCHEMAS", (*journal_file._SCHEMAS, added))
        upgraded = make()
        assert upgraded.unsettled() == [changed(old, id=number) for number, old in enumerate(before, 1)]
        connection = upgraded.file.opened()
        assert connection.execute("PRAGMA user_version").fetchone() == (known + 1,)
        assert connection.execute("SELECT host FROM entries").fetchall() == [(None,), (None,)]
        upgraded.save(changed(before[1], id=2, state="done"))
        upgraded.file.close()
        assert len(make().unsettled()) == 1
    for work in (journal.open, journal.unsettled, lambda: journal.accept(entry())):
        with pytest.raises(NewerSchema) as caught:
            work()
        assert str(caught.value).startswith(
            f"{file} has schema {known + 1}, and this conductor-hooks knows {known}: "
        )


def first_version(file: Path) -> None:
    """Make a journal as the first version did, with entries, a run of each kind and a note."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(journal_file._SCHEMAS[0])
        connection.execute("PRAGMA user_version = 1")
        runs = '[{"hook":"page","implementation":"my.page"}]'
        ended = (
            '[{"hook":"page","implementation":"my.page","state":"failed","failures":1,"attempts":'
            '[{"began_at":1.0,"state":"failed","text":"no route","seconds":0.25}]}]'
        )
        rows = [
            (1, 1000.5, "supervisord", "pending", "{}", "k 1", None, None, None, TOKEN, runs, ""),
            (7, 1000.5, "recorder", "failed", "{}", "k 7", "1/2/3", "x", "e", None, ended, ""),
        ]
        connection.executemany(f"INSERT INTO entries VALUES ({', '.join('?' * 12)})", rows)
        connection.execute("INSERT INTO notes VALUES ('serials', '1.2/3/4')")


def test_a_journal_of_the_first_version_is_gone_on_with(make: Make, file: Path) -> None:
    first_version(file)
    journal = make()
    assert journal.tallies() == {}
    [pending] = journal.unsettled()
    assert pending == entry(id=1, body="{}", key="k 1", rest_token=TOKEN)
    failed = journal.get(7)
    assert failed is not None
    assert (failed.state, failed.serials, failed.runs[0].attempts[0].text) == (
        "failed", "1/2/3", "no route"
    )  # fmt: skip
    assert failed.runs[0].reached == ()
    assert journal.noted("serials") == "1.2/3/4"
    journal.count({"a:162": Tally(1, 0, 0)})
    assert journal.save(changed(pending, state="done")) == []
    assert journal.accept(entry(key="k 7")) is None
    assert journal.accept(entry(key="new")) == 8
    assert make().tallies() == {"a:162": Tally(1, 0, 0)}
    version = journal.file.opened().execute("PRAGMA user_version").fetchone()
    assert version == (len(journal_file._SCHEMAS),)


def test_few_notable_entries_among_many_are_found_by_their_index(journal: Journal, make: Make) -> None:
    for state in ("done", "failed", "pending", "ignored", "interrupted", "unreadable", "dropped"):
        journal.accept(entry(state=state))
    asked: list[str] = []
    connection = journal.file.opened()
    connection.set_trace_callback(asked.append)
    found = [
        [each.state for each in entries]
        for entries in (
            journal.unsettled(),
            journal.newest(Filters(("failed", "interrupted", "unreadable")), 10),
            journal.newest(Filters(("failed",)), 10),
            journal.newest(Filters(("done", "failed")), 10),
        )
    ]
    connection.set_trace_callback(None)

    assert found == [
        ["pending"], ["unreadable", "interrupted", "failed"], ["failed"], ["failed", "done"]
    ]  # fmt: skip
    plans = [
        str(connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall())
        for query in asked
        if query.startswith("SELECT")
    ]
    assert ["entries_notable" in plan for plan in plans] == [True, True, True, False]


def test_a_journal_of_the_first_version_can_be_brought_up_by_two_at_once(
    tmp_path: Path, file: Path, make: Make
) -> None:
    program = """
import sys
from listener.state.journal import Journal
from listener.model.outcome import Tally
journal = Journal(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
journal.count({"a:162": Tally(1, 0, 0)})
print(len(journal.unsettled()))
"""
    first_version(file)
    with child(program, str(tmp_path)) as one, child(program, str(tmp_path)) as other:
        for each in (one, other):
            assert each.stdin is not None
            assert said(each) == "ready"
        for each in (one, other):
            assert each.stdin is not None
            each.stdin.write("\n")
            each.stdin.flush()
        assert [said(one), said(other)] == ["1", "1"]
    assert make().tallies() == {"a:162": Tally(2, 0, 0)}


def test_a_journal_that_was_brought_up_is_not_for_the_first_version_any_more(
    make: Make, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_version(file)
    make().open()
    monkeypatch.setattr(journal_file, "_SCHEMAS", journal_file._SCHEMAS[:1])
    with pytest.raises(NewerSchema):
        make().open()


def test_an_upgrade_that_fails_changes_nothing(
    journal: Journal, make: Make, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.accept(entry())
    journal.close()
    with monkeypatch.context() as newer:
        broken = "CREATE TABLE hosts (name TEXT); CREATE TABLE hosts (name TEXT);"
        newer.setattr(journal_file, "_SCHEMAS", (*journal_file._SCHEMAS, broken))
        assert "already exists" in problem(make().open, file)
    assert journal.unsettled() == [entry(id=1)]
    assert (
        journal.file.opened()
        .execute("SELECT count(*) FROM sqlite_master WHERE name = 'hosts'")
        .fetchone()
    ) == (0,)


# What can go wrong with it, and goes on afterwards


FULL = """
import json, resource, signal, sys
from listener.model.entry import Entry
from listener.errors import StateError
from listener.state.journal import Journal

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
journal = Journal(sys.argv[1])
small, large = (Entry(0, 1.0, "child", "pending", "x" * size) for size in (10, 100_000))
ids = [journal.accept(small)]
resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, limits[1]))
problems = []
for accept in (journal.accept, lambda entry: journal.accept_all([small, entry])):
    try:
        accept(large)
    except StateError as error:
        problems.append(str(error))
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
ids += [journal.accept(large), *journal.accept_all([small, large])]
print(json.dumps([problems, ids, [len(entry.body) for entry in journal.unsettled()]]))
"""

FULL_FILE_SYSTEM = """
import json, os, subprocess, sys
from listener.model.entry import Entry
from listener.errors import StateError
from listener.state.journal import Journal

folder = sys.argv[1]
mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder]
if subprocess.run(mount, capture_output=True).returncode:
    sys.exit()
small, large = (Entry(0, 1.0, "child", "pending", "x" * size) for size in (10, 100_000))
journal = Journal(folder)
ids = [journal.accept(small)]
with open(os.path.join(folder, "filler"), "wb", buffering=0) as filler:
    try:
        while filler.write(bytes(4096)):
            pass
    except OSError:
        pass
problems = []
for accept in (journal.accept, lambda entry: journal.accept_all([small, entry])):
    try:
        accept(large)
    except StateError as error:
        problems.append(str(error))
os.unlink(os.path.join(folder, "filler"))
ids += [journal.accept(large), *journal.accept_all([small, large])]
print(json.dumps([problems, ids, [len(entry.body) for entry in journal.unsettled()]]))
"""


def test_a_limit_on_the_size_of_files_is_told_and_once_raised_it_goes_on(
    tmp_path: Path, file: Path
) -> None:
    with child(FULL, str(tmp_path)) as process:
        problems, found, lengths = json.loads(said(process))
    told = f"the journal {file}: disk I/O error; look at the disk, its free space and the limits of"
    assert [text.startswith(told) for text in problems] == [True, True]
    assert found == [1, 2, 3, 4]
    assert lengths == [10, 100_000, 10, 100_000]


def test_a_full_file_system_is_told_and_once_it_has_space_it_goes_on(
    tmp_path: Path, file: Path
) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    try:
        unshared = subprocess.run(
            ["unshare", "--mount", sys.executable, "-c", FULL_FILE_SYSTEM, str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
            env=env,
        )
    except FileNotFoundError:
        do_without("unshare is not installed")
    if not unshared.stdout and "Traceback" not in unshared.stderr:
        do_without("mounting is not permitted")
    problems, found, lengths = json.loads(unshared.stdout)
    told = f"the journal {file}: database or disk is full; free space on its file system"
    assert problems == [told, told]
    assert found == [1, 2, 3, 4]
    assert lengths == [10, 100_000, 10, 100_000]


def overwrite(file: Path, begin: int, data: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(begin)
        opened.write(data)


def move_away(folder: Path) -> None:
    """What the journal's errors tell to do with a damaged file."""
    for name in (FILE, f"{FILE}-wal"):
        if (folder / name).exists():
            (folder / name).rename(folder / f"{name}.damaged")


def replace_bytes(old: bytes, new: bytes) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(file.read_bytes().replace(old, new))


DAMAGE = [
    pytest.param(
        lambda file: overwrite(file, 4096, random.Random(7).randbytes(file.stat().st_size - 4096)),
        "database disk image is malformed",
        id="random bytes",
    ),
    pytest.param(
        lambda file: overwrite(file, 4096, bytes(file.stat().st_size - 4096)),
        "database disk image is malformed",
        id="zero bytes",
    ),
    pytest.param(
        lambda file: os.truncate(file, file.stat().st_size // 2),
        "database disk image is malformed",
        id="cut off",
    ),
    pytest.param(lambda file: overwrite(file, 0, bytes(100)), "file is not a database", id="no header"),
    pytest.param(lambda file: file.write_text("a text\n"), "file is not a database", id="text file"),
    pytest.param(replace_bytes(b'[{"hook"', b'[{"\x07ook"'), "an entry cannot be read", id="a run"),
    pytest.param(
        replace_bytes(b'"event_type"', b'"\xff\xfe\xfd\xfc\xfb_type"'),
        "an entry cannot be read",
        id="a text",
    ),
]


@pytest.mark.parametrize(("damage", "told"), DAMAGE)
def test_a_damaged_file_is_told_and_once_it_is_moved_away_it_goes_on(
    journal: Journal, file: Path, damage: Callable[[Path], object], told: str
) -> None:
    journal.accept_all([entry()] * 300)
    journal.close()
    damage(file)
    for _ in range(2):
        found = problem(journal.unsettled, file)
        assert found.startswith(f"{told}; it is damaged: move it and its -wal file away; the listener")
        assert "context" not in found
    move_away(file.parent)
    assert journal.accept(entry()) == 1
    assert journal.unsettled() == [entry(id=1)]


def test_a_damaged_file_that_is_moved_away_while_it_is_open_is_not_in_the_way_for_ever(
    journal: Journal, file: Path, tmp_path: Path
) -> None:
    journal.accept_all([entry()] * 300)
    journal.close()
    overwrite(file, 4096, bytes(file.stat().st_size - 4096))
    assert journal.is_changed()  # it is open again, and nothing of the damage was seen
    move_away(tmp_path)
    for _ in range(3):
        with suppress(StateError):
            journal.mend()
    assert not journal.mend()
    accepted = journal.accept(entry(body="accepted afterwards"))
    assert accepted is not None
    assert "accepted afterwards" in bodies(journal)
    assert file.exists()


def test_an_emptied_file_is_a_new_journal(journal: Journal, file: Path) -> None:
    journal.accept(entry())
    journal.close()
    os.truncate(file, 0)
    assert journal.unsettled() == []
    assert journal.accept(entry()) == 1


def test_a_file_that_another_process_keeps_locked_is_told_and_once_it_is_free_it_goes_on(
    journal: Journal, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "_LOCKED_S", 0.02)
    journal.accept(entry())
    at_a_pause(journal)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        works: list[Callable[[], object]] = [
            lambda: journal.accept(entry()),
            lambda: journal.accept_all([entry()]),
            lambda: journal.save(entry(id=1, state="done")),
            lambda: journal.save(entry(id=1, state="done"), [entry()]),
            lambda: journal.note("name", "value"),
            lambda: journal.reopen(entry(id=1), ()),
            lambda: journal.drop(1),
        ]
        for work in works:
            assert problem(work, file) == (
                "database is locked; another process keeps it locked; look who has it open"
                " (fuser), and end that"
            )
            assert journal.unsettled() == [entry(id=1)]  # to read it is possible all the time
        other.execute("ROLLBACK")
    assert journal.accept(entry()) == 2
    assert len(journal.unsettled()) == 2


@pytest.fixture
def new_and_locked(file: Path) -> Iterator[sqlite3.Connection]:
    """Another connection, which has just made the file, and locked it before it turns on WAL."""
    file.touch(0o600)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def test_a_new_file_that_another_process_has_just_locked_is_waited_for(
    journal: Journal, new_and_locked: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as instead_of_sleep:
        instead_of_sleep.setattr(time, "sleep", lambda _: new_and_locked.execute("ROLLBACK"))
        assert journal.accept(entry()) == 1


def test_whoever_opens_the_file_waits_until_another_process_has_closed_it(
    journal: Journal, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any statement can find it locked then: the last one to close it puts the -wal file into it."""
    waited_for = set()

    class Locked(sqlite3.Connection):
        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            if statement not in waited_for:
                waited_for.add(statement)
                raise sqlite3.OperationalError("database is locked")
            return super().execute(statement, *values)

    journal.accept(entry())
    journal.close()
    monkeypatch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, factory=Locked))
    make().open()
    assert "PRAGMA user_version" in waited_for


def test_a_new_file_that_another_process_keeps_locked_is_told(
    journal: Journal,
    file: Path,
    new_and_locked: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(journal_file, "_LOCKED_S", 0.02)
    assert problem(journal.open, file).startswith("database is locked; another process keeps it")
    new_and_locked.execute("ROLLBACK")
    assert journal.accept(entry()) == 1


@pytest.mark.parametrize(
    ("folder_mode", "file_mode", "told"),
    [
        (0o500, None, "Permission denied; let the listener's user write to it and to its directory"),
        (0o700, 0o400, "Permission denied; let the listener's user write to it and to its directory"),
        (0o700, 0, "Permission denied; let the listener's user write to it and to its directory"),
        (0, 0o600, "Permission denied; let the listener's user write to it and to its directory"),
        (0o500, 0o600, "attempt to write a readonly database; let the listener's user write to it"),
    ],
)
def test_what_may_not_be_written_is_told_and_once_it_may_it_goes_on(
    make: Make, folder_mode: int, file_mode: int | None, told: str
) -> None:
    with folder_of_nobody() as folder, unprivileged():
        file = folder / FILE
        journal = make(folder)
        if file_mode is not None:
            journal.accept(entry())
            journal.close()
            file.chmod(file_mode)
        folder.chmod(folder_mode)
        try:
            for work in (journal.open, journal.unsettled, lambda: journal.accept(entry())):
                assert problem(work, file).startswith(told)
        finally:
            folder.chmod(0o700)
        if file_mode is not None:
            file.chmod(0o600)
        assert journal.accept(entry()) is not None
        assert len(journal.unsettled()) == (1 if file_mode is None else 2)
        journal.close()


@pytest.mark.parametrize(
    ("obstruct", "told"),
    [
        pytest.param(shutil.rmtree, "No such file or directory; its directory is gone", id="gone"),
        pytest.param(
            lambda folder: (folder / FILE).mkdir(),
            "Is a directory; ",
            id="a directory instead of the file",
        ),
        pytest.param(
            lambda folder: (folder.rmdir(), folder.touch()),
            "Not a directory; ",
            id="a file instead of the directory",
        ),
        pytest.param(
            lambda folder: (folder / FILE).symlink_to(folder / "elsewhere"),
            "Too many levels of symbolic links; ",
            id="a link instead of the file",
        ),
    ],
)
def test_what_stands_in_the_way_is_told_and_once_it_is_gone_it_goes_on(
    make: Make, tmp_path: Path, obstruct: Callable[[Path], object], told: str
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    journal = make(folder)
    obstruct(folder)
    for work in (journal.open, lambda: journal.accept(entry())):
        assert problem(work, folder / FILE).startswith(told)
    if (folder / FILE).is_symlink():
        (folder / FILE).unlink()
    elif folder.is_dir():
        (folder / FILE).rmdir()
    else:
        folder.unlink(missing_ok=True)
        folder.mkdir()
    assert journal.accept(entry()) == 1


def test_an_error_of_a_drive_is_told_as_it_came(file: Path) -> None:
    for error, told in (
        (OSError(errno.EIO, os.strerror(errno.EIO)), "Input/output error"),
        (OSError("something else"), "something else"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), "Read-only file system; mount its file"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device; free space"),
        (OSError(errno.EFBIG, os.strerror(errno.EFBIG)), "File too large; raise the limit"),
        (sqlite3.OperationalError("unable to open database file"), "unable to open database file;"),
    ):
        with pytest.raises(StateError) as caught, Database(str(file)):
            raise error
        assert str(caught.value).startswith(f"the journal {file}: {told}")
        assert caught.value.__cause__ is error


# Removed while it is open


def remove(*names: str) -> Callable[[Path], object]:
    def remove(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return remove


def replace_by_an_empty_one(folder: Path) -> None:
    (folder / "new").touch(0o600)
    (folder / "new").rename(folder / FILE)


@pytest.mark.parametrize(
    "removal",
    [
        remove(FILE),
        remove(FILE, f"{FILE}-wal", f"{FILE}-shm"),
        move_away,
        replace_by_an_empty_one,
    ],
    ids=["the file", "all its files", "moved away", "replaced"],
)
def test_what_was_in_a_removed_file_is_in_a_new_one_after_mending(
    journal: Journal, make: Make, tmp_path: Path, removal: Callable[[Path], object]
) -> None:
    journal.accept_all([entry(key="k 1", rest_token=TOKEN), entry(state="done"), entry()])
    journal.note("serials", "1.2/3/4")
    removal(tmp_path)
    assert journal.accept(entry(body="after the removal")) == 4
    journal.save(entry(id=3, state="failed"))
    before = journal.newest(Filters(), 10)

    assert journal.mend()

    assert not journal.mend()
    for reader in (journal, make()):
        assert reader.newest(Filters(), 10) == before
        assert reader.noted("serials") == "1.2/3/4"
        assert reader.accept(entry(key="k 1")) is None
        at_a_pause(reader)
    for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
        assert mode(tmp_path / name) == 0o600
    assert journal.accept(entry()) == 5
    assert make().get(5) is not None


def test_what_is_left_beside_a_removed_file_and_cannot_be_removed_costs_nothing(
    journal: Journal, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.accept(entry())
    file.unlink()

    def refuse(path: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        with pytest.raises(StateError, match="Permission denied; let the listener's user write to it"):
            journal.mend()
    assert journal.accept(entry()) == 2

    assert journal.mend()
    assert [found.id for found in journal.newest(Filters(), 10)] == [2, 1]


def test_whoever_has_mended_the_journal_is_told_that_it_has_changed(
    journal: Journal, file: Path
) -> None:
    journal.accept(entry())
    assert journal.is_changed()
    file.unlink()
    assert journal.mend()
    assert journal.is_changed()


def test_what_was_in_a_removed_wal_file_is_in_the_journal_after_mending(
    journal: Journal, make: Make, file: Path
) -> None:
    wal = Path(f"{file}-wal")
    journal.accept_all([entry(key="k 1"), entry()])
    other = Journal(str(file.parent))
    with closing(other.file):
        assert len(other.unsettled()) == 2
        wal.unlink()
        journal.accept_all([entry(key="k 2")])
        assert journal.mend() == ""  # not while somebody else would go on writing to what was removed
        other.accept(entry(key="k 3"))
    assert journal.mend() == str(wal)
    assert journal.is_changed()
    assert journal.mend() == ""
    journal.accept_all([entry(key="k 4")])
    expected = ["k 1", None, "k 2", "k 3", "k 4"]
    for each in (journal, make()):
        assert [found.key for found in each.unsettled()] == expected


def test_a_file_that_is_where_it_was_needs_no_mending(journal: Journal) -> None:
    assert not journal.mend()
    journal.accept(entry())
    assert not journal.mend()
    journal.close()
    assert not journal.mend()


def test_a_power_safe_journal_is_one_after_mending(make: Make, file: Path) -> None:
    journal = make(power_safe=True)
    journal.accept(entry())
    file.unlink()
    assert journal.mend()
    assert journal.file.opened().execute("PRAGMA synchronous").fetchone() == (2,)


@pytest.mark.parametrize("obstacle", ["no directory", "a directory instead of the file"])
def test_mending_that_fails_loses_nothing_and_is_done_when_it_can_be(
    make: Make, tmp_path: Path, obstacle: str
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    journal = make(folder)
    journal.accept(entry())
    if obstacle == "no directory":
        shutil.rmtree(folder)
    else:
        (folder / FILE).unlink()
        (folder / FILE).mkdir()
    for _ in range(2):
        problem(journal.mend, folder / FILE)
    if obstacle == "no directory":
        folder.mkdir()
    else:
        (folder / FILE).rmdir()
    assert journal.mend()
    assert journal.unsettled() == [entry(id=1)]


def test_mending_keeps_what_another_process_has_accepted_into_a_new_file(
    journal: Journal, tmp_path: Path
) -> None:
    program = """
import sys
from listener.model.entry import Entry
from listener.state.journal import Journal
journal = Journal(sys.argv[1])
journal.note("serials", "new")
keys = ("known to both", "new")
print([journal.accept(Entry(0, 1.0, "child", "pending", "new", key)) for key in keys])
"""
    journal.accept_all([entry(key="old", body="old"), entry(key="known to both", body="old")])
    for name, value in (("serials", "old"), ("only old", "value")):
        journal.note(name, value)
    for file in tmp_path.iterdir():
        file.unlink()
    with child(program, str(tmp_path)) as other:
        assert said(other) == "[1, 2]"
    assert journal.mend()
    assert [(found.id, found.key, found.body) for found in journal.unsettled()] == [
        (1, "known to both", "new"),
        (2, "new", "new"),
        (3, "old", "old"),
    ]
    assert journal.noted("serials") == "new"
    assert journal.noted("only old") == "value"


@pytest.mark.parametrize(
    "removal", [remove(FILE), move_away, replace_by_an_empty_one], ids=["gone", "away", "replaced"]
)
def test_what_was_counted_is_in_the_new_file_after_mending(
    journal: Journal, make: Make, tmp_path: Path, removal: Callable[[Path], object]
) -> None:
    journal.accept(entry())
    journal.count({"a:162": Tally(1, 1, 0)})
    removal(tmp_path)
    journal.count({"a:162": Tally(1, 0, 0), "b:162": Tally(0, 0, 1)})
    assert journal.mend()
    journal.count({"a:162": Tally(1, 0, 0)})
    expected = {"a:162": Tally(3, 1, 0), "b:162": Tally(0, 0, 1)}
    assert journal.tallies() == expected
    assert make().tallies() == expected


def test_mending_keeps_what_another_process_has_counted_into_a_new_file(
    journal: Journal, make: Make, tmp_path: Path
) -> None:
    journal.count({"old:162": Tally(1, 0, 0)})
    for file in tmp_path.iterdir():
        file.unlink()
    other = make()
    other.count({"new:162": Tally(0, 0, 1)})
    assert journal.mend()
    assert journal.tallies() == {"new:162": Tally(0, 0, 1), "old:162": Tally(1, 0, 0)}


def test_what_both_have_counted_for_a_destination_is_added_up_at_mending(
    journal: Journal, make: Make, tmp_path: Path
) -> None:
    journal.count({"a:162": Tally(1000, 900, 7)})
    for file in tmp_path.iterdir():
        file.unlink()
    make().count({"a:162": Tally(1, 0, 0)})  # as `fire` does it
    assert journal.mend()
    assert journal.tallies() == {"a:162": Tally(1001, 900, 7)}


def test_mending_that_fails_half_way_is_done_once_when_it_can_be(
    journal: Journal, make: Make, tmp_path: Path, file: Path
) -> None:
    journal.accept_all([entry(body="old"), entry(body="old")])
    for found in tmp_path.iterdir():
        found.unlink()
    other = make()
    other.accept(entry(body="new"))
    other.file.opened().execute("ALTER TABLE notes RENAME TO elsewhere")
    for _ in range(2):
        assert problem(journal.mend, file) == "no such table: notes"
    assert bodies(other) == ["new"]
    other.file.opened().execute("ALTER TABLE elsewhere RENAME TO notes")
    assert journal.mend()
    assert bodies(journal) == ["new", "old", "old"]
