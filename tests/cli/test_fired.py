"""What `fire` leaves behind: entries in the history, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.place import HOOKS, Place, notification
from tests.support import event


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def test_what_was_fired_is_in_the_history(place: Place) -> None:
    fired = {"workflow_started": "done", "workflow_failed": "failed", "workflow_queued": "ignored"}
    for event_type, state in fired.items():
        result = place.run("fire", event_type, "--set", f"execution_id={state}")
        assert result.returncode == (0 if state == "done" else 1)
        assert re.search(
            rf"^entry \d is {state}; conductor-hooks show \d$", result.stdout, re.MULTILINE
        )
    history = json.loads(place.run("history", "--output", "json").stdout)[::-1]
    assert [entry["source"] for entry in history] == ["fire"] * 3
    for name in ("state", "execution_id"):
        assert [entry[name] for entry in history] == list(fired.values())
    failed = history[1]
    assert [(ran["hook"], ran["state"]) for ran in failed["runs"]] == [
        ("note", "done"),
        ("fail", "failed"),
    ]
    assert "ValueError: as it should" in place.run("show", str(failed["id"])).stdout


def test_a_file_with_an_id_can_be_fired_twice_and_delivered_still(place: Place) -> None:
    text = json.dumps(notification(id="mine"))
    (place.folder / "notification.json").write_text(text)
    for position in range(2):
        fired = place.run("fire", "--notification", "notification.json", "--output", "json")
        shown = json.loads(place.run("history", "--output", "json").stdout)
        assert (json.loads(fired.stdout), len(shown)) == (shown[0], position + 1)
    place.listen(event(text))
    assert place.notes() == ["e-1 None"] * 3
    assert [entry.source for entry in place.entries()] == ["fire", "fire", "supervisord"]


def test_fire_leaves_no_token_behind(place: Place) -> None:
    value = notification()
    value["context"]["rest_token"] = "ctok-0123456789abcdefghijklmnop"
    assert place.run("fire", "--notification", "-", input=json.dumps(value)).returncode == 0
    assert place.notes() == ["e-1 ctok-0123456789abcdefghijklmnop"]
    for file in place.files():
        assert b"0123456789abcdefghijklmnop" not in file.read_bytes()


def test_a_dry_run_leaves_nothing_behind(place: Place) -> None:
    assert place.run("fire", "workflow_started", "--dry-run").returncode == 0
    assert list(place.state.iterdir()) == []


def test_a_fired_hook_is_tried_once_and_settled(place: Place) -> None:
    hooks = HOOKS.replace("test_functions.fail}", "test_functions.fail, retries: 5}")
    place.conf.write_text(hooks)
    assert place.run("fire", "workflow_failed", "--set", "execution_id=e-1").returncode == 1
    place.listen()
    assert [entry.state for entry in place.entries()] == ["failed"]
    assert len(place.notes()) == 2  # of two hooks


def test_fire_works_without_a_state_directory_and_makes_none(place: Place) -> None:
    place.state.rmdir()
    result = place.run("fire", "workflow_started", "--set", "execution_id=e-1")
    assert (result.returncode, place.notes()) == (0, ["e-1 None"])
    assert "history" not in result.stderr
    assert not place.state.exists()


def test_fire_works_beside_a_journal_that_cannot_be_used(place: Place) -> None:
    (place.state / "journal.db").write_bytes(b"not what it was\n" * 1000)
    result = place.run("fire", "workflow_started", "--set", "execution_id=e-1")
    assert (result.returncode, place.notes()) == (0, ["e-1 None"])
    assert "the history will not show it: the journal" in result.stderr
