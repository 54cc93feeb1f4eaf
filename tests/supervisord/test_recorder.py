"""The recorder, with supervisord's own events in this process, and inside real supervisords."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from xmlrpc.client import ServerProxy

import pytest
from supervisor import events
from supervisor.loggers import getLogger, handle_boundIO
from supervisor.process import GlobalSerial
from supervisor.xmlrpc import SupervisorTransport, traverse

from listener.inbox.runs import is_alive, run_of
from listener.recording import Recorded, RecordingReader, file_name
from listener.supervisord import event_file, recorder
from listener.supervisord.recorder import make_recorder
from tests.end_to_end import real_supervisord
from tests.end_to_end.real_supervisord import RealSupervisord
from tests.support import wait_for

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


def read(state_dir: Path) -> list[Recorded]:
    """All that is recorded there and can be read."""
    with closing(RecordingReader(str(state_dir / "recorded"))) as reader:
        return reader.read_new(100_000)


def texts(state_dir: Path) -> list[str]:
    return [event.payload.partition("\n")[2] for event in read(state_dir)]


def files(state_dir: Path) -> list[Path]:
    return sorted((state_dir / "recorded").iterdir())


def descriptors(state_dir: Path, pid: int | str = "self") -> list[int]:
    """Those of a process that lead into the directory."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):
            if os.readlink(f"/proc/{pid}/fd/{name}").startswith(f"{state_dir}/"):
                found.append(int(name))
    return found


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "conductor_hooks"]


def wait_until_synced() -> None:
    """Until the next event is one after a pause."""
    [used] = [used for used in recorder._recorders.values() if used.is_attached]
    wait_for("a sync", lambda: used._file is None or not used._file.is_dirty)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """What a full disk does to a write, without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


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
    assert read(state_dir)[1] == Recorded(run_of(os.getpid()), before + 2, payload("b"))


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


def test_two_sections_record_into_two_directories(
    supervisord: Supervisord, state_dir: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        for path in (state_dir, tmp_path):
            make_recorder(supervisord, state_dir=str(path))
        emit("x")
    assert texts(state_dir) == texts(tmp_path) == ["x", "x"]
    assert len(files(state_dir)) == len(files(tmp_path)) == 1


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
    expected = [file_name(1, run)] if number == "kept" else [file_name(1, run), file_name(2, run)]
    assert [file.name for file in files(state_dir)] == expected
    assert texts(state_dir) == ["before", "after"]
    assert len(descriptors(state_dir)) == 1
    assert len(threads()) == 1


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
    assert [file.name for file in files(state_dir)] == [file_name(number, run) for number in (1, 2, 3)]
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


@pytest.mark.usefixtures("rpc")
def test_numbers_go_on_where_a_recorder_before_this_one_ended(state_dir: Path) -> None:
    (state_dir / "recorded").mkdir()
    (state_dir / "recorded" / (file_name(41, "7.8") + ".damaged")).touch()
    emit("x")
    assert files(state_dir)[-1].name == file_name(42, run_of(os.getpid()))


@pytest.mark.usefixtures("rpc")
def test_folder_and_files_are_for_the_owner_of_the_state_directory_alone(state_dir: Path) -> None:
    owner = (12345, 23456) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(state_dir, *owner)
    emit("x")
    for path, mode in ((state_dir / "recorded", 0o40700), (files(state_dir)[0], 0o100600)):
        found = path.stat()
        assert (found.st_mode, found.st_uid, found.st_gid) == (mode, *owner)


def test_a_link_in_place_of_the_folder_leads_nobody_astray(
    rpc: Any, state_dir: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (state_dir / "recorded").symlink_to(elsewhere)
    emit("x")
    assert list(elsewhere.iterdir()) == []
    assert rpc.status()["trouble"] == os.strerror(errno.ENOTDIR)


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
        f"WARN conductor_hooks: events are not recorded in {state_dir}/recorded: No such file or"
        " directory; until that is mended they wait in the listener's buffer alone",
        f"INFO conductor_hooks: events are recorded in {state_dir}/recorded, 2 were not",
    ]
    assert texts(state_dir) == ["c"]
    assert rpc.status() == {
        "recorded": 1,
        "failed": 2,
        "file": str(files(state_dir)[0]),
        "trouble": "",
    }


def test_a_file_in_place_of_the_folder_harms_nobody(
    rpc: Any, supervisord: Supervisord, state_dir: Path
) -> None:
    seen: list[Any] = []
    events.subscribe(events.Event, seen.append)
    (state_dir / "recorded").touch()
    emit("a", "b")
    assert len(seen) == 2
    (state_dir / "recorded").unlink()
    emit("c")
    assert texts(state_dir) == ["c"]
    assert len(supervisord.log()) == 2
    (state_dir / "recorded").rename(state_dir / "away")
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
    with closing(RecordingReader(str(state_dir / "recorded"))) as reader:
        reader.read_new()
        assert len(reader.problems) == 2


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


def test_a_folder_that_is_removed_while_a_write_fails_is_no_defect(rpc: Any, state_dir: Path) -> None:
    class Removing(Event):
        def payload(self) -> str:
            shutil.rmtree(state_dir / "recorded")
            return "x"

    with file_size_limit(0):
        events.notify(Removing("x"))
    assert rpc.status() == {"recorded": 0, "failed": 1, "file": "", "trouble": "File too large"}
    emit("y")
    assert texts(state_dir) == ["y"]


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
    assert len(synced) < 10
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
    shutil.rmtree(state_dir / "recorded")
    monkeypatch.undo()
    wait_until_synced()
    emit("d")  # in a new file, with which nothing is wrong so far
    wait_until_synced()
    emit("e")
    assert texts(state_dir) == ["d", "e"]
    assert len(supervisord.log()) == 1


def test_without_a_thread_to_be_had_events_are_recorded_and_files_closed(
    rpc: Any, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoThread:
        def __init__(self, **_: object) -> None: ...

        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(event_file, "Thread", NoThread)
    monkeypatch.setattr(recorder, "MAX_BYTES", 150)
    emit(*"abcdefgh")
    assert texts(state_dir) == list("abcdefgh")
    assert len(files(state_dir)) == 3
    assert len(descriptors(state_dir)) <= 1
    assert rpc.status()["failed"] == 0


# Remote calls


def test_only_the_status_can_be_called_from_outside(rpc: Any, supervisord: Supervisord) -> None:
    assert [name for name in dir(rpc) if not name.startswith("_")] == ["status"]
    root = SimpleNamespace(conductor_hooks=rpc)
    status = traverse(root, "conductor_hooks.status", ())
    assert status == {"recorded": 0, "failed": 0, "file": "", "trouble": ""}
    recorder._recorders[next(iter(recorder._recorders))]._recorded = 2**40
    assert traverse(root, "conductor_hooks.status", ())["recorded"] == 2**31 - 1
    assert supervisord.log() == []


# Inside real supervisords.

LISTENERS = """

