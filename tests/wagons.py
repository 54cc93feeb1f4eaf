"""Plugins for the tests, as wagons that the real wagon tool has made, each made once a session.

Owns their sources and how they are made: without a network, but for the real cloudify-common. Tests
take the fixtures `made` and `state`, the faults make a Made of their own.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from listener.interpreters.plugins import MARKER, Plugin
from listener.interpreters.plugins.definition import EXECUTOR, PluginYaml
from listener.interpreters.plugins.source import COMMON, Given
from listener.interpreters.plugins.upload import locked, upload
from tests.support import uncounted_env

TASKS = """
from importlib.metadata import distribution
def version(context, **inputs):
    return distribution({name!r}).version
"""

_SETUP = """
from setuptools import setup
setup(
    name={name!r}, version={version!r}, packages=[{package!r}],
    install_requires={requires!r}, python_requires={python_requires!r},
)
"""

_PLUGIN_YAML = """
tosca_definitions_version: cloudify_dsl_1_4
plugins:
  {package}:
    executor: {executor}
    package_name: {name}
    package_version: '{version}'
node_types:
  cloudify.nodes.tried:
    properties: {{address: {{default: {{get_input: address}}}}}}
"""

_PIP = (sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "wheel")
_ALONE = ("--no-deps", "--no-index", "--no-build-isolation", "--ignore-requires-python")


class Made:
    """Makes packages below a folder; the same one is made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self.source = functools.cache(self._source)
        self.wheel = functools.cache(self._wheel)
        self.wagon = functools.cache(self._wagon)

    def _source(
        self,
        name: str,
        version: str = "1.0",
        *,
        tasks: str = TASKS,
        requires: Sequence[str] = (),
        python_requires: str = ">=3.6",
        executor: str | None = EXECUTOR,
    ) -> Path:
        """A folder with `<name with _>/tasks.py`, and plugin.yaml if there is an executor."""
        folder = self._new_folder() / name
        package = name.replace("-", "_")
        words = {
            "name": name,
            "version": version,
            "package": package,
            "requires": list(requires),
            "python_requires": python_requires,
            "executor": executor,
        }
        (folder / package).mkdir(parents=True)
        (folder / "setup.py").write_text(_SETUP.format(**words))
        (folder / package / "__init__.py").touch()
        (folder / package / "tasks.py").write_text(tasks.replace("{name!r}", repr(name)))
        if executor is not None:
            (folder / "plugin.yaml").write_text(_PLUGIN_YAML.format(**words))
        return folder

    def _wheel(self, name: str, version: str = "1.0", **more: Any) -> Path:
        folder = self._new_folder()
        _do(*_PIP, *_ALONE, "-w", str(folder), str(self.source(name, version, **more)))
        [wheel] = folder.iterdir()
        return wheel

    def _wagon(
        self, name: str, version: str = "1.0", *, carried: Sequence[Path] = (), **more: Any
    ) -> Path:
        """A wagon with the package's wheel and those that are `carried`."""
        folder = self._new_folder()
        source = self.source(name, version, **more)
        command = [sys.executable, "-m", "wagon", "create", f"--wheel-args={' '.join(_ALONE)}"]
        if (source / "plugin.yaml").exists():
            command += ["--add-file", str(source / "plugin.yaml")]
        if carried:
            (folder / "requirements").write_text("\n".join(map(str, carried)))
            command += ["-r", str(folder / "requirements")]
        _do(*command, "-o", str(folder), "--", str(source))
        [wagon] = folder.glob("*.wgn")
        return wagon

    @functools.cached_property
    def common(self) -> Path:
        """A state directory with the real cloudify-common, from where pip's configuration says."""
        state = self._folder / "state"
        state.mkdir(0o700)
        installed(state, self.wagon("needs-common", requires=(COMMON,)))
        return state

    @functools.cached_property
    def wheels(self) -> Path:
        """A folder of wheels with a small cloudify-common, which takes the network's place."""
        return self.wheels_with_common("9.9")

    def wheels_with_common(self, version: str) -> Path:
        """Such a folder; each version is asked for once."""
        wheel = self.wheel(COMMON, version, tasks="", executor=None)
        renamed = wheel.with_name("renamed")
        with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(renamed, "w") as new:
            for name in old.namelist():
                new.writestr(_as_cloudify(name), _as_cloudify(old.read(name).decode()))
        renamed.replace(wheel)
        shutil.copy(self.wheel("legacy-cgi"), wheel.parent)  # which Pythons from 3.13 on need
        return wheel.parent

    def changed(self, wagon: Path, *, files: dict[str, bytes] | None = None, **metadata: Any) -> Path:
        """A copy of a wagon with more or other files, and other values in its package.json."""
        copy = self._new_folder() / wagon.name
        with zipfile.ZipFile(wagon) as old, zipfile.ZipFile(copy, "w") as new:
            [about] = (name for name in old.namelist() if name.endswith("package.json"))
            top = about.partition("/")[0]
            text = json.dumps({**json.loads(old.read(about)), **metadata}).encode()
            contents = {name: old.read(name) for name in old.namelist()}
            changes = {f"{top}/{name}": data for name, data in (files or {}).items()}
            for name, data in {**contents, **changes, about: text}.items():
                new.writestr(name, data)
        return copy

    def _new_folder(self) -> Path:
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir()
        return folder


def installed(
    state: Path,
    path: Path,
    *,
    tenant: str | None = None,
    python: str = sys.executable,
    wheels: Path | None = None,
    plugin_yaml: str | None = None,
    report: Callable[[str], None] = lambda _line: None,
) -> Plugin:
    """What `plugins upload` makes, in this process."""
    named = None if plugin_yaml is None else PluginYaml("named.yaml", plugin_yaml.encode())
    file = None if path.is_dir() else path.open("rb")
    try:
        with locked(str(state), report) as workshop:
            given = Given(str(path), file, named)
            return upload(workshop, given, tenant, python, str(wheels) if wheels else None, report)
    finally:
        if file is not None:
            file.close()


def left_in(state: Path) -> list[str]:
    """All files and empty folders among the plugins that belong to none."""
    found = []
    for above, folders, files in os.walk(state / "plugins"):
        if MARKER in files:
            folders.clear()
            continue
        names = files if files or folders else [""]
        found += [os.path.relpath(os.path.join(above, name), state / "plugins") for name in names]
    return sorted(name for name in found if name not in (".", ".lock"))


def run_in(plugin: Plugin, program: str) -> str:
    """What a program prints that a plugin's interpreter runs, or why it failed."""
    command = [plugin.python, "-c", program]
    result = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    return (result.stdout or result.stderr).strip()


def _as_cloudify(text: str) -> str:
    """A path of the package cloudify_common, or a text with such paths, as cloudify-common has it."""
    return text.replace("cloudify_common/", "cloudify/").replace("cloudify/tasks", "cloudify/context")


def _do(*command: str) -> None:
    env = uncounted_env()
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


@pytest.fixture
def state(tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's state directory; cloudify-common is in it."""
    for name in os.environ.keys() - uncounted_env().keys():
        monkeypatch.delenv(name)  # counted, pip would take twice the time
    folder = tmp_path / "state"
    folder.mkdir(0o700)
    (folder / COMMON).symlink_to(made.common / COMMON)
    return folder
