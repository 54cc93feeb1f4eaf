"""hooks.conf as operators write it, rightly and wrongly: each key of a hook, its default, its refusals.

What a person reads is compared word for word, with line and the nearest right key. The document's own
examples must load unchanged, and no text whatever may end the reading process.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.actions.check import check_hooks
from listener.actions.registry import Actions
from listener.hooks import yaml_lines
from listener.hooks.conf import read
from listener.hooks.settings import ListenerSettings
from listener.hooks.table import AtMost, Hook, HookTable, unmet
from listener.model.notification import EVENT_TYPES, OWN_EVENT_TYPES

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
"""

HOOK = "hooks:\n- event_type: workflow_failed\n  implementation: pkg.mod.func\n"

LIST = "'hooks' must be a list of hooks, each beginning with '-'"
DOTTED = "must be a dotted path, as in 'package.module.function'"
FIELDS = (
    "message_type, is_system_workflow, blueprint_id, deployment_id, execution_id, workflow_id,"
    " tenant_name, event_type, timestamp, hook, error, attempts, execution_parameters.NAME, not, any,"
    " during"
)

LIMIT = "must be like '10 per 5m' or '10 per 5m per deployment_id', of 1 to 1000 runs"
KNOWN = (*EVENT_TYPES, *OWN_EVENT_TYPES)
NO_EVENT = "'event_type': Conductor publishes no event type"

never_late = settings(print_blob=True, derandomize=False, max_examples=200)


def findings(text: str, **env: str) -> list[str]:
    """All that is wrong or doubtful in a hooks.conf, as a person reads it."""
    _, mistakes = read(text, env=env, folder="/nowhere")
    return [mistake.as_text("hooks.conf").removeprefix("hooks.conf, ") for mistake in mistakes]


def table_of(text: str, **env: str) -> HookTable:
    table, mistakes = read(text, env=env, folder="/nowhere")
    assert table is not None, mistakes
    return table


def text_of(line: str) -> str:
    """A file with one hook that has this line, in place of a required one or as its third."""
    keys = {"event_type": "workflow_failed", "implementation": "a.b"}
    name, _, value = line.partition(":")
    return "hooks:\n- " + "\n  ".join(f"{key}: {text}" for key, text in {**keys, name: value}.items())


def hook_of(*lines: str, **env: str) -> Hook:
    """The one hook of a file that has these lines besides the required ones."""
    [hook] = table_of(HOOK + "".join(f"  {line}\n" for line in lines), **env).hooks
    return hook


# What is right


def test_the_document_s_plugin_example_loads_unchanged() -> None:
    first, second = table_of(PLUGIN_EXAMPLE).hooks

    assert findings(PLUGIN_EXAMPLE) == []
    assert 0 not in {first.fingerprint, second.fingerprint, first.fingerprint - second.fingerprint}
    assert first._replace(fingerprint=0) == Hook(
        name="workflow_started-1",
        event_types=("workflow_started",),
        implementation="cloudify-fabric-plugin.fabric_plugin.tasks.run_task",
        inputs={"tasks_file": "/tmp/fabric_test/tasks.py", "task_name": "test_started_task"},
        line=2,
        input_lines={"tasks_file": 5, "task_name": 6},
    )
    assert (second.name, second.line) == ("workflow_succeeded-2", 8)
    assert second.inputs["task_name"] == "test_succeeded_task"


def test_the_document_s_trap_example_loads_unchanged() -> None:
    [hook] = table_of(TRAP_EXAMPLE).hooks

    assert findings(TRAP_EXAMPLE) == []
    assert hook.implementation == "cloudify.snmp.snmp_trap.send_snmp_trap"
    assert hook.inputs == {
        "destination_address": "10.239.0.109",
        "destination_port": 162,
        "community_string": "testcommunity",
    }


