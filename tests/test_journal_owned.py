"""What the journal's owner has done is on record at once, and in the journal at the next pause."""

from __future__ import annotations

import errno
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from listener import journal_owned, journal_redo
from listener.entry import UNSETTLED, Entry, Run, RunState, state_of
from listener.errors import StateError
from listener.journal import FILE, Filters, Journal
from listener.journal_owned import OwnedJournal

RUN = Run("hook", "my.function")
BEGUN = RUN.begun(5.0)
STATES: tuple[RunState, ...] = ("done", "pending", "running", "running")


def entry(key: str | None = "k 1", **values: Any) -> Entry:
    fresh: dict[str, Any] = {
        "id": 0,
        "received_at": 1.0,
        "source": "supervisord",
        "state": "running",
        "body": '{"event_type": "x", "context": {}}',
        "key": key,
        "rest_token": "secret",
        "runs": (BEGUN,),
    }
    return Entry(**{**fresh, **values})


@pytest.fixture
def journal(tmp_path: Path) -> OwnedJournal:
    return OwnedJournal(str(tmp_path))


def seen_by_others(folder: Path) -> list[tuple[str | None, str]]:
    with closing(Journal(str(folder)).file) as file, file as connection:
        return connection.execute("SELECT key, state FROM entries ORDER BY id").fetchall()


def die(journal: OwnedJournal) -> None:
    """What the end of the process does to a transaction."""
    journal._file.close()


def redo_log(folder: Path) -> Path:
    return folder / journal_redo.FILE


def records(folder: Path) -> bytes:
    """What is on record in the redo log; NULs fill it up."""
    return redo_log(folder).read_bytes().rstrip(b"\0")


def accepted(journal: Journal, entry: Entry) -> Entry:
    entry_id = journal.accept(entry)
    assert entry_id is not None
    values = {name: getattr(entry, name) for name in Entry.__struct_fields__}
    return Entry(**{**values, "id": entry_id})


# Held back


def test_others_see_an_entry_at_a_pause(journal: OwnedJournal, tmp_path: Path) -> None:
    first = accepted(journal, entry("k 1"))
    journal.save(first.with_runs([Run("hook", "my.function", "done")]))
    accepted(journal, entry("k 2"))
    assert seen_by_others(tmp_path) == []
    journal.let_go()
    assert seen_by_others(tmp_path) == [("k 1", "done"), ("k 2", "running")]
    assert records(tmp_path) == b""


@pytest.mark.parametrize(
    "use",
    [
        lambda journal: journal.unsettled(),
        lambda journal: journal.get(1),
        lambda journal: journal.find("k 1"),
        lambda journal: journal.newest(Filters(), 1),
        lambda journal: journal.note("name", "value"),
        lambda journal: journal.accept_all([]),
        lambda journal: journal.save(entry(id=7)),
        lambda journal: journal.prune(0, older_than=0.0, keep=10),
    ],
)
def test_whatever_else_is_asked_of_it_comes_after_what_was_done(
    journal: OwnedJournal, tmp_path: Path, use: Callable[[Journal], object]
) -> None:
    journal.accept(entry())
    use(journal)
    assert seen_by_others(tmp_path) == [("k 1", "running")]


def test_no_more_than_so_many_wait_for_a_pause(
    journal: OwnedJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_owned, "_MOST_ENTRIES", 3)
    monkeypatch.setattr(journal_owned, "PAUSE_S", 3600.0)
    counts = []
    for number in range(7):
        journal.accept(entry(f"k {number}", state="ignored", runs=()))
        counts.append(len(seen_by_others(tmp_path)))
    assert counts == [0, 0, 3, 3, 3, 6, 6]


def test_none_waits_longer_than_a_pause_takes(
    journal: OwnedJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_owned, "PAUSE_S", 0.0)
    known = accepted(journal, entry())
    assert seen_by_others(tmp_path) == []  # it is in hand
    journal.save(known.with_runs([Run("hook", "my.function", "done")]))
    assert seen_by_others(tmp_path) == [("k 1", "done")]


