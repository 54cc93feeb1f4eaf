"""The inputs of a notify hook: where it sends to, and what.

Owns what an Apprise URL looks like, and what of it may be shown: its scheme. It does not know which
services there are; Apprise does, in sending.py. action.py reads inputs with it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from listener.hooks.schema import one_or_more
from listener.hooks.values import INVALID, TEXT, Kind, text

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,29})://(?=.)")
_BETWEEN = re.compile(r"[/:@?&=,;#+\s]+")


class Destination(NamedTuple):
    """An Apprise URL, and its position among the hook's, from 1."""

    position: int
    url: str

    @property
    def name(self) -> str:
        """What a person reads: `#2 slack`."""
        return f"#{self.position} {self.scheme}".rstrip()

    @property
    def scheme(self) -> str:
        found = _SCHEME.match(self.url)
        return found[1].lower() if found else ""

    @property
    def key(self) -> str:
        """What it is remembered by: it stays when the list is written in another order."""
        return f"{self.scheme} {zlib.crc32(self.url.encode()):08x}"

    @property
    def secrets(self) -> Sequence[str]:
        """All that follows the scheme, whole and in parts: which part is a password, no form shows."""
        from urllib.parse import unquote  # a listener that only sends traps needs none

        parts = _BETWEEN.split(self.url.partition("://")[2])
        return (self.url, *parts, *map(unquote, parts))


def _destinations(value: Any) -> Any:
    """A text may have several lines, as that of a file has."""
    texts = value if isinstance(value, list) else [value]
    if not texts or any(TEXT.read(each) is INVALID for each in texts):
        return INVALID
    urls = [line.strip() for each in texts for line in each.splitlines() if line.strip()]
    return tuple(Destination(*each) for each in enumerate(urls, 1)) or INVALID


INPUTS: Mapping[str, Kind] = {
    "urls": Kind(
        _destinations,
        "an Apprise URL, as in mailto://…, or a list of them",
        is_secret=True,
        schema=one_or_more(TEXT.schema),
    ),
    "title": text(least=0),
    "body": TEXT,
}
