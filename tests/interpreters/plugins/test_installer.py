"""Virtualenvs and pip: what they inherit, and how a failure is reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from listener.errors import HooksError, ProgramFailed
from listener.interpreters.plugins.installer import Installer, environment, reason_in
from tests.pythons import oldest
from tests.wagons import Made


@pytest.fixture
def installer(tmp_path: Path) -> Installer:
    return Installer(sys.executable, str(tmp_path), 0, None)


def script(folder: Path, text: str) -> str:
    """The path of an interpreter that is this shell script."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{text}\n")
    python.chmod(0o755)
    return str(python)


def test_a_virtualenv_has_no_pip_and_sees_none_of_our_packages(
    installer: Installer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert installer.python == (
        sys.executable, ".".join(map(str, sys.version_info[:3])), sys.implementation.cache_tag
    )  # fmt: skip
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    installer.make(str(tmp_path / "made"))
    program = (
        "import importlib.util as u, json, site, sys;"
        "found = [n for n in ('pip', 'listener', 'click', 'yaml') if u.find_spec(n)];"
        "print(json.dumps([found, site.getsitepackages()]))"
    )
    command = [str(tmp_path / "made/bin/python"), "-c", program]
    answer = json.loads(subprocess.check_output(command, env=environment(), cwd="/"))
    assert answer == [[], [installer.python.site_packages(str(tmp_path / "made"))]]


def test_a_package_is_installed_from_a_folder_alone_whatever_pip_was_told_elsewhere(
    installer: Installer, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = made.wheel("tried", "1.0rc1")
    (tmp_path / "constraints").write_text("tried==0.1\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "constraints"))
    for variable in ("PIP_TARGET", "PYTHONPATH", "PYTHONHOME"):
        monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    made_here = str(tmp_path / "made")
    installer.make(made_here)
    installer.install(made_here, "tried", only_from=str(wheel.parent))
    site_packages = installer.python.site_packages(made_here)
    assert sorted(os.listdir(site_packages)) == ["tried", "tried-1.0rc1.dist-info"]
    assert sorted(os.listdir(tmp_path)) == ["constraints", "made"]  # nothing is left, nor elsewhere
    with pytest.raises(ProgramFailed, match=r"^Could not find a version that .* requirement none==1"):
        installer.install(made_here, "none==1", only_from=str(wheel.parent))


def test_a_wheel_is_built_by_what_the_wheels_folder_holds(made: Made, tmp_path: Path) -> None:
    installer = Installer(sys.executable, str(tmp_path), 0, str(tmp_path))
    with pytest.raises(ProgramFailed, match="No matching distribution found for setuptools"):
        installer.build(str(made.source("tried")), str(tmp_path / "built"))


def test_the_oldest_python_of_this_machine_builds_a_wheel(made: Made, tmp_path: Path) -> None:
    installer = Installer(oldest(), str(tmp_path), 0, None)
    if installer.needs_pip:
        installer.get_pip(str(tmp_path / "own"))
        installer.use_pip(str(tmp_path / "own"))
    installer.build(str(made.source("tried")), str(tmp_path / "built"))
    assert os.listdir(tmp_path / "built") == ["tried-1.0-py3-none-any.whl"]


def test_the_environment_keeps_pips_settings_only_for_the_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = {"PIP_INDEX_URL": "https://pypi.example.com", "PIP_CONFIG_FILE": "/etc/my-pip.conf"}
    for name, value in {**settings, "PYTHONSTARTUP": "x", "https_proxy": "http://x"}.items():
        monkeypatch.setenv(name, value)
    offline = environment(temporary=str(tmp_path))
    online = environment(is_offline=False)
    assert settings.items() <= online.items()
    assert "PIP_INDEX_URL" not in offline
    assert (offline["PIP_CONFIG_FILE"], offline["TMPDIR"]) == (os.devnull, str(tmp_path))
    for env in (online, offline):
        assert "PYTHONSTARTUP" not in env
        assert (env["https_proxy"], env["PATH"]) == ("http://x", os.environ["PATH"])


@pytest.mark.parametrize("text", ["exec /none", "exit 3", "echo nonsense"])
def test_an_interpreter_that_does_not_work_is_named(tmp_path: Path, text: str) -> None:
    python = script(tmp_path, text)
    reason = rf"^{python}, the interpreter for plugins, does not work: .*;"
    with pytest.raises(HooksError, match=reason):
        Installer(python, str(tmp_path), 0, None)


def test_an_interpreter_without_venv_is_named(tmp_path: Path) -> None:
    python = script(
        tmp_path,
        f'[ "$2" = -c ] || {{ echo No module named venv; exit 1; }}\nexec {sys.executable} "$@"',
    )
    installer = Installer(python, str(tmp_path), 0, None)
    with pytest.raises(HooksError, match=r"make a virtualenv: exited .* 1: No module named venv"):
        installer.make(str(tmp_path / "made"))


@pytest.mark.parametrize(
    ("text", "found"),
    [("echo '22.2.9 >=3.7'", "pip 22.2.9"), ("echo No package metadata; exit 1", "no pip")],
)
def test_a_pip_that_is_too_old_or_missing_is_named(
    text: str, found: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    python = script(tmp_path, text)
    monkeypatch.setattr("sys.executable", python)
    reason = rf"^{python} has {found}, and plugins need 22\.3 .*install 'pip>=22\.3'$"
    with pytest.raises(HooksError, match=reason):
        Installer(python, str(tmp_path), 0, None)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("WARNING: a\nERROR: b\n  c\nERROR: d\nnotice", "b; d"),
        ("error: x\n  ValueError: a\n   [end of output]\n\nnote: c\nerror: x", "ValueError: a"),
        ("  ERROR: a\n  [end of output]\nERROR: b\n", "a; b"),
        ("Traceback\n  b\nValueError: c\n\n", "ValueError: c"),
        ("", ""),
        ("ERROR: " + "x" * 1000, "x" * 600),
    ],
)
def test_the_reason_of_a_failure_is_its_errors_or_its_last_line(output: str, reason: str) -> None:
    assert reason_in(output) == reason
