"""explain, as a person at a shell uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from listener.state.journal import Journal
from tests.cli.commands import done, run_here, store

SUNDAY = 1_768_132_800.0  # noon in UTC
CONF = """
hooks:
  - {name: "off", event_type: "*", enabled: false, implementation: a.b}
  - {name: queued, event_type: workflow_queued, implementation: a.b}
  - {name: overdue, event_type: workflow_overdue, after: 2h, implementation: a.b}
  - {name: typo, event_type: "*", time_out: 5, implementation: a.b}
  - {name: sunday, event_type: "*", when: {during: Sun}, implementation: command,
     inputs: {argv: ["true"]}}
  - name: acme
    event_type: "*"
    when: {tenant_name: [acme, "prod-*"]}
    at_most: 10 per 5m
    implementation: command
    inputs: {argv: ["true", !template "{{ deployment_id }}"], env: {X: !file secret, api_key: abc}}
  - name: unfilled
    event_type: workflow_failed
    implementation: command
    inputs: {argv: ["true", !template "{{ arguments.nope }}"]}
  - name: called
    event_type: workflow_failed
    when: {any: [{tenant_name: beta}, {tenant_name: acme, not: {deployment_id: null}}]}
    implementation: test_functions.greet
    inputs: {name: b, token: s3cret}
  - name: post
    event_type: workflow_failed
    implementation: webhook
    inputs: {url: "http://127.0.0.1:1/s3cret", headers: {X: s3cret}, method: PUT, body: {a: [1]}}
"""


@pytest.fixture(autouse=True)
def conf(folder: Path) -> None:
    (folder / "secret").write_text("s3cret")
    (folder / "hooks.conf").write_text(f"{CONF}listener: {{state_dir: state}}\n")


def explained(*arguments: str, status: int = 0, stdin: str = "") -> dict[str, Any]:
    """Each hook's answer, by its name; under "" the whole answer."""
    result = run_here("explain", *arguments, "--output", "json", stdin=stdin)
    assert result.returncode == status, result.stderr
    assert "s3cret" not in result.stdout
    value = json.loads(result.stdout)
    return {"": value, **{hook["hook"]: hook for hook in value["hooks"]}}


def test_of_each_hook_it_is_said_what_it_would_do_or_which_condition_fails_first() -> None:
    hooks = explained("workflow_failed", "--set", "tenant_name=acme", "--set", "deployment_id=d")
    why = {name: hook["why"] for name, hook in hooks.items() if name not in ("", "sunday")}
    assert why == {
        "off": "enabled: wants true, found false",
        "queued": "event_type: wants workflow_queued, found workflow_failed",
        "overdue": "event_type: wants workflow_overdue, found workflow_failed",
        "typo": "event_type: workflow_failed",
        "acme": 'event_type: workflow_failed; when.tenant_name: "acme"; at_most: 10 per 5m, judged when'
        " it comes",
        "unfilled": "event_type: workflow_failed",
        "called": 'event_type: workflow_failed; when.any: tenant_name: "acme", not: deployment_id: "d"',
        "post": "event_type: workflow_failed",
    }
    states = {name: hook["state"] for name, hook in hooks.items() if name in why}
    assert states == {
        "off": "would not run", "queued": "would not run", "overdue": "would not run",
        "typo": "would fail", "acme": "would run", "unfilled": "would fail", "called": "would run",
        "post": "would run",
    }  # fmt: skip
    assert "did you mean 'timeout'?" in hooks["typo"]["error"]
    assert "line 18: !template: there is no 'nope'" in hooks["unfilled"]["error"]
    assert hooks["acme"]["inputs"] == {"argv": ["true", "d"], "env": {"X": "…", "api_key": "…"}}
    assert hooks["called"]["inputs"] == {"name": "b", "token": "…"}
    assert hooks["post"]["inputs"] == {"url": "…", "headers": "…", "method": "PUT", "body": {"a": [1]}}


def test_a_notification_comes_from_a_file_or_standard_input_and_the_answer_is_a_table() -> None:
    text = json.dumps({"event_type": "workflow_queued", "context": {"tenant_name": "beta"}})
    Path("notification.json").write_text(text)
    for file in ("notification.json", "-"):
        result = run_here("explain", file, stdin=text)
        lines = {line.split()[0]: line for line in result.stdout.splitlines()}
        assert list(lines)[:3] == ["hook", "off", "queued"]
        assert lines["acme"].split("  ")[-1] == (
            'when.tenant_name: wants "acme" or "prod-*", found "beta"'
        )


def test_an_entry_is_judged_at_its_receipt_and_what_had_run_is_told_where_it_differs(
    journal: Journal,
) -> None:
    same = store(journal, runs=(done("sunday", "command"),), event_type="workflow_started",
                 received_at=SUNDAY)  # fmt: skip
    other = store(journal, runs=(done("gone"),), event_type="workflow_started", received_at=SUNDAY)
    Path("hooks.conf").write_text(Path("hooks.conf").read_text().replace("time_out", "timeout"))
    hooks = explained(str(same))
    assert hooks["sunday"]["why"].endswith("when.during: Sun 2026-01-11 12:00 UTC")
    assert [run["hook"] for run in hooks[""]["runs"]] == ["sunday"]
    assert hooks[""]["differs"] is True  # typo, which is one no more
    assert "entry 2 had other runs: gone: done" in run_here("explain", str(other)).stdout


def test_that_no_hook_would_run_is_exit_1() -> None:
    Path("hooks.conf").write_text("hooks: []")
    result = run_here("explain", "workflow_failed")
    assert (result.returncode, result.stdout) == (1, f"{Path.cwd()}/hooks.conf has no hooks\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.json"], "none.json cannot be read"),
        (["5"], "there is no journal"),
        (["5", "--set", "tenant_name=a"], "--set goes with an event type"),
        (["workflow_failed", "--set", "tenant=a"], "a notification has no field 'tenant'"),
        (["workflow_failed", "--config", "none"], "none does not exist"),
    ],
)
def test_what_cannot_be_explained_is_exit_2(arguments: list[str], said: str) -> None:
    result = run_here("explain", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr
