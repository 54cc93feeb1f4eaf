"""What a received datagram says: a Trap with readable names and values, or the reason why it has none.

Owns the decoding of SNMPv1 and v2c. It never uses ber.py, but pysnmp, so that it sees what another
receiver would see. It opens no socket and knows no user; receiver.py calls it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pyasn1.codec.ber import decoder, encoder
from pyasn1.type import univ
from pysnmp.proto import api
from pysnmp.proto.proxy import rfc2576

from listener.snmp import mib

_VERSIONS = {api.SNMP_VERSION_1: "1", api.SNMP_VERSION_2C: "2c"}
_ADDRESSES = (api.v1.IpAddress, api.v2c.IpAddress)

_SNMP_TRAP_COMMUNITY_0 = (1, 3, 6, 1, 6, 3, 18, 1, 4, 0)
_NAMES = {
    **{oid: name for name, oid in (*mib.OBJECTS.items(), *mib.NOTIFICATIONS.values())},
    # for what a trap of version 1 holds besides varbinds (RFC 3584, 3.1)
    (1, 3, 6, 1, 6, 3, 18, 1, 3): "snmpTrapAddress",
    (1, 3, 6, 1, 6, 3, 1, 1, 4, 3): "snmpTrapEnterprise",
}


class Trap(NamedTuple):
    """One received trap or inform. `values` are by the MIB's name, or by OID where it has none.

    A value is a text or a number; a community is never among them. `version` is "1", "2c" or "3".
    Only version 3 has a `user`, a `security_level` (noAuthNoPriv, authNoPriv, authPriv) and engine
    IDs, which begin with 0x. `engine_id` is the authoritative engine's: the sender's in a trap, as
    snmptrapd's `createUser -e` wants it; the receiver's in an inform.
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
    """A datagram that is no readable trap, and why."""

    sender: str
    reason: str


def version_of(datagram: bytes) -> int | None:
    """The number that stands for the version of an SNMP message: 0 is 1, 1 is 2c, 3 is 3.

    None when it is no SNMP message.
    """
    try:
        return int(api.decodeMessageVersion(datagram))
    except Exception:  # pyasn1 raises anything on broken bytes
        return None


def decode(datagram: bytes, sender: str) -> tuple[Trap | Undecodable, bytes]:
    """What a datagram of version 1 or 2c holds; and the acknowledgement of an inform, or nothing."""
    version = version_of(datagram)
    if version is None:
        start = datagram[:20].hex(" ") or "nothing"
        reason = f"no SNMP message: {len(datagram)} bytes that begin with {start}"
        return Undecodable(sender, reason), b""
    if version not in _VERSIONS:
        return Undecodable(sender, "an SNMP message of a version other than 1, 2c and 3"), b""
    messages = api.PROTOCOL_MODULES[version]
    try:
        message, _ = decoder.decode(datagram, asn1Spec=messages.Message())
        pdu = messages.apiMessage.get_pdu(message)
        varbinds = _varbinds(pdu)
        is_inform = pdu.tagSet == api.v2c.InformRequestPDU.tagSet
        answer = _acknowledgement(message) if is_inform else b""
    except Exception:  # as above
        return Undecodable(sender, f"a broken SNMP message of {len(datagram)} bytes"), b""
    if varbinds is None:
        return Undecodable(sender, f"an SNMP message, but no trap: {type(pdu).__name__}"), b""
    trap = with_varbinds(Trap(sender, "", 0.0, {}, _VERSIONS[version], is_inform), varbinds)
    return trap, answer if isinstance(trap, Trap) else b""


def with_varbinds(trap: Trap, varbinds: Sequence[tuple[Any, Any]]) -> Trap | Undecodable:
    """The trap with the content of these varbinds."""
    values = {tuple(oid): value for oid, value in varbinds}
    values.pop(_SNMP_TRAP_COMMUNITY_0, None)  # a secret, which proxies pass on
    uptime = values.pop(mib.SYS_UP_TIME_0, univ.Integer(0))
    notification = values.pop(mib.SNMP_TRAP_OID_0, None)
    if not isinstance(uptime, univ.Integer) or not isinstance(notification, univ.ObjectIdentifier):
        reason = "a trap whose snmpTrapOID.0 is no OID, or whose sysUpTime.0 is no number"
        return Undecodable(trap.sender, reason)
    return trap._replace(
        notification=_name(tuple(notification)),
        uptime_s=int(uptime) / 100,
        values={_name(oid): _readable_value(value) for oid, value in values.items()},
    )


def _varbinds(pdu: Any) -> Sequence[tuple[Any, Any]] | None:
    """The varbinds of a trap or inform, with snmpTrapOID.0 in version 1, too (RFC 3584, 3.1).

    None when the PDU is neither.
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


def _name(oid: tuple[int, ...]) -> str:
    """The MIB's name, with `.0` for an instance; the numbers where the MIB has no name."""
    if oid in _NAMES:
        return _NAMES[oid]
    if oid[-1:] == (0,) and oid[:-1] in _NAMES:
        return f"{_NAMES[oid[:-1]]}.0"
    return ".".join(map(str, oid))


def _readable_value(value: Any) -> str | int:
    if isinstance(value, univ.Integer):
        return int(value)
    if isinstance(value, univ.OctetString) and not isinstance(value, _ADDRESSES):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return f"0x{bytes(value).hex()}"
    return str(value.prettyPrint())
