"""A loss of power, as far as one machine that keeps running can show it.

Owns two faults: what the disk never got is cut off the journal, and the system calls of a listener with
`durability: power` are read for what it does before the disk has it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from listener.inbox import whole_file
from listener.inbox.folder import FOLDER
from listener.state.journal import FILE
from tests.faults import processes
from tests.faults.double import CHECKOUT, LISTENER, doubled, listening
from tests.faults.hooks import Hooks, environment_of_hooks, names, notification
from tests.faults.ledger import Setting, Verdict, judge, unless

_POWER = "  durability: power"


def loss(setting: Setting) -> Verdict:
    """The last commits are not on the disk when the power goes: what is left goes on.

    An entry whose end is among them is run again.
    """
    state = setting.folder / "state"
    wal = state / f"{FILE}-wal"
    emitted = names(5 if setting.short else 50)
    with listening(setting.folder, Hooks()) as double:
        for name in emitted:  # each is accepted in a transaction of its own
            whole_file.add(str(state), "emit", [json.dumps(notification(name))])
            double.tick()
            double.wait_for_answers()
        double.wait_until_settled(emitted[-1])
        double.listen_with(autorestart=False)
        double.kill()
        os.truncate(wal, int(wal.stat().st_size * setting.random.uniform(0.3, 0.9)))
        double.listen_with()
        double.start()
        double.send(["the-last"])
        double.wait_for_answers()
        double.wait_until_settled("the-last")
    verdict = judge(setting.folder, emitted, may_lose=True, may_repeat=True)
    left = judge(setting.folder, emitted[: verdict.acted_on], may_repeat=True)
    return verdict.and_also(
        unless(verdict.lost, "nothing was lost"),
        unless(not left.lost, "what is left is no prefix of all"),
        unless(verdict.twice <= 1, "more than the last hook on the disk was run again"),
        remark="of what the disk had not got yet",
    )


def safe(setting: Setting) -> Verdict:
    """With `durability: power` nothing is answered or begun before the disk has it."""
    if not _can_trace(setting.folder):
        return Verdict(0, 0, remark="left out: no strace that works")
    emitted = names(3)
    problems = []
    if not setting.short:
        control = setting.folder / "control"
        control.mkdir()
        if not _listener_traced(control, Hooks(), emitted):
            problems.append("without `durability: power` it is the same: nothing is shown")
    hooks = Hooks(listener=_POWER)
    problems += _listener_traced(setting.folder, hooks, emitted)
    return judge(setting.folder, emitted).and_also(*problems)


def safe_emission(setting: Setting) -> Verdict:
    """A durable emission is on the disk before it is sent."""
    if not _can_trace(setting.folder):
        return Verdict(0, 0, remark="left out: no strace that works")
    trace = setting.folder / "trace"
    emit = ("emit", "--durable", "workflow_started", "--set", "execution_id=e-0")
    more = {"PYTHONPATH": str(CHECKOUT), **environment_of_hooks(setting.folder)}
    with listening(setting.folder, Hooks()) as double:
        subprocess.run(
            (*_tracing(trace), sys.executable, "-m", "listener", *emit),
            env=processes.environment(setting.folder, **more),
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=60,
            check=True,
        )
        double.tick()
        double.wait_until_settled("e-0")
        problems = _too_early(trace)
    return judge(setting.folder, ["e-0"]).and_also(*problems)


def _listener_traced(folder: Path, hooks: Hooks, emitted: Sequence[str]) -> list[str]:
    """What a listener did too early."""
    trace = folder / "trace"
    with doubled(folder, hooks) as double:
        double.listen_with((*_tracing(trace), *LISTENER))
        double.start()
        double.send(emitted)
        double.wait_for_answers()
        double.stop()
    return _too_early(trace)


def _tracing(trace: Path) -> tuple[str, ...]:
    """Detached, so that the process is the listener's own and its parent is who has started it."""
    calls = "trace=pwrite64,write,fdatasync,fsync"
    return ("strace", "-D", "-f", "-y", "-qq", "-s", "64", "-e", calls, "-o", str(trace))


def _can_trace(folder: Path) -> bool:
    """Whether there is an strace that may do so here."""
    if shutil.which("strace") is None:
        return False
    traced = [*_tracing(folder / "nothing"), "true"]
    return subprocess.run(traced, capture_output=True, check=False).returncode == 0


_CALL = re.compile(r"^\d+ +(pwrite64|write|fdatasync|fsync)\(\d+<([^>]*)>(?:, \"(.*))?")
_SENT = {
    "RESULT 2": "was answered",
    " begun ": "began",
    "<!--XSUPERVISOR:BEGIN": "was emitted",
}


def _too_early(trace: Path) -> list[str]:
    """What went out while the -wal file or a file of the inbox had bytes that were not synced."""
    is_dirty = False
    problems = []
    for line in trace.read_text("utf-8", "replace").splitlines():
        match = _CALL.match(line)
        if match is None:
            continue
        call, file, data = match.groups()
        if file.endswith("-wal") or f"/{FOLDER}/" in file:
            is_dirty = "write" in call
        elif call == "write" and is_dirty:
            problems += [
                f"something {what} before the disk had what it depends on"
                for mark, what in _SENT.items()
                if mark in (data or "")
            ]
    return problems