def test_every_key_that_a_hook_can_have_is_read() -> None:
    hook = hook_of(
        "name: page-oncall",
        'when: {tenant_name: acme, deployment_id: "prod-*", workflow_id: [install, scale]}',
        "inputs: {team: core}",
        "timeout: 30",
        "retries: 3",
        "repeatable: false",
        "fresh: true",
        "enabled: false",
        "description: wakes somebody",
    )

    assert [each.name for each in hook.when] == ["tenant_name", "deployment_id", "workflow_id"]
    assert hook == Hook(
        name="page-oncall",
        event_types=("workflow_failed",),
        implementation="pkg.mod.func",
        inputs={"team": "core"},
        line=2,
        input_lines={"team": 6},
        when=hook.when,
        timeout_s=30.0,
        retries=3,
        repeatable=False,
        fresh=True,
        enabled=False,
    )


def test_what_a_hook_does_not_say_has_its_default() -> None:
    hook = hook_of()

    assert hook.fingerprint
    assert hook._replace(fingerprint=0) == Hook(
        "workflow_failed-1", ("workflow_failed",), "pkg.mod.func", {}, 2, {},
        when=(), timeout_s=60.0, retries=0, repeatable=None, fresh=False, enabled=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("event_type: [hook_failed, '*']", "event_types", ("hook_failed", "*")),
        ("event_type: [hook_failed, '*']", "name", "any-1"),
        ("event_type: [workflow_queued, hook_failed]", "name", "workflow_queued-1"),
        ("event_type: !env [E, workflow_queued]", "event_types", ("workflow_queued",)),
        ("implementation: page", "implementation", "page"),
        ("inputs:", "inputs", {}),
        ("inputs: {}", "inputs", {}),
        ("inputs: {since: 2024-08-12}", "inputs", {"since": "2024-08-12"}),
        ("inputs: []", "inputs", {}),
        ("inputs: ''", "inputs", {}),
        ("inputs: false", "inputs", {}),
        ("inputs: {5: a}", "inputs", {"5": "a"}),
        ("inputs: {port: !env [PORT, 162]}", "inputs", {"port": "162"}),
        ("name: 5", "name", "5"),
        ("inputs: {<<: {team: core, n: 1}, n: 2}", "inputs", {"team": "core", "n": 2}),
        ("inputs: {a: &x [1, null], c: *x}", "inputs", {"a": [1, None], "c": [1, None]}),
        ("timeout: 86400", "timeout_s", 86_400.0),
        ("timeout: !env T", "timeout_s", 7.5),
        ("fresh: yes", "fresh", True),
        ("enabled: !env [ENABLED, off]", "enabled", False),
        ("retries: !env [R, 010]", "retries", 10),
        ("at_most: 10 per 5m", "at_most", AtMost(10, 300.0, "", "10 per 5m")),
        ("at_most: 1 per 90 per tenant_name", "at_most",
         AtMost(1, 90.0, "tenant_name", "1 per 90 per tenant_name")),
        ("event_type: workflow_overdue\n  after: 2h", "after_s", 7200.0),
        ("event_type: [workflow_failed, workflow_overdue]\n  after: 90", "after_s", 90.0),
        ("description: {anything: [goes, !env GONE]}", "retries", 0),
        ("when: {}", "when", ()),
        ("when:", "when", ()),
    ],
)  # fmt: skip
def test_a_key_may_be_written_in_each_of_its_ways(line: str, key: str, value: object) -> None:
    [hook] = table_of(text_of(line), T="7.5").hooks

    assert findings(text_of(line), T="7.5") == []
    assert getattr(hook, key) == value


@pytest.mark.parametrize("tests", ["{a: b}", "!no such tag", "[&a [*a], {event: !env NONE}]"])
def test_the_section_tests_is_not_read_unless_it_is_asked_for(tests: str) -> None:
    assert findings(f"hooks: []\ntests: {tests}\n") == []
    assert table_of(f"hooks: []\ntests: {tests}\n").tests is None


def test_anchors_and_merge_keys_spare_operators_repetition() -> None:
    first, second, third = table_of("""\
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
""").hooks

    assert second.event_types == ("workflow_queued",)
    assert second.implementation == first.implementation
    assert second.inputs == {"destination_address": "10.0.0.1", "destination_port": 163}
    assert second.input_lines == {"destination_address": 5, "destination_port": 10}
    assert third.inputs == first.inputs
    assert third.fingerprint == first.fingerprint != second.fingerprint


