"""What the running listener says of itself, for the verbs that look at it from outside.

Owns the note of the journal that has it. It judges nothing. events.py writes it at the start and at
each TICK_5; standing.py reads it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

import listener
from listener.inbox.runs import is_alive, is_stopped, run_of
from listener.state.journal import Journal

_NOTE = "listener"


class Presence(msgspec.Struct, frozen=True):
    """One run of a listener; times are Unix times.

    `run` is its process and `supervisord` the one that sends its events, as run_of names them; '' if
    none does. `server_url` is where that answers XML-RPC, `process` how it calls the listener:
    group:name. `heard_at` is when the last TICK_5 came. `problem` is why the newest hooks.conf is not
    in force as a whole, '' when it is.
    """

    run: str
    version: str
    began_at: float
    config: str
    supervisord: str = ""
    server_url: str = ""
    process: str = ""
    heard_at: float = 0.0
    problem: str = ""

    @property
    def pid(self) -> int:
        return int(self.run.partition(".")[0])

    @property
    def known_as(self) -> str:
        """What supervisorctl takes for it; the shipped section's name where no supervisord runs it."""
        group, _, name = self.process.partition(":")
        return (name if name == group else self.process) or "conductor-hooks"

    @property
    def supervisord_pid(self) -> int | None:
        """None if it has ended: another process may have its number by now."""
        is_there = self.supervisord and is_alive(self.supervisord)
        return int(self.supervisord.partition(".")[0]) if is_there else None

    @property
    def is_alive(self) -> bool:
        """Whether that process still runs."""
        return is_alive(self.run)

    @property
    def is_stopped(self) -> bool:
        """Whether that process runs, but was stopped by SIGSTOP."""
        return self.is_alive and is_stopped(self.pid)


def presence_of(config: str, supervisord: str | None, env: Mapping[str, str], now: float) -> Presence:
    """That of this process, which begins to work `now`."""
    return Presence(
        run=run_of(os.getpid()),
        version=listener.__version__,
        began_at=now,
        config=config,
        supervisord=supervisord or "",
        server_url=env.get("SUPERVISOR_SERVER_URL", "") if supervisord else "",
        process=process_of(env) if supervisord else "",
    )


def process_of(env: Mapping[str, str]) -> str:
    """How supervisord calls the program with this environment: group:name; neither has a colon."""
    return ":".join(env.get(f"SUPERVISOR_{of}_NAME", "") for of in ("GROUP", "PROCESS"))


def say_present(journal: Journal, presence: Presence, heard_at: float, problem: str) -> None:
    """Keep it in the journal, in place of what was said before."""
    now = msgspec.structs.replace(presence, heard_at=heard_at, problem=problem)
    journal.note(_NOTE, msgspec.json.encode(now).decode())


def read_presence(journal: Journal) -> Presence | None:
    """That of the last listener that has run; None if none has yet. Raises StateError."""
    return journal.noted_as(_NOTE, Presence)
