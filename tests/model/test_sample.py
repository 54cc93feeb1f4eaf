"""A made-up notification has the fields of a real one, and those that a person gives it."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta, timezone

import pytest

from listener.errors import HooksError
from listener.model.notification import EVENT_TYPES
from listener.model.payload import decode
from listener.model.sample import sample

NOW = datetime(2024, 8, 12, 15, 16, 13, 123456, timezone(timedelta(hours=2)))


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_sample_has_all_that_conductor_sends(event_type: str) -> None:
    made = sample(event_type, {}, NOW)

    execution_id = made["context"].pop("execution_id")
    assert uuid.UUID(execution_id).version == 4
    assert made == {
        "type": "cloudify_event",
        "event_type": event_type,
        "context": {
            "message_type": "hook",
            "is_system_workflow": False,
            "blueprint_id": "sample-blueprint",
            "deployment_id": "sample-deployment",
            "workflow_id": "install",
            "tenant_name": "default_tenant",
            "execution_parameters": {},
            "tenant": {"name": "default_tenant"},
        },
        "message": {"text": f"made up: {event_type}", "arguments": None},
        "timestamp": "2024-08-12T13:16:13.123Z",
        "message_code": None,
    }
    assert sample(event_type, {}, NOW)["context"]["execution_id"] != execution_id


def test_a_sample_takes_values_for_its_fields() -> None:
    values = {
        "tenant_name": "acme",
        "deployment_id": None,
        "execution_parameters": {"a": [1]},
        "text": "it broke",
        "error": "boom",
        "timestamp": "2020",
    }
    before = dict(values)

    made = sample("workflow_failed", values, NOW)

    assert values == before
    assert made["message"] == {"text": "it broke", "arguments": {"error": "boom"}}
    assert made["timestamp"] == "2020"
    found = decode(json.dumps(made))
    assert found.missing_fields() == []
    assert found.arguments == {"error": "boom"}
    context = found.hook_context()
    assert (context["tenant_name"], context["deployment_id"]) == ("acme", None)
    assert context["execution_parameters"] == {"a": [1]}


@pytest.mark.parametrize("name", ["tenant", "deployment", "event_type", ""])
def test_a_sample_has_no_other_fields(name: str) -> None:
    with pytest.raises(HooksError) as refusal:
        sample("workflow_failed", {name: "x"}, NOW)

    assert str(refusal.value) == (
        f"a notification has no field {name!r}; known are: message_type, is_system_workflow,"
        " blueprint_id, deployment_id, execution_id, workflow_id, tenant_name, execution_parameters,"
        " text, error, timestamp"
    )
