"""The demo: the whole way from a workflow program to a trap receiver, on this machine alone.

Starts a supervisord in a place of its own and a receiver on a free port of loopback, kills the listener
in the middle, shows what happens, and judges whether all of it did. Ends everything that it started.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import click

import listener
from listener.cli.demo.place import PAGER, Place
from listener.model.sample import sample
from listener.snmp.receiver import TrapReceiver
from listener.snmp.trap import Trap

TIME_LIMIT_S = 25.0
_LOOK_S = 0.05
_RAN = re.compile(
    r"(hook \S+: (?:done|failed|timed out|attempt) .*)"
    r" \(execution (\S+), (?:serial \d+ from \S+|supervisord), entry \d+\)"
)


@dataclass
class Course:
    """What was seen of one notification: the lines of the log about its hooks, and its traps."""

    notification: Mapping[str, Any]
    ran: list[str] = field(default_factory=list)
    traps: list[Trap] = field(default_factory=list)
    shown: int = 0

    @property
    def event_type(self) -> str:
        return str(self.notification["event_type"])

    @property
    def has_failed(self) -> bool:
        """Whether its function was called for the first time."""
        return any(line.startswith(f"hook {PAGER}: failed") for line in self.ran)

    @property
    def is_complete(self) -> bool:
        """Whether all that is to happen has happened."""
        done = sum(": done " in line for line in self.ran)
        return bool(self.traps) and done >= 1 + (self.event_type == "workflow_failed")


def run() -> bool:
    """Run the demo; whether every expected action was seen. Takes 30 s at most."""
    place = Place()
    receiver = TrapReceiver("127.0.0.1", 0)
    try:
        sent = notifications()
        courses = {each["context"]["execution_id"]: Course(each) for each in sent}
        place.start((sent[:3], sent[3:]), receiver.address)
        try:
            _show_start(place)
            is_killed = _watch(place, courses, receiver)
            click.echo("stopping supervisord …")
        finally:
            place.stop()
        _take_traps(receiver, courses)
        missing = [] if is_killed else ["the listener was not killed: the function was not called"]
        missing += [line for course in courses.values() for line in differences(course)]
        if missing:
            _explain(place, missing)
    finally:
        receiver.close()
        place.remove()
    return not missing


def notifications() -> list[dict[str, Any]]:
    """One of each event type; one with a Chinese name, one with parameters that no trap holds.

    The third fails, and with it a function that is tried again.
    """
    now = datetime.now(timezone.utc)
    fields: Mapping[str, Mapping[str, Any]] = {
        "workflow_queued": {"deployment_id": "nodecellar", "workflow_id": "install"},
        "workflow_started": {"deployment_id": "配置中心", "workflow_id": "install"},
        "workflow_failed": {
            "deployment_id": "nodecellar",
            "workflow_id": "heal",
            "error": "RuntimeError: the host vm_1 does not answer",
        },
        "workflow_succeeded": {
            "deployment_id": "nodecellar",
            "workflow_id": "execute_operation",
            "execution_parameters": {"operation_kwargs": "x" * 600},
        },
        "workflow_cancelled": {"deployment_id": "nodecellar", "workflow_id": "uninstall"},
    }
    return [sample(event_type, values, now) for event_type, values in fields.items()]


def _show_start(place: Place) -> None:
    version = importlib.metadata.version("supervisor")
    pid = place.supervisord.pid if place.supervisord else None
    click.echo(f"supervisord {version} runs as process {pid}, in {place.folder}")


def _watch(place: Place, courses: Mapping[str, Course], receiver: TrapReceiver) -> bool:
    """Show what happens until all has; whether the listener was killed meanwhile."""
    deadline = time.monotonic() + TIME_LIMIT_S
    started: list[int] = []
    is_killed = False
    while time.monotonic() < deadline and not all(each.is_complete for each in courses.values()):
        if (listeners := place.listeners()) != started:
            started = listeners
            click.echo(
                f"supervisord started the listener {listener.__version__}: process {started[-1]}\n"
            )
        _take_traps(receiver, courses)
        for line in place.new_lines():
            if (match := _RAN.search(line)) and match[2] in courses:
                courses[match[2]].ran.append(match[1])
        for course in courses.values():
            _show_new(course)
        if not is_killed and any(course.has_failed for course in courses.values()):
            is_killed = True
            _kill(started[-1])
            place.resume_workflow()
    return is_killed


def _take_traps(receiver: TrapReceiver, courses: Mapping[str, Course]) -> None:
    while trap := receiver.receive(timeout_s=_LOOK_S):
        if isinstance(trap, Trap):
            course = courses.get(str(trap.values.get("cloudifyExecutionID")))
            if course is not None:
                course.traps.append(trap)


def _kill(process: int) -> None:
    click.secho(f"kill -9 {process}: the listener dies, and the workflow continues\n", fg="yellow")
    os.kill(process, signal.SIGKILL)


def _show_new(course: Course) -> None:
    """Show what is new of a notification, once there is its trap."""
    if not course.traps or course.shown == len(course.ran):
        return
    context = course.notification["context"]
    click.secho(course.event_type, bold=True, nl=False)
    click.echo(f"   {context['workflow_id']} of {context['deployment_id']}")
    for line in course.ran[course.shown :]:
        click.echo(f"  ran   {line}")
    if not course.shown:
        _show_trap(course.traps[0])
    course.shown = len(course.ran)
    click.echo()


def _show_trap(trap: Trap) -> None:
    click.echo(f"  trap  {trap.notification} from {trap.sender}, up {trap.uptime_s:.2f} s")
    for name, value in trap.values.items():
        click.echo(f"          {name} = {value}")


def differences(course: Course) -> list[str]:
    """What should have been seen of the notification and was not."""
    problems = []
    if len(course.traps) != 1:
        problems.append(f"{len(course.traps)} traps came, and not one")
    if not course.is_complete:
        problems.append(f"not all of its hooks are done: {'; '.join(course.ran) or 'none has run'}")
    return [f"{course.event_type}: {problem}" for problem in problems]


def _explain(place: Place, missing: list[str]) -> None:
    """On stderr: what was not seen, and what supervisord and the listener said."""
    for line in missing:
        click.secho(line, fg="red", err=True)
    texts = {"supervisord": place.said_by_supervisord(), "the listener": place.said_by_listener()}
    for title, text in texts.items():
        click.echo(f"\nthe last that {title} said:", err=True)
        click.echo("\n".join(text.splitlines()[-20:]), err=True)
