"""SNMPv3 notifications (RFC 3414), made with pysnmp.

Owns one engine for each user, for the life of the process, and says in words what a receiver's report
means. It does no I/O: sender.py sends the messages and passes on the answers. The action snmp_trap
imports it when a hook needs it, as pysnmp takes a tenth of a second.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

from pysnmp.proto import errind, error
from pysnmp.proto.api import v2c

from listener.errors import ActionFailed
from listener.snmp.ber import Oid
from listener.snmp.engine import UDP, Engine
from listener.snmp.identity import EngineIdentity, engine_time
from listener.snmp.mib import SYS_UP_TIME_0, Content
from listener.snmp.target import Target, User
from listener.snmp.v2c import refusal

_log = logging.getLogger(__name__)

_VERSION_3 = 3
_USM = 3
_ASKED_AGAIN = (errind.UnknownEngineID, errind.NotInTimeWindow)
_MAX_REPORTS = 4
"""A receiver reports its engine ID and its time, once each. One that reports more often is at fault."""


class V3Messages:
    """The notifications of this host's engine."""

    def __init__(self, identity: EngineIdentity) -> None:
        self._identity = identity
        self._engines: dict[tuple[bytes, User], _OwnEngine] = {}

    def trap(self, target: Target, request_id: int, content: Content) -> bytes:
        """The whole message of a trap. Raises ActionFailed."""
        pdu = _fill(v2c.SNMPv2TrapPDU(), request_id, content.bindings(target.layout))
        return self.engine(target).message(target, pdu, None)

    def inform(self, target: Target, request_id: int, content: Content) -> V3Inform:
        """The conversation of an inform."""
        pdu = _fill(v2c.InformRequestPDU(), request_id, content.bindings(target.layout))
        return V3Inform(self.engine(target), target, pdu)

    def engine(self, target: Target) -> _OwnEngine:
        """The engine for a target; to make it takes long."""
        engine_id = target.engine_id or self._identity.engine_id
        engine = self._engines.get((engine_id, target.user))
        if engine is None:
            engine = _OwnEngine(engine_id, self._identity.boots, target.user)
            _log.info("SNMPv3 user %s: engine ID 0x%s, boots %d",
                      target.user.name, engine_id.hex(), self._identity.boots)  # fmt: skip
            self._engines[engine_id, target.user] = engine
        return engine


class V3Inform:
    """A Conversation; the first message to a receiver only asks for its engine ID and its time."""

    def __init__(self, engine: _OwnEngine, target: Target, pdu: Any) -> None:
        self.target = target
        self._engine = engine
        self._pdu = pdu
        self._answers: list[tuple[Any, Any]] = []
        self._reports = 0

    def message(self) -> bytes:
        # By itself, pysnmp asks with an empty inform, which some receivers answer wrongly.
        pdu = self._pdu if self._engine.knows(self.target) else v2c.GetRequestPDU()
        return self._engine.message(self.target, pdu, self._on_answer)

    def is_answered(self, datagram: bytes) -> bool | None:
        self._answers.clear()
        self._engine.read_answer(self.target, datagram)
        for problem, pdu in self._answers:
            if problem is None:
                if status := int(v2c.apiPDU.get_error_status(pdu)):
                    raise refusal(self.target, status)
                return True
            if not isinstance(problem, _ASKED_AGAIN) or self._reports == _MAX_REPORTS:
                meaning = _meaning(problem, self.target.user)
                raise ActionFailed(f"{self.target.name} refused the inform: {meaning}")
        if not self._answers:  # another engine than before has sent it
            self._engine.forget(self.target)
        self._reports += 1
        return None if self._reports <= _MAX_REPORTS else False

    def unanswered(self) -> str:
        return (
            "is the receiver running, does its host let SNMP through, and are the priv_protocol and the"
            " priv_key those of the user there?"
        )

    def _on_answer(self, status: Any, pdu: Any) -> None:
        problem = status and status["errorIndication"]
        if not isinstance(problem, errind.RequestTimedOut):
            self._answers.append((problem, pdu))


