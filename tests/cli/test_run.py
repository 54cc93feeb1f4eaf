"""listen with options, and traps."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from listener.cli import run
from listener.snmp.trap import Trap
from tests.cli.commands import COMMAND
from tests.snmp.senders import NetSnmp
from tests.support import event

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the command; what still runs at the end of the test is ended."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
            pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            process = stack.enter_context(subprocess.Popen([*COMMAND, *arguments], env=env, **pipes))
            stack.callback(process.kill)
            return process

        yield start


def test_listen_takes_its_hooks_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "hooks.conf").write_text("hooks: []")
    result = subprocess.run(
        [*COMMAND, "listen", "--config", str(tmp_path / "hooks.conf")],
        input=event("{}"),
        capture_output=True,
        timeout=30,
        check=True,
    )
    assert result.stdout == b"READY\nRESULT 2\nOKREADY\n"
    assert f"{tmp_path}/hooks.conf has no hooks".encode() in result.stderr


def receiver_port(process: subprocess.Popen[str]) -> int:
    assert process.stderr is not None
    match = re.fullmatch(r"receiving traps at 127\.0\.0\.1:(\d+)\n", process.stderr.readline())
    assert match
    return int(match[1])


def fire_to(port: int, tmp_path: Path) -> None:
    (tmp_path / "hooks.conf").write_text(
        f"""
hooks:
  - event_type: workflow_failed
    implementation: cloudify.snmp.snmp_trap.send_snmp_trap
    inputs: {{destination_address: 127.0.0.1, destination_port: {port}, community_string: public}}
"""
    )
    command = [*COMMAND, "fire", "workflow_failed", "--config", str(tmp_path / "hooks.conf")]
    fields = ["--set", "error=échec", "--set", "execution_id=e-1"]
    subprocess.run([*command, *fields], check=True, capture_output=True, timeout=30)


@pytest.mark.parametrize("output", ["table", "json"])
def test_traps_prints_what_is_in_a_trap_names_what_it_cannot_read_and_leaves_after_the_count(
    tmp_path: Path, start: Start, output: str
) -> None:
    process = start("traps", "--port", "0", "--count", "1", "--output", output)
    port = receiver_port(process)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"no snmp", ("127.0.0.1", port))
    fire_to(port, tmp_path)
    printed, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "no SNMP message" in errors
    if output == "json":
        trap = json.loads(printed)
        assert trap["notification"] == "cloudifyWorkflowFailed"
        assert trap["values"]["cloudifyExecutionID"] == "e-1"
    else:
        assert printed.startswith("cloudifyWorkflowFailed from 127.0.0.1:")
        assert "\n  cloudifyErrorDetails = échec\n" in printed


def test_traps_names_a_user_of_snmpv3_that_it_does_not_know(start: Start, tmp_path: Path) -> None:
    process = start("traps", "--port", "0", "--count", "1")
    port = receiver_port(process)
    with NetSnmp(tmp_path).sending("snmptrap", port, "-v", "3", "-u", "anybody") as sender:
        assert sender.communicate(timeout=30)[0] == ""
    fire_to(port, tmp_path)
    output, errors = process.communicate(timeout=30)
    assert output.startswith("cloudifyWorkflowFailed from ")
    assert errors.endswith(": user 'anybody' is not known here; known are: none\n")


def test_traps_knows_the_users_of_the_hooks(tmp_path: Path, start: Start) -> None:
    state = tmp_path / "state"
    state.mkdir()
    conf = tmp_path / "hooks.conf"

    def write(port: int) -> None:
        conf.write_text(
            f"""
hooks:
  - event_type: workflow_failed
    implementation: cloudify.snmp.snmp_trap.send_snmp_trap
    inputs:
      version: 3
      destination_port: {port}
      user: listener
      auth_protocol: SHA-256
      auth_key: correct horse
      destinations:
        - destination_address: !template "127.0.0.{{{{ 1 }}}}"
          priv_protocol: AES
          priv_key: battery staple
  - event_type: workflow_failed
    implementation: my_hooks.other
    inputs: {{version: 3, user: nobody}}
"""
        )

    write(162)
    process = start("traps", "--port", "0", "--count", "1", "--output", "json", "--config", str(conf))
    write(receiver_port(process))
    fire = [*COMMAND, "fire", "workflow_failed", "--config", str(conf), "--state-dir", str(state)]
    fired = subprocess.run(fire, capture_output=True, timeout=30, check=False)
    assert b"sent to 127.0.0.1:" in fired.stdout  # the other hook fails
    trap = json.loads(process.communicate(timeout=30)[0])
    assert (trap["user"], trap["security_level"]) == ("listener", "authPriv")


def test_traps_goes_on_without_the_users_of_a_broken_hooks_conf(tmp_path: Path, start: Start) -> None:
    conf = tmp_path / "hooks.conf"
    conf.write_text("hooks: 4711")
    process = start("traps", "--port", "0", "--config", str(conf))
    assert process.stderr is not None
    assert process.stderr.readline().startswith(
        f"not all users of version 3 are known: {conf}, line 1: 'hooks' must"
    )
    assert process.stderr.readline().startswith("receiving traps at")


def test_traps_needs_the_hooks_conf_that_was_named(tmp_path: Path, start: Start) -> None:
    process = start("traps", "--port", "0", "--config", str(tmp_path / "none.conf"))
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert f"{tmp_path}/none.conf cannot be read: No such file or directory" in errors


def test_a_trap_is_described_with_where_it_comes_from_and_without_control_characters() -> None:
    trap = Trap("192.0.2.1:9", "cloudifyWorkflowFailed", 1.5, {"1.3.6.1": "a\x1b[31m\nb"})
    assert run._as_text(trap) == (
        "cloudifyWorkflowFailed from 192.0.2.1:9, up 1.50 s, v2c trap\n  1.3.6.1 = a\\x1b[31m\\nb"
    )
    v3 = trap._replace(
        version="3", is_inform=True, user="me\n", security_level="authPriv", engine_id="0x80",
        context_engine_id="0x81", values={},
    )  # fmt: skip
    assert run._as_text(v3) == (
        "cloudifyWorkflowFailed from 192.0.2.1:9, up 1.50 s, v3 inform\n"
        "  user me\\n, authPriv\n  engine 0x80, context engine 0x81"
    )


def test_ctrl_c_ends_traps_as_it_should(start: Start) -> None:
    process = start("traps", "--port", "0")
    receiver_port(process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")


def test_traps_on_a_taken_port_is_exit_2(start: Start) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        process = start("traps", "--port", str(taken.getsockname()[1]))
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "Address already in use; try another --address or --port" in errors
