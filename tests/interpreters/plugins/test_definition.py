"""plugin.yaml: whose it is, and whether its plugin's tasks can be hooks."""

from __future__ import annotations

from pathlib import Path

import pytest

from listener.errors import HooksError
from listener.interpreters.plugins.definition import EXECUTOR, PluginYaml

RIGHT = "executor: central_deployment_agent"

FULL = """
tosca_definitions_version: cloudify_dsl_1_5
x: &defaults {executor: central_deployment_agent, package_name: my-plugin}
plugins:
  my:
    <<: *defaults
    package_version: 2.10
data_types: {a: {properties: {b: {default: {get_secret: x}, c: 2024-13-45}}}}
y: !include other.yaml
z: !!python/object/apply:os.system ["false"]
? [a, b]
: key
"""


def check(text: str, name: str = "my-plugin", version: str = "2.10") -> None:
    PluginYaml("plugin.yaml in x.wgn", text.encode()).check(name, version)


def test_only_the_block_plugins_is_read_and_versions_are_texts() -> None:
    with pytest.raises(HooksError, match=r"unhashable key"):
        check(FULL)
    check(FULL.replace("? [a, b]\n: key\n", ""))
    with pytest.raises(
        HooksError, match=r"^plugin\.yaml in x\.wgn is of version 2\.10, and the package"
    ):
        check(FULL.replace("? [a, b]\n: key\n", ""), version="2.1")


@pytest.mark.parametrize(
    ("block", "name", "version"),
    [
        (f"my: {{{RIGHT}}}", "my-plugin", "1.0"),
        (f"my: {{{RIGHT}, package_name: My_Plugin, package_version: 1.0.0}}", "my-plugin", "1.0"),
        (f"my: {{{RIGHT}, package_version: zuletzt}}", "my-plugin", "zuletzt"),
        (f"a: {{executor: host_agent}}\n  b: {{{RIGHT}}}", "my-plugin", "1.0"),
        (f"a: {{executor: host_agent, package_name: other}}\n  b: {{{RIGHT}}}", "my-plugin", "1.0"),
        (f"a: text\n  b: {{{RIGHT}}}", "my-plugin", "1.0"),
    ],
)
def test_a_plugin_with_the_right_executor_is_taken(block: str, name: str, version: str) -> None:
    text = f"plugins:\n  {block}\n"
    check(text, name, version)
    with pytest.raises(HooksError, match="and hooks run only tasks of"):
        check(text.replace(EXECUTOR, "host_agent"), name, version)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "plugins:\n  my: {executor: host_agent}",
            "plugin 'my' has the executor host_agent, and hooks",
        ),
        (
            "plugins:\n  my: {source: x}",
            "plugin 'my' has no executor, and hooks run only tasks of cent",
        ),
        (
            f"plugins:\n  my: {{{RIGHT}, package_name: other}}",
            "is of other, not of my-plugin; name the",
        ),
        (
            f"plugins:\n  my: {{{RIGHT}, package_name: [my-plugin]}}",
            "is of \\['my-plugin'\\], not of my-",
        ),
        (
            f"plugins:\n  my: {{{RIGHT}, package_version: x}}",
            "is of version x, and the package is 2.10",
        ),
        ("plugins: {}", "has no block 'plugins' with a plugin; name the right file with --plugin-yaml"),
        ("plugins: [my]", "has no block 'plugins'"),
        ("plugins: {my: text}", "has no block 'plugins'"),
        ("- plugins", "has no block 'plugins'"),
        ("", "has no block 'plugins'"),
        ("a: b\nplugins: {my", "line 2: this is no YAML: expected ',' or '}', but got '<stream end>'"),
        ("a: !!int b", "this is no YAML: invalid literal"),
        ("[" * 1500, "this is no YAML: maximum recursion"),
        ("\0", "this is no YAML: unacceptable character #x0000"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(HooksError, match=r"^plugin\.yaml in x\.wgn.*" + reason):
        check(text)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["plugin_1_5.yaml", "plugin_1_4.yaml", "plugin.yaml", "README"], "plugin.yaml"),
        (["plugin_1_5.yaml", "plugin_1_4.yaml"], "plugin_1_4.yaml"),
        (["v2_plugin.yaml", "plugin.yml", "a"], "plugin.yml"),
        (["my_plugin.yaml", "plugin.yaml.orig"], None),
    ],
)
def test_the_file_is_found_by_its_name(tmp_path: Path, names: list[str], found: str | None) -> None:
    for name in names:
        (tmp_path / name).write_text(f"text of {name}")
    plugin_yaml = PluginYaml.in_folder(str(tmp_path), "x.wgn")
    if found is None:
        assert plugin_yaml is None
    else:
        assert plugin_yaml == (f"{found} in x.wgn", f"text of {found}".encode())


def test_no_folder_is_no_file(tmp_path: Path) -> None:
    assert PluginYaml.in_folder(str(tmp_path / "files"), "x.wgn") is None
