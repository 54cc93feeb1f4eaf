"""The making and the removal of plugins, and of the environment with cloudify-common that they share.

Owns the order in which that is safe: one at a time, a plugin becomes visible last and disappears first,
and what an interrupted one has left is cleared away by the next. It looks into no archive and judges no
plugin's health. The verbs in cli/plugins.py call it.
"""

from __future__ import annotations

import fcntl
import glob
import importlib.metadata
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from listener.errors import HooksError, ProgramFailed
from listener.interpreters.plugins import GLOBAL, MARKER, Plugin, Plugins, Root
from listener.interpreters.plugins.installer import Installer
from listener.interpreters.plugins.source import COMMON, Given, Package, misfit, read
from listener.state.directory import open_file

_COMMON_REQUIREMENT = f"{COMMON}[dispatcher]"  # as a manager's worker has it
_LINK = f"{COMMON}.pth"

Tell = Callable[[str], None]


class Workshop(NamedTuple):
    """A state directory in which we alone change plugins, and a folder for what is temporary."""

    state_dir: str
    scratch: str
    lock_fd: int


@contextmanager
def working(state_dir: str, tell: Tell) -> Iterator[Workshop]:
    """Wait until nobody else changes plugins here, and clear away what was left half done.

    Programs that are run with `lock_fd` keep others waiting even when we are killed.
    """
    root = Root.own(state_dir).path
    try:
        os.makedirs(root, 0o700, exist_ok=True)
        with _locked(os.path.join(root, ".lock"), tell) as lock_fd:
            workshop = Workshop(state_dir, os.path.join(root, ".scratch"), lock_fd)
            _clear(workshop)
            os.mkdir(workshop.scratch)
            try:
                yield workshop
            finally:
                _remove_scratch(workshop.scratch)
    except OSError as error:
        raise HooksError(
            f"the plugins in {root} could not be changed: {error}; mend that, and do it again"
        ) from error


@contextmanager
def _locked(path: str, tell: Tell) -> Iterator[int]:
    """The descriptor of a lock that we hold; it says whose it is."""
    with os.fdopen(open_file(path, os.O_RDWR | os.O_CREAT), "r+b", buffering=0) as file:
        fd = file.fileno()
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(fd, 32).decode("ascii", "replace").strip()
            tell(
                f"waiting for process {holder} or the programs it left, which change plugins here; who"
                f" has {path} open (fuser) can be ended"
            )
            fcntl.flock(fd, fcntl.LOCK_EX)
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        yield fd


def upload(
    workshop: Workshop, given: Given, tenant: str | None, python: str, wheels: str | None, tell: Tell
) -> Plugin:
    """Make a plugin of what was given, for a tenant or for all. Raises HooksError, and leaves nothing.

    `wheels` is the folder that takes the place of the network.
    """
    installer = Installer(python, workshop.scratch, workshop.lock_fd, wheels)
    package = read(given, workshop.scratch, installer.build)
    above = os.path.join(Root.own(workshop.state_dir).path, tenant or GLOBAL, package.name)
    plugin = Plugin(package.name, package.version, tenant, os.path.join(above, package.version))
    _refuse(given, package, plugin, installer)
    if package.plugin_yaml is None:
        tell("there is no plugin.yaml (--plugin-yaml names one): installing it all the same")
    common = None if package.carries_common else _common(workshop, installer, tell)
    tell(f"installing {package.name} {package.version} for Python {installer.python.version}")
    with _visible_at_last(plugin.folder, str(uuid.uuid4())):
        installer.make(plugin.folder)
        if common:
            site_packages = installer.python.site_packages(plugin.folder)
            with open(os.path.join(site_packages, _LINK), "w", encoding="utf-8") as link:
                link.write(f"{common}\n")
        try:
            installer.install(plugin.folder, package.requirement, only_from=package.wheels)
        except ProgramFailed as error:
            raise HooksError(_not_installed(given, package, installer, error)) from error
    return plugin


def renew_common(workshop: Workshop, python: str, wheels: str | None, tell: Tell) -> None:
    """Get cloudify-common anew for the plugins of one Python, which use the old one until then."""
    installer = Installer(python, workshop.scratch, workshop.lock_fd, wheels)
    tell(f"getting {COMMON} for {installer.python.tag}")
    fresh = _make_common(workshop.scratch, installer)
    folder = os.path.join(workshop.state_dir, COMMON, installer.python.tag)
    os.makedirs(folder, exist_ok=True)
    os.rename(folder, os.path.join(workshop.scratch, "former"))
    os.rename(fresh, folder)
    for plugin in Plugins([Root.own(workshop.state_dir)]).all():
        os.utime(os.path.join(plugin.folder, MARKER))  # its warm child is replaced at the next call


