"""The package as it is installed: the command, the shipped files, the library's interface."""

from __future__ import annotations

import os
import subprocess
import sys
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


def test_shipped_files_the_mib_and_the_command_are_in_an_installed_copy(tmp_path: Path) -> None:
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
    ):
        (sources / name).symlink_to(TOP / name)
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv/bin/python"
    pip = [sys.executable, "-m", "pip", "-q", "--python", str(python), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--no-deps", str(sources)], check=True)
    program = (
        "from importlib.resources import files; from listener.cli.shipped import shipped;"
        f"print(*(shipped(name) for name in {SHIPPED}), files('listener.snmp') / 'CLOUDIFY-MIB.txt')"
    )
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [str(python), "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    found = list(map(Path, result.stdout.split()))
    assert [path.is_file() for path in found] == [True, True, True]
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
