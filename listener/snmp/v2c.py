"""SNMPv2c notifications: what is sent, and which answer acknowledges an inform.

ber.py encodes the messages, and sender.py carries them; pysnmp takes 3 ms of CPU for each.
"""

from __future__ import annotations

from listener.errors import ActionFailed
from listener.snmp import ber
from listener.snmp.mib import Content
from listener.snmp.sender import Peer
from listener.snmp.target import Target


class V2cMessages:
    """The notifications of version 2c, as V3Messages has those of version 3."""

    def trap(self, target: Target, peer: Peer, request_id: int, content: Content) -> bytes:
        """The whole message of a trap."""
        return _message(target, ber.TRAP, request_id, content)

    def inform(self, target: Target, peer: Peer, request_id: int, content: Content) -> V2cInform:
        """The conversation of an inform."""
        return V2cInform(target, peer, request_id, _message(target, ber.INFORM, request_id, content))


def _message(target: Target, kind: int, request_id: int, content: Content) -> bytes:
    pdu = ber.pdu(kind, request_id, content.varbinds(target.layout))
    return ber.message_v2c(target.community, pdu)


class V2cInform:
    """A Conversation. Each try is the same datagram, so that a late answer to an earlier one counts."""

    def __init__(self, target: Target, peer: Peer, request_id: int, message: bytes) -> None:
        self.peer = peer
        self.timeout_s = target.timeout_s
        self.retries = target.retries
        self._request_id = request_id
        self._message = message

    def message(self) -> bytes:
        return self._message

    def is_answered(self, datagram: bytes) -> bool:
        response = ber.read_response(datagram)
        if response is None or response.request_id != self._request_id:
            return False
        if response.error_status:
            raise ActionFailed(
                f"{self.peer.name} refused the inform with error-status {response.error_status}"
                " (RFC 3416, section 3)"
            )
        return True

    def unanswered(self) -> str:
        return (
            "is the receiver running, is its community the community_string, and does its host let SNMP"
            " through?"
        )
