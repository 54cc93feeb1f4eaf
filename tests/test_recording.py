"""Recorded files: what was written is given once, whole and in order; damage is told and kept."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from listener import recording
from listener.inbox import runs as processes
from listener.inbox.runs import is_alive, run_of
from listener.recording import Recorded, RecordingReader, file_name, next_number, record

LIVE = run_of(os.getpid())
DEAD = f"{os.getpid()}.1"
"""The run of a process that had our pid before."""

SERIALS = st.integers(0, sys.maxsize)
EVENTS = st.lists(st.tuples(SERIALS, st.text(st.characters(exclude_categories=()))), max_size=8)
"""Lone surrogates, too, although supervisord could not send them."""


def recorded(run: str, *payloads: str, first: int = 0) -> list[Recorded]:
    return [Recorded(run, serial, payload) for serial, payload in enumerate(payloads, first)]


def written(*events: Recorded) -> bytes:
    return b"".join(record(event.serial, event.payload) for event in events)


def put(folder: Path, number: int, run: str, data: bytes) -> Path:
    file = folder / file_name(number, run)
    file.write_bytes(data)
    return file


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[RecordingReader]:
    with closing(RecordingReader(str(tmp_path))) as reader:
        yield reader


@contextmanager
def another_process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


# Runs


def test_a_run_is_the_same_text_for_the_process_itself_and_for_its_child() -> None:
    program = "import os; from listener.inbox.runs import run_of; print(run_of(os.getppid()))"
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == run_of(os.getpid())
    assert re.fullmatch(rf"{os.getpid()}\.[1-9][0-9]*", LIVE)


def test_a_process_may_have_any_name() -> None:
    own = Path("/proc/self/comm")
    before = own.read_text()
    own.write_text(") Z 1 (")
    try:
        assert run_of(os.getpid()) == LIVE
        assert is_alive(LIVE)
    finally:
        own.write_text(before)


def test_a_run_ends_with_its_process_even_if_nobody_has_asked_for_its_status() -> None:
    with another_process() as process:
        run = run_of(process.pid)
        assert is_alive(run)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not is_alive(run)
        process.wait()
        assert not is_alive(run)
    assert not is_alive(DEAD)


def test_where_proc_tells_nothing_a_run_is_a_pid_and_lives_as_long_as_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreadable(*_: object, **__: object) -> None:
        raise FileNotFoundError

    def of_somebody_else(*_: object) -> None:
        raise PermissionError

    with another_process() as process:
        monkeypatch.setattr(processes, "open", unreadable, raising=False)
        run = run_of(process.pid)
        assert run == f"{process.pid}.0"
        assert is_alive(run)
        process.kill()
        process.wait()
        assert not is_alive(run)
    with monkeypatch.context() as patch:
        patch.setattr(os, "kill", of_somebody_else)
        assert is_alive(LIVE)
    monkeypatch.undo()
    assert is_alive(f"{os.getpid()}.0")


# Names


def test_the_order_of_names_is_the_order_of_numbers() -> None:
    numbers = [1, 2, 10, 99_999_999]
    made = [file_name(number, "7.8") for number in numbers]
    assert sorted(made) == made
    assert [next_number([name]) for name in made] == [number + 1 for number in numbers]
    assert next_number(["x", "1-2", *made[:3], f"{made[2]}.damaged"]) == 11
    assert next_number([]) == 1


# Reading


def test_a_folder_need_not_be_there(tmp_path: Path) -> None:
    folder = tmp_path / "recorded"
    with closing(RecordingReader(str(folder))) as reader:
        assert reader.read_new() == []
        reader.settle()
        folder.mkdir()
        put(folder, 1, LIVE, record(5, "x"))
        assert reader.read_new() == [Recorded(LIVE, 5, "x")]
        assert reader.problems == []


@settings(deadline=None)
@given(events=EVENTS)
def test_what_was_recorded_is_given_as_it_was(
    events: list[tuple[int, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("recorded")
    put(folder, 1, DEAD, b"".join(record(*event) for event in events))
    with closing(RecordingReader(str(folder))) as reader:
        assert reader.read_new() == [Recorded(DEAD, *event) for event in events]
        reader.settle()
        assert reader.problems == []
        assert names(folder) == []


def test_a_record_that_is_not_whole_yet_is_given_when_it_is(tmp_path: Path) -> None:
    events = recorded(LIVE, "a\nb", "", "é€😀\r\n", first=9)
    data = written(*events)
    for cut in range(len(data) + 1):
        file = put(tmp_path, 1, LIVE, data[:cut])
        with closing(RecordingReader(str(tmp_path))) as reader:
            first = reader.read_new()
            assert reader.read_new() == []
            with file.open("ab") as more:
                more.write(data[cut:])
            assert first + reader.read_new() == events
            assert reader.problems == []


def test_a_large_record_comes_in_many_pieces(tmp_path: Path, reader: RecordingReader) -> None:
    events = recorded(LIVE, "x" * 300_000, "y")
    put(tmp_path, 1, LIVE, written(*events))
    assert reader.read_new() == events


def test_files_are_read_in_the_order_of_their_numbers_and_others_are_left_alone(
    tmp_path: Path, reader: RecordingReader
) -> None:
    put(tmp_path, 9, DEAD, record(1, "first"))
    put(tmp_path, 100_000_000, LIVE, record(3, "last"))
    put(tmp_path, 10, LIVE, record(2, "second"))
    for name in ("x.events", "00000001-1.2.events.damaged", "00000001-a.b.events", "1-1.2.events"):
        (tmp_path / name).write_text("x")
    assert [event.payload for event in reader.read_new()] == ["first", "second", "last"]
    reader.settle()
    assert len(names(tmp_path)) == 5
    assert reader.problems == []


def test_no_more_than_the_limit_is_given_at_once(tmp_path: Path, reader: RecordingReader) -> None:
    put(tmp_path, 1, LIVE, written(*recorded(LIVE, *"abcde")))
    put(tmp_path, 2, LIVE, written(*recorded(LIVE, *"fg", first=5)))
    given = [[event.payload for event in reader.read_new(limit)] for limit in (0, 2, 3, 1, 9, 9)]
    assert given == [[], ["a", "b"], ["c", "d", "e"], ["f"], ["g"], []]


def test_a_new_reader_gives_again_what_is_still_there(tmp_path: Path) -> None:
    events = recorded(LIVE, "a", "b")
    put(tmp_path, 1, LIVE, written(*events))
    for _ in range(2):
        with closing(RecordingReader(str(tmp_path))) as reader:
            assert reader.read_new() == events
            reader.settle()


def test_two_supervisords_are_read_beside_each_other(tmp_path: Path, reader: RecordingReader) -> None:
    with another_process() as process:
        other = run_of(process.pid)
        files = [put(tmp_path, 1, other, b""), put(tmp_path, 2, LIVE, b"")]
        for serial in range(3):
            for file in files:
                with file.open("ab") as more:
                    more.write(record(serial, "x"))
            assert reader.read_new() == [Recorded(other, serial, "x"), Recorded(LIVE, serial, "x")]
            reader.settle()
        assert len(names(tmp_path)) == 2


# Looking for new files


def test_a_file_that_appears_in_the_same_tick_as_another_is_found(tmp_path: Path) -> None:
    tick = 10**18
    with closing(RecordingReader(str(tmp_path), lambda: tick + 10**9)) as reader:
        for number in (1, 2):
            put(tmp_path, number, LIVE, record(number, "x"))
            os.utime(tmp_path, ns=(tick, tick))
            assert [event.serial for event in reader.read_new()] == [number]


def test_a_folder_that_has_not_changed_for_seconds_is_not_listed_again(tmp_path: Path) -> None:
    tick = 10**18
    put(tmp_path, 1, LIVE, record(1, "x"))
    os.utime(tmp_path, ns=(tick, tick))
    with closing(RecordingReader(str(tmp_path), lambda: tick + 3 * 10**9)) as reader:
        assert len(reader.read_new()) == 1
        put(tmp_path, 2, LIVE, record(2, "x"))
        os.utime(tmp_path, ns=(tick, tick))
        assert reader.read_new() == []
        os.utime(tmp_path, ns=(tick, tick + 1))
        assert len(reader.read_new()) == 1


# Removing


def test_only_files_that_were_given_and_will_not_grow_are_removed(
    tmp_path: Path, reader: RecordingReader
) -> None:
    put(tmp_path, 1, DEAD, record(1, "x"))
    second = put(tmp_path, 2, LIVE, record(2, "x"))
    last = put(tmp_path, 3, LIVE, record(3, "x"))
    reader.settle()
    assert len(names(tmp_path)) == 3
    assert len(reader.read_new(2)) == 2
    reader.settle()
    assert names(tmp_path) == [second.name, last.name]
    assert len(reader.read_new()) == 1
    reader.settle()
    assert names(tmp_path) == [last.name]


def test_a_file_is_removed_when_another_has_followed(tmp_path: Path, reader: RecordingReader) -> None:
    first = put(tmp_path, 1, LIVE, record(1, "x"))
    assert len(reader.read_new()) == 1
    reader.settle()
    with first.open("ab") as more:
        more.write(record(2, "x"))
    second = put(tmp_path, 2, LIVE, record(3, "x"))
    reader.settle()
    assert names(tmp_path) == [first.name, second.name]
    assert [event.serial for event in reader.read_new()] == [2, 3]
    reader.settle()
    assert names(tmp_path) == [second.name]


def test_a_file_is_removed_when_its_supervisord_has_died_and_all_of_it_was_given(
    tmp_path: Path, reader: RecordingReader
) -> None:
    with another_process() as process:
        run = run_of(process.pid)
        file = put(tmp_path, 1, run, record(1, "x"))
        assert len(reader.read_new()) == 1
        reader.settle()
        with file.open("ab") as more:
            more.write(record(2, "x"))
    reader.settle()
    assert names(tmp_path) == [file.name]
    assert reader.read_new() == [Recorded(run, 2, "x")]
    reader.settle()
    assert names(tmp_path) == []


def test_the_file_of_the_parent_is_kept_without_a_look_at_proc(
    tmp_path: Path, reader: RecordingReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = run_of(os.getppid())
    put(tmp_path, 1, parent, record(1, "x"))
    assert len(reader.read_new()) == 1
    monkeypatch.setattr(recording, "is_alive", lambda _: pytest.fail("it looks"))
    reader.settle()
    assert len(names(tmp_path)) == 1


def test_a_file_that_vanishes_is_forgotten(tmp_path: Path, reader: RecordingReader) -> None:
    file = put(tmp_path, 1, LIVE, record(1, "x"))
    assert len(reader.read_new()) == 1
    file.unlink()
    put(tmp_path, 2, LIVE, record(2, "x"))
    before = len(os.listdir("/proc/self/fd"))
    assert len(reader.read_new()) == 1
    assert len(os.listdir("/proc/self/fd")) == before
    assert reader.problems == []


def test_somebody_else_may_remove_a_file_first(tmp_path: Path, reader: RecordingReader) -> None:
    file = put(tmp_path, 1, DEAD, record(1, "x"))
    assert len(reader.read_new()) == 1
    file.unlink()
    reader.settle()
    assert reader.problems == []


def test_a_file_that_cannot_be_removed_is_told_once_and_not_given_again(
    tmp_path: Path, reader: RecordingReader
) -> None:
    file = put(tmp_path, 1, DEAD, record(1, "x"))
    assert len(reader.read_new()) == 1
    file.unlink()
    file.mkdir()
    reader.settle()
    reader.settle()
    [problem] = reader.problems
    assert problem.startswith(f"{file} cannot be removed after it was read (Is a directory)")
    put(tmp_path, 2, LIVE, b"")
    assert reader.read_new() == []


# Damage


@pytest.mark.parametrize("newer", [True, False])
def test_a_record_that_nobody_will_complete_is_told_and_kept(
    tmp_path: Path, reader: RecordingReader, newer: bool
) -> None:
    run = LIVE if newer else DEAD
    whole, torn = recorded(run, "whole", "torn")
    file = put(tmp_path, 1, run, written(whole, torn)[:-2])
    if newer:
        put(tmp_path, 2, run, record(2, "next"))
    assert reader.read_new()[0] == whole
    [problem] = reader.problems
    assert problem.startswith(f"{file}, byte {len(written(whole))}: no whole record stands there")
    reader.settle()
    assert names(tmp_path)[0] == f"{file.name}.damaged"
    assert reader.read_new() == []
    assert len(reader.problems) == 1


def test_a_record_is_told_to_be_torn_when_its_supervisord_has_died(
    tmp_path: Path, reader: RecordingReader
) -> None:
    with another_process() as process:
        file = put(tmp_path, 1, run_of(process.pid), record(1, "x")[:-3])
        assert reader.read_new() == []
        reader.settle()
        assert reader.problems == []
    assert reader.read_new() == []
    assert len(reader.problems) == 1
    reader.settle()
    assert names(tmp_path) == [f"{file.name}.damaged"]


@settings(deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(1, 255), is_final=st.booleans())
@example(place=0.6171875, byte=12 ^ 2, is_final=False)  # 12's first byte of text, and 12 without its 1
def test_a_damaged_byte_costs_one_record_and_is_told(
    place: float, byte: int, is_final: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("recorded")
    events = recorded(LIVE, "a" * 30, "1 5 0badc0de\nhello\n", "", "é", "z" * 50, first=9)
    data = bytearray(written(*events))
    position = int(place * len(data))
    data[position] ^= byte
    ends = [len(written(*events[: count + 1])) for count in range(len(events))]
    hit = events[next(index for index, end in enumerate(ends) if position < end)]
    file = put(folder, 1, LIVE, bytes(data))
    with closing(RecordingReader(str(folder))) as reader:
        given = [] if is_final else reader.read_new()
        put(folder, 2, LIVE, b"")
        given += reader.read_new()
        assert given == [event for event in events if event != hit]
        assert len(reader.problems) == 1
        reader.settle()
        assert f"{file.name}.damaged" in names(folder)


def test_garbage_in_a_file_that_grows_does_not_hide_what_follows(
    tmp_path: Path, reader: RecordingReader
) -> None:
    file = put(tmp_path, 1, LIVE, record(1, "x") + b"\0" * 100 + b"\n" * 50)
    assert reader.read_new() == [Recorded(LIVE, 1, "x")]
    whole = record(12, "y")
    for piece in (whole[:1], whole[1:9], whole[9:]):
        with file.open("ab") as more:
            more.write(piece)
        given = reader.read_new()
    assert given == [Recorded(LIVE, 12, "y")]
    assert len(reader.problems) == 1
    reader.settle()
    assert names(tmp_path) == [file.name]


def test_what_cannot_be_read_is_told_once_and_keeps_nothing_else_from_being_read(
    tmp_path: Path, reader: RecordingReader
) -> None:
    link = tmp_path / file_name(1, LIVE)
    link.symlink_to("elsewhere")
    directory = tmp_path / file_name(2, LIVE)
    directory.mkdir()
    put(tmp_path, 3, LIVE, record(1, "x"))
    assert len(reader.read_new()) == 1
    assert reader.read_new() == []
    told = [problem.partition(" cannot be read (")[0] for problem in reader.problems]
    assert told == [str(link), str(directory)]
    reader.problems.clear()
    link.unlink()
    put(tmp_path, 1, LIVE, record(0, "mended"))
    assert [event.payload for event in reader.read_new()] == ["mended"]
    assert reader.problems == []


def test_a_file_in_place_of_the_folder_is_told_once_and_may_be_mended(tmp_path: Path) -> None:
    folder = tmp_path / "recorded"
    folder.touch()
    with closing(RecordingReader(str(folder))) as reader:
        assert reader.read_new() == reader.read_new() == []
        [problem] = reader.problems
        assert problem.startswith(f"{folder} cannot be read (Not a directory)")
        folder.unlink()
        folder.mkdir()
        put(folder, 1, LIVE, record(1, "x"))
        assert len(reader.read_new()) == 1


def test_a_reader_killed_at_any_moment_leaves_what_it_did_not_settle(tmp_path: Path) -> None:
    put(tmp_path, 1, DEAD, record(1, "x"))
    program = (
        "import os, signal, sys; from listener.recording import RecordingReader\n"
        "assert len(RecordingReader(sys.argv[1]).read_new()) == 1; os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    with closing(RecordingReader(str(tmp_path))) as reader:
        assert len(reader.read_new()) == 1
