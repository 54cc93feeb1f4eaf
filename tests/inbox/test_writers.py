"""Both kinds of files: whose they are, in what order, and that a whole one is never torn."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from listener.inbox import whole_file
from listener.inbox.folder import FOLDER, events_name, names_of, next_number
from listener.inbox.growing_file import create
from listener.inbox.reader import InboxReader
from tests.support import file_size_limit
from tests.users import folder_of_nobody, unprivileged

Write = Callable[[str], object]


def add(state_dir: str) -> None:
    whole_file.add(state_dir, "emit", ["x"])


def grow(state_dir: str) -> None:
    create(state_dir, "7.8", 0).close()


both = pytest.mark.parametrize("write", [add, grow])
all_three = pytest.mark.parametrize("write", [add, grow, whole_file.probe])


def names(state_dir: Path) -> list[str]:
    return sorted(os.listdir(state_dir / FOLDER))


@both
def test_folder_and_files_are_for_the_owner_of_the_state_directory_alone(
    tmp_path: Path, write: Write
) -> None:
    owner = (12345, 23456) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(tmp_path, *owner)
    write(str(tmp_path))
    [file] = (tmp_path / FOLDER).iterdir()
    for path, mode in ((tmp_path / FOLDER, 0o40700), (file, 0o100600)):
        found = path.stat()
        assert (found.st_mode, found.st_uid, found.st_gid) == (mode, *owner)


@all_three
def test_the_state_directory_is_never_made(tmp_path: Path, write: Write) -> None:
    with pytest.raises(FileNotFoundError):
        write(str(tmp_path / "state"))
    assert os.listdir(tmp_path) == []


@all_three
def test_a_link_in_place_of_the_folder_leads_nobody_astray(tmp_path: Path, write: Write) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / FOLDER).symlink_to(elsewhere)
    with pytest.raises(NotADirectoryError):
        write(str(tmp_path))
    assert os.listdir(elsewhere) == []


@both
def test_a_new_file_comes_after_all_that_are_there(tmp_path: Path, write: Write) -> None:
    (tmp_path / FOLDER).mkdir()
    for name in (events_name(2, "7.8"), f"{events_name(41, '7.8')}.damaged", "x", "y-1"):
        (tmp_path / FOLDER / name).touch()
    write(str(tmp_path))
    assert next_number(names(tmp_path)) == 43


def test_a_run_uses_no_number_twice(tmp_path: Path) -> None:
    first = create(str(tmp_path), "7.8", 0)
    first.remove()
    second = create(str(tmp_path), "7.8", first.number)
    second.close()
    assert names(tmp_path) == [events_name(2, "7.8")]


# Whole files


def test_it_has_its_name_when_the_disk_has_it_and_the_disk_has_its_name_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: dict[str, Callable[..., None]] = {}
    seen: list[tuple[str, int, bool]] = []

    def noting(name: str) -> Callable[..., None]:
        def noted(*arguments: int, **named: int) -> None:
            [file] = (tmp_path / FOLDER).iterdir()
            seen.append((name, file.stat().st_size, file.name.startswith(".")))
            known[name](*arguments, **named)

        return noted

    for name in ("fdatasync", "rename", "fsync"):
        known[name] = getattr(os, name)
        monkeypatch.setattr(os, name, noting(name))
    whole_file.add(str(tmp_path), "emit", ["x" * 100_000])
    size = seen[0][1]
    assert size > 100_000
    assert seen == [("fdatasync", size, True), ("rename", size, True), ("fsync", size, False)]


@pytest.mark.parametrize(
    "write",
    [lambda folder: whole_file.add(folder, "emit", ["x" * 5000]), whole_file.probe],
    ids=["add", "probe"],
)
@pytest.mark.parametrize("room", [0, 1000])
def test_a_disk_that_is_full_before_or_while_it_is_written_leaves_nothing_behind(
    tmp_path: Path, write: Write, room: int
) -> None:
    with file_size_limit(room), pytest.raises(OSError, match="File too large"):
        write(str(tmp_path))
    assert names(tmp_path) == []


@pytest.mark.parametrize("mode", [0o500, 0o400])
def test_a_probe_tells_of_a_folder_that_cannot_be_written_and_keeps_no_descriptor(mode: int) -> None:
    with folder_of_nobody() as folder, unprivileged():
        whole_file.probe(str(folder))
        assert names(folder) == []
        (folder / FOLDER).chmod(mode)
        before = os.listdir("/proc/self/fd")
        with pytest.raises(PermissionError):
            whole_file.probe(str(folder))
        assert os.listdir("/proc/self/fd") == before


def test_whole_files_of_a_source_that_are_not_read_yet_are_found(tmp_path: Path) -> None:
    state_dir = str(tmp_path)
    assert names_of(state_dir, "emit") == []
    whole_file.probe(state_dir)
    assert names_of(state_dir, "emit") == []
    for source in ("emit", "emit", "rabbitmq", "rabbitmq-shared"):
        whole_file.add(state_dir, source, ["x"])
    grow(state_dir)
    for name in ("00000001-emit-x.notifications", ".00000001-emit-0.notifications"):
        (tmp_path / FOLDER / name).touch()
    (tmp_path / FOLDER / f"{names_of(state_dir, 'rabbitmq')[0]}.damaged").touch()
    assert len(names_of(state_dir, "emit")) == 2
    for source in ("rabbitmq", "rabbitmq-shared"):
        [name] = names_of(state_dir, source)
        assert f"-{source}-" in name
    with closing(InboxReader(state_dir)) as reader:
        sources = [record.source for batch in reader.read_new() for record in batch]
        reader.discard()
    assert sorted(sources) == ["emit", "emit", "rabbitmq", "rabbitmq-shared"]
    assert names_of(state_dir, "rabbitmq-shared") == []


def test_several_threads_may_add_at_once(tmp_path: Path) -> None:
    def add_some(thread: int) -> None:
        for number in range(20):
            whole_file.add(str(tmp_path), "emit", [f"{thread} {number}"])

    threads = [threading.Thread(target=add_some, args=(thread,)) for thread in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    with closing(InboxReader(str(tmp_path))) as reader:
        payloads = [record.payload for batch in reader.read_new() for record in batch]
    for thread in range(3):
        own = [payload for payload in payloads if payload.startswith(f"{thread} ")]
        assert own == [f"{thread} {number}" for number in range(20)]


def test_a_group_that_may_write_there_shares_its_files_with_the_listener(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER).chmod(0o2770)
    before = os.umask(0o077)
    try:
        add(str(tmp_path))
    finally:
        os.umask(before)
    [file] = (tmp_path / FOLDER).iterdir()
    assert file.stat().st_mode == 0o100660


def test_descriptors_are_given_back(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        add(str(tmp_path))
        grow(str(tmp_path))
        whole_file.probe(str(tmp_path))
    assert os.listdir("/proc/self/fd") == before