@pytest.mark.parametrize(
    ("text", "is_blank"),
    [
        ("", True),
        ("# hooks:\n#   - nothing\n", True),
        ("---\nnull\n", True),
        ("{}\n", False),
        ("hooks: []\n", False),
        ("listener:\n", False),
    ],
)
def test_a_file_without_hooks_is_no_mistake(text: str, is_blank: bool) -> None:
    assert findings(text) == []
    assert table_of(text) == HookTable((), ListenerSettings(), is_blank)


@pytest.mark.parametrize(
    ("condition", "matching", "other"),
    [
        ("tenant_name: acme", ["acme"], ["acme2", "ACME", None]),
        ("tenant_name: 'prod-*'", ["prod-", "prod-\n1"], ["a-prod-1", None]),
        ("tenant_name: 'prod-?'", ["prod-1"], ["prod-12"]),
        ("tenant_name: 'prod-[!0-9]'", ["prod-a"], ["prod-7"]),
        ("tenant_name: '*'", ["", "two\nlines"], [None, 5]),
        ("tenant_name: '5'", ["5"], [5]),
        ("tenant_name: [a, 'b*']", ["a", "bb"], ["c"]),
        ("tenant_name: null", [None], [""]),
        ("tenant_name: [null, a]", [None, "a"], ["b"]),
        ("tenant_name: !env [T, acme]", ["acme"], ["T"]),
        ("tenant_name: ''", [""], ["a"]),
        ("timestamp: 2024-08-12", ["2024-08-12"], [None]),
        ("is_system_workflow: true", [True], [False, 1, None]),
        ("is_system_workflow: [false, null]", [False, None], [True, 0]),
    ],
)
def test_a_condition_matches_as_a_shell_pattern_a_value_or_any_of_a_list(
    condition: str, matching: list[object], other: list[object]
) -> None:
    hook = hook_of(f"when: {{{condition}}}")
    field = condition.partition(":")[0]

    assert [value for value in matching if unmet(hook.when, {field: value}, 0.0)] == []
    assert [value for value in other if not unmet(hook.when, {field: value}, 0.0)] == []
    assert (unmet(hook.when, {}, 0.0) is None) is (None in matching)


