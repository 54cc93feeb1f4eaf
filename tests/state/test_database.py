"""The journal's file: whatever happens to it, to the disk or to a process, what was accepted is there.

Every file, lock, limit, kill and second process here is a real one.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from listener.errors import OtherSchema, StateError
from listener.model.entry import Entry
from listener.model.outcome import Outcome, Tally
from listener.state import database
from listener.state.filters import Filters
from listener.state.hold import Hold
from listener.state.journal import FILE, Journal
from tests.children import child, said, tell
from tests.state.entries import RUN, TOKEN, bodies, entry, ids
from tests.users import NOBODY, folder_of_nobody, mode, needs_root, unprivileged

PROGRAM = """
import sys
from listener.model.entry import Entry
from listener.model.outcome import Tally
from listener.state.hold import Hold
from listener.state.journal import Journal
def entry(key=None, body="x" * 1000):
    return Entry(0, 1.0, "child", "pending", body, key)
journal = Journal(sys.argv[1])
"""
"""What each child begins with."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the journal's file is, in a directory that holds nothing else."""
    (tmp_path / "state").mkdir()
    return tmp_path / "state" / FILE


@pytest.fixture
def journal(file: Path) -> Iterator[Journal]:
    journal = Journal(str(file.parent))
    yield journal
    journal.close()


def problem(work: Callable[[], object], file: Path) -> str:
    """What a StateError says of the journal in this file."""
    with pytest.raises(StateError) as caught:
        work()
    start = f"the journal {file}: "
    assert str(caught.value).startswith(start)
    assert caught.value.__cause__ is not None
    return str(caught.value).removeprefix(start)


def in_files(folder: Path, text: str) -> list[str]:
    """The names of the files in which the text stands."""
    return [each.name for each in folder.iterdir() if text.encode() in each.read_bytes()]


# How it is made


def test_the_files_are_for_their_owner_alone(journal: Journal, file: Path) -> None:
    before = os.umask(0)
    try:
        journal.accept(entry())
    finally:
        os.umask(before)
    names = (FILE, f"{FILE}-wal", f"{FILE}-shm")
    assert {each.name: mode(each) for each in file.parent.iterdir()} == dict.fromkeys(names, 0o600)


def test_what_root_makes_belongs_to_the_owner_of_the_directory(journal: Journal, file: Path) -> None:
    needs_root()
    os.chown(file.parent, NOBODY, NOBODY)
    journal.accept(entry())
    owners = [(each.stat().st_uid, each.stat().st_gid) for each in file.parent.iterdir()]
    assert owners == [(NOBODY, NOBODY)] * 3


@pytest.mark.parametrize(("power_safe", "synchronous"), [(False, 1), (True, 2)])
def test_a_commit_waits_for_the_disk_only_where_it_has_to_outlive_a_loss_of_power(
    file: Path, power_safe: bool, synchronous: int
) -> None:
    journal = Journal(str(file.parent), power_safe=power_safe)
    expected = {
        "synchronous": synchronous, "journal_mode": "wal", "secure_delete": 1, "page_size": 2048
    }  # fmt: skip
    with journal._database as connection:
        found = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in expected}
    journal.close()
    assert found == expected


@pytest.mark.parametrize("version", [2, 99])
def test_a_journal_of_another_version_is_refused_and_left_alone(
    journal: Journal, file: Path, version: int
) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute(f"PRAGMA user_version = {version}")
    for work in (journal.unsettled, lambda: journal.accept(entry())):
        with pytest.raises(OtherSchema) as caught:
            work()
        assert str(caught.value).startswith(
            f"{file} has schema {version}, and this conductor-hooks knows 1: install the version"
        )
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_an_emptied_file_is_a_new_journal(journal: Journal, file: Path) -> None:
    journal.accept(entry())
    journal.close()
    os.truncate(file, 0)
    assert journal.unsettled() == []


# Other processes


