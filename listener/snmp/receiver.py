"""Receives SNMP traps and informs of all versions.

Owns the UDP socket, and the pysnmp engine that knows the users of SNMPv3. It sends nothing but
acknowledgements of informs and that engine's reports. The verbs `traps` and `demo` call it.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Sequence
from typing import Any

from pyasn1.codec.ber import decoder
from pysnmp.entity.rfc3413.ntfrcv import NotificationReceiver
from pysnmp.proto import errind
from pysnmp.proto.mpmod.rfc3412 import SNMPv3Message
from pysnmp.proto.secmod.rfc3414.service import UsmSecurityParameters

from listener.snmp.engine import Engine
from listener.snmp.target import User, address_name
from listener.snmp.trap import Trap, Undecodable, decode, version_of, with_varbinds

_MAX_DATAGRAM = 65535
_SENT_TO = {
    socket.AF_INET: (socket.IPPROTO_IP, 8),  # IP_PKTINFO, which Python names from 3.14 on
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO),
}
"""The option by which the system says which address of ours a datagram was sent to."""
_ANCILLARY = socket.CMSG_SPACE(20)  # that address, in either family
_V3 = 3
_REPORTABLE = 4
_LEVELS = {0: "noAuthNoPriv", 1: "authNoPriv", 3: "authPriv"}
_ASKED_AGAIN = (errind.UnknownEngineID, errind.NotInTimeWindow)
"""Every sender of informs begins so: it learns our engine ID and time from our answer."""

_Notification = tuple[Any, Any]
"""A context engine ID, and varbinds."""


class TrapReceiver:
    """A UDP socket that receives traps. Port 0 means any free port; `address` has it.

    Only `users` can send it SNMPv3. Raises OSError when it cannot have the address.
    """

    def __init__(self, host: str, port: int, users: Sequence[User] = ()) -> None:
        self._engine = _ReceivingEngine(users)
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        self._socket = socket.socket(family, kind, protocol)
        try:
            self._socket.setsockopt(*_SENT_TO[family], 1)
            self._socket.bind(address)
        except OSError:
            self._socket.close()
            raise

    @property
    def address(self) -> tuple[str, int]:
        host, port, *_ = self._socket.getsockname()
        return host, port

    def receive(self, timeout_s: float | None = None) -> Trap | Undecodable | None:
        """The next trap or inform; None when none has come after `timeout_s`.

        Acknowledges an inform from the address that it was sent to: its sender takes no other's answer.
        Answers the questions of SNMPv3 that come before a sender's first inform, and waits on.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self._socket], [], [], left_s)
            if not ready:
                return None
            datagram, sent_to, _, address = self._socket.recvmsg(_MAX_DATAGRAM, _ANCILLARY)
            read = self._engine.read if version_of(datagram) == _V3 else decode
            result, answer = read(datagram, address_name(*address[:2]))
            if answer:
                with contextlib.suppress(OSError):  # it was received; its sender will ask again
                    self._socket.sendmsg([answer], map(_by_any_route, sent_to), 0, address)
            if result is not None:
                return result

    def close(self) -> None:
        """Free the port. Safe to call twice."""
        self._socket.close()


