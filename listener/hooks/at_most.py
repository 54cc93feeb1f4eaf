"""How many runs of a hook may begin within a time: its key `at_most`.

Owns the words of that key. It counts nothing; conf.py reads the key with it, dispatch/limits.py counts.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from listener.hooks.values import DURATION, INVALID, Kind
from listener.model.notification import CONTEXT_FIELDS

_MOST = 1_000
_WORDS = r"([0-9]{1,4}) per (\S+)(?: per (\S+))?"


class AtMost(NamedTuple):
    """At most `runs` in any `per_s` seconds; counted for each value of `field`, if it has one."""

    runs: int
    per_s: float
    field: str = ""
    words: str = ""


def _at_most(value: Any) -> Any:
    match = re.fullmatch(_WORDS, value, re.ASCII) if isinstance(value, str) else None
    if match is None:
        return INVALID
    runs, per_s, field = int(match[1]), DURATION.read(match[2]), match[3] or ""
    is_right = 1 <= runs <= _MOST and per_s is not INVALID and field in ("", *CONTEXT_FIELDS)
    return AtMost(runs, per_s, field, value) if is_right else INVALID


AT_MOST = Kind(
    _at_most,
    f"like '10 per 5m' or '10 per 5m per deployment_id', of 1 to {_MOST} runs",
    schema={"type": "string", "pattern": f"^{_WORDS}$"},
)