# What is wrong


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("- event_type: x\n", "line 1: the file must be a mapping, found a list"),
        ("\nnonsense\n", "line 2: the file must be a mapping, found the text 'nonsense'"),
        ("!env HOME\n", "line 1: the file must be a mapping, found what !env HOME gave"),
        ("hook: []\n", "line 1: the file has the unknown key 'hook'; did you mean 'hooks'?"),
        ("# none\nhooks:\n", f"line 2: {LIST}, found nothing"),
        ("hooks:\n  event_type: x\n", f"line 2: {LIST}, found a mapping"),
        ("hooks:\n- a.b\n", "line 2: hook 1 must be a mapping with 'event_type', found the text 'a.b'"),
        ("hooks:\n-\n", "line 2: hook 1 must be a mapping with 'event_type', found nothing"),
        ("hooks:\n- event_type: workflow_failed\n", "line 2: hook 1 has no 'implementation'; add it"),
        ("hooks:\n- {name: x, implementation: a.b}\n", "line 2: hook 'x' has no 'event_type'; add it"),
        (
            f"{HOOK}  name: &n first\n- <<: {{name: *n}}\n  name: second\n  event_type: '*'\n",
            "line 5: hook 'second' has no 'implementation'; add it",
        ),
        (HOOK + "  name: *x\n", "line 4: invalid YAML: found undefined alias"),
        ("listener: [a]\n", "line 1: listener must be a mapping, found a list"),
    ],
)  # fmt: skip
def test_a_mistake_of_shape_is_told_with_its_line_and_a_remedy(text: str, mistake: str) -> None:
    table, _ = read(text, env={}, folder="/nowhere")

    assert findings(text) == [mistake]
    assert (table is not None) is mistake.partition(": ")[2].startswith(
        "hook "
    )  # then it alone is lost


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ("time_out: 14", "hook 1 has the unknown key 'time_out'; did you mean 'timeout'?"),
        ("event_type: 5", "'event_type' must be a text, found 5"),
        ("event_type: [workflow_failed, [x]]", "'event_type' must be a text, found a list"),
        ("event_type: []", "'event_type' is an empty list; name at least one"),
        ("event_type: ['*', workflow_*]", f"{NO_EVENT} 'workflow_*'; did you mean 'workflow_queued'?"),
        ("event_type: boot", f"{NO_EVENT} 'boot'; known are: {', '.join(KNOWN)}, *"),
        ("implementation: 5", f"'implementation' {DOTTED}, found 5"),
        ("implementation: ''", f"'implementation' {DOTTED}, found an empty text"),
        ("implementation: pkg..func", f"'implementation' {DOTTED}, found the text 'pkg..func'"),
        ("implementation: .pkg", f"'implementation' {DOTTED}, found the text '.pkg'"),
        ("implementation: pkg.", f"'implementation' {DOTTED}, found the text 'pkg.'"),
        ("implementation: !env LATIN_1", f"'implementation' {DOTTED}, found what !env LATIN_1 gave"),
        ("name: [page]", "'name' must be a text, found a list"),
        ("name: ''", "'name' must be a text, found an empty text"),
        ("name: !env LATIN_1", "hook 'LATIN_1': 'name' must be a text, found what !env LATIN_1 gave"),
        ("inputs: core", "'inputs' must be a mapping, found the text 'core'"),
        ("inputs: !env SECRET", "'inputs' must be a mapping, found what !env SECRET gave"),
        ("inputs: {1.5: a}", "'inputs': a name must be a text, found 1.5"),
        ("inputs: {? [a] : b}", "a key must be a text or a number, found a list"),
        ("inputs: {a: !file /nowhere/x}", "!file /nowhere/x cannot be read: No such file or directory"),
        ("timeout: 0", "'timeout' must be a number of seconds from 0.01 to 86400, found 0"),
        (
            "timeout: !env SECRET",
            "'timeout' must be a number of seconds from 0.01 to 86400, found what !env SECRET gave",
        ),
        ("retries: 1001", "'retries' must be a whole number from 0 to 1000, found 1001"),
        *(
            (f"at_most: {wrong}", f"'at_most' {LIMIT}, found {found}")
            for wrong, found in (
                ("10", "10"),
                ("0 per 5m", "the text '0 per 5m'"),
                ("1001 per 5m", "the text '1001 per 5m'"),
                ("10 per 5w", "the text '10 per 5w'"),
                ("10 per 5m per tenant", "the text '10 per 5m per tenant'"),
            )
        ),
        ("after: 2h", "'after' belongs to workflow_overdue alone; remove it"),
        ("repeatable: 1", "'repeatable' must be true or false, found 1"),
        ("fresh: 'y'", "'fresh' must be true or false, found the text 'y'"),
        ("enabled:", "'enabled' must be true or false, found nothing"),
        ("when: acme", "'when' must be a mapping, found the text 'acme'"),
        ("when: {tenant: a}", "'when' has the unknown key 'tenant'; did you mean 'tenant_name'?"),
        ("when: {rest_token: a}", f"'when' has the unknown key 'rest_token'; known are: {FIELDS}"),
        ("when: {tenant_name: []}", "'when': 'tenant_name' is an empty list; name at least one"),
        (
            "when: {tenant_name: [a, 5]}",
            "'when': 'tenant_name' must be a text (write a number in quotes), found 5",
        ),
        (
            "when: {is_system_workflow: 'n'}",
            "'when': 'is_system_workflow' must be true or false, found the text 'n'",
        ),
    ],
)  # fmt: skip
def test_a_wrong_key_of_a_hook_is_told_at_its_line(line: str, mistake: str) -> None:
    at = {"event_type": 2, "implementation": 3}.get(line.partition(":")[0], 4) + line.count("\n")
    label = "hook 1: " if mistake.startswith("'") else ""

    env = {"SECRET": "hunter2", "LATIN_1": "\udce9"}

    [hook] = table_of(text_of(line), **env).hooks

    assert findings(text_of(line), **env) == [f"line {at}: {label}{mistake}"]
    is_warning = NO_EVENT in mistake
    assert hook.problem == ("" if is_warning else f"hooks.conf, line {at}: {label}{mistake}")


