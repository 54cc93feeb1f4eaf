"""Senders of traps and informs for the receiver's tests: net-snmp's own programs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.snmp.receivers import udp_socket
from tests.support import require_program

ROOT = "1.3.6.1.4.1.52312.1"
OBJECTS = [f"{ROOT}.1.3", "s", "配置"]
CONTENT = ["42", f"{ROOT}.0.5", *OBJECTS]


class NetSnmp:
    """net-snmp's senders, with a folder of their own for what they remember."""

    def __init__(self, folder: Path) -> None:
        (folder / "cert_indexes").mkdir()  # net-snmp would make it, and say so on stderr
        folders = {"SNMPCONFPATH": str(folder), "SNMP_PERSISTENT_DIR": str(folder)}
        self._environment = {"LC_ALL": "C", "MIBS": "", **folders}

    @contextmanager
    def sending(
        self,
        program: str,
        port: int,
        *options: str,
        host: str = "127.0.0.1",
        content: list[str] = CONTENT,
    ) -> Iterator[subprocess.Popen[str]]:
        place = f"udp6:[{host}]:{port}" if ":" in host else f"udp:{host}:{port}"
        with subprocess.Popen(
            [require_program(program), *options, "-t", "10", "-r", "0", place, *content],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def datagram(self, program: str, *options: str) -> bytes:
        """The first that a program sends."""
        with (
            udp_socket("127.0.0.1") as taker,
            self.sending(program, taker.getsockname()[1], *options),
        ):
            return taker.recv(65535)
