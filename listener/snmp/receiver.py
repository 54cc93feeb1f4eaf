"""Receives SNMP traps and informs of all versions and tells what is in them.

Decodes with pysnmp's own messages, never with ber.py, so that what it shows is what another receiver
would see. It acknowledges informs, and sends nothing else but the reports of SNMPv3 (receiver_v3.py).
The verbs `traps` and `demo` print what it gives.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pyasn1.codec.ber import decoder, encoder
from pyasn1.type import univ
from pysnmp.proto import api
from pysnmp.proto.proxy import rfc2576

from listener.snmp import mib
from listener.snmp.target import User, shown

if TYPE_CHECKING:
    from listener.snmp.receiver_v3 import V3Reader


_MAX_DATAGRAM = 65535
_VERSIONS = {api.SNMP_VERSION_1: "1", api.SNMP_VERSION_2C: "2c"}
_V3 = 3
_ADDRESSES = (api.v1.IpAddress, api.v2c.IpAddress)

_SNMP_TRAP_COMMUNITY_0 = (1, 3, 6, 1, 6, 3, 18, 1, 4, 0)
_NAMES = {
    **{oid: name for name, oid in (*mib.OBJECTS.items(), *mib.NOTIFICATIONS.values())},
    # what a trap of version 1 says besides its varbinds (RFC 3584, 3.1)
    (1, 3, 6, 1, 6, 3, 18, 1, 3): "snmpTrapAddress",
    (1, 3, 6, 1, 6, 3, 1, 1, 4, 3): "snmpTrapEnterprise",
}


class Trap(NamedTuple):
    """One received trap or inform. `values` are by the MIB's name where it has one, else by OID.

    A value is a text, or a number where its type is one; a community is never among them. `version`
    is "1", "2c" or "3". Only version 3 has a `user`, a `security_level` (noAuthNoPriv, authNoPriv,
    authPriv) and engine IDs, which begin with 0x. `engine_id` is the engine whose keys and clock
    count: the sender's in a trap, as snmptrapd's `createUser -e` wants it; the receiver's in an inform.
    """

    sender: str
    notification: str
    uptime_s: float
    values: Mapping[str, str | int]
    version: str = "2c"
    is_inform: bool = False
    user: str = ""
    security_level: str = ""
    engine_id: str = ""
    context_engine_id: str = ""


class Undecodable(NamedTuple):
    """A datagram that is no trap that can be read here, and why."""

    sender: str
    reason: str


class TrapReceiver:
    """A UDP socket that traps come to. Port 0 takes a free one; `address` tells which.

    Messages of SNMPv3 are taken from `users` alone. Raises OSError when the address cannot be had.
    """

    def __init__(self, host: str, port: int, users: Sequence[User] = ()) -> None:
        self._users = users
        self._v3: V3Reader | None = None
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
        """The next trap or inform that comes, an inform being acknowledged; None after `timeout_s`.

        A question of SNMPv3, which comes before a sender's first inform, is answered on the way.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self._socket], [], [], left_s)
            if not ready:
                return None
            datagram, address = self._socket.recvfrom(_MAX_DATAGRAM)
            result, answer = self._read(datagram, shown(*address[:2]))
            if answer:
                with contextlib.suppress(OSError):  # what came counts; its sender will ask again
                    self._socket.sendto(answer, address)
            if result is not None:
                return result

    def _read(self, datagram: bytes, sender: str) -> tuple[Trap | Undecodable | None, bytes]:
        """What a datagram holds, None for a mere question, and the answer to its sender."""
        if _version(datagram) != _V3:
            return _decoded(datagram, sender)
        if self._v3 is None:
            from listener.snmp.receiver_v3 import V3Reader  # ciphers are slow to import

            self._v3 = V3Reader(self._users)
        message, refusal, answer = self._v3.read(datagram)
        if message is None:
            return (Undecodable(sender, refusal) if refusal else None), answer
        blank = Trap(sender, "", 0.0, {}, "3", message.is_inform, *message.origin)
        trap = _filled(blank, message.varbinds)
        return trap, answer if isinstance(trap, Trap) else b""

    def close(self) -> None:
        """Free the port. Safe to call twice."""
        self._socket.close()


def decode(datagram: bytes, sender: str) -> Trap | Undecodable:
    """What a datagram holds: a trap or inform of version 1 or 2c, or why it is none that can be read.

    SNMPv3 takes more than one datagram, and a TrapReceiver.
    """
    return _decoded(datagram, sender)[0]