@pytest.mark.parametrize(
    ("keys", "mistake"),
    [
        ("", "line 2: hook 1 has no 'after', which workflow_overdue needs; add after: 2h"),
        ("after: 2", ""),
        ("<<: {after: 2h}", ""),
        (
            "after: soon",
            "line 2: hook 1: 'after' must be a duration of at most 30d, such as 90s, 5m, 2h or 1d,"
            " found the text 'soon'",
        ),
    ],
)
def test_a_hook_on_workflow_overdue_says_after_which_time(keys: str, mistake: str) -> None:
    text = f"hooks:\n- {{event_type: workflow_overdue, implementation: a.b, {keys}}}"

    assert findings(text) == ([mistake] if mistake else [])


def test_a_hook_with_mistakes_keeps_what_could_be_read_and_harms_no_other() -> None:
    first, second, third, fourth = table_of("""\
hooks:
- {event_type: [workflow_failed, 5], implementation: a..b, inputs: {x: 1}, retries: 3}
- name: page
  event_type: '*'
  implementation: a.b
  inputs: {key: !file gone}
- text
- {event_type: workflow_failed, implementation: a.b}
""").hooks
    assert first._replace(problem="") == Hook(
        "workflow_failed-1", ("workflow_failed",), "", {"x": 1}, 2, {"x": 2}, retries=3
    )
    assert first.problem == (
        f"hooks.conf, line 2: hook 1: 'event_type' must be a text, found 5; hooks.conf, line 2: hook 1:"
        f" 'implementation' {DOTTED}, found the text 'a..b'"
    )
    assert (second.name, second.is_for("workflow_queued")) == ("page", True)
    assert (third.name, third.event_types) == ("hook-3", ())
    assert [bool(hook.problem) for hook in (first, second, third, fourth)] == [True, True, True, False]


# What the original does not look at


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (f"version: 1\n{HOOK}", "line 1: the file has the unknown key 'version', which is ignored"),
        (
            f"{HOOK}x-hooks: [!mine a, &a {{a: 1, a: 2}}]\n",
            "line 4: the file has the unknown key 'x-hooks', which is ignored",
        ),
        (HOOK + "  5: x\n", "line 4: hook 1 has the unknown key '5', which is ignored"),
        (
            HOOK + "  retry: 3\n",
            "line 4: hook 1 has the unknown key 'retry', which is ignored; did you mean 'retries'?",
        ),
        (HOOK + "  type: x\n", "line 4: hook 1 has the unknown key 'type', which is ignored"),
        (
            HOOK + "  Descripton: x\n",
            "line 4: hook 1 has the unknown key 'Descripton', which is ignored",
        ),
        (
            f"hooks: 5\n{HOOK}",
            "line 2: the key 'hooks' stands here twice; the last one counts",
        ),
        (
            HOOK + "  implementation: pkg.mod.func\n",
            "line 4: the key 'implementation' stands here twice; the last one counts",
        ),
        (
            f"{HOOK}- {{event_type: hook_failed, implementation: a.b, name: workflow_failed-1}}\n",
            "line 4: hook 2 has the name 'workflow_failed-1' of the hook in line 2, and is called"
            " 'workflow_failed-1-2'",
        ),
    ],
)
def test_what_has_no_effect_is_only_a_warning(text: str, warning: str) -> None:
    hook = table_of(text).hooks[0]

    assert findings(text) == [warning]
    assert (hook.implementation, hook.problem) == ("pkg.mod.func", "")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (4, HOOK + "  name: !env GONE\n"),
        (4, HOOK + "  inputs: {a: !env GONE}\n"),
        (4, HOOK + "  inputs: !env GONE\n"),
        (4, HOOK + "  when: {tenant_name: !env GONE}\n"),
        (4, HOOK + "  timeout: !seconds 5\n"),
        (4, HOOK + "  timeout: 1" + "0" * 5000 + "\n"),
        (2, "hooks:\n- event_type: !env GONE\n  implementation: a.b\n"),
        (1, "listener: {python: !env GONE}\n"),
        (1, "!mine {hooks: []}\n"),
        (2, "\nhooks: !mine []\n"),
        (4, HOOK + "  when: {tenant_name: !mine [a]}\n"),
        (4, HOOK + "listener: {python_path: !mine [/opt]}\n"),
        (4, HOOK + "  inputs: &i {a: !env X}\n- {event_type: '*', implementation: a.b, inputs: *i}\n"),
    ],
)  # fmt: skip
def test_one_wrong_thing_is_told_once(line: int, text: str) -> None:
    [mistake] = findings(text)

    assert mistake.startswith(f"line {line}: ")


