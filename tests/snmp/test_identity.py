"""The SNMP engine's identity, with real files, locks and processes.

What a disk or a killed process does in the middle is shown by patching one call of the system.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from listener.errors import StateError
from listener.snmp import identity
from listener.snmp.identity import MAX_BOOTS, EngineFile, EngineIdentity, clock
from tests.support import uncounted_env
from tests.users import folder_of_nobody, unprivileged

ENGINE_ID = "8000cc58050123456789abcdef"

USER = """
import json, sys
from listener.snmp.identity import EngineFile
print("ready", flush=True)
sys.stdin.readline()
engine_id, boots, started_at = EngineFile(sys.argv[1]).open()
print(json.dumps([engine_id.hex(), boots, started_at]), flush=True)
sys.stdin.read()
"""
"""Opens the engine when it is told to, says what it got, and stays alive until its stdin ends."""


@contextmanager
def child(folder: Path, program: str = USER) -> Iterator[subprocess.Popen[str]]:
    """A Python that runs this program; it is killed at the end if it has not ended."""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=uncounted_env(),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    """The next line of a child; '' when it has ended."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def let_open(*processes: subprocess.Popen[str]) -> list[EngineIdentity]:
    """What these children get when they are told to open the engine, all at one moment."""
    for process in processes:
        assert said(process) == "ready"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [json.loads(said(process)) for process in processes]
    return [EngineIdentity(bytes.fromhex(answer[0]), *answer[1:]) for answer in answers]


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    assert process.wait() == -signal.SIGKILL


@contextmanager
def opened(folder: Path, **options: Any) -> Iterator[EngineIdentity]:
    """The engine for a moment, as another process would have it: locks are per open file."""
    file = EngineFile(str(folder), **options)
    try:
        yield file.open()
    finally:
        file.close()


def refused(folder: Path, **options: Any) -> str:
    """Why it cannot be opened."""
    with pytest.raises(StateError) as caught, opened(folder, **options):
        pass
    assert "so no SNMPv3 trap is sent" in str(caught.value)
    return str(caught.value)


def engine_json(folder: Path) -> Path:
    return folder / "snmp-engine.json"


def store(
    folder: Path, boots: object = 7, started_at: object = 1.5, engine_id: object = ENGINE_ID
) -> None:
    values = {"engine_id": engine_id, "boots": boots, "started_at": started_at}
    engine_json(folder).write_text(json.dumps(values))


def held_files() -> list[str]:
    return [os.readlink(entry.path) for entry in os.scandir("/proc/self/fd") if entry.is_symlink()]


# The first use


def test_the_first_use_makes_an_engine_id_of_our_enterprise(tmp_path: Path) -> None:
    with opened(tmp_path, now=lambda: 12.25, random=lambda size: b"\xab" * size) as found:
        assert found == EngineIdentity(bytes.fromhex("8000cc5805" + "ab" * 8), 1, 12.25)
        assert json.loads(engine_json(tmp_path).read_text()) == {
            "engine_id": "8000cc5805abababababababab",
            "boots": 1,
            "started_at": 12.25,
        }


def test_a_new_engine_id_is_told_and_an_old_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        with opened(tmp_path) as found:
            pass
    [line] = caplog.records
    assert (line.levelno, line.name) == (logging.WARNING, "listener.snmp.identity")
    text = f"0x{found.engine_id.hex()}"
    assert line.getMessage().startswith(f"new SNMP engine ID {text}, kept in {engine_json(tmp_path)};")
    assert f"createUser -e {text}" in line.getMessage()


