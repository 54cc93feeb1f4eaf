"""What a hook's function gets as its first argument: the original's hook context exactly.

The expected contexts are written out, so that nothing is computed as the code computes it.
"""

from __future__ import annotations

from typing import Any

import pytest

from listener.model.notification import Notification, storable
from tests.model.support import TOKEN

KEPT = {
    "message_type": "hook",
    "is_system_workflow": False,
    "blueprint_id": "bp1",
    "deployment_id": "dep1",
    "execution_id": "1a2b3c4d-0000-4000-8000-000000000003",
    "workflow_id": "install",
    "tenant_name": "default_tenant",
    "rest_token": TOKEN,
    "execution_parameters": {"node_ids": []},
}
CONTEXT = {**KEPT, "tenant": {"name": "default_tenant"}}


@pytest.mark.parametrize(
    "more", [{}, {"is_system_workflow": True, "blueprint_id": None, "deployment_id": None}]
)
def test_the_hook_context_is_the_original_s(more: dict[str, Any]) -> None:
    notification = Notification(
        "workflow_failed", {**CONTEXT, **more}, "2024-08-12T13:16Z", "execution failed", None, "4711"
    )

    found = notification.hook_context()

    assert found == {
        **KEPT,
        **more,
        "event_type": "workflow_failed",
        "timestamp": "2024-08-12T13:16Z",
        "arguments": None,
    }
    found.clear()
    assert notification.context == {**CONTEXT, **more}


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
    own = {"event_type": "workflow_failed", "timestamp": "2024", "arguments": {"error": "x"}}

    found = Notification("workflow_failed", context, "2024", arguments={"error": "x"}).hook_context()

    assert found == {**own, "tenant_name": None}


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
    context = {key: None if key in KEPT else value for key, value in CONTEXT.items()}
    for key in lacking:
        del context[key]

    assert Notification("workflow_failed", context).missing_fields() == missing


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("plain", "plain"),
        ("Grüße €😀\0", "Grüße €😀\0"),
        ("half \ud83d, other half \ude00", "half \\ud83d, other half \\ude00"),
        ("byte \udcff ü", "byte \\udcff ü"),
    ],
)
def test_half_a_surrogate_pair_is_written_out(text: str, stored: str) -> None:
    assert storable(text) == storable(stored) == stored
