"""What doctor judges by: the state directory, supervisord and its file, hooks.conf.

Owns these values alone. look.py makes them; the other modules of this package judge by them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from listener.hooks.table import HookTable
from listener.hooks.yaml_lines import Mistake
from listener.interpreters.plugins import Plugin
from listener.overview.finding import Finding
from listener.overview.standing import Standing
from listener.state.directory import open_regular
from listener.state.inspection import Arrivals
from listener.supervisord.configuration import Configuration, Program
from listener.supervisord.presence import Presence

_END_BYTES = 100_000


class Kept(NamedTuple):
    """The state directory. `standing` is None where the journal cannot be read: `trouble` says why."""

    folder: str
    standing: Standing | None = None
    trouble: Finding | None = None
    damage: str = ""
    lost_changes: int = 0
    arrivals: Arrivals = Arrivals()

    @property
    def listener(self) -> Presence | None:
        return self.standing.listener if self.standing else None


class Supervisord(NamedTuple):
    """`listener` is our section in the `configuration`; `uid` the user that supervisord runs it as.

    `configured` and `processes` are what supervisord itself says, by group:name, None where it cannot
    be asked. `environment` is that of the running listener, `own_environment` the one that supervisord
    was started with; each is None where it may not be read.
    """

    configuration: Configuration | None = None
    listener: Program | None = None
    uid: int | None = None
    configured: Mapping[str, Mapping[str, Any]] | None = None
    processes: Mapping[str, Mapping[str, Any]] = {}
    environment: Mapping[str, str] | None = None
    own_environment: Mapping[str, str] | None = None
    troubles: tuple[Finding, ...] = ()

    def end_of_log(self, program: Program, stream: str) -> bytes:
        """b'' where this user may not read it. `stream` is stdout or stderr."""
        running = (self.configured or {}).get(program.names[0], {})
        path = str(running.get(f"{stream}_logfile") or "")
        with suppress(OSError), open(open_regular(path, os.O_RDONLY), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _END_BYTES))
            return file.read()
        return b""  # also where it is none, such as /dev/stdout


class Hooks(NamedTuple):
    """hooks.conf. `table` is None if it cannot be used. `hosts` has each host that is sent to, and the
    hook or the forwarder that does so. `programs` are the hooks that run functions or programs.
    """

    config: str
    table: HookTable | None = None
    mistakes: tuple[Mistake, ...] = ()
    plugins: tuple[Plugin, ...] = ()
    programs: tuple[str, ...] = ()
    hosts: Mapping[str, str] = {}


class Facts(NamedTuple):
    kept: Kept
    supervisord: Supervisord
    hooks: Hooks
