"""The recorder, with supervisord's own events in this process, and inside real supervisords."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from supervisor import events
from supervisor.loggers import getLogger, handle_boundIO
from supervisor.process import GlobalSerial
from supervisor.xmlrpc import traverse

import listener
from listener.inbox.folder import FOLDER, events_name, is_recorded
from listener.inbox.reader import InboxReader, Record
from listener.inbox.runs import is_alive, run_of
from listener.supervisord import recorder
from listener.supervisord.control import Address, Control
from listener.supervisord.recorder import make_recorder
from tests.processes import open_files
from tests.support import file_size_limit, wait_for

# In this process: supervisord's events and log are real, its loop is the test.


class Supervisord:
    """As much of a supervisord as a factory and an event touch."""

    def __init__(self) -> None:
        self.options = SimpleNamespace(logger=getLogger())
        handle_boundIO(self.options.logger, "%(levelname)s %(message)s\n", 1_000_000)

    def log(self) -> list[str]:
        text: bytes = self.options.logger.getvalue()
        return text.decode().splitlines()


class Event(events.ProcessCommunicationStdoutEvent):  # type: ignore[misc]
    """A program that prints a notification."""

    def __init__(self, data: str) -> None:
        named = SimpleNamespace(name="workflows")
        process = SimpleNamespace(config=named, group=SimpleNamespace(config=named))
        super().__init__(process, 4711, data.encode())


def payload(data: str) -> str:
    return f"processname:workflows groupname:workflows pid:4711\n{data}"


def emit(*data: str) -> None:
    for one in data:
        events.notify(Event(one))


def read(state_dir: Path) -> list[Record]:
    """All that is recorded there and can be read."""
    with closing(InboxReader(str(state_dir))) as reader:
        return [record for batch in reader.read_new() for record in batch]


def texts(state_dir: Path) -> list[str]:
    return [event.payload.partition("\n")[2] for event in read(state_dir)]


def files(state_dir: Path) -> list[Path]:
    return sorted((state_dir / FOLDER).iterdir())


def descriptors(state_dir: Path, pid: int | str = "self") -> list[int]:
    """Those of a process that lead into the directory."""
    return [fd for fd, file in open_files(pid).items() if file.startswith(f"{state_dir}/")]


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "conductor_hooks"]


def wait_until_synced() -> None:
    """Until the next event is one after a pause."""
    [used] = [used for used in recorder._recorders.values() if used.is_attached]
    wait_for("a sync", lambda: used._file is None or not used._file.is_dirty)


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    path.mkdir()
    return path


@pytest.fixture
def supervisord() -> Iterator[Supervisord]:
    events.clear()
    with patch.dict(os.environ):  # whatever a factory tells supervisord's programs
        yield Supervisord()
    events.clear()
    for used in recorder._recorders.values():
        used.close()
    recorder._recorders.clear()
    wait_for("the end of the threads", lambda: not threads())


@pytest.fixture
def rpc(supervisord: Supervisord, state_dir: Path) -> Any:
    """What the factory returned."""
    return make_recorder(supervisord, state_dir=str(state_dir))


@pytest.mark.usefixtures("rpc")
def test_an_event_is_on_record_before_anybody_else_sees_it(
    supervisord: Supervisord, state_dir: Path
) -> None:
    seen = []
    events.subscribe(events.Event, lambda event: seen.append((event.serial, texts(state_dir))))
    make_recorder(supervisord, state_dir=str(state_dir))
    before = GlobalSerial.serial
    emit("a", "b")
    assert seen == [(before + 1, ["a"]), (before + 2, ["a", "b"])]
    assert read(state_dir)[1] == Record("recorder", run_of(os.getpid()), before + 2, payload("b"))


@pytest.mark.usefixtures("rpc")
def test_a_serial_that_an_event_has_is_kept(state_dir: Path) -> None:
    before = GlobalSerial.serial
    event = Event("x")
    event.serial = 2**62
    events.notify(event)
    assert [event.serial for event in read(state_dir)] == [2**62]
    assert GlobalSerial.serial == before


@pytest.mark.usefixtures("rpc")
def test_only_communication_is_recorded_and_bytes_that_are_no_text_as_supervisord_shows_them(
    state_dir: Path,
) -> None:
    undecodable = Event("")
    undecodable.data = b"\xff"
    events.notify(undecodable)
    events.notify(events.SupervisorRunningEvent())
    emit("é€😀\0\r\n")
    assert texts(state_dir) == ["Undecodable: b'\\xff'", "é€😀\0\r\n"]


def test_each_http_server_calls_the_factory_and_an_event_is_recorded_once(
    supervisord: Supervisord, state_dir: Path
) -> None:
    for path in (state_dir, f"{state_dir}/"):
        make_recorder(supervisord, state_dir=str(path))
    assert len(events.callbacks) == 1
    emit("x")
    assert texts(state_dir) == ["x"]


@pytest.mark.parametrize("number", ["kept", "closed", "given to somebody else"])
@pytest.mark.usefixtures("rpc")
def test_a_reload_which_closes_descriptors_under_the_recorder_costs_at_most_a_new_file(
    supervisord: Supervisord, state_dir: Path, number: str
) -> None:
    emit("before")
    [fd] = descriptors(state_dir)
    reading, writing = os.pipe()
    events.clear()
    if number == "closed":
        os.close(fd)
    elif number != "kept":
        os.dup2(writing, fd)
    make_recorder(supervisord, state_dir=str(state_dir))
    emit("after")
    os.close(writing)
    if number == "given to somebody else":
        os.close(fd)  # which is only possible when the recorder has not closed it
    assert os.read(reading, 1) == b""
    os.close(reading)
    run = run_of(os.getpid())
    expected = [events_name(1, run)] if number == "kept" else [events_name(1, run), events_name(2, run)]
    assert [file.name for file in files(state_dir)] == expected
    assert texts(state_dir) == ["before", "after"]
    assert len(descriptors(state_dir)) == 1
    wait_for("the end of the first thread", lambda: len(threads()) == 1)


@pytest.mark.usefixtures("rpc")
def test_after_a_reload_with_another_directory_nothing_is_left_of_the_first(
    supervisord: Supervisord, state_dir: Path, tmp_path: Path
) -> None:
    emit("first")
    events.clear()
    other = tmp_path / "other"
    other.mkdir()
    make_recorder(supervisord, state_dir=str(other))
    emit("second")
    assert descriptors(state_dir) == []
    assert len(descriptors(other)) == 1
    assert texts(other) == ["second"]
    wait_for("the end of the first thread", lambda: len(threads()) == 1)


def test_a_recorder_for_each_of_two_listeners_records_all_and_a_reload_can_take_one_away(
    supervisord: Supervisord, tmp_path: Path
) -> None:
    folders = [tmp_path / "a:b", tmp_path / "c"]
    for folder in folders:
        folder.mkdir()
        make_recorder(supervisord, state_dir=f"{folder}/")
    emit("to both")
    assert [is_recorded(str(folder), os.environ) for folder in folders] == [True, True]
    assert read(folders[0]) == read(folders[1])
    events.clear()
    make_recorder(supervisord, state_dir=str(folders[1]))
    emit("to one")
    assert [is_recorded(str(folder), os.environ) for folder in folders] == [False, True]
    assert list(map(texts, folders)) == [["to both"], ["to both", "to one"]]


@pytest.mark.parametrize(
    "config", [{}, {"state_dir": "relative"}, {"state_dir": "/var", "statedir": "/var"}]
)
def test_a_section_with_a_mistake_is_refused_in_words(
    supervisord: Supervisord, config: dict[str, str]
) -> None:
    expected = f"found state_dir = {config.get('state_dir', '')!r}{', statedir' * (len(config) - 1)};"
    with pytest.raises(ValueError, match=re.escape(expected)):
        make_recorder(supervisord, **config)
    assert events.callbacks == []


def test_a_large_file_is_followed_by_another_and_closed_when_it_is_synced(
    rpc: Any, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MAX_BYTES", 500)
    data = [f"{number} {'x' * 300}" for number in range(5)]
    emit(*data)
    run = run_of(os.getpid())
    assert [file.name for file in files(state_dir)] == [
        events_name(number, run) for number in (1, 2, 3)
    ]
    assert texts(state_dir) == data
    assert rpc.status()["file"] == str(files(state_dir)[-1])
    emit(f"fills the third {'x' * 300}")
    assert rpc.status()["file"] == ""
    assert len(descriptors(state_dir)) == 3
    [used] = recorder._recorders.values()
    wait_for("the syncs", lambda: all(file.is_synced for file in used._retired))
    emit("x")
    assert len(descriptors(state_dir)) == 1


def test_a_file_that_is_full_with_its_first_event_is_synced_too(
    rpc: Any, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MAX_BYTES", 1)
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    emit("x")
    [fd] = descriptors(state_dir)
    wait_for("its sync", lambda: synced == [fd])
    assert rpc.status()["recorded"] == 1


# What goes wrong


def test_a_directory_that_is_not_there_yet_is_told_once_and_looked_for_at_each_event(
    supervisord: Supervisord, tmp_path: Path
) -> None:
    state_dir = tmp_path / "state"
    rpc = make_recorder(supervisord, state_dir=str(state_dir))
    emit("a", "b")
    state_dir.mkdir()
    emit("c")
    assert supervisord.log() == [
        f"WARN conductor_hooks: events are not recorded in {state_dir}/{FOLDER}: No such file or"
        " directory; until that is mended they wait in the listener's buffer alone",
        f"INFO conductor_hooks: events are recorded in {state_dir}/{FOLDER}, 2 were not",
    ]
    assert texts(state_dir) == ["c"]
    assert rpc.status() == {
        "state_dir": str(state_dir),
        "recorded": 1,
        "failed": 2,
        "file": str(files(state_dir)[0]),
        "trouble": "",
        "version": listener.__version__,
    }


def test_a_file_in_place_of_the_folder_harms_nobody(
    rpc: Any, supervisord: Supervisord, state_dir: Path
) -> None:
    seen: list[Any] = []
    events.subscribe(events.Event, seen.append)
    (state_dir / FOLDER).touch()
    emit("a", "b")
    assert len(seen) == 2
    (state_dir / FOLDER).unlink()
    emit("c")
    assert texts(state_dir) == ["c"]
    assert len(supervisord.log()) == 2
    (state_dir / FOLDER).rename(state_dir / "away")
    wait_until_synced()
    emit("d")
    assert texts(state_dir) == ["d"]
    assert rpc.status()["failed"] == 2


def test_what_one_file_does_not_take_goes_into_another(
    rpc: Any, supervisord: Supervisord, state_dir: Path
) -> None:
    data = [f"{number} {'x' * 300}" for number in range(6)]
    with file_size_limit(1000):
        emit(*data)
    assert texts(state_dir) == data
    assert [len(file.read_bytes()) for file in files(state_dir)][:2] == [1000, 1000]
    assert rpc.status()["failed"] == 0
    assert supervisord.log() == []


@pytest.mark.parametrize("limit", [0, 100])
def test_a_full_disk_is_told_once_and_leaves_no_files_behind(
    rpc: Any, supervisord: Supervisord, state_dir: Path, limit: int
) -> None:
    with file_size_limit(limit):
        emit("x" * 300, "y" * 300)
        assert files(state_dir) == []
        assert descriptors(state_dir) == []
    emit("z")
    assert texts(state_dir) == ["z"]
    assert [line.partition(" ")[0] for line in supervisord.log()] == ["WARN", "INFO"]
    assert rpc.status()["failed"] == 2


def test_a_descriptor_that_somebody_has_closed_costs_no_event(rpc: Any, state_dir: Path) -> None:
    emit("a")
    [fd] = descriptors(state_dir)
    os.close(fd)
    emit("b")
    assert texts(state_dir) == ["a", "b"]
    assert rpc.status()["failed"] == 0


def test_an_event_without_a_payload_is_counted_and_told(
    rpc: Any, supervisord: Supervisord, state_dir: Path
) -> None:
    class Broken(Event):
        def payload(self) -> str:
            raise LookupError("no group")

    emit("a")
    events.notify(Broken("x"))
    assert "not recorded in" in supervisord.log()[0]
    assert "LookupError('no group')" in supervisord.log()[0]
    emit("b")
    assert texts(state_dir) == ["a", "b"]
    assert len(files(state_dir)) == 1
    assert rpc.status()["failed"] == 1


@pytest.mark.parametrize("logger", [None, SimpleNamespace(warn=print, info=7)])
def test_a_log_that_cannot_be_written_keeps_nothing_from_being_recorded(
    logger: Any, supervisord: Supervisord, tmp_path: Path
) -> None:
    supervisord.options.logger = logger
    state_dir = tmp_path / "state"
    make_recorder(supervisord, state_dir=str(state_dir))
    emit("a")
    state_dir.mkdir()
    emit("b", "c")
    assert texts(state_dir) == ["b", "c"]


def test_a_deep_stack_may_cost_an_event_but_raises_nothing(rpc: Any, state_dir: Path) -> None:
    def take_at(depth: int) -> None:
        if depth:
            take_at(depth - 1)
        else:
            outcomes.append("begun")
            take(event)
            outcomes.append("survived")

    outcomes: list[str] = []
    event = Event("x")
    [(_, take)] = events.callbacks
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth_of_stack() + 60)
    try:
        for depth in range(60):
            with suppress(RecursionError):
                take_at(depth)
    finally:
        sys.setrecursionlimit(limit)
    raised = outcomes.count("begun") - outcomes.count("survived")
    assert raised <= 2  # when no depth is left for one more call, and for a tracer in it
    assert rpc.status()["failed"] > 0
    emit("last")
    assert texts(state_dir)[-1] == "last"


def depth_of_stack() -> int:
    frame, depth = sys._getframe().f_back, 0
    while frame:
        frame, depth = frame.f_back, depth + 1
    return depth


# Syncing


@pytest.mark.usefixtures("rpc")
def test_a_thread_of_its_own_syncs_what_was_written_and_nothing_else(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []

    def fdatasync(fd: int) -> None:
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        synced.append((fd, threading.current_thread().name, signal.SIGTERM in blocked))

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    assert threads() == []  # supervisord forks after the factory has returned
    for count in (1, 2):
        emit(*"ab" * 50)
        wait_until_synced()
        [fd] = descriptors(state_dir)
        wait_for("the sync", lambda: len(synced) >= count)  # noqa: B023
    assert set(synced) == {(fd, "conductor_hooks", True)}
    assert len(synced) < 200  # the events
    assert len(threads()) == 1


@pytest.mark.usefixtures("rpc")
def test_a_sync_that_fails_is_told_once_and_recording_goes_on(
    supervisord: Supervisord, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fdatasync(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    emit("a")

    def is_told() -> bool:
        emit("b")
        return bool(supervisord.log())

    wait_for("a failure", is_told)
    wait_until_synced()
    emit("c")
    [line] = supervisord.log()
    assert line.startswith(f"WARN conductor_hooks: syncing {files(state_dir)[0]}: Input/output error")
    assert texts(state_dir)[-1] == "c"
    shutil.rmtree(state_dir / FOLDER)
    monkeypatch.undo()
    wait_until_synced()
    emit("d")  # in a new file, with which nothing is wrong so far
    wait_until_synced()
    emit("e")
    assert texts(state_dir) == ["d", "e"]
    assert len(supervisord.log()) == 1


# Remote calls


def test_only_the_status_can_be_called_from_outside(rpc: Any, supervisord: Supervisord) -> None:
    assert [name for name in dir(rpc) if not name.startswith("_")] == ["status"]
    root = SimpleNamespace(conductor_hooks=rpc)
    status = traverse(root, "conductor_hooks.status", ())
    [(folder, here)] = recorder._recorders.items()
    assert status == {
        "state_dir": folder, "recorded": 0, "failed": 0, "file": "", "trouble": "",
        "version": listener.__version__,
    }  # fmt: skip
    here._recorded = 2**40
    assert traverse(root, "conductor_hooks.status", ())["recorded"] == 2**31 - 1
    assert supervisord.log() == []


# Inside real supervisords.

BARE = """
[supervisord]
logfile = {folder}/log
pidfile = {folder}/pid
silent = true

