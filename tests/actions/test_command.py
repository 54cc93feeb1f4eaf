"""Programs as hooks: what they get, what their ends mean, and that none of them harms the next."""

from __future__ import annotations

import json
import os
import resource
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from listener.actions import Call, Surroundings
from listener.actions.check import check_hooks
from listener.actions.command import CommandAction
from listener.actions.registry import Actions
from listener.errors import ActionFailed, ActionTimedOut
from listener.hooks import conf
from listener.hooks.settings import ListenerSettings
from listener.hooks.table import Hook, HookTable
from listener.interpreters.call import CallProcess
from listener.interpreters.fork_server import ForkServer
from listener.interpreters.output import MAX_OUTPUT
from listener.model.notification import Notification
from listener.model.outcome import NEVER
from tests.processes import living
from tests.support import wait_for
from tests.users import NOBODY, NOBODYS_NAME, needs_root, open_to_others

LIMIT_S = 20.0
SHORT_S = 0.5


@pytest.fixture
def action(tmp_path: Path) -> Iterator[CommandAction]:
    action = CommandAction(Surroundings(ListenerSettings(), None, str(tmp_path)))
    yield action
    action.close()


def run(
    action: CommandAction,
    *argv: str,
    context: dict[str, Any] | None = None,
    timeout_s: float = LIMIT_S,
    secrets: tuple[str, ...] = (),
    entry_id: int = 0,
    **inputs: Any,
) -> str:
    hook = Hook("h1", ("*",), "command", {"argv": [*argv], **inputs}, 1, {}, timeout_s=timeout_s)
    notification = Notification("workflow_failed", context or {})
    hook_context = notification.hook_context()
    return action.run(Call(hook, notification, hook_context, 0.0, (), entry_id, secrets))


def sh(action: CommandAction, script: str, **more: Any) -> str:
    return run(action, "sh", "-c", script, **more)


def failure(action: CommandAction, *argv: str, **more: Any) -> tuple[str, float | None]:
    with pytest.raises(ActionFailed) as failed:
        run(action, *argv, **more)
    return str(failed.value), failed.value.retry_after_s


CONTEXT = {
    "execution_id": "e-\0\ud83d-1",
    "tenant": {"name": "ä"},
    "is_system_workflow": False,
    "blueprint_id": "b" * 1_000_000,
    "rest_token": "ctok-of-the-manager",
}


