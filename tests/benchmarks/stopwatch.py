"""Runs inside supervisord: notes the moment at which it takes in each answer of the listener.

It is the `result_handler` of the listener's section, an official place for code of one's own, so each
listener is measured the same way and pays nothing for it. events.py configures it by the environment:
at every count of answers in BENCHMARK_MARKS the moments so far (CLOCK_MONOTONIC, ns, int64) are
appended to BENCHMARK_ANSWERED and the count is written to the pipe BENCHMARK_HEARD.
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Mapping

from supervisor.dispatchers import RejectEvent


class Stopwatch:
    def __init__(self, env: Mapping[str, str]) -> None:
        self._marks = frozenset(map(int, env["BENCHMARK_MARKS"].split()))
        self._answered_path = env["BENCHMARK_ANSWERED"]
        self._heard = os.open(env["BENCHMARK_HEARD"], os.O_WRONLY)
        self._moments = array("q")
        self._count = 0

    def hear(self, _event: object, response: bytes) -> None:
        """Take in one answer. Raises RejectEvent as supervisor's own handler does."""
        if response != b"OK":
            raise RejectEvent(response)
        self._moments.append(time.monotonic_ns())
        self._count += 1
        if self._count in self._marks:
            self._tell()

    def _tell(self) -> None:
        with open(self._answered_path, "ab") as file:
            self._moments.tofile(file)
        del self._moments[:]
        os.write(self._heard, b"%d\n" % self._count)


hear = Stopwatch(os.environ).hear
