"""Managed plugins made by hand, and the original's runner beside them.

A plugin is a virtualenv as a manager has them: without pip, it sees cloudify-common, the real one from
PyPI, by a .pth file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from listener.interpreters.plugins import GLOBAL, MARKER
from tests.support import do_without, uncounted_env
from tests.wagons import Made


@pytest.fixture(scope="session")
def cloudify_packages(made: Made) -> Path:
    """A folder with cloudify-common and what it needs."""
    return made.cloudify


@pytest.fixture(scope="session")
def fabric_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with fabric and what it needs."""
    return installed(tmp_path_factory.mktemp("fabric"), "fabric>=3.2,<4")


def installed(folder: Path, requirement: str, *options: str) -> Path:
    """The folder, with a package and what it needs; the test is skipped where none can be had."""
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "install", "--no-compile"]
    result = subprocess.run(
        [*pip, "--target", str(folder), *options, requirement],
        env=uncounted_env(),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        do_without(f"{requirement} cannot be installed: {result.stderr[-300:]}")
    return folder


def make_plugin(
    root: Path,
    name: str,
    modules: Mapping[str, str],
    *packages: Path,
    version: str = "1.0",
    tenant: str = GLOBAL,
) -> Path:
    """The virtualenv of a new plugin whose modules have these texts and which sees these packages."""
    folder = root / tenant / name / version
    venv.create(folder, with_pip=False, symlinks=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "packages.pth").write_text("".join(f"{each}\n" for each in packages))
    for file, text in modules.items():
        (site_packages / file).parent.mkdir(parents=True, exist_ok=True)
        (site_packages / file).write_text(text)
    (
        site_packages / "__pycache__"
    ).mkdir()  # as pip leaves it; an import that makes it changes the folder
    a_minute_ago = time.time() - 60  # what is written in the clock tick of its import is imported twice
    for path in (site_packages, *site_packages.rglob("*")):
        os.utime(path, (a_minute_ago, a_minute_ago))
    (folder / MARKER).write_text(f"{name} {version}\n")
    return folder


def dispatched(
    plugin: Path, task: str, context: Mapping[str, Any], inputs: Mapping[str, Any]
) -> dict[str, Any]:
    """What the original's runner answers for a task of this plugin, in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "input.json").write_text(json.dumps(dispatch_input(plugin, task, context, inputs)))
        run_dispatch(plugin, folder)
        answer: dict[str, Any] = json.loads(Path(folder, "output.json").read_bytes())
    return answer


def dispatch_input(
    plugin: Path, task: str, context: Mapping[str, Any], inputs: Mapping[str, Any]
) -> dict[str, Any]:
    """What a manager writes for its runner."""
    cloudify_context = {
        "type": "hook",
        "tenant": {"name": context["tenant_name"]},
        "no_ctx_kwarg": True,
        "task_target": "cloudify-hooks",
        "tenant_name": context["tenant_name"],
        "rest_token": context["rest_token"],
        "plugin": {
            "name": plugin.parent.name,
            "package_name": plugin.parent.name,
            "package_version": plugin.name,
            "visibility": "global",
        },
        "execution_id": context["execution_id"],
        "task_name": task,
    }
    return {"cloudify_context": cloudify_context, "args": [context], "kwargs": inputs}


def run_dispatch(plugin: Path, folder: str | os.PathLike[str]) -> None:
    """Start the original's runner once, for the input in a folder."""
    command: Sequence[str] = (str(plugin / "bin/python"), "-u", "-m", "cloudify.dispatch", str(folder))
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, timeout=60)