def _version(datagram: bytes) -> int | None:
    """The number in an SNMP message that stands for its version; None when it is no such message."""
    try:
        return int(api.decodeMessageVersion(_without_tail(datagram)))
    except Exception:  # on broken bytes, pyasn1 raises whatever its own confusion leads to
        return None


def _without_tail(datagram: bytes) -> bytes:
    """The first whole element of a datagram, if there is one; pysnmp finds no version with a tail."""
    try:
        _, tail = decoder.decode(datagram, asn1Spec=univ.Any())
    except Exception:  # as above
        return datagram
    return datagram[: len(datagram) - len(tail)]


def _decoded(datagram: bytes, sender: str) -> tuple[Trap | Undecodable, bytes]:
    """As `decode`, and the acknowledgement of an inform."""
    version = _version(datagram)
    if version not in _VERSIONS:
        return Undecodable(sender, _why_unreadable(datagram, version)), b""
    messages = api.PROTOCOL_MODULES[version]
    try:
        message, rest = decoder.decode(datagram, asn1Spec=messages.Message())
        pdu = messages.apiMessage.get_pdu(message)
        is_inform = pdu.tagSet == api.v2c.InformRequestPDU.tagSet
        varbinds = _varbinds(pdu)
        answer = _acknowledgement(message) if is_inform else b""
    except Exception:  # as above
        return Undecodable(sender, f"a broken SNMP message of {len(datagram)} bytes"), b""
    if rest:
        return Undecodable(sender, f"an SNMP message with {len(rest)} bytes behind it"), b""
    if varbinds is None:
        return Undecodable(sender, f"an SNMP message, but no trap: {type(pdu).__name__}"), b""
    trap = _filled(Trap(sender, "", 0.0, {}, _VERSIONS[version], is_inform), varbinds)
    return trap, answer if isinstance(trap, Trap) else b""


def _why_unreadable(datagram: bytes, version: int | None) -> str:
    if version is None:
        begin = datagram[:20].hex(" ") or "nothing"
        return f"no SNMP message: {len(datagram)} bytes that begin with {begin}"
    if version == _V3:
        return "an SNMP message of version 3, which takes a receiver that knows its user"
    told = version if abs(version) < 2**31 else "that is far too large"
    return f"an SNMP message with the unknown version number {told} (0, 1 and 3 stand for 1, 2c and 3)"


def _varbinds(pdu: Any) -> Sequence[tuple[Any, Any]] | None:
    """The varbinds of a trap or inform; None when the PDU is neither.

    A trap of version 1 is told as version 2 has it, with snmpTrapOID.0 (RFC 3584, 3.1).
    """
    if pdu.tagSet == api.v1.TrapPDU.tagSet:
        pdu = rfc2576.v1_to_v2(pdu)
    kinds = (api.v2c.SNMPv2TrapPDU, api.v2c.InformRequestPDU)
    if not any(pdu.tagSet == kind.tagSet for kind in kinds):
        return None
    varbinds: Sequence[tuple[Any, Any]] = api.v2c.apiPDU.get_varbinds(pdu)
    return varbinds


def _acknowledgement(inform: Any) -> bytes:
    """The same message once more, as a response (RFC 3416, 4.2.7)."""
    messages = api.v2c.apiMessage
    response = messages.get_response(inform)
    varbinds = api.v2c.apiPDU.get_varbinds(messages.get_pdu(inform))
    api.v2c.apiPDU.set_varbinds(messages.get_pdu(response), varbinds)
    return bytes(encoder.encode(response))


def _filled(blank: Trap, varbinds: Sequence[tuple[Any, Any]]) -> Trap | Undecodable:
    """The trap with what its varbinds say."""
    values = {tuple(oid): value for oid, value in varbinds}
    values.pop(_SNMP_TRAP_COMMUNITY_0, None)  # a secret, which proxies pass on
    uptime = values.pop(mib.SYS_UP_TIME_0, 0)
    if not isinstance(uptime, (int, univ.Integer)):
        return Undecodable(blank.sender, "a trap whose sysUpTime.0 is no number")
    notification = values.pop(mib.SNMP_TRAP_OID_0, None)
    if not isinstance(notification, univ.ObjectIdentifier):
        reason = "a trap without snmpTrapOID.0, which tells what it is about"
        return Undecodable(blank.sender, reason)
    readable = {_name(oid): _readable(value) for oid, value in values.items()}
    return blank._replace(
        notification=_name(tuple(notification)), uptime_s=int(uptime) / 100, values=readable
    )


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
    if isinstance(value, univ.OctetString) and not isinstance(value, _ADDRESSES):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return f"0x{bytes(value).hex()}"
    return str(value.prettyPrint())
