"""hooks.conf as operators write it, rightly and wrongly: every key, its default, its refusals.

What a person is told is compared word for word, with file, line and the nearest right key. The
document's own examples must load unchanged, and no text whatever may end the reading process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.actions.check import look_over
from listener.actions.registry import Actions
from listener.hooks.conf import read
from listener.hooks.table import Hook, HookTable, ListenerSettings, RestService
from listener.model.notification import EVENT_TYPES

PLUGIN_EXAMPLE = """\
hooks:
  - event_type: workflow_started
    implementation: cloudify-fabric-plugin.fabric_plugin.tasks.run_task
    inputs:
      tasks_file: /tmp/fabric_test/tasks.py
      task_name: test_started_task
    description: A test task for workflow_started
  - event_type: workflow_succeeded
    implementation: cloudify-fabric-plugin.fabric_plugin.tasks.run_task
    inputs:
      tasks_file: /tmp/fabric_test/tasks.py
      task_name: test_succeeded_task
    description: A test task for workflow_succeeded
"""

TRAP_EXAMPLE = """\
hooks:
  - event_type: workflow_started
    implementation: cloudify.snmp.snmp_trap.send_snmp_trap
    inputs:
      destination_address: 10.239.0.109
      destination_port: 162
      community_string: testcommunity
    description: Sends a SNMP trap when a workflow started
  - event_type: workflow_succeeded
    implementation: cloudify.snmp.snmp_trap.send_snmp_trap
    inputs:
      destination_address: 10.239.0.109
      destination_port: 162
      community_string: testcommunity
    description: Sends a SNMP trap when a workflow succeeded
  - event_type: workflow_failed
    implementation: cloudify.snmp.snmp_trap.send_snmp_trap
    inputs:
      destination_address: 10.239.0.109
      destination_port: 162
      community_string: testcommunity
    description: Sends a SNMP trap when a workflow failed
"""

HOOK = "hooks:\n- event_type: workflow_failed\n  implementation: pkg.mod.func\n"

SECONDS = "must be a number of seconds above 0 and at most 86400"
COUNT = "must be a whole number from 0 to 1000"
LIST = "'hooks' must be a list of hooks, each beginning with '-'"
AS_TEXT = "is compared with a text (write a number in quotes)"
HOOK_KEYS = (
    "name, event_type, when, implementation, inputs, timeout, retries, repeatable, fresh, enabled,"
    " description"
)
FIELDS = (
    "message_type, is_system_workflow, blueprint_id, deployment_id, execution_id, workflow_id,"
    " tenant_name, event_type, timestamp"
)

never_late = settings(deadline=None, print_blob=True, derandomize=False, max_examples=200)


def told(text: str, **env: str) -> list[str]:
    """All that is wrong or doubtful in a hooks.conf, as a person reads it."""
    table, mistakes = read(text, env=env, folder=Path("/nowhere"))
    assert (table is None) == any(not mistake.is_warning for mistake in mistakes)
    return [mistake.told("hooks.conf") for mistake in mistakes]


def table_of(text: str, **env: str) -> HookTable:
    table, mistakes = read(text, env=env, folder=Path("/nowhere"))
    assert table is not None, mistakes
    return table


def hook_of(*lines: str, **env: str) -> Hook:
    """The one hook of a file that has these lines besides the required ones."""
    [hook] = table_of(HOOK + "".join(f"  {line}\n" for line in lines), **env).hooks
    return hook


# What is right


def test_the_document_s_plugin_example_loads_unchanged() -> None:
    first, second = table_of(PLUGIN_EXAMPLE).hooks

    assert told(PLUGIN_EXAMPLE) == []
    assert first.mark != second.mark
    assert first._replace(mark=0) == Hook(
        name="workflow_started-1",
        event_types=("workflow_started",),
        implementation="cloudify-fabric-plugin.fabric_plugin.tasks.run_task",
        inputs={"tasks_file": "/tmp/fabric_test/tasks.py", "task_name": "test_started_task"},
        line=2,
        input_lines={"tasks_file": 5, "task_name": 6},
        description="A test task for workflow_started",
    )
    assert (second.name, second.line) == ("workflow_succeeded-2", 8)
    assert second.inputs["task_name"] == "test_succeeded_task"


def test_the_document_s_trap_example_loads_unchanged() -> None:
    table = table_of(TRAP_EXAMPLE)

    assert told(TRAP_EXAMPLE) == []
    assert [hook.event_types for hook in table.hooks] == [
        ("workflow_started",), ("workflow_succeeded",), ("workflow_failed",)
    ]  # fmt: skip
    assert {hook.implementation for hook in table.hooks} == {"cloudify.snmp.snmp_trap.send_snmp_trap"}
    for hook in table.hooks:
        assert hook.inputs == {
            "destination_address": "10.239.0.109",
            "destination_port": 162,
            "community_string": "testcommunity",
        }


def test_every_key_that_a_hook_and_the_listener_can_have_is_read() -> None:
    text = f"""\
hooks:
  - name: page-oncall
    event_type: workflow_failed
    when: {{tenant_name: acme, deployment_id: "prod-*", workflow_id: [install, scale]}}
    implementation: my_hooks.paging.page
    inputs: {{team: core}}
    timeout: 30
    retries: 3
    repeatable: false
    fresh: true
    enabled: false
    description: wakes somebody
listener:
  state_dir: /var/lib/conductor-hooks
  python: {sys.executable}
  python_path: [/usr, /opt]
  durability: power
  keep_days: 7
  keep_entries: 1000
  wait_for_retries: 60
  plugins: /opt
  manager: {{rest_host: manager, rest_port: 8443, rest_protocol: http, rest_cert: {__file__}}}
  child_memory: 256
