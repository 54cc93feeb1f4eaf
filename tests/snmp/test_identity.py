"""The SNMP engine's identity, with real files, locks and processes.

What a disk or a killed process does in the middle is shown by patching one call of the system.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from listener.errors import StateError
from listener.snmp import identity
from listener.snmp.identity import MAX_BOOTS, EngineIdentity, engine_identity, engine_time
from listener.state.directory import lock

ENGINE_ID = "8000cc58050123456789abcdef"


def boots_of(folder: Path) -> int:
    return engine_identity(str(folder)).boots


def refused(folder: Path) -> str:
    """Why there is no identity."""
    with pytest.raises(StateError) as caught:
        engine_identity(str(folder))
    assert "so no SNMPv3 trap is sent" in str(caught.value)
    return str(caught.value)


def engine_json(folder: Path) -> Path:
    return folder / "snmp-engine.json"


def store(
    folder: Path, boots: object = 7, machine_boot: object = "before", engine_id: object = ENGINE_ID
) -> bytes:
    """Write the file, as another boot of the machine has left it."""
    values = {"engine_id": engine_id, "boots": boots, "machine_boot": machine_boot}
    engine_json(folder).write_text(json.dumps(values))
    return engine_json(folder).read_bytes()


# The first use


def test_the_first_use_makes_an_engine_id_of_our_enterprise_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, again = engine_identity(str(tmp_path)), engine_identity(str(tmp_path))
    assert first == again == EngineIdentity(first.engine_id, 1)
    assert first.engine_id.startswith(bytes.fromhex("8000cc5805"))
    assert len(first.engine_id) == 13
    [line] = caplog.records
    assert (line.levelno, line.name) == (logging.WARNING, "listener.snmp.identity")
    text = f"0x{first.engine_id.hex()}"
    assert line.getMessage().startswith(f"new SNMP engine ID {text}, kept in {engine_json(tmp_path)};")
    assert f"createUser -e {text}" in line.getMessage()


def test_the_file_is_for_the_directory_s_owner_alone(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(tmp_path, 65534, 65534)
    before = os.umask(0)
    try:
        engine_identity(str(tmp_path))
    finally:
        os.umask(before)
    [file] = tmp_path.iterdir()
    assert file == engine_json(tmp_path)
    assert (file.stat().st_mode & 0o7777, file.stat().st_uid) == (0o600, tmp_path.stat().st_uid)


# Boots and time


def test_engine_time_is_what_the_machine_has_run_and_not_the_walls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert int(before) <= engine_time() <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_each_start_of_a_listener_raises_the_boots_and_others_join(tmp_path: Path) -> None:
    for start in range(1, 11):
        fd = lock(str(tmp_path))
        assert boots_of(tmp_path) == start
        (tmp_path / "lock").write_text("1\n")  # as other processes see it
        assert boots_of(tmp_path) == start, "fire, while the listener lives"
        os.close(fd)
        for _ in range(2):
            assert boots_of(tmp_path) == start, "fire, and fire again, with no listener"


def test_two_that_raise_the_boots_at_once_get_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second comes between the first one's reading and its writing."""
    store(tmp_path, boots=7)
    found = []

    def read_and_be_slow(path: str) -> Any:
        stored = read(path)
        monkeypatch.setattr(identity, "_read", read)
        found.append(engine_identity(str(tmp_path)))
        return stored

    read = identity._read
    monkeypatch.setattr(identity, "_read", read_and_be_slow)
    found.append(engine_identity(str(tmp_path)))
    assert found == [EngineIdentity(bytes.fromhex(ENGINE_ID), 8)] * 2


# Files that are lost or changed


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "Input data was truncated"),
        (b"[1, 2]", "Expected `object`, got `array`"),
        (b'{"boots": 1, "machine_boot": ""}', "Object missing required field `engine_id`"),
        ({"engine_id": "0x8000cc5805"}, "Expected `str` matching regex"),
        ({"engine_id": "8000cc58"}, "Expected `str` matching regex"),
        ({"engine_id": "ab" * 33}, "Expected `str` matching regex"),
        ({"boots": -1}, "Expected `int` >= 0 - at `$.boots`"),
        ({"boots": 2**31}, "Expected `int` <= 2147483647 - at `$.boots`"),
    ],
)
def test_a_damaged_file_is_reported_and_left_alone(
    tmp_path: Path, content: bytes | dict[str, object], found: str
) -> None:
    if isinstance(content, bytes):
        engine_json(tmp_path).write_bytes(content)
    else:
        store(tmp_path, **content)
    before = engine_json(tmp_path).read_bytes()
    for _ in range(2):
        text = refused(tmp_path)
        assert text.startswith(f"{engine_json(tmp_path)} is damaged: {found}")
        assert "restore it from a backup" in text
        assert "or remove it and tell the receivers the new engine ID" in text
    assert engine_json(tmp_path).read_bytes() == before


def test_boots_that_are_used_up_want_a_new_engine_id(tmp_path: Path) -> None:
    store(tmp_path, boots=MAX_BOOTS - 2)
    assert boots_of(tmp_path) == MAX_BOOTS - 1
    before = store(tmp_path, boots=MAX_BOOTS - 1)
    text = refused(tmp_path)
    assert f"the boots of the SNMP engine 0x{ENGINE_ID} are used up" in text
    assert "remove the file" in text
    assert engine_json(tmp_path).read_bytes() == before
    engine_json(tmp_path).unlink()
    assert boots_of(tmp_path) == 1


# Disks and directories


def failing(error: int) -> Callable[..., Any]:
    def call(*_: object, **__: object) -> Any:
        raise OSError(error, os.strerror(error))

    return call


@pytest.mark.parametrize(
    ("call", "error"),
    [("open_file", errno.EROFS), ("os.fsync", errno.ENOSPC), ("os.replace", errno.EIO)],
)
def test_boots_that_cannot_be_recorded_are_not_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: int
) -> None:
    before = store(tmp_path, boots=7)
    held = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(f"listener.snmp.identity.{call}", failing(error))
        for _ in range(2):
            text = refused(tmp_path)
            assert text.startswith("the boots of the SNMP engine could not be recorded in ")
            assert os.strerror(error) in text
            assert text.endswith("let the listener's user read and write there")
        assert engine_json(tmp_path).read_bytes() == before
    assert len(os.listdir("/proc/self/fd")) == held
    assert boots_of(tmp_path) == 8
