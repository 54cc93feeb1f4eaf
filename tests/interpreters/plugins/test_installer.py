"""Virtualenvs and pip: what they inherit, and what is said when they fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from listener.errors import HooksError, ProgramFailed
from listener.interpreters.plugins.installer import Installer, environment, told
from tests.interpreters.plugins.uploads import Made


@pytest.fixture
def installer(tmp_path: Path) -> Installer:
    return Installer(sys.executable, str(tmp_path), 0, None)


def test_the_interpreter_is_asked_what_it_is(installer: Installer) -> None:
    version = ".".join(map(str, sys.version_info[:3]))
    assert installer.python == (sys.executable, version, sys.implementation.cache_tag)


def test_a_virtualenv_has_no_pip_and_sees_none_of_our_packages(
    installer: Installer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PYTHONHOME", str(tmp_path / "elsewhere"))
    made_here = str(tmp_path / "made")
    installer.make(made_here)
    installer.install(made_here, "tried", only_from=str(wheel.parent))
    site_packages = installer.python.site_packages(made_here)
    assert sorted(os.listdir(site_packages)) == ["tried", "tried-1.0rc1.dist-info"]
    assert sorted(os.listdir(tmp_path)) == ["constraints", "made"]  # nothing is left, nor elsewhere


def test_what_pip_does_not_find_is_told_in_its_words(installer: Installer, tmp_path: Path) -> None:
    installer.make(str(tmp_path / "made"))
    with pytest.raises(ProgramFailed, match=r"^Could not find a version that .* requirement none==1"):
        installer.install(str(tmp_path / "made"), "none==1", only_from=str(tmp_path))


def test_a_wheel_is_built_by_what_the_wheels_folder_holds(made: Made, tmp_path: Path) -> None:
    installer = Installer(sys.executable, str(tmp_path), 0, str(tmp_path))
    with pytest.raises(ProgramFailed, match="No matching distribution found for setuptools"):
        installer.build(str(made.source("tried")), str(tmp_path / "built"))
    assert not (tmp_path / "built").exists() or not os.listdir(tmp_path / "built")


def test_the_environment_keeps_pips_settings_only_for_the_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://pypi.example.com")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/etc/my-pip.conf")
    monkeypatch.setenv("PYTHONSTARTUP", "x")
    monkeypatch.setenv("https_proxy", "http://proxy.example.com")
    offline = environment(temporary=str(tmp_path))
    online = environment(is_offline=False)
    assert "PIP_INDEX_URL" not in offline
    assert offline["PIP_CONFIG_FILE"] == os.devnull
    assert offline["TMPDIR"] == str(tmp_path)
    assert online["PIP_INDEX_URL"] == "https://pypi.example.com"
    assert online["PIP_CONFIG_FILE"] == "/etc/my-pip.conf"
    for env in (online, offline):
        assert "PYTHONSTARTUP" not in env
        assert env["https_proxy"] == "http://proxy.example.com"
        assert env["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize("program", ["#!/none\n", "#!/bin/sh\nexit 3\n", "#!/bin/sh\necho nonsense\n"])
def test_an_interpreter_that_does_not_work_is_named(tmp_path: Path, program: str) -> None:
    python = tmp_path / "python"
    python.write_text(program)
    python.chmod(0o755)
    with pytest.raises(
        HooksError, match=rf"^{python}, the interpreter for plugins, does not work: .*;"
    ):
        Installer(str(python), str(tmp_path), 0, None)


def test_an_interpreter_without_venv_is_named(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\n[ "$2" = -c ] || { echo No module named venv; exit 1; }\n'
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    installer = Installer(str(python), str(tmp_path), 0, None)
    with pytest.raises(
        HooksError, match=r"cannot make a virtualenv: exited .* 1: No module named venv"
    ):
        installer.make(str(tmp_path / "made"))


@pytest.mark.parametrize(("found", "said"), [("22.2.9", "pip 22.2.9"), (None, "no pip")])
def test_a_pip_that_is_too_old_or_missing_is_named(
    found: str | None, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    does = f"echo pip {found} from /somewhere" if found else "echo No module named pip; exit 1"
    python.write_text(f"#!/bin/sh\n{does}\n")
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    with pytest.raises(
        HooksError, match=rf"^{python} has {said}, and plugins need 22\.3 .*install 'pip>=22\.3'$"
    ):
        Installer(str(python), str(tmp_path), 0, None)


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("WARNING: a\nERROR: b\n  c\nERROR: d\nnotice", "b; d"),
        (
            " error: x\n  Traceback\n   ValueError: a\n   [end of output]\n\nnote: c\nerror: x",
            "ValueError: a",
        ),
        ("  ERROR: a\n  [end of output]\nERROR: b\n", "a; b"),
        ("Traceback\n  b\nValueError: c\n\n", "ValueError: c"),
        ("", ""),
        ("ERROR: " + "x" * 1000, "x" * 600),
    ],
)
def test_of_what_failed_its_errors_are_told(output: str, line: str) -> None:
    assert told(output) == line
