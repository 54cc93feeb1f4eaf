"""The JSON Schema that check --schema prints: what an editor makes of a hooks.conf with it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from listener.actions.registry import TRAP as TRAP_ACTION
from listener.cli.keys import KEYS
from listener.cli.schema import hooks_schema
from listener.hooks.cases import CASES
from listener.hooks.conf import SECTIONS, read
from listener.hooks.forward import ForwardSettings
from listener.hooks.settings import ListenerSettings
from listener.hooks.table import Hook
from tests.cli.commands import answer, run
from tests.support import do_without

TOP = Path(__file__).parents[2]
TRAP = "event_type: workflow_failed, implementation: cloudify.snmp.snmp_trap.send_snmp_trap"
HOOK = "event_type: workflow_failed, implementation: a.b"


class _Loader(yaml.SafeLoader):
    """Values as an editor has them: a tag of ours is left out, and a date is a text."""


def _untagged(loader: _Loader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    assert isinstance(node, yaml.SequenceNode)
    return loader.construct_sequence(node)


_Loader.add_multi_constructor("!", _untagged)
_Loader.yaml_implicit_resolvers = {
    first: [each for each in resolvers if not each[0].endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


Faults = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def faults() -> Faults:
    """What the schema finds wrong in the text of a hooks.conf."""
    try:
        from jsonschema import Draft202012Validator
    except ImportError:
        do_without("jsonschema is not installed")
    schema = json.loads(json.dumps(hooks_schema()))
    Draft202012Validator.check_schema(schema)
    judge = Draft202012Validator(schema)
    return lambda document: [error.message for error in judge.iter_errors(yaml.load(document, _Loader))]


def mistakes(document: str) -> list[str]:
    """What the listener finds wrong in it."""
    env = {"X": "1", "TRAP_HOST": "a"}
    found = read(document, env=env, folder="/nowhere", tests=CASES)[1]
    return [mistake.text for mistake in found if not mistake.is_warning]


def examples() -> list[str]:
    """The pieces of hooks.conf in the README, each as a whole file."""
    blocks = re.findall(r"::\n\n((?:    .*\n|\n)+)", (TOP / "README.rst").read_text("utf-8"))
    found = []
    for block in map(_dedented, blocks):
        if re.match(rf"({'|'.join([*SECTIONS, 'tests'])}):[ \n]", block):
            found.append(block)
        elif block.startswith(("implementation:", "inputs:")):
            has_own = "" if block.startswith("impl") else "  implementation: a.b\n"
            indented = "".join(f"  {line}\n" for line in block.splitlines())
            found.append(f"hooks:\n- event_type: '*'\n{has_own}{indented}")
        elif re.match(r"(#.*\n)?- \{", block):
            found.append(f"hooks:\n{block}")
    return found


def _dedented(block: str) -> str:
    return re.sub("(?m)^    ", "", block)


def test_the_command_prints_the_schema() -> None:
    schema = answer(run("check", "--schema"))
    assert schema == json.loads(json.dumps(hooks_schema()))


def test_the_shipped_file_and_each_example_of_the_readme_are_valid(faults: Faults) -> None:
    found = examples()
    assert len(found) >= 6
    for document in [(TOP / "hooks.conf").read_text("utf-8"), *found]:
        assert faults(document) == [], document


@pytest.mark.parametrize(
    "document",
    [
        f"hooks: [{{{HOOK}, timeout: !env X, enabled: !env [X, true], retries: 3}}]",
        f"hooks: [{{{HOOK}, when: {{execution_parameters.a.b: [1, null], not: {{hook: !regex a}},"
        " any: [{during: Sat}, {attempts: 3}], tenant_name: !env X}}]",
        f"hooks: [{{{TRAP}, inputs: {{destinations: [!env TRAP_HOST, {{version: 3, retries: 1}}],"
        " destination_port: !env [PORT, 162], community_string: !file /x}}]",
        "hooks: [{event_type: ['*', mine], implementation: command, inputs: {argv: [a], env: {A: b}}}]",
        "hooks: [{event_type: '*', implementation: webhook, inputs: {body: {a: 1}, url: !template x}}]",
        "listener:\nforward: {hosts: a, tls: false}\ntests: [{event: workflow_failed, runs: []}]\n",
    ],
)
def test_what_may_stand_is_valid(faults: Faults, document: str) -> None:
    assert faults(document) == []


@pytest.mark.parametrize(
    "document",
    [
        "hook: []",
        "hooks: {a: b}",
        "hooks: [a]",
        "hooks: [{event_type: workflow_failed}]",
        "hooks: [{implementation: a.b}]",
        *(
            f"hooks: [{{{HOOK}, {key}}}]"
            for key in (
                "time_out: 5", "timeout: soon", "timeout: 0", "retries: 1.5", "enabled: maybe",
                "at_most: 10", "when: {tenant: a}", "when: {tenant_name: 5}", "when: {any: []}",
                "when: {not: {tenant: a}}", "when: {is_system_workflow: a}", "when: a", "inputs: a",
                "when: {execution_parameters.a: {b: c}}", "event_type: []",
            )
        ),
        *(
            f"hooks: [{{{TRAP}, inputs: {{{key}}}}}]"
            for key in (
                "community: a", "destination_port: 70000", "notify: trapp", "destinations: []",
                "destinations: [{adress: a}]",
            )
        ),
        "hooks: [{event_type: '*', implementation: webhook, inputs: {uri: 'http://a'}}]",
        "hooks: [{event_type: '*', implementation: command, inputs: {argv: 'sh -c'}}]",
        "hooks: [{event_type: '*', implementation: notify, inputs: {url: 'mailto://a'}}]",
        "listener: {statedir: a}", "listener: {keep_days: -1}", "listener: {manager: {}}",
        "forward: {host: a}", "forward: {prefetch: 0}",
        "tests: [{runs: a}]", "tests: [{event: workflow_failed, run: a}]", "tests: {a: b}",
    ],
)  # fmt: skip
def test_a_mistake_of_keys_and_kinds_is_invalid(faults: Faults, document: str) -> None:
    assert faults(document) != []
    assert mistakes(document) != [] or "inputs: {" in document  # those are the actions' to judge


@pytest.mark.parametrize("section", sorted(KEYS.keys() - {"tags"}))
def test_the_verb_keys_says_what_an_editor_shows_of_each_key(section: str) -> None:
    said = "".join(run("keys", section).stdout.split())
    known = _keys_of(section)
    assert KEYS[section].keys() - {"execution_parameters.x"} == known.keys()
    for name, key in known.items():
        assert name + "".join(key["description"].split()) in said


def _keys_of(section: str) -> dict[str, Any]:
    """The keys that the schema has for a section of the verb."""
    schema = hooks_schema()
    parts = schema["properties"] | schema["$defs"] | {"hooks": schema["$defs"]["hook"]}
    parts["tests"] = parts["tests"]["items"]
    for rule in parts["hook"]["allOf"]:
        implementation = rule["if"]["properties"]["implementation"]["const"]
        name = "trap" if implementation == TRAP_ACTION else implementation
        parts[name] = rule["then"]["properties"]["inputs"]
    keys: dict[str, Any] = parts[section]["properties"]
    return keys


@pytest.mark.parametrize(
    ("section", "used"),
    [
        ("hooks", {name.removesuffix("_s"): value for name, value in Hook._field_defaults.items()}),
        ("listener", ListenerSettings._field_defaults),
        ("forward", ForwardSettings._field_defaults),
    ],
)
def test_the_verb_keys_names_the_defaults_that_are_used(section: str, used: dict[str, Any]) -> None:
    named = {
        key: (words.default, f"{value:g}" if isinstance(value, float) else str(value).lower())
        for key, words in KEYS[section].items()
        if type(value := used.get(key)) in (bool, int, float, str) and words.default != "a manager's"
    }
    assert len(named) >= 3
    assert [key for key, (said, true) in named.items() if said != true] == []


def test_the_verb_keys_prints_all_sections() -> None:
    said = run("keys").stdout
    assert [line[:-1] for line in said.splitlines() if line[:1].strip()] == list(KEYS)
    assert "!template TEXT" in said
