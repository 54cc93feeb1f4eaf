"""The inbox is read whole, in order and once, while others write to it; damage is set aside."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from listener.inbox import whole_file
from listener.inbox.folder import FOLDER, discard, events_name, notifications_name
from listener.inbox.reader import InboxReader, Record
from listener.inbox.record import encode
from listener.inbox.runs import run_of
from tests.processes import ALIVE, DEAD, another_process

TEXTS = st.text(st.characters(exclude_categories=()))
"""With lone surrogates, too, although supervisord could not send them."""
RECORDED = st.lists(st.tuples(st.integers(0, sys.maxsize), TEXTS), max_size=8)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / FOLDER
    folder.mkdir()
    return folder


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[InboxReader]:
    with closing(InboxReader(str(tmp_path))) as reader:
        yield reader


def events(run: str, *payloads: str, first: int = 0) -> list[Record]:
    return [Record("recorder", run, serial, payload) for serial, payload in enumerate(payloads, first)]


def encoded(*records: Record) -> bytes:
    return b"".join(encode(record.serial, record.payload) for record in records)


def put(inbox: Path, number: int, run: str, data: bytes) -> Path:
    """Append to a growing file."""
    path = inbox / events_name(number, run)
    with path.open("ab") as file:
        file.write(data)
    return path


def read(reader: InboxReader) -> list[Record]:
    return [record for batch in reader.read_new() for record in batch]


def names(inbox: Path) -> list[str]:
    return sorted(os.listdir(inbox))


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


# Reading


def test_the_folder_need_not_be_there(tmp_path: Path, reader: InboxReader) -> None:
    assert read(reader) == []
    reader.discard()
    (tmp_path / FOLDER).mkdir()
    put(tmp_path / FOLDER, 1, ALIVE, encode(5, "x"))
    assert read(reader) == events(ALIVE, "x", first=5)


@given(recorded=RECORDED)
def test_what_was_recorded_is_given_as_it_was_and_then_removed(
    recorded: list[tuple[int, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    state_dir = tmp_path_factory.mktemp("state")
    (state_dir / FOLDER).mkdir()
    put(state_dir / FOLDER, 1, DEAD, b"".join(encode(*each) for each in recorded))
    with closing(InboxReader(str(state_dir))) as reader:
        assert read(reader) == [Record("recorder", DEAD, *each) for each in recorded]
        reader.discard()
        assert names(state_dir / FOLDER) == []


def test_a_record_that_is_not_complete_yet_is_given_when_it_is(tmp_path: Path, inbox: Path) -> None:
    expected = events(ALIVE, "a\nb", "", "é€😀\r\n", first=9)
    data = encoded(*expected)
    for cut in range(len(data) + 1):
        path = put(inbox, 1, ALIVE, data[:cut])
        with closing(InboxReader(str(tmp_path))) as reader:
            first = read(reader)
            assert read(reader) == []
            put(inbox, 1, ALIVE, data[cut:])
            assert first + read(reader) == expected
        path.unlink()


def test_many_and_large_records_come_in_batches(inbox: Path, reader: InboxReader) -> None:
    expected = events(ALIVE, *map(str, range(3000)), "x" * 300_000, "y")
    put(inbox, 1, ALIVE, encoded(*expected))
    batches = list(reader.read_new())
    assert [record for batch in batches for record in batch] == expected
    assert len(batches) > 1


def test_files_are_read_in_the_order_of_their_numbers_and_others_are_left_alone(
    tmp_path: Path, inbox: Path, reader: InboxReader
) -> None:
    put(inbox, 9, DEAD, encode(1, "first"))
    whole_file.add(str(tmp_path), "emit", ["second", "third"])
    whole_file.add(str(tmp_path), "rabbitmq", ["fourth"])
    put(inbox, 99, ALIVE, encode(2, "last"))
    others = ("x.events", "00000001-1.2.events.damaged", "00000001-a.b.events", "1-1.2.events",
              ".00000001-emit-01.notifications", "00000001-a.b-01.notifications")  # fmt: skip
    for name in others:
        (inbox / name).write_text("x")
    assert read(reader) == [
        *events(DEAD, "first", first=1),
        Record("emit", "", 0, "second"),
        Record("emit", "", 1, "third"),
        Record("rabbitmq", "", 0, "fourth"),
        *events(ALIVE, "last", first=2),
    ]
    reader.discard()
    assert names(inbox) == sorted([*others, events_name(99, ALIVE)])


def test_what_a_killed_writer_has_left_unfinished_is_removed_an_hour_later(
    inbox: Path, reader: InboxReader
) -> None:
    abandoned = (f".{notifications_name(1, 'rabbitmq')}", ".probe-0a", "probe-0c")
    others = (f".{notifications_name(2, 'rabbitmq')}", ".probe-0b", ".x")
    for name in (*abandoned, *others):
        (inbox / name).write_text("x")
    for name in (*abandoned, ".x"):
        os.utime(inbox / name, (0, 0))
    assert read(reader) == []
    assert names(inbox) == sorted(others)


def test_what_supervisord_records_is_left_alone_where_that_is_wanted(
    tmp_path: Path, inbox: Path
) -> None:
    file = put(inbox, 1, DEAD, encode(1, "x"))
    whole_file.add(str(tmp_path), "emit", ["y"])
    with closing(InboxReader(str(tmp_path), with_events=False)) as reader:
        assert read(reader) == [Record("emit", "", 0, "y")]
        reader.discard()
    assert names(inbox) == [file.name]


def test_what_is_still_there_is_given_again_after_a_close(inbox: Path, reader: InboxReader) -> None:
    expected = events(ALIVE, "a", "b")
    put(inbox, 1, ALIVE, encoded(*expected))
    for _ in range(2):
        assert read(reader) == expected
        reader.discard()
        assert read(reader) == []
        reader.close()


def test_two_supervisords_are_read_beside_each_other(inbox: Path, reader: InboxReader) -> None:
    with another_process() as process:
        other = run_of(process.pid)
        for serial in range(3):
            put(inbox, 1, other, encode(serial, "x"))
            put(inbox, 2, ALIVE, encode(serial, "x"))
            assert read(reader) == [Record("recorder", run, serial, "x") for run in (other, ALIVE)]
            reader.discard()
    assert len(names(inbox)) == 2


# Removing


def test_a_file_is_removed_when_all_of_it_was_given_and_a_newer_one_has_followed(
    inbox: Path, reader: InboxReader
) -> None:
    first = put(inbox, 1, ALIVE, encode(1, "x"))
    assert len(read(reader)) == 1
    put(inbox, 1, ALIVE, encode(2, "x"))
    second = put(inbox, 2, ALIVE, encode(3, "x"))
    reader.discard()
    assert names(inbox) == [first.name, second.name]
    assert [record.serial for record in read(reader)] == [2, 3]
    reader.discard()
    assert names(inbox) == [second.name]


def test_a_file_that_vanishes_is_forgotten(inbox: Path, reader: InboxReader) -> None:
    file = put(inbox, 1, ALIVE, encode(1, "x"))
    assert len(read(reader)) == 1
    file.unlink()
    put(inbox, 2, ALIVE, encode(2, "x"))
    before = len(os.listdir("/proc/self/fd"))
    assert len(read(reader)) == 1
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("when", ["before it is read", "before it is removed"])
def test_what_its_writer_takes_back_meanwhile_is_no_error(
    tmp_path: Path, inbox: Path, reader: InboxReader, caplog: pytest.LogCaptureFixture, when: str
) -> None:
    for texts in (["x"] * 1000, ["taken back"]):
        whole_file.add(str(tmp_path), "rabbitmq-shared", texts)
    batches = reader.read_new()
    found = next(batches) if when == "before it is read" else list(batches)[-1]
    discard(str(tmp_path), "rabbitmq-shared")
    assert [*batches] == []
    reader.discard()
    assert names(inbox) == []
    assert errors(caplog) == []
    assert found


def test_a_file_that_cannot_be_removed_is_reported_once_and_not_given_again(
    inbox: Path, reader: InboxReader, caplog: pytest.LogCaptureFixture
) -> None:
    file = put(inbox, 1, DEAD, encode(1, "x"))
    assert len(read(reader)) == 1
    file.unlink()
    file.mkdir()
    reader.discard()
    reader.discard()
    [error] = errors(caplog)
    assert error.startswith(f"{file} cannot be removed after it was read (Is a directory)")
    put(inbox, 2, ALIVE, b"")
    assert read(reader) == []


# Damage


@pytest.mark.parametrize("why", ["its writer has died", "a newer file followed", "it is a whole file"])
def test_a_record_that_nobody_will_complete_is_reported_and_set_aside(
    tmp_path: Path, inbox: Path, reader: InboxReader, caplog: pytest.LogCaptureFixture, why: str
) -> None:
    if why == "it is a whole file":
        whole_file.add(str(tmp_path), "emit", ["whole", "torn"])
        [file] = inbox.iterdir()
    else:
        run = DEAD if why == "its writer has died" else ALIVE
        file = put(inbox, 1, run, encoded(*events(run, "whole", "torn")))
    os.truncate(file, file.stat().st_size - 2)
    if why == "a newer file followed":
        put(inbox, 2, ALIVE, b"")
    assert [record.payload for record in read(reader)] == ["whole"]
    reader.discard()
    assert names(inbox)[0] == f"{file.name}.damaged"
    [error] = errors(caplog)
    assert error.startswith(f"{file}, byte {len(encode(0, 'whole'))}: no complete record stands there")
    assert read(reader) == []


@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(1, 255))
@example(place=0.6171875, byte=12 ^ 2)  # 12's first byte of text, and 12 without its 1
def test_a_damaged_byte_is_noticed_and_what_stands_before_it_given(
    place: float, byte: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    state_dir = tmp_path_factory.mktemp("state")
    (state_dir / FOLDER).mkdir()
    expected = events(DEAD, "a" * 30, "1 5 0badc0de\nhello\n", "", "é", "z" * 50, first=9)
    data = bytearray(encoded(*expected))
    position = int(place * len(data))
    data[position] ^= byte
    whole = [count for count in range(6) if len(encoded(*expected[:count])) <= position]
    file = put(state_dir / FOLDER, 1, DEAD, bytes(data))
    with closing(InboxReader(str(state_dir))) as reader:
        assert read(reader) == expected[: whole[-1]]
        reader.discard()
        assert names(state_dir / FOLDER) == [f"{file.name}.damaged"]


def test_what_cannot_be_read_is_reported_once_and_keeps_nothing_else_from_being_read(
    inbox: Path, reader: InboxReader, caplog: pytest.LogCaptureFixture
) -> None:
    link = inbox / events_name(1, ALIVE)
    link.symlink_to("elsewhere")
    directory = inbox / events_name(2, ALIVE)
    directory.mkdir()
    fifo = inbox / notifications_name(3, "emit")
    os.mkfifo(fifo)
    put(inbox, 4, ALIVE, encode(1, "x"))
    assert len(read(reader)) == 1
    assert read(reader) == []
    reader.discard()
    reported = [error.partition(" cannot be read (")[0] for error in errors(caplog)]
    assert reported == [str(link), str(directory), str(fifo)]
    link.unlink()
    put(inbox, 1, ALIVE, encode(0, "mended"))
    assert [record.payload for record in read(reader)] == ["mended"]


def test_a_file_in_place_of_the_folder_is_reported_once_and_may_be_mended(
    inbox: Path, reader: InboxReader, caplog: pytest.LogCaptureFixture
) -> None:
    inbox.rmdir()
    inbox.touch()
    assert read(reader) == read(reader) == []
    [error] = errors(caplog)
    assert error.startswith(f"{inbox} cannot be read (Not a directory)")
    assert error.endswith("; make it a folder that the listener's user may read and write")
    inbox.unlink()
    inbox.mkdir()
    put(inbox, 1, ALIVE, encode(1, "x"))
    assert len(read(reader)) == 1
    mended = f"{inbox} can be read again: what has come in there is acted on"
    assert [line for line in caplog.messages if line != error] == [mended]
