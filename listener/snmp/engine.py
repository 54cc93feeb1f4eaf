"""pysnmp's SNMP engine without its sockets: datagrams go in and come out as bytes.

Owns the names of protocols: ours, and pysnmp's. It does no I/O and knows no notification. v3.py makes
messages with it, and receiver.py reads them.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable
from typing import Any

from pysnmp.carrier.base import AbstractTransportDispatcher
from pysnmp.entity import config
from pysnmp.entity.engine import SnmpEngine

from listener.snmp.target import User

_log = logging.getLogger(__name__)

_AUTH = {
    "": config.USM_AUTH_NONE,
    "MD5": config.USM_AUTH_HMAC96_MD5,
    "SHA": config.USM_AUTH_HMAC96_SHA,
    "SHA-224": config.USM_AUTH_HMAC128_SHA224,
    "SHA-256": config.USM_AUTH_HMAC192_SHA256,
    "SHA-384": config.USM_AUTH_HMAC256_SHA384,
    "SHA-512": config.USM_AUTH_HMAC384_SHA512,
}
_PRIV = {
    "": config.USM_PRIV_NONE,
    "DES": config.USM_PRIV_CBC56_DES,
    "AES": config.USM_PRIV_CFB128_AES,
    # as net-snmp has them, after Blumenthal's draft; some receivers follow Reeder's
    "AES-192": config.USM_PRIV_CFB192_AES_BLUMENTHAL,
    "AES-256": config.USM_PRIV_CFB256_AES_BLUMENTHAL,
}
UDP = (1, 3, 6, 1, 6, 1, 1)
"""The transport domain of all messages (RFC 3417, snmpUDPDomain)."""


class Engine:
    """`pysnmp` is the engine itself, `wire` stands for its sockets."""

    def __init__(self) -> None:
        self.pysnmp = SnmpEngine()
        self.wire = Wire()
        self.pysnmp.register_transport_dispatcher(self.wire)

    def add_user(self, user: User, engine_id: bytes | None = None) -> None:
        """Know a user's keys for messages of the engine with that ID; None means this engine."""
        config.add_v3_user(
            self.pysnmp,
            user.name,
            _AUTH[user.auth_protocol],
            user.auth_key.encode() or None,
            _PRIV[user.priv_protocol],
            user.priv_key.encode() or None,
            securityEngineId=engine_id,
        )

    def receive(self, address: Hashable, datagram: bytes) -> None:
        """Read a datagram from that address; pysnmp calls back with what it holds."""
        try:
            self.pysnmp.message_dispatcher.receive_message(self.pysnmp, UDP, address, datagram)
        except Exception as error:  # pyasn1 raises anything on broken bytes
            _log.debug("%d broken bytes from %s: %r", len(datagram), address, error)


class Wire(AbstractTransportDispatcher):  # type: ignore[misc]  # pysnmp has no types
    """Keeps the message that pysnmp sends, for its user to take."""

    def __init__(self) -> None:
        super().__init__()
        self._message = b""

    def send_message(self, outgoingMessage: Any, transportDomain: Any, transportAddress: Any) -> None:
        self._message = bytes(outgoingMessage)

    def take_message(self) -> bytes:
        """The last message; empty when there is none, or it was taken before."""
        message, self._message = self._message, b""
        return message