"""
    table = table_of(text)
    [hook] = table.hooks

    assert [field for field, _ in hook.when] == ["tenant_name", "deployment_id", "workflow_id"]
    assert hook == Hook(
        name="page-oncall",
        event_types=("workflow_failed",),
        implementation="my_hooks.paging.page",
        inputs={"team": "core"},
        line=2,
        input_lines={"team": 6},
        when=hook.when,
        timeout_s=30.0,
        retries=3,
        repeatable=False,
        fresh=True,
        enabled=False,
        description="wakes somebody",
    )
    assert table.listener == ListenerSettings(
        "/var/lib/conductor-hooks",
        sys.executable,
        ("/usr", "/opt"),
        "power",
        7.0,
        1000,
        60.0,
        "/opt",
        RestService("manager", 8443, "http", __file__),
        256,
    )
    assert told(text) == []


def test_what_a_file_does_not_say_has_the_original_s_defaults() -> None:
    table = table_of(HOOK)

    assert [hook._replace(mark=0) for hook in table.hooks] == [
        Hook(
            name="workflow_failed-1",
            event_types=("workflow_failed",),
            implementation="pkg.mod.func",
            inputs={},
            line=2,
            input_lines={},
            when=(),
            timeout_s=60.0,
            retries=0,
            repeatable=None,
            fresh=False,
            enabled=True,
            description="",
        )
    ]
    assert table.listener == ListenerSettings(None, None, (), "process", 30.0, 1_000_000, 900.0)
    assert not table.is_blank


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        (
            "event_type: [workflow_queued, workflow_failed]",
            "event_types",
            ("workflow_queued", "workflow_failed"),
        ),
        ("event_type: '*'", "event_types", ("*",)),
        ("event_type: !env [E, workflow_queued]", "event_types", ("workflow_queued",)),
        ("inputs:", "inputs", {}),
        ("inputs: {}", "inputs", {}),
        ("inputs: {since: 2024-08-12}", "inputs", {"since": "2024-08-12"}),
        ("inputs: {port: !env [PORT, 162]}", "inputs", {"port": 162}),
        ("inputs: {<<: {team: core, n: 1}, n: 2}", "inputs", {"team": "core", "n": 2}),
        (
            "inputs: {a: &x {b: [1, null]}, c: *x}",
            "inputs",
            {"a": {"b": [1, None]}, "c": {"b": [1, None]}},
        ),
        ("timeout: 86400", "timeout_s", 86_400.0),
        ("timeout: 0.1", "timeout_s", 0.1),
        ("timeout: !env [T, 5]", "timeout_s", 5.0),
        ("retries: 0", "retries", 0),
        ("repeatable: true", "repeatable", True),
        ("fresh: yes", "fresh", True),
        ("enabled: off", "enabled", False),
        ("enabled: !env [ENABLED, false]", "enabled", False),
        ("description: 5", "description", "5"),
        ("description: {anything: [goes]}", "description", ""),
        ("description: !env GONE", "description", "GONE"),
        ("when: {}", "when", ()),
    ],
)
def test_a_key_may_be_written_in_each_of_its_ways(line: str, key: str, value: object) -> None:
    is_required = line.startswith("event_type")
    text = HOOK.replace("event_type: workflow_failed", line) if is_required else f"{HOOK}  {line}\n"

    [hook] = table_of(text).hooks

    assert told(text) == []
    assert getattr(hook, key) == value


def test_a_number_in_an_environment_variable_is_a_number() -> None:
    hook = hook_of("timeout: !env T", "inputs: {port: !env P}", T="7.5", P="10162")

    assert hook.timeout_s == 7.5
    assert hook.inputs == {"port": 10162}


def test_what_the_journal_keeps_of_a_hook_is_utf_8_whatever_the_environment_brings() -> None:
    lines = ("event_type: !env T", "implementation: !env T")
    text = "hooks:\n- name: !env T\n  {}\n  {}\n- {{{}, {}}}\n".format(*lines, *lines)
    named, nameless = table_of(text, T="caf\udce9.f").hooks
    assert (named.name, named.implementation) == ("caf\\udce9.f",) * 2
    assert (nameless.name, nameless.implementation) == ("caf\\udce9.f-2", "caf\\udce9.f")


@pytest.mark.parametrize(
    ("event_type", "name"),
    [
        ("workflow_failed", "workflow_failed-2"),
        ("[workflow_queued, workflow_failed]", "workflow_queued-2"),
        ("'*'", "any-2"),
        ("[workflow_queued, '*']", "any-2"),
    ],
)
def test_a_hook_without_a_name_is_called_after_its_event_and_position(
    event_type: str, name: str
) -> None:
    table = table_of(f"{HOOK}- event_type: {event_type}\n  implementation: a.b\n")

    assert [hook.name for hook in table.hooks] == ["workflow_failed-1", name]


def test_anchors_and_merge_keys_spare_operators_repetition() -> None:
    table = table_of("""\
hooks:
- &trap
  event_type: workflow_failed
  implementation: cloudify.snmp.snmp_trap.send_snmp_trap
  inputs: &receiver {destination_address: 10.0.0.1, destination_port: 162}
- <<: *trap
  event_type: workflow_queued
  inputs:
    <<: *receiver
    destination_port: 163
- event_type: workflow_started
  implementation: a.b
  inputs: *receiver
