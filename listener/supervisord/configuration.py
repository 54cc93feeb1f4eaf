"""supervisord's configuration file, read as supervisord itself reads it.

Owns what conductor-hooks wants to know of it. It imports no module that the file names, starts nothing
and opens no log. doctor asks for it.
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from supervisor.datatypes import name_to_uid
from supervisor.options import ServerOptions

from listener.errors import HooksError

RECORDER = "listener.supervisord.recorder:make_recorder"


class Program(NamedTuple):
    """A section that runs a process; `place` is the file and the section, for a person.

    `processes` are supervisor's own values, one for each of numprocs. `events` are supervisor's classes
    of what an event listener subscribes to, () for any other program.
    """

    section: str
    place: str
    group: str
    processes: tuple[Any, ...]
    events: tuple[type, ...] = ()
    buffer_size: int = 0

    @property
    def process(self) -> Any:
        """The first of its processes, which differ in little but their names."""
        return self.processes[0]

    @property
    def names(self) -> tuple[str, ...]:
        """group:name of each process, as supervisorctl has them."""
        return tuple(f"{self.group}:{process.name}" for process in self.processes)

    def is_verb(self, verb: str) -> bool:
        """Whether it is this verb of ours."""
        return bool(
            re.search(rf"(conductor-hooks|-m\s+listener)['\"]?\s+{verb}\b", self.process.command)
        )


class Configuration(NamedTuple):
    """One file with all that it includes; `unreadable` are the files that this user may not read.

    `uid` is the user that supervisord becomes, None for the one that starts it. `recorders` are the
    places of our recorder's sections, each with its state_dir.
    """

    file: str
    programs: tuple[Program, ...]
    uid: int | None = None
    recorders: Mapping[str, str] = {}
    unreadable: tuple[str, ...] = ()


def read_configuration(file: str, env: Mapping[str, str]) -> Configuration:
    """The file as a supervisord with this environment would read it now. Raises HooksError."""
    options = _Options(file, env)
    try:
        options.read_config(file)
        section = options.configroot.supervisord
        uid = None if section.user is None else name_to_uid(section.user)
    except (ValueError, configparser.Error) as error:
        raise HooksError(f"{file} cannot be read as supervisord reads it: {error!s:.200}") from error
    pools = {group.name: group for group in section.process_group_configs if _is_pool(group)}
    return Configuration(
        file,
        tuple(_with_pool(program, pools) for program in options.programs),
        uid,
        options.recorders,
        tuple(_unreadable(options.parse_infos)),
    )


class _Options(ServerOptions):  # type: ignore[misc]
    """supervisor's own reader of the file, which notes the file of each section on its way."""

    def __init__(self, file: str, env: Mapping[str, str]) -> None:
        super().__init__()
        self.configfile = file
        self.here = os.path.dirname(file)
        self.environ_expansions = {f"ENV_{name}": value for name, value in env.items()}
        self.programs: list[Program] = []
        self.recorders: dict[str, str] = {}

    def import_spec(self, spec: str) -> str:
        """Leave it a name: whoever only reads the file runs no code that it names."""
        return spec

    def get_plugins(self, parser: Any, factory_key: str, prefix: str) -> Any:
        plugins = super().get_plugins(parser, factory_key, prefix)
        for name, factory, values in plugins:
            if factory == RECORDER:
                place = self._place(parser, f"{prefix}{name}")
                self.recorders[place] = values.get("state_dir", "")
        return plugins

    def processes_from_section(self, parser: Any, section: str, group: str, klass: Any = None) -> Any:
        processes = super().processes_from_section(parser, section, group, klass)
        if processes:  # numprocs may be 0
            place = self._place(parser, section)
            self.programs.append(Program(section, place, group, tuple(processes)))
        return processes

    def _place(self, parser: Any, section: str) -> str:
        return f"{parser.section_to_file.get(section, self.configfile)} [{section}]"


def _is_pool(group: Any) -> bool:
    return hasattr(group, "pool_events")


def _with_pool(program: Program, pools: Mapping[str, Any]) -> Program:
    if not program.section.startswith("eventlistener:"):
        return program
    pool = pools[program.group]
    return program._replace(events=tuple(pool.pool_events), buffer_size=pool.buffer_size)


def _unreadable(infos: Iterable[str]) -> Iterable[str]:
    """The included files that the parser has skipped without a word."""
    for info in infos:
        match = re.fullmatch('Included extra file "(.*)" during parsing', info)
        if match and not os.access(match[1], os.R_OK, effective_ids=True):
            yield match[1]
