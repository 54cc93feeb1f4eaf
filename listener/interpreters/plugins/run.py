"""Programs that run to their end: pip, and the interpreters of plugins.

Owns how they are started, how long they may take, and how much of their output is kept. It never runs
a hook; worker.py does. installer.py and health.py call it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

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
    # Not a pipe: a program left behind would keep it open.
    with tempfile.TemporaryFile() as output, _interrupts_held() as release:
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
            release()
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


@contextmanager
def _interrupts_held() -> Iterator[Callable[[], None]]:
    """Signals whose handlers may raise have no effect until what is yielded is called, or to the end.

    In the middle of Popen's constructor, nobody knows yet which process to kill. To block the signals
    would be no help: the program would have them blocked, too.
    """
    came: list[int] = []
    former: dict[int, Any] = {}

    def release() -> None:
        while former:
            signal.signal(*former.popitem())
        while came:
            signal.raise_signal(came.pop())

    try:
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if callable(handler := signal.getsignal(signum)):
                former[signum] = handler
                signal.signal(signum, lambda signum, _frame: came.append(signum))
        yield release
    finally:
        release()