def test_two_hosts_get_two_engine_ids(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with opened(tmp_path / "a") as one, opened(tmp_path / "b") as other:
        assert one.engine_id != other.engine_id


def test_the_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with opened(tmp_path):
            pass
    finally:
        os.umask(before)
    found = {path.name: path.stat().st_mode & 0o7777 for path in tmp_path.iterdir()}
    assert found == {"snmp-engine.json": 0o600, "snmp-engine.lock": 0o600}


def test_the_files_that_root_makes_belong_to_the_directory_s_owner(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(tmp_path, 65534, 65534)
    with opened(tmp_path):
        owner = tmp_path.stat().st_uid
        assert [path.stat().st_uid for path in tmp_path.iterdir()] == [owner, owner]


# Time


def test_engine_time_is_whole_seconds_since_the_start_and_never_negative() -> None:
    found = EngineIdentity(bytes.fromhex(ENGINE_ID), 1, 100.75)
    assert [found.engine_time(now) for now in (100.75, 101.7, 101.75, 250.8, 0.0)] == [0, 0, 1, 150, 0]


def test_the_clock_is_the_machine_s_and_not_the_wall_s(tmp_path: Path) -> None:
    kind = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    before = time.clock_gettime(kind)
    with opened(tmp_path) as found:
        assert before <= found.started_at <= time.clock_gettime(kind)
        assert found.started_at <= clock()


# Starts and those who join


def test_each_of_ten_starts_raises_the_boots_by_one(tmp_path: Path) -> None:
    found = []
    for _ in range(10):
        with child(tmp_path) as process:
            found += let_open(process)
            process.communicate()
            assert process.returncode == 0
    assert [each.boots for each in found] == list(range(1, 11))
    assert len({each.engine_id for each in found}) == 1
    assert found == sorted(found, key=lambda each: each.started_at)


def test_opening_twice_is_one_start_and_closing_twice_one_end(tmp_path: Path) -> None:
    file = EngineFile(str(tmp_path))
    first = file.open()
    assert file.open() is first
    file.close()
    file.close()
    again = file.open()
    assert (again.engine_id, again.boots) == (first.engine_id, 2)
    assert again.started_at >= first.started_at
    file.close()


def test_a_killed_process_no_longer_has_the_engine(tmp_path: Path) -> None:
    with child(tmp_path) as first, child(tmp_path) as second:
        [before] = let_open(first)
        kill(first)
        [after] = let_open(second)
    assert (after.engine_id, after.boots) == (before.engine_id, 2)


def test_who_comes_to_a_live_process_has_the_same_identity(tmp_path: Path) -> None:
    with child(tmp_path) as owner, child(tmp_path) as verb:
        [owners] = let_open(owner)
        text = engine_json(tmp_path).read_bytes()
        assert let_open(verb) == [owners]
        with opened(tmp_path) as ours:
            assert ours == owners
        assert engine_json(tmp_path).read_bytes() == text


def test_the_engine_goes_on_for_as_long_as_anybody_has_it(tmp_path: Path) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(child(tmp_path)) for _ in range(5)]
        [first] = let_open(processes[0])
        for before, after in pairwise(processes):
            assert let_open(after) == [first]
            kill(before)
        kill(processes[-1])
        with opened(tmp_path) as found:
            assert found.boots == 2


def test_eight_that_start_at_one_moment_are_one_start(tmp_path: Path) -> None:
    for start in (1, 2, 3):
        with ExitStack() as stack:
            processes = [stack.enter_context(child(tmp_path)) for _ in range(8)]
            found = let_open(*processes)
        assert len(set(found)) == 1
        assert found[0].boots == start


def test_what_a_process_has_started_does_not_have_the_engine(tmp_path: Path) -> None:
    program = """
import subprocess, sys
from listener.snmp.identity import EngineFile
engine = EngineFile(sys.argv[1])
engine.open()
print(subprocess.Popen(["sleep", "60"], close_fds=False).pid, flush=True)
sys.stdin.read()
"""
    with child(tmp_path, program) as process:
        left_behind = int(said(process))
        try:
            kill(process)
            with opened(tmp_path) as found:
                assert found.boots == 2
        finally:
            os.kill(left_behind, signal.SIGKILL)


def test_nothing_stays_open_but_the_directory_until_it_is_closed(tmp_path: Path) -> None:
    def ours() -> list[str]:
        return [path for path in held_files() if path.startswith(str(tmp_path))]

    with opened(tmp_path):
        assert ours() == [str(tmp_path)]
    assert ours() == []


def test_a_start_stored_before_a_reboot_means_nothing(tmp_path: Path) -> None:
    store(tmp_path, boots=7, started_at=1e9)
    with opened(tmp_path, now=lambda: 3.0) as found:
        assert found == EngineIdentity(bytes.fromhex(ENGINE_ID), 8, 3.0)


def test_a_live_engine_s_start_cannot_be_still_to_come(tmp_path: Path) -> None:
    with opened(tmp_path, now=lambda: 100.0):
        text = refused(tmp_path, now=lambda: 99.0)
        assert text.startswith(
            f"{engine_json(tmp_path)} says that the SNMP engine started at a time still"
        )
        assert "restart the listener" in text
        with opened(tmp_path, now=lambda: 100.0) as found:
            assert found.boots == 1


def test_a_process_waits_for_another_that_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = os.open(tmp_path / "snmp-engine.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            os.close(lock)

    monkeypatch.setattr(time, "sleep", sleep)
    with opened(tmp_path) as found:
        assert found.boots == 1
    assert len(waits) == 3
    assert min(waits) >= 0.01


@pytest.mark.parametrize("name", ["snmp-engine.lock", ""])
def test_a_process_does_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / name
    if name:
        path.touch()
    monkeypatch.setattr(identity, "_PATIENCE_S", -1.0)
    fd = os.open(path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    text = refused(tmp_path)
    assert text.startswith(f"another process has kept {path} locked for ")
    assert "fuser" in text
    assert not engine_json(tmp_path).exists()
    os.close(fd)
    with opened(tmp_path) as found:
        assert found.boots == 1


def test_one_that_was_killed_while_it_decided_was_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its two locks do not end at the same instant: here the one on the directory is the later."""
    store(tmp_path, boots=7)
    fd = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    monkeypatch.setattr(time, "sleep", lambda _: os.close(fd))
    with opened(tmp_path) as found:
        assert found.boots == 8


# Files that are lost or changed


def test_a_lost_file_is_no_new_engine_id_while_the_old_one_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with child(tmp_path) as process:
        [before] = let_open(process)
        caplog.clear()
        engine_json(tmp_path).unlink()
        text = refused(tmp_path)
        assert text.startswith(
            f"{engine_json(tmp_path)} is gone while other processes use the SNMP engine"
        )
        assert "restart the listener" in text
        assert caplog.records == []
        assert not engine_json(tmp_path).exists()
        kill(process)
        with opened(tmp_path) as found:
            assert (found.engine_id != before.engine_id, found.boots) == (True, 1)
        assert f"0x{found.engine_id.hex()}" in caplog.text


def test_a_file_that_was_changed_is_not_used_beside_the_old_one(tmp_path: Path) -> None:
    with opened(tmp_path) as before:
        replaced = engine_json(tmp_path).with_suffix(".edited")
        replaced.write_bytes(engine_json(tmp_path).read_bytes().replace(b'"boots": 1', b'"boots": 5'))
        replaced.rename(engine_json(tmp_path))
        text = refused(tmp_path)
        assert text.startswith(f"{engine_json(tmp_path)} was changed while other processes use")
        assert "restart the listener" in text
        engine_json(tmp_path).write_bytes((tmp_path / "snmp-engine.lock").read_bytes())
        with opened(tmp_path) as found:
            assert found == before


def test_the_lock_s_file_can_be_tidied_away(tmp_path: Path) -> None:
    with opened(tmp_path) as before:
        (tmp_path / "snmp-engine.lock").unlink()
        with opened(tmp_path) as found:
            assert found == before


DAMAGED: dict[str, tuple[str | dict[str, object], str]] = {
    "empty": ("", "it is not JSON"),
    "cut": ('{"engine_id": "80', "it is not JSON"),
    "not text": ("\udcff\udcfe\udcff", "it is not JSON"),
    "endless": ("[" * 4000, "it is not JSON"),
    "a list": ("[1, 2]", "it is no JSON object"),
    "without engine ID": ('{"boots": 1, "started_at": 0}', "engine_id is missing"),
    "without boots": (f'{{"engine_id": "{ENGINE_ID}", "started_at": 0}}', "boots is missing"),
    "without start": (f'{{"engine_id": "{ENGINE_ID}", "boots": 1}}', "started_at is missing"),
    "ID a number": ({"engine_id": 80}, "engine_id is 80, not 5 to 32 bytes in hex"),
    "ID not hex": ({"engine_id": "0x8000cc58"}, "engine_id is '0x8000cc58', not 5 to 32 bytes in hex"),
    "ID of 4": ({"engine_id": "8000cc58"}, "engine_id is '8000cc58', not 5 to 32 bytes"),
    "ID of 33": ({"engine_id": "ab" * 33}, "engine_id is 'abab"),
    "ID zeros": ({"engine_id": "00" * 12}, "engine_id is '0000"),
    "ID ones": ({"engine_id": "ff" * 12}, "engine_id is 'ffff"),
    "boots negative": ({"boots": -1}, "boots is -1, not a whole number from 0 to 2147483647"),
    "boots too many": ({"boots": 2**31}, "boots is 2147483648, not"),
    "boots a fraction": ({"boots": 1.0}, "boots is 1.0, not"),
    "boots a bool": ({"boots": True}, "boots is True, not"),
    "boots null": ({"boots": None}, "boots is None, not"),
    "start text": ({"started_at": "1"}, "started_at is '1', not a number of seconds"),
    "start a bool": ({"started_at": False}, "started_at is False, not"),
    "start NaN": ({"started_at": float("nan")}, "started_at is nan, not"),
    "start infinite": ({"started_at": float("-inf")}, "started_at is -inf, not"),
    "start too large": ({"started_at": 10**400}, "started_at is 1000000"),
}


@pytest.mark.parametrize(("content", "found"), DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_file_is_told_and_left_alone(
    tmp_path: Path, content: str | dict[str, object], found: str
) -> None:
    if isinstance(content, str):
        engine_json(tmp_path).write_bytes(content.encode("utf-8", "surrogateescape"))
    else:
        store(tmp_path, **content)
    before = engine_json(tmp_path).read_bytes()
    for _ in range(2):
        text = refused(tmp_path)
        assert text.startswith(f"{engine_json(tmp_path)} is damaged: {found}")
        assert "restore it from a backup" in text
        assert "or remove it and tell the receivers the new engine ID" in text
        assert len(text) < 600
    assert engine_json(tmp_path).read_bytes() == before


@pytest.mark.parametrize(
    ("engine_id", "boots", "started_at"),
    [("8000000001", 0, 0), ("AB" * 32, 41, -3), (ENGINE_ID, MAX_BOOTS - 2, 10**18)],
)
def test_what_somebody_has_written_by_hand_is_taken(
    tmp_path: Path, engine_id: str, boots: int, started_at: int
) -> None:
    store(tmp_path, boots, started_at, engine_id)
    with opened(tmp_path) as found:
        assert (found.engine_id, found.boots) == (bytes.fromhex(engine_id), boots + 1)


@pytest.mark.parametrize("boots", [MAX_BOOTS - 1, MAX_BOOTS])
def test_boots_that_are_used_up_want_a_new_engine_id(tmp_path: Path, boots: int) -> None:
    store(tmp_path, boots=boots)
    before = engine_json(tmp_path).read_bytes()
    text = refused(tmp_path)
    assert text.startswith(
        f"{engine_json(tmp_path)}: the boots of the SNMP engine 0x{ENGINE_ID} are used up"
    )
    assert "remove the file" in text
    assert engine_json(tmp_path).read_bytes() == before
    engine_json(tmp_path).unlink()
    with opened(tmp_path) as found:
        assert found.boots == 1


# Disks and directories


def test_a_directory_that_is_missing_is_told_and_may_come(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    file = EngineFile(str(folder))
    for found in ("No such file or directory", "Not a directory"):
        if found == "Not a directory":
            folder.touch()
        with pytest.raises(StateError) as caught:
            file.open()
        assert str(caught.value) == (
            f"the boots of the SNMP engine could not be put on record in {engine_json(folder)}:"
            f" {found}, so no SNMPv3 trap is sent; make that directory for the listener's user"
        )
    folder.unlink()
    folder.mkdir()
    assert file.open().boots == 1
    file.close()


def test_a_directory_that_cannot_be_written_is_told_and_may_become_writable() -> None:
    with folder_of_nobody() as folder, unprivileged():
        folder.chmod(0o500)
        text = refused(folder)
        assert (
            f"in {engine_json(folder)}: Permission denied, so no SNMPv3 trap is sent; let the" in text
        )
        folder.chmod(0o700)
        with opened(folder):
            pass
        before = engine_json(folder).read_bytes()
        folder.chmod(0o500)
        assert "Permission denied" in refused(folder)
        assert engine_json(folder).read_bytes() == before
        folder.chmod(0o700)
        with opened(folder) as found:
            assert found.boots == 2


def failing(error: int) -> Callable[..., Any]:
    def call(*_: object, **__: object) -> Any:
        raise OSError(error, os.strerror(error))

    return call


@pytest.mark.parametrize(
    ("call", "error", "hint"),
    [
        ("open_file", errno.EROFS, "let the listener's user read and write there"),
        ("open_file", errno.EACCES, "let the listener's user read and write there"),
        ("os.fsync", errno.ENOSPC, "make room on that disk"),
        ("os.pwrite", errno.EDQUOT, "make room on that disk"),
        ("os.replace", errno.EIO, "let the listener's user read and write there"),
    ],
)
def test_boots_that_cannot_be_put_on_record_are_not_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: int, hint: str
) -> None:
    store(tmp_path, boots=7)
    before = engine_json(tmp_path).read_bytes()
    open_before = len(held_files())
    with monkeypatch.context() as patch:
        patch.setattr(f"listener.snmp.identity.{call}", failing(error))
        for _ in range(2):
            text = refused(tmp_path)
            assert (
                f"could not be put on record in {engine_json(tmp_path)}: {os.strerror(error)}," in text
            )
            assert text.endswith(hint)
        assert engine_json(tmp_path).read_bytes() == before
    assert len(held_files()) == open_before
    with opened(tmp_path) as found:
        assert found.boots == 8


def test_a_really_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    program = """
import resource, signal, sys
from listener.errors import StateError
from listener.snmp.identity import EngineFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))
try:
    EngineFile(sys.argv[1]).open()
except StateError as error:
    print(error)
"""
    store(tmp_path, boots=7)
    before = engine_json(tmp_path).read_bytes()
    with child(tmp_path, program) as process:
        assert "could not be put on record" in said(process)
    assert engine_json(tmp_path).read_bytes() == before
    with opened(tmp_path) as found:
        assert found.boots == 8


def test_a_file_that_cannot_be_read_is_not_replaced(tmp_path: Path) -> None:
    engine_json(tmp_path).mkdir()
    assert "Is a directory" in refused(tmp_path)


@pytest.mark.parametrize("is_first", [True, False], ids=["first use", "later"])
@pytest.mark.parametrize(
    ("call", "is_written"),
    [("fsync", False), ("pwrite", False), ("replace", False), ("open_file", False), ("fsync", True)],
)
def test_a_process_killed_at_any_step_leaves_a_file_that_can_be_used(
    tmp_path: Path, call: str, is_written: bool, is_first: bool
) -> None:
    program = f"""
import logging, os, signal, sys
from listener.snmp import identity
sys.stderr = sys.stdout
logging.basicConfig()
name = {call!r}
place = identity if name == "open_file" else os
real = getattr(place, name)
def call(*arguments):
    if not {is_written} or os.path.isdir(f"/proc/self/fd/{{arguments[0]}}"):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)
setattr(place, name, call)
identity.EngineFile(sys.argv[1]).open()
"""
    if not is_first:
        store(tmp_path, boots=7)
    with child(tmp_path, program) as process:
        told = said(process)
        assert process.wait() == -signal.SIGKILL
    with opened(tmp_path) as found:
        assert found.boots == (1 if is_first else 8) + is_written
        if is_first and is_written:
            assert f"0x{found.engine_id.hex()}" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["snmp-engine.json", "snmp-engine.lock"]
