"""check, fire and emit, as a person at a shell uses them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from listener.supervisord.emit import frame
from tests.handmade_plugins import make_plugin

FUNCTIONS = """
import pathlib
pathlib.Path(__file__).with_suffix(".imported").touch()
def greet(context, name):
    return "hello " + name
def fail(context):
    raise ValueError("as it should")
"""

HOOKS = """
hooks:
  - name: greet
    event_type: workflow_started
    implementation: test_functions.greet
    inputs: {name: world}
  - name: fail
    event_type: workflow_failed
    implementation: test_functions.fail
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "test_functions.py").write_text(FUNCTIONS)
    (tmp_path / "hooks.conf").write_text(HOOKS)
    return tmp_path


def run(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The command's exit status and what it printed; hooks.conf comes by the environment."""
    env = {
        **os.environ,
        "CONDUCTOR_HOOKS_CONFIG": str(folder / "hooks.conf"),
        "PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "listener", *arguments],
        cwd=folder,
        env=env,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def answer(result: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(result.stdout)


def test_check_of_a_good_file_says_so(folder: Path) -> None:
    result = run(folder, "check")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"{folder}/hooks.conf: 2 hooks, 0 mistakes, 0 warnings\n"


def test_check_of_a_file_with_nothing_in_it_says_what_a_listener_makes_of_it(folder: Path) -> None:
    result = run(folder, "check", "-", stdin="# all of it is gone\n")
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
def test_check_names_every_mistake_with_its_line_at_once(folder: Path, file: str) -> None:
    (folder / "broken.conf").write_text(BROKEN)
    result = run(folder, "check", file, stdin=BROKEN)
    name = "standard input" if file == "-" else f"{folder}/broken.conf"
    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        f"{name}, line 3: warning: hook 1: 'event_type': Conductor publishes no event type"
        " 'workflow_faild';"
        " did you mean 'workflow_failed'?",
        f"{name}, line 5: hook 1 has the unknown key 'time_out'; did you mean 'timeout'?",
        f"{name}, line 6: hook 2 has no 'implementation'; add it",
        f"{name}: 2 mistakes, 1 warning",
    ]


def test_check_finds_what_functions_lack_and_can_leave_their_modules_alone(folder: Path) -> None:
    imported = folder / "test_functions.imported"
    hooks = HOOKS.replace("test_functions.fail", "test_functions.fall")
    looked = run(folder, "check", "--no-import", "-", stdin=hooks)
    assert not imported.exists()
    tried = run(folder, "check", "-", stdin=hooks.replace("name: world", "nome: world"))
    assert imported.exists()
    assert "line 7: warning: hook 'fail': test_functions has no function named 'fall'" in looked.stdout
    assert "line 3: hook 'greet': the inputs do not fit greet(context, name)" in tried.stdout
    assert (looked.returncode, tried.returncode) == (0, 1)


def test_check_puts_mistakes_in_the_inputs_of_a_trap_at_their_lines(folder: Path) -> None:
    hooks = """
hooks:
  - event_type: workflow_failed
    implementation: cloudify.snmp.snmp_trap.send_snmp_trap
    inputs:
      destination_address: 127.0.0.1
      destination_port: 70000
      community: public
"""
    result = run(folder, "check", "--output", "json", "-", stdin=hooks)
    assert result.returncode == 1
    findings = answer(result)["findings"]
    assert [(finding["level"], finding["line"]) for finding in findings] == [
        ("mistake", 3),
        ("mistake", 7),
        ("mistake", 8),
    ]
    assert "'community_string' is missing" in findings[0]["text"]
    assert "'destination_port' must be from 1 to 65535" in findings[1]["text"]
    assert "did you mean 'community_string'?" in findings[2]["text"]


def test_check_tells_which_plugin_runs_a_task(folder: Path) -> None:
    task = {"doors/tasks.py": "def open_it(context, door): pass\n"}
    make_plugin(folder / "state/plugins", "the-doors", task, version="1.2")
    make_plugin(folder / "state/plugins", "the-doors", task, version="1.1", tenant="acme")
    hooks = HOOKS.replace("test_functions.greet", "the-doors.doors.tasks.open_it")
    told = run(folder, "check", "--state-dir", f"{folder}/state", "-", stdin=hooks)
    assert told.stdout.splitlines() == [
        "standard input, line 3: hook 'greet' runs in the managed plugin the-doors 1.2",
        "standard input, line 3: hook 'greet' runs in the managed plugin the-doors 1.1 for tenant acme",
        "standard input, line 3: hook 'greet': the-doors 1.1 of tenant acme: the inputs do not fit"
        " open_it(context, door): missing a required argument: 'door'",
        "standard input, line 3: hook 'greet': the-doors 1.2: the inputs do not fit"
        " open_it(context, door): missing a required argument: 'door'",
        "standard input: 2 hooks, 2 mistakes, 0 warnings",
    ]
    hooks = hooks.replace("name: world", "door: 1")
    listed = run(folder, "check", "--output", "json", "-", stdin=hooks)
    assert listed.returncode == 0
    assert answer(listed)["plugins"] == [
        {"line": 3, "hook": "greet", "name": "the-doors", "version": version, "tenant": tenant}
        for version, tenant in (("1.2", None), ("1.1", "acme"))
    ]


def test_the_listener_tells_at_its_start_which_plugin_runs_a_task(folder: Path) -> None:
    make_plugin(folder / "state/plugins", "the-doors", {"doors.py": "def open_it(c, name): pass\n"})
    (folder / "hooks.conf").write_text(HOOKS.replace("test_functions.greet", "the-doors.doors.open_it"))
    started = run(folder, "listen")
    assert started.returncode == 0
    assert "INFO hook 'greet' runs in the managed plugin the-doors 1.0\n" in started.stderr
    assert "the-doors" not in started.stderr.partition("the-doors 1.0\n")[2]


def test_fire_runs_a_plugin_s_task_with_resources_from_beside_hooks_conf(
    folder: Path, cloudify_packages: Path
) -> None:
    task = "from cloudify import ctx\ndef read(c, name): return ctx.get_resource(name).decode()\n"
    make_plugin(folder / "state/plugins", "the-doors", {"doors.py": task}, cloudify_packages)
    (folder / "world").write_text("is round")
    (folder / "hooks.conf").write_text(HOOKS.replace("test_functions.greet", "the-doors.doors.read"))
    [fired] = answer(run(folder, "fire", "workflow_started", "--output", "json"))["runs"]
    assert (fired["state"], fired["result"]) == ("done", "the-doors 1.0 returned 'is round'")


def test_check_of_a_task_whose_plugin_is_not_there_names_the_nearest(folder: Path) -> None:
    make_plugin(folder / "plugins", "the-doors", {"doors.py": ""}, tenant="default_tenant")
    hooks = HOOKS.replace("test_functions.greet", "the-door.doors.open_it")
    result = run(folder, "check", "-", stdin=f"{hooks}listener: {{plugins: plugins}}\n")
    assert result.returncode == 0
    assert result.stdout.splitlines()[0] == (
        "standard input, line 3: warning: hook 'greet': there is no managed plugin 'the-door'; upload"
        " it with 'conductor-hooks plugins upload', or correct the name: did you mean 'the-doors'?"
    )


def test_check_in_json_has_one_form_for_good_and_bad(folder: Path) -> None:
    good = answer(run(folder, "check", "--output", "json"))
    bad = answer(run(folder, "check", "--output", "json", "-", stdin="hooks: ["))
    assert good == {"file": f"{folder}/hooks.conf", "hooks": 2, "plugins": [], "findings": []}
    assert bad["hooks"] is None
    assert [finding["level"] for finding in bad["findings"]] == ["mistake"]


def test_a_file_that_cannot_be_read_is_exit_2(folder: Path) -> None:
    for arguments in (["check", "none.conf"], ["fire", "--notification", "none.json"]):
        result = run(folder, *arguments)
        assert result.returncode == 2
        assert "cannot be read" in result.stderr
        assert result.stdout == ""


def test_fire_runs_the_matching_hooks_and_shows_how_each_ended(folder: Path) -> None:
    result = run(folder, "fire", "workflow_started", "--set", "tenant_name=acme", "--output", "json")
    value = answer(result)
    [ran] = value.pop("runs")
    assert result.returncode == 0
    assert ran.pop("seconds") >= 0
    assert ran == {
        "hook": "greet",
        "implementation": "test_functions.greet",
        "state": "done",
        "attempts": 1,
        "error": None,
        "result": "returned 'hello world'",
    }
    assert (value["event_type"], value["tenant_name"], value["source"]) == (
        "workflow_started",
        "acme",
        "fire",
    )
    assert "the hook implementation is: `test_functions.greet`" in result.stderr


def test_fire_exits_with_1_when_an_action_fails_or_no_hook_matches(folder: Path) -> None:
    failed = run(folder, "fire", "workflow_failed")
    unmatched = run(folder, "fire", "workflow_queued")
    assert (failed.returncode, unmatched.returncode) == (1, 1)
    assert "ValueError: as it should" in failed.stdout
    assert "no hook in" in unmatched.stdout


def test_fire_takes_a_real_notification_from_a_file_or_standard_input(folder: Path) -> None:
    text = json.dumps({"event_type": "workflow_started", "context": {"execution_id": "e-1"}})
    (folder / "notification.json").write_text(text)
    from_file = run(folder, "fire", "--notification", "notification.json", "--output", "json")
    from_stdin = run(folder, "fire", "--notification", "-", "--output", "json", stdin=text)
    assert answer(from_file)["execution_id"] == answer(from_stdin)["execution_id"] == "e-1"


def test_a_dry_run_shows_what_would_run_and_runs_nothing(folder: Path) -> None:
    (folder / "hooks.conf").write_text(HOOKS.replace("functions.fail", "functions.fall"))
    would = run(folder, "fire", "workflow_started", "--dry-run", "--output", "json")
    would_not = run(folder, "fire", "workflow_failed", "--dry-run")
    assert [planned["state"] for planned in answer(would)["runs"]] == ["would run"]
    assert (would.returncode, would_not.returncode) == (0, 1)
    assert "would fail" in would_not.stdout
    assert "has no function named 'fall'" in would_not.stdout
    assert not (folder / "test_functions.imported").exists()


def test_fire_sends_a_real_trap(folder: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(10)
        (folder / "hooks.conf").write_text(
            f"""
hooks:
  - event_type: workflow_failed
    implementation: cloudify.snmp.snmp_trap.send_snmp_trap
    inputs:
      destination_address: 127.0.0.1
      destination_port: {receiver.getsockname()[1]}
      community_string: s3cret
"""
        )
        result = run(folder, "fire", "workflow_failed", "--set", "error=out of disk")
        assert b"out of disk" in receiver.recv(65535)
    assert result.returncode == 0
    assert "s3cret" not in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fire"], "name an event type (workflow_queued"),
        (["emit", "workflow_failed", "--notification", "x"], "name either an event type"),
        (["emit", "workflow_failed", "--set", "tenant_name"], "--set takes FIELD=VALUE"),
        (["emit", "workflow_failed", "--set", "tenant=x"], "a notification has no field 'tenant'"),
        (["emit", "--notification", "-", "--set", "a=b"], "--set goes with an event type"),
        (["emit", "--notification", "-"], "standard input: the payload is empty"),
        (["fire", "workflow_failed", "--config", "none"], "none does not exist"),
        (["no-such-verb"], "No such command"),
    ],
)
def test_mistakes_of_usage_are_exit_2_and_say_what_to_do(
    folder: Path, arguments: list[str], said: str
) -> None:
    result = run(folder, *arguments)
    assert result.returncode == 2
    assert said in result.stderr
    assert result.stdout == ""


def test_emit_prints_one_frame_that_supervisord_captures_whole(folder: Path) -> None:
    result = run(folder, "emit", "workflow_failed", "--set", "deployment_id=配置", "--set", "error=x")
    text = result.stdout.removeprefix("<!--XSUPERVISOR:BEGIN-->").removesuffix(
        "<!--XSUPERVISOR:END-->\n"
    )
    value = json.loads(text)
    assert (result.returncode, result.stderr) == (0, "")
    assert len(result.stdout.encode()) >= 140
    assert result.stdout.isascii()
    assert value["context"]["deployment_id"] == "配置"
    assert value["message"]["arguments"] == {"error": "x"}
    assert value["id"]


def test_an_event_type_that_conductor_does_not_publish_is_warned_of(folder: Path) -> None:
    result = run(folder, "emit", "workflow_faild")
    assert result.returncode == 0
    assert "did you mean 'workflow_failed'?" in result.stderr


def test_a_notification_that_cannot_be_written_is_said_not_to_be_sent(folder: Path) -> None:
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "listener", "emit", "workflow_failed"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == 2
    assert "the notification was not sent: No space left on device" in result.stderr


def test_emit_warns_of_frames_that_can_get_mixed_up(folder: Path) -> None:
    result = run(folder, "emit", "workflow_failed", "--set", f"error={'x' * 5000}")
    assert result.returncode == 0
    assert "can get mixed up" in result.stderr


def test_every_verb_explains_itself_and_accepts_the_common_options(folder: Path) -> None:
    for verb in ("listen", "check", "fire", "emit", "traps", "demo"):
        result = run(folder, verb, "--help")
        assert result.returncode == 0
        assert "--config" in result.stdout
        assert "--state-dir" in result.stdout


def test_emitted_frames_are_what_the_library_makes(folder: Path) -> None:
    notification = {"event_type": "workflow_queued", "context": {}, "id": "mine"}
    result = run(folder, "emit", "--notification", "-", stdin=json.dumps(notification))
    assert result.stdout.encode() == frame(notification)[1]
