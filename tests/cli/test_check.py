"""check, as a person at a shell uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from listener.hooks.conf import read
from listener.model.entry import Run
from listener.state.journal import Journal
from tests.cli.commands import HOOKS, OF_PLUGIN, TRIED, answer, done, new, run_here
from tests.handmade_plugins import make_plugin


def test_a_good_file_is_exit_0_in_one_line_or_one_object(folder: Path) -> None:
    result = run_here("check")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"{folder}/hooks.conf: 2 hooks, 0 mistakes, 0 warnings\n"
    assert answer(run_here("check", "--output", "json")) == {
        "file": f"{folder}/hooks.conf", "hooks": 2, "tests": 0, "plugins": [], "findings": []
    }  # fmt: skip


@pytest.mark.usefixtures("folder")
def test_of_a_file_with_nothing_in_it_it_is_said_what_a_listener_makes_of_it() -> None:
    result = run_here("check", "-", stdin="# all of it is gone\n")
    assert result.returncode == 0
    assert result.stdout.splitlines() == [
        "standard input: warning: nothing stands here, and a listener keeps the hooks that it has; for"
        " none, write hooks: []",
        "standard input: 0 hooks, 0 mistakes, 1 warning",
    ]


BROKEN = """
hooks:
  - event_type: workflow_faild
    implementation: test_functions.greet
    time_out: 3
  - event_type: workflow_started
"""


@pytest.mark.parametrize("file", ["broken.conf", "-"])
def test_every_mistake_is_named_with_its_line_at_once(folder: Path, file: str) -> None:
    (folder / "broken.conf").write_text(BROKEN)
    result = run_here("check", file, stdin=BROKEN)
    name = "standard input" if file == "-" else f"{folder}/broken.conf"
    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        f"{name}, line 3: warning: hook 1: 'event_type': Conductor publishes no event type"
        " 'workflow_faild'; did you mean 'workflow_failed'?",
        f"{name}, line 5: hook 1 has the unknown key 'time_out'; did you mean 'timeout'?",
        f"{name}, line 6: hook 2 has no 'implementation'; add it",
        f"{name}: 2 hooks, 2 mistakes, 1 warning",
    ]


def test_what_functions_lack_is_found_and_their_modules_can_be_left_alone(folder: Path) -> None:
    imported = folder / "test_functions.imported"
    hooks = HOOKS.replace("test_functions.fail", "test_functions.fall")
    looked = run_here("check", "--no-import", "-", stdin=hooks)
    assert not imported.exists()
    tried = run_here("check", "-", stdin=hooks.replace("name: world", "nome: world"))
    assert imported.exists()
    assert "line 7: warning: hook 'fail': test_functions has no function named 'fall'" in looked.stdout
    assert "line 3: hook 'greet': the inputs do not fit greet(context, name)" in tried.stdout
    assert (looked.returncode, tried.returncode) == (0, 1)


@pytest.mark.usefixtures("folder")
def test_mistakes_in_the_inputs_of_a_trap_stand_at_their_lines() -> None:
    hooks = """
hooks:
  - event_type: workflow_failed
    implementation: cloudify.snmp.snmp_trap.send_snmp_trap
    inputs:
      destination_address: 127.0.0.1
      destination_port: 70000
      community: public
"""
    result = run_here("check", "--output", "json", "-", stdin=hooks)
    assert result.returncode == 1
    findings = json.loads(result.stdout)["findings"]
    found = [(finding["level"], finding["line"]) for finding in findings]
    assert found == [("mistake", 3), ("mistake", 7), ("mistake", 8)]
    assert "'community_string' is missing" in findings[0]["text"]
    assert "'destination_port' must be a port from 1 to 65535" in findings[1]["text"]
    assert "did you mean 'community_string'?" in findings[2]["text"]


def test_it_is_said_which_plugin_runs_a_task(folder: Path) -> None:
    task = {"doors/tasks.py": "def open_it(context, door): pass\n"}
    make_plugin(folder / "state/plugins", "the-doors", task, version="1.2")
    make_plugin(folder / "state/plugins", "the-doors", task, version="1.1", tenant="acme")
    told = run_here("check", "--state-dir", f"{folder}/state", "-", stdin=OF_PLUGIN)
    assert told.stdout.splitlines() == [
        "standard input, line 3: hook 'greet' runs in the managed plugin the-doors 1.2",
        "standard input, line 3: hook 'greet' runs in the managed plugin the-doors 1.1 for tenant acme",
        "standard input, line 3: hook 'greet': the-doors 1.1 of tenant acme: the inputs do not fit"
        " open_it(context, door): missing a required argument: 'door'",
        "standard input, line 3: hook 'greet': the-doors 1.2: the inputs do not fit"
        " open_it(context, door): missing a required argument: 'door'",
        "standard input: 2 hooks, 2 mistakes, 0 warnings",
    ]
    hooks = OF_PLUGIN.replace("name: world", "door: 1")
    assert answer(run_here("check", "--output", "json", "-", stdin=hooks))["plugins"] == [
        {"line": 3, "hook": "greet", "name": "the-doors", "version": version, "tenant": tenant}
        for version, tenant in (("1.2", None), ("1.1", "acme"))
    ]


def test_of_a_task_whose_plugin_is_not_there_the_nearest_plugin_is_named(folder: Path) -> None:
    make_plugin(folder / "plugins", "the-doors", {"doors.py": ""}, tenant="default_tenant")
    hooks = HOOKS.replace("test_functions.greet", "the-door.doors.open_it")
    result = run_here("check", "-", stdin=f"{hooks}listener: {{plugins: plugins}}\n")
    assert result.returncode == 0
    assert result.stdout.splitlines()[0] == (
        "standard input, line 3: warning: hook 'greet': there is no managed plugin 'the-door' (did you"
        " mean 'the-doors'?); upload it with 'conductor-hooks plugins upload'"
    )


def test_a_state_directory_that_others_may_write_is_a_warning(folder: Path) -> None:
    (folder / "state").mkdir()
    (folder / "state").chmod(0o770)
    [warning] = answer(run_here("check", "--output", "json"))["findings"]
    assert warning["level"] == "warning"
    assert warning["text"].endswith(f"; chmod go-w {folder}/state")


# Against the history

EDITED = """
hooks:
  - &a
    {name: a, event_type: workflow_failed, when: {tenant_name: acme}, implementation: command,
     inputs: {argv: ["true"]}}
  - {<<: *a, name: sunday, when: {during: Sun}}
  - {event_type: workflow_started, implementation: test_functions.greet, inputs: {name: b}}
