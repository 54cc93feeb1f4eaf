"""Receivers of traps for the tests: plain UDP sockets, pysnmp's decoder, a real snmptrapd.

Nothing here uses our own encoder or our own receiver; what it says of a datagram is another's word.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
from pyasn1.codec.ber import decoder, encoder
from pyasn1.type import univ
from pysnmp.proto.api import v2c

import listener
from tests.support import do_without, require_program

MIB = Path(listener.__file__).parent / "snmp" / "CLOUDIFY-MIB.txt"
GOLDEN: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "golden-traps.json").read_text("utf-8")
)
"""Traps of the original, with what it made each from."""
LIMIT_S = 20.0
TSHARK_TO_ROOT = "Running as user "

# Every MIB imports these three modules, and Debian's main section has them nowhere (the RFCs'
# licence forbids changes). What our file needs of them are a few facts: these stand in for them.
STAND_INS = {
    "SNMPv2-SMI": """
        org         OBJECT IDENTIFIER ::= { iso 3 }
        dod         OBJECT IDENTIFIER ::= { org 6 }
        internet    OBJECT IDENTIFIER ::= { dod 1 }
        private     OBJECT IDENTIFIER ::= { internet 4 }
        enterprises OBJECT IDENTIFIER ::= { private 1 }
        Counter64 ::= [APPLICATION 6] IMPLICIT INTEGER (0..18446744073709551615)
        MODULE-IDENTITY MACRO ::= BEGIN END
        OBJECT-TYPE MACRO ::= BEGIN END
        NOTIFICATION-TYPE MACRO ::= BEGIN END
    """,
    "SNMPv2-TC": """
        TEXTUAL-CONVENTION MACRO ::= BEGIN END
    """,
    "SNMPv2-CONF": """
        OBJECT-GROUP MACRO ::= BEGIN END
        NOTIFICATION-GROUP MACRO ::= BEGIN END
        MODULE-COMPLIANCE MACRO ::= BEGIN END
    """,
}


def write_base_mibs(directory: Path) -> Path:
    """Write the modules that every MIB imports, and return where they are."""
    for name, body in STAND_INS.items():
        (directory / f"{name}.txt").write_text(f"{name} DEFINITIONS ::= BEGIN\n{body}\nEND\n")
    return directory


def with_our_mib(base_mibs: Path, directory: Path) -> dict[str, str]:
    """For external programs: our MIB, no settings of this machine or user, and a plain C locale."""
    (directory / "cert_indexes").mkdir()  # net-snmp would make it, and say so on stderr
    return {
        "LC_ALL": "C",
        "MIBDIRS": f"{base_mibs}:{MIB.parent}",
        "MIBS": "CLOUDIFY-MIB",
        "SMIPATH": str(base_mibs),
        "SNMPCONFPATH": str(directory),
        "SNMP_PERSISTENT_DIR": str(directory),
    }


def answer(environment: dict[str, str], program: str, *arguments: str) -> str:
    """What a program prints when it succeeds; anything on stderr is a failure too."""
    done = subprocess.run(
        [require_program(program), *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT_S,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if not line.startswith(TSHARK_TO_ROOT)]
    assert (done.returncode, said) == (0, [])
    return done.stdout


def udp_socket(host: str, port: int = 0) -> socket.socket:
    """A socket of loopback in either family; without the family the test cannot run."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        made = socket.socket(family, socket.SOCK_DGRAM)
    except OSError:
        do_without(f"there are no addresses like {host}")
    try:
        made.bind((host, port))
    except OSError:
        made.close()
        if host != "::1":
            raise
        do_without(f"there are no addresses like {host}")
    made.settimeout(LIMIT_S)
    return made


def closed_port(host: str) -> int:
    """A port that nothing listens at."""
    with udp_socket(host) as probe:
        port: int = probe.getsockname()[1]
    return port


