"""What runs, beside what supervisord's configuration says.

Owns the comparison of supervisord's own answers with its file, and that of versions. What supervisord
does not tell, such as buffer_size in force, it cannot know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from supervisor.datatypes import Automatic

import listener
from listener.overview.doctor.facts import Facts, Supervisord
from listener.overview.finding import Finding
from listener.supervisord.configuration import Program

_COMPARED = (
    "command",
    "directory",
    "uid",
    "autostart",
    "startsecs",
    "startretries",
    "stopsignal",
    "stopwaitsecs",
    "killasgroup",
    "redirect_stderr",
    "stdout_capture_maxbytes",
    "stderr_capture_maxbytes",
    "stdout_logfile",
    "stderr_logfile",
)
_LAST_LINES = 2
_ENDED = ("FATAL", "BACKOFF", "STOPPED", "EXITED", "UNKNOWN")


def judge_running(facts: Facts) -> Iterator[Finding]:
    yield from _troubles(facts)
    if facts.supervisord.configuration is not None and facts.supervisord.configured is not None:
        for program in facts.supervisord.configuration.programs:
            if _is_relevant(program, facts):
                yield from _differing(program, facts)
    yield from _state(facts)
    yield from _versions(facts)


def _troubles(facts: Facts) -> Iterator[Finding]:
    standing, configuration = facts.kept.standing, facts.supervisord.configuration
    told = standing.process.why_not if standing and standing.listener else ""
    yield from (trouble for trouble in facts.supervisord.troubles if trouble.what != told)
    for file in configuration.unreadable if configuration else ():
        yield Finding(file, "this user may not read it", "do this as root")


def _is_relevant(program: Program, facts: Facts) -> bool:
    """Whether notifications pass through it; a change of another program is not for us to tell."""
    before = (facts.supervisord.configured or {}).get(program.names[0], {})
    captures = before.get("stdout_capture_maxbytes") or program.process.stdout_capture_maxbytes
    return program == facts.supervisord.listener or bool(captures)


def _differing(program: Program, facts: Facts) -> Iterator[Finding]:
    running = (facts.supervisord.configured or {}).get(program.names[0])
    if running is None or not running["inuse"]:
        yield Finding(program.place, "supervisord does not have it yet", "supervisorctl update")
        return
    changed = [name for name in _COMPARED if _differs(getattr(program.process, name), running[name])]
    if program == facts.supervisord.listener and not _has_environment(program, facts.supervisord):
        changed.append("environment")
    if changed:
        what = f"changed, but not in force: {', '.join(changed)}"
        cure = "supervisorctl update when no workflow runs: it discards what waits in the buffer"
        yield Finding(program.place, what, cure)


def _has_environment(program: Program, supervisord: Supervisord) -> bool:
    """Whether the listener has what its section says, as far as this user may know: %(ENV_X)s is
    supervisord's own X."""
    if supervisord.environment is None or supervisord.own_environment is None:
        return True
    wanted: Mapping[str, str] = program.process.environment
    return supervisord.environment.items() >= wanted.items()


def _differs(in_file: Any, running: Any) -> bool:
    """XML-RPC has no None; a file of supervisord's choice has a name by then."""
    return in_file is not Automatic and running not in (in_file, "none" if in_file is None else in_file)


def _state(facts: Facts) -> Iterator[Finding]:
    """Of a listener that has never run; `status` tells it of one that has."""
    program = facts.supervisord.listener
    if program is None or facts.kept.listener is not None:
        return
    process: Mapping[str, Any] = facts.supervisord.processes.get(program.names[0], {})
    if process.get("statename") in _ENDED:
        last = facts.supervisord.end_of_log(program, "stderr").decode("utf-8", "replace").splitlines()
        why = " / ".join(last[-_LAST_LINES:]) or process["spawnerr"]
        cure = f"correct that, then supervisorctl start {program.group}"
        yield Finding(program.place, f"supervisord says {process['statename']}: {why}", cure)


def _versions(facts: Facts) -> Iterator[Finding]:
    standing, ours = facts.kept.standing, listener.__version__
    if standing is None or standing.listener is None or not standing.is_running:
        return
    if standing.listener.version != ours:
        what = f"version {standing.listener.version} runs, and this command is {ours}"
        yield Finding("listener", what, "supervisorctl restart conductor-hooks, or use its command")
    recorder = standing.recorder
    if recorder is not None and recorder.get("version") != standing.listener.version:
        what = f"its version {recorder.get('version')} differs from the listener's"
        cure = "install the same one for supervisord's Python, then restart supervisord"
        yield Finding("recorder", what, cure)
