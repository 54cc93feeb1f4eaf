"""SNMPv2c notifications: what is sent, and which answer acknowledges an inform.

ber.py encodes the messages, and sender.py carries them; pysnmp takes 3 ms of CPU for each. The words
for a refusal are version 3's, too.
"""

from __future__ import annotations

from listener.errors import ActionFailed
from listener.snmp import ber
from listener.snmp.mib import Content
from listener.snmp.target import Target

_ERROR_STATUS = (
    "noError", "tooBig", "noSuchName", "badValue", "readOnly", "genErr", "noAccess", "wrongType",
    "wrongLength", "wrongEncoding", "wrongValue", "noCreation", "inconsistentValue",
    "resourceUnavailable", "commitFailed", "undoFailed", "authorizationError", "notWritable",
    "inconsistentName",
)  # fmt: skip
"""By number (RFC 3416, section 3)."""


def refusal(target: Target, error_status: int) -> ActionFailed:
    """The failure of an inform that was answered with this error-status, which may be any number."""
    is_known = 0 < error_status < len(_ERROR_STATUS)
    name = _ERROR_STATUS[error_status] if is_known else "an error-status that SNMP does not have"
    return ActionFailed(f"{target.name} refused the inform with {name}")


class V2cMessages:
    """The notifications of version 2c, as V3Messages has those of version 3."""

    def trap(self, target: Target, request_id: int, content: Content) -> bytes:
        """The whole message of a trap."""
        return _message(target, ber.TRAP, request_id, content)

    def inform(self, target: Target, request_id: int, content: Content) -> V2cInform:
        """The conversation of an inform."""
        return V2cInform(target, request_id, _message(target, ber.INFORM, request_id, content))


def _message(target: Target, kind: int, request_id: int, content: Content) -> bytes:
    pdu = ber.pdu(kind, request_id, content.varbinds(target.layout))
    return ber.message_v2c(target.community, pdu)


class V2cInform:
    """A Conversation. Each try is the same datagram, so that a late answer to an earlier one counts."""

    def __init__(self, target: Target, request_id: int, message: bytes) -> None:
        self.target = target
        self._request_id = request_id
        self._message = message
        self._hint = (
            "is the receiver running, is its community the community_string, and does its host let SNMP"
            " through?"
        )

    def message(self) -> bytes:
        return self._message

    def is_answered(self, datagram: bytes) -> bool:
        response = ber.read_response(datagram)
        if response is None or response.request_id != self._request_id:
            return False
        if response.community != self.target.community:
            self._hint = "it has answered with another community than the inform's; correct it"
            return False
        if response.error_status:
            raise refusal(self.target, response.error_status)
        return True

    def unanswered(self) -> str:
        return self._hint
