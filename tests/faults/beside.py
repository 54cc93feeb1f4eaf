"""Other commands on the same state directory, while a listener works in it.

Owns two faults: a second listener, which is refused, and the verbs, which work.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import Any

from tests.faults import processes
from tests.faults.double import CHECKOUT, LISTENER, Double, listening
from tests.faults.hooks import Hooks, Note, environment_of_hooks, names, notes
from tests.faults.ledger import Setting, Verdict, judge, unless
from tests.faults.storage import failing_until
from tests.support import wait_for


def second_listener(setting: Setting) -> Verdict:
    """It exits with 2 and says who works there; the first one goes on."""
    emitted = names(4)
    with listening(setting.folder, Hooks()) as double:
        double.send(emitted[:2])
        second = _run(setting, LISTENER)
        double.send(emitted[2:])
        double.wait_for_answers()
        expected = f"process {double.pid} works in the state directory"
    return judge(setting.folder, emitted).and_also(
        unless(second.returncode == 2, f"the second one exited with {second.returncode}"),
        unless(expected in second.stderr, f"the second one said {second.stderr!r}"),
    )


def second_listener_after_removal(setting: Setting) -> Verdict:
    """The same after the state directory, with the lock in it, was removed and made again."""
    emitted = names(2)
    state = setting.folder / "state"
    with listening(setting.folder, Hooks()) as double:
        double.send(emitted[:1])
        double.wait_for_answers()
        shutil.rmtree(state)
        state.mkdir(mode=0o700)
        double.tick()
        double.wait_for_answers()
        second = _run(setting, LISTENER)
        double.send(emitted[1:])
        double.wait_for_answers()
    return judge(setting.folder, emitted, keeps_entries=False).and_also(
        unless(second.returncode == 2, f"the second one exited with {second.returncode}"),
    )


def verbs(setting: Setting) -> Verdict:
    """history, fire and replay: what failed is repaired by the listener that works there."""
    emitted = names(3)
    mended = setting.folder / "mended"
    hooks = Hooks(more=failing_until(mended, retries=0))
    with listening(setting.folder, hooks) as double:
        double.send(emitted)
        double.wait_for_answers()
        failed = _entries(setting, "history", "--state", "failed")
        mended.touch()
        fired = _run(setting, _verb("fire", "workflow_started", "--set", "execution_id=f-1"))
        replayed = _replayed(setting, double)
        done = _entries(setting, "history", "--state", "done")
    ran = notes(setting.folder)[Note("once", "done", "f-1")]
    problems = (
        unless(len(failed) == 3, f"history shows {len(failed)} failed entries, not 3"),
        unless(fired.returncode == 0, f"fire exited with {fired.returncode}: {fired.stderr}"),
        unless(ran == 1, f"fire ran a hook {ran} times"),
        unless(replayed == 0, f"replay exited with {replayed}"),
        unless(len(done) == 4, f"history shows {len(done)} done entries, not 4"),
    )
    return judge(setting.folder, emitted, ("once", "again", "mended")).and_also(*problems)


def _verb(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "listener", *arguments)


def _entries(setting: Setting, *arguments: str) -> list[Any]:
    answer = _run(setting, _verb(*arguments, "--output", "json"))
    found: list[Any] = json.loads(answer.stdout)
    return found


def _replayed(setting: Setting, double: Double) -> int:
    """The exit status of replay; the listener looks for its work at each pulse."""
    command = _verb("replay", "--failed", "--yes")
    with subprocess.Popen(
        command, cwd=CHECKOUT, env=_env(setting), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as replay:

        def has_ended() -> bool:
            if len(set(double.look().answered)) == double.sent:
                double.tick()
            return replay.poll() is not None

        wait_for("the end of replay", has_ended)
    return replay.returncode


def _run(setting: Setting, command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=CHECKOUT,
        env=_env(setting),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _env(setting: Setting) -> dict[str, str]:
    return dict(processes.environment(setting.folder, **environment_of_hooks(setting.folder)))