def test_each_key_is_accepted_once_whichever_process_accepts_it(journal: Journal, file: Path) -> None:
    program = """
print("ready", flush=True)
found = [journal.accept(entry(key)) for key in sys.stdin.readline().split()]
print(len(found) - found.count(None))
"""
    keys = [f"k{number}" for number in range(200)]
    with child(PROGRAM + program, str(file.parent)) as other:
        assert said(other) == "ready"
        tell(other, " ".join(keys))
        here = [journal.accept(entry(key=key)) for key in keys]
        assert len(here) - here.count(None) + int(said(other)) == 200
    assert sorted(str(found.key) for found in journal.unsettled()) == sorted(keys)


def test_two_processes_may_make_it_and_count_at_the_same_moment(file: Path) -> None:
    program = """
import threading
print("ready", flush=True)
for folder in sys.stdin:
    journal = Journal(folder.strip(), hold=Hold(threading.Event().wait))
    for _ in range(20):
        journal.count({"a:162": Tally(1, 1, 0)}, 1.0)
    journal.close()
    print("done", flush=True)
"""
    with child(PROGRAM + program, "") as one, child(PROGRAM + program, "") as other:
        assert [said(one), said(other)] == ["ready", "ready"]
        for number in range(15):
            folder = file.parent / str(number)
            folder.mkdir()
            for process in (one, other):
                tell(process, str(folder))
            assert [said(one), said(other)] == ["done", "done"]
            with closing(Journal(str(folder))) as made:
                assert made.tallies() == {"a:162": Tally(40, 40, 0, 1.0)}


def test_it_is_known_once_that_another_process_has_written(journal: Journal, file: Path) -> None:
    with closing(Journal(str(file.parent))) as other:
        other.accept(entry())
        for _ in range(2):
            assert journal.is_changed()  # nothing is known yet
            assert not journal.is_changed()
            journal.close()
        assert journal.is_changed()
        journal.accept(entry())
        assert other.get(1) is not None
        assert not journal.is_changed()
        other.note("name", "value")
        assert journal.is_changed()
        assert not journal.is_changed()