def test_an_entry_that_went_on_for_long_is_saved_as_any_other(
    journal: OwnedJournal, tmp_path: Path
) -> None:
    known = accepted(journal, entry())
    journal.let_go()
    assert journal.save(known.with_runs([Run("hook", "my.function", "done")])) == []
    assert seen_by_others(tmp_path) == [("k 1", "done")]
    other = accepted(journal, entry("k 2"))
    journal.let_go()
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as connection:
        connection.execute("UPDATE entries SET state = 'dropped' WHERE id = ?", (other.id,))
    assert journal.save(other) is None


def test_what_follows_is_accepted_with_the_end_that_it_follows_from(
    journal: OwnedJournal, tmp_path: Path
) -> None:
    known = accepted(journal, entry())
    failed = known.with_runs([Run("hook", "my.function", "failed")])
    assert journal.save(failed, [entry("k 2", state="pending")]) == [2]
    assert seen_by_others(tmp_path) == [("k 1", "failed"), ("k 2", "pending")]


def test_what_is_settled_is_not_saved_again(journal: OwnedJournal, tmp_path: Path) -> None:
    known = accepted(journal, entry(state="done"))
    assert journal.save(known.with_runs([BEGUN])) is None
    assert seen_by_others(tmp_path) == [("k 1", "done")]


def test_what_is_known_is_known_before_a_pause(journal: OwnedJournal) -> None:
    assert journal.accept(entry("k 1")) == 1
    assert journal.accept(entry("k 1")) is None
    assert journal.accept(entry("k 2", state="ignored", runs=())) == 2
    assert journal.accept(entry("k 2")) is None
    assert journal.accept(entry("k 3")) == 3


def test_what_is_known_is_known_among_keys_that_follow_each_other(
    journal: OwnedJournal, tmp_path: Path
) -> None:
    known = ("k 12", "k 14", "\U0010ffff z")
    Journal(str(tmp_path)).accept_all([entry(key) for key in known])
    keys = ("k 11", "k 12", "k 13", "k 14", "k 15", "k 13", "z", "\U0010ffff z", "\U0010ffff", "k 10")
    new = [key for key in keys if journal.accept(entry(key)) is not None]
    assert new == ["k 11", "k 13", "k 15", "z", "\U0010ffff", "k 10"]


def test_what_another_process_brings_between_two_pauses_is_known(
    journal: OwnedJournal, tmp_path: Path
) -> None:
    journal.accept(entry("k 1"))
    journal.let_go()
    Journal(str(tmp_path)).accept(entry("k 2"))
    assert journal.accept(entry("k 2")) is None


# Died