[rpcinterface:conductor_hooks]
supervisor.rpcinterface_factory = listener.supervisord.recorder:make_recorder
state_dir = {state_dir}

[eventlistener:witness]
command = "{python}" "{program}" "{sent}"
events = PROCESS_COMMUNICATION
buffer_size = 1000
priority = 1

[eventlistener:deaf]
command = sh -c "echo READY; exec cat >/dev/null"
events = PROCESS_COMMUNICATION
buffer_size = 2
priority = 2
"""

WITNESS = r"""
import json, re, sys

events = open(0, encoding="utf-8", newline="")
while True:
    print("READY", flush=True)
    header = re.search(r" serial:(\d+) .* len:(\d+)$", events.readline())
    with open(sys.argv[1], "a") as sent:
        sent.write(json.dumps([int(header[1]), events.read(int(header[2]))]) + "\n")
    print("RESULT 2\nOK", end="")
"""


class Recording:
    """A supervisord that records, a listener that notes what it is sent, one that never answers."""

    def __init__(self, supervisord: RealSupervisord, state_dir: Path, sent: Path) -> None:
        self.supervisord = supervisord
        self.state_dir = state_dir
        self._sent = sent
        self.run = run_of(supervisord.process.pid)

    def print(self, *data: str) -> None:
        """Have the program emit each of these."""
        frames = (f"<!--XSUPERVISOR:BEGIN-->{one}<!--XSUPERVISOR:END-->\n" for one in data)
        self.supervisord.write("".join(frames).encode())

    def sent(self) -> list[Recorded]:
        """What the listener that takes everything has got from supervisord."""
        lines = self._sent.read_text().splitlines(keepends=True)
        return [Recorded(self.run, *json.loads(line)) for line in lines if line.endswith("\n")]

    def wait_until_sent(self, count: int) -> None:
        wait_for(f"{count} events", lambda: len(self.sent()) >= count)

    def status(self) -> dict[str, Any]:
        transport = SupervisorTransport(None, None, f"unix://{self.supervisord.folder}/s")
        try:
            proxy: Any = ServerProxy("http://127.0.0.1", transport)
            return dict(proxy.conductor_hooks.status())
        finally:
            transport.close()

    def print_until_there_is_trouble(self, data: str) -> None:
        """What is written in the moments after files have vanished goes nowhere."""

        def has_trouble() -> bool:
            self.print(data)
            return bool(self.status()["trouble"])

        wait_for("trouble", has_trouble)

    def has_ended(self) -> bool:
        """Asks it something, too: each program that it stops costs it a second of sleep otherwise."""
        with suppress(OSError, HTTPException):
            self.status()
        return self.supervisord.process.poll() is not None

    def program_pid(self) -> int:
        return int(self.supervisord.supervisorctl("pid", "workflows"))


@contextmanager
def recording(tmp_path: Path) -> Iterator[Recording]:
    """Its state directory is not there yet, and not our listener's, which would take files away."""
    state_dir, sent, program = tmp_path / "unread", tmp_path / "sent", tmp_path / "witness.py"
    program.write_text(WITNESS)
    sent.touch()
    sections = LISTENERS.format(state_dir=state_dir, python=sys.executable, program=program, sent=sent)
    with real_supervisord.running("hooks: []", capture=f"1MB{sections}", wait=False) as supervisord:
        wait_for("supervisord", supervisord.state)
        recorded = Recording(supervisord, state_dir, sent)
        yield recorded
        supervisord.process.terminate()
        wait_for("the end of supervisord", recorded.has_ended)


