"""Virtualenvs of plugins, and what pip does in them.

Owns the command lines and the environment of pip and of the interpreter that makes virtualenvs. It
never decides what is installed where, and puts no pip into a virtualenv. upload.py has it make and
install, source.py has it build.
"""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from listener.errors import HooksError, ProgramFailed
from listener.interpreters.plugins.run import run

_PIP = ("-I", "-m", "pip")
_OLDEST_PIP = "22.3"  # the first that installs for another interpreter: `pip --python`
_ISOLATED = "--use-pep517"  # or an old pip builds by the virtualenv's setuptools, and there is none
_START_S = 60.0
_INSTALL_S = 1200.0
_SHOWN = 600  # characters of what pip printed

_ABOUT_PIP = (
    "from importlib.metadata import metadata as of;"
    "print(of('pip')['Version'], of('pip')['Requires-Python'])"
)
_VERSION = "import sys; print('%d.%d.%d' % sys.version_info[:3], sys.implementation.cache_tag)"


class Interpreter(NamedTuple):
    """A Python: `version` is as in 3.11.7, `tag` as in cpython-311."""

    path: str
    version: str
    tag: str

    def site_packages(self, virtualenv: str) -> str:
        """Where a virtualenv that this interpreter has made keeps its packages."""
        major, minor, _ = self.version.split(".")
        return os.path.join(virtualenv, "lib", f"python{major}.{minor}", "site-packages")


class Installer:
    """Makes virtualenvs by one interpreter and installs in them.

    `scratch` is a folder for temporary files; `held_fd` stays open as long as any program runs. What a
    package needs comes from the folder `wheels` alone or, without one, from where pip's own
    configuration says. When `needs_pip`, our pip is too new for this interpreter: `get_pip` gets one
    into a folder, and `use_pip` comes before all else.
    """

    def __init__(self, python: str, scratch: str, held_fd: int, wheels: str | None) -> None:
        from packaging.specifiers import SpecifierSet  # slow to import

        pythons = SpecifierSet(_pythons_of_pip())
        self._scratch = scratch
        self._held_fds = (held_fd,)
        self._wheels = wheels
        try:
            answer = run([python, "-I", "-c", _VERSION], env=environment(), limit_s=_START_S)
            version, tag = answer.split()[-2:]
        except (ProgramFailed, ValueError) as error:
            raise HooksError(
                f"{python}, the interpreter for plugins, does not work: {error}; correct 'listener:"
                " python' in hooks.conf, and let the owner of the state directory run it"
            ) from error
        self.python = Interpreter(python, version, tag)
        self._pip_folder = ""
        self.needs_pip = not pythons.contains(version, prereleases=True)

    def get_pip(self, folder: str) -> None:
        """Unpack the newest pip for this interpreter into a folder. Raises ProgramFailed."""
        wheels = os.path.join(self._scratch, "pip")
        which = ("--no-deps", "--only-binary=:all:", "--python-version", self.python.version)
        self._pip((sys.executable, *_PIP), "download", *which, "--dest", wheels, "pip")
        [wheel] = os.listdir(wheels)
        with zipfile.ZipFile(os.path.join(wheels, wheel)) as archive:
            archive.extractall(folder)

    def use_pip(self, folder: str) -> None:
        """Install and build by the pip in this folder."""
        self._pip_folder = folder

    def make(self, folder: str) -> None:
        """Make an empty virtualenv without pip. It sees none of the interpreter's own packages."""
        command = [self.python.path, "-I", "-m", "venv", "--without-pip", folder]
        try:
            run(command, env=environment(), limit_s=_START_S, held_fds=self._held_fds)
        except ProgramFailed as error:
            raise HooksError(
                f"{self.python.path} cannot make a virtualenv: {error}: {reason_in(error.output)}"
            ) from error

    def install(self, virtualenv: str, *requirements: str, only_from: str | None = None) -> None:
        """Install packages and what they need, if `only_from` is given from the wheels in that folder.

        Raises ProgramFailed; its text is pip's reason.
        """
        pip = self._pip_in(virtualenv)
        self._pip(pip, "install", _ISOLATED, *requirements, only_from=only_from)

    def build(self, source: str, folder: str) -> None:
        """Build a wheel of a source folder into another folder. Raises ProgramFailed, like install."""
        virtualenv = os.path.join(self._scratch, "build")
        self.make(virtualenv)
        pip = self._pip_in(virtualenv)
        self._pip(pip, "wheel", _ISOLATED, "--no-deps", "--wheel-dir", folder, source)

    def _pip_in(self, virtualenv: str) -> Sequence[str]:
        """The pip that works in a virtualenv, as the beginning of a command line."""
        python = os.path.join(virtualenv, "bin", "python")
        if self._pip_folder:
            return python, "-I", os.path.join(self._pip_folder, "pip")
        return sys.executable, *_PIP, "--python", python

    def _pip(
        self, pip: Sequence[str], verb: str, *arguments: str, only_from: str | None = None
    ) -> None:
        links = only_from or self._wheels
        where = ["--no-index", "--find-links", links] if links else []
        where += ["--pre"] if only_from else []  # a wagon may carry a pre-release
        command = [*pip, "-q", "--no-input", verb, *where, *arguments]
        env = environment(is_offline=links is not None, temporary=self._scratch)
        try:
            run(command, env=env, limit_s=_INSTALL_S, held_fds=self._held_fds)
        except ProgramFailed as error:
            raise ProgramFailed(reason_in(error.output) or str(error), error.output) from error


def environment(*, is_offline: bool = True, temporary: str | None = None) -> Mapping[str, str]:
    """What these programs inherit: all but the settings of Python and of pip.

    pip's settings, variables and files, are kept when it reaches the network by them.
    """
    dropped = ("PYTHON", "VIRTUAL_ENV", "PIP_") if is_offline else ("PYTHON", "VIRTUAL_ENV")
    env = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    if is_offline:
        env["PIP_CONFIG_FILE"] = os.devnull
    if temporary:
        env["TMPDIR"] = temporary
    return {**env, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def reason_in(output: str) -> str:
    """Why a program failed, from its output, as one short line: pip's errors, else the last line.

    Of a program that pip ran, a setup.py for one, it is the last line above pip's "[end of output]".
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    above = [line for line, mark in pairwise(lines) if mark == "[end of output]"]
    reasons = dict.fromkeys(line.removeprefix("ERROR: ") for line in (*errors, *above))
    return " ".join("; ".join(reasons or lines[-1:]).split())[:_SHOWN]


def _pythons_of_pip() -> str:
    """The versions of Python that our pip works with, as in >=3.10."""
    from packaging.version import Version  # slow to import

    try:  # with -I, as it will be run: a pip among the user's own packages does not count
        answer = run([sys.executable, "-I", "-c", _ABOUT_PIP], env=environment(), limit_s=_START_S)
        version, pythons = answer.split(maxsplit=1)
    except (ProgramFailed, ValueError):
        version, pythons = "0", ""
    if Version(version) < Version(_OLDEST_PIP):
        found = f"pip {version}" if version != "0" else "no pip"
        raise HooksError(
            f"{sys.executable} has {found}, and plugins need {_OLDEST_PIP} or newer:"
            f" {sys.executable} -m pip install 'pip>={_OLDEST_PIP}'"
        )
    return pythons
