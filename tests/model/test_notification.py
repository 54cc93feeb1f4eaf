"""What a hook's function gets as its first argument: the original's hook context exactly.

The expected contexts are written out, so that nothing is computed as the code computes it.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.model.notification import Notification

TOKEN = "ctok-AbCdEfGhIj-0123456789abcdefghijklmnopqrstuvwxyzABCD"

CONTEXT = {
    "message_type": "hook",
    "is_system_workflow": False,
    "blueprint_id": "bp1",
    "deployment_id": "dep1",
    "execution_id": "1a2b3c4d-0000-4000-8000-000000000003",
    "workflow_id": "install",
    "tenant_name": "default_tenant",
    "rest_token": TOKEN,
    "tenant": {"name": "default_tenant"},
    "execution_parameters": {"node_ids": []},
}


def test_the_hook_context_is_the_original_s() -> None:
    notification = Notification(
        event_type="workflow_failed",
        context=CONTEXT,
        timestamp="2024-08-12T13:16:13.123Z",
        text="'install' workflow execution failed",
        arguments=None,
        id="4711",
    )

    assert notification.hook_context() == {
        "message_type": "hook",
        "is_system_workflow": False,
        "blueprint_id": "bp1",
        "deployment_id": "dep1",
        "execution_id": "1a2b3c4d-0000-4000-8000-000000000003",
        "workflow_id": "install",
        "tenant_name": "default_tenant",
        "rest_token": TOKEN,
        "execution_parameters": {"node_ids": []},
        "event_type": "workflow_failed",
        "timestamp": "2024-08-12T13:16:13.123Z",
        "arguments": None,
    }


def test_the_hook_context_of_a_system_workflow_is_the_original_s() -> None:
    context = {
        "message_type": "hook",
        "is_system_workflow": True,
        "blueprint_id": None,
        "deployment_id": None,
        "execution_id": "x",
        "workflow_id": "create_snapshot",
        "tenant_name": "default_tenant",
        "rest_token": TOKEN,
        "tenant": {"name": "default_tenant"},
    }

    assert Notification("workflow_started", context, "2024-08-12T13:16Z").hook_context() == {
        "message_type": "hook",
        "is_system_workflow": True,
        "blueprint_id": None,
        "deployment_id": None,
        "execution_id": "x",
        "workflow_id": "create_snapshot",
        "tenant_name": "default_tenant",
        "rest_token": TOKEN,
        "event_type": "workflow_started",
        "timestamp": "2024-08-12T13:16Z",
        "arguments": None,
    }


@pytest.mark.parametrize(
    ("context", "tenant_name"),
    [
        ({"tenant": {"name": "acme"}, "tenant_name": "other"}, "acme"),
        ({"tenant": {"name": "acme"}}, "acme"),
        ({"tenant": {"name": None}, "tenant_name": "other"}, None),
        ({"tenant": {}, "tenant_name": "acme"}, "acme"),
        ({"tenant": {}}, None),
        ({"tenant": None, "tenant_name": "acme"}, "acme"),
        ({"tenant": "text", "tenant_name": "acme"}, "acme"),
        ({"tenant_name": "acme"}, "acme"),
        ({}, None),
    ],
)
def test_the_tenant_s_name_is_found_where_there_is_one(
    context: dict[str, Any], tenant_name: str | None
) -> None:
    hook_context = Notification("workflow_failed", context).hook_context()

    assert hook_context["tenant_name"] == tenant_name
    assert "tenant" not in hook_context


def test_the_notification_s_own_fields_win_over_equal_names_in_the_context() -> None:
    context = {"event_type": "a", "timestamp": "b", "arguments": "c"}

    hook_context = Notification(
        "workflow_failed", context, "2024", arguments={"error": "x"}
    ).hook_context()

    assert hook_context == {
        "event_type": "workflow_failed",
        "timestamp": "2024",
        "arguments": {"error": "x"},
        "tenant_name": None,
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, print_blob=True, derandomize=False)
@given(
    st.dictionaries(
        st.sampled_from([*CONTEXT, "event_type", "timestamp", "arguments"]) | st.text(), json_values
    ),
    json_values,
)
def test_the_hook_context_is_a_new_dict_and_the_notification_stays_as_it_is(
    context: dict[str, Any], arguments: Any
) -> None:
    notification = Notification("workflow_failed", context, arguments=arguments)
    before = copy.deepcopy(notification)

    first = notification.hook_context()
    kept = dict(first)
    first.clear()

    assert notification == before
    assert notification.hook_context() == kept
    untouched = context.keys() - {"tenant", "tenant_name", "event_type", "timestamp", "arguments"}
    assert all(kept[key] is context[key] for key in untouched)
    assert kept.keys() == untouched | {"tenant_name", "event_type", "timestamp", "arguments"}


@pytest.mark.parametrize(
    ("lacking", "missing"),
    [
        ([], []),
        (["rest_token", "blueprint_id", "execution_parameters"], []),
        (["tenant"], []),
        (["tenant_name"], []),
        (["tenant", "tenant_name"], ["tenant_name"]),
        (["deployment_id", "execution_id"], ["execution_id", "deployment_id"]),
        (list(CONTEXT), ["execution_id", "workflow_id", "tenant_name", "deployment_id"]),
    ],
)
def test_missing_fields_are_those_that_conductor_always_sends(
    lacking: list[str], missing: list[str]
) -> None:
    context = {key: value for key, value in CONTEXT.items() if key not in lacking}

    assert Notification("workflow_failed", context).missing_fields() == missing


def test_a_field_that_is_null_is_not_missing() -> None:
    assert Notification("workflow_failed", dict.fromkeys(CONTEXT)).missing_fields() == []
