"""The conditions of hooks beside plain fields: not, any, !regex, parameters, times."""

from __future__ import annotations

from typing import Any

import pytest

from listener.hooks.conf import read
from listener.hooks.explanation import reasons, refusal
from listener.hooks.table import HookTable

SATURDAY, SUNDAY = 1_768_046_400.0, 1_768_132_800.0  # noon in UTC
SIZE = {"size": {"gb": 2, "fast": True}, "nodes": ["a", {"id": "b7"}], "0": "zero"}


def read_when(when: str, event_type: str = "workflow_failed") -> tuple[HookTable, list[str]]:
    """A table with one hook that has these conditions, and what is wrong or doubtful."""
    text = f"hooks:\n- event_type: {event_type}\n  implementation: a.b\n  when: {when}\n"
    table, mistakes = read(text, env={"N": "acme"}, folder="/")
    assert table is not None
    return table, [mistake.as_text("").removeprefix(", ") for mistake in mistakes]


def holds(when: str, at: float = 0.0, **context: Any) -> bool:
    table, doubts = read_when(when)
    assert doubts == []
    return table.match("workflow_failed", context, at) != []


@pytest.mark.parametrize(
    ("when", "matching", "other"),
    [
        ("{not: {tenant_name: acme}}", ["b", None], ["acme"]),
        ("{tenant_name: 'a*', not: {tenant_name: [acme, alien]}}", ["a"], ["acme", "b"]),
        ("{any: [{tenant_name: acme}, {tenant_name: 'b*'}]}", ["acme", "b2"], ["c", None]),
        ("{any: {tenant_name: acme}}", ["acme"], ["c"]),
        ("{any: [{not: {tenant_name: 'a*'}}, {tenant_name: acme}]}", ["acme", "b"], ["a"]),
        ("{tenant_name: !regex 'prod|^test$'}", ["preprod1", "test"], ["test1", None, 5]),
        ("{tenant_name: [!regex '^[0-9]+$', !env N]}", ["12", "acme"], ["x1"]),
    ],
)
def test_conditions_combine_and_take_regular_expressions(
    when: str, matching: list[object], other: list[object]
) -> None:
    assert [value for value in matching if not holds(when, tenant_name=value)] == []
    assert [value for value in other if holds(when, tenant_name=value)] == []


@pytest.mark.parametrize(
    ("when", "why"),
    [
        ("{tenant_name: [acme, 'b*', !regex '^x', null, !env N]}",
         """tenant_name: wants "acme" or "b*" or !regex '^x' or nothing or !env N, found "c\""""),
        ("{deployment_id: null, tenant_name: a}", 'tenant_name: wants "a", found "c"'),
        ("{is_system_workflow: true}", "is_system_workflow: wants true, found nothing"),
        ("{execution_parameters.n: [1, 2]}", "execution_parameters.n: wants 1 or 2, found 3"),
        ("{execution_parameters.db_password: a}", "execution_parameters.db_password: wants …, found …"),
        ("{not: {tenant_name: c, deployment_id: null}}", "not: wants anything but (tenant_name:"
         ' "c", deployment_id: nothing), found tenant_name: "c", deployment_id: nothing'),
        ("{any: [{tenant_name: a}, {tenant_name: c, workflow_id: w}]}", 'any: wants (tenant_name: "a")'
         ' or (tenant_name: "c", workflow_id: "w"), found tenant_name: "c", workflow_id: nothing'),
        ("{not: {any: [{tenant_name: a}, {tenant_name: c}]}}", 'not: wants anything but (any:'
         ' (tenant_name: "a") or (tenant_name: "c")), found any: tenant_name: "c"'),
        ("{during: [Sun, 'Sat 08:00-09:00 Europe/Berlin']}", 'during: wants "Sun" or "Sat 08:00-09:00'
         ' Europe/Berlin", found Sat 2026-01-10 12:00 UTC or Sat 2026-01-10 13:00 Europe/Berlin'),
    ],
)  # fmt: skip
def test_the_first_condition_that_fails_says_what_it_wants_and_what_there_is(
    when: str, why: str
) -> None:
    [hook] = read_when(when)[0].hooks
    context = {"tenant_name": "c", "execution_parameters": {"n": 3, "db_password": "b"}}

    assert str(refusal(hook, "workflow_failed", context, SATURDAY)) == f"when.{why}"


def test_a_hook_that_is_switched_off_or_for_another_event_says_so() -> None:
    [hook] = read_when("{tenant_name: a}", "[workflow_queued, workflow_failed]")[0].hooks
    assert str(refusal(hook, "workflow_started", {"tenant_name": "a"}, SATURDAY)) == (
        "event_type: wants workflow_queued or workflow_failed, found workflow_started"
    )
    off = hook._replace(enabled=False)
    assert str(refusal(off, "workflow_failed", {}, SATURDAY)) == "enabled: wants true, found false"


def test_what_each_condition_of_a_hook_has_found_is_why_it_runs() -> None:
    [hook] = read_when("{tenant_name: a, during: Sat}")[0].hooks
    found = list(reasons(hook, "workflow_failed", {"tenant_name": "a"}, SATURDAY))
    assert found == [
        "event_type: workflow_failed",
        'when.tenant_name: "a"',
        "when.during: Sat 2026-01-10 12:00 UTC",
    ]


