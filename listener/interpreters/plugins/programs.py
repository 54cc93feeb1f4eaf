"""Programs that run to their end: pip, and the interpreters of plugins.

Owns how they are started, how long they may take, and how much of their output is kept. It never runs
a hook; pool.py does. installer.py and health.py call it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress

from listener.errors import ProgramFailed
from listener.interpreters import exits

MAX_OUTPUT = 65536
"""Bytes of the output that are kept: the last ones."""


def run(
    command: Sequence[str], *, env: Mapping[str, str], limit_s: float, held_fds: Sequence[int] = ()
) -> str:
    """What the program printed, on stdout and stderr. Raises ProgramFailed.

    Its environment is `env`, its stdin is empty, and its process group is its own: that is killed after
    `limit_s` and when we are interrupted. `held_fds` stay open in it, so a lock lasts until it ends.
    """
    with tempfile.TemporaryFile() as output:  # not a pipe: a program left behind would keep it open
        try:
            process = subprocess.Popen(
                command,
                env=env,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=held_fds,
            )
        except OSError as error:
            raise ProgramFailed(f"{command[0]} cannot be started: {error.strerror}") from error
        try:
            status = process.wait(limit_s)
        except BaseException as error:
            with suppress(ProcessLookupError):  # it is gone already
                os.killpg(process.pid, signal.SIGKILL)
            # Not process.wait(): an interrupt in the middle of one can have left its lock taken.
            with suppress(ChildProcessError):  # it is waited for already
                os.waitpid(process.pid, 0)
            process.returncode = -signal.SIGKILL
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise ProgramFailed(f"no end within {limit_s:g} s; it was killed") from error
        output.seek(max(0, output.seek(0, os.SEEK_END) - MAX_OUTPUT))
        text = output.read().decode("utf-8", "replace")
    if status:
        raise ProgramFailed(exits.in_words(status), text)
    return text