def test_each_step_is_on_record_when_it_has_returned(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from listener.entry import Entry, Run
from listener.journal_owned import OwnedJournal
journal = OwnedJournal(sys.argv[1])
runs = Run("a", "x").begun(5.0), Run("b", "y")
entry = Entry(0, 1.0, "child", "running", "{}", "k 1", "1.2/3/4", "x", "e", "secret", runs)
entry_id = journal.accept(entry)
if sys.argv[2] == "save":
    runs = Run("a", "x", "done"), Run("b", "y").begun(6.0)
    entry = Entry(entry_id, 1.0, "child", "running", "{}", "k 1", "1.2/3/4", "x", "e", "secret", runs)
    journal.save(entry)
os.kill(os.getpid(), signal.SIGKILL)
"""
    for last, states in (("accept", ["running", "pending"]), ("save", ["done", "running"])):
        folder = tmp_path / last
        folder.mkdir()
        subprocess.run([sys.executable, "-c", program, str(folder), last], check=False)
        assert seen_by_others(folder) == []
        [left] = OwnedJournal(str(folder)).unsettled()
        assert [run.state for run in left.runs] == states
        assert (left.id, left.key, left.serials, left.rest_token) == (1, "k 1", "1.2/3/4", "secret")
        assert records(folder) == b""


def test_who_died_before_the_log_was_cleared_has_done_nothing_twice(
    journal: OwnedJournal, tmp_path: Path
) -> None:
    for key in ("k 1", "k 2", None):
        journal.accept(entry(key, state="failed"))
    kept = redo_log(tmp_path).read_bytes()
    journal.let_go()
    assert Journal(str(tmp_path)).drop(1)
    die(journal)
    redo_log(tmp_path).write_bytes(kept)
    assert journal.newest(Filters(), 9)[-1].state == "dropped"
    assert seen_by_others(tmp_path) == [("k 1", "dropped"), ("k 2", "failed"), (None, "failed")]


def test_an_id_that_was_given_to_something_else_meanwhile_is_replaced(
    journal: OwnedJournal, tmp_path: Path
) -> None:
    assert journal.accept(entry("ours")) == 1
    die(journal)
    assert Journal(str(tmp_path)).accept(entry("theirs", received_at=2.0)) == 1
    following = OwnedJournal(str(tmp_path))
    assert [(found.id, found.key) for found in following.unsettled()] == [(1, "theirs"), (2, "ours")]


def test_what_is_in_hand_keeps_its_id_when_another_process_has_taken_that_meanwhile(
    journal: OwnedJournal, tmp_path: Path
) -> None:
    journal.accept_all([entry("earlier")])
    first, second = (accepted(journal, entry(key)) for key in ("k 1", "k 2"))
    die(journal)
    others = Journal(str(tmp_path))
    theirs = [accepted(others, entry(f"theirs {number}", received_at=2.0)) for number in range(3)]
    assert [each.id for each in theirs[:2]] == [first.id, second.id]
    assert journal.save(first.with_runs([Run("hook", "my.function", "done")])) == []
    found = {each.key: (each.id, each.state) for each in journal.newest(Filters(), 9)}
    assert (found["k 1"], found["k 2"]) == ((first.id, "done"), (second.id, "running"))
    assert len(found) == len({entry_id for entry_id, _ in found.values()}) == 6
    assert journal.accept(entry("next")) == max(entry_id for entry_id, _ in found.values()) + 1


def test_what_has_begun_is_not_begun_again_because_another_process_brings_it(
    journal: OwnedJournal, tmp_path: Path
) -> None:
    journal.accept(entry("k 1"))
    die(journal)
    Journal(str(tmp_path)).accept(entry("k 1", received_at=2.0, state="pending", runs=()))
    assert [found.runs for found in journal.unsettled()] == [(BEGUN,)]


@pytest.mark.parametrize("missing", [1, 2, 100])
def test_a_record_that_was_not_written_to_its_end_never_was(
    journal: OwnedJournal, tmp_path: Path, missing: int
) -> None:
    journal.accept(entry("k 1"))
    journal.accept(entry("k 2"))
    die(journal)
    end = len(records(tmp_path))
    with redo_log(tmp_path).open("r+b") as file:
        file.seek(end - missing)
        file.write(bytes(missing))
    assert [found.key for found in journal.unsettled()] == ["k 1"]
    assert records(tmp_path) == b""
    assert journal.accept(entry("k 2")) == 2
    assert [found.key for found in journal.unsettled()] == ["k 1", "k 2"]


def test_the_newline_of_a_record_is_written_last(
    journal: OwnedJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.accept(entry("k 1"))
    monkeypatch.setattr(journal_redo, "_NEWLINE", None)  # which no byte can be
    with pytest.raises(TypeError):
        journal.accept(entry("k 2"))
    assert b"k 2" in records(tmp_path)
    assert records(tmp_path).count(b"\n") == 1


def test_the_log_makes_room_for_a_record_of_any_size(
    journal: OwnedJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_owned, "PAUSE_S", 3600.0)
    sizes = (10, journal_redo._ROOM - 1000, 5, 3 * journal_redo._ROOM, 700)
    for number, size in enumerate(sizes):
        journal.accept(entry(f"k {number}", body="x" * size))
    assert len(records(tmp_path)) > sum(sizes)
    die(journal)
    left = OwnedJournal(str(tmp_path)).unsettled()
    assert [len(found.body) for found in left] == list(sizes)
    assert records(tmp_path) == b""


def test_a_record_may_end_where_the_room_ends(
    journal: OwnedJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_owned, "PAUSE_S", 3600.0)
    monkeypatch.setattr(journal_owned, "_MOST_ENTRIES", 3600)
    monkeypatch.setattr(journal_redo, "_ROOM", 64)
    for number in range(100, 200):
        journal.accept(entry(f"k {number}", body="x" * (number - 100)))
    die(journal)
    assert [len(found.body) for found in journal.unsettled()] == list(range(100))


def test_the_log_does_not_grow_from_start_to_start(tmp_path: Path) -> None:
    for number in range(3):
        journal = OwnedJournal(str(tmp_path))
        journal.accept(entry(f"k {number}"))
        die(journal)
    assert redo_log(tmp_path).stat().st_size == journal_redo._ROOM


def test_who_died_while_the_log_was_cleared_has_cleared_it(
    journal: OwnedJournal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        journal.accept(entry(f"k {number}"))
    die(journal)
    with redo_log(tmp_path).open("r+b") as file:
        file.write(bytes(30))
    assert not journal_redo.has_records(str(redo_log(tmp_path)))
    assert journal.unsettled() == []
    assert records(tmp_path) == b""
    assert caplog.messages == []


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    redo_log(tmp_path).touch()
    assert not journal_redo.has_records(str(redo_log(tmp_path)))
    OwnedJournal(str(tmp_path)).accept(entry())
    assert journal_redo.has_records(str(redo_log(tmp_path)))


def test_a_log_that_was_not_yet_mapped_is_taken_in(journal: OwnedJournal, tmp_path: Path) -> None:
    journal.accept(entry("k 1"))
    die(journal)
    redo_log(tmp_path).write_bytes(records(tmp_path))  # as it was before NULs filled it up
    assert [found.key for found in journal.unsettled()] == ["k 1"]


def test_what_cannot_be_read_is_left_out_and_told(
    journal: OwnedJournal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for key in ("k 1", "k 2", "k 3"):
        known = accepted(journal, entry(key))
    journal.save(known.with_runs([Run("hook", "my.function", "done")]))
    die(journal)
    lines = redo_log(tmp_path).read_bytes().split(b"\n")
    lines[0] = lines[0][:-9] + b"?"
    lines.insert(1, b'[7,"done",[]]')  # of the one that cannot be read, for all that is known
    redo_log(tmp_path).write_bytes(b"\n".join(lines))
    assert [(found.key, found.state) for found in journal.newest(Filters(), 9)] == [
        ("k 3", "done"),
        ("k 2", "running"),
    ]
    [told] = caplog.messages
    assert told.startswith(f"{redo_log(tmp_path)}: line 1 cannot be read (")
    damaged = tmp_path / f"{journal_redo.FILE}.damaged"
    assert f"are in {damaged}: see there" in told
    assert damaged.read_bytes() == b"\n".join(lines).rstrip(b"\0")
    assert damaged.stat().st_mode & 0o777 == 0o600


def test_a_nul_in_the_middle_costs_one_record(
    journal: OwnedJournal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for key in ("k 1", "k 2", "k 3"):
        journal.accept(entry(key))
    die(journal)
    content = redo_log(tmp_path).read_bytes()
    redo_log(tmp_path).write_bytes(content.replace(b"k 2", b"k\x002"))
    assert [found.key for found in journal.unsettled()] == ["k 1", "k 3"]
    assert "line 2 cannot be read" in caplog.text


def test_what_is_wrong_with_the_log_is_not_said_of_the_journal(
    journal: OwnedJournal, tmp_path: Path
) -> None:
    redo_log(tmp_path).mkdir()
    with pytest.raises(StateError) as caught:
        journal.accept(entry())
    assert str(caught.value) == (
        f"the journal {redo_log(tmp_path)}: Is a directory; move that directory away"
    )


@pytest.mark.parametrize("power_safe", [False, True])
def test_a_record_is_on_the_disk_when_it_has_to_outlive_a_loss_of_power(
    tmp_path: Path, power_safe: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = OwnedJournal(str(tmp_path), power_safe=power_safe)
    synced: list[int] = []

    def fdatasync(fd: int) -> None:
        assert os.path.samestat(os.fstat(fd), redo_log(tmp_path).stat())
        synced.append(os.fstat(fd).st_size)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    known = accepted(journal, entry())
    sizes = [redo_log(tmp_path).stat().st_size]
    journal.save(known)
    sizes.append(redo_log(tmp_path).stat().st_size)
    assert synced == (sizes if power_safe else [])


# Trouble


def test_what_could_not_be_written_as_a_whole_is_held_and_once_there_is_space_it_goes_on(
    journal: OwnedJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_redo, "_ROOM", 50)
    known = accepted(journal, entry("k 1"))
    done = known.with_runs([Run("hook", "my.function", "done")])
    pwrite = os.pwrite

    def on_a_full_disk(fd: int, data: bytes, offset: int) -> int:
        if len(data) < 40:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(fd, data[:10], offset)

    works: list[Callable[[], object]] = [
        lambda: journal.save(done),
        lambda: journal.accept(entry("k 2", body="x" * 1000)),
    ]
    for number, work in enumerate(works, 1):
        with monkeypatch.context() as full:
            full.setattr(os, "pwrite", on_a_full_disk)
            with pytest.raises(StateError, match="No space left on device; free space"):
                work()
        assert [found.key for found in journal.unsettled()] == ["k 1"][: 2 - number]
        work()
    assert seen_by_others(tmp_path) == [("k 1", "done")]
    journal.let_go()
    assert seen_by_others(tmp_path) == [("k 1", "done"), ("k 2", "running")]


def test_what_cannot_be_committed_at_a_pause_is_committed_later(
    journal: OwnedJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.accept(entry("k 1"))
    with monkeypatch.context() as gone:
        gone.setattr(OwnedJournal, "_commit", lambda *_: (_ for _ in ()).throw(OSError(5, "it broke")))
        with pytest.raises(StateError, match="it broke"):
            journal.unsettled()
        journal.accept(entry("k 2"))
        journal.let_go()
        journal.let_go()
    assert [found.key for found in journal.unsettled()] == ["k 1", "k 2"]
    assert seen_by_others(tmp_path) == [("k 1", "running"), ("k 2", "running")]


def test_an_end_that_cannot_be_committed_is_on_record(
    journal: OwnedJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_owned, "PAUSE_S", 0.0)
    known = accepted(journal, entry("k 1"))
    done = known.with_runs([Run("hook", "my.function", "done")])
    with monkeypatch.context() as full:
        full.setattr(OwnedJournal, "_recover", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        journal.let_go()
        for _ in range(2):
            with pytest.raises(StateError, match="full"):
                journal.save(done)
    assert records(tmp_path).count(b"\n") == 2
    assert journal.save(done) is None  # it is there already
    assert seen_by_others(tmp_path) == [("k 1", "done")]


def test_a_log_that_cannot_be_opened_leaves_no_descriptor_behind(
    journal: OwnedJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pwrite", lambda *_: (_ for _ in ()).throw(OSError(5, "it broke")))
    counts = []
    for _ in range(3):
        with pytest.raises(StateError, match="it broke"):
            journal.unsettled()
        counts.append(len(os.listdir("/proc/self/fd")))
    assert counts == counts[:1] * 3


def test_an_entry_that_cannot_be_written_down_leaves_the_one_in_hand_as_it_was(
    journal: OwnedJournal, tmp_path: Path
) -> None:
    known = accepted(journal, entry("k 1"))
    broken = known.with_runs([Run("hook", "half a \ud83d surrogate")])
    with pytest.raises(UnicodeEncodeError):
        journal.save(broken)
    journal.let_go()
    assert seen_by_others(tmp_path) == [("k 1", "running")]


def test_no_descriptor_is_left_behind(journal: OwnedJournal) -> None:
    counts = []
    for number in range(3):
        journal.accept(entry(f"k {number}"))
        counts.append(len(os.listdir("/proc/self/fd")))
        die(journal)
    assert counts == counts[:1] * 3


def test_damage_is_kept_and_told_once_and_that_of_before_is_kept_too(
    journal: OwnedJournal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = b""
    for number, byte in enumerate((b"\xeb", b"\xec"), 1):
        journal.accept(entry(f"k {number}"))
        die(journal)
        content = records(tmp_path).replace(b"k ", b"k" + byte)
        damaged += content
        for _ in range(2):  # as if the journal could not be written the first time
            redo_log(tmp_path).write_bytes(content)
            die(journal)
            assert journal.unsettled() == []
        assert (tmp_path / f"{journal_redo.FILE}.damaged").read_bytes() == damaged
        assert len(caplog.messages) == number


@pytest.mark.parametrize("replaced", [False, True])
def test_a_removed_redo_log_is_made_anew(journal: OwnedJournal, tmp_path: Path, replaced: bool) -> None:
    assert journal.mend() == ""  # there is none yet
    journal.accept(entry("k 1"))
    redo_log(tmp_path).unlink()
    if replaced:
        redo_log(tmp_path).touch()
    journal.accept(entry("k 2"))
    assert journal.mend() == str(redo_log(tmp_path))
    assert journal.is_changed()
    assert journal.mend() == ""
    journal.accept(entry("k 3"))
    die(journal)
    following = OwnedJournal(str(tmp_path))
    assert [found.key for found in following.unsettled()] == ["k 1", "k 2", "k 3"]


def test_a_removed_journal_is_written_again_with_what_was_held_back(
    journal: OwnedJournal, tmp_path: Path
) -> None:
    journal.accept(entry("k 1", state="done"))
    journal.let_go()
    for file in tmp_path.iterdir():
        file.unlink()
    journal.accept(entry("k 2"))
    assert journal.mend()
    journal.accept(entry("k 3"))
    die(journal)
    assert [found.key for found in journal.unsettled()] == ["k 2", "k 3"]
    assert seen_by_others(tmp_path) == [("k 1", "done"), ("k 2", "running"), ("k 3", "running")]


def test_another_process_gets_its_turn_beside_an_owner_without_a_pause(
    journal: OwnedJournal, tmp_path: Path
) -> None:
    program = """
import select, sys
from listener import journal_file
from listener.entry import Entry
from listener.journal import Journal
journal_file._LOCKED_S = 2.0
journal = Journal(sys.argv[1])
for number in range(10):
    select.select([], [], [], 0.03)  # or it would follow on its own heels
    journal.accept(Entry(0, 1.0, "child", "pending", "{}", f"theirs {number}"))
"""
    journal.open()
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) as other:
        number = 0
        while other.poll() is None:
            number += 1
            journal.accept(entry(f"ours {number}", state="ignored", runs=()))
    assert other.returncode == 0
    journal.let_go()
    assert len(seen_by_others(tmp_path)) == number + 10


# All together


def test_whatever_happens_the_journal_has_what_was_done(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for number in range(40):
        folder = tmp_path / str(number)
        folder.mkdir()
        check_a_life(OwnedJournal(str(folder)), rng)
        shutil.rmtree(folder)


def check_a_life(journal: OwnedJournal, rng: random.Random) -> None:
    """A random life of a journal, beside a model of what it has to hold: each key with its runs."""
    model: dict[str, tuple[Run, ...]] = {}
    ids: dict[str, int] = {}
    others = Journal(os.path.dirname(journal._file.path))

    def accept() -> None:
        key = f"k {rng.randrange(30)}"
        state = rng.choice(("running", "running", "ignored"))
        runs = (RUN, BEGUN) if state == "running" else ()
        entry_id = journal.accept(entry(key, state=state, runs=runs))
        assert (entry_id is None) == (key in model)
        if entry_id is not None:
            assert entry_id not in ids.values()
            model[key], ids[key] = runs, entry_id

    def save() -> None:
        unsettled = [key for key, runs in model.items() if state_of(runs) in UNSETTLED]
        if unsettled:
            key = rng.choice((*unsettled, unsettled[-1]))  # which may be the one in hand
            model[key] = tuple(Run("hook", "my.function", rng.choice(STATES)) for _ in model[key])
            saved = entry(key, id=ids[key]).with_runs(model[key])
            assert journal.save(saved) == []

    def look() -> None:
        found = {str(each.key): each.runs for each in journal.after(0)}
        assert found == model

    def theirs() -> None:
        journal.let_go()
        key = f"theirs {len(model)}"
        entry_id = others.accept(entry(key, state="ignored", runs=()))
        assert entry_id is not None
        model[key], ids[key] = (), entry_id

    for _ in range(60):
        rng.choice(
            (accept, accept, save, save, save, journal.let_go, lambda: die(journal), look, theirs)
        )()
    look()
    journal._file.close()
    others.file.close()
