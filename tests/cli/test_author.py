"""check, fire and emit, as a person at a shell uses them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from listener.model.outcome import Tally
from listener.state.journal import Journal
from listener.supervisord.emit import frame
from tests.cli.commands import answer, ids, run
from tests.handmade_plugins import make_plugin
from tests.snmp.receivers import closed_port, udp_socket

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
OF_PLUGIN = HOOKS.replace("test_functions.greet", "the-doors.doors.tasks.open_it")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command is run, with hooks.conf and the functions that it names."""
    (tmp_path / "test_functions.py").write_text(FUNCTIONS)
    (tmp_path / "hooks.conf").write_text(HOOKS)
    monkeypatch.setenv("CONDUCTOR_HOOKS_CONFIG", str(tmp_path / "hooks.conf"))
    monkeypatch.setenv(
        "PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', os.getcwd())}"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


# check


def test_a_good_file_is_exit_0_in_one_line_or_one_object(folder: Path) -> None:
    result = run("check")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"{folder}/hooks.conf: 2 hooks, 0 mistakes, 0 warnings\n"
    assert answer(run("check", "--output", "json")) == {
        "file": f"{folder}/hooks.conf", "hooks": 2, "plugins": [], "findings": []
    }  # fmt: skip


@pytest.mark.usefixtures("folder")
def test_of_a_file_with_nothing_in_it_it_is_said_what_a_listener_makes_of_it() -> None:
    result = run("check", "-", stdin="# all of it is gone\n")
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
    result = run("check", file, stdin=BROKEN)
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
    looked = run("check", "--no-import", "-", stdin=hooks)
    assert not imported.exists()
    tried = run("check", "-", stdin=hooks.replace("name: world", "nome: world"))
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
    result = run("check", "--output", "json", "-", stdin=hooks)
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
    told = run("check", "--state-dir", f"{folder}/state", "-", stdin=OF_PLUGIN)
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
    assert answer(run("check", "--output", "json", "-", stdin=hooks))["plugins"] == [
        {"line": 3, "hook": "greet", "name": "the-doors", "version": version, "tenant": tenant}
        for version, tenant in (("1.2", None), ("1.1", "acme"))
    ]


def test_of_a_task_whose_plugin_is_not_there_the_nearest_plugin_is_named(folder: Path) -> None:
    make_plugin(folder / "plugins", "the-doors", {"doors.py": ""}, tenant="default_tenant")
    hooks = HOOKS.replace("test_functions.greet", "the-door.doors.open_it")
    result = run("check", "-", stdin=f"{hooks}listener: {{plugins: plugins}}\n")
    assert result.returncode == 0
    assert result.stdout.splitlines()[0] == (
        "standard input, line 3: warning: hook 'greet': there is no managed plugin 'the-door' (did you"
        " mean 'the-doors'?); upload it with 'conductor-hooks plugins upload'"
    )


# fire


@pytest.mark.usefixtures("folder")
def test_fire_runs_the_matching_hooks_and_shows_how_each_ended() -> None:
    result = run("fire", "workflow_started", "--set", "tenant_name=acme", "--output", "json")
    value = answer(result)
    [ran] = value.pop("runs")
    assert ran.pop("seconds") >= 0
    assert ran == {
        "hook": "greet",
        "implementation": "test_functions.greet",
        "state": "done",
        "attempts": 1,
        "error": None,
        "result": "returned 'hello world'",
    }
    assert [value[name] for name in ("event_type", "tenant_name", "source")] == [
        "workflow_started", "acme", "fire"
    ]  # fmt: skip
    assert "the hook implementation is: `test_functions.greet`" in result.stderr


@pytest.mark.usefixtures("folder")
def test_fire_exits_with_1_when_an_action_fails_or_no_hook_matches() -> None:
    failed, unmatched = run("fire", "workflow_failed"), run("fire", "workflow_queued")
    assert (failed.returncode, unmatched.returncode) == (1, 1)
    assert "ValueError: as it should" in failed.stdout
    assert "no hook in" in unmatched.stdout


def test_fire_takes_a_real_notification_from_a_file_or_standard_input(folder: Path) -> None:
    text = json.dumps({"event_type": "workflow_started", "context": {"execution_id": "e-1"}})
    (folder / "notification.json").write_text(text, "utf-8-sig")
    for file in ("notification.json", "-"):
        fired = answer(run("fire", "--notification", file, "--output", "json", stdin=text))
        assert (fired["id"], fired["execution_id"]) == (None, "e-1")  # there is no history


def test_a_dry_run_shows_what_would_run_and_runs_nothing(folder: Path) -> None:
    (folder / "hooks.conf").write_text(HOOKS.replace("functions.fail", "functions.fall"))
    [would] = answer(run("fire", "workflow_started", "--dry-run", "--output", "json"))["runs"]
    would_not = run("fire", "workflow_failed", "--dry-run")
    assert (would["state"], would_not.returncode) == ("would run", 1)
    assert "would fail" in would_not.stdout
    assert "has no function named 'fall'" in would_not.stdout
    assert not (folder / "test_functions.imported").exists()

    (folder / "hooks.conf").write_text(f"{HOOKS}    time_out: 5\n")
    mistaken = run("fire", "workflow_failed", "--dry-run").stdout
    assert "would fail" in mistaken
    assert "hooks.conf, line 10: hook 'fail' has the unknown key 'time_out'" in mistaken


def test_fire_runs_a_plugin_s_task_with_resources_from_beside_hooks_conf(
    folder: Path, cloudify_packages: Path
) -> None:
    task = "from cloudify import ctx\ndef read(c, name): return ctx.get_resource(name).decode()\n"
    make_plugin(folder / "state/plugins", "the-doors", {"doors.py": task}, cloudify_packages)
    (folder / "world").write_text("is round")
    (folder / "hooks.conf").write_text(HOOKS.replace("test_functions.greet", "the-doors.doors.read"))
    [fired] = answer(run("fire", "workflow_started", "--output", "json"))["runs"]
    assert (fired["state"], fired["result"]) == ("done", "the-doors 1.0 returned 'is round'")


def test_fire_sends_real_traps_which_the_history_and_its_numbers_show(
    folder: Path, journal: Journal
) -> None:
    with udp_socket("127.0.0.1") as receiver:
        good, closed = receiver.getsockname()[1], closed_port("127.0.0.1")
        (folder / "hooks.conf").write_text(
            f"""
hooks:
  - event_type: workflow_failed
    implementation: cloudify.snmp.snmp_trap.send_snmp_trap
    inputs:
      community_string: s3cret
      destinations:
      - {{destination_address: 127.0.0.1, destination_port: {good}}}
      - {{destination_address: 127.0.0.1, destination_port: {closed}}}
"""
        )
        assert run("fire", "workflow_failed", "--dry-run").returncode == 0
        assert journal.tallies() == {}
        result = run("fire", "workflow_failed", "--set", "error=out of disk")
        assert b"out of disk" in receiver.recv(65535)
    assert result.returncode == 1
    assert "s3cret" not in result.stdout + result.stderr
    sent, failed = Tally(1, 0, 0), Tally(0, 0, 1)
    assert journal.tallies() == {f"127.0.0.1:{good}": sent, f"127.0.0.1:{closed}": failed}
    assert ids("--state", "failed") == [1]


# emit


@pytest.mark.usefixtures("folder")
def test_emit_prints_one_frame_that_supervisord_captures_whole() -> None:
    result = run("emit", "workflow_failed", "--set", "deployment_id=配置", "--set", "error=x")
    begin, end = "<!--XSUPERVISOR:BEGIN-->", "<!--XSUPERVISOR:END-->\n"
    value = json.loads(result.stdout.removeprefix(begin).removesuffix(end))
    assert (result.returncode, result.stderr) == (0, "")
    assert len(result.stdout) >= 140
    assert result.stdout.isascii()
    assert value["context"]["deployment_id"] == "配置"
    assert value["message"]["arguments"] == {"error": "x"}
    assert value["id"]


@pytest.mark.usefixtures("folder")
def test_emitted_frames_are_what_the_library_makes() -> None:
    notification = {"event_type": "workflow_queued", "context": {}, "id": "mine"}
    result = run("emit", "--notification", "-", stdin=json.dumps(notification))
    assert result.stdout.encode() == frame(notification)[1]


@pytest.mark.usefixtures("folder")
def test_a_large_frame_is_emitted_with_a_warning() -> None:
    result = run("emit", "workflow_failed", "--set", f"error={'x' * 5000}")
    assert result.returncode == 0
    assert "can get mixed up" in result.stderr


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        (["workflow_faild"], ""),
        (["--notification", "-"], '{"event_type": "workflow_faild", "context": {}}'),
    ],
)
def test_an_unknown_event_type_is_emitted_with_any_alone(arguments: list[str], stdin: str) -> None:
    refused = run("emit", *arguments, stdin=stdin)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "'workflow_faild'; did you mean 'workflow_failed'? With --any it is sent" in refused.stderr
    sent = run("emit", "--any", *arguments, stdin=stdin)
    assert (sent.returncode, sent.stderr) == (0, "")
    assert '"workflow_faild"' in sent.stdout