""")

    first, second, third = table.hooks
    assert second.event_types == ("workflow_queued",)
    assert second.implementation == first.implementation
    assert second.inputs == {"destination_address": "10.0.0.1", "destination_port": 163}
    assert second.input_lines == {"destination_address": 5, "destination_port": 10}
    assert third.inputs == first.inputs
    assert [hook.name for hook in table.hooks] == [
        "workflow_failed-1", "workflow_queued-2", "workflow_started-3"
    ]  # fmt: skip


def test_a_hook_that_overrides_the_name_it_merged_is_told_of_by_its_own() -> None:
    [mistake] = told(
        f"{HOOK}  name: &n first\n- <<: {{name: first}}\n  name: second\n  event_type: '*'\n"
    )

    assert mistake == "hooks.conf, line 5: hook 'second' has no 'implementation'; add it"


@pytest.mark.parametrize(
    ("text", "is_blank"),
    [
        ("", True),
        ("# hooks:\n#   - nothing\n", True),
        ("---\n", True),
        ("null\n", True),
        ("{}\n", False),
        ("hooks: []\n", False),
        ("listener:\n", False),
        ("listener: {}\n", False),
    ],
)
def test_a_file_without_hooks_is_no_mistake(text: str, is_blank: bool) -> None:
    table = table_of(text)

    assert told(text) == []
    assert table.hooks == ()
    assert table.listener == ListenerSettings()
    assert table.is_blank is is_blank


@pytest.mark.parametrize(
    ("condition", "found", "is_match"),
    [
        ("tenant_name: acme", "acme", True),
        ("tenant_name: acme", "acme2", False),
        ("tenant_name: acme", "ACME", False),
        ("tenant_name: acme", None, False),
        ("tenant_name: 'prod-*'", "prod-", True),
        ("tenant_name: 'prod-*'", "a-prod-1", False),
        ("tenant_name: 'prod-?'", "prod-1", True),
        ("tenant_name: 'prod-?'", "prod-12", False),
        ("tenant_name: 'prod-[0-9]'", "prod-7", True),
        ("tenant_name: 'prod-[!0-9]'", "prod-7", False),
        ("tenant_name: '*'", "", True),
        ("tenant_name: '*'", "two\nlines", True),
        ("tenant_name: '*'", None, False),
        ("tenant_name: '*'", 5, False),
        ("tenant_name: '5'", "5", True),
        ("tenant_name: '5'", 5, False),
        ("tenant_name: [a, 'b*']", "a", True),
        ("tenant_name: [a, 'b*']", "bb", True),
        ("tenant_name: [a, 'b*']", "c", False),
        ("tenant_name: null", None, True),
        ("tenant_name: null", "", False),
        ("tenant_name: [null, a]", None, True),
        ("tenant_name: [null, a]", "a", True),
        ("tenant_name: !env [T, acme]", "acme", True),
        ("tenant_name: ''", "", True),
        ("timestamp: 2024-08-12", "2024-08-12", True),
        ("is_system_workflow: true", True, True),
        ("is_system_workflow: true", False, False),
        ("is_system_workflow: true", 1, False),
        ("is_system_workflow: false", False, True),
        ("is_system_workflow: false", None, False),
        ("is_system_workflow: [true, null]", None, True),
    ],
)
def test_a_condition_matches_as_a_shell_pattern_a_value_or_any_of_a_list(
    condition: str, found: object, is_match: bool
) -> None:
    hook = hook_of(f"when: {{{condition}}}")
    field = condition.partition(":")[0]

    assert hook.matches({field: found}) is is_match
    if found is None:
        assert hook.matches({}) is is_match


# What is wrong


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("- event_type: x\n", "line 1: the file must be a mapping, found a list"),
        ("\nnonsense\n", "line 2: the file must be a mapping, found the text 'nonsense'"),
        ("5\n", "line 1: the file must be a mapping, found 5"),
        ("!env HOME\n", "line 1: the file must be a mapping, found what !env HOME gave"),
        ("hook: []\n", "line 1: the file has the unknown key 'hook'; did you mean 'hooks'?"),
        ("events: []\n", "line 1: the file has the unknown key 'events'; known are: hooks, listener"),
        ("? [hooks]\n: []\n", "line 1: the file: a key must be a text or a number, found a list"),
        ("# none\nhooks:\n", f"line 2: {LIST}, found nothing"),
        ("hooks:\n  event_type: x\n", f"line 2: {LIST}, found a mapping"),
        ("hooks: a.b\n", f"line 1: {LIST}, found the text 'a.b'"),
        ("hooks:\n- a.b\n", "line 2: hook 1 must be a mapping with 'event_type', found the text 'a.b'"),
        ("hooks:\n-\n", "line 2: hook 1 must be a mapping with 'event_type', found nothing"),
        ("hooks:\n- [a]\n", "line 2: hook 1 must be a mapping with 'event_type', found a list"),
        (
            "hooks:\n- {}\n",
            "line 2: hook 1 has no 'event_type'; add it\n"
            "line 2: hook 1 has no 'implementation'; add it",
        ),
        ("hooks:\n- event_type: workflow_failed\n", "line 2: hook 1 has no 'implementation'; add it"),
        (
            "hooks:\n- name: page\n  implementation: a.b\n",
            "line 2: hook 'page' has no 'event_type'; add it",
        ),
        (HOOK + "hooks: []\n", "line 4: the key 'hooks' stands here for the second time"),
        (HOOK + "  name: *x\n", "line 4: no valid YAML: found undefined alias"),
        (
            HOOK + "  name: workflow_failed-2\n- event_type: workflow_failed\n  implementation: a.b\n",
            "line 5: hook 2 has the name 'workflow_failed-2' of the hook in line 2; give it"
            " another 'name'",
        ),
        (
            HOOK + "  name: x\n- {name: x, event_type: '*', implementation: a.b}\n",
            "line 5: hook 2 has the name 'x' of the hook in line 2; give it another 'name'",
        ),
        ("listener: [a]\n", "line 1: 'listener' must be a mapping, found a list"),
        (
            "listener:\n  statedir: /x\n",
            "line 2: 'listener' has the unknown key 'statedir'; did you mean 'state_dir'?",
        ),
        ("listener:\n  state_dir: 5\n", "line 2: listener: 'state_dir' must be a text, found 5"),
        ("listener:\n  state_dir:\n", "line 2: listener: 'state_dir' must be a text, found nothing"),
        ("listener:\n  plugins: [a]\n", "line 2: listener: 'plugins' must be a text, found a list"),
        (
            "listener:\n  child_memory: 63\n",
            "line 2: listener: 'child_memory' must be a whole number from 64 to 1048576, found 63",
        ),
        (
            "listener:\n  manager: localhost\n",
            "line 2: listener: 'manager' must be a mapping with 'rest_host', found the text"
            " 'localhost'",
        ),
        (
            f"listener:\n  manager:\n    rest_cert: {__file__}\n    rest_port: 0\n    rest_hots: x\n"
            "    rest_protocol: ftp\n",
            "line 3: listener: 'manager' has no 'rest_host'; add it\n"
            "line 4: listener: 'manager': 'rest_port' must be a whole number from 1 to 65535, found 0\n"
            "line 5: listener: 'manager' has the unknown key 'rest_hots'; did you mean 'rest_host'?\n"
            "line 6: listener: 'manager': 'rest_protocol' must be https or http, found the text 'ftp'",
        ),
        (
            "listener:\n  python: [/usr/bin/python3]\n",
            "line 2: listener: 'python' must be a text, found a list",
        ),
        (
            "listener:\n  durability: always\n",
            "line 2: listener: 'durability' must be process or power, found the text 'always'",
        ),
        (
            "listener:\n  keep_days: 0\n  keep_entries: 1.5\n  wait_for_retries: -1\n",
            "line 2: listener: 'keep_days' must be a number of days above 0 and at most 36500,"
            " found 0\n"
            "line 3: listener: 'keep_entries' must be a whole number from 1 to 100000000, found 1.5\n"
            "line 4: listener: 'wait_for_retries' must be a number of seconds above 0"
            " and at most 86400, found -1",
        ),
        (
            "listener:\n  python_path: []\n",
            "line 2: listener: 'python_path' is an empty list; name at least one",
        ),
        (
            "listener:\n  python_path:\n  - /usr\n  - 5\n",
            "line 4: listener: 'python_path' must be a text, found 5",
        ),
        (
            "listener:\n  python_path: {a: b}\n",
            "line 2: listener: 'python_path' must be a text, found a mapping",
        ),
    ],
)
def test_a_mistake_of_shape_is_told_with_file_line_and_remedy(text: str, mistakes: str) -> None:
    assert told(text) == [f"hooks.conf, {mistake}" for mistake in mistakes.splitlines()]


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ("time_out: 14", "hook 1 has the unknown key 'time_out'; did you mean 'timeout'?"),
        ("colour: red", f"hook 1 has the unknown key 'colour'; known are: {HOOK_KEYS}"),
        ("5: x", f"hook 1 has the unknown key '5'; known are: {HOOK_KEYS}"),
        ("timeout_s: 5", "hook 1 has the unknown key 'timeout_s'; did you mean 'timeout'?"),
        ("enabled: true\n  enabled: false", "the key 'enabled' stands here for the second time"),
        ("name: 5", "hook '5': 'name' must be a text, found 5"),
        ("name:", "hook 1: 'name' must be a text, found nothing"),
        ("name: [page]", "hook 1: 'name' must be a text, found a list"),
        ("inputs: core", "hook 1: 'inputs' must be a mapping, found the text 'core'"),
        ("inputs: [a, b]", "hook 1: 'inputs' must be a mapping, found a list"),
        ("inputs: false", "hook 1: 'inputs' must be a mapping, found false"),
        ("inputs: !file x", "hook 1: 'inputs' must be a mapping, found what !file x gave"),
        ("inputs: {5: a}", "hook 1: 'inputs': a name of an input must be a text, found 5"),
        ("inputs: {? [a] : b}", "this mapping: a key must be a text or a number, found a list"),
        ("inputs: !secret {a: b}", "the tag '!secret' is not known here; only !env and !file are"),
        ("inputs: {a: !vault b}", "the tag '!vault' is not known here; only !env and !file are"),
        ("inputs: &i {a: *i}", "this value holds itself; an alias may not point to what it stands in"),
        ("inputs: {a: !file /nowhere/x}", "!file /nowhere/x cannot be read: No such file or directory"),
        ("inputs: {a: 2024-02-30}", "2024-02-30 is no timestamp; put it in quotes"),
        ("timeout: 0", f"hook 1: 'timeout' {SECONDS}, found 0"),
        ("timeout: -1", f"hook 1: 'timeout' {SECONDS}, found -1"),
        ("timeout: 86400.1", f"hook 1: 'timeout' {SECONDS}, found 86400.1"),
        ("timeout: .inf", f"hook 1: 'timeout' {SECONDS}, found .inf"),
        ("timeout: .nan", f"hook 1: 'timeout' {SECONDS}, found .nan"),
        ("timeout: true", f"hook 1: 'timeout' {SECONDS}, found true"),
        ("timeout: '30'", f"hook 1: 'timeout' {SECONDS}, found the text '30'"),
        ("timeout: 30s", f"hook 1: 'timeout' {SECONDS}, found the text '30s'"),
        ("timeout:", f"hook 1: 'timeout' {SECONDS}, found nothing"),
        ("timeout: !env SECRET", f"hook 1: 'timeout' {SECONDS}, found what !env SECRET gave"),
        ("retries: -1", f"hook 1: 'retries' {COUNT}, found -1"),
        ("retries: 1001", f"hook 1: 'retries' {COUNT}, found 1001"),
        ("retries: 1.5", f"hook 1: 'retries' {COUNT}, found 1.5"),
        ("retries: true", f"hook 1: 'retries' {COUNT}, found true"),
        ("retries: [3]", f"hook 1: 'retries' {COUNT}, found a list"),
        ("repeatable: 1", "hook 1: 'repeatable' must be true or false, found 1"),
        ("fresh: 'yes'", "hook 1: 'fresh' must be true or false, found the text 'yes'"),
        ("enabled:", "hook 1: 'enabled' must be true or false, found nothing"),
        ("when: acme", "hook 1: 'when' must be a mapping, found the text 'acme'"),
        ("when:", "hook 1: 'when' must be a mapping, found nothing"),
        (
            "when: {tenant: a}",
            "hook 1: 'when' has the unknown key 'tenant'; did you mean 'tenant_name'?",
        ),
        (
            "when: {rest_token: a}",
            f"hook 1: 'when' has the unknown key 'rest_token'; known are: {FIELDS}",
        ),
        (
            "when: {tenant_name: []}",
            "hook 1: 'when': 'tenant_name' is an empty list; name at least one",
        ),
        ("when: {tenant_name: 5}", f"hook 1: 'when': 'tenant_name' {AS_TEXT}, found 5"),
        ("when: {tenant_name: [a, true]}", f"hook 1: 'when': 'tenant_name' {AS_TEXT}, found true"),
        ("when: {tenant_name: {a: b}}", f"hook 1: 'when': 'tenant_name' {AS_TEXT}, found a mapping"),
        (
            "when: {is_system_workflow: 'no'}",
            "hook 1: 'when': 'is_system_workflow' is compared with true or false, found the text 'no'",
        ),
        (
            "when: {is_system_workflow: 1}",
            "hook 1: 'when': 'is_system_workflow' is compared with true or false, found 1",
        ),
    ],
)
def test_a_wrong_key_of_a_hook_is_told_at_its_line(line: str, mistake: str) -> None:
    at = 4 + line.count("\n")

    assert told(f"{HOOK}  {line}\n", SECRET="hunter2") == [f"hooks.conf, line {at}: {mistake}"]


@pytest.mark.parametrize(
    ("value", "mistake"),
    [
        ("5", "must be a text, found 5"),
        ("", "must be a text, found nothing"),
        ("[a.b]", "must be a text, found a list"),
        ("page", "must name a module and a function in it, found only the text 'page'"),
        (".", "must be a dotted path, as in 'package.module.function'"),
        ("pkg..func", "must be a dotted path, as in 'package.module.function'"),
        (".pkg.func", "must be a dotted path, as in 'package.module.function'"),
        ("pkg.func.", "must be a dotted path, as in 'package.module.function'"),
    ],
)
def test_an_implementation_must_be_a_dotted_path(value: str, mistake: str) -> None:
    text = f"hooks:\n- event_type: workflow_failed\n  implementation: {value}\n"

    assert told(text) == [f"hooks.conf, line 3: hook 1: 'implementation' {mistake}"]


@pytest.mark.parametrize(
    ("value", "mistakes"),
    [
        ("5", "line 2: hook 1: 'event_type' must be a text, found 5"),
        ("", "line 2: hook 1: 'event_type' must be a text, found nothing"),
        ("{a: b}", "line 2: hook 1: 'event_type' must be a text, found a mapping"),
        ("[]", "line 2: hook 1: 'event_type' is an empty list; name at least one"),
        (
            "\n  - workflow_failed\n  - 5\n  - [x]",
            "line 4: hook 1: 'event_type' must be a text, found 5\n"
            "line 5: hook 1: 'event_type' must be a text, found a list",
        ),
    ],
)
def test_an_event_type_must_be_a_text_or_a_list_of_texts(value: str, mistakes: str) -> None:
    text = f"hooks:\n- event_type: {value}\n  implementation: a.b\n"

    assert told(text) == [f"hooks.conf, {mistake}" for mistake in mistakes.splitlines()]


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("name", "{}  name: ''\n"),
        ("event_type", "hooks:\n- implementation: a.b\n  name: x\n  event_type: ''\n"),
        ("implementation", "hooks:\n- event_type: '*'\n  name: x\n  implementation: ''\n"),
        ("python", "\n\nlistener:\n  python: ''\n"),
    ],
)
def test_an_empty_text_is_refused_for_being_empty(key: str, text: str) -> None:
    [mistake] = told(text.format(HOOK) if "{}" in text else text)

    assert mistake.startswith("hooks.conf, line 4: ")
    assert f"'{key}'" in mistake
    assert "empty" in mistake


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (4, HOOK + "  name: !env GONE\n"),
        (4, HOOK + "  timeout: !env GONE\n"),
        (4, HOOK + "  retries: !env GONE\n"),
        (4, HOOK + "  enabled: !env GONE\n"),
        (4, HOOK + "  inputs: {a: !env GONE}\n"),
        (4, HOOK + "  when: {tenant_name: !env GONE}\n"),
        (4, HOOK + "  timeout: !env [A, b, c]\n"),
        (4, HOOK + "  timeout: !seconds 5\n"),
        (4, HOOK + "  timeout: 1" + "0" * 5000 + "\n"),
        (2, "hooks:\n- event_type: !env GONE\n  implementation: a.b\n"),
        (3, "hooks:\n- event_type: '*'\n  implementation: !env GONE\n"),
        (1, "listener: {python: !env GONE}\n"),
    ],
)
def test_one_wrong_thing_is_told_once(line: int, text: str) -> None:
    [mistake] = told(text)

    assert mistake.startswith(f"hooks.conf, line {line}: ")


def test_one_wrong_thing_behind_an_anchor_is_told_once_however_many_hooks_use_it() -> None:
    hook = "- {{event_type: '*', implementation: a.b, inputs: {}}}\n".format
    text = "hooks:\n" + hook("&i {password: !env GONE}") + hook("*i") + hook("*i")

    [mistake] = told(text)

    assert mistake.startswith("hooks.conf, line 2: the environment variable 'GONE' is not set; ")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (1, "!mine {hooks: []}\n"),
        (2, "\nhooks: !mine []\n"),
        (2, "hooks:\n- !mine {event_type: '*', implementation: a.b}\n"),
        (2, "hooks:\n- event_type: !mine ['*']\n  implementation: a.b\n"),
        (4, HOOK + "  when: !mine {tenant_name: a}\n"),
        (4, HOOK + "  when: {tenant_name: !mine [a]}\n"),
        (4, HOOK + "listener: !mine {python_path: [/opt]}\n"),
        (4, HOOK + "listener: {python_path: !mine [/opt]}\n"),
    ],
)
def test_a_tag_that_is_not_known_is_refused_wherever_it_stands(line: int, text: str) -> None:
    [mistake] = told(text)

    assert mistake.startswith(f"hooks.conf, line {line}: ")
    assert "'!mine'" in mistake


def test_all_mistakes_are_told_at_once_in_the_file_s_order() -> None:
    text = """\
