"""Plugins for the tests, as wagons and wheels, each made once a session.

Owns their sources and how they are made: by hand, which takes no process, or by the real wagon tool;
without a network, but for the real cloudify-common. Tests take the fixtures `made` and `state`, the
faults make a Made of their own.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from listener.errors import HooksError
from listener.interpreters.plugins import MARKER, Plugin
from listener.interpreters.plugins.definition import EXECUTOR, PluginYaml
from listener.interpreters.plugins.source import COMMON, Given
from listener.interpreters.plugins.upload import locked, upload
from tests import SHARED
from tests.support import do_without, uncounted_env

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

_METADATA = (
    "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: {python_requires}\n"
)
_WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"

_ALONE = ("--no-deps", "--no-index", "--no-build-isolation", "--ignore-requires-python")


class Made:
    """Makes packages below a folder; the same one is made once.

    cloudify-common is made once for all that have the folder `shared`, in whatever process.
    """

    def __init__(self, folder: Path, shared: Path | None = None) -> None:
        self._folder = folder
        self._shared = shared or folder
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

    def _wheel(
        self,
        name: str,
        version: str = "1.0",
        *,
        requires: Sequence[str] = (),
        python_requires: str = ">=3.6",
        **more: Any,
    ) -> Path:
        source = self.source(name, version, requires=requires, python_requires=python_requires, **more)
        files = {str(path.relative_to(source)): path.read_text() for path in source.glob("*/*.py")}
        return _wheel_of(
            self._new_folder(), name, version, files, requires=requires, python_requires=python_requires
        )

    def _wagon(
        self, name: str, version: str = "1.0", *, carried: Sequence[Path] = (), **more: Any
    ) -> Path:
        """A wagon with the package's wheel and those that are `carried`, as the wagon tool packs it."""
        plugin_yaml = self.source(name, version, **more) / "plugin.yaml"
        wheels = [self.wheel(name, version, **more), *carried]
        about = {
            "package_name": name,
            "package_version": version,
            "supported_platform": "any",
            "wheels": [wheel.name for wheel in wheels],
        }
        wagon = self._new_folder() / f"{name.replace('-', '_')}-{version}-py3-none-any.wgn"
        with zipfile.ZipFile(wagon, "w") as archive:
            archive.writestr(f"{name}/package.json", json.dumps(about))
            for wheel in wheels:
                archive.write(wheel, f"{name}/wheels/{wheel.name}")
            if plugin_yaml.exists():
                archive.write(plugin_yaml, f"{name}/files/plugin.yaml")
        return wagon

    def wagon_of_the_tool(self, name: str, version: str = "1.0", **more: Any) -> Path:
        """The same, made by the real wagon tool from the source."""
        folder, source = self._new_folder(), self.source(name, version, **more)
        _do(
            *(sys.executable, "-m", "wagon", "create", f"--wheel-args={' '.join(_ALONE)}"),
            *("--add-file", str(source / "plugin.yaml"), "-o", str(folder), "--", str(source)),
        )
        [wagon] = folder.glob("*.wgn")
        return wagon

    @functools.cached_property
    def common(self) -> Path:
        """A state directory with the real cloudify-common, from where pip's configuration says."""
        state = self._shared / "state"
        with open(self._shared / "state.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (state / COMMON).exists():
                state.mkdir(0o700, exist_ok=True)
                try:
                    installed(state, self.wagon("needs-common", requires=(COMMON,)))
                except HooksError as error:
                    do_without(f"{COMMON} cannot be installed: {error}")
        return state

    @property
    def cloudify(self) -> Path:
        """Its folder of packages: cloudify and what it needs."""
        [package] = (self.common / COMMON).rglob("cloudify/__init__.py")
        return package.parents[1]

    @functools.cached_property
    def wheels(self) -> Path:
        """A folder of wheels with a small cloudify-common, which takes the network's place."""
        return self.wheels_with_common("9.9")

    def wheels_with_common(self, version: str) -> Path:
        """Such a folder; each version is asked for once."""
        files = {"cloudify/__init__.py": "", "cloudify/context.py": ""}
        folder = _wheel_of(self._new_folder(), COMMON, version, files).parent
        shutil.copy(self.wheel("legacy-cgi"), folder)  # which Pythons from 3.13 on need
        return folder

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


def _wheel_of(
    folder: Path,
    name: str,
    version: str,
    files: Mapping[str, str],
    *,
    requires: Sequence[str] = (),
    python_requires: str = ">=3.6",
) -> Path:
    """A wheel with these files, in that folder."""
    stem = f"{name.replace('-', '_')}-{version}"
    metadata = _METADATA.format(name=name, version=version, python_requires=python_requires)
    about = f"{stem}.dist-info"
    contents = {
        **files,
        f"{about}/METADATA": metadata + "".join(f"Requires-Dist: {each}\n" for each in requires),
        f"{about}/WHEEL": _WHEEL,
    }
    record = "".join(f"{path},,\n" for path in [*contents, f"{about}/RECORD"])
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**contents, f"{about}/RECORD": record}.items():
            archive.writestr(path, text)
    return wheel


def _do(*command: str) -> None:
    env = uncounted_env()
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    shared = os.environ.get(SHARED)
    return Made(tmp_path_factory.mktemp("made"), Path(shared) if shared else None)


@pytest.fixture
def state(tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's state directory; cloudify-common is in it."""
    for name in os.environ.keys() - uncounted_env().keys():
        monkeypatch.delenv(name)  # counted, pip would take twice the time
    folder = tmp_path / "state"
    folder.mkdir(0o700)
    (folder / COMMON).symlink_to(made.common / COMMON)
    return folder
