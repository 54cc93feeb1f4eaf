"""The demo: the whole way from a workflow program to a trap receiver, on this machine alone.

Starts a real supervisord in a temporary folder, with the section and the hooks.conf that are shipped, a
program that emits notifications, and a receiver on a free port of loopback. Shows what happens, and
judges whether all of it did. Ends everything that it started.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from listener.cli.shipped import shipped
from listener.errors import HooksError
from listener.snmp import mib
from listener.snmp.receiver import TrapReceiver
from listener.snmp.trap import Trap
from listener.supervisord import emit as emitter

TIME_LIMIT_S = 25.0
_STOP_LIMIT_S = 5.0

_SUPERVISORD_CONF = """\
[supervisord]
nodaemon=true
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
childlogdir={folder}

[include]
files={folder}/conductor-hooks.conf

[program:demo-workflow]
command={python} -m listener.cli.demo.workflow {folder}/notifications
stdout_capture_maxbytes=1MB
startsecs=0
autorestart=false
"""


def run() -> bool:
    """Run the demo; whether every expected action was seen. Takes 30 s at most."""
    folder = Path(tempfile.mkdtemp(prefix="conductor-hooks-demo-"))
    receiver = TrapReceiver("127.0.0.1", 0)
    try:
        sent = notifications()
        supervisord = _start(folder, sent, receiver.address)
        try:
            missing = _watch(folder, sent, receiver)
        finally:
            _stop(supervisord)
        if missing:
            _explain(folder, missing)
    finally:
        receiver.close()
        shutil.rmtree(folder, ignore_errors=True)
    return not missing


def notifications() -> list[dict[str, Any]]:
    """One of each event type; one with a Chinese name, one with parameters that no trap holds."""
    now = datetime.now(timezone.utc)
    fields: Mapping[str, Mapping[str, Any]] = {
        "workflow_queued": {"deployment_id": "nodecellar", "workflow_id": "install"},
        "workflow_started": {"deployment_id": "配置中心", "workflow_id": "install"},
        "workflow_succeeded": {
            "deployment_id": "nodecellar",
            "workflow_id": "execute_operation",
            "execution_parameters": {"operation_kwargs": "x" * 600},
        },
        "workflow_failed": {
            "deployment_id": "nodecellar",
            "workflow_id": "heal",
            "error": "RuntimeError: the host vm_1 does not answer",
        },
        "workflow_cancelled": {"deployment_id": "nodecellar", "workflow_id": "uninstall"},
    }
    return [emitter.sample(event_type, values, now) for event_type, values in fields.items()]


def _start(
    folder: Path, notifications: list[dict[str, Any]], receiver: tuple[str, int]
) -> subprocess.Popen[bytes]:
    """supervisord with the shipped section and everything that section's environment decides."""
    programs = [str(Path(sys.executable).parent), str(Path(sys.argv[0]).absolute().parent)]
    env = {
        **os.environ,
        "PATH": os.pathsep.join([*programs, os.environ.get("PATH", os.defpath)]),
        "CONDUCTOR_HOOKS_CONFIG": str(shipped("hooks.conf")),
        "CONDUCTOR_HOOKS_STATE_DIR": str(folder / "state"),
        "CONDUCTOR_TRAP_ADDRESS": receiver[0],
        "CONDUCTOR_TRAP_PORT": str(receiver[1]),
    }
    if shutil.which("conductor-hooks", path=env["PATH"]) is None:
        raise HooksError("the command conductor-hooks is not on the PATH; install the package first")
    shutil.copy(shipped("supervisor.d/conductor-hooks.conf"), folder)
    lines = "".join(json.dumps(notification) + "\n" for notification in notifications)
    (folder / "notifications").write_text(lines, "utf-8")
    conf = folder / "supervisord.conf"
    conf.write_text(
        _SUPERVISORD_CONF.format(
            folder=folder,
            python=shlex.quote(sys.executable).replace("%", "%%"),
        ),
        "utf-8",
    )
    with (folder / "supervisord.out").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(conf)],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _stop(supervisord: subprocess.Popen[bytes]) -> None:
    """SIGTERM makes supervisord stop its programs; what does not obey is killed with its group."""
    supervisord.terminate()
    try:
        supervisord.wait(_STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(supervisord.pid, signal.SIGKILL)
        supervisord.wait()


_RAN = re.compile(
    r"(hook \S+: (done|failed|timed out) .*) \(execution (\S+), serial \d+ from \S+, entry \d+\)"
)


def _watch(folder: Path, notifications: list[dict[str, Any]], receiver: TrapReceiver) -> list[str]:
    """Show each notification with what ran for it and the trap that came; return what is missing."""
    log = _LogFollower(folder)
    ran: dict[str, str] = {}
    traps: dict[str | int, Trap] = {}
    waiting = {notification["context"]["execution_id"]: notification for notification in notifications}
    deadline = time.monotonic() + TIME_LIMIT_S
    missing = []
    while waiting and time.monotonic() < deadline:
        trap = receiver.receive(timeout_s=0.05)
        if isinstance(trap, Trap):
            traps[trap.values.get("cloudifyExecutionID", "")] = trap
        for line in log.new_lines():
            if match := _RAN.search(line):
                ran[match[3]] = match[1]
        for execution_id in [known for known in waiting if known in ran and known in traps]:
            notification = waiting.pop(execution_id)
            _show(notification, ran[execution_id], traps[execution_id])
            missing += differences(notification, ran[execution_id], traps[execution_id])
    for execution_id, notification in waiting.items():
        lacking = [word for word, seen in (("run", ran), ("trap", traps)) if execution_id not in seen]
        missing.append(f"{notification['event_type']}: no {' and no '.join(lacking)}")
    return missing


class _LogFollower:
    """The lines that the listener has written to its log since the last look."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = 0

    def new_lines(self) -> list[str]:
        text = log_text(self._folder)
        whole = text[: text.rfind("\n") + 1]
        new, self._seen = whole[self._seen :], len(whole)
        return new.splitlines()


def log_text(folder: Path) -> str:
    """All that the listener has logged; supervisord chooses the file's name."""
    files = sorted(folder.glob("conductor-hooks-stderr*.log"))
    return "".join(file.read_text("utf-8", "replace") for file in files)


def _show(notification: Mapping[str, Any], ran: str, trap: Trap) -> None:
    context = notification["context"]
    click.secho(notification["event_type"], bold=True, nl=False)
    click.echo(f"   {context['workflow_id']} of {context['deployment_id']}")
    click.echo(f"  ran   {ran}")
    click.echo(f"  trap  {trap.notification} from {trap.sender}, up {trap.uptime_s:.2f} s")
    for name, value in trap.values.items():
        click.echo(f"          {name} = {value}")
    click.echo()


def differences(notification: Mapping[str, Any], ran: str, trap: Trap) -> list[str]:
    """What the trap should have shown of the notification and did not."""
    event_type = notification["event_type"]
    context = notification["context"]
    expected = {
        "cloudifyDeploymentID": context["deployment_id"],
        "cloudifyTenantName": context["tenant_name"],
        "cloudifyWorkflowName": context["workflow_id"],
    }
    if event_type == "workflow_failed":
        expected["cloudifyErrorDetails"] = notification["message"]["arguments"]["error"]
    differences = [
        f"{event_type}: {name} should be {value!r}, but is {trap.values.get(name)!r}"
        for name, value in expected.items()
        if trap.values.get(name) != value
    ]
    parameters = json.loads(str(trap.values.get("cloudifyWorkflowParameters", "null")))
    if parameters != context["execution_parameters"] and "message" not in (parameters or ()):
        differences.append(f"{event_type}: the parameters are {parameters!r}")
    if trap.notification != mib.NOTIFICATIONS[event_type][0]:
        differences.append(f"{event_type}: the trap is {trap.notification}")
    if ": done " not in ran:
        differences.append(f"{event_type}: {ran}")
    return differences


def _explain(folder: Path, missing: list[str]) -> None:
    """On stderr: what was not seen, and what supervisord and the listener said."""
    for line in missing:
        click.secho(line, fg="red", err=True)
    said = (folder / "supervisord.out").read_text("utf-8", "replace")
    for title, text in (("supervisord", said), ("the listener", log_text(folder))):
        click.echo(f"\nthe last that {title} said:", err=True)
        click.echo("\n".join(text.splitlines()[-20:]), err=True)