def golden_datagram(name: str) -> bytes:
    """A datagram of the original."""
    [datagram] = [golden["datagram_hex"] for golden in GOLDEN if golden["name"] == name]
    return bytes.fromhex(datagram)


def decoded(datagram: bytes) -> Any:
    """A whole SNMPv2c message as pysnmp sees it; the test fails when it is none."""
    message, rest = decoder.decode(datagram, asn1Spec=v2c.Message())
    assert (rest, int(message["version"])) == (b"", 1)
    return message


def varbinds_of(datagram: bytes) -> list[tuple[tuple[int, ...], Any]]:
    """The varbinds of an SNMPv2c trap: OIDs with values of pysnmp's types."""
    pdu = v2c.apiMessage.get_pdu(decoded(datagram))
    assert isinstance(pdu, v2c.SNMPv2TrapPDU)
    return [(tuple(oid), value) for oid, value in v2c.apiTrapPDU.get_varbinds(pdu)]


def answer_to(
    inform: bytes,
    *,
    request_id: int | None = None,
    error_status: int = 0,
    community: bytes | None = None,
) -> bytes:
    """The answer that pysnmp makes to an inform of version 2c, with these changes."""
    message = decoded(inform)
    response = v2c.apiPDU.get_response(v2c.apiMessage.get_pdu(message))
    if request_id is not None:
        v2c.apiPDU.set_request_id(response, request_id)
    # as `set_error_status`, without its limits
    response.setComponentByPosition(
        1, univ.Integer(error_status), verifyConstraints=False, matchTags=False, matchConstraints=False
    )
    v2c.apiMessage.set_pdu(message, response)
    if community is not None:
        v2c.apiMessage.set_community(message, community)
    return bytes(encoder.encode(message))


@dataclass(frozen=True, slots=True)
class Snmptrapd:
    """A running snmptrapd that listens at `port` of 127.0.0.1, or of another host."""

    port: int
    stdout: IO[bytes]

    def read_past(self, text: str) -> str:
        """What it prints from now on, up to the end of the first line that has `text`."""
        printed = b""
        deadline = time.monotonic() + LIMIT_S
        with selectors.DefaultSelector() as selector:
            selector.register(self.stdout, selectors.EVENT_READ)
            while not (text.encode() in printed and printed.endswith(b"\n")):
                if not selector.select(deadline - time.monotonic()):
                    pytest.fail(f"snmptrapd printed no {text!r} in {LIMIT_S} s, but {printed!r}")
                read = os.read(self.stdout.fileno(), 65536)
                assert read, f"snmptrapd ended after it had printed {printed!r}"
                printed += read
        return printed.decode("utf-8")


@contextmanager
def snmptrapd(
    environment: dict[str, str],
    directory: Path,
    *settings: str,
    port: int | None = None,
    host: str = "127.0.0.1",
) -> Iterator[Snmptrapd]:
    """Without `settings` it prints whatever comes; they are lines of its configuration."""
    file = directory / "snmptrapd-test.conf"
    file.write_text("\n".join(settings or ("disableAuthorization yes",)) + "\n")
    port = port or closed_port(host)
    command = [require_program("snmptrapd"), "-f", "-Lo", "-n", "-C", "-c", str(file)]
    transport = f"udp6:[{host}]:{port}" if ":" in host else f"udp:{host}:{port}"
    with subprocess.Popen(
        [*command, transport],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            assert process.stdout is not None
            started = Snmptrapd(port, process.stdout)
            started.read_past("NET-SNMP version")  # logged once its sockets are open
            yield started
        finally:
            process.kill()


def values_in(printed: str) -> dict[str, str]:
    """The value of each varbind of the last trap that snmptrapd printed, by name without module."""
    values = {}
    for varbind in printed.splitlines()[-1].split("\t"):
        name, _, value = varbind.partition(" = ")
        values[name.removeprefix("CLOUDIFY-MIB::")] = value.removeprefix("STRING: ")
    return values
