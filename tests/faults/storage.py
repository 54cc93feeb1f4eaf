"""The journal's file and its directory in trouble: what cannot be kept is held until it can.

Owns one fault for each trouble. Each makes sure that no event was answered that could not be kept, that
an ERROR said what to do, and that the event was acted on once after just that was done.
"""

from __future__ import annotations

import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from listener.state.journal import FILE
from tests.faults.double import LISTENER, PROGRAMS, Double, doubled, listening
from tests.faults.hooks import Hooks, Note, names, notes
from tests.faults.ledger import Setting, Verdict, judge, unless
from tests.support import wait_for

_SLOW = Hooks(seconds=0.1)


class Held(NamedTuple):
    """What was seen while an event was held."""

    was_answered: bool
    error: str

    def problems(self, hint: str) -> tuple[str, ...]:
        """What is wrong about it: `hint` is what the ERROR must tell to do."""
        found = []
        if self.was_answered:
            found.append("an event was answered that the journal does not have")
        if hint not in self.error:
            found.append(f"the ERROR does not say {hint!r}: {self.error}")
        return tuple(found)


_ERROR = " ERROR the journal cannot be written, events are held: "


def _held(double: Double, errors: int = 1) -> Held:
    """Wait for so many ERRORs in all; the last of them, and whether the event was answered."""
    wait_for("the ERROR", lambda: double.log().count(_ERROR) >= errors)
    error = double.log().rpartition(_ERROR)[2].partition("\n")[0]
    return Held(len(set(double.look().answered)) == double.sent, error)


def disk_full(setting: Setting) -> Verdict:
    """No file may grow: before an event is accepted, between its actions, and at a SIGTERM."""
    emitted = names(4)
    with listening(setting.folder, _SLOW) as double:
        double.send(emitted[:1])
        double.wait_for_answers()
        with no_file_may_grow(double.pid):
            double.send(emitted[1:2])
            helds = [_held(double)]
        double.wait_for_answers()
        double.send(emitted[2:3])
        begun = Note("once", "begun", emitted[2])
        wait_for("the first action", lambda: notes(setting.folder)[begun])
        with no_file_may_grow(double.pid):
            helds.append(_held(double, 2))
        double.wait_for_answers()
        double.wait_until_settled(emitted[2])
        first = double.pid
        with no_file_may_grow(first):
            double.send(emitted[3:])
            helds.append(_held(double, 3))
            double.signal(signal.SIGTERM)
            status = double.wait_for_end(first)
        double.wait_for_answers()
        double.wait_until_settled(emitted[-1])
    problems = [problem for held in helds for problem in held.problems("limit")]
    return judge(setting.folder, emitted).and_also(
        *problems, unless(status == 0, f"SIGTERM while an event was held ended with status {status}")
    )