class _ReceivingEngine(Engine):
    """An SNMPv3 engine that knows `users`. Several may have the same name and different keys."""

    def __init__(self, users: Sequence[User]) -> None:
        super().__init__()
        self._users = users
        self._own_id = bytes(self.pysnmp.snmpEngineID)
        self._notification: _Notification | None = None
        self._problem: object = None
        for user in users:
            self.add_user(user)  # without any user, pysnmp reports no unknown one
        NotificationReceiver(self.pysnmp, self._on_notification)
        self.pysnmp.observer.register_observer(
            self._on_problem, "rfc3412.prepareDataElements:sm-failure"
        )

    def read(self, datagram: bytes, sender: str) -> tuple[Trap | Undecodable | None, bytes]:
        """What a message holds, and the answer to its sender, maybe empty.

        None and an answer when the sender has asked for our engine ID or time.
        """
        try:
            flags, engine_id, name = _header(datagram)
        except Exception:  # pyasn1 raises anything on broken bytes
            return Undecodable(sender, f"a broken SNMPv3 message of {len(datagram)} bytes"), b""
        named = [user for user in self._users if user.name == name]
        # An inform must name our engine. Our report of an unknown user makes its sender ask for the ID.
        is_for_another = bool(flags & _REPORTABLE) and engine_id != self._own_id
        is_known = bool(named) and 5 <= len(engine_id) <= 32 and not is_for_another
        answer = b""
        for user in named if is_known else [None]:
            if user is not None:
                self.add_user(user, engine_id)
            notification, answer = self._read(datagram, sender)
            if notification is not None:
                context_engine_id, varbinds = notification
                ids = f"0x{engine_id.hex()}", f"0x{bytes(context_engine_id).hex()}"
                blank = Trap(sender, "", 0.0, {}, "3", bool(answer), name, _LEVELS[flags & 3], *ids)
                trap = with_varbinds(blank, varbinds)
                return trap, answer if isinstance(trap, Trap) else b""
        if answer and (is_for_another or isinstance(self._problem, _ASKED_AGAIN)):
            return None, answer
        return Undecodable(sender, self._reason(name, named)), answer

    def _read(self, datagram: bytes, sender: str) -> tuple[_Notification | None, bytes]:
        """The trap or inform in a message, and pysnmp's answer: it acknowledges informs itself."""
        self._notification = self._problem = None
        self.receive(sender, datagram)
        return self._notification, self.wire.take_message()

    def _on_notification(self, *values: Any) -> None:
        """pysnmp's callback for a trap or inform, with six arguments."""
        _, _, context_engine_id, _, varbinds, _ = values
        self._notification = context_engine_id, varbinds

    def _on_problem(self, *values: Any) -> None:
        """pysnmp's callback for a message that its security model refuses, with four arguments."""
        _, _, variables, _ = values
        self._problem = variables["statusInformation"]["errorIndication"]

    def _reason(self, name: str, named: Sequence[User]) -> str:
        """Why the last message was refused, in the words of a hook's inputs."""
        if not named:
            known = ", ".join(sorted({repr(user.name) for user in self._users})) or "none"
            return f"user {name!r} is not known here; known are: {known}"
        auth = " or ".join(sorted({user.auth_protocol or "none" for user in named}))
        priv = " or ".join(sorted({user.priv_protocol or "none" for user in named}))
        if isinstance(self._problem, errind.AuthenticationFailure):
            why = f"auth_key or auth_protocol (here {auth}) is not the sender's"
            return f"authentication failed for user {name!r}: {why}"
        if isinstance(self._problem, errind.DecryptionError):
            why = f"priv_key or priv_protocol (here {priv}) is not the sender's"
            return f"decryption failed for user {name!r}: {why}"
        if isinstance(self._problem, errind.UnsupportedSecurityLevel):
            return f"user {name!r} has other protocols here: {auth} for auth, {priv} for priv"
        return f"an SNMPv3 message of user {name!r}, but no trap that can be read"


def _by_any_route(sent_to: tuple[int, int, bytes]) -> tuple[int, int, bytes]:
    """The address that a datagram was sent to, as one to send from, without the interface."""
    level, kind, data = sent_to
    is_ipv6 = level == socket.IPPROTO_IPV6
    return level, kind, data[:16] + bytes(4) if is_ipv6 else bytes(4) + data[4:]


def _header(datagram: bytes) -> tuple[int, bytes, str]:
    """The flags, the authoritative engine's ID and the user of a message. Raises anything."""
    message, _ = decoder.decode(datagram, asn1Spec=SNMPv3Message())
    [flags] = bytes(message["msgGlobalData"]["msgFlags"])
    parameters = message["msgSecurityParameters"]
    security, _ = decoder.decode(parameters, asn1Spec=UsmSecurityParameters())
    return flags, bytes(security[0]), bytes(security[3]).decode("utf-8", "backslashreplace")
