"""libsnmp in C, where Debian's libsnmp-dev and a C compiler are installed: the least that SNMP costs.

Owns the compiling of programs/libsnmp.c and its running. What is missing is said, and its row left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.notifications import PROGRAMS


class Used(NamedTuple):
    """µs for one notification."""

    wall: float
    cpu: float


class Libsnmp:
    """The program; `folder` is where it is made."""

    def __init__(self, program: Path) -> None:
        self._program = program

    @classmethod
    def made_in(cls, folder: Path) -> Libsnmp | None:
        """None where it cannot be made."""
        if not (shutil.which("gcc") and shutil.which("net-snmp-config")):
            print("\nlibsnmp in C is left out: install gcc and libsnmp-dev", file=sys.stderr)
            return None
        program = folder / "libsnmp"
        source = PROGRAMS / "libsnmp.c"
        command = ["gcc", "-O2", "-o", str(program), str(source), "-lnetsnmp"]
        subprocess.run(command, check=True)
        return cls(program)

    def send(self, kind: str, port: int, count: int) -> Used:
        """Send so many traps or informs to a port of 127.0.0.1; an inform waits for its answer."""
        command = [str(self._program), kind, f"udp:127.0.0.1:{port}", str(count)]
        env = {**os.environ, "MIBS": ""}
        done = subprocess.run(command, env=env, check=True, capture_output=True, timeout=120)
        wall, cpu = map(int, done.stdout.split())
        return Used(wall / 1000 / count, cpu / 1000 / count)