def test_not_excludes_only_what_has_all_of_its_values() -> None:
    when = "{not: {tenant_name: acme, deployment_id: 'test-*'}}"

    assert holds(when, tenant_name="acme", deployment_id="prod-1")
    assert not holds(when, tenant_name="acme", deployment_id="test-1")


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("size.gb: 2", True),
        ("size.gb: 2.0", True),
        ("size.gb: [1, 2]", True),
        ("size.gb: 3", False),
        ("size.gb: '2'", False),
        ("size.fast: true", True),
        ("size.fast: 1", False),
        ("size.fast: [false, null]", False),
        ("nodes.0: a*", True),
        ("nodes.1.id: !regex '^b'", True),
        ("nodes.2: null", True),
        ("nodes.-1: null", True),
        ("nodes.x.y: null", True),
        ("'0': zero", True),
        ("gone: null", True),
        ("gone.deeper: '*'", False),
        ("size: '*'", False),
    ],
)
def test_a_parameter_is_found_by_its_path(condition: str, expected: bool) -> None:
    path, _, value = condition.replace("'0'", "0").partition(": ")
    when = f"{{execution_parameters.{path}: {value}}}"

    assert holds(when, execution_parameters=SIZE) is expected
    assert holds(when, execution_parameters=None) is ("null" in value)
    assert holds(f"{{not: {when}}}", execution_parameters=SIZE) is not expected


def test_the_time_of_receipt_is_what_during_asks_for() -> None:
    assert holds("{during: Sat}", SATURDAY)
    assert not holds("{during: Sat}", SUNDAY, timestamp="2026-01-10T12:00:00Z")
    assert holds("{during: [Mon, 'Sun 13:00-14:00 Europe/Berlin']}", SUNDAY)
    assert not holds("{during: Sun, not: {during: '11:00-13:00'}}", SUNDAY)


@pytest.mark.parametrize(
    ("when", "matching"),
    [
        ("{hook: page-*}", True),
        ("{attempts: 3}", True),
        ("{attempts: [1, 2]}", False),
        ("{error: !regex 'timed? out'}", True),
    ],
)
def test_hook_failed_has_fields_of_its_own(when: str, matching: bool) -> None:
    table, doubts = read_when(when, "hook_failed")
    context = {"hook": "page-oncall", "error": "it timed out", "attempts": 3}

    assert doubts == []
    assert bool(table.match("hook_failed", context, 0.0)) is matching


@pytest.mark.parametrize(
    ("when", "mistake"),
    [
        ("{not: [{tenant_name: a}]}", "line 4: hook 1: 'when': 'not' must be a mapping, found a list"),
        ("{any: []}", "line 4: hook 1: 'when': 'any' is an empty list; name at least one"),
        ("{any: [a]}", "line 4: hook 1: 'when': 'any' must be a mapping, found the text 'a'"),
        ("{not: {tenant: a}}", "line 4: hook 1: 'when': 'not' has the unknown key 'tenant'; did you"),
        ("{tenant_name: !regex '('}", "line 4: !regex '(' is no regular expression: missing )"),
        ("{tenant_name: !regex [a]}", "line 4: !regex takes a text"),
        ("{is_system_workflow: !regex a}", "line 4: hook 1: 'when': 'is_system_workflow' must be"),
        ("{execution_parameters.a: {b: 1}}", "line 4: hook 1: 'when': 'execution_parameters.a' must"),
        ("{execution_parameters: a}", "line 4: hook 1: 'when' has the unknown key"),
        ("{during: 5}", "line 4: hook 1: 'when': 'during' must be a text, found 5"),
        ("{during: [Mon, Mo]}", "line 4: hook 1: 'when': 'during' must be days, times or both"),
        ("{attempts: '>= 3'}", "line 4: hook 1: 'when': 'attempts' must be a whole number from 1 to"),
    ],
)  # fmt: skip
def test_a_wrong_condition_is_a_mistake_at_its_line(when: str, mistake: str) -> None:
    table, [found] = read_when(when)

    assert found.startswith(mistake)
    assert table.hooks[0].problem


@pytest.mark.parametrize(
    "when",
    ["{tenant_name: 5}", "{tenant_name: a, during: '25:00-26:00'}", "{not: {tenant_name: [b, 5]}}"],
)
def test_a_hook_with_a_wrong_condition_fails_for_every_event_as_nobody_knows_which_it_wants(
    when: str,
) -> None:
    table, _ = read_when(when)

    [hook] = table.match("workflow_failed", {"tenant_name": "b"}, 0.0)
    assert hook.problem
    assert table.match("workflow_queued", {"tenant_name": "b"}, 0.0) == []


@pytest.mark.parametrize(
    ("when", "event_type", "doubt"),
    [
        ("{not: {}}", "'*'", "can never hold: 'not' excludes"),
        ("{tenant_name: a, not: {tenant_name: [a, b]}}", "'*'", "can never hold: 'not' excludes"),
        ("{event_type: workflow_queued}", "workflow_failed", "'event_type' can never hold for"),
        ("{attempts: 3}", "workflow_failed", "'attempts' can never hold for"),
        ("{tenant_name: [a, c], not: {tenant_name: [a, b]}}", "'*'", ""),
        ("{tenant_name: a, not: {tenant_name: a, deployment_id: b}}", "'*'", ""),
        ("{event_type: workflow_queued}", "'*'", ""),
        ("{event_type: '*_queued'}", "[workflow_queued, workflow_failed]", ""),
        ("{hook: [null, a]}", "workflow_failed", ""),
    ],
)  # fmt: skip
def test_what_can_never_hold_is_a_warning(when: str, event_type: str, doubt: str) -> None:
    table, doubts = read_when(when, event_type)

    assert [doubt in found for found in doubts] == [True] * bool(doubt)
    assert not table.hooks[0].problem