def test_a_notification_that_cannot_be_written_is_said_not_to_be_sent() -> None:
    with open("/dev/full", "wb") as full:
        result = run("emit", "workflow_failed", capture_output=False, stdout=full, stderr=-1)
    assert result.returncode == 2
    assert "the notification was not sent: No space left on device" in result.stderr


# Usage


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "none.conf"], "none.conf cannot be read"),
        (["fire", "--notification", "none.json"], "none.json cannot be read"),
        (["fire", "--notification", "utf-16"], "utf-16 cannot be read: not UTF-8: it is UTF-16"),
        (["fire"], "name an event type (workflow_queued"),
        (["emit", "workflow_failed", "--notification", "x"], "name either an event type"),
        (["emit", "workflow_failed", "--set", "tenant_name"], "--set takes FIELD=VALUE"),
        (["emit", "workflow_failed", "--set", "tenant=x"], "a notification has no field 'tenant'"),
        (["emit", "--notification", "-", "--set", "a=b"], "--set goes with an event type"),
        (["emit", "--notification", "-"], "standard input: the payload is empty"),
        (["fire", "workflow_failed", "--config", "none"], "none does not exist"),
    ],
)
def test_mistakes_of_usage_are_exit_2_and_say_what_to_do(arguments: list[str], said: str) -> None:
    Path("utf-16").write_text("{}", "utf-16")
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr
