"""The state directory: its owner, its modes, its disk, and the journal in it.

Owns what of these stops the listener or lets others in. The listener's own lock and journal are asked
in look.py.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import suppress

from listener.inbox.folder import FOLDER
from listener.overview.doctor.facts import Facts
from listener.overview.finding import Finding, of_text
from listener.state.directory import writable_by_others
from listener.state.journal import FILE

_LOW_BYTES = 100_000_000


def judge_place(facts: Facts) -> Iterator[Finding]:
    kept = facts.kept
    if kept.trouble is not None:
        yield kept.trouble
    yield from _journal(facts)
    with suppress(OSError):  # it is not there, no directory, or hidden: that is the trouble
        yield from _directory(kept.folder, facts.supervisord.uid)
        inbox = os.path.join(kept.folder, FOLDER)
        if os.stat(inbox).st_mode & 0o002:
            what = "every user may write notifications into it"
            yield Finding(inbox, what, f"sudo chmod o-w {inbox}")


def _journal(facts: Facts) -> Iterator[Finding]:
    path = os.path.join(facts.kept.folder, FILE)
    if facts.kept.damage:
        cure = "stop the listener, move it and its -wal file away, start the listener; check the disk"
        yield Finding(path, f"it is damaged: {facts.kept.damage}", cure)
    if facts.kept.lost_changes:
        what = f"it is damaged: up to {facts.kept.lost_changes} of the journal's last changes are lost"
        cure = "check the disk; compare conductor-hooks history with what has happened"
        yield Finding(f"{path}-wal", what, cure)


def _directory(folder: str, uid: int | None) -> Iterator[Finding]:
    found, disk = os.stat(os.path.join(folder, "")), os.statvfs(folder)
    if uid and found.st_uid != uid:
        name = _name_of(uid)
        what = f"it belongs to {_name_of(found.st_uid)}, and the listener runs as {name}"
        yield Finding(folder, what, f"sudo chown -R {name} {folder}")
    if found.st_mode & 0o700 != 0o700:
        yield Finding(folder, "its owner may not write to it", f"sudo chmod u+rwx {folder}")
    if open_to_others := writable_by_others(folder):
        yield of_text(folder, open_to_others)
    free_bytes = disk.f_bavail * disk.f_frsize
    if free_bytes < _LOW_BYTES:
        what = f"its file system has only {free_bytes // 1_000_000} MB left"
        yield Finding(folder, what, "free space there: without any, events are held")


def _name_of(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)
