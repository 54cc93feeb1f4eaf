"""What the running forwarder says of itself, for the verbs that look at it from outside.

Owns the file of the state directory that has it. It judges nothing. forwarder.py writes it at each
change of state; standing.py reads it.
"""

from __future__ import annotations

import os
from contextlib import suppress

import msgspec

from listener.inbox.runs import is_alive, is_stopped, run_of
from listener.state.directory import open_file, open_regular

_FILE = "forwarder.json"


class ForwarderPresence(msgspec.Struct, frozen=True):
    """One run of a forwarder, and what its log said last, at the Unix time `at`.

    `is_trouble`: that is why it cannot consume.
    """

    run: str
    at: float
    said: str
    is_trouble: bool

    @property
    def pid(self) -> int:
        return int(self.run.partition(".")[0])

    @property
    def is_alive(self) -> bool:
        """Whether that process still runs."""
        return is_alive(self.run)

    @property
    def is_stopped(self) -> bool:
        """Whether that process runs, but was stopped by SIGSTOP."""
        return self.is_alive and is_stopped(self.pid)


def say_present(state_dir: str, said: str, at: float, *, is_trouble: bool) -> None:
    """Replace what was said before; where that cannot be written, the log alone has it."""
    presence = ForwarderPresence(run_of(os.getpid()), at, said, is_trouble)
    path = os.path.join(state_dir, _FILE)
    with suppress(OSError):
        with open(open_file(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
            file.write(msgspec.json.encode(presence))
        os.replace(f"{path}.new", path)


def read_presence(state_dir: str) -> ForwarderPresence | None:
    """That of the last forwarder that has run here; None if none has, or it cannot be read."""
    try:
        with open(open_regular(os.path.join(state_dir, _FILE), os.O_RDONLY), "rb") as file:
            return msgspec.json.decode(file.read(), type=ForwarderPresence)
    except (OSError, msgspec.MsgspecError):
        return None