def test_all_mistakes_are_told_at_once_in_the_file_s_order() -> None:
    text = """\
hooks:
  - event_type:
    - workflow_failed
    - workflow_faild
    - 5
    implementation: page.
    time_out: 5
  - a text
  - name: x
    event_type: workflow_failed
    implementation: a.b
    inputs: {since: !env GONE, key: !file gone}
  - name: x
    event_type: workflow_failed
listener:
  pyton: /x
"""
    assert findings(text) == [
        "line 4: hook 1: 'event_type': Conductor publishes no event type 'workflow_faild'; did you mean"
        " 'workflow_failed'?",
        "line 5: hook 1: 'event_type' must be a text, found 5",
        f"line 6: hook 1: 'implementation' {DOTTED}, found the text 'page.'",
        "line 7: hook 1 has the unknown key 'time_out'; did you mean 'timeout'?",
        "line 8: hook 2 must be a mapping with 'event_type', found the text 'a text'",
        "line 12: !file /nowhere/gone cannot be read: No such file or directory",
        "line 12: the environment variable 'GONE' is not set; set it (environment= in supervisord's"
        " section), or give a default, as in !env [NAME, default]",
        "line 13: hook 'x' has no 'implementation'; add it",
        "line 13: hook 4 has the name 'x' of the hook in line 9, and is called 'x-4'",
        "line 16: listener has the unknown key 'pyton'; did you mean 'python'?",
    ]


def test_what_was_found_is_shortened_in_a_mistake() -> None:
    mistakes = findings(f"{HOOK}  {'k' * 900}: 1\n  name: [{'v' * 900}]\n  enabled: {'v' * 900}\n")

    assert [len(mistake) < 400 for mistake in mistakes] == [True, True, True]


@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
@pytest.mark.parametrize("value", ["&i {a: *i}", "&i [[*i]]", "[" * 500 + "]" * 500])
def test_a_value_without_an_end_is_a_mistake_and_no_crash(
    value: str, loader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml_lines, "_Loader", getattr(yaml, loader))
    [mistake] = findings(f"{HOOK}  inputs: {{x: {value}}}\n")

    endless = "a value is nested too deep, or an alias (*) stands inside its own anchor (&)"
    assert mistake.removeprefix("line 4: ").removeprefix("hooks.conf: ") == endless


def test_each_hook_has_a_name_of_its_own_and_none_is_lost() -> None:
    hook = "{event_type: '*', implementation: a.b, name: "
    hooks = table_of(f"hooks: [{hook} a-3}}, {hook} a}}, {hook} a}}]").hooks
    assert [each.name for each in hooks] == ["a-3", "a", "a-3-3"]


# The lines of inputs that stand inside others


def lines_of_faults(text: str) -> list[tuple[str, ...]]:
    """Line, hook and subject of what `check` finds wrong with the inputs of the hooks."""
    table = table_of(text)
    with Actions(table.listener) as actions:
        mistakes = sorted(check_hooks(table, actions, may_import=False))
    return [tuple(mistake.as_text("").split(": ")[:3]) for mistake in mistakes]


