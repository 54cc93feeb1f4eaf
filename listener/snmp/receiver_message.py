"""The shape of SNMPv3 messages (RFC 3412, 6, and RFC 3414, 2.4): reads and writes them.

Digests and ciphers are made with the keys that it is given. It judges only whether a message is one
that may be; whether its sender is who it says, receiver_v3.py finds out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pyasn1.codec.ber import decoder, encoder
from pyasn1.type import univ
from pysnmp.proto.mpmod.rfc3412 import SNMPv3Message
from pysnmp.proto.secmod.rfc3414.service import UsmSecurityParameters

from listener.snmp.receiver_keys import AUTH_LEVEL, PRIV_LEVEL, Keys

_VERSION = 3
_USM = 3
_REPORTABLE = 4
_LEVELS_OF_FLAGS = {0: 0, 1: AUTH_LEVEL, 3: PRIV_LEVEL}
_FLAGS_OF_LEVELS = {level: flags for flags, level in _LEVELS_OF_FLAGS.items()}
_MAX_SIZE = 65507


class Refused(Exception):
    """A message is not taken. `counter` is what its sender is told, should it want to know.

    Without a reason it is a question that every sender of informs begins with, and no mistake.
    """

    def __init__(self, reason: str, counter: tuple[int, ...] = (), keys: Keys | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.counter = counter
        self.keys = keys


class Message(NamedTuple):
    """What stands in the clear in a message (RFC 3412, 6, and RFC 3414, 2.4)."""

    whole: bytes
    number: int
    level: int
    wants_report: bool
    engine_id: bytes
    boots: int
    time_s: int
    user: bytes
    digest: Any
    salt: Any
    content: Any

    @property
    def who(self) -> str:
        return f"user {self.user.decode('utf-8', 'backslashreplace')!r}"


def parsed(datagram: bytes) -> Message:
    """The message; raises Refused for one that nobody reads, anything for broken bytes."""
    whole, rest = decoder.decode(datagram, asn1Spec=SNMPv3Message())
    if rest:
        raise Refused(f"an SNMPv3 message with {len(rest)} bytes behind it")
    header = whole["msgGlobalData"]
    if header["msgSecurityModel"] != _USM:
        model = int(header["msgSecurityModel"])
        raise Refused(f"an SNMPv3 message of the security model {model}; only 3, USM, is read here")
    [flags] = bytes(header["msgFlags"])
    if flags & 3 not in _LEVELS_OF_FLAGS:
        raise Refused("an SNMPv3 message that is encrypted, but has no digest, which must not be")
    security, _ = decoder.decode(whole["msgSecurityParameters"], asn1Spec=UsmSecurityParameters())
    return Message(
        whole=datagram,
        number=int(header["msgID"]),
        level=_LEVELS_OF_FLAGS[flags & 3],
        wants_report=bool(flags & _REPORTABLE),
        engine_id=bytes(security["msgAuthoritativeEngineId"]),
        boots=int(security["msgAuthoritativeEngineBoots"]),
        time_s=int(security["msgAuthoritativeEngineTime"]),
        user=bytes(security["msgUserName"]),
        digest=security["msgAuthenticationParameters"],
        salt=security["msgPrivacyParameters"],
        content=whole["msgData"],
    )


def request_id(message: Message) -> int:
    """That of the request if it can be read without a key, else 0 (RFC 3412, 7.1, step 3c)."""
    if message.content.getName() != "plaintext":
        return 0
    return int(message.content.getComponent()[2].getComponent()[0])


def scoped_pdu(context_engine_id: bytes, context_name: bytes, pdu: Any) -> univ.Sequence:
    names = univ.OctetString(context_engine_id), univ.OctetString(context_name)
    return univ.Sequence().setComponents(*names, pdu)


def sealed(
    to: Message, engine: tuple[bytes, int, int], level: int, keys: Keys | None, inside: Any
) -> bytes:
    """A whole message back to the sender of `to`, from the engine of this ID, boots and time.

    Below authNoPriv it needs no keys.
    """
    engine_id, boots, time_s = engine
    content, salt = inside, univ.OctetString(b"")
    if keys and level == PRIV_LEVEL:
        stamp = boots, time_s, None
        content, salt = keys.priv.encrypt_data(keys.priv_key, stamp, encoder.encode(inside))
    digest = bytes(keys.auth.digest_length if keys and level else 0)
    security = univ.Sequence().setComponents(
        univ.OctetString(engine_id),
        *map(univ.Integer, (boots, time_s)),
        *map(univ.OctetString, (to.user, digest, salt)),
    )
    flags = univ.OctetString(bytes((_FLAGS_OF_LEVELS[level],)))
    header = univ.Sequence().setComponents(
        univ.Integer(to.number), univ.Integer(_MAX_SIZE), flags, univ.Integer(_USM)
    )
    whole = univ.Sequence().setComponents(
        univ.Integer(_VERSION), header, univ.OctetString(encoder.encode(security)), content
    )
    datagram = encoder.encode(whole)
    if keys and level:
        datagram = keys.auth.authenticate_outgoing_message(keys.auth_key, datagram)
    return bytes(datagram)
