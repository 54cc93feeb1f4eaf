"""Receives SNMPv2c traps and tells what is in them.

Decodes with pysnmp's own messages, never with ber.py, so that what it shows is what another receiver
would see. It answers nothing. The verbs `traps` and `demo` print what it gives.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple

from pyasn1.codec.ber import decoder
from pyasn1.type import univ
from pysnmp.proto import api

from listener.snmp import mib
from listener.snmp.sender import shown

_MAX_DATAGRAM = 65535
_VERSIONS = {api.SNMP_VERSION_1: "1", 3: "3"}

_NAMES = {oid: name for name, oid in (*mib.OBJECTS.items(), *mib.NOTIFICATIONS.values())}


class Trap(NamedTuple):
    """One received trap. `values` are by the MIB's name where it has one, else by OID.

    A value is a text, or a number where its type is one.
    """

    sender: str
    notification: str
    uptime_s: float
    values: Mapping[str, str | int]


class Undecodable(NamedTuple):
    """A datagram that is no trap that can be read here, and why."""

    sender: str
    reason: str


class TrapReceiver:
    """A UDP socket that traps come to. Port 0 takes a free one; `address` tells which.

    Raises OSError when the address cannot be had.
    """

    def __init__(self, host: str, port: int) -> None:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        self._socket = socket.socket(family, kind, protocol)
        try:
            self._socket.bind(address)
        except OSError:
            self._socket.close()
            raise

    @property
    def address(self) -> tuple[str, int]:
        host, port, *_ = self._socket.getsockname()
        return host, port

    def receive(self, timeout_s: float | None = None) -> Trap | Undecodable | None:
        """The next datagram that comes; None after `timeout_s` without one."""
        ready, _, _ = select.select([self._socket], [], [], timeout_s)
        if not ready:
            return None
        datagram, (host, port, *_) = self._socket.recvfrom(_MAX_DATAGRAM)
        return decode(datagram, shown(host, port))

    def close(self) -> None:
        """Free the port. Safe to call twice."""
        self._socket.close()


def decode(datagram: bytes, sender: str) -> Trap | Undecodable:
    """What a datagram holds: an SNMPv2c trap, or the reason why it is none that can be read here."""
    try:
        message, rest = decoder.decode(datagram, asn1Spec=api.v2c.Message())
        version = int(api.v2c.apiMessage.get_version(message))
        pdu = api.v2c.apiMessage.get_pdu(message)
        is_trap = pdu.isSameTypeWith(api.v2c.SNMPv2TrapPDU())
        values = {tuple(oid): value for oid, value in api.v2c.apiTrapPDU.get_varbinds(pdu)}
    except Exception:  # on broken bytes, pyasn1 raises whatever its own confusion leads to
        return Undecodable(sender, _why_unreadable(datagram))
    if version != api.SNMP_VERSION_2C:
        return Undecodable(sender, _why_unreadable(datagram))
    if rest:
        return Undecodable(sender, f"an SNMP message with {len(rest)} bytes behind it")
    if not is_trap:
        return Undecodable(sender, f"an SNMP message, but no trap: {type(pdu).__name__}")
    return _trap(values, sender)


def _why_unreadable(datagram: bytes) -> str:
    try:
        version = int(api.decodeMessageVersion(datagram))
    except Exception:  # as above
        begin = datagram[:20].hex(" ") or "nothing"
        return f"no SNMP message: {len(datagram)} bytes that begin with {begin}"
    if version == api.SNMP_VERSION_2C:
        return f"a broken SNMP message of {len(datagram)} bytes"
    return f"an SNMP message of version {_VERSIONS.get(version, 'unknown')}, not 2c"


def _trap(values: dict[tuple[int, ...], Any], sender: str) -> Trap | Undecodable:
    uptime = values.pop(mib.SYS_UP_TIME_0, 0)
    if not isinstance(uptime, (int, univ.Integer)):
        return Undecodable(sender, "a trap whose sysUpTime.0 is no number")
    notification = values.pop(mib.SNMP_TRAP_OID_0, None)
    if not isinstance(notification, univ.ObjectIdentifier):
        return Undecodable(sender, "a trap without snmpTrapOID.0, which tells what it is about")
    readable = {_name(oid): _readable(value) for oid, value in values.items()}
    return Trap(sender, _name(tuple(notification)), int(uptime) / 100, readable)


def _name(oid: tuple[int, ...]) -> str:
    """The MIB's name, with `.0` behind it where an instance is; else the numbers."""
    if oid in _NAMES:
        return _NAMES[oid]
    if oid[-1:] == (0,) and oid[:-1] in _NAMES:
        return f"{_NAMES[oid[:-1]]}.0"
    return ".".join(map(str, oid))


def _readable(value: Any) -> str | int:
    if isinstance(value, univ.Integer):
        return int(value)
    if isinstance(value, univ.OctetString) and not isinstance(value, api.v2c.IpAddress):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return f"0x{bytes(value).hex()}"
    return str(value.prettyPrint())
