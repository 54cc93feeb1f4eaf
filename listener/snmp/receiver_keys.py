"""The keys of SNMPv3 users: passwords made into keys, for one engine after another.

Owns which protocol of ours is which service of pysnmp's, and the keys that no engine ID has gone into
yet, as these take milliseconds each. It reads no message; receiver_v3.py does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pyasn1.type import univ
from pysnmp.proto.secmod.rfc3414 import service as usm  # the only order in which these import

from listener.snmp.target import User

LEVELS = ("noAuthNoPriv", "authNoPriv", "authPriv")
AUTH_LEVEL = 1
PRIV_LEVEL = 2

_AUTH_IDS: dict[str, tuple[int, ...]] = {
    "MD5": usm.hmacmd5.HmacMd5.SERVICE_ID,
    "SHA": usm.hmacsha.HmacSha.SERVICE_ID,
    "SHA-224": usm.hmacsha2.HmacSha2.SHA224_SERVICE_ID,
    "SHA-256": usm.hmacsha2.HmacSha2.SHA256_SERVICE_ID,
    "SHA-384": usm.hmacsha2.HmacSha2.SAH384_SERVICE_ID,
    "SHA-512": usm.hmacsha2.HmacSha2.SHA512_SERVICE_ID,
}
_PRIV_IDS: dict[str, tuple[int, ...]] = {
    "DES": usm.des.Des.SERVICE_ID,
    "AES": usm.aes.Aes.SERVICE_ID,
    # like net-snmp, after Blumenthal's draft; other receivers follow Reeder's
    "AES-192": usm.aes192.AesBlumenthal192.SERVICE_ID,
    "AES-256": usm.aes256.AesBlumenthal256.SERVICE_ID,
}
_AUTH: dict[tuple[int, ...], Any] = usm.SnmpUSMSecurityModel.AUTH_SERVICES
_PRIV: dict[tuple[int, ...], Any] = usm.SnmpUSMSecurityModel.PRIV_SERVICES


class Keys(NamedTuple):
    """A user's keys for one engine, with pysnmp's services that use them; None below the level."""

    user: User
    level: int
    auth: Any = None
    auth_key: Any = None
    priv: Any = None
    priv_key: Any = None


class KeyRing:
    """The keys of all users. Makes them when they are first needed."""

    def __init__(self, users: Sequence[User]) -> None:
        self._users = tuple(dict.fromkeys(users))
        self._master: dict[User, tuple[Any, Any]] = {}

    @property
    def names(self) -> list[str]:
        """Every known name once, in quotes."""
        return sorted({repr(user.name) for user in self._users})

    def of(self, name: bytes, engine_id: bytes) -> list[Keys]:
        """The keys of all users of that name, for messages that the engine vouches for."""
        named = (user for user in self._users if user.name.encode() == name)
        return [self._for_engine(user, univ.OctetString(engine_id)) for user in named]

    def _for_engine(self, user: User, engine_id: univ.OctetString) -> Keys:
        if not user.auth_protocol:
            return Keys(user, 0)
        if user not in self._master:
            self._master[user] = _master_keys(user)
        auth_id = _AUTH_IDS[user.auth_protocol]
        auth = _AUTH[auth_id]
        auth_master, priv_master = self._master[user]
        auth_key = auth.localize_key(auth_master, engine_id)
        if not user.priv_protocol:
            return Keys(user, AUTH_LEVEL, auth, auth_key)
        priv = _PRIV[_PRIV_IDS[user.priv_protocol]]
        priv_key = priv.localize_key(auth_id, priv_master, engine_id)
        return Keys(user, PRIV_LEVEL, auth, auth_key, priv, priv_key)


def _master_keys(user: User) -> tuple[Any, Any]:
    """Both keys before an engine ID goes into them (RFC 3414, 2.6)."""
    auth_id = _AUTH_IDS[user.auth_protocol]
    auth_key = _AUTH[auth_id].hash_passphrase(user.auth_key.encode())
    if not user.priv_protocol:
        return auth_key, None
    priv = _PRIV[_PRIV_IDS[user.priv_protocol]]
    return auth_key, priv.hash_passphrase(auth_id, user.priv_key.encode())
