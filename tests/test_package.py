"""The package as it is installed: the command, the shipped files, the library's interface."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest

import listener
from listener.cli.shipped import shipped
from listener.errors import HooksError

TOP = Path(__file__).parents[1]
SHIPPED = ["hooks.conf", "supervisor.d/conductor-hooks.conf"]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_files_are_found_from_a_checkout(name: str) -> None:
    assert shipped(name) == TOP / name
    assert shipped(name).read_bytes().isascii()  # an old Python without a locale must read them


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A checkout that may be built in."""
    sources = tmp_path / "sources"
    sources.mkdir()
    for name in (
        "setup.py",
        "pyproject.toml",
        "README.rst",
        "LICENSE",
        "hooks.conf",
        "listener",
        "supervisor.d",
        "tests",
    ):
        (sources / name).symlink_to(TOP / name)
    return sources


def test_the_sdist_has_all_that_the_tests_need(sources: Path) -> None:
    subprocess.run([sys.executable, "setup.py", "-q", "sdist"], cwd=sources, check=True)
    [sdist] = (sources / "dist").iterdir()
    with tarfile.open(sdist) as archive:
        there = {name.partition("/")[2] for name in archive.getnames()}
    files = (path for path in (TOP / "tests").rglob("*") if path.suffix in (".py", ".c", ".json"))
    needed = {str(path.relative_to(TOP)) for path in files}
    assert there >= {*needed, "pyproject.toml", *SHIPPED}


def test_shipped_files_the_mib_and_the_command_are_in_an_installed_copy(
    sources: Path, tmp_path: Path
) -> None:
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv/bin/python"
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    build = ["wheel", "--no-build-isolation", "-w", str(tmp_path), str(sources)]
    subprocess.run([*pip, *build, "--no-deps"], check=True)  # this Python has what that takes
    [wheel] = tmp_path.glob("*.whl")
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", str(wheel)], check=True)
    program = (
        "from importlib.resources import files; from listener.cli.shipped import shipped;"
        f"print(*(shipped(name) for name in {SHIPPED}), files('listener.snmp') / 'CLOUDIFY-MIB.txt',"
        " *(files('listener.overview.report') / name for name in ('page.css', 'page.html')))"
    )
    [installed] = (tmp_path / "venv").glob("lib/*/site-packages")  # what it needs, this Python has
    env = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    found = list(map(Path, result.stdout.split()))
    assert [path.is_file() for path in found] == [True] * 5
    assert all(path.is_relative_to(tmp_path / "venv") for path in found)
    assert (tmp_path / "venv/bin/conductor-hooks").is_file()


def test_an_installation_without_its_files_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("listener.cli.shipped._CHECKOUT", tmp_path)
    monkeypatch.setattr("importlib.metadata.files", lambda _name: [])
    with pytest.raises(HooksError, match=r"lacks share/conductor-hooks/hooks\.conf"):
        shipped("hooks.conf")


def test_emit_is_the_packages_interface() -> None:
    from listener import emit

    assert callable(emit)
    with pytest.raises(AttributeError, match="no attribute 'receive'"):
        _ = listener.receive
