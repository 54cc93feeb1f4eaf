"""Managed plugins on disk: which there are, and which one serves a tenant.

Owns the layout `<root>/<tenant>/<name>/<version>/`, which is a manager's: each is a virtualenv, and is
a plugin once its plugin.id is written. It makes and removes none, and runs none.
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
"""The folder of what serves every tenant; no tenant's name begins so."""

_DEFAULT_TENANT = "default_tenant"


class Root(NamedTuple):
    """A folder of plugins. What lies in `shared` serves every tenant that has no plugin of its own."""

    path: str
    shared: str
    above: str

    @classmethod
    def own(cls, state_dir: str) -> Root:
        """Where `plugins upload` puts them."""
        return cls(os.path.join(state_dir, "plugins"), GLOBAL, state_dir)

    @classmethod
    def of_manager(cls, path: str) -> Root:
        """An existing manager's. No file tells what is global: the default tenant's plugins are."""
        return cls(path, _DEFAULT_TENANT, os.path.dirname(os.path.abspath(path)))


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

    def refuse_to_root(self) -> None:
        """Raise ActionFailed when we are root and it is another user's, who can change it."""
        try:
            owner = os.stat(self.folder).st_uid
        except OSError:
            return  # its interpreter cannot be started either, which is told then
        if os.geteuid() == 0 != owner:
            raise ActionFailed(
                f"{self.folder} belongs to user {owner}, and root runs nothing that others can change:"
                " do this as that user, and let the listener's section have user="
            )


class Plugins:
    """The plugins below some roots, as they are on disk at each call."""

    def __init__(self, roots: Iterable[Root]) -> None:
        self.roots = tuple(roots)

    @classmethod
    def below(cls, state_dir: str | None, manager_root: str | None) -> Plugins:
        """All that hooks may name: the uploaded ones, and a manager's own; either may be missing."""
        own = [Root.own(state_dir)] if state_dir else []
        return cls([*own, *([Root.of_manager(manager_root)] if manager_root else [])])

    def newest(self, name: str, tenant: object) -> Plugin | None:
        """The plugin that serves a tenant: its own newest version, else the newest of every tenant's.

        `name` and `tenant` may be whatever a hook or a notification says. Raises ActionFailed when
        that cannot be told, as `all` does.
        """
        roots = [root for root in self.roots if _is_there(root.path, root.above)]
        if not roots:
            return None  # as in most listeners, at each call of a function
        for groups in (
            [(root, tenant) for root in roots if tenant != root.shared],
            [(root, root.shared) for root in roots],
        ):
            found = [each for root, folder in groups for each in _versions(root, folder, name)]
            if found:
                return found[0] if len(found) == 1 else max(found, key=_order)
        return None

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
    of_tenant = None if tenant == root.shared else tenant
    return [
        Plugin(name, version, of_tenant, os.path.join(above, version))
        for version in _names(above)
        if _looked_at(os.stat, os.path.join(above, version, MARKER))
    ]


def _names(folder: str) -> list[str]:
    return sorted(_looked_at(os.listdir, folder) or ())


def _is_there(path: str, above: str) -> bool:
    """Whether anything is at a path in a folder `above`. Raises ActionFailed when that cannot be told.

    Each call of a function asks this for a folder that most listeners do not have, and an error that
    says so takes twice as long.
    """
    if not os.access(path, os.F_OK) and os.access(above, os.X_OK):
        return False
    return _looked_at(os.stat, path) is not None


def _looked_at(look: Callable[[str], _T], path: str) -> _T | None:
    """What is at a path, None where nothing is. Raises ActionFailed when that cannot be told."""
    try:
        return look(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ActionFailed(
            f"looking for plugins, {path} cannot be read: {error.strerror};"
            " let the listener's user read it"
        ) from error


def _is_one_folder(name: str) -> bool:
    """Whether a text of a hook or a notification names a folder in another, and no other place."""
    return bool(name) and name[0] != "." and "/" not in name and "\0" not in name


def _order(plugin: Plugin) -> tuple[bool, object]:
    """By version as pip orders them; what is no version comes before all that are."""
    from packaging.version import InvalidVersion, Version  # only needed where there is a choice

    try:
        return True, Version(plugin.version)
    except InvalidVersion:
        return False, plugin.version
