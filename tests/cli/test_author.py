"""fire and emit, as a person at a shell uses them."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import ANY

import pytest

from listener.model.outcome import Tally
from listener.state.journal import Journal
from tests.cli.commands import HOOKS, answer, ids, run
from tests.handmade_plugins import make_plugin
from tests.snmp.receivers import closed_port, udp_socket
from tests.support import frame_of
from tests.wagons import Made

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


@pytest.mark.parametrize(
    ("event_type", "key", "field"),
    [("workflow_overdue", "after: 2h", "started_at"), ("hook_suppressed", "retries: 0", "count")],
)
def test_fire_makes_up_what_the_listener_makes_itself(
    folder: Path, event_type: str, key: str, field: str
) -> None:
    hook = f"{{event_type: {event_type}, implementation: test_functions.told, {key}}}"
    (folder / "hooks.conf").write_text(f"hooks: [{hook}]")
    (folder / "test_functions.py").write_text("def told(context): return sorted(context)")
    result = run("fire", event_type, "--set", f"{field}=then", "--output", "json")
    assert f"'{field}'" in answer(result)["runs"][0]["result"]
    assert "Conductor publishes no" not in result.stderr


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
    would = answer(run("fire", "workflow_started", "--dry-run", "--output", "json"))
    would_not = run("fire", "workflow_failed", "--dry-run")
    assert (would["state"], would["runs"][0]["state"]) == ("would run", "would run")
    assert would_not.returncode == 1
    assert "would fail" in would_not.stdout
    assert "has no function named 'fall'" in would_not.stdout
    assert not (folder / "test_functions.imported").exists()

    (folder / "hooks.conf").write_text(f"{HOOKS}    inputs: {{a: !template '{{{{ arguments.x }}}}'}}\n")
    assert "line 10: !template: there is no 'x'" in run("fire", "workflow_failed", "--dry-run").stdout

    (folder / "hooks.conf").write_text(f"{HOOKS}    time_out: 5\n")
    mistaken = run("fire", "workflow_failed", "--dry-run").stdout
    assert "would fail" in mistaken
    assert "hooks.conf, line 10: hook 'fail' has the unknown key 'time_out'" in mistaken


def test_fire_runs_a_plugin_s_task_with_resources_from_beside_hooks_conf(
    folder: Path, made: Made
) -> None:
    task = "from cloudify import ctx\ndef read(c, name): return ctx.get_resource(name).decode()\n"
    make_plugin(folder / "state/plugins", "the-doors", {"doors.py": task}, made.cloudify)
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
    sent, failed = Tally(1, 0, 0, ANY), Tally(0, 0, 1)
    assert journal.tallies() == {f"127.0.0.1:{good}": sent, f"127.0.0.1:{closed}": failed}
    assert ids("--state", "failed") == [1]


def test_fire_does_not_say_of_a_file_that_supervisord_has_cut_it() -> None:
    result = run("fire", "--notification", "-", stdin='cution_id": "x1"}}')
    assert result.returncode == 2
    assert "standard input: the payload is not JSON" in result.stderr
    assert "stdout_capture_maxbytes" not in result.stderr


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
    assert result.stdout.encode() == frame_of(notification)


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
    assert "'workflow_faild'; did you mean 'workflow_failed'? (--any sends it" in refused.stderr
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
        (["emit", "workflow_failed", "--amqp", "--durable"], "into RabbitMQ: choose one"),
        (["fire", "workflow_failed", "--config", "none"], "none does not exist"),
    ],
)
def test_mistakes_of_usage_are_exit_2_and_say_what_to_do(arguments: list[str], said: str) -> None:
    Path("utf-16").write_text("{}", "utf-16")
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr
