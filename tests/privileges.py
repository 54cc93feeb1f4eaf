"""Another user's rights and files: what nobody may do, and what belongs to nobody."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import do_without

NOBODY = 65534


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
