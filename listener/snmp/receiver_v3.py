"""Takes SNMPv3 messages apart: who sent them, whether they are fresh, what they hold.

Follows RFC 3414, 3.2, with pysnmp's messages, digests and ciphers, but without pysnmp's engine, which
never finds a trap too old, and takes one without a digest from a user who has a key. It owns no
socket; receiver.py hands it datagrams, and sends the answers that it makes.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pyasn1.codec.ber import decoder
from pysnmp.error import PySnmpError
from pysnmp.proto import api
from pysnmp.proto.mpmod.rfc3412 import ScopedPDU
from pysnmp.proto.rfc1905 import ReportPDU

from listener.snmp import mib
from listener.snmp.receiver_keys import AUTH_LEVEL, LEVELS, PRIV_LEVEL, KeyRing, Keys
from listener.snmp.receiver_message import Message, Refused, parsed, request_id, scoped_pdu, sealed
from listener.snmp.target import User

_Oid = tuple[int, ...]

_USM_STATS: _Oid = (1, 3, 6, 1, 6, 3, 15, 1, 1)
_UNSUPPORTED_LEVELS = (*_USM_STATS, 1, 0)
_NOT_IN_TIME_WINDOWS = (*_USM_STATS, 2, 0)
_UNKNOWN_USERS = (*_USM_STATS, 3, 0)
_UNKNOWN_ENGINES = (*_USM_STATS, 4, 0)
_WRONG_DIGESTS = (*_USM_STATS, 5, 0)
_DECRYPTION_ERRORS = (*_USM_STATS, 6, 0)

_WINDOW_S = 150
_MAX_BOOTS = 2**31 - 1
_MAX_ENGINES = 1000
_OUR_BOOTS = 1  # our engine ID is new in each process, so that it never boots again


class Accepted(NamedTuple):
    """A trap or inform that has passed every check. `origin` is what a Trap has from `user` on."""

    varbinds: Sequence[tuple[Any, Any]]
    is_inform: bool
    origin: tuple[str, str, str, str]


class V3Reader:
    """An SNMP engine that only receives. `now` is a clock in seconds that never goes back."""

    def __init__(self, users: Sequence[User], now: Callable[[], float] = time.monotonic) -> None:
        self._keys = KeyRing(users)
        self._now = now
        self._started = now()
        # RFC 3411, SnmpEngineID: the enterprise with its first bit set, 5 for octets, then octets
        self._engine_id = (mib.ROOT[6] | 1 << 31).to_bytes(4, "big") + b"\5" + os.urandom(12)
        self._clocks: dict[bytes, tuple[int, int, float]] = {}
        self._told: Counter[_Oid] = Counter()

    def read(self, datagram: bytes) -> tuple[Accepted | None, str, bytes]:
        """What was received, the reason if it was refused, and the answer to its sender, maybe empty.

        Neither a message nor a reason: it was a question, which the answer answers.
        """
        message = None
        try:
            message = parsed(datagram)
            accepted, answer = self._accepted(message)
        except Refused as refused:
            if message is None or not message.wants_report or not refused.counter:
                return None, refused.reason, b""
            return None, refused.reason, self._report(message, refused)
        except Exception:  # on broken bytes, pyasn1 raises whatever its own confusion leads to
            return None, f"a broken SNMPv3 message of {len(datagram)} bytes", b""
        return accepted, "", answer

    def _accepted(self, message: Message) -> tuple[Accepted, bytes]:
        self._check_engine(message)
        keys, scoped = self._opened(message)
        context_engine_id, context_name = bytes(scoped[0]), bytes(scoped[1])
        pdu = scoped[2].getComponent()
        is_inform = pdu.tagSet == api.v2c.InformRequestPDU.tagSet
        if not is_inform and pdu.tagSet != api.v2c.SNMPv2TrapPDU.tagSet:
            raise Refused(f"an SNMPv3 message of {message.who}, but no trap: {type(pdu).__name__}")
        varbinds = api.v2c.apiPDU.get_varbinds(pdu)
        ids = f"0x{message.engine_id.hex()}", f"0x{context_engine_id.hex()}"
        user = message.user.decode("utf-8", "backslashreplace")
        accepted = Accepted(varbinds, is_inform, (user, LEVELS[message.level], *ids))
        if not is_inform:
            return accepted, b""
        if message.engine_id != self._engine_id:
            raise Refused(f"an inform of {message.who} for the engine {ids[0]}, which is not this one")
        response = api.v2c.apiPDU.get_response(pdu)
        api.v2c.apiPDU.set_varbinds(response, varbinds)
        inside = scoped_pdu(context_engine_id, context_name, response)
        return accepted, sealed(message, self._engine(), message.level, keys, inside)

    def _check_engine(self, message: Message) -> None:
        """RFC 3414, 3.2, step 3. Who wants reports sends an inform, and that has to name us."""
        if message.wants_report and message.engine_id != self._engine_id:
            meant = f"a message of {message.who} for the engine 0x{message.engine_id.hex()}"
            reason = f"{meant}, not for this one; the sender was told so" if message.engine_id else ""
            raise Refused(reason, _UNKNOWN_ENGINES)
        if not 5 <= len(message.engine_id) <= 32:
            raise Refused(
                f"an SNMPv3 trap of {message.who} with the engine ID"
                f" 0x{message.engine_id.hex()}, which is not 5 to 32 bytes"
            )

    def _opened(self, message: Message) -> tuple[Keys, Any]:
        """The keys that fit, and the decrypted content (RFC 3414, 3.2, steps 4 to 8)."""
        who, level = message.who, LEVELS[message.level]
        named = self._keys.of(message.user, message.engine_id)
        if not named:
            known = ", ".join(self._keys.names) or "nobody"
            raise Refused(f"{who} is not known here; known are: {known}", _UNKNOWN_USERS)
        levels = " or ".join(sorted({LEVELS[keys.level] for keys in named}))
        mismatch = f"{who} sent it with {level}, but is known here with {levels}"
        able = [keys for keys in named if keys.level >= message.level]
        if not able:
            raise Refused(mismatch, _UNSUPPORTED_LEVELS)
        authentic = [keys for keys in able if not message.level or _is_authentic(message, keys)]
        if not authentic:
            raise Refused(_why_not_authentic(message, able), _WRONG_DIGESTS)
        if message.level:
            self._check_time(message, authentic[0])
        exact = [keys for keys in authentic if keys.level == message.level]
        if not exact:
            raise Refused(mismatch, _UNSUPPORTED_LEVELS)
        if (message.level == PRIV_LEVEL) != (message.content.getName() == "encryptedPDU"):
            raise Refused(f"{who} sent it with {level}, but it is otherwise")
        if message.level < PRIV_LEVEL:
            return exact[0], message.content.getComponent()
        for keys in exact:
            if scoped := _decrypted(message, keys):
                return keys, scoped
        tried = " or ".join(sorted({keys.user.priv_protocol for keys in exact}))
        wrong = f"priv_key or priv_protocol (here {tried}) is not the sender's"
        raise Refused(f"decryption failed for {who}: {wrong}", _DECRYPTION_ERRORS)

    def _check_time(self, message: Message, keys: Keys) -> None:
        """RFC 3414, 3.2, step 7. Only an authentic message may come here."""
        boots, time_s = message.boots, message.time_s
        if message.engine_id == self._engine_id:
            ours_s = self._time_s()
            if boots == _OUR_BOOTS and abs(time_s - ours_s) <= _WINDOW_S:
                return
            found = f"it says boots {boots}, time {time_s} s; here it is boots {_OUR_BOOTS}, {ours_s} s"
            reason = f"outside the time window, from {message.who}: {found}; the sender was told so"
            # boots and time 0 ask for the right ones (RFC 3414, 4)
            raise Refused(reason if boots or time_s else "", _NOT_IN_TIME_WINDOWS, keys)
        now = self._now()
        last_boots, last_s, at = self._clocks.pop(message.engine_id, (0, 0, now))
        is_newer = (boots, time_s) > (last_boots, last_s)
        seen = (boots, time_s, now) if is_newer else (last_boots, last_s, at)
        self._clocks[message.engine_id] = seen
        if len(self._clocks) > _MAX_ENGINES:
            del self._clocks[next(iter(self._clocks))]
        due_s = int(last_s + now - at)
        if boots < last_boots or (boots == last_boots and time_s < due_s - _WINDOW_S):
            found = f"it says boots {boots}, time {time_s} s; due is boots {last_boots}, {due_s} s"
            advice = "it is a repetition, or its sender has forgotten its boots"
            raise Refused(f"outside the time window, from {message.who}: {found}; {advice}")
        if boots == _MAX_BOOTS:
            raise Refused(f"outside the time window, from {message.who}: its boots are used up")

    def _time_s(self) -> int:
        return int(self._now() - self._started)

    def _engine(self) -> tuple[bytes, int, int]:
        return self._engine_id, _OUR_BOOTS, self._time_s()

    def _report(self, message: Message, refused: Refused) -> bytes:
        """What tells the sender why (RFC 3412, 7.1, step 3); with a digest when there are keys."""
        self._told[refused.counter] += 1
        report = ReportPDU()
        api.v2c.apiPDU.set_defaults(report)
        api.v2c.apiPDU.set_request_id(report, request_id(message))
        count = api.v2c.Counter32(self._told[refused.counter])
        api.v2c.apiPDU.set_varbinds(report, [(refused.counter, count)])
        inside = scoped_pdu(self._engine_id, b"", report)
        level = AUTH_LEVEL if refused.keys else 0
        return sealed(message, self._engine(), level, refused.keys, inside)


def _is_authentic(message: Message, keys: Keys) -> bool:
    try:
        keys.auth.authenticate_incoming_message(keys.auth_key, message.digest, message.whole)
    except PySnmpError:
        return False
    return True


def _why_not_authentic(message: Message, tried: Sequence[Keys]) -> str:
    """The length of a digest tells of its protocol: MD5 and SHA have 12 bytes, the others more."""
    size = len(message.digest)
    protocols = " or ".join(sorted({keys.user.auth_protocol for keys in tried}))
    why = f"auth_key or auth_protocol (here {protocols}) is not the sender's"
    if all(keys.auth.digest_length != size for keys in tried):
        why = f"a digest of {size} bytes is not one of auth_protocol {protocols}"
    return f"authentication failed for {message.who}: {why}"


def _decrypted(message: Message, keys: Keys) -> Any:
    """The scoped PDU; None when the key does not fit."""
    stamp = (message.boots, message.time_s, message.salt)
    encrypted = message.content.getComponent()
    try:
        clear = keys.priv.decrypt_data(keys.priv_key, stamp, encrypted)
        scoped, _ = decoder.decode(clear, asn1Spec=ScopedPDU())  # with what DES fills up behind it
        scoped[2].getComponent()
    except Exception:  # what a wrong key makes of the bytes is as good as random
        return None
    return scoped
