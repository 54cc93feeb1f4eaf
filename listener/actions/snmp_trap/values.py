"""What each input of a trap hook may be.

Owns the names of the inputs and their kinds. It does not know which of them belong together:
inputs.py does, and reads them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from listener.hooks.schema import mapping
from listener.hooks.values import INVALID, PORT, TEXT, Kind, choice, number, text, whole_number
from listener.snmp.mib import LAYOUTS
from listener.snmp.target import AUTH_PROTOCOLS, PRIV_PROTOCOLS

_WITH_MORE = re.compile(r"\[.*|[^:]*:\d+|.* .*")


def _address(value: Any) -> Any:
    """With anything more than a name or an address, the resolver would be asked for it in vain."""
    is_one = TEXT.read(value) is value and value.isprintable() and not _WITH_MORE.fullmatch(value)
    return value if is_one else INVALID


def _source_address(value: Any) -> Any:
    """A name may have several addresses, and so may what stands for all or for a group."""
    try:
        address = ip_address(_address(value))
    except ValueError:
        return INVALID
    return INVALID if address.is_unspecified or address.is_multicast else value


def _community(value: Any) -> Any:
    """Its bytes. The environment hands on bytes that are not UTF-8 as lone surrogates."""
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else INVALID


def _version(value: Any) -> Any:
    return _VERSIONS.read("3" if type(value) is int and value == 3 else value)


def _engine_id(value: Any) -> Any:
    """Its bytes (RFC 3411, SnmpEngineID): 5 to 32, not all of them 0 or all of them 255."""
    digits = value.removeprefix("0x") if isinstance(value, str) else ""
    try:
        engine_id = bytes.fromhex(digits)
    except ValueError:
        return INVALID
    is_some = len(set(engine_id)) > 1 or engine_id[:1] not in (b"\x00", b"\xff")
    return engine_id if 5 <= len(engine_id) <= 32 and is_some else INVALID


_QUOTED = "write it in quotes, or take it from a !file, which always gives text"
_PASS_PHRASE = text(f"a text of 8 characters or more; {_QUOTED}", least=8, is_secret=True)
"""As RFC 3414 has it (11.2)."""

_NAME = text("a text of 1 to 32 bytes", most=32)
"""As the MIBs of users and of contexts have it."""

_VERSIONS = choice("2c", "3")


def _several(value: Any) -> Any:
    return value if isinstance(value, list) and value else INVALID


_DESTINATIONS = "a list of addresses, or of mappings with a 'destination_address' each"

INPUTS: Mapping[str, Kind] = {
    "destination_address": Kind(_address, "a name or an address, without a port, brackets or spaces"),
    "destination_port": PORT,
    "source_address": Kind(_source_address, "one address of this host, not a name"),
    "community_string": Kind(_community, f"a text; {_QUOTED}", is_secret=True),
    "version": Kind(_version, _VERSIONS.wanted, schema={"enum": ["2c", "3", 3]}),
    "notify": choice("trap", "inform"),
    "layout": choice(*LAYOUTS),
    "timeout": number("seconds", 3600),
    "retries": whole_number(0, 100),
    "user": _NAME,
    "auth_protocol": choice(*AUTH_PROTOCOLS),
    "auth_key": _PASS_PHRASE,
    "priv_protocol": choice(*PRIV_PROTOCOLS),
    "priv_key": _PASS_PHRASE,
    "context_name": _NAME,
    "engine_id": Kind(_engine_id, "5 to 32 bytes in hexadecimal, in quotes"),
}
"""Of each destination; a hook has those that its destinations share."""

OF_HOOK: Mapping[str, Kind] = {
    **INPUTS,
    "destinations": Kind(
        _several,
        _DESTINATIONS,
        schema={"type": "array", "minItems": 1, "items": {"anyOf": [TEXT.schema, mapping(INPUTS)]}},
    ),
}
