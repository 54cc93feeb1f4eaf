"""Makes and removes plugins, and what they share: cloudify-common, and a pip for an old Python.

Owns the order in which that is safe: one process at a time, a plugin becomes visible last and is hidden
first, and what an interrupted one has left is removed by the next. It reads no archive and judges no
plugin's health. The verbs in cli/plugins.py call it.
"""

from __future__ import annotations

import fcntl
import glob
import importlib.metadata
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from listener.errors import HooksError, ProgramFailed
from listener.interpreters.plugins import GLOBAL, MARKER, Plugin, Plugins, Root
from listener.interpreters.plugins.installer import Installer
from listener.interpreters.plugins.source import COMMON, Given, Package, read

_COMMON_REQUIREMENT = f"{COMMON}[dispatcher]"  # as a manager's worker has it
_CGI_REQUIREMENT = "legacy-cgi; python_version >= '3.13'"  # cloudify-common imports cgi
_WITHOUT_NETWORK = (
    "without a network, give a folder with its wheels: --wheels FOLDER, filled elsewhere with the same"
    f" Python by pip wheel -w FOLDER pip '{_COMMON_REQUIREMENT}' \"{_CGI_REQUIREMENT}\""
)
_PIP = "pip"
_LINK = f"{COMMON}.pth"

Report = Callable[[str], None]
"""Shows a person one line about what is being done."""


class Workshop(NamedTuple):
    """A state directory whose plugins only this process changes, and a folder for temporary files."""

    state_dir: str
    scratch: str
    lock_fd: int


@contextmanager
def locked(state_dir: str, report: Report) -> Iterator[Workshop]:
    """Wait until no other process changes plugins here, and remove what was left half done.

    Programs that are run with `lock_fd` keep others waiting even when this process is killed.
    """
    root = Root.own(state_dir).path
    try:
        os.makedirs(root, 0o700, exist_ok=True)
        with _lock(os.path.join(root, ".lock"), report) as lock_fd:
            _remove_remains(state_dir)
            with tempfile.TemporaryDirectory(
                prefix=".scratch-", dir=root, ignore_cleanup_errors=True
            ) as scratch:
                yield Workshop(state_dir, scratch, lock_fd)
    except OSError as error:
        raise HooksError(
            f"the plugins in {root} could not be changed: {error}; correct that, and do it again"
        ) from error


@contextmanager
def _lock(path: str, report: Report) -> Iterator[int]:
    with open(path, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"waiting for another process that changes plugins here; fuser {path} names it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def upload(
    workshop: Workshop,
    given: Given,
    tenant: str | None,
    python: str,
    wheels: str | None,
    report: Report,
) -> Plugin:
    """Make a plugin of what was given, for one tenant or for all.

    `wheels` is a folder that takes the place of the network. Raises HooksError, and leaves nothing.
    """
    installer = _installer(workshop, python, wheels, report)
    package = read(given, workshop.scratch, installer.build)
    above = os.path.join(Root.own(workshop.state_dir).path, tenant or GLOBAL, package.name)
    plugin = Plugin(package.name, package.version, tenant, os.path.join(above, package.version))
    _refuse(given, package, plugin)
    if package.plugin_yaml is None:
        report("there is no plugin.yaml (--plugin-yaml names one): installing it all the same")
    common = None if package.carries_common else _common(workshop, installer, report)
    report(f"installing {package.name} {package.version} for Python {installer.python.version}")
    with _visible_at_last(plugin.folder, str(uuid.uuid4())):
        installer.make(plugin.folder)
        if common:
            Path(installer.python.site_packages(plugin.folder), _LINK).write_text(f"{common}\n")
        try:
            installer.install(plugin.folder, package.requirement, only_from=package.wheels)
        except ProgramFailed as error:
            raise HooksError(_not_installed(given, package, installer, error)) from error
    return plugin


def renew_common(workshop: Workshop, python: str, wheels: str | None, report: Report) -> None:
    """Get cloudify-common anew for the plugins of one Python, which use the old one until then."""
    installer = _installer(workshop, python, wheels, report)
    report(f"getting {COMMON} for {installer.python.tag}")
    fresh = _make_common(workshop.scratch, installer)
    folder = os.path.join(workshop.state_dir, COMMON, installer.python.tag)
    os.makedirs(folder, exist_ok=True)
    os.rename(folder, os.path.join(workshop.scratch, "former"))
    os.rename(fresh, folder)
    for plugin in Plugins([Root.own(workshop.state_dir)]).all():
        os.utime(os.path.join(plugin.folder, MARKER))  # so the next call starts a new interpreter


def remove(plugin: Plugin) -> None:
    """Remove a plugin, from inside `locked`. No hook finds it from the first moment on."""
    os.unlink(os.path.join(plugin.folder, MARKER))
    _remove_tree(plugin.folder)


