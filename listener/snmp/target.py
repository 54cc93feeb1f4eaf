"""One destination of a hook, with all its settings.

Owns the values, and checks nothing; actions/snmp_trap/inputs.py makes them from a hook's inputs.
"""

from __future__ import annotations

from typing import NamedTuple

from listener.snmp.names import Host, family_of


class User(NamedTuple):
    """A user of the User-based Security Model (RFC 3414), by the names that net-snmp uses.

    Protocols are keys of AUTH_PROTOCOLS and PRIV_PROTOCOLS, '' for none; keys are pass phrases.
    """

    name: str
    auth_protocol: str = ""
    auth_key: str = ""
    priv_protocol: str = ""
    priv_key: str = ""


AUTH_PROTOCOLS = ("MD5", "SHA", "SHA-224", "SHA-256", "SHA-384", "SHA-512")
PRIV_PROTOCOLS = ("DES", "AES", "AES-192", "AES-256")


_NOBODY = User("")


class Target(NamedTuple):
    """One destination. `name` is its address as people write it; no two of a hook have the same.

    `source` is the address to send from, '' for the one that the system chooses.
    `community` is version 2c's, `user`, `context_name` and `engine_id` are version 3's; `timeout_s` and
    `retries` are an inform's: how long one try waits, and how many more there are.
    """

    name: str
    host: str
    port: int
    version: str = "2c"
    is_inform: bool = False
    layout: str = "conductor"
    community: bytes = b""
    timeout_s: float = 1.0
    retries: int = 5
    user: User = _NOBODY
    context_name: str = ""
    engine_id: bytes = b""
    source: str = ""

    @property
    def lookup(self) -> Host:
        """The receiver, with an address of the source's family."""
        return Host(self.host, family_of(self.source))


def address_name(host: str, port: int) -> str:
    """An address as people write it, with IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