hooks:
  - event_type: workflow_faild
    implementation: page
    time_out: 5
  - a text
  - name: x
    event_type: workflow_failed
    implementation: a.b
    inputs: {since: !env GONE, key: !file gone}
    when: {tenant: a}
  - name: x
    event_type: workflow_failed
    timeout: -1
listener:
  pyton: /x
"""
    assert told(text) == [
        "hooks.conf, line 2: hook 1: 'event_type': Conductor publishes no event type"
        " 'workflow_faild'; did you mean 'workflow_failed'?",
        "hooks.conf, line 3: hook 1: 'implementation' must name a module and a function in it, found"
        " only the text 'page'",
        "hooks.conf, line 4: hook 1 has the unknown key 'time_out'; did you mean 'timeout'?",
        "hooks.conf, line 5: hook 2 must be a mapping with 'event_type', found the text 'a text'",
        "hooks.conf, line 9: !file /nowhere/gone cannot be read: No such file or directory",
        "hooks.conf, line 9: the environment variable 'GONE' is not set; set it (environment= in"
        " supervisord's section), or give a default, as in !env [NAME, default]",
        "hooks.conf, line 10: hook 'x': 'when' has the unknown key 'tenant'; did you mean"
        " 'tenant_name'?",
        "hooks.conf, line 11: hook 'x' has no 'implementation'; add it",
        "hooks.conf, line 11: hook 4 has the name 'x' of the hook in line 6; give it another 'name'",
        f"hooks.conf, line 13: hook 'x': 'timeout' {SECONDS}, found -1",
        "hooks.conf, line 15: 'listener' has the unknown key 'pyton'; did you mean 'python'?",
    ]


def test_what_was_found_is_shortened_in_a_mistake() -> None:
    mistakes = told(f"{HOOK}  {'k' * 900}: 1\n  name: [{'v' * 900}]\n  enabled: {'v' * 900}\n")

    assert [len(mistake) < 400 for mistake in mistakes] == [True, True, True]


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        (
            "hooks:\n- event_type: workflow_*\n  implementation: a.b\n",
            [
                "line 2: hook 1: 'event_type': Conductor publishes no event type 'workflow_*'; did you"
                " mean 'workflow_queued'?"
            ],
        ),
        (
            "hooks:\n- event_type: boot\n  implementation: a.b\n",
            [
                "line 2: hook 1: 'event_type': Conductor publishes no event type 'boot'; known are: "
                + ", ".join((*EVENT_TYPES, "hook_failed", "*"))
            ],
        ),
        (
            "hooks:\n- event_type:\n  - workflow_queued\n  - workflow_faild\n  implementation: a.b\n",
            [
                "line 4: hook 1: 'event_type': Conductor publishes no event type 'workflow_faild'; did"
                " you mean 'workflow_failed'?"
            ],
        ),
        (
            "listener:\n  python: /nowhere/python\n",
            ["line 2: listener: 'python': '/nowhere/python' is not there or not executable"],
        ),
        (
            f"listener:\n  python: {__file__}\n",
            [f"line 2: listener: 'python': {__file__!r} is not there or not executable"],
        ),
        (
            "listener:\n  python: /usr\n",
            ["line 2: listener: 'python': '/usr' is not there or not executable"],
        ),
        (
            "listener:\n  python: no-such-python\n",
            ["line 2: listener: 'python': 'no-such-python' is not there or not executable"],
        ),
        (
            "listener:\n  python_path: [/usr, hooks]\n",
            ["line 2: listener: 'python_path': there is no '/nowhere/hooks'"],
        ),
        (
            "listener:\n  plugins: /nowhere/plugins\n",
            ["line 2: listener: 'plugins': there is no '/nowhere/plugins'"],
        ),
        (
            "listener:\n  manager:\n    rest_host: localhost\n    rest_cert: cert.pem\n",
            [
                "line 3: listener: 'manager': there is no certificate '/nowhere/cert.pem', which"
                " cloudify wants also over http; name it with 'rest_cert'"
            ],
        ),
    ],
)
def test_what_is_doubtful_is_warned_about_and_still_in_force(text: str, warnings: list[str]) -> None:
    table, mistakes = read(text, env={}, folder=Path("/nowhere"))

    assert table is not None
    assert all(mistake.is_warning for mistake in mistakes)
    assert told(text) == [f"hooks.conf, {warning}" for warning in warnings]


# The lines of inputs that stand inside others


TRAP = (
    "hooks:\n- event_type: workflow_failed\n  implementation: cloudify.snmp.snmp_trap.send_snmp_trap\n"
)


def looked_over(text: str, **env: str) -> list[str]:
    """What `check` tells of the inputs of the hooks, as a person reads it."""
    table = table_of(text, **env)
    with Actions(table.listener) as actions:
        mistakes = sorted(look_over(table, actions, may_import=False))
    return [mistake.told("hooks.conf") for mistake in mistakes]


NESTED = """\
  inputs:
    community_string: public
    destination_port: 162
    destinations:
      - 10.0.0.1
      - destination_address: 10.0.0.2
        user: ops
      - destination_address: 10.0.0.3
        destination_port:
          0
      -
        destination_address: 10.0.0.4
        notify: inform
        timeout: 3600
      - {destination_address: 10.0.0.5, prot: 1, layout: none}
      - [10.0.0.6]
      - destination_address: 10.0.0.1