def _installer(workshop: Workshop, python: str, wheels: str | None, report: Report) -> Installer:
    """It has a pip for that Python, which is got once when ours is too new for it."""
    installer = Installer(python, workshop.scratch, workshop.lock_fd, wheels)
    if installer.needs_pip:
        folder = os.path.join(workshop.state_dir, _PIP, installer.python.tag)
        if not os.path.exists(os.path.join(folder, MARKER)):
            report(f"getting a pip for {installer.python.tag}, for which ours is too new; only once")
            with _visible_at_last(folder, installer.python.tag):
                _get_pip(folder, installer)
        installer.use_pip(folder)
    return installer


def _get_pip(folder: str, installer: Installer) -> None:
    try:
        installer.get_pip(folder)
    except ProgramFailed as error:
        raise HooksError(
            f"a pip for Python {installer.python.version} cannot be had: {error}; {_WITHOUT_NETWORK}"
        ) from error


def _refuse(given: Given, package: Package, plugin: Plugin) -> None:
    """Raise HooksError for what cannot become a plugin here; nothing has been made yet."""
    if package.plugin_yaml is not None:
        package.plugin_yaml.check(package.name, package.version)
    platform, machine = package.platform, os.uname().machine
    if platform != "any" and not ("linux" in platform and platform.endswith(f"_{machine}")):
        raise HooksError(
            f"{given.path} was made for {platform}, and this is linux_{machine}; make it for this"
            " machine"
        )
    if os.path.exists(os.path.join(plugin.folder, MARKER)):
        of_tenant = f" --tenant {plugin.tenant}" if plugin.tenant else ""
        raise HooksError(
            f"{plugin.name} {plugin.version} is already there, in {plugin.folder}; give a changed one"
            " another version, which takes over without a gap; or remove this one first, its hooks fail"
            f" meanwhile: conductor-hooks plugins remove {plugin.name} {plugin.version}{of_tenant}"
        )


def _not_installed(given: Given, package: Package, installer: Installer, error: ProgramFailed) -> str:
    if package.wheels is None:
        hint = "what it requires comes from where pip's configuration says, or from --wheels alone"
    else:
        hint = (
            f"it has to carry all that it requires but {COMMON}, for Python {installer.python.version}:"
            " make it again, with this Python"
        )
    return f"{given.path} cannot be installed: {error}; {hint}"


def _common(workshop: Workshop, installer: Installer, report: Report) -> str:
    """The folder of packages that holds cloudify-common; made when it is first needed."""
    folder = os.path.join(workshop.state_dir, COMMON, installer.python.tag)
    site_packages = installer.python.site_packages(folder)
    if not os.path.exists(os.path.join(folder, MARKER)):
        report(f"getting {COMMON}, which all plugins of {installer.python.tag} share; only once")
        _make_common(workshop.state_dir, installer)
    [common] = importlib.metadata.distributions(name=COMMON, path=[site_packages])
    report(f"{COMMON} {common.version} is provided by {folder}")
    return site_packages


def _make_common(above: str, installer: Installer) -> str:
    """A virtualenv with cloudify-common, made where `above` is the state directory or like one."""
    folder = os.path.join(above, COMMON, installer.python.tag)
    with _visible_at_last(folder, installer.python.tag):
        installer.make(folder)
        try:
            installer.install(folder, _COMMON_REQUIREMENT, _CGI_REQUIREMENT)
        except ProgramFailed as error:
            raise HooksError(
                f"{COMMON}, which plugins need, cannot be had: {error}; {_WITHOUT_NETWORK}"
            ) from error
    return folder


@contextmanager
def _visible_at_last(folder: str, mark: str) -> Iterator[None]:
    """A new folder that counts once all of it is on disk, and is removed if anything fails."""
    os.makedirs(folder)
    try:
        yield
        os.sync()  # or a loss of power could leave the marker without the files that it stands for
        Path(folder, MARKER).write_text(mark)
    except BaseException:
        _remove_tree(folder)
        raise


def _remove_remains(state_dir: str) -> None:
    """Remove what an interrupted upload or removal has left."""
    root = glob.escape(Root.own(state_dir).path)
    for scratch in glob.glob(os.path.join(root, ".scratch-*")):
        shutil.rmtree(scratch, ignore_errors=True)
    shared = (os.path.join(glob.escape(state_dir), name, "*") for name in (COMMON, _PIP))
    for folder in chain.from_iterable(map(glob.glob, (os.path.join(root, "*", "*", "*"), *shared))):
        if os.path.isdir(folder) and not os.path.exists(os.path.join(folder, MARKER)):
            _remove_tree(folder)


def _remove_tree(folder: str) -> None:
    """Remove a folder, and those above it that become empty.

    What still runs in it may write byte code there, but finds no folder of that name any more.
    """
    away = f"{folder}.removed"
    os.rename(folder, away)
    shutil.rmtree(away)
    with suppress(OSError):  # one is not empty
        os.removedirs(os.path.dirname(folder))
