"""What doctor judges by: supervisord and its file, the journal, hooks.conf and what it names.

Owns the order of looking: what root alone may see comes first, the rest is seen with the listener's
user and environment. It judges nothing; the other modules of this package do. The verb doctor calls it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress

import listener
from listener.actions.check import plugins_used
from listener.actions.registry import Actions
from listener.errors import HooksError
from listener.hooks.file import config_path, read_file, state_dir_in
from listener.hooks.table import HookTable
from listener.hooks.watch import MISSING
from listener.hooks.yaml_lines import Mistake
from listener.overview.doctor.facts import Facts, Hooks, Kept, Supervisord
from listener.overview.finding import Finding, of_text
from listener.overview.hooks_conf import all_mistakes
from listener.overview.standing import stand
from listener.rabbitmq.broker import read_broker
from listener.state.directory import become_owner, is_locked, path_of
from listener.state.inspection import arrivals, damage, lost_changes
from listener.state.journal import FILE, Journal
from listener.supervisord.configuration import Configuration, Program, read_configuration
from listener.supervisord.control import Control, address_of, configuration_of
from listener.supervisord.presence import Presence


def look(config: str | None, state_dir: str | None, supervisor_config: str | None, now: float) -> Facts:
    """All of it. This process has the listener's user and environment from here on, if it may."""
    kept = _look_at_state(_folder(config, state_dir), supervisor_config, now)
    supervisord = _look_at_supervisord(kept, supervisor_config)
    _become_listener(kept, supervisord)
    known = kept.listener.config if kept.listener else None
    return Facts(
        kept, supervisord, _look_at_hooks(config_path(config or known, os.environ), kept.folder)
    )


def _folder(config: str | None, state_dir: str | None) -> str:
    def setting() -> str | None:
        with suppress(HooksError):  # what is wrong with hooks.conf is found later
            return state_dir_in(config, os.environ)
        return None

    return path_of(state_dir, os.environ, setting)


def _look_at_state(folder: str, supervisor_config: str | None, now: float) -> Kept:
    try:
        os.stat(os.path.join(folder, FILE))
    except NotADirectoryError:
        cure = "move it away, and make the directory for the listener's user"
        return Kept(folder, trouble=Finding(folder, "it is not a directory", cure))
    except OSError as error:
        what = f"no journal can be read here ({error.strerror}), so no listener has run with it"
        return Kept(folder, trouble=Finding(folder, what, _WHICH_FOLDER))
    journal = Journal(folder)
    try:
        lost = 0 if is_locked(folder) else lost_changes(folder)
        wrong = damage(folder)
        standing = stand(journal, folder, supervisor_config, now)
        return Kept(folder, standing, None, wrong, lost, arrivals(folder))
    except HooksError as error:
        return Kept(folder, trouble=of_text(folder, str(error), "do what that says"))
    finally:
        journal.close()


_WHICH_FOLDER = (
    "start the listener; or name the directory that its log says at its start with --state-dir; or do"
    " this as its user, or as root"
)


def _look_at_supervisord(kept: Kept, supervisor_config: str | None) -> Supervisord:
    listener = kept.listener
    own_environment = _environment_of(listener.supervisord_pid if listener else None)
    configuration, of_file = _configuration(listener, supervisor_config, own_environment or os.environ)
    section = _section(configuration, listener)
    try:
        control = Control(address_of(listener, supervisor_config))
        configured = control.configured()
        processes = {f"{each['group']}:{each['name']}": each for each in control.processes()}
        troubles = of_file
    except HooksError as error:
        trouble = Finding("supervisord", str(error), "do what that says, and look again")
        configured, processes, troubles = None, {}, of_file or (trouble,)
    pid = listener.pid if listener and kept.standing and kept.standing.is_running else None
    return Supervisord(
        configuration,
        section,
        _uid(section, configuration, listener),
        configured,
        processes,
        _environment_of(pid),
        own_environment,
        troubles,
    )


