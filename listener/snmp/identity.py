"""The identity of this host's SNMPv3 engine: its ID, its boots, and the clock of its time.

Owns snmp-engine.json in the state directory. A trap's sender is the authoritative engine (RFC 3414): a
receiver silently drops what goes back in boots or time. So all processes read one clock, which starts
when the machine boots, and that and each start of a listener raise the boots. It encodes and sends
nothing; the action snmp_trap asks for the identity before its first message of version 3.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from typing import Annotated, NamedTuple

import msgspec

from listener.errors import StateError
from listener.state.directory import holder, open_file

_log = logging.getLogger(__name__)

MAX_BOOTS = 2**31 - 1
"""Receivers drop everything from an engine with this number (RFC 3414, 2.2.2)."""

_ID_PREFIX = (1 << 31 | 52312).to_bytes(4, "big") + b"\x05"  # RFC 3411: our enterprise, then octets
_MACHINE_BOOT = "/proc/sys/kernel/random/boot_id"
_UNSENT = "so no SNMPv3 trap is sent"


class EngineIdentity(NamedTuple):
    """The engine as every message of it names it."""

    engine_id: bytes
    boots: int


class _Stored(msgspec.Struct):
    """The file. `machine_boot` is the machine's boot ID when the boots were last raised."""

    engine_id: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{2}){5,32}$")]
    boots: Annotated[int, msgspec.Meta(ge=0, le=MAX_BOOTS)]
    machine_boot: str


def engine_time() -> int:
    """snmpEngineTime: seconds since the machine's boot, which no clock setting changes."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME))


def engine_identity(folder: str) -> EngineIdentity:
    """The identity in this state directory; a new one where there is none. Raises StateError.

    The owner of the directory raises the boots with each call; another process does so only after a
    boot of the machine. Two that do so at once write the same number.
    """
    path = os.path.join(folder, "snmp-engine.json")
    try:
        with open(_MACHINE_BOOT, encoding="ascii") as file:
            machine_boot = file.read().strip()
        stored = _read(path)
        is_new = stored is None
        stored = stored or _Stored((_ID_PREFIX + os.urandom(8)).hex(), 0, "")
        if stored.machine_boot != machine_boot or holder(folder) == os.getpid():
            stored = _Stored(stored.engine_id, stored.boots + 1, machine_boot)
            _check_boots(stored, path)
            _replace(path, msgspec.json.encode(stored) + b"\n")
    except OSError as error:
        raise StateError(
            f"the boots of the SNMP engine could not be recorded in {path}: {error.strerror},"
            f" {_UNSENT}; let the listener's user read and write there"
        ) from error
    if is_new:
        _log.warning(
            "new SNMP engine ID 0x%s, kept in %s; receivers of SNMPv3 traps have to know it"
            " (snmptrapd: createUser -e 0x%s ...)", stored.engine_id, path, stored.engine_id
        )  # fmt: skip
    return EngineIdentity(bytes.fromhex(stored.engine_id), stored.boots)


def _check_boots(stored: _Stored, path: str) -> None:
    if stored.boots >= MAX_BOOTS:
        raise StateError(
            f"{path}: the boots of the SNMP engine 0x{stored.engine_id} are used up (RFC 3414),"
            f" {_UNSENT}; remove the file, restart the listener, and tell the receivers the new engine"
            " ID, which the log names then"
        )


def _read(path: str) -> _Stored | None:
    """The file's content; None when there is no file. Raises StateError, OSError."""
    try:
        fd = open_file(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with open(fd, "rb") as file:
        text = file.read()
    try:
        return msgspec.json.decode(text, type=_Stored)
    except msgspec.DecodeError as error:
        raise StateError(
            f"{path} is damaged: {error}, {_UNSENT}; restore it from a backup with its boots set higher"
            " than ever, or remove it and tell the receivers the new engine ID that the log names then"
        ) from error


def _replace(path: str, text: bytes) -> None:
    """Replace the file, durably: readers see the old one or the new one."""
    written = f"{path}.{os.getpid()}"
    with suppress(FileNotFoundError):
        os.unlink(written)  # of a process that was killed
    with open(open_file(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(written, path)
    folder_fd = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder_fd)
    finally:
        os.close(folder_fd)
