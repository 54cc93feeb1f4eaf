"""What each input of a trap hook may be.

Owns the inputs' names and types, and what a reason shows of a wrong value. It does not know which
inputs belong together; inputs.py does, and calls it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from listener.hooks.yaml_lines import nearest
from listener.snmp.mib import LAYOUTS
from listener.snmp.target import AUTH_PROTOCOLS, PRIV_PROTOCOLS

MAX_RETRIES = 100
MIN_KEY = 8
"""Characters of a pass phrase (RFC 3414, 11.2)."""
MAX_KEY = 1024
MAX_ADDRESS = 1024
MAX_NAME = 32
"""Bytes of a user's or a context's name, as its MIB has it."""

INVALID: Any = object()


def hint(name: str) -> str:
    """The input that may be meant: for `address`, destination_address."""
    ending = [known for known in READERS if known.endswith(f"_{name}")]
    return f"did you mean {ending[0]!r}?" if ending else nearest(name, (*READERS, "destinations"))


def shortened(value: Any) -> str:
    """A value for a reason. A list or a mapping may hold a secret, so it is not shown."""
    if isinstance(value, (dict, list)):
        kind = "mapping" if isinstance(value, dict) else "list"
        return f"a {kind}" if value else f"an empty {kind}"
    return f"{value!r:.60}"


_WITH_MORE = re.compile(r"\[.*|[^:]*:\d+|.* .*")


def _address(value: Any) -> Any:
    """A name or an address. With anything more, the resolver would look it up in vain."""
    is_one = isinstance(value, str) and value.isprintable() and not _WITH_MORE.fullmatch(value)
    return _text(1, MAX_ADDRESS)(value) if is_one else INVALID


def _text(least: int, most: int) -> Callable[[Any], Any]:
    """A text of so many bytes."""

    def read(value: Any) -> Any:
        try:
            size = len(value.encode()) if isinstance(value, str) else -1
        except UnicodeEncodeError:  # the environment hands on bytes that are not UTF-8
            size = -1
        return value if least <= size <= most else INVALID

    return read


def _choice(*choices: str) -> Callable[[Any], Any]:
    """One of some words; what looks like a number may be one."""

    def read(value: Any) -> Any:
        word = str(value) if type(value) is int else value
        return word if word in choices else INVALID

    return read


def _port(value: Any) -> Any:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6:
        value = int(value)
    return value if type(value) is int and 1 <= value <= 65535 else INVALID


def _community(value: Any) -> Any:
    # The environment hands on bytes that are not UTF-8 as lone surrogates.
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else INVALID


def _seconds(value: Any) -> Any:
    return float(value) if type(value) in (int, float) and 0.01 <= value <= 3600 else INVALID


def _retries(value: Any) -> Any:
    return value if type(value) is int and 0 <= value <= MAX_RETRIES else INVALID


def _engine_id(value: Any) -> Any:
    digits = value.removeprefix("0x") if isinstance(value, str) else ""
    try:
        engine_id = bytes.fromhex(digits)
    except ValueError:
        return INVALID
    return engine_id if 5 <= len(engine_id) <= 32 else INVALID


_QUOTED = "write it in quotes, or take it from a !file, which always gives text"
READERS: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "destination_address": (_address, "a name or an address, without a port, brackets or spaces"),
    "destination_port": (_port, "from 1 to 65535"),
    "community_string": (_community, f"a text; {_QUOTED}"),
    "version": (_choice("2c", "3"), "2c or 3"),
    "notify": (_choice("trap", "inform"), "trap or inform"),
    "layout": (_choice(*LAYOUTS), " or ".join(LAYOUTS)),
    "timeout": (_seconds, "seconds, from 0.01 to 3600"),
    "retries": (_retries, f"from 0 to {MAX_RETRIES}"),
    "user": (_text(1, MAX_NAME), f"a text of 1 to {MAX_NAME} bytes"),
    "auth_protocol": (_choice(*AUTH_PROTOCOLS), f"one of {', '.join(AUTH_PROTOCOLS)}"),
    "auth_key": (_text(MIN_KEY, MAX_KEY), f"a text of {MIN_KEY} characters or more; {_QUOTED}"),
    "priv_protocol": (_choice(*PRIV_PROTOCOLS), f"one of {', '.join(PRIV_PROTOCOLS)}"),
    "priv_key": (_text(MIN_KEY, MAX_KEY), f"a text of {MIN_KEY} characters or more; {_QUOTED}"),
    "context_name": (_text(1, MAX_NAME), f"a text of 1 to {MAX_NAME} bytes"),
    "engine_id": (_engine_id, "5 to 32 bytes in hexadecimal, in quotes"),
}
SECRET = ("community_string", "auth_key", "priv_key")