[unix_http_server]
file = {folder}/s

[rpcinterface:conductor_hooks]
supervisor.rpcinterface_factory = listener.supervisord.recorder:make_recorder
"""

PROGRAM = """state_dir = {folder}

[program:workflows]
command = sh -c "cat {folder}/frame; exec sleep 600"
stdout_capture_maxbytes = 1MB
"""


def start(folder: Path, conf: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run supervisord until the process that was started ends."""
    file = folder / "supervisord.conf"
    file.write_text(conf.format(folder=folder))
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(file), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_supervisord_in_the_background_records_as_the_process_that_stays(tmp_path: Path) -> None:
    (tmp_path / "frame").write_text("<!--XSUPERVISOR:BEGIN-->x<!--XSUPERVISOR:END-->\n")
    assert start(tmp_path, BARE + PROGRAM).returncode == 0
    wait_for("the pid", lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    pid = int((tmp_path / "pid").read_text())
    run = run_of(pid)
    try:
        wait_for("the record", lambda: texts(tmp_path) == ["x"])
        assert read(tmp_path)[0].run == run
        assert len(os.listdir(f"/proc/{pid}/task")) == 2
        control = Control(Address(f"unix://{tmp_path}/s"))
        status = control.recorder(f"{tmp_path}/")
        assert status is not None
        assert (status["state_dir"], status["recorded"]) == (str(tmp_path), 1)
        assert control.recorder("/elsewhere") is None
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_for("its end", lambda: not is_alive(run))


def test_supervisord_does_not_start_with_a_section_that_lacks_a_directory(tmp_path: Path) -> None:
    result = start(tmp_path, BARE, "-n")
    assert result.returncode == 2
    assert "Error: Could not make conductor_hooks rpc interface" in result.stderr
    last = (tmp_path / "log").read_text().rstrip().splitlines()[-1]
    assert last.startswith("ValueError: the section of a recorder takes state_dir, an absolute path")