def long(*data: str) -> list[str]:
    """supervisord cannot take a pipe full of tiny frames."""
    return [f"{one} {'é' * 100}" for one in data]


def test_a_burst_that_buffers_lose_is_recorded_whole_with_the_serials_that_listeners_get(
    tmp_path: Path,
) -> None:
    with recording(tmp_path) as recorded:
        recorded.state_dir.mkdir()
        data = long(*map(str, range(400)))
        recorded.print(*data)
        recorded.wait_until_sent(400)
        log = recorded.supervisord.supervisord_log()
        assert log.count("pool deaf event buffer overflowed, discarding event") >= 397
        assert texts(recorded.state_dir) == data
        assert read(recorded.state_dir) == recorded.sent()
        assert recorded.status() == {
            "recorded": 400,
            "failed": 0,
            "file": str(files(recorded.state_dir)[0]),
            "trouble": "",
        }


def test_what_supervisord_has_taken_in_is_recorded_when_it_is_killed(tmp_path: Path) -> None:
    with recording(tmp_path) as recorded:
        recorded.state_dir.mkdir()
        data = long(*map(str, range(1000)))
        recorded.print(*data)
        wait_for("supervisord", lambda: recorded.status()["recorded"] == 1000)
        recorded.supervisord.process.kill()
        recorded.supervisord.process.wait()
        with closing(RecordingReader(str(recorded.state_dir / "recorded"))) as reader:
            given = reader.read_new(2000)
            assert [event.payload.partition("\n")[2] for event in given] == data
            assert {event.run for event in given} == {recorded.run}
            reader.settle()
            assert reader.problems == []
        assert files(recorded.state_dir) == []


def test_a_reload_ends_one_file_and_begins_another_and_leaves_nothing_open(tmp_path: Path) -> None:
    with recording(tmp_path) as recorded:
        recorded.state_dir.mkdir()
        pid = recorded.supervisord.process.pid
        data = long(*map(str, range(4)))
        for count in range(2):
            recorded.print(*data[2 * count : 2 * count + 2])
            recorded.wait_until_sent(2 * count + 2)
            assert len(descriptors(recorded.state_dir, pid)) == 1
            assert len(os.listdir(f"/proc/{pid}/task")) == 2
            if count == 0:
                reload(recorded)
        assert texts(recorded.state_dir) == data
        assert read(recorded.state_dir) == recorded.sent()
        expected = [file_name(number, recorded.run) for number in (1, 2)]
        assert [file.name for file in files(recorded.state_dir)] == expected
        assert recorded.supervisord.supervisord_log().count("'conductor_hooks' initialized") == 2
        assert "groupname:" not in recorded.supervisord.supervisord_log()


def reload(recorded: Recording) -> None:
    """As SIGHUP does, until the program prints again what the test writes."""
    before = recorded.program_pid()
    recorded.supervisord.process.send_signal(signal.SIGHUP)

    def is_back() -> bool:
        pid = recorded.supervisord.supervisorctl("pid", "workflows").strip()
        if not pid.isdigit() or int(pid) in (0, before):
            return False
        return bool(descriptors(recorded.supervisord.folder, pid))

    wait_for("the reload", is_back, 60)


def test_supervisord_and_its_listeners_go_on_when_the_state_directory_vanishes(tmp_path: Path) -> None:
    with recording(tmp_path) as recorded:
        recorded.state_dir.mkdir()
        data = long(*"abcd")
        recorded.print(data[0])
        recorded.wait_until_sent(1)
        shutil.rmtree(recorded.state_dir)
        recorded.print_until_there_is_trouble(data[1])
        told = [
            line for line in recorded.supervisord.supervisord_log().splitlines() if "not rec" in line
        ]
        assert len(told) == 2  # at its start, and now
        (recorded.state_dir / "recorded").mkdir(parents=True)
        recorded.print(data[2])
        wait_for("recording", lambda: data[2] in texts(recorded.state_dir))
        assert recorded.status()["trouble"] == ""
        shutil.rmtree(recorded.state_dir)
        recorded.state_dir.touch()
        recorded.print_until_there_is_trouble(data[3])
        missed = recorded.status()["failed"]
        assert missed >= 2
        assert recorded.supervisord.process.poll() is None
        assert "uncaptured python exception" not in recorded.supervisord.supervisord_log()
        wait_for("the witness", lambda: recorded.sent()[-1].payload.endswith(data[3]))


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
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_for("its end", lambda: not is_alive(run))


def test_supervisord_does_not_start_with_a_section_that_lacks_a_directory(tmp_path: Path) -> None:
    result = start(tmp_path, BARE, "-n")
    assert result.returncode == 2
    assert "Error: Could not make conductor_hooks rpc interface" in result.stderr
    last = (tmp_path / "log").read_text().rstrip().splitlines()[-1]
    assert last.startswith(
        "ValueError: [rpcinterface:conductor_hooks] takes state_dir, an absolute path"
    )