"""


def test_a_mistake_in_a_list_of_inputs_is_told_in_the_line_of_the_key() -> None:
    [hook] = table_of(TRAP + NESTED).hooks
    assert hook.input_lines == {
        "community_string": 5,
        "destination_port": 6,
        "destinations": 7,
        "destinations.0": 8,
        "destinations.1": 9,
        "destinations.1.destination_address": 9,
        "destinations.1.user": 10,
        "destinations.2": 11,
        "destinations.2.destination_address": 11,
        "destinations.2.destination_port": 12,
        "destinations.3": 15,
        "destinations.3.destination_address": 15,
        "destinations.3.notify": 16,
        "destinations.3.timeout": 17,
        "destinations.4": 18,
        "destinations.4.destination_address": 18,
        "destinations.4.prot": 18,
        "destinations.4.layout": 18,
        "destinations.5": 19,
        "destinations.6": 20,
        "destinations.6.destination_address": 20,
    }
    found = [line.split(": ", 2) for line in looked_over(TRAP + NESTED)]
    assert [(place, reason.split(": ")[0]) for place, _, reason in found] == [
        ("hooks.conf, line 10", "destination 2"),
        ("hooks.conf, line 12", "destination 3"),
        ("hooks.conf, line 17", "destination 4"),
        ("hooks.conf, line 18", "destination 5"),
        ("hooks.conf, line 18", "destination 5"),
        ("hooks.conf, line 19", "destination 6 must be an address, or a mapping of inputs"),
        ("hooks.conf, line 20", "the destination 10.0.0.1:162 stands here twice"),
    ]
    assert all(name == "hook 'workflow_failed-1'" for _, name, _ in found)


def test_a_mistake_in_a_hook_on_one_line_is_told_in_that_line() -> None:
    inputs = "{destination_port: 1, community_string: c, destinations: [a, {destination_address: 5}]}"
    text = (
        "hooks: [{event_type: '*', implementation: a.b}, {event_type: '*',\n"
        f" implementation: cloudify.snmp.snmp_trap.send_snmp_trap,\n inputs: {inputs}}}]\n"
    )
    assert [line for line in looked_over(text) if "address" in line] == [
        "hooks.conf, line 3: hook 'any-2': destination 2: 'destination_address' must be a name or an"
        " address, without a port, brackets or spaces, found 5"
    ]


def test_what_is_missing_is_told_in_the_line_where_the_destination_begins() -> None:
    text = TRAP + "  inputs:\n    community_string: c\n    destinations:\n    - a\n    - version: 3\n"
    assert [line.partition(": hook")[0] for line in looked_over(text)] == [
        "hooks.conf, line 7",  # the port of the first
        "hooks.conf, line 8",  # the port, the address and the user of the second
        "hooks.conf, line 8",
        "hooks.conf, line 8",
    ]


def test_a_wrong_default_is_told_once_in_its_own_line() -> None:
    inputs = "  inputs:\n    destination_port: 0\n    community_string: c\n    destinations: [a, b]\n"
    assert looked_over(TRAP + inputs) == [
        "hooks.conf, line 5: hook 'workflow_failed-1': 'destination_port' must be from 1 to 65535,"
        " found 0"
    ]


@pytest.mark.parametrize("value", ["10.0.0.1", "\n      destination_address: a", "[]", "{}", ""])
def test_destinations_that_are_no_list_are_told_in_the_line_of_their_name(value: str) -> None:
    text = f"{TRAP}  inputs:\n    destinations: {value}\n"
    [mistake] = looked_over(text)
    assert mistake.startswith(
        "hooks.conf, line 5: hook 'workflow_failed-1': 'destinations' must be a list of addresses, "
    )


def test_behind_an_alias_the_line_is_that_of_what_it_stands_for() -> None:
    text = """\
