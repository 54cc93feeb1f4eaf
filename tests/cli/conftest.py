"""What the tests of several verbs share: a journal, and a place where nobody can run the command."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import listener
from listener.state.journal import Journal
from tests.cli.commands import FUNCTIONS_OF_FOLDER, HOOKS
from tests.support import do_without
from tests.users import NOBODY, needs_root
from tests.wagons import Made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command is run, with hooks.conf and the functions that it names."""
    (tmp_path / "test_functions.py").write_text(FUNCTIONS_OF_FOLDER)
    (tmp_path / "hooks.conf").write_text(HOOKS)
    monkeypatch.setenv("CONDUCTOR_HOOKS_CONFIG", str(tmp_path / "hooks.conf"))
    monkeypatch.setenv(
        "PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', os.getcwd())}"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """The journal of the test's state directory, which the verbs find."""
    (tmp_path / "state").mkdir(0o700)
    journal = Journal(str(tmp_path / "state"))
    journal.unsettled()  # it is there
    yield journal
    journal.close()


@pytest.fixture(scope="session")
def reachable(made: Made) -> Iterator[Path]:
    """A folder with all that nobody needs to run the command; he may not read this Python."""
    needs_root()
    if not os.path.exists("/usr/bin/python3"):
        do_without("there is no /usr/bin/python3, which every user can run")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        subprocess.run(["/usr/bin/python3", "-m", "venv", str(folder / "venv")], check=True)
        pip = [str(folder / "venv/bin/pip"), "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "click", "PyYAML", "packaging", "msgspec", "wagon"], check=True)
        [site_packages] = (folder / "venv").glob("lib/*/site-packages")
        shutil.copytree(Path(listener.__file__).parent, site_packages / "listener")
        shutil.copytree(made.wheels, folder / "wheels")
        yield folder


@pytest.fixture
def nobodys(reachable: Path) -> Iterator[Path]:
    """That folder, with a state directory of nobody's."""
    (reachable / "state").mkdir(0o700)
    os.chown(reachable / "state", NOBODY, NOBODY)
    yield reachable
    shutil.rmtree(reachable / "state")
