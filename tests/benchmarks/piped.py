"""A listener whose supervisord is us: events by a pipe, answers by another.

Owns the process, its pipes and a time limit on every answer. ready.py and memory.py feed it.
"""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
import time
from collections.abc import Mapping
from types import TracebackType

from tests.benchmarks.interpreter import CHECKOUT
from tests.benchmarks.listeners import Listener
from tests.benchmarks.machine import LISTENER_CORE, on_core

_LIMIT_S = 30.0


class PipedListener:
    """A context manager: entering starts the listener on its core, leaving ends it."""

    def __init__(self, python: str, listener: Listener, env: Mapping[str, str]) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed in __exit__
        self.began_ns = time.monotonic_ns()
        with on_core(LISTENER_CORE):
            self._process = subprocess.Popen(
                (python, *listener.arguments),
                env=env,
                cwd=CHECKOUT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                bufsize=0,
            )
        assert self._process.stdin and self._process.stdout
        self.pid = self._process.pid
        self._events = self._process.stdin.fileno()
        self._answers = self._process.stdout.fileno()
        self._poll = select.poll()
        self._poll.register(self._answers, select.POLLIN)

    def send(self, frame: bytes) -> None:
        while frame:
            frame = frame[os.write(self._events, frame) :]

    def expect(self, answer: bytes) -> None:
        """Wait until exactly these bytes have come; anything else raises RuntimeError."""
        heard = b""
        while heard != answer:
            part = os.read(self._answers, 4096) if self._poll.poll(_LIMIT_S * 1000) else b""
            heard += part
            if not part or not answer.startswith(heard):
                self._log.seek(0)
                log = self._log.read(4096).decode()
                raise RuntimeError(f"expected the answer {answer!r}, got {heard!r}; its log:\n{log}")

    def __enter__(self) -> PipedListener:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Close its stdin; one that does not end by that is killed."""
        with self._log, self._process as process:
            assert process.stdin
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
