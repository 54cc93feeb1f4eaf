"""Durable emission: what `emit` has returned from is acted on, although supervisord died with it.

Owns two faults. In the first, the program emits without a pause for the whole time, under the
supervisord that is killed; in the second it is the program that runs out of something.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

from tests.faults import processes
from tests.faults.double import CHECKOUT, PROGRAMS, listening
from tests.faults.hooks import Hooks, environment_of_hooks
from tests.faults.ledger import Setting, Verdict, judge, unless
from tests.faults.supervised import supervised
from tests.support import wait_for


def durable(setting: Setting) -> Verdict:
    """supervisord is killed at random, time and again; only what was returned from counts."""
    returned = setting.folder / "returned"
    returned.touch()
    command = shlex.join([sys.executable, str(PROGRAMS / "durable_emitter.py"), str(returned)])
    more = (
        f"\n[program:emitter]\ncommand={command}\nstartsecs=0\nautorestart=true\n"
        "stdout_capture_maxbytes=1MB\nstdout_logfile=NONE\n"
    )
    kills = 2 if setting.short else 30
    with supervised(setting.folder, Hooks(), more=more) as supervisord:
        for _ in range(kills):
            wanted = _count(returned) + setting.random.randrange(1, 60)
            wait_for("more emissions", partial(_has, returned, wanted))
            supervisord.end(signal.SIGKILL)
            supervisord.start()
        supervisord.ask("supervisor.stopProcess", "emitter")
        supervisord.send(["the-last"])
        supervisord.wait_until_settled("the-last")
        verdict = judge(setting.folder, returned.read_text().split())
    return verdict._replace(remark=f"supervisord killed {kills} times")


def few_descriptors(setting: Setting) -> Verdict:
    """A program emits more often than it may open files, and its garbage is not collected meanwhile."""
    returned = setting.folder / "returned"
    emitter = [str(PROGRAMS / "durable_emitter.py"), str(returned), "100"]
    program = f"import gc, runpy, sys; gc.disable(); sys.argv = {emitter}; runpy.run_path(sys.argv[0])"
    limited = f"ulimit -n 64; exec {shlex.join([sys.executable, '-c', program])}"
    more = {"PYTHONPATH": str(CHECKOUT), **environment_of_hooks(setting.folder)}
    with listening(setting.folder, Hooks()) as double:
        emission = subprocess.run(
            ["sh", "-c", limited],
            env=processes.environment(setting.folder, **more),
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
        double.tick()
        emitted = returned.read_text().split()
        double.wait_until_settled(emitted[-1])
    error = emission.stderr.strip().rpartition("\n")[2][:300]
    return judge(setting.folder, emitted).and_also(unless(len(emitted) == 100, error))


def _has(file: Path, count: int) -> bool:
    return _count(file) >= count


def _count(file: Path) -> int:
    return file.read_text().count("\n")