class _OwnEngine(Engine):
    """This host's engine, with one user."""

    def __init__(self, engine_id: bytes, boots: int, user: User) -> None:
        super().__init__()
        self._forgotten: dict[str, int] = {}
        own_id, own_boots, self._time = self.pysnmp.get_mib_builder().import_symbols(
            "__SNMP-FRAMEWORK-MIB", "snmpEngineID", "snmpEngineBoots", "snmpEngineTime"
        )
        # Given to its constructor, pysnmp would keep boots of its own in a temporary directory.
        own_id.syntax = own_id.syntax.clone(engine_id)
        own_boots.syntax = own_boots.syntax.clone(boots)
        self.pysnmp.snmpEngineID = own_id.syntax
        self.add_user(user)
        self._security_name = v2c.OctetString(user.name.encode())
        self._level = 1 + bool(user.auth_protocol) + bool(user.priv_protocol)

    def message(self, target: Target, pdu: Any, on_answer: Callable[[Any, Any], None] | None) -> bytes:
        """The next message with this PDU. `on_answer` gets the status and PDU of an inform's answer."""
        now = engine_time()
        # pysnmp's own type for it would count on from this value, by the wall clock.
        self._time.syntax = v2c.Integer32(now)
        self.wire.handle_timer_tick(now)  # so that pysnmp forgets what was never answered
        try:
            self.pysnmp.message_dispatcher.send_pdu(
                self.pysnmp, UDP, self._address(target), _VERSION_3, _USM, self._security_name,
                self._level, None, target.context_name.encode(), 1, pdu, on_answer is not None,
                target.timeout_s / self.wire.get_timer_resolution(), _on_response, on_answer,
            )  # fmt: skip
        except error.StatusInformation as status:
            problem = status["errorIndication"]
            raise ActionFailed(f"no message for {target.name} could be made: {problem}") from status
        return self.wire.take_message()

    def read_answer(self, target: Target, datagram: bytes) -> None:
        """Read what a receiver has answered; it goes to `on_answer` of that message."""
        self.receive(self._address(target), datagram)

    def knows(self, target: Target) -> bool:
        """Whether this receiver has told its engine ID; until then, each message only asks for it."""
        processing = self.pysnmp.message_processing_subsystems[_VERSION_3]
        engine_id, _, _ = processing.get_peer_engine_info(UDP, self._address(target))
        return engine_id is not None

    def forget(self, target: Target) -> None:
        """Ask this receiver for its engine ID again: another engine was started there."""
        self._forgotten[target.name] = self._forgotten.get(target.name, 0) + 1

    def _address(self, target: Target) -> tuple[str, int]:
        """pysnmp remembers the receiver's engine ID by this."""
        return target.name, self._forgotten.get(target.name, 0)


def _fill(pdu: Any, request_id: int, bindings: Sequence[tuple[Oid, Any]]) -> Any:
    v2c.apiPDU.set_defaults(pdu)
    v2c.apiPDU.set_request_id(pdu, request_id)
    varbinds = [(_object_identifier(oid), _pysnmp_value(oid, value)) for oid, value in bindings]
    v2c.apiPDU.set_varbinds(pdu, varbinds)
    return pdu


def _pysnmp_value(oid: Oid, value: Any) -> Any:
    """A value of pysnmp's type. Of the two numbers, only the time stamp is a Counter64."""
    if isinstance(value, bytes):
        return v2c.OctetString(value)
    if isinstance(value, tuple):
        return _object_identifier(value)
    return v2c.TimeTicks(value % 2**32) if oid == SYS_UP_TIME_0 else v2c.Counter64(value)


@functools.cache
def _object_identifier(oid: Oid) -> Any:
    """There are some twenty, and making one takes pysnmp 10 µs."""
    return v2c.ObjectIdentifier(oid)


def _on_response(*values: Any) -> None:
    """pysnmp's callback, with twelve arguments; three are of use."""
    *_, pdu, status, _, on_answer = values
    on_answer(status, pdu)


def _meaning(problem: object, user: User) -> str:
    """A receiver's report, in the words of a hook's inputs."""
    name = f"user {user.name!r}"
    if isinstance(problem, (errind.UnknownUserName, errind.UnknownSecurityName)):
        return f"it does not know the {name}; create it there, or correct 'user' ({problem})"
    if isinstance(problem, (errind.WrongDigest, errind.AuthenticationFailure)):
        return f"the auth_protocol or the auth_key of {name} is not the one there ({problem})"
    if isinstance(problem, errind.UnsupportedSecurityLevel):
        return f"{name} needs other protocols there, such as a priv_protocol ({problem})"
    if isinstance(problem, errind.DecryptionError):
        return f"the priv_protocol or the priv_key of {name} is not the one there ({problem})"
    return f"{problem!s:.80}"
