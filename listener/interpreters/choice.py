"""Which interpreter runs an implementation: a managed plugin's own, or the one for functions.

Owns that choice, made anew at every call, the environment of each child and the warm ones. It asks them
nothing; function.py does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from listener.errors import ActionFailed
from listener.hooks.settings import ListenerSettings, RestService
from listener.hooks.values import nearest
from listener.interpreters.plugins import MARKER, Plugin, Plugins

if TYPE_CHECKING:
    from listener.interpreters.pool import Worker

_UPLOAD = "upload it with 'conductor-hooks plugins upload'"


class Interpreters:
    """One warm child for functions, and one for each plugin. `state_dir` has the uploaded plugins."""

    def __init__(self, settings: ListenerSettings, state_dir: str | None = None) -> None:
        self._settings = settings
        self._for_manager = _for_manager(settings.manager) if settings.manager else {}
        self._plugins = Plugins.below(state_dir, settings.plugins)
        self._warm: dict[str, tuple[object, Worker]] = {}

    def plugin(self, implementation: str, tenant: object) -> Plugin | None:
        """The plugin that has this implementation for a tenant; None when it is an importable function.

        Raises ActionFailed when it can be neither.
        """
        name = implementation.partition(".")[0]
        plugin = self._plugins.newest(name, tenant)
        if plugin is None and not name.isidentifier():
            raise ActionFailed(f"there is {self.no_plugin(name, tenant)}; {_UPLOAD}")
        return plugin

    def plugins(self, implementation: str) -> Sequence[Plugin]:
        """Every plugin that has this implementation for some tenant: its own, or that of all others."""
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

    def warm(self, plugin: Plugin | None) -> Worker:
        """The child that is kept: for functions, or for this plugin as it is on disk now."""
        key = os.path.dirname(plugin.folder) if plugin else ""
        identity = (plugin.folder, _stamp(plugin)) if plugin else None
        known = self._warm.get(key)
        if known is not None and known[0] == identity:
            return known[1]
        if known is not None:  # another version, or the same one uploaded anew
            known[1].close()
        worker = self.new(plugin)
        self._warm[key] = (identity, worker)
        return worker

    def new(self, plugin: Plugin | None) -> Worker:
        """A child that the caller closes. Raises ActionFailed for a plugin that we must not run."""
        from listener.interpreters.pool import Worker  # a listener that only sends traps never needs it

        memory_mib = self._settings.child_memory
        env = {**os.environ, **self._for_manager}
        if plugin is None:
            python = self._settings.python or sys.executable
            return Worker(python, self._settings.python_path, env=env, memory_mib=memory_mib)
        plugin.refuse_to_root()
        return Worker(plugin.python, env=_inside(plugin, env), memory_mib=memory_mib)

    def drain(self) -> None:
        """Log what programs left behind have printed since."""
        for _, worker in self._warm.values():
            worker.drain()

    def close(self) -> None:
        """End the warm children. Safe to call twice."""
        for _, worker in self._warm.values():
            worker.close()


def _stamp(plugin: Plugin) -> tuple[int, int] | None:
    """What tells this plugin from one that was uploaded in its place."""
    try:
        status = os.stat(os.path.join(plugin.folder, MARKER))
    except OSError:
        return None  # it is being removed
    return status.st_mtime_ns, status.st_ino


def _inside(plugin: Plugin, env: Mapping[str, str]) -> dict[str, str]:
    """The environment in which its virtualenv is active and nothing of ours can be imported."""
    inside = {name: value for name, value in env.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    scripts = os.path.dirname(plugin.python)
    path = env.get("PATH", os.defpath)
    return {
        **inside,
        "VIRTUAL_ENV": plugin.folder,
        "PATH": f"{scripts}{os.pathsep}{path}",
        "PYTHONNOUSERSITE": "1",
    }


def _for_manager(service: RestService) -> dict[str, str]:
    """What cloudify reads to find a manager, also the manager's file server."""
    return {
        "REST_HOST": service.host,
        "REST_PORT": str(service.port),
        "REST_PROTOCOL": service.protocol,
        "LOCAL_REST_CERT_FILE": service.cert,
    }