def remove(plugin: Plugin) -> None:
    """Take a plugin away; who holds the workshop may do it. Nobody finds it from the first moment."""
    os.unlink(os.path.join(plugin.folder, MARKER))
    _remove_tree(plugin.folder)


def common_version(site_packages: str) -> str | None:
    """The version of cloudify-common that lies in a folder of packages."""
    found = importlib.metadata.distributions(name=COMMON, path=[site_packages])
    return next((each.version for each in found), None)


def _refuse(given: Given, package: Package, plugin: Plugin, installer: Installer) -> None:
    """Raise HooksError for what cannot become a plugin here; nothing has been made yet."""
    if package.plugin_yaml is not None:
        package.plugin_yaml.check(package.name, package.version)
    if problem := misfit(package, installer.python.version, os.uname().machine):
        raise HooksError(f"{given.path} does not fit: {problem}")
    if os.path.exists(os.path.join(plugin.folder, MARKER)):
        of_tenant = f" --tenant {plugin.tenant}" if plugin.tenant else ""
        raise HooksError(
            f"{plugin.name} {plugin.version} is there already, in {plugin.folder}; give a changed one"
            " another version, which takes over without a gap; or, hooks failing until it is uploaded"
            f" again: conductor-hooks plugins remove {plugin.name} {plugin.version}{of_tenant}"
        )


def _not_installed(given: Given, package: Package, installer: Installer, error: ProgramFailed) -> str:
    if package.wheels is None:
        hint = "what it requires comes from where pip's configuration says, or from --wheels alone"
    else:
        made_for = f", and is for {package.python_versions}" if package.python_versions else ""
        hint = (
            f"it has to carry all that it requires but {COMMON}{made_for}; this is Python"
            f" {installer.python.version}: make it again, with this Python"
        )
    return f"{given.path} cannot be installed: {error}; {hint}"


def _common(workshop: Workshop, installer: Installer, tell: Tell) -> str:
    """The folder of packages that holds cloudify-common; made when it is first needed."""
    folder = os.path.join(workshop.state_dir, COMMON, installer.python.tag)
    site_packages = installer.python.site_packages(folder)
    if not os.path.exists(os.path.join(folder, MARKER)):
        tell(f"getting {COMMON}, which all plugins of {installer.python.tag} share; this is done once")
        _make_common(workshop.state_dir, installer)
    tell(f"{COMMON} {common_version(site_packages)} is provided by {folder}")
    return site_packages


def _make_common(above: str, installer: Installer) -> str:
    """A virtualenv with cloudify-common, made where `above` is the state directory or like one."""
    folder = os.path.join(above, COMMON, installer.python.tag)
    with _visible_at_last(folder, installer.python.tag):
        installer.make(folder)
        try:
            installer.install(folder, _COMMON_REQUIREMENT)
        except ProgramFailed as error:
            raise HooksError(
                f"{COMMON}, which plugins need, cannot be had: {error}; without a network, give a"
                " folder with its wheels: --wheels FOLDER, filled elsewhere by"
                f" pip wheel -w FOLDER '{_COMMON_REQUIREMENT}'"
            ) from error
    return folder


@contextmanager
def _visible_at_last(folder: str, mark: str) -> Iterator[None]:
    """A new folder that counts once all in it is on disk, and is gone again if anything fails."""
    os.makedirs(folder)
    try:
        yield
        os.sync()  # or a loss of power could leave the marker, and not what it stands for
        unnamed = os.path.join(folder, ".marker")
        with os.fdopen(open_file(unnamed, os.O_WRONLY | os.O_CREAT), "w", encoding="utf-8") as file:
            file.write(mark)
            file.flush()
            os.fsync(file.fileno())
        os.rename(unnamed, os.path.join(folder, MARKER))
    except BaseException:
        _remove_tree(folder)
        raise


def _clear(workshop: Workshop) -> None:
    """Remove what an interrupted upload or removal has left."""
    _remove_scratch(workshop.scratch)
    plugins = os.path.join(glob.escape(Root.own(workshop.state_dir).path), "*", "*", "*")
    common = os.path.join(glob.escape(workshop.state_dir), COMMON, "*")
    for folder in (*glob.glob(plugins), *glob.glob(common)):
        if os.path.isdir(folder) and not os.path.exists(os.path.join(folder, MARKER)):
            _remove_tree(folder)


def _remove_scratch(folder: str) -> None:
    """Remove all in it, also copies of folders that nobody may write to."""
    for above, names, _ in os.walk(folder):
        for inner in (os.path.join(above, name) for name in names):
            if not os.path.islink(inner):
                os.chmod(inner, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


def _remove_tree(folder: str) -> None:
    """Remove a folder, and those above that become empty by it."""
    shutil.rmtree(folder)
    with suppress(OSError):  # one is not empty
        os.removedirs(os.path.dirname(folder))
