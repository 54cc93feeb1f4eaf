"""Jobs: the hooks of a new delivery, and what becomes of them when hooks.conf has changed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from listener.dispatch.job import Job, planned, resumed
from listener.errors import UnreadableNotification
from listener.hooks.file import load
from listener.hooks.table import HookTable
from listener.model.delivery import decode
from listener.model.entry import Entry, Run
from tests.dispatch.support import TOKEN, delivery, hook


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hooks.conf"


def table(path: Path, *hooks: str) -> HookTable:
    """The table of a real hooks.conf with these hooks."""
    path.write_text("\n".join(["hooks:", *(f"- {{{each}}}" for each in hooks)]))
    found = load(path, {}).table
    assert found is not None
    return found


def stored(job: Job) -> Entry:
    """The entry as the journal has it."""
    return msgspec.structs.replace(job.entry, id=9)


def test_a_new_delivery_has_a_pending_run_for_each_hook_that_matches_in_the_file_s_order(
    path: Path,
) -> None:
    hooks = table(
        path,
        hook("other event", event_type="workflow_queued"),
        hook("other tenant", when={"tenant_name": "ACME"}),
        hook("tenant", when={"tenant_name": "ac*"}),
        hook("disabled", enabled=False),
        hook(None, implementation="m.unnamed"),
        hook("any", event_type="*"),
    )

    job = planned(delivery(serial=7), hooks, 1000.0)

    assert [(run.hook, run.implementation, run.state) for run in job.entry.runs] == [
        ("tenant", "tenant.f", "pending"),
        ("workflow_failed-5", "m.unnamed", "pending"),
        ("any", "any.f", "pending"),
    ]
    assert [found.name for found in job.hooks if found] == [run.hook for run in job.entry.runs]
    assert [bool(run.fingerprint) for run in job.entry.runs] == [False, True, False]
    assert (job.entry.state, job.entry.received_at) == ("pending", 1000.0)
    assert job.entry.key == delivery(serial=7).key
    assert job.hook_context == delivery().notification.hook_context()


def test_what_cannot_be_read_or_has_no_table_has_no_runs() -> None:
    unreadable = planned(decode('{"event_ty', source="s", origin="o"), None, 1000.0)
    assert (unreadable.entry.state, unreadable.entry.runs) == ("unreadable", ())
    assert planned(delivery(), None, 1000.0).entry.state == "ignored"


def test_what_nothing_can_recognise_gets_a_key_that_no_other_has() -> None:
    keys = {planned(delivery(), None, 1000.0).entry.key for _ in range(3)}
    assert len(keys) == 3
    assert all(keys)


def test_the_log_calls_a_job_by_its_execution_its_origin_and_its_entry(path: Path) -> None:
    hooks = table(path, hook("h"))
    job = planned(delivery("x\n1", serial=7), hooks, 1000.0)
    assert job.about == "execution x\\n1, serial 7"
    assert resumed(stored(job), hooks).about == "execution x\\n1, supervisord, entry 9"


def test_a_stored_entry_has_its_notification_again_with_the_token(path: Path) -> None:
    hooks = table(path, hook("h"))
    before = planned(delivery("ü€😀\x00", message={"text": "t", "arguments": ["a"]}), hooks, 1000.0)
    assert TOKEN not in before.entry.body

    again = resumed(stored(before), hooks)

    assert again.notification == before.notification
    assert again.hook_context == before.hook_context
    [found] = hooks.hooks
    call = again.call(0, found)
    assert (call.hook, call.notification, call.hook_context) == (
        found,
        again.notification,
        again.hook_context,
    )
    assert (call.received_at, call.reached, call.entry_id) == (1000.0, (), 9)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (hook("h", inputs={"to": "b"}, timeout=7), ("h", "h.f", 7.0)),
        (hook("h", implementation="corrected.f"), ("h", "corrected.f", 60.0)),
        (hook("h", when={"workflow_id": "heal"}), ("h", "h.f", 60.0)),
        (hook("h", event_type="*"), ("h", "h.f", 60.0)),
        (hook("h", event_type="workflow_queued"), None),
        (hook("h", enabled=False), None),
        (hook("renamed", implementation="h.f"), None),
    ],
)
def test_a_run_of_a_stored_entry_has_its_hook_as_hooks_conf_is_now(
    path: Path, now: str, expected: tuple[str, str, float] | None
) -> None:
    entry = stored(planned(delivery(), table(path, hook("h", inputs={"to": "a"})), 1000.0))

    job = resumed(entry, table(path, hook("added"), now))

    [found], [run] = job.hooks, job.entry.runs
    if expected is None:
        assert (found, run) == (None, Run("h", "h.f"))
    else:
        assert found is not None
        assert (found.name, found.implementation, found.timeout_s) == expected
        assert (run.hook, run.implementation) == expected[:2]


def test_the_time_of_receipt_decides_also_when_an_entry_is_resumed(path: Path) -> None:
    half_past_noon = 1_767_616_200.0

    def hooks(version: int) -> HookTable:
        times = {"noon": "12:00-13:00", "other": "13:00-12:00"}
        return table(path, *(
            hook(None, implementation="m.page", inputs={name: version}, when={"during": during})
            for name, during in times.items()
        ))  # fmt: skip

    entry = stored(planned(delivery(), hooks(1), half_past_noon))
    [found] = resumed(entry, hooks(2)).hooks

    assert found is not None
    assert found.inputs == {"noon": 2}


def test_a_stored_text_that_is_damaged_is_no_job(path: Path) -> None:
    entry = Entry(9, 1000.0, "supervisord", "pending", '{"event_ty', runs=(Run("h", "h.f"),))
    with pytest.raises(UnreadableNotification):
        resumed(entry, table(path, hook("h")))
