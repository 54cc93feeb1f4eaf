"""Which interpreter runs an implementation: a managed plugin's own, or the one for functions.

Owns that choice, made anew for every call, and the environment of each interpreter. It sends them no
request; actions/function.py does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from listener.errors import ActionFailed
from listener.hooks.settings import ListenerSettings, RestService
from listener.hooks.values import nearest
from listener.inbox.folder import IN_HOOK
from listener.interpreters.plugins import MARKER, Plugin, Plugins
from listener.interpreters.worker import Worker
from listener.state.ownership import refuse_to_root

_UPLOAD = "upload it with 'conductor-hooks plugins upload'"


class Interpreters:
    """One Worker for functions, and one for each plugin. `state_dir` has the uploaded plugins."""

    def __init__(self, settings: ListenerSettings, state_dir: str | None = None) -> None:
        self._settings = settings
        self._plugins = Plugins.below(state_dir, settings.plugins)
        self._workers: dict[str, tuple[object, Worker]] = {}

    def plugin(self, implementation: str, tenant: object) -> Plugin | None:
        """The plugin that has this implementation for a tenant; None for an importable function.

        Raises ActionFailed when it can be neither.
        """
        name = implementation.partition(".")[0]
        plugin = self._plugins.newest(name, tenant)
        if plugin is None and not name.isidentifier():
            raise ActionFailed(f"there is {self.no_plugin(name, tenant)}; {_UPLOAD}")
        return plugin

    def plugins(self, implementation: str) -> Sequence[Plugin]:
        """Every plugin that has this implementation for some tenant, or for all others."""
        name = implementation.partition(".")[0]
        tenants = dict.fromkeys(each.tenant for each in self._plugins.all() if each.name == name)
        found = (self._plugins.newest(name, tenant) for tenant in tenants)
        return [plugin for plugin in found if plugin is not None]

    def no_plugin(self, name: str, tenant: object) -> str:
        """`no managed plugin 'x'`, with the tenants that have it or the names that there are."""
        plugins = self._plugins.all()
        tenants = sorted({each.tenant or "" for each in plugins if each.name == name})
        if tenants:
            only = ", ".join(tenants)
            return f"no managed plugin {name!r} for tenant {tenant!r:.60}, only for {only}"
        known = sorted({each.name for each in plugins})
        return f"no managed plugin {name!r} ({nearest(name, known) if known else 'there is none'})"

    def worker(self, plugin: Plugin | None) -> Worker:
        """The one that stays: for functions, or for this plugin as it is on disk now."""
        key = os.path.dirname(plugin.folder) if plugin else ""
        identity = (plugin.folder, _stamp(plugin)) if plugin else None
        known = self._workers.get(key)
        if known is not None and known[0] == identity:
            return known[1]
        if known is not None:  # of another version, or of the same one before it was uploaded anew
            known[1].close()
        worker = self.new(plugin)
        self._workers[key] = (identity, worker)
        return worker

    def new(self, plugin: Plugin | None) -> Worker:
        """A Worker that the caller closes. Raises ActionFailed for what root must not run."""
        memory_mib = self._settings.child_memory
        env = {**os.environ, **_original_env(self._settings.manager)}
        if plugin is None:
            python = self._settings.python or sys.executable
            refuse_to_root((self._settings.python or "/", *self._settings.python_path))
            env = _with_scripts(python, env)
            return Worker(python, self._settings.python_path, env=env, memory_mib=memory_mib)
        refuse_to_root(plugin.run_paths)
        return Worker(plugin.python, env=_virtualenv_env(plugin, env), memory_mib=memory_mib)

    def drain(self) -> None:
        """Log what programs left behind have printed since."""
        for _, worker in self._workers.values():
            worker.drain()

    def close(self) -> None:
        """End the interpreters. Safe to call twice."""
        for _, worker in self._workers.values():
            worker.close()


def _stamp(plugin: Plugin) -> tuple[int, int] | None:
    """The marker's time and inode; other ones mean another upload."""
    try:
        status = os.stat(os.path.join(plugin.folder, MARKER))
    except OSError:
        return None  # it is being removed
    return status.st_mtime_ns, status.st_ino


def _virtualenv_env(plugin: Plugin, env: Mapping[str, str]) -> dict[str, str]:
    """The environment with the plugin's virtualenv active and none of our packages importable."""
    inherited = {name: value for name, value in env.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    own = {"VIRTUAL_ENV": plugin.folder, "PYTHONNOUSERSITE": "1"}
    return _with_scripts(plugin.python, {**inherited, **own})


def _with_scripts(python: str, env: Mapping[str, str]) -> dict[str, str]:
    """The environment where the programs beside an interpreter come first."""
    path = env.get("PATH", os.defpath)
    return {**env, "PATH": f"{os.path.dirname(python)}{os.pathsep}{path}"}


def _original_env(service: RestService | None) -> dict[str, str]:
    """What the original's runner has in its environment, with a manager and its file server if any.

    And the sign for `emit` that it is called by a hook.
    """
    own = {
        IN_HOOK: "1",
        "CLOUDIFY_DISPATCH": "true",
        "MANAGER_NAME": os.environ.get(
            "MANAGER_NAME", service.host if service else os.uname().nodename
        ),
    }
    if service is None:
        return own
    return own | {
        "REST_HOST": service.host,
        "REST_PORT": str(service.port),
        "REST_PROTOCOL": service.protocol,
        "MANAGER_FILE_SERVER_SCHEME": service.protocol,  # cloudify-common 6 reads nothing else
        "LOCAL_REST_CERT_FILE": service.cert,
    }