def test_a_program_gets_the_hook_context_and_its_fields(action: CommandAction, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    script = 'cat > "$OUT/stdin"; env -0 > "$OUT/env"; pwd > "$OUT/pwd"'
    env = {"OUT": str(tmp_path), "CONDUCTOR_MESSAGE_TYPE": "own"}
    assert sh(action, script, context=CONTEXT, entry_id=7, env=env, cwd="below") == ""
    assert (
        json.loads((tmp_path / "stdin").read_text())
        == Notification("workflow_failed", CONTEXT).hook_context()
    )
    variables = dict(
        each.split("=", 1) for each in (tmp_path / "env").read_text().split("\0") if "=" in each
    )
    assert variables.pop("CONDUCTOR_BLUEPRINT_ID").strip("b") == ""
    ours = {name: value for name, value in variables.items() if name not in os.environ}
    assert {name: value for name, value in ours.items() if name.startswith("CONDUCTOR_")} == {
        "CONDUCTOR_HOOKS_IN_HOOK": "1",
        "CONDUCTOR_EVENT_TYPE": "workflow_failed",
        "CONDUCTOR_EXECUTION_ID": "e-\\ud83d-1",
        "CONDUCTOR_DEPLOYMENT_ID": "",
        "CONDUCTOR_WORKFLOW_ID": "",
        "CONDUCTOR_TENANT_NAME": "ä",
        "CONDUCTOR_IS_SYSTEM_WORKFLOW": "false",
        "CONDUCTOR_MESSAGE_TYPE": "own",
        "CONDUCTOR_TIMESTAMP": "",
        "CONDUCTOR_ENTRY_ID": "7",
    }
    assert "ctok-" not in (tmp_path / "env").read_text()
    assert (tmp_path / "pwd").read_text() == f"{tmp_path}/below\n"


ENDS: dict[str, tuple[str, dict[str, Any], str, float | None]] = {
    "a failure": ("exit 3", {}, "sh exited with status 3", NEVER),
    "its last line": ("echo one; echo ' two'; echo; exit 1", {}, "sh exited with status 1: two", NEVER),
    "a long line": (
        "head -c 999 /dev/zero | tr '\\0' x; exit 1",
        {},
        f"sh exited with status 1: {'x' * 200}",
        NEVER,
    ),
    "EX_TEMPFAIL": ("exit 75", {}, "sh exited with status 75", None),
    "a status to retry on": ("exit 3", {"retry_on": [2, "3"]}, "sh exited with status 3", None),
    "a signal": ("kill -SEGV $$", {}, "sh was ended by SIGSEGV", None),
    "a signal to its group": ("trap '' TERM; kill 0; exit 75", {}, "sh exited with status 75", None),
    "a flood that fails": (
        f"head -c {2 * MAX_OUTPUT} /dev/zero; exit 75",
        {},
        "sh exited with status 75",
        None,
    ),
}


@pytest.mark.parametrize(("script", "inputs", "reason", "after_s"), ENDS.values(), ids=ENDS.keys())
def test_the_exit_status_says_whether_a_retry_can_help(
    action: CommandAction, script: str, inputs: dict[str, Any], reason: str, after_s: float | None
) -> None:
    assert failure(action, "sh", "-c", script, **inputs) == (reason, after_s)
    assert sh(action, "exit 0") == ""


def test_what_cannot_be_started_fails_for_good_unless_it_may_be_there_later(
    action: CommandAction, tmp_path: Path
) -> None:
    (tmp_path / "closed").write_text("#!/bin/sh\n")
    for name, text in (("text", "no program"), ("orphaned", "#!/no/interpreter\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    advice = "correct 'argv', or install it"
    assert failure(action, "no-such-program", env={"PATH": "/nowhere"}) == (
        f"there is no executable file no-such-program in PATH, which is /nowhere; {advice}",
        NEVER,
    )
    closed = "there is no executable file ./closed; " + advice
    assert failure(action, "./closed", cwd=str(tmp_path)) == (closed, NEVER)
    no_program = f"{tmp_path}/text cannot be started: Exec format error"
    assert failure(action, f"{tmp_path}/text") == (no_program, NEVER)
    orphaned = "./orphaned cannot be started: No such file or directory"
    assert failure(action, "./orphaned", cwd=".") == (orphaned, NEVER)
    nowhere = f"true cannot be started in {tmp_path}/nowhere: No such file or directory"
    assert failure(action, "true", cwd="nowhere") == (nowhere, NEVER)
    too_long = "true cannot be started: Argument list too long"
    assert failure(action, "true", "x" * 1_000_000) == (too_long, None)


def test_what_a_program_prints_is_logged_without_the_secrets_of_the_call(
    action: CommandAction, caplog: pytest.LogCaptureFixture
) -> None:
    reason, _ = failure(
        action, "sh", "-c", "echo out; echo with $KEY >&2; exit 1", env={"KEY": "k3y!"},
        secrets=("k3y!",), entry_id=7,
    )  # fmt: skip
    assert caplog.messages == ["hook h1, entry 7 | out", "hook h1, entry 7 | with …"]
    assert reason == "sh exited with status 1: with …"


def test_a_flood_of_output_is_a_failure_that_no_retry_follows(action: CommandAction) -> None:
    reason, after_s = failure(action, "head", "-c", "100000000", "/dev/zero")
    assert reason.startswith(
        f"head: it printed 100000000 bytes; what follows the first {MAX_OUTPUT} was"
    )
    assert after_s == NEVER


def test_a_program_need_not_read_what_it_gets(action: CommandAction) -> None:
    context = {"execution_parameters": "x" * 10_000_000}
    assert run(action, "true", context=context) == ""
    assert sh(action, "exec <&-; echo", context=context) == ""


def test_what_a_program_leaves_behind_delays_nothing_and_ends_with_the_listener(
    action: CommandAction, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    action.drain()  # there is no interpreter yet
    os.mkfifo(tmp_path / "go")
    sh(action, "(cat go; exec sleep 600) <&0 & echo $$ > group", cwd=".")
    group = int((tmp_path / "group").read_text())
    (tmp_path / "go").write_text("later\n")

    def printed() -> list[str]:
        action.drain()
        return caplog.messages

    wait_for("what it prints", printed)
    assert caplog.messages == ["hook h1 | later"]
    assert living(group)
    action.close()
    wait_for("the end of what was left behind", lambda: not living(group))


def test_a_timeout_ends_all_that_a_program_has_started(action: CommandAction, tmp_path: Path) -> None:
    script = "(trap '' TERM; sleep 600 & echo $$ > group; mv group told; wait; wait)"
    sh(action, "exit 0")  # the interpreter is there
    with pytest.raises(ActionTimedOut) as late:
        sh(action, script, cwd=".", timeout_s=SHORT_S)
    assert str(late.value) == (
        "no end within 0.5 s, the hook's 'timeout'; the program and the programs it started were"
        " killed, as SIGTERM did not end them within 2 s"
    )
    assert not living(int((tmp_path / "told").read_text()))
    with pytest.raises(ActionTimedOut, match=r"were ended by SIGTERM$"):
        run(action, "sleep", "600", timeout_s=SHORT_S)


def server_of(action: CommandAction) -> ForkServer:
    """The interpreter that starts the programs."""
    run(action, "true")
    assert action._programs._server
    return action._programs._server


def test_a_program_that_cannot_even_be_started_in_time_is_not_started_later(
    action: CommandAction, tmp_path: Path
) -> None:
    os.kill(server_of(action).pid, signal.SIGSTOP)
    with pytest.raises(ActionTimedOut, match=r"were killed$"):
        run(action, "touch", "late", cwd=".", timeout_s=SHORT_S)
    assert run(action, "true") == ""
    assert not (tmp_path / "late").exists()


def test_the_end_of_the_interpreter_ends_its_program(
    action: CommandAction, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_of(action)
    started: list[CallProcess] = []

    def start() -> CallProcess:
        started.append(ForkServer.program(server))
        return started[0]

    def kill() -> None:
        wait_for("the program", lambda: started and started[0].pid)
        os.kill(server.pid, signal.SIGKILL)

    monkeypatch.setattr(server, "program", start)
    killer = threading.Thread(target=kill)
    killer.start()
    reason, after_s = failure(action, "sleep", "600")
    killer.join()
    assert reason.endswith("ended before the program; the program was ended by SIGTERM")
    assert after_s is None
    assert not living(started[0].pid)
    idle = server_of(action)
    os.kill(idle.pid, signal.SIGKILL)
    wait_for("its end", lambda: idle.has_ended)
    assert run(action, "true") == ""


def test_without_a_descriptor_no_program_is_started(action: CommandAction) -> None:
    server_of(action)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        reason, after_s = failure(action, "true")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert reason.endswith("cannot start a process for the call: Too many open files")
    assert after_s is None
    assert run(action, "true") == ""


def test_root_runs_no_program_that_another_user_can_change(
    action: CommandAction, tmp_path: Path
) -> None:
    needs_root()
    theirs = tmp_path / "theirs"
    theirs.write_text("#!/bin/sh\n")
    theirs.chmod(0o755)
    os.chown(theirs, NOBODY, NOBODY)
    with open_to_others(tmp_path):
        reason, _ = failure(action, str(theirs))
        faults = action.check(
            Hook("h", ("*",), "command", {"argv": [str(theirs)]}, 1, {}), may_import=False
        )
    assert reason.startswith(f"{theirs} belongs to user {NOBODYS_NAME}, and root runs nothing that")
    assert [fault.reason for fault in faults] == [reason]


def read(text: str, folder: Path) -> HookTable:
    table, _ = conf.read(text, env={"KEY": "s3cret-key"}, folder=folder)
    assert table is not None
    return table


def told(inputs: str, folder: Path) -> list[tuple[int, str, bool]]:
    """What `check` says of a hook: the line, the text behind its name, whether that is certain."""
    text = f"hooks:\n- event_type: '*'\n  implementation: command\n  inputs:\n{inputs}"
    with Actions(ListenerSettings(), None, str(folder)) as actions:
        mistakes = check_hooks(read(text, folder), actions, may_import=False)
    return [(each.line, each.text.partition(": ")[2], not each.is_warning) for each in mistakes]


QUOTE = "must be a text; write it in quotes, found"
MISTAKES: dict[str, tuple[str, list[tuple[int, str, bool]]]] = {
    "no program": ("    {}", [(2, "the input 'argv' is missing; add it", True)]),
    "an empty list": (
        "    argv: []",
        [(5, "'argv' must begin with the program, found an empty list", True)],
    ),
    "a text": (
        "    argv: page now",
        [
            (
                5,
                "'argv' must be a list: the program and its arguments, as in [logger, -t, hooks], found"
                " the text 'page now'",
                True,
            )
        ],
    ),
    "numbers": (
        "    argv:\n    - 'true'\n    - 5\n    - ''\n    - yes\n",
        [(7, f"item 2 of 'argv' {QUOTE} 5", True), (9, f"item 4 of 'argv' {QUOTE} true", True)],
    ),
    "an empty name": (
        "    argv: ['']",
        [(5, "'argv' must begin with the program, found an empty text", True)],
    ),
    "variables": (
        "    argv: ['true']\n    env: {PORT: 80, A=B: c, 1: d}",
        [
            (6, f"'PORT' in 'env' {QUOTE} 80", True),
            (6, "a name in 'env' must be a text without '=', found the text 'A=B'", True),
            (6, "a name in 'env' must be a text without '=', found 1", True),
        ],
    ),
    "statuses": (
        "    argv: ['true']\n    retry_on:\n    - 256",
        [(7, "item 1 of 'retry_on' must be a whole number from 1 to 255, found 256", True)],
    ),
    "not there": (
        "    argv: [./no-such-program]\n    cwd: nowhere",
        [
            (5, "there is no executable file ./no-such-program; correct 'argv', or install it", False),
            (6, "there is no folder {folder}/nowhere; correct 'cwd', or make it", False),
        ],
    ),
    "a secret that `ps` shows": (
        "    argv: ['true', !env KEY]",
        [(5, "every user of this host can see a secret in 'argv'; hand it over in 'env'", False)],
    ),
    "all well": ("    argv: ['true']\n    env: {KEY: !env KEY}\n    cwd: .\n    retry_on: []", []),
}


@pytest.mark.parametrize(("inputs", "mistakes"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_in_the_inputs_is_told_at_its_line(
    tmp_path: Path, inputs: str, mistakes: list[tuple[int, str, bool]]
) -> None:
    expected = [(line, text.format(folder=tmp_path), certain) for line, text, certain in mistakes]
    assert told(inputs, tmp_path) == expected


def test_a_hook_with_wrong_inputs_fails_for_good(action: CommandAction) -> None:
    assert failure(action) == ("'argv' must begin with the program, found an empty list", NEVER)