listener: {state_dir: state}
"""
SUNDAY = 1_768_132_800.0


def test_events_of_the_history_are_named_that_would_run_other_hooks(
    folder: Path, journal: Journal
) -> None:
    table, _ = read(EDITED, env={}, folder=folder)
    assert table is not None
    greet = Run("other-name", "test_functions.greet", "done", fingerprint=table.hooks[2].fingerprint)
    for entry in (
        new(runs=(done("a"),), tenant_name="acme", received_at=SUNDAY - 86_400),
        new("ignored", tenant_name="acme", received_at=SUNDAY),
        new(runs=(done("a"), done("gone")), tenant_name="beta", received_at=SUNDAY),
        new(runs=(greet,), event_type="workflow_started"),  # recognised by its inputs
        new("ignored", tenant_name="acme", source="fire"),
        new("ignored", event_type="hook_failed", tenant_name="acme"),
        new("unreadable", event_type=None),
    ):
        journal.accept(entry)
    result = run_here("check", "-", "--against", "history", stdin=EDITED)
    assert (result.returncode, result.stderr) == (1, "")
    lines = result.stdout.splitlines()
    assert lines[:-1] == [
        "standard input: 3 hooks, 0 mistakes, 0 warnings",
        "hook 'a' would run 1 more time: entries 2",
        "hook 'sunday' would run 2 more times: entries 2, 3",
        "hook 'a' would run 1 fewer time: entries 3",
        "hook 'gone' would run 1 fewer time: entries 3",
    ]
    assert lines[-1].startswith("4 events, from 2026-01-10T12:00:00.000Z to ")
    assert lines[-1].endswith(": 2 would run other hooks")

    last = run_here(
        "check", "-", "--against", "history", "--last", "1", "--output", "json", stdin=EDITED
    )
    assert answer(last)["against"]["events"] == 1
    assert answer(last)["against"]["hooks"] == []


# Tests of hooks


@pytest.mark.usefixtures("folder")
def test_tests_that_hold_are_counted() -> None:
    result = run_here("check", "-", stdin=TRIED)
    assert result.returncode == 0
    assert result.stdout == "standard input: 2 hooks, 3 tests, 0 mistakes, 0 warnings\n"


@pytest.mark.usefixtures("folder")
def test_a_test_that_fails_is_a_mistake() -> None:
    result = run_here("check", "-", stdin=TRIED.replace("runs: page", "runs: []", 1))
    assert result.returncode == 1
    assert result.stdout.startswith("standard input, line 8: test 1: hook 'page' runs: event_type: ")


# The section `forward`


def check_forward(folder: Path, config: str | None) -> tuple[int, list[str]]:
    """The exit status and the lines for a section `forward` that names this broker_config."""
    if config is not None:
        (folder / "broker.json").write_text(config)
    result = run_here("check", "-", stdin=f"{HOOKS}forward: {{broker_config: broker.json}}\n")
    return result.returncode, result.stdout.splitlines()


def test_a_broker_that_is_known_is_no_mistake(folder: Path) -> None:
    fine = check_forward(folder, '{"broker_hostname": ["10.0.0.1"]}')
    assert fine == (0, ["standard input: 2 hooks, 0 mistakes, 0 warnings"])


@pytest.mark.parametrize(
    ("config", "mistake"),
    [
        ("{}", "no broker is known: name its 'hosts' in the section 'forward' of hooks.conf; on a"),
        ("{'s3cret'", "{}/broker.json, which names the broker, cannot be read: it is no JSON; run"),
        (None, "{}/broker.json, which names the broker, cannot be read: No such file or directory;"),
    ],
)
def test_a_broker_that_is_not_known_is_one_mistake(
    folder: Path, config: str | None, mistake: str
) -> None:
    status, (line, summary) = check_forward(folder, config)
    assert (status, summary) == (1, "standard input: 2 hooks, 1 mistake, 0 warnings")
    assert line.startswith(f"standard input: forward: {mistake.format(folder)}")
    assert "s3cret" not in line


@pytest.mark.usefixtures("folder")
def test_a_mistake_in_the_section_forward_is_named_once_and_no_broker_looked_for() -> None:
    result = run_here("check", "-", stdin=f"{HOOKS}forward:\n  prefetch: 0\n")
    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        "standard input, line 11: forward: 'prefetch' must be a whole number from 1 to 10000, found 0",
        "standard input: 2 hooks, 1 mistake, 0 warnings",
    ]
