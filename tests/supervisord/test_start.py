"""What the log says when the listener starts, and when new hooks come into force."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import listener
from listener.actions.registry import Actions
from listener.hooks.settings import ListenerSettings
from listener.hooks.watch import HooksFile
from listener.inbox.folder import RECORDED_IN
from listener.state.directory import Claim
from listener.supervisord.start import HookChecks, log_start
from tests.handmade_plugins import make_plugin
from tests.users import NOBODY, NOBODYS_NAME, needs_root

HOOK = "{event_type: '*', implementation: os.getpid}"
Start = Callable[..., list[str]]


@pytest.fixture
def start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Start:
    """Logs the start with this hooks.conf; the lines, each behind its level."""
    caplog.set_level(logging.INFO)

    def log(hooks: str | None, problem: str = "", *, is_supervised: bool = True) -> list[str]:
        if hooks is not None:
            (tmp_path / "hooks.conf").write_text(hooks)
        claim = Claim(str(tmp_path / "state"), problem)
        with Actions(ListenerSettings(), claim.folder) as actions:
            hooks_file = HooksFile(tmp_path / "hooks.conf", {})
            log_start(hooks_file, actions, claim, is_supervised=is_supervised)
        version, *lines = [f"{record.levelname} {record.getMessage()}" for record in caplog.records]
        assert version == f"INFO conductor-hooks {listener.__version__}"
        return lines

    return log


def test_the_start_says_what_is_in_force_and_where_the_state_is(tmp_path: Path, start: Start) -> None:
    disabled = HOOK.replace("{", "{enabled: false, ")
    assert start(f"hooks: [{HOOK}, {disabled}]") == [
        f"INFO listening with {tmp_path}/hooks.conf, hooks: 2, of which enabled: 1,"
        f" state in {tmp_path}/state"
    ]


def test_the_plugin_that_runs_a_task_is_named(tmp_path: Path, start: Start) -> None:
    make_plugin(tmp_path / "state/plugins", "the-doors", {"doors.py": "def open_it(c): pass\n"})
    hook = "{name: greet, event_type: workflow_failed, implementation: the-doors.doors.open_it}"
    *_, last = start(f"hooks: [{hook}]")
    assert last == "INFO hook 'greet' runs in the managed plugin the-doors 1.0"


@pytest.mark.parametrize(
    "hooks", ["", "hooks: []", f"hooks: [{HOOK}]".replace("{", "{enabled: false, ")]
)
def test_without_hooks_a_warning_says_that_nothing_is_handled(start: Start, hooks: str) -> None:
    assert "has no hooks: nothing is handled" in start(hooks)[-1]


def test_without_a_file_a_warning_says_that_no_hook_runs(tmp_path: Path, start: Start) -> None:
    warning = f"WARNING there is no {tmp_path}/hooks.conf: no hook runs until there is one"
    assert start(None) == [warning]


def test_without_a_state_directory_a_warning_says_what_is_lost_with_the_process(start: Start) -> None:
    warning, listening = start(f"hooks: [{HOOK}]", "it cannot be made")
    assert warning == (
        "WARNING the journal is kept in memory: when this process ends, the history, retries and"
        " events in progress are lost, and an event can be acted on twice: it cannot be made"
    )
    assert "state in" not in listening


@pytest.mark.parametrize(
    ("environment", "is_supervised", "warned"),
    [
        ({}, False, False),
        ({"SUPERVISOR_ENABLED": "1"}, False, True),
        ({"SUPERVISOR_ENABLED": "1"}, True, False),
    ],
    ids=["a shell", "a script under supervisord", "supervisord"],
)
def test_a_script_between_supervisord_and_the_listener_is_warned_of(
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    is_supervised: bool,
    warned: bool,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = start(f"hooks: [{HOOK}]", is_supervised=is_supervised)
    assert ("WARNING the parent process is not supervisord: " in found[0]) is warned


@pytest.mark.parametrize(
    ("folders", "warned"), [(["state"], False), (["other"], True), (["other", "state"], False)]
)
def test_recorders_of_other_state_directories_alone_are_warned_of(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch, folders: list[str], warned: bool
) -> None:
    monkeypatch.setenv(RECORDED_IN, "\n".join(f"{tmp_path}/{folder}" for folder in folders))
    *warnings, listening = start(f"hooks: [{HOOK}]")
    words = (
        f"WARNING supervisord records into {tmp_path}/other, but the state directory here is {tmp_path}"
    )
    assert [line.startswith(words) for line in warnings] == [True] * warned
    assert listening.endswith(", recorded by supervisord") is not warned


@pytest.mark.parametrize(("mode", "warned"), [(0o700, 0), (0o755, 0), (0o770, 1), (0o707, 1)], ids=oct)
def test_a_state_directory_that_others_may_write_is_warned_of(
    tmp_path: Path, start: Start, mode: int, warned: int
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(mode)
    warnings = start(f"hooks: [{HOOK}]")[:-1]
    assert [line.endswith(f"; chmod go-w {tmp_path}/state") for line in warnings] == [True] * warned


@pytest.mark.parametrize(("user", "warned"), [(0, True), (1000, False)])
def test_functions_and_commands_that_run_as_root_are_warned_of_and_traps_are_not(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    user: int,
    warned: bool,
) -> None:
    trap = "{event_type: '*', implementation: cloudify.snmp.snmp_trap.send_snmp_trap}"
    command = "{event_type: '*', implementation: command, inputs: {argv: ['true']}}"
    hooks = f"{HOOK}, {HOOK[:-1]}, enabled: false}}, {trap}, {command}"
    (tmp_path / "hooks.conf").write_text(f"hooks: [{hooks}]")
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with Actions(ListenerSettings()) as actions:
        HookChecks(HooksFile(tmp_path / "hooks.conf", {}), actions).log_faults()
    root = [
        line
        for line in caplog.messages
        if line.startswith("these hooks run functions or commands as root")
    ]
    assert [line.split(": ")[1] for line in root] == [
        "any-1, any-4; set user= in the listener's section, and give that user the state directory"
    ] * warned


def test_a_hooks_conf_with_which_another_user_chooses_what_root_runs_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    needs_root()
    path = tmp_path / "hooks.conf"
    path.write_text(f"hooks: [{HOOK[:-1]}, inputs: {{x: !file secret}}}}]")
    (tmp_path / "secret").write_text("x")
    for owner in (0, NOBODY):
        for file in (path, tmp_path / "secret"):
            os.chown(file, owner, owner)
        with Actions(ListenerSettings()) as actions:
            HookChecks(HooksFile(path, {}), actions).log_faults()
    assert [line for line in caplog.messages if "chooses what root runs" in line] == [
        f"{file} belongs to user {NOBODYS_NAME}, and so chooses what root runs: give {file} to root"
        for file in (path, tmp_path / "secret")
    ]


def test_warnings_of_the_file_are_logged_with_their_lines(tmp_path: Path, start: Start) -> None:
    _, warning = start(f"hooks:\n- {HOOK.replace(chr(39) + '*' + chr(39), 'workflow_startet')}")
    assert warning.startswith(f"WARNING {tmp_path}/hooks.conf, line 2: hook 1: 'event_type': Conductor")


def test_what_makes_a_hook_fail_is_logged_once_for_each_table_that_comes_into_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mine.py").write_text("def page(context): pass\n")
    path = tmp_path / "hooks.conf"
    with Actions(ListenerSettings(python_path=(str(tmp_path),))) as actions:
        hooks_file = HooksFile(path, {})
        checks = HookChecks(hooks_file, actions)
        checks.log_faults()
        for version, function in enumerate(("page", "pige", "pige", "page")):
            path.write_text(f"hooks:\n- {{event_type: '*', implementation: mine.{function}}}\n")
            os.utime(path, ns=(version, version))
            hooks_file.refresh("x")
            checks.log_faults()
            checks.log_faults()
    told = f"{path}, line 2: hook 'any-1': mine has no function named 'pige'"
    assert [message for message in caplog.messages if "line 2" in message] == [told, told]
