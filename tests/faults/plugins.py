"""Uploads of a plugin that are killed with -9 at random moments, and repeated.

Owns the moments, from the start of the command to a little after its usual end, and the making of
cloudify-common's environment with them. The programs that a killed upload has started live on.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from listener.interpreters.plugins import Plugins, Root
from listener.interpreters.plugins.health import health_of
from tests.faults import processes
from tests.faults.ledger import Setting, Verdict
from tests.wagons import Made, left_in, run_in

_LIMIT_S = 60


def plugins(setting: Setting) -> Verdict:
    """Each upload counts as acted on when its repetition has made a whole plugin, and nothing else."""
    kills = 2 if setting.short else 20
    made = Made(setting.folder)
    dep = made.wheel("small-dep", "2.0")
    wagon = made.wagon("tried", requires=("small-dep==2.0",), carried=(dep,))
    began = time.monotonic()
    with _uploading(setting, setting.folder / "first", wagon, made.wheels) as process:
        process.communicate(timeout=_LIMIT_S)
    usual_s = time.monotonic() - began
    problems: list[str] = []
    unfinished = kept = 0
    for number in range(kills):
        state = setting.folder / f"state-{number}"
        moment_s = setting.random.uniform(0, usual_s)
        with _uploading(setting, state, wagon, made.wheels) as process:
            time.sleep(moment_s)  # the moment is what is tried, nothing is awaited
            process.kill()
        found = [
            *_half(state, f"after {moment_s:.3f} s"),
            *_repeated(setting, state, wagon, made.wheels),
        ]
        unfinished += process.returncode != 0
        kept += not found
        problems += found
    return Verdict(
        kills, kept, lost=kills - kept, problems=tuple(problems), remark=f"{unfinished} unfinished"
    )


def _uploading(setting: Setting, state: Path, wagon: Path, wheels: Path) -> subprocess.Popen[str]:
    verb = [sys.executable, "-m", "listener", "plugins", "upload", str(wagon)]
    options = ["--wheels", str(wheels), "--state-dir", str(state), "--config", "/dev/null"]
    return subprocess.Popen(
        [*verb, *options],
        env=processes.environment(setting.folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _half(state: Path, when: str) -> Iterator[str]:
    """What can be seen, and does not work."""
    for plugin in Plugins([Root.own(str(state))]).all():
        if found := health_of(plugin).problems:
            yield f"{when}, half of {plugin.name} can be seen: {found[0]}"


def _repeated(setting: Setting, state: Path, wagon: Path, wheels: Path) -> Iterator[str]:
    """What is wrong after another upload, unless the killed one was done already."""
    seen = Plugins([Root.own(str(state))]).all()
    if not seen:
        with _uploading(setting, state, wagon, wheels) as process:
            _, errors = process.communicate(timeout=_LIMIT_S)
        if process.returncode:
            yield f"the next upload fails: {errors.splitlines()[-1]}"
            return
    yield from _half(state, "after the next upload")
    [plugin] = Plugins([Root.own(str(state))]).all()
    program = "import tried.tasks as t, small_dep.tasks as d; print(t.version({}), d.version({}))"
    if (said := run_in(plugin, program)) != "1.0 2.0":
        yield f"the plugin does not run: {said[-200:]}"
    if not seen:  # or the killed one may not have cleared its scratch folder away
        yield from (f"{name} is left" for name in left_in(state))
