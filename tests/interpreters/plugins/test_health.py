"""The health of plugins: real virtualenvs, which are then broken."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from listener.interpreters.plugins import Plugin
from listener.interpreters.plugins.health import Health, health_of, size_bytes
from listener.interpreters.plugins.installer import Installer
from tests.users import NOBODY, NOBODYS_NAME, needs_root


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    """A virtualenv with the metadata of cloudify-common and the plugin, and an empty `cloudify`."""
    folder = tmp_path / "venv"
    Installer(sys.executable, str(tmp_path), 0, None).make(str(folder))
    plugin = Plugin("tried", "1.0", None, str(folder))
    add(plugin, "cloudify-common", "7.0.5")
    (site_packages(plugin) / "cloudify/context").mkdir(parents=True)
    add(plugin, "Tried", "1.0")
    return plugin


def site_packages(plugin: Plugin) -> Path:
    [found] = Path(plugin.folder).glob("lib/python*/site-packages")
    return found


def add(plugin: Plugin, name: str, version: str, *requires: str) -> None:
    """Install the metadata of a package."""
    folder = site_packages(plugin) / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {each}" for each in requires)]
    (folder / "METADATA").write_text("\n".join(lines) + "\n")


def test_a_plugin_that_has_all_that_it_requires_is_well(plugin: Plugin) -> None:
    here = f"python_version=='{sys.version_info[0]}.{sys.version_info[1]}' and sys_platform=='linux'"
    add(plugin, "trier", "1.0", "Cloudify_Common>=7", 'other; python_version<"3"', 'x; extra=="y"',
        f"dep<2; {here}", "no requirement at all")  # fmt: skip
    add(plugin, "dep", "1.5rc1")
    (site_packages(plugin) / "half-1.0.dist-info").mkdir()
    (site_packages(plugin) / "cloudify/__init__.py").write_text("print('{', end='')")
    assert health_of(plugin) == Health((), "7.0.5")


def test_what_is_missing_or_of_another_version_is_named(plugin: Plugin) -> None:
    add(plugin, "trier", "1.0", "dep>=2,<3", "none", 'old; python_full_version>"3"', "ancient>=2004")
    add(plugin, "dep", "1.5")
    add(plugin, "ancient", "2004d")
    assert health_of(plugin._replace(name="other")).problems == (
        "other is not installed in it",
        "trier 1.0 needs dep<3,>=2, and has 1.5",
        "trier 1.0 needs none, and has none",
        "trier 1.0 needs old, and has none",
        "trier 1.0 needs ancient>=2004, and has 2004d",
    )


def test_of_two_packages_with_one_name_the_plugins_own_counts(plugin: Plugin, tmp_path: Path) -> None:
    add(plugin, "trier", "1.0", "dep<2")
    add(plugin, "dep", "1.5")
    shared = Plugin("shared", "1", None, str(tmp_path / "shared"))
    folder = tmp_path / "shared/lib/python3/site-packages"
    folder.mkdir(parents=True)
    add(shared, "dep", "2.0", "never-asked")
    (site_packages(plugin) / "cloudify-common.pth").write_text(f"{folder}\n")
    assert health_of(plugin) == Health((), "7.0.5")


def test_a_cloudify_that_cannot_be_imported_is_named(plugin: Plugin) -> None:
    (site_packages(plugin) / "cloudify/context/__init__.py").write_text("raise OSError('half of it')")
    assert health_of(plugin).problems == ("cloudify cannot be imported: OSError: half of it",)


def test_an_interpreter_that_does_not_work_is_named(plugin: Plugin) -> None:
    python = Path(plugin.python)
    link = site_packages(plugin) / "broken.pth"
    link.write_text("import os; os.write(2, b'bad link'); os._exit(3)\n")
    problems = [health_of(plugin).problems]
    python.unlink()
    problems.append(health_of(plugin).problems)
    python.write_text("#!/bin/sh\necho nonsense\n")
    python.chmod(0o755)
    problems.append(health_of(plugin).problems)
    assert problems == [
        ("its interpreter does not work: exited with status 3: bad link",),
        (f"its interpreter does not work: {python} cannot be started: No such file or directory",),
        ("its interpreter answers with nonsense: look at the .pth files in it",),
    ]


def test_an_old_interpreter_that_cannot_say_what_is_installed_lacks_nothing(plugin: Plugin) -> None:
    hidden = "import sys; sys.modules['importlib.metadata'] = None\n"
    (site_packages(plugin) / "old.pth").write_text(hidden)
    add(plugin, "trier", "1.0", "none")
    assert health_of(plugin) == Health((), None)


def test_root_runs_no_plugin_of_another_user(plugin: Plugin) -> None:
    needs_root()
    os.chown(plugin.folder, NOBODY, NOBODY)
    assert health_of(plugin).problems == (
        f"{plugin.folder} belongs to user {NOBODYS_NAME}, and root runs nothing that others can change:"
        " do this as that user, and give the listener's section user=",
    )


def test_the_size_is_that_on_disk_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(os.urandom(100_000))
    (tmp_path / "folder/file").write_bytes(os.urandom(5_000))
    (tmp_path / "folder/link").symlink_to(tmp_path / "file")
    assert 5_000 <= size_bytes(str(tmp_path / "folder")) < 50_000
    assert 105_000 <= size_bytes(str(tmp_path)) < 150_000
