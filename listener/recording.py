"""Events that supervisord has recorded: the form of the files, and the listener's way of reading them.

Owns the files' names and records. It
never writes a record and never decides what becomes of one. supervisord/recorder.py makes names and
records with it; the listener reads them with a RecordingReader.
"""

from __future__ import annotations

import os
import re
import time
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from listener.inbox.runs import is_alive

FOLDER = "recorded"
"""In the state directory, for its owner alone: it holds whole notifications, rest_token and all."""

RECORDED_IN = "CONDUCTOR_HOOKS_RECORDED_IN"
"""The environment variable that tells supervisord's programs which state directory is recorded into."""

_NAME = re.compile(r"([0-9]{8,})-([0-9]{1,7}\.[0-9]+)\.events")
_CHUNK_BYTES = 65536
_RACY_NS = 2_000_000_000
"""A folder that changed less than this before it was listed may change again and show the same time:
the kernel's clock ticks every few ms, that of some file systems every second or two."""


class Recorded(NamedTuple):
    """One event, as the listener gets it from supervisord: `payload` is a Frame's."""

    run: str
    serial: int
    payload: str


def file_name(number: int, run: str) -> str:
    """The name of a run's file; numbers grow from file to file, so that their order is that of time."""
    return f"{number:08d}-{run}.events"


def next_number(names: Iterable[str]) -> int:
    """The number that comes after those of all these files."""
    found = (re.match(r"[0-9]{8,}(?=-)", name) for name in names)
    return 1 + max((int(number[0]) for number in found if number), default=0)


def record(serial: int, payload: str) -> bytes:
    """An event as it stands in a file: `<serial> <bytes> <checksum>`, then the payload, a line each.

    The checksum is that of the two numbers as they stand there, and the payload. Were it begun with the
    serial itself, one damaged byte could make it right for a serial without its first digit.
    """
    data = payload.encode("utf-8", "surrogatepass")
    numbers = b"%d %d" % (serial, len(data))
    return b"%b %08x\n%b\n" % (numbers, zlib.crc32(data, zlib.crc32(numbers)), data)


_HEADER = re.compile(rb"(([0-9]{1,19}) ([0-9]{1,10})) ([0-9a-f]{8})\n")
_MAX_HEADER = 40


def _record_at(data: bytes, start: int) -> tuple[int, str, int] | None:
    """Serial, payload and end of the record that begins there; None when more bytes must come first.

    Raises ValueError when none can be there, whatever comes.
    """
    header = _HEADER.match(data, start)
    if header is None:
        if len(data) - start < _MAX_HEADER and b"\n" not in data[start:]:
            return None
        raise ValueError
    begin = header.end()
    end = begin + int(header[3])
    if len(data) <= end:
        return None
    payload = data[begin:end]
    if data[end] != 0x0A or zlib.crc32(payload, zlib.crc32(header[1])) != int(header[4], 16):
        raise ValueError
    return int(header[2]), payload.decode("utf-8", "surrogatepass"), end + 1


class _File:
    """One file while it is read: what has been read of it and not been given yet, and what is known."""

    def __init__(self, path: str, run: str) -> None:
        self.path = path
        self.run = run
        self.is_final = False  # nobody will write to it any more
        self.problem = ""  # what is damaged, if anything
        self._is_at_end = False  # it was read to its end when it was final already
        self._fd = -1
        self._data = b""
        self._offset = 0  # in the file, of `_data`

    @property
    def is_given(self) -> bool:
        """Whether all that it will ever hold has been given."""
        return self._is_at_end and not self._data

    def read(self, limit: int) -> list[Recorded]:
        """Whole records not given before, at most so many."""
        found = self._take(limit)
        while len(found) < limit and self._fill():
            found += self._take(limit - len(found))
        return found

    def _fill(self) -> bool:
        """Read on; whether there is anything new to be taken, or to be known about what is there."""
        if self._is_at_end:
            return False
        if self._fd < 0:
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            self._fd = os.open(self.path, flags)
        if data := os.read(self._fd, _CHUNK_BYTES):
            self._data += data
        elif self.is_final:
            self._is_at_end = True
            self.close()
        elif self._data and not is_alive(self.run):
            self.is_final = True  # and is read once more: that was not known when it was read
        else:
            return False
        return True

    def _take(self, limit: int) -> list[Recorded]:
        found: list[Recorded] = []
        position = 0
        while len(found) < limit and position < len(self._data):
            try:
                taken = _record_at(self._data, position)
            except ValueError:
                position = self._behind_damage(position)
                continue
            if taken is not None:
                serial, payload, position = taken
                found.append(Recorded(self.run, serial, payload))
            elif self._is_at_end:
                position = self._behind_damage(position)
            else:
                break
        if position:
            self._data = self._data[position:]
            self._offset += position
        return found

    def _behind_damage(self, position: int) -> int:
        """Where the next record may begin."""
        following = _HEADER.search(self._data, position + 1)
        if not self.problem:
            self.problem = (
                f"{self.path}, byte {self._offset + position}: no whole record stands there, as if the"
                " disk had been full or supervisord killed; whole ones behind it are read. The file is"
                " kept with '.damaged' behind its name: look at it, then delete it"
            )
        if following is not None:
            return following.start()
        if self._is_at_end:
            return len(self._data)
        return max(position + 1, len(self._data) - _MAX_HEADER)

    def ends_here(self) -> bool:
        """Whether its run has ended and left nothing in it that was not given."""
        if self._fd < 0 or self._data or int(self.run.partition(".")[0]) == os.getppid():
            return False
        return not is_alive(self.run) and os.fstat(self._fd).st_size <= self._offset

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


