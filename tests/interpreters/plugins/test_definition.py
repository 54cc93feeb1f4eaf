"""plugin.yaml: which package it is for, and whether its plugin's tasks can be hooks."""

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
"""


def check(text: str, name: str = "my-plugin", version: str = "2.10") -> None:
    PluginYaml("plugin.yaml in x.wgn", text.encode()).check(name, version)


def test_only_the_block_plugins_is_read_and_versions_are_texts() -> None:
    check(FULL)
    with pytest.raises(
        HooksError, match=r"^plugin\.yaml in x\.wgn is for version 2\.10, the package is 2\.1;"
    ):
        check(FULL, version="2.1")


@pytest.mark.parametrize(
    ("block", "version"),
    [
        (f"my: {{{RIGHT}}}", "1.0"),
        (f"my: {{{RIGHT}, package_name: My_Plugin, package_version: 1.0.0}}", "1.0"),
        (f"my: {{{RIGHT}, package_version: latest}}", "latest"),
        (f"a: {{executor: host_agent}}\n  b: {{{RIGHT}}}", "1.0"),
        (f"a: {{executor: host_agent, package_name: other}}\n  b: {{{RIGHT}}}", "1.0"),
        (f"a: text\n  b: {{{RIGHT}}}", "1.0"),
    ],
)
def test_a_plugin_with_the_right_executor_is_taken(block: str, version: str) -> None:
    text = f"plugins:\n  {block}\n"
    check(text, version=version)
    with pytest.raises(HooksError, match="and hooks run only tasks of"):
        check(text.replace(EXECUTOR, "host_agent"), version=version)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("plugins:\n  my: {executor: host_agent}", ": plugin 'my' has the executor host_agent, and"),
        ("plugins:\n  my: {source: x}", ": plugin 'my' has no executor, and hooks run only tasks of"),
        (f"plugins:\n  my: {{{RIGHT}, package_name: other}}", " is for other, not for my-plugin; name"),
        (f"plugins:\n  my: {{{RIGHT}, package_name: [x]}}", " is for ['x'], not for my-plugin; name"),
        (f"plugins:\n  my: {{{RIGHT}, package_version: x}}", " is for version x, the package is 2.10"),
        ("plugins: [my]", " has no block 'plugins' with a plugin; name the right file with --plugin-"),
        ("plugins: {my: text}", " has no block 'plugins'"),
        ("- plugins", " has no block 'plugins'"),
        (
            "a: b\nplugins: {my",
            ", line 2 is not YAML: expected ',' or '}', but got '<stream end>';",
        ),
        ("\0", " is not YAML: unacceptable character #x0000"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(HooksError) as refused:
        check(text)
    assert str(refused.value).startswith(f"plugin.yaml in x.wgn{reason}")


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
    expected = found and (f"{found} in x.wgn", f"text of {found}".encode())
    assert PluginYaml.in_folder(str(tmp_path), "x.wgn") == expected
    assert PluginYaml.in_folder(str(tmp_path / "nowhere"), "x.wgn") is None