def _configuration(
    listener: Presence | None, given: str | None, env: Mapping[str, str]
) -> tuple[Configuration | None, tuple[Finding, ...]]:
    """What stands in the file, with supervisord's environment; and what is wrong with reading it."""
    file = given or configuration_of(listener)
    if file is None:
        text = "its configuration file is not found; name it with --supervisor-config"
        return None, (of_text("supervisord", text),)
    try:
        return read_configuration(os.path.abspath(file), env), ()
    except HooksError as error:
        return None, (
            Finding("supervisord", str(error), "correct it; or do this as its user, or as root"),
        )


def _section(configuration: Configuration | None, listener: Presence | None) -> Program | None:
    """The section of the last listener, else the first that runs one."""
    programs = configuration.programs if configuration else ()
    found = [each for each in programs if each.events and each.is_verb("listen")]
    known = listener.process if listener else ""
    own = [each for each in programs if known in each.names]
    return next(iter([*own, *found]), None)


def _uid(
    section: Program | None, configuration: Configuration | None, listener: Presence | None
) -> int | None:
    """As whom supervisord runs the section: user=, else supervisord's own."""
    if section is None or configuration is None:
        return None
    given = section.process.uid if section.process.uid is not None else configuration.uid
    if given is None and listener and listener.supervisord_pid:
        with suppress(OSError):
            return os.stat(f"/proc/{listener.supervisord_pid}").st_uid
    return None if given is None else int(given)


def _environment_of(pid: int | None) -> Mapping[str, str] | None:
    """The environment that a process was started with; None where this user may not read it."""
    if pid is None:
        return None
    try:
        with open(f"/proc/{pid}/environ", encoding="utf-8", errors="surrogateescape") as file:
            pairs = [pair.partition("=") for pair in file.read().split("\0")]
    except OSError:
        return None
    return {name: value for name, is_pair, value in pairs if is_pair}


def _become_listener(kept: Kept, supervisord: Supervisord) -> None:
    """See what follows as the listener does. Root takes no environment from another user's process."""
    if os.path.isdir(kept.folder):
        become_owner(kept.folder)
    environment, section = supervisord.environment, supervisord.listener
    if environment is not None and kept.listener and _is_ours(kept.listener.pid):
        os.environ.clear()
        os.environ.update(environment)
    elif section is not None:
        os.environ.update(section.process.environment)


def _is_ours(pid: int) -> bool:
    with suppress(OSError):
        return os.stat(f"/proc/{pid}").st_uid == os.geteuid()
    return False


def _look_at_hooks(config: str, folder: str) -> Hooks:
    if not os.access(__file__, os.R_OK):  # what is not imported yet cannot be: nor by the listener
        return _unread(config, f"the listener's user may not read {listener.__path__[0]}; {_LET_READ}")
    try:
        table, mistakes = read_file(config, os.environ)
    except FileNotFoundError:
        return _unread(config, f"{MISSING}; write it, or {_NAME}")
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
        return _unread(config, f"{why}; let the listener's user read it, or {_NAME}")
    if table is None:
        return Hooks(config, mistakes=tuple(mistakes))
    with Actions(table.listener, folder, os.path.dirname(config)) as actions:
        enabled = [hook for hook in table.hooks if hook.enabled]
        return Hooks(
            config,
            table,
            tuple(all_mistakes(table, mistakes, actions, may_import=False)),
            tuple(dict.fromkeys(plugin for _, plugin in plugins_used(table, actions))),
            tuple(hook.name for hook in enabled if actions.of(hook).runs_programs),
            {host: f"hook {hook.name}" for hook in enabled for host in actions.hosts_of(hook)}
            | _brokers(table),
        )


_LET_READ = "let it read that folder, and pass through all folders above"
_NAME = "name another one in $CONDUCTOR_HOOKS_CONFIG"


def _unread(config: str, why: str) -> Hooks:
    return Hooks(config, mistakes=(Mistake(0, why),))


def _brokers(table: HookTable) -> dict[str, str]:
    if table.forward is None or table.forward.problem:
        return {}
    with suppress(HooksError):  # it is among the mistakes
        return {host.name: "the forwarder" for host in read_broker(table.forward).hosts}
    return {}