@contextmanager
def no_file_may_grow(pid: int) -> Iterator[None]:
    """A full disk for one process: its writes to files fail, those to pipes do not."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))
    yield
    try:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
    except ProcessLookupError:
        return  # it was ended on purpose


def file_system_full(setting: Setting) -> Verdict:
    """A file system of its own without a free byte, where one can be mounted."""
    emitted = names(2)
    with doubled(setting.folder, Hooks()) as double:
        state = setting.folder / "state"
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(state)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            return Verdict(0, 0, remark="left out: nothing can be mounted here")
        try:
            double.start()
            double.send(emitted[:1])
            double.wait_until_settled(emitted[0])
            _fill(state / "filler")
            double.send(emitted[1:])
            held = _held(double)
            (state / "filler").unlink()
            double.wait_for_answers()
            double.stop()
            verdict = judge(setting.folder, emitted)
        finally:
            double.close()
            subprocess.run(["umount", str(state)], check=True)
    return verdict.and_also(*held.problems("free space"))


def _fill(file: Path) -> None:
    """Write until nothing more is taken."""
    with file.open("wb", buffering=0) as filler:
        for size in (4096, 1):
            try:
                while filler.write(bytes(size)):
                    pass
            except OSError:
                continue


def damaged(setting: Setting) -> Verdict:
    """Bytes of the journal were overwritten while no listener ran: head, pages, a text."""

    def head(file: Path) -> None:
        _overwrite(file, 0, setting.random.randbytes(100))

    def pages(file: Path) -> None:
        _overwrite(file, 4096, setting.random.randbytes(file.stat().st_size - 4096))

    def text(file: Path) -> None:  # SQLite sees nothing in that
        _overwrite(file, file.read_bytes().rindex(b'[{"hook":"once"') + 2, b"\xff" * 8)

    return _damaged_by(setting, head, pages, text)


def _damaged_by(setting: Setting, *damages: Callable[[Path], None]) -> Verdict:
    emitted = names(2 * len(damages))
    problems: list[str] = []
    hooks = Hooks(more=failing_until(setting.folder / "never"))  # so that entries stay unsettled
    with listening(setting.folder, hooks) as double:
        for number, damage in enumerate(damages):
            before, after = emitted[2 * number : 2 * number + 2]
            double.send([before])
            double.wait_for_answers()
            double.stop()
            file = setting.folder / "state" / FILE
            _checkpoint(file)
            damage(file)
            double.listen_with()
            double.start()
            double.send([after])
            problems += _held(double, number + 1).problems("move it")
            for part in setting.folder.glob(f"state/{FILE}*"):
                part.rename(setting.folder / f"damaged-{number}-{part.name}")
            double.wait_for_answers()
    return judge(setting.folder, emitted, keeps_entries=False).and_also(*problems)


def _checkpoint(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _overwrite(file: Path, offset: int, data: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(offset)
        opened.write(data)


def damaged_note(setting: Setting) -> Verdict:
    """One of the small texts beside the entries was overwritten by another text."""
    emitted = names(2)
    with listening(setting.folder, Hooks()) as double:
        double.send(emitted[:1])
        double.tick()
        double.wait_for_answers()
        double.stop()
        file = setting.folder / "state" / FILE
        _checkpoint(file)
        note = f"{double.run}/{double.sent - 1}/{double.sent - 1}".encode()
        _overwrite(file, file.read_bytes().rindex(note), b"x" * len(note))
        double.listen_with(autorestart=False)
        double.start()
        double.send(emitted[1:])
        if double.wait_for_end_or_all(emitted[1]):
            return judge(setting.folder, emitted).and_also("the listener ends at each start")
    return judge(setting.folder, emitted)


def failing_until(path: Path, retries: int = 100) -> str:
    """A hook that fails, and is tried again, until that file is there."""
    return (
        "  - event_type: '*'\n    name: mended\n    implementation: fault_functions.fail_at_first\n"
        f"    inputs: {{path: {path}}}\n    retries: {retries}\n"
    )


def removed(setting: Setting) -> Verdict:
    """The journal is removed while a listener works, alone or with what is beside it, or that alone.

    Its entries are lost, an ERROR says so, and a new journal begins. Every event is acted on.
    """
    patterns = (FILE, f"{FILE}*", f"{FILE}-wal")
    emitted = names(3 * len(patterns))
    with listening(setting.folder, Hooks()) as double:
        for number, pattern in enumerate(patterns):
            before, after, last = emitted[3 * number : 3 * number + 3]
            double.send([before])
            double.wait_for_answers()
            double.wait_until_settled(before)
            for part in setting.folder.glob(f"state/{pattern}"):
                part.unlink()
            double.send([after])
            double.tick()
            double.send([last])
            double.wait_for_answers()
            double.wait_until_settled(last)
        told = double.log().count("was removed while it was in use")
        double.kill()
        double.send(["the-last"])
        double.wait_until_settled("the-last")
    return judge(setting.folder, emitted, keeps_entries=False).and_also(
        unless(told == len(patterns), f"the log told {told} times that it was removed")
    )


def directory_removed(setting: Setting) -> Verdict:
    """The whole state directory is removed, with a retry to come, and cannot be made: that is lost."""
    emitted = names(2)
    path = setting.folder / "mended"
    state = setting.folder / "state"
    with listening(setting.folder, Hooks(more=failing_until(path))) as double:
        double.send(emitted[:1])
        double.wait_for_answers()
        shutil.rmtree(state)
        state.touch()
        double.tick()
        held = _held(double)
        state.unlink()
        path.touch()
        double.wait_for_answers()
        double.send(emitted[1:])
        double.wait_until_settled(emitted[1])
        is_told = "its entries are lost, and what was still to do for them" in double.log()
    verdict = judge(setting.folder, emitted, keeps_entries=False)
    return verdict.and_also(
        *judge(setting.folder, emitted[1:], ("once", "again", "mended")).problems,
        *held.problems("make it for the listener's user"),
        unless(is_told, "no ERROR says what is lost"),
    )


def read_only(setting: Setting) -> Verdict:
    """The listener may not write to its directory when it starts."""
    emitted = names(2)
    state = setting.folder / "state"
    with doubled(setting.folder, Hooks()) as double:
        state.chmod(0o500)
        double.listen_with((sys.executable, str(PROGRAMS / "unprivileged.py"), *LISTENER))
        double.start()
        double.send(emitted)
        held = _held(double)
        state.chmod(0o700)
        double.wait_for_answers()
    return judge(setting.folder, emitted).and_also(*held.problems("let the listener's user write"))


def locked(setting: Setting) -> Verdict:
    """Another process keeps the journal locked, for longer than SQLite waits."""
    emitted = names(2)
    with listening(setting.folder, Hooks()) as double:
        double.send(emitted[:1])
        double.wait_for_answers()
        other = sqlite3.connect(setting.folder / "state" / FILE, isolation_level=None)
        with closing(other):
            other.execute("BEGIN IMMEDIATE")
            double.send(emitted[1:])
            held = _held(double)
            other.execute("ROLLBACK")
        double.wait_for_answers()
    return judge(setting.folder, emitted).and_also(*held.problems("another process keeps it locked"))
