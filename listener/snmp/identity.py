"""The identity of our SNMPv3 engine: its ID, its boots, and the instant that its time counts from.

Owns snmp-engine.json in the state directory and who may raise the boots in it: a trap's sender is the
authoritative engine (RFC 3414), and receivers silently drop what goes back in boots or time. It encodes
nothing and sends nothing; the sender of SNMPv3 traps opens it before its first one.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

from listener.errors import StateError
from listener.state.directory import open_file

_log = logging.getLogger(__name__)

MAX_BOOTS = 2**31 - 1
"""An engine that has come to this number is heard by no receiver any more (RFC 3414, 2.2.2)."""

_ID_STARTS = (1 << 31 | 52312).to_bytes(4, "big") + b"\x05"  # RFC 3411: our enterprise, then octets
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_PATIENCE_S = 5.0
_LOOK_S = 0.01
_MAX_BYTES = 4096
_UNSENT = "so no SNMPv3 trap is sent"


def clock() -> float:
    """Seconds that all processes of this machine count alike, and nobody can set back."""
    return time.clock_gettime(_CLOCK)


class EngineIdentity(NamedTuple):
    """What every message of the engine says of its sender; `started_at` is an instant of `clock`."""

    engine_id: bytes
    boots: int
    started_at: float

    def engine_time(self, now: float) -> int:
        """snmpEngineTime: whole seconds since the start, never negative."""
        return max(0, int(now - self.started_at))


class EngineFile:
    """The engine of one state directory, for one thread.

    A start is an `open` while no other process has the engine open. What tells is a shared lock on the
    directory itself: it ends with its process, and cannot be tidied away under one as a file can.
    """

    def __init__(
        self,
        folder: str,
        *,
        now: Callable[[], float] = clock,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._folder = folder
        self._path = os.path.join(folder, "snmp-engine.json")
        self._lock_path = os.path.join(folder, "snmp-engine.lock")
        self._now = now
        self._random = random
        self._identity: EngineIdentity | None = None
        self._kept = ExitStack()

    def open(self) -> EngineIdentity:
        """The identity, the same one until `close`. A start raises the boots and has them on disk.

        Raises StateError, and has then locked nothing: calling again tries again.
        """
        if self._identity is None:
            try:
                with self._deciding() as lock_fd, ExitStack() as kept:
                    folder_fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                    kept.callback(os.close, folder_fd)
                    self._identity = self._decided(folder_fd, lock_fd)
                    self._kept = kept.pop_all()
            except OSError as error:
                raise StateError(_unrecorded(error, self._path)) from error
        return self._identity

    def close(self) -> None:
        """Use the engine no longer. Safe to call twice; the next `open` may be a start."""
        self._identity = None
        self._kept.close()

    @contextmanager
    def _deciding(self) -> Iterator[int]:
        """While one process looks and raises, all others wait. The lock's file keeps a copy, too."""
        fd = open_file(self._lock_path, os.O_RDWR | os.O_CREAT)
        try:
            _wait_for(fd, fcntl.LOCK_EX, self._lock_path)
            yield fd
        finally:
            os.close(fd)

    def _decided(self, folder_fd: int, lock_fd: int) -> EngineIdentity:
        is_alone = _is_alone(folder_fd, self._folder)
        text = self._text()
        if not is_alone:
            return self._joined(text, os.pread(lock_fd, _MAX_BYTES, 0))
        if text is None:
            identity = EngineIdentity(_ID_STARTS + self._random(8), 1, self._now())
        else:
            identity = self._raised(_parsed(text, self._path))
        self._put_on_record(identity, folder_fd, lock_fd, is_new=text is None)
        fcntl.flock(folder_fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return identity

    def _text(self) -> bytes | None:
        """What the file says; None if there is none."""
        try:
            fd = open_file(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        with open(fd, "rb") as file:
            return file.read(_MAX_BYTES)

    def _joined(self, text: bytes | None, copy: bytes) -> EngineIdentity:
        """The identity that other processes use. An empty copy means that its file was removed."""
        if text is None or copy not in (b"", text):
            raise StateError(
                f"{self._path} {'is gone' if text is None else 'was changed'} while other processes use"
                f" the SNMP engine that it described, {_UNSENT}; put it back as it was"
                f" ({self._lock_path} is a copy unless empty), or restart the listener"
            )
        identity = _parsed(text, self._path)
        if identity.started_at > self._now():
            raise StateError(
                f"{self._path} says that the SNMP engine started at a time still to come, and other"
                f" processes use it, {_UNSENT}; restart the listener"
            )
        return identity

    def _raised(self, before: EngineIdentity) -> EngineIdentity:
        boots = before.boots + 1
        if boots >= MAX_BOOTS:
            raise StateError(
                f"{self._path}: the boots of the SNMP engine 0x{before.engine_id.hex()} are used up"
                f" (RFC 3414), {_UNSENT}; remove the file, restart the listener, and tell the receivers"
                " the new engine ID, which the log names then"
            )
        return EngineIdentity(before.engine_id, boots, self._now())

    def _put_on_record(
        self, identity: EngineIdentity, folder_fd: int, lock_fd: int, *, is_new: bool
    ) -> None:
        """Replace the file, or leave it as it was."""
        values = {**identity._asdict(), "engine_id": identity.engine_id.hex()}
        text = json.dumps(values).encode() + b"\n"
        written = self._path + ".new"
        with suppress(FileNotFoundError):
            os.unlink(written)  # of one that was killed; it may even be another user's
        with open(open_file(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.ftruncate(lock_fd, 0)
        os.pwrite(lock_fd, text, 0)
        if is_new:  # told before it is so: whatever comes in between, none is made without a word
            _log.warning(
                "new SNMP engine ID 0x%s, kept in %s; receivers of SNMPv3 traps have to know it"
                " (snmptrapd: createUser -e 0x%s ...)",
                *(values["engine_id"], self._path, values["engine_id"]),
            )
        os.replace(written, self._path)
        os.fsync(folder_fd)


def _is_alone(folder_fd: int, path: str) -> bool:
    """Whether nobody else has the engine open; locks the directory for us, if so exclusively."""
    for _ in range(2):  # one that was killed while it decided may have it exclusively a moment longer
        if _has_locked(folder_fd, fcntl.LOCK_EX):
            return True
        _wait_for(folder_fd, fcntl.LOCK_SH, path)
    return False


def _wait_for(fd: int, kind: int, path: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not _has_locked(fd, kind):
        if time.monotonic() > deadline:
            raise StateError(
                f"another process has kept {path} locked for {_PATIENCE_S:g} s, {_UNSENT}; find the"
                " process that hangs there ('fuser' names it), and end it"
            )
        time.sleep(_LOOK_S)


def _has_locked(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _parsed(text: bytes, path: str) -> EngineIdentity:
    try:
        stored = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "it is not JSON") from error
    if not isinstance(stored, dict):
        raise _damaged(path, "it is no JSON object")
    for key, (is_fine, wanted) in _KEYS.items():
        if key not in stored:
            raise _damaged(path, f"{key} is missing")
        if not is_fine(stored[key]):
            raise _damaged(path, f"{key} is {stored[key]!r:.80}, not {wanted}")
    return EngineIdentity(
        bytes.fromhex(stored["engine_id"]), stored["boots"], float(stored["started_at"])
    )


def _is_engine_id(value: object) -> bool:
    """RFC 3411, SnmpEngineID: 5 to 32 octets, neither all zeros nor all ones."""
    try:
        octets = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        return False
    return 5 <= len(octets) <= 32 and set(octets) not in ({0x00}, {0xFF})


def _is_boots(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_BOOTS


def _is_instant(value: object) -> bool:
    return (type(value) is int or type(value) is float) and abs(value) < 2**63  # NaN is not


_KEYS: dict[str, tuple[Callable[[object], bool], str]] = {
    "engine_id": (_is_engine_id, "5 to 32 bytes in hex, other than all 00 or all ff"),
    "boots": (_is_boots, f"a whole number from 0 to {MAX_BOOTS}"),
    "started_at": (_is_instant, "a number of seconds"),
}


def _damaged(path: str, found: str) -> StateError:
    return StateError(
        f"{path} is damaged: {found}, {_UNSENT}; restore it from a backup with its boots set higher"
        " than ever, or remove it and tell the receivers the new engine ID that the log names then"
    )


def _unrecorded(error: OSError, path: str) -> str:
    hint = {
        errno.ENOENT: "make that directory for the listener's user",
        errno.ENOTDIR: "make that directory for the listener's user",
        errno.ENOSPC: "make room on that disk",
        errno.EDQUOT: "make room on that disk",
    }.get(error.errno or 0, "let the listener's user read and write there")
    return (
        f"the boots of the SNMP engine could not be put on record in {path}: {error.strerror},"
        f" {_UNSENT}; {hint}"
    )