def test_a_mistake_in_a_list_of_inputs_is_told_in_the_line_of_the_key() -> None:
    text = """\
hooks:
- event_type: workflow_failed
  implementation: cloudify.snmp.snmp_trap.send_snmp_trap
  inputs:
    community_string: public
    destination_port: 70000
    destinations:
      - 10.0.0.1:162
      - destination_address: 10.0.0.2
        destination_port:
          0
      -
        destination_address: 10.0.0.3
        true: 1
      - {destination_address: 10.0.0.5, prot: 1, layout: none}
      - [10.0.0.6]
"""
    name = "hook 'workflow_failed-1'"
    port = "'destination_port' must be a port from 1 to 65535, found 70000"
    assert lines_of_faults(text) == [
        (", line 6", name, port),
        *((f", line {line}", name, f"destination {number}")
          for line, number in ((8, 1), (10, 2), (13, 3), (15, 4), (15, 4), (16, 5))),
    ]  # fmt: skip


def test_what_a_template_will_give_is_not_judged_before_an_attempt() -> None:
    text = """\
hooks:
- event_type: workflow_failed
  implementation: cloudify.snmp.snmp_trap.send_snmp_trap
  inputs:
    community_string: public
    destination_port: !template "{{ arguments }}"
    destinations:
    - !template "{{ tenant_name }} "
    - {destination_address: 10.0.0.1, destination_port: 0}
"""
    assert lines_of_faults(text) == [(", line 9", "hook 'workflow_failed-1'", "destination 2")]


# Any text at all


def assert_read_is_sound(text: str) -> None:
    """A table or a mistake comes, and every mistake is one line with a place in the file."""
    table, mistakes = read(text, env={"HOME": "/home", "DATE": "2024-13-45"}, folder="/nowhere")

    wrong = {mistake.is_of_part for mistake in mistakes if not mistake.is_warning}
    assert (table is None) == (False in wrong)
    assert table is None or table.has_problem == (True in wrong)
    assert mistakes == sorted(mistakes)
    for mistake in mistakes:
        assert 0 <= mistake.line <= len(text.splitlines()) + 1
        assert len(mistake.text.splitlines()) == 1


TOKENS = (
    "hooks:", "listener:", "event_type:", "implementation: a.b", "inputs:", "when:", "timeout:",
    "name:", "a:", "1:", "? ", ": ", "- ", "<<: ", "&x ", "*x ", "[", "]", "{", "}", ", ", "\n", "  ",
    "!env ", "!file ", "!!timestamp ", "!!int ", "!!binary ", "!!map ", "!mine ", "HOME", "DATE",
    "'", '"', "|", ">", "#", "%", "---\n", "...\n", "5", "true", "~", "=", "2024-08-12", "\t", "\\n",
)  # fmt: skip


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


def mappings(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Some of these keys, with values near the right ones."""
    return st.fixed_dictionaries({}, optional={key: near(value) for key, value in keys.items()})


texts = st.text(max_size=8)
events = st.sampled_from(EVENT_TYPES)
fields = st.sampled_from(["tenant_name", "is_system_workflow", "tenant"])
hook_shapes = mappings(
    name=st.text(min_size=1, max_size=3),
    event_type=events | st.lists(events),
    implementation=st.sampled_from(["a.b", "a-b.c.d", "a", "a..b"]),
    inputs=st.none() | st.dictionaries(st.text(max_size=3), values, max_size=3),
    when=st.dictionaries(fields, values, max_size=2),
    timeout=st.floats(0, 90_000),
    retries=st.integers(-1, 1_001),
    repeatable=st.booleans(),
    fresh=st.booleans(),
    enabled=st.booleans(),
    description=values,
    time_out=values,
)
settings_shapes = mappings(state_dir=texts, python=texts, python_path=st.lists(texts, max_size=2))
file_shapes = mappings(
    hooks=st.lists(near(hook_shapes), max_size=4), listener=settings_shapes, x=values
)


@settings(never_late, max_examples=100)  # each is a whole file; other ones in every run
@given(near(file_shapes), st.booleans())
def test_anything_near_the_right_shape_gives_a_table_or_mistakes(shape: object, is_flow: bool) -> None:
    assert_read_is_sound(yaml.safe_dump(shape, default_flow_style=is_flow))
