"""!template: what fills it in, what is wrong with it, and that none takes long or grows large."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.errors import ActionFailed
from listener.hooks.conf import read
from listener.hooks.table import Hook
from listener.hooks.template import MOST_CHARACTERS, MOST_ITEMS, as_written, places, rendered
from listener.model.outcome import NEVER

HEAD = "hooks:\n- event_type: workflow_failed\n  implementation: a.b\n  inputs:\n"
FIELDS: Mapping[str, Any] = {
    "deployment_id": "prod-1",
    "text": "out of disk",
    "entry_id": 7,
    "execution_parameters": {"items": 3, "nodes": ["a", "b"], "size": {"gb": 2}},
    "arguments": None,
    "big": "x" * MOST_CHARACTERS,
}


def read_inputs(*lines: str, event_type: str = "workflow_failed") -> tuple[Hook, list[str]]:
    """The hook with these lines of inputs, and what is wrong or doubtful, by line."""
    head = HEAD.replace("workflow_failed", event_type)
    table, mistakes = read(head + "".join(f"    {line}\n" for line in lines), env={}, folder="/")
    assert table is not None
    return table.hooks[0], [mistake.as_text("").removeprefix(", ") for mistake in mistakes]


def text_of(text: str, **fields: Any) -> Any:
    """What a template in quotes gives as an input."""
    hook, _ = read_inputs("a: !template '" + text.replace("'", "''") + "'")
    assert not hook.problem
    return rendered(hook.inputs, {**FIELDS, **fields})["a"]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("no field", "no field"),
        ("{{ deployment_id }}: {{ text | upper }}", "prod-1: OUT OF DISK"),
        ("{{ blueprint_id }}|{{ arguments }}|{{ entry_id }}", "||7"),
        ("{{ blueprint_id or 'none' }} {{ blueprint_id | default('-') }}", "none -"),
        ("{{ blueprint_id | upper }}{{ blueprint_id | truncate(9) }}{{ blueprint_id ~ '!' }}", "!"),
        ("{{ execution_parameters.items }} {{ execution_parameters.size['gb'] }}", "3 2"),
        ("{{ execution_parameters.gone | default('x') }}", "x"),
        ("{{ execution_parameters.nodes | join(', ') }}", "a, b"),
        ("{% for n in execution_parameters.nodes %}{{ loop.index }}{{ n }};{% endfor %}", "1a;2b;"),
        ("{% if 'disk' in text %}{{ text[:3] }}{% else %}-{% endif %}", "out"),
        (
            "{{ {'text': text, 'gone': blueprint_id} | tojson }}",
            '{"text": "out of disk", "gone": null}',
        ),
        ("{{ text | replace('disk', 'paper') | urlencode }}", "out%20of%20paper"),
        ("{% for a in arguments %}{{ a }}{% else %}none{% endfor %}", "none"),
        ("<{{ '<&>' }}>", "<<&>>"),
    ],
)
def test_a_template_is_filled_in_with_the_fields(template: str, text: str) -> None:
    assert text_of(template) == text


def test_templates_stand_anywhere_among_the_inputs_and_nothing_else_changes() -> None:
    hook, doubts = read_inputs(
        "port: 5", "list: [x, !template '{{ text }}', {to: !template 'a'}]", "plain: '{{ text }}'"
    )

    assert doubts == []
    assert list(places(hook.inputs)) == ["list.1", "list.2.to"]
    assert rendered(hook.inputs, FIELDS) == {
        "port": 5, "list": ["x", "out of disk", {"to": "a"}], "plain": "{{ text }}"
    }  # fmt: skip
    assert as_written(hook.inputs)["list"] == ["x", "{{ text }}", {"to": "a"}]


@pytest.mark.parametrize(
    ("lines", "mistake"),
    [
        (["a: !template '{{ text'"], "line 5: !template: unexpected end of template"),
        (["a: !template |", "  ok", "  {% if text %}", "  {{ text | uper }}", "  {% endif %}"],
         "line 8: !template: there is no filter 'uper'; did you mean 'upper'?"),
        (["a: !template '{{ text is odd }}'"], "line 5: !template: there is no test 'odd'"),
        (["a: !template '{{ text.upper() }}'"], "line 5: !template: nothing can be called"),
        (["a: !template '{{ text * 9 }}'"], "line 5: !template: 'Mul' is not allowed"),
        (["a: !template '{{ 9 ** 9 }}'"], "line 5: !template: 'Pow' is not allowed"),
        (["a: !template '{{ \"%9d\" % 1 }}'"], "line 5: !template: 'Mod' is not allowed"),
        (["a: !template '{% set x = text ~ text %}'"], "line 5: !template: 'Assign' is not allowed"),
        (["a: !template '{% macro x() %}{% endmacro %}'"], "line 5: !template: 'Macro' is not allowed"),
        (["a: !template '{% for a in text %}{% for b in text %}{% endfor %}{% endfor %}'"],
         "line 5: !template: a loop cannot hold another one"),
        ([f"a: !template '{{{{ text{'.a' * 300} }}}}'"], "line 5: !template: it nests too deep"),
        ([f"a: !template '{{{{ {'(' * 9000} }}}}'"], "line 5: a value is nested too deep"),
        (["a: !template [x]"], "line 5: !template takes a text, and can stand only within a hook's"),
        (["!template a: x"], "line 5: !template takes a text, and can stand only within a hook's"),
        (["a: !regex x"], "line 5: !regex takes a text, and can stand only within a hook's 'when'"),
    ],
)  # fmt: skip
def test_what_no_template_can_hold_is_a_mistake_at_its_line(lines: list[str], mistake: str) -> None:
    hook, [found] = read_inputs(*lines)

    assert found.startswith(mistake)
    assert hook.problem


@pytest.mark.parametrize(
    "line", ["timeout: !template 5", "name: !template x", "when: {tenant_name: !template x}"]
)
def test_a_template_stands_only_among_inputs(line: str) -> None:
    _, [mistake] = read(f"{HEAD}    a: b\n  {line}\n", env={}, folder="/")

    assert mistake.text == "!template takes a text, and can stand only within a hook's 'inputs'"


def test_an_unknown_field_is_a_warning_with_the_nearest_one() -> None:
    lines = ["a: !template |", "  {{ text }}", "  {{ deployment }}", "b: !template '{{ rest_token }}'"]
    _, doubts = read_inputs(*lines)

    assert doubts == [
        "line 7: hook 'workflow_failed-1': !template: Conductor sends no field 'deployment'; did you"
        " mean 'deployment_id'?",
        "line 8: hook 'workflow_failed-1': !template: hands the secret rest_token to the action",
    ]


@pytest.mark.parametrize(
    ("event_type", "field"),
    [
        ("hook_failed", "error"),
        ("hook_suppressed", "count"),
        ("workflow_overdue\n  after: 2h", "overdue_s"),
    ],
)
def test_fields_of_our_own_events_are_known_where_they_come(event_type: str, field: str) -> None:
    template = f"a: !template '{{{{ {field} }}}}'"
    assert read_inputs(template, event_type=event_type)[1] == []
    assert len(read_inputs(template, event_type="workflow_failed")[1]) == 1


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ txt }}", "the notification has no field 'txt'; did you mean 'text'?"),
        ("{{ execution_parameters.node }}", "there is no 'node' in that value; did you mean 'nodes'?"),
        ("{{ text.upper }}", "there is no 'upper' in that value"),
        ("{{ text['__class__'] }}", "there is no '__class__' in that value"),
        ("{{ [] | first }}", "No first item, sequence was empty."),
        ("{{ text < 1 }}", "'<' not supported between instances of 'str' and 'int'"),
        ("{{ text | truncate(1) }}", "expected length >= 3, got 1"),
        ("{% for x in big %}{% endfor %}", f"a loop goes over more than {MOST_ITEMS} items"),
        ("{{ big|replace('',big) }}", f"'replace' makes more than {MOST_CHARACTERS} characters longer"),
        ("{{ big | join(big) }}", f"'join' makes more than {MOST_CHARACTERS} characters"),
    ],
)  # fmt: skip
def test_what_cannot_be_filled_in_fails_for_good_and_names_the_line(template: str, reason: str) -> None:
    hook, _ = read_inputs("a: !template |", "  first", f"  {template}")

    with pytest.raises(ActionFailed) as failure:
        rendered(hook.inputs, FIELDS)

    assert str(failure.value) == f"hooks.conf, line 7: !template: {reason}"
    assert failure.value.retry_after_s == NEVER


def test_a_text_is_as_long_as_the_limit_and_no_longer() -> None:
    assert len(text_of("{{ big }}")) == MOST_CHARACTERS
    with pytest.raises(ActionFailed, match=f"its text has more than {MOST_CHARACTERS} characters"):
        text_of("{{ big }}!")


def test_a_loop_that_takes_long_ends_before_its_next_item(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu_s = itertools.count(0.0, 0.4)
    monkeypatch.setattr(time, "thread_time", cpu_s.__next__)

    assert text_of("{% for x in [1, 2] %}{{ x }}{{ loop.last }}{% endfor %}") == "1False2True"
    with pytest.raises(ActionFailed, match="line 5: !template: a loop takes more than 1 s"):
        text_of("{% for x in [1, 2, 3] %}{{ x }}{% endfor %}")


pieces = st.sampled_from(
    ["{{ ", " }}", "{% ", " %}", "for x in ", "endfor", "if ", "endif", "else", "text", "big", "x",
     "execution_parameters", ".", "nodes", " | ", "join", "replace", "upper", "tojson", "items", "(",
     ")", ", ", "[", "]", "1", "'a'", " ~ ", " + ", " in ", " is ", "none", "loop", "{", ":", "}", "-"]
)  # fmt: skip


@settings(print_blob=True, derandomize=False, max_examples=200)
@given(st.lists(pieces, max_size=20).map("".join))
def test_any_template_is_a_mistake_or_gives_a_bounded_text_or_fails(template: str) -> None:
    hook, doubts = read_inputs(f'a: !template "{template}"')
    if hook.problem:
        assert doubts
        return
    try:
        assert len(rendered(hook.inputs, FIELDS)["a"]) <= MOST_CHARACTERS
    except ActionFailed as error:
        assert "hooks.conf, line 5: !template: " in str(error)