class RecordingReader:
    """Reads a folder of recorded files, which need not be there yet, while supervisord writes them.

    `problems` collects what a person should know, each once; the caller logs and clears it. A new
    reader gives again what is still there: whoever stores it must recognise it.
    """

    def __init__(self, folder: str, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.problems: list[str] = []
        self._folder = folder
        self._now_ns = now_ns
        self._listed: int | None = None  # the folder's time when it was listed, if it can be trusted
        self._files: dict[str, _File] = {}
        self._told: set[str] = set()

    def read_new(self, limit: int = 1000) -> list[Recorded]:
        """Whole records that were not given before, in the order of their recording, at most `limit`.

        A record that is not whole yet is left until it is, or until nobody is left to complete it.
        """
        self._look_for_files()
        found: list[Recorded] = []
        for file in self._files.values():
            if len(found) >= limit:
                break
            try:
                found += file.read(limit - len(found))
            except OSError as error:
                self._tell(
                    f"{file.path} cannot be read ({error.strerror}): its events are not acted on; give"
                    " the file to the listener's user, or remove it"
                )
            if file.problem:
                self._tell(file.problem)
        return found

    def settle(self) -> None:
        """What was given is safe: remove the files that are read to their end and will not grow.

        A damaged one is renamed instead. Safe at any time; what was not given is never removed.
        """
        for name, file in list(self._files.items()):
            if not (file.is_given or file.ends_here()):
                continue
            try:
                with suppress(FileNotFoundError):
                    if file.problem:
                        os.rename(file.path, f"{file.path}.damaged")
                    else:
                        os.unlink(file.path)
            except OSError as error:
                self._tell(
                    f"{file.path} cannot be removed after it was read ({error.strerror}); give its"
                    " folder to the listener's user"
                )
                continue
            file.close()
            del self._files[name]

    def close(self) -> None:
        """Close what is open; who reads on is given everything that is still there once more."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._listed = None

    def _look_for_files(self) -> None:
        try:
            changed = os.stat(self._folder).st_mtime_ns
            if changed != self._listed:
                self._look(changed)
        except FileNotFoundError:
            self._listed = None  # nothing was recorded yet, or somebody has taken it away
        except OSError as error:
            self._tell(
                f"{self._folder} cannot be read ({error.strerror}): what supervisord records there is"
                " not acted on; make it a folder of the listener's user"
            )

    def _look(self, changed: int) -> None:
        """Find the files that are there now, and which of them nobody will write to any more."""
        found = [match for name in os.listdir(self._folder) if (match := _NAME.fullmatch(name))]
        self._listed = changed if self._now_ns() - changed > _RACY_NS else None
        if self._files.keys() == {match[0] for match in found}:
            return
        known, self._files = self._files, {}
        for match in sorted(found, key=lambda match: (int(match[1]), match[0])):
            new = _File(os.path.join(self._folder, match[0]), match[2])
            self._files[match[0]] = known.pop(match[0], new)
        for vanished in known.values():
            vanished.close()
        runs_with_newer: set[str] = set()
        for file in reversed(self._files.values()):
            file.is_final = file.is_final or file.run in runs_with_newer or not is_alive(file.run)
            runs_with_newer.add(file.run)

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self.problems.append(text)
