"""Other users: what nobody may do, and what belongs to nobody. Only root can show most of it."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import do_without

NOBODY = 65534
NOBODYS_NAME = pwd.getpwuid(NOBODY).pw_name


def needs_root() -> None:
    """Skip the test where this process cannot give files away or become another user."""
    if os.geteuid() != 0:
        do_without("only root can give files away")


@contextmanager
def unprivileged() -> Iterator[None]:
    """Nobody's rights, for a moment; this process's own if it is not root's."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@contextmanager
def folder_of_nobody() -> Iterator[Path]:
    """A directory of the user that `unprivileged` makes of us, where that user can reach it."""
    with tempfile.TemporaryDirectory() as name:
        if os.geteuid() == 0:
            os.chown(name, NOBODY, NOBODY)
        yield Path(name)


@contextmanager
def open_to_others(folder: Path) -> Iterator[None]:
    """Other users can reach what is in the folder, as they can reach /var/lib."""
    needs_root()
    modes = {each: mode(each) for each in (folder, *folder.parents)}
    closed = {each: mode for each, mode in modes.items() if not mode & 0o001}
    for each, mode_before in closed.items():
        each.chmod(mode_before | 0o011)
    try:
        yield
    finally:
        for each, mode_before in closed.items():
            each.chmod(mode_before)


def mode(path: Path) -> int:
    """The permissions of a file."""
    return path.stat().st_mode & 0o7777
