"""The layout of plugins on disk, and which version serves a tenant."""

from __future__ import annotations

from pathlib import Path

import pytest

from listener.errors import ActionFailed
from listener.interpreters.plugins import GLOBAL, MARKER, Plugins


def put(root: Path, tenant: str, name: str, *versions: str) -> None:
    for version in versions:
        folder = root / tenant / name / version
        folder.mkdir(parents=True)
        (folder / MARKER).touch()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "plugins"


@pytest.fixture
def plugins(tmp_path: Path) -> Plugins:
    """The plugins of a state directory, and of a manager beside it."""
    return Plugins.below(str(tmp_path), str(tmp_path / "manager"))


def newest(plugins: Plugins, name: str, tenant: object) -> str | None:
    """`version of tenant`, of the plugin that serves."""
    plugin = plugins.newest(name, tenant)
    return plugin and f"{plugin.version} of {plugin.tenant or 'all'}"


@pytest.mark.parametrize(
    ("versions", "highest"),
    [(("1.9", "1.33", "1.0"), "1.33"), (("0.1.dev1", "latest"), "0.1.dev1"), (("a", "b"), "b")],
)
def test_the_newest_is_the_highest_version_and_a_text_that_is_none_comes_before_all(
    own: Path, plugins: Plugins, versions: tuple[str, ...], highest: str
) -> None:
    put(own, "_global", "fabric", *versions)
    assert newest(plugins, "fabric", "acme") == f"{highest} of all"


def test_a_tenants_own_serves_it_although_a_newer_one_serves_all(own: Path, plugins: Plugins) -> None:
    put(own, "_global", "fabric", "2.0")
    put(own, "acme", "fabric", "1.0", "1.1")
    assert newest(plugins, "fabric", "acme") == "1.1 of acme"
    assert newest(plugins, "fabric", "other") == "2.0 of all"
    assert newest(plugins, "fabric", None) == "2.0 of all"


def test_an_upload_for_all_and_a_managers_are_compared_by_version(
    tmp_path: Path, own: Path, plugins: Plugins
) -> None:
    put(tmp_path / "manager", "default_tenant", "fabric", "1.33")
    put(own, "_global", "fabric", "1.9")
    assert newest(plugins, "fabric", "acme") == "1.33 of all"
    put(tmp_path / "manager", "acme", "fabric", "0.1")
    assert newest(plugins, "fabric", "acme") == "0.1 of acme"


def test_a_folder_without_the_marker_is_no_plugin(own: Path, plugins: Plugins) -> None:
    put(own, "_global", "fabric", "1.0", "2.0")
    (own / "_global/fabric/2.0" / MARKER).unlink()
    assert newest(plugins, "fabric", "acme") == "1.0 of all"
    assert [plugin.version for plugin in plugins.all()] == ["1.0"]


@pytest.mark.parametrize("name", ["..", ".", "", "../plugins/_global/fabric", "a/b", "\0", ".hidden"])
def test_a_name_that_leads_elsewhere_names_nothing(own: Path, plugins: Plugins, name: str) -> None:
    put(own, "_global", "fabric", "1.0")
    put(own, ".hidden", ".hidden", "1.0")
    (own / "_global" / MARKER).touch()
    (own / MARKER).touch()
    assert newest(plugins, name, "acme") is None
    assert newest(plugins, "fabric", name) == "1.0 of all"  # its own cannot be looked for
    assert [plugin.name for plugin in plugins.all()] == ["fabric"]


@pytest.mark.parametrize("tenant", [None, 7, "\ud800", ["acme"], {"name": "acme"}])
def test_a_tenant_that_is_no_text_gets_what_serves_all(
    own: Path, plugins: Plugins, tenant: object
) -> None:
    put(own, "_global", "fabric", "1.0")
    assert newest(plugins, "fabric", tenant) == "1.0 of all"


def test_all_are_listed_by_root_tenant_and_name_the_newest_first(
    tmp_path: Path, own: Path, plugins: Plugins
) -> None:
    put(tmp_path / "manager", "default_tenant", "ansible", "3.0")
    put(own, "_global", "fabric", "1.9", "1.33", "1.0")
    put(own, "acme", "terraform", "0.1")
    (own / ".lock").touch()
    found = [(plugin.name, plugin.version, plugin.tenant) for plugin in plugins.all()]
    assert found == [
        ("fabric", "1.33", None),
        ("fabric", "1.9", None),
        ("fabric", "1.0", None),
        ("terraform", "0.1", "acme"),
        ("ansible", "3.0", None),
    ]
    assert plugins.all()[0].python == str(own / "_global/fabric/1.33/bin/python")


def test_no_root_is_no_plugin(plugins: Plugins) -> None:
    assert plugins.all() == []
    assert plugins.newest("fabric", "acme") is None


def test_a_folder_that_cannot_be_read_is_not_taken_for_one_without_plugins(
    own: Path, plugins: Plugins
) -> None:
    (own / GLOBAL).mkdir(parents=True)
    (own / GLOBAL / "tried").symlink_to("tried")  # a circle: even root cannot read it
    for look in (lambda: plugins.newest("tried", None), plugins.all):
        with pytest.raises(ActionFailed, match=rf"^looking for plugins, {own}/_global/tried cannot be"):
            look()