hooks:
- event_type: '*'
  implementation: cloudify.snmp.snmp_trap.send_snmp_trap
  inputs: &all
    destination_port: 162
    community_string: public
    destinations:
    - &first
      destination_address: 10.0.0.1
      layout: none
    - <<: *first
      destination_address: 10.0.0.2
    - <<: *first
      destination_address: 10.0.0.3
      layout: neither
- event_type: '*'
  implementation: cloudify.snmp.snmp_trap.send_snmp_trap
  inputs:
    <<: *all
    destinations:
    - *first
- event_type: '*'
  implementation: cloudify.snmp.snmp_trap.send_snmp_trap
  inputs: *all
"""
    found = [tuple(line.split(": ")[:3]) for line in looked_over(text)]
    expected = [
        ("hooks.conf, line 10", "hook 'any-1'", "destination 1"),
        ("hooks.conf, line 10", "hook 'any-1'", "destination 2"),
        ("hooks.conf, line 10", "hook 'any-2'", "destination 1"),
        ("hooks.conf, line 10", "hook 'any-3'", "destination 1"),
        ("hooks.conf, line 10", "hook 'any-3'", "destination 2"),
        ("hooks.conf, line 15", "hook 'any-1'", "destination 3"),
        ("hooks.conf, line 15", "hook 'any-3'", "destination 3"),
    ]
    assert found == expected


@pytest.mark.parametrize(
    "inputs",
    [
        "destinations: !env LIST",
        "destinations: [[[a]], {? [a] : b}]",
        "destinations: &d [*d]",
        "destinations: [&d {x: *d}]",
        "? {a: b}\n    : [c]",
        "5: [{6: 7}]",
    ],
)
def test_lines_are_found_for_whatever_stands_there(inputs: str) -> None:
    assert read(f"{TRAP}  inputs:\n    {inputs}\n", env={}, folder=Path("/nowhere"))


def test_inputs_of_functions_have_lines_too() -> None:
    hook = hook_of("inputs:", "  teams:", "  - {name: core}", "  - - a", "  where: {x: [1]}")
    assert hook.input_lines == {
        "teams": 5, "teams.0": 6, "teams.0.name": 6, "teams.1": 7, "where": 8
    }  # fmt: skip


@pytest.mark.parametrize("key", ["true", "~", "0x10", "1_0"])
def test_an_input_whose_name_is_no_text_is_told_in_the_line_of_its_destination(key: str) -> None:
    text = TRAP + f"  inputs:\n    destinations:\n    - destination_address: a\n      {key}: 1\n"
    [mistake] = [line for line in looked_over(text) if "the name of an input" in line]
    assert mistake.startswith("hooks.conf, line 6: ")


# Any text at all

READ_STDIN = """\
import resource, sys
from pathlib import Path
from listener.hooks.conf import read
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
table, mistakes = read(sys.stdin.read(), env={}, folder=Path("/nowhere"))
sys.exit(0 if table or mistakes else 1)
"""

INPUT = HOOK + "  inputs:\n    x: "


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(INPUT + "[" * 100_000 + "]" * 100_000, id="lists in lists"),
        pytest.param("[" * 100_000, id="lists that never end"),
        pytest.param(INPUT + "{a: " * 100_000 + "}" * 100_000, id="mappings in mappings"),
        pytest.param(HOOK + "  description:\n    " + "- " * 100_000, id="a deep comment"),
        pytest.param(INPUT + "{<<: " * 3_000 + "{}" + "}" * 3_000, id="merges in merges"),
        pytest.param(
            INPUT + "\n      a0: &a0 {}\n"
            + "".join(f"      a{n}: &a{n} {{<<: *a{n - 1}}}\n" for n in range(1, 3_000)),
            id="merges of merges",
        ),
        pytest.param(
            INPUT + "\n      a0: &a0 [x]\n"
            + "".join(f"      a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)),
            id="aliases that double forty times",
        ),
        pytest.param(
            INPUT + "\n      a0: &a0 {x: 1}\n"
            + "".join(f"      a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 40)),
            id="merges that double forty times",
        ),
    ],
)  # fmt: skip
def test_a_monstrous_file_does_not_end_the_process_that_reads_it(text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READ_STDIN],
        cwd=Path(__file__).parents[2],
        input=text.encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr[-300:]) == (0, b"")


@pytest.mark.parametrize("key", ["python", "python_path", "state_dir"])
def test_a_path_that_no_file_can_have_is_a_mistake(key: str) -> None:
    [mistake] = told(f'listener: {{{key}: "a\\0b"}}\n')

    assert mistake.startswith(f"hooks.conf, line 1: listener: '{key}' must be a path, found the text")


def test_an_interpreter_may_be_named_as_in_a_shell() -> None:
    folder, name = os.path.split(sys.executable)

    by_name = table_of(f"listener: {{python: {name}}}\n", PATH=folder).listener
    beside = f"listener: {{python: {os.path.relpath(sys.executable, '/nowhere')}}}\n"

    assert by_name.python == sys.executable
    assert os.path.normpath(str(table_of(beside).listener.python)) == sys.executable


def test_relative_paths_start_at_the_folder_of_hooks_conf(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()

    table, mistakes = read(
        "listener: {python_path: [code], state_dir: state}\n", env={}, folder=tmp_path
    )

    assert table is not None and mistakes == []
    assert table.listener == ListenerSettings(f"{tmp_path}/state", None, (f"{tmp_path}/code",))


def assert_read_is_sound(text: str) -> None:
    """A table or a mistake comes, and every mistake is one line with a place in the file."""
    table, mistakes = read(text, env={"HOME": "/home", "DATE": "2024-13-45"}, folder=Path("/nowhere"))

    assert (table is None) == any(not mistake.is_warning for mistake in mistakes)
    assert mistakes == sorted(mistakes)
    for mistake in mistakes:
        assert 0 <= mistake.line <= len(text.splitlines()) + 1
        assert len(mistake.text.splitlines()) == 1


@never_late
@given(st.text())
def test_any_text_gives_a_table_or_mistakes(text: str) -> None:
    assert_read_is_sound(text)


TOKENS = (
    *("hooks:", "listener:", "event_type:", "implementation: a.b", "inputs:", "when:", "timeout:"),
    *(
        "name:",
        "a:",
        "1:",
        "? ",
        ": ",
        "- ",
        "<<: ",
        "&x ",
        "*x ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "\n",
        "  ",
    ),
    *("!env ", "!file ", "!!timestamp ", "!!int ", "!!binary ", "!!map ", "!mine ", "HOME", "DATE"),
    *("'", '"', "|", ">", "#", "%", "---\n", "...\n", "5", "true", "~", "=", "2024-08-12", "\t", "\\n"),
)


@never_late
@given(st.lists(st.sampled_from(TOKENS), max_size=40).map("".join))
def test_any_pieces_of_yaml_give_a_table_or_mistakes(text: str) -> None:
    assert_read_is_sound(text)


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.datetimes()
    | st.binary(max_size=4) | st.text(max_size=8)
    | st.sampled_from([*EVENT_TYPES, "*", "a.b", "", ".", "!env HOME", "prod-*"])
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3),
    max_leaves=6,
)


def near(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what is right, sometimes anything."""
    return right | right | right | values


