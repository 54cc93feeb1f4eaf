"""The hooks of every fault, and the notifications that they are run for.

Owns the functions, which note when they begin and when they are done, and the frames that carry a
notification by its name: one in two has an id of its own, the other is known by its serial alone.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from listener.model.sample import sample
from listener.supervisord.emit import MIN_FRAME

NOTES = "CONDUCTOR_HOOKS_FAULT_NOTES"
_THEN = datetime(2026, 1, 31, tzinfo=timezone.utc)

FUNCTIONS = f"""
import os, time

def _note(hook, what, context):
    fd = os.open(os.environ["{NOTES}"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(fd, " ".join((hook, what, context["execution_id"])).encode() + b"\\n")
    os.close(fd)

def _act(hook, context, seconds):
    _note(hook, "begun", context)
    time.sleep(seconds)
    _note(hook, "done", context)

def once(context, seconds):
    _act("once", context, seconds)

def again(context, seconds):
    _act("again", context, seconds)

def fail(context):
    raise ValueError("as it should")

def told(context):
    _act("told", context, 0)

def counted(context):
    _note("counted", str(context["count"]), dict(context, execution_id=context["since"]))

def fail_at_first(context, path):
    if not os.path.exists(path):
        raise ValueError("as it should, until there is " + path)
    _act("mended", context, 0)
"""


class Note(NamedTuple):
    """One line of a function: `what` is begun or done, `name` the notification's execution id."""

    hook: str
    what: str
    name: str


class Hooks(NamedTuple):
    """Which hooks a fault has; `seconds` is how long each function takes.

    `more` is the text of further hooks, `listener` of settings; each of its lines is indented.
    `forward` is the section of the forwarder, none if it is empty.
    """

    names: tuple[str, ...] = ("once", "again")
    seconds: float = 0.0
    timeout: float = 60.0
    trap_port: int = 0
    more: str = ""
    listener: str = ""
    forward: Mapping[str, Any] = {}

    def text(self, folder: Path) -> str:
        """The hooks.conf."""
        lines = ["hooks:"]
        for name in self.names:
            lines += ["  - event_type: '*'", f"    name: {name}"]
            if name == "trap":
                lines += [
                    "    implementation: cloudify.snmp.snmp_trap.send_snmp_trap",
                    "    inputs: {destination_address: 127.0.0.1, community_string: public,"
                    f" destination_port: {self.trap_port}}}",
                ]
            else:
                lines += [
                    f"    implementation: fault_functions.{name}",
                    f"    inputs: {{seconds: {self.seconds}}}",
                    f"    repeatable: {'true' if name == 'again' else 'false'}",
                    f"    timeout: {self.timeout}",
                ]
        settings = ("listener:", f"  python_path: [{folder}]", self.listener)
        forward = f"forward: {json.dumps(self.forward)}" if self.forward else ""
        return "\n".join((*lines, self.more, *settings, forward, ""))

    def write(self, folder: Path) -> None:
        """Put hooks.conf and the functions into the folder."""
        (folder / "fault_functions.py").write_text(FUNCTIONS)
        (folder / "hooks.conf").write_text(self.text(folder))


def environment_of_hooks(folder: Path) -> dict[str, str]:
    """What a listener with these hooks needs."""
    return {
        "CONDUCTOR_HOOKS_CONFIG": str(folder / "hooks.conf"),
        "CONDUCTOR_HOOKS_STATE_DIR": str(folder / "state"),
        NOTES: str(folder / "notes"),
    }


def notes(folder: Path) -> Counter[Note]:
    """How often each function has noted what, so far."""
    return Counter(notes_in_order(folder))


def notes_in_order(folder: Path) -> list[Note]:
    """All that functions have noted, so far."""
    file = folder / "notes"
    lines = file.read_text().splitlines() if file.exists() else []
    return [Note(*line.split(" ")) for line in lines]


def names(count: int, prefix: str = "e") -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


def notification(name: str, text: str = "") -> dict[str, Any]:
    """The same for the same name, always; that of every second number has an id of its own."""
    found = sample("workflow_started", {"execution_id": name, "text": text}, _THEN)
    number = name.rpartition("-")[2]
    return {**found, "id": f"id-{name}"} if number.isdigit() and int(number) % 2 else found


def notification_body(name: str, text: str = "") -> str:
    """Its JSON, as a manager publishes it."""
    return json.dumps(notification(name, text))


def printed(name: str, text: str = "") -> bytes:
    """What a program prints for a notification. `emit` is not used, since it gives an id to each."""
    body = notification_body(name, text)
    return f"<!--XSUPERVISOR:BEGIN-->{body:<{MIN_FRAME}}<!--XSUPERVISOR:END-->\n".encode("ascii")


def all_printed(some: Iterable[str]) -> bytes:
    return b"".join(map(printed, some))


def count_done(folder: Path, hooks: Sequence[str] = ("again",)) -> int:
    """How many notifications these functions have noted as done."""
    return sum(note.what == "done" and note.hook in hooks for note in notes(folder))


def append(file: Path, text: str) -> None:
    """Write in one piece, as several processes may at the same time."""
    fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