@pytest.mark.parametrize(
    ("work", "step"), [("accept(entry())", 1), ("accept_all([entry()] * 100)", 100)]
)
def test_a_killed_process_has_accepted_all_that_it_said_and_a_transaction_as_a_whole(
    journal: Journal, file: Path, work: str, step: int
) -> None:
    program = f"while True: print(journal.{work}, flush=True)"
    for enough in (1, 20, 200):
        before = len(ids(journal))
        journal.close()
        with child(PROGRAM + program, str(file.parent)) as process:
            for _ in range(enough // step + 1):
                assert said(process)
            process.kill()
            assert process.stdout is not None
            more = sum(line.endswith("\n") for line in process.stdout)
        accepted = len(ids(journal)) - before
        assert accepted in (step * (enough // step + 1 + more + is_unsaid) for is_unsaid in (0, 1))
        with journal._database as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


# The token


@pytest.mark.parametrize("way", ["save", "drop", "accept"])
def test_the_token_of_a_settled_entry_is_nowhere_in_the_files(
    journal: Journal, file: Path, way: str
) -> None:
    if way == "accept":
        journal.accept(entry(state="ignored", rest_token=TOKEN))
    else:
        journal.accept(entry(rest_token=TOKEN))
        journal.close()
        assert in_files(file.parent, TOKEN) == [FILE]
    if way == "save":
        journal.save(entry(id=1, state="done", rest_token=TOKEN))
    elif way == "drop":
        assert journal.drop(1)
    journal.close()
    assert in_files(file.parent, "ctok-") == []


def test_no_token_is_left_where_entries_of_all_sizes_were_moved_about(
    journal: Journal, file: Path
) -> None:
    """Rows that grow are moved between SQLite's pages, where copies of them could stay."""
    chance = random.Random(4711)
    unsettled: list[Entry] = []
    for number in range(250):
        body = "x" * chance.randint(10, chance.choice([100, 1000, 9000]))
        fresh = entry(body=body, key=f"k {number}", rest_token=f"ctok-{chance.getrandbits(160):040x}")
        unsettled.append(msgspec.structs.replace(fresh, id=journal.accept(fresh)))
        while len(unsettled) > chance.randint(0, 40):
            begun = unsettled.pop(chance.randrange(len(unsettled))).with_runs([RUN.begun(1.0)])
            journal.save(begun)
            why = Outcome("failed", "why" * chance.randint(0, 500), 0.1)
            journal.save(begun.with_runs([begun.runs[0].ended(why, None)]))
    assert in_files(file.parent, "ctok-") != []
    for found in unsettled:
        assert journal.drop(found.id)
    journal.close()
    assert in_files(file.parent, "ctok-") == []


# What can go wrong with it, and what is possible again when that is mended


def test_a_file_that_may_not_grow_is_told_and_loses_nothing(file: Path) -> None:
    program = """
import resource, signal
from listener.errors import StateError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
journal.accept(entry())
resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, limits[1]))
large = entry(body="x" * 100_000)
for accept in (journal.accept, lambda large: journal.accept_all([entry(), large])):
    try:
        accept(large)
    except StateError as error:
        print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
print(journal.accept(large), journal.accept_all([entry(), large]))
"""
    with child(PROGRAM + program, str(file.parent)) as process:
        words = (
            f"the journal {file}: disk I/O error; look at the disk, its free space and the limits of"
        )
        assert [said(process).startswith(words) for _ in range(2)] == [True, True]
        assert said(process) == "2 [3, 4]"


def overwrite(file: Path, begin: int, data: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(begin)
        opened.write(data)


Strike = Callable[[Path], object]


def replace_bytes(old: bytes, new: bytes) -> Strike:
    return lambda file: file.write_bytes(file.read_bytes().replace(old, new))


MALFORMED = "database disk image is malformed"
DAMAGE: dict[str, tuple[Strike, str]] = {
    "random bytes": (
        lambda file: overwrite(file, 4096, random.Random(7).randbytes(file.stat().st_size - 4096)),
        MALFORMED,
    ),
    "zero bytes": (lambda file: overwrite(file, 4096, bytes(file.stat().st_size - 4096)), MALFORMED),
    "cut off": (lambda file: os.truncate(file, file.stat().st_size // 2), MALFORMED),
    "no header": (lambda file: overwrite(file, 0, bytes(100)), "file is not a database"),
    "text file": (lambda file: file.write_text("a text\n"), "file is not a database"),
    "a run": (replace_bytes(b'[{"hook"', b'[{"\x07ook"'), "a part of it cannot be read"),
    "a text": (
        replace_bytes(b'"event_type"', b'"\xff\xfe\xfd\xfc\xfb_type"'),
        "a part of it cannot be read",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_told_and_a_new_one_begins_when_it_is_moved_away(
    journal: Journal, file: Path, damage: str
) -> None:
    journal.accept_all([entry()] * 300)
    journal.close()
    do_damage, words = DAMAGE[damage]
    do_damage(file)
    for _ in range(2):
        found = problem(journal.unsettled, file)
        assert found == f"{words}; it is damaged: move it and its -wal file away; a new one begins then"
    for each in file.parent.glob(f"{FILE}*"):
        each.rename(file.parent / f"damaged-{each.name}")
    assert journal.accept(entry()) == 1
    assert journal.unsettled() == [entry(id=1)]


def flip_a_byte(wal: Path) -> None:
    data = wal.read_bytes()
    overwrite(wal, 32 + 4 * 2072 + 1000, bytes([data[32 + 4 * 2072 + 1000] ^ 1]))


@pytest.mark.parametrize(
    ("damage", "is_damaged"),
    [(lambda _: None, False), (flip_a_byte, True), (lambda wal: overwrite(wal, 0, bytes(32)), True)],
)
def test_what_a_damaged_wal_file_has_lost_is_told_when_its_writer_was_killed(
    file: Path, caplog: pytest.LogCaptureFixture, damage: Strike, is_damaged: bool
) -> None:
    """SQLite drops all that stands behind the damage. Commits of an earlier use are not lost."""
    program = """
for _ in range(30): journal.accept(entry())
with journal._database as connection: connection.execute("PRAGMA wal_checkpoint(RESTART)")
for _ in range(10): journal.accept(entry())
print("done", flush=True)
sys.stdin.read()
"""
    with child(PROGRAM + program, str(file.parent)) as process:
        assert said(process) == "done"
        process.kill()
        process.wait()
    damage(Path(f"{file}-wal"))
    with closing(Journal(str(file.parent), hold=Hold(lambda _: True))) as journal:
        lost = 40 - len(ids(journal))
    told = sum(map(int, re.findall(rf"{file}-wal is damaged: up to (\d+) of", caplog.text)))
    assert bool(told) is (lost > 0) is is_damaged
    assert told >= lost
    if damage is flip_a_byte:
        assert told == lost


def test_what_another_process_keeps_locked_can_be_read_and_is_written_when_it_is_free(
    journal: Journal, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_LOCKED_S", 0.02)
    journal.accept(entry())
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        works: list[Callable[[], object]] = [
            lambda: journal.accept(entry()),
            lambda: journal.accept_all([entry()]),
            lambda: journal.save(entry(id=1, state="done"), [entry()]),
            lambda: journal.note("name", "value"),
            lambda: journal.count({"a:162": Tally(1, 0, 0)}, 1.0),
            lambda: journal.reopen(entry(id=1), ()),
            lambda: journal.drop(1),
        ]
        for work in works:
            assert problem(work, file) == (
                "database is locked; another process keeps it locked; end the process that has it open"
                " (fuser)"
            )
            assert journal.unsettled() == [entry(id=1)]
    assert journal.accept(entry()) == 2


@pytest.mark.parametrize(
    ("folder_mode", "file_mode", "words"),
    [
        (0o500, None, "Permission denied"),
        (0o700, 0o400, "Permission denied"),
        (0o700, 0, "Permission denied"),
        (0, 0o600, "Permission denied"),
        (0o500, 0o600, "attempt to write a readonly database"),
    ],
)
def test_what_may_not_be_written_is_told_and_written_when_it_may_be(
    folder_mode: int, file_mode: int | None, words: str
) -> None:
    with folder_of_nobody() as folder, unprivileged(), closing(Journal(str(folder))) as journal:
        file = folder / FILE
        if file_mode is not None:
            journal.accept(entry())
            journal.close()
            file.chmod(file_mode)
        folder.chmod(folder_mode)
        try:
            for work in (journal.unsettled, lambda: journal.accept(entry())):
                found = problem(work, file)
                hint = "write to the directory and all in it: as root, chown -R USER DIRECTORY"
                assert found == f"{words}; let the listener's user {hint}"
        finally:
            folder.chmod(0o700)
        if file_mode is not None:
            file.chmod(0o600)
        assert journal.accept(entry()) is not None


def make_a_file_of_it(folder: Path) -> None:
    folder.rmdir()
    folder.touch()


def make_a_folder_again(folder: Path) -> None:
    folder.unlink(missing_ok=True)
    folder.mkdir()


OBSTACLES: dict[str, tuple[Strike, Strike]] = {
    "No such file or directory; its directory is gone: make it again": (
        shutil.rmtree,
        make_a_folder_again,
    ),
    "Not a directory; move that file away": (make_a_file_of_it, make_a_folder_again),
    "journal.db is no regular file; move it away": (
        lambda folder: (folder / FILE).mkdir(),
        lambda folder: (folder / FILE).rmdir(),
    ),
    "Too many levels of symbolic links; a link is not followed there": (
        lambda folder: (folder / FILE).symlink_to(folder / "elsewhere"),
        lambda folder: (folder / FILE).unlink(),
    ),
}


@pytest.mark.parametrize("words", OBSTACLES)
def test_what_stands_in_the_way_is_told_and_the_journal_is_made_when_it_is_gone(
    journal: Journal, file: Path, words: str
) -> None:
    obstruct, clear_away = OBSTACLES[words]
    obstruct(file.parent)
    for _ in range(2):
        assert problem(lambda: journal.accept(entry()), file).startswith(words)
    clear_away(file.parent)
    assert journal.accept(entry()) == 1


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_nothing_but_a_regular_file_is_opened(journal: Journal, file: Path, suffix: str) -> None:
    fifo = Path(f"{file}{suffix}")
    os.mkfifo(fifo)
    with pytest.raises(StateError, match=f"^the journal {fifo}: .* is no regular file; move it away$"):
        journal.accept(entry())
    fifo.unlink()
    assert journal.accept(entry()) == 1


# Removed while it is open


def remove_alone(file: Path) -> None:
    file.unlink()


def remove_all(file: Path) -> None:
    for each in file.parent.glob(f"{FILE}*"):
        each.unlink()


def move_away(file: Path) -> None:
    file.rename(file.with_name("moved away"))


def replace_by_an_empty_one(file: Path) -> None:
    new = file.with_name("new")
    new.touch(0o600)
    new.rename(file)


@pytest.mark.parametrize("removal", [remove_alone, remove_all, move_away, replace_by_an_empty_one])
def test_a_removed_journal_is_told_once_and_a_new_one_begins(
    journal: Journal, file: Path, removal: Strike
) -> None:
    journal.accept_all([entry(key="k 1"), entry()])
    removal(file)
    journal.accept(entry(body="accepted after that"))

    words = f"{file} was removed while it was in use: its entries are lost, "
    assert journal.renew_if_removed().startswith(words)

    assert journal.renew_if_removed() == ""
    assert journal.is_changed()
    assert ids(journal) == []
    assert journal.accept(entry(key="k 1")) == 1
    with closing(Journal(str(file.parent))) as another:
        assert another.newest(Filters(), 10) == [entry(id=1, key="k 1")]
    assert mode(file) == 0o600


def test_a_removed_wal_file_is_told_and_what_it_held_is_in_the_journal(
    journal: Journal, file: Path
) -> None:
    journal.accept(entry(body="before"))
    Path(f"{file}-wal").unlink()
    journal.accept(entry(body="after"))

    assert journal.renew_if_removed().startswith(f"{file}-wal was removed while it was in use: a new")

    assert journal.renew_if_removed() == ""
    assert bodies(journal) == ["before", "after"]
    with closing(Journal(str(file.parent))) as another:
        assert bodies(another) == ["before", "after"]


def test_after_the_directory_was_removed_the_loss_is_told_before_a_new_journal_can_begin(
    journal: Journal, file: Path
) -> None:
    journal.accept(entry())
    shutil.rmtree(file.parent)
    assert "its entries are lost" in journal.renew_if_removed()
    assert problem(journal.unsettled, file).startswith("No such file or directory; its directory is")
    file.parent.mkdir()
    assert journal.unsettled() == []


def test_a_journal_that_is_there_or_not_open_or_in_memory_is_not_renewed(journal: Journal) -> None:
    in_memory = Journal(None)
    for each in (journal, in_memory):
        assert each.renew_if_removed() == ""
        each.accept(entry())
        assert each.renew_if_removed() == ""
        assert ids(each) == [1]
    in_memory.close()


def test_a_mistake_in_a_statement_of_ours_is_a_defect_and_no_trouble_with_the_file(file: Path) -> None:
    file_open = database.Database(str(file))
    with pytest.raises(sqlite3.ProgrammingError), closing(file_open), file_open as connection:
        connection.execute("SELECT ?")


def test_opening_waits_for_another_process_and_then_says_what_is_in_the_way(
    journal: Journal, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_LOCKED_S", 0.02)
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("CREATE TABLE elsewhere (x)")
        assert problem(journal.unsettled, file).startswith("database is locked; another process keeps")
    assert journal.accept(entry()) == 1
