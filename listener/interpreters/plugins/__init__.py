"""Managed plugins on disk: which there are, and which one serves a tenant.

Owns the layout `<root>/<tenant>/<name>/<version>/`, which is a manager's: each folder is a virtualenv,
and a plugin once its plugin.id is written. It makes, removes and runs none. choice.py and the verbs
in cli/plugins.py ask it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from listener.errors import ActionFailed

_T = TypeVar("_T")

MARKER = "plugin.id"
"""The file that makes a virtualenv a plugin; written last, removed first."""

GLOBAL = "_global"
"""The folder of the plugins that serve every tenant; no tenant's name begins so."""

_DEFAULT_TENANT = "default_tenant"


class Root(NamedTuple):
    """A folder of plugins. Those in its folder `shared` serve every tenant that has none of its own."""

    path: str
    shared: str

    @classmethod
    def own(cls, state_dir: str) -> Root:
        """Where `plugins upload` puts them."""
        return cls(os.path.join(state_dir, "plugins"), GLOBAL)

    @classmethod
    def of_manager(cls, path: str) -> Root:
        """A manager's. No file there says which plugins are global: the default tenant's are."""
        return cls(path, _DEFAULT_TENANT)


class Plugin(NamedTuple):
    """One version of a plugin. `tenant` is None for one that serves every tenant."""

    name: str
    version: str
    tenant: str | None
    folder: str

    @property
    def python(self) -> str:
        """The interpreter of its virtualenv."""
        return os.path.join(self.folder, "bin", "python")

    @property
    def run_paths(self) -> tuple[str, ...]:
        """What runs with a task: the interpreter and the folder of its packages."""
        return self.python, os.path.join(self.folder, "lib")


class Plugins:
    """The plugins below some roots, as they are on disk at each call."""

    def __init__(self, roots: Iterable[Root]) -> None:
        self.roots = tuple(roots)

    @classmethod
    def below(cls, state_dir: str | None, manager_root: str | None) -> Plugins:
        """All that hooks may name: the uploaded ones and a manager's; None: there are no such ones."""
        own = [Root.own(state_dir)] if state_dir else []
        return cls([*own, *([Root.of_manager(manager_root)] if manager_root else [])])

    def newest(self, name: str, tenant: object) -> Plugin | None:
        """The plugin that serves a tenant: its own newest version, else the newest for all tenants.

        `name` and `tenant` may be whatever a hook or a notification says. Raises ActionFailed when a
        folder cannot be read, as `all` does.
        """
        own = [
            plugin
            for root in self.roots
            if tenant != root.shared
            for plugin in _versions(root, tenant, name)
        ]
        shared = [plugin for root in self.roots for plugin in _versions(root, root.shared, name)]
        return max(own or shared, key=_order, default=None)

    def all(self) -> list[Plugin]:
        """Every version of every plugin: by root, tenant and name, the newest first."""
        return [
            plugin
            for root in self.roots
            for tenant in _names(root.path)
            for name in _names(os.path.join(root.path, tenant))
            for plugin in sorted(_versions(root, tenant, name), key=_order, reverse=True)
        ]


def _versions(root: Root, tenant: object, name: str) -> list[Plugin]:
    """Every version of one plugin in one tenant's folder."""
    if not isinstance(tenant, str) or not _is_one_folder(tenant) or not _is_one_folder(name):
        return []
    above = os.path.join(root.path, tenant, name)
    owner = None if tenant == root.shared else tenant
    return [
        Plugin(name, version, owner, os.path.join(above, version))
        for version in _names(above)
        if _unless_missing(os.stat, os.path.join(above, version, MARKER))
    ]


def _names(folder: str) -> list[str]:
    return sorted(_unless_missing(os.listdir, folder) or ())


def _unless_missing(read: Callable[[str], _T], path: str) -> _T | None:
    """What `read` returns; None when nothing is at the path. Raises ActionFailed for other errors."""
    try:
        return read(path)
    except (FileNotFoundError, NotADirectoryError, UnicodeEncodeError):
        return None  # half of a character, which a notification can have, names no file
    except OSError as error:
        raise ActionFailed(
            f"looking for plugins, {path} cannot be read: {error.strerror}; let the listener's user"
            " read it"
        ) from error


def _is_one_folder(name: str) -> bool:
    """Whether a text of a hook or a notification names a folder in another, and no other place."""
    return bool(name) and name[0] != "." and "/" not in name and "\0" not in name


def _order(plugin: Plugin) -> tuple[bool, object]:
    """By version as pip orders them; a text that is no version comes before all that are."""
    from packaging.version import InvalidVersion, Version  # slow to import

    try:
        return True, Version(plugin.version)
    except InvalidVersion:
        return False, plugin.version