hook_shapes = st.fixed_dictionaries(
    {},
    optional={
        "name": near(st.text(min_size=1, max_size=3)),
        "event_type": near(st.sampled_from(EVENT_TYPES) | st.lists(st.sampled_from(EVENT_TYPES))),
        "implementation": near(st.sampled_from(["a.b", "a-b.c.d", "a", "a..b"])),
        "inputs": near(st.none() | st.dictionaries(st.text(max_size=3), values, max_size=3)),
        "when": near(
            st.dictionaries(
                st.sampled_from(["tenant_name", "is_system_workflow", "tenant"]), values, max_size=2
            )
        ),
        "timeout": near(st.floats(0, 90_000)),
        "retries": near(st.integers(-1, 1_001)),
        "repeatable": near(st.booleans()),
        "fresh": near(st.booleans()),
        "enabled": near(st.booleans()),
        "description": values,
        "time_out": values,
    },
)
file_shapes = st.fixed_dictionaries(
    {},
    optional={
        "hooks": near(st.lists(near(hook_shapes), max_size=4)),
        "listener": near(
            st.fixed_dictionaries(
                {},
                optional={
                    "state_dir": near(st.text(max_size=8)),
                    "python": near(st.text(max_size=8)),
                    "python_path": near(st.lists(st.text(max_size=8), max_size=2)),
                },
            )
        ),
        "hook": values,
    },
)


@never_late
@given(near(file_shapes), st.booleans())
def test_anything_near_the_right_shape_gives_a_table_or_mistakes(shape: object, is_flow: bool) -> None:
    assert_read_is_sound(yaml.safe_dump(shape, default_flow_style=is_flow))
