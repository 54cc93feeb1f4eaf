"""The timestamp of a notification, which Conductor writes in more than one form, as Unix time.

It says only whether one can be read; what stands for one that cannot is for the action that sends it.
"""

from __future__ import annotations

import functools
import re
from datetime import date
from typing import Any

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MINUTE = re.compile(r"\d{4}-\d\d-\d\d[Tt ](?:[01]\d|2[0-3]):[0-5]\d", re.ASCII)
_REST = re.compile(
    r"(?::([0-5]\d|60)(?:[.,]\d+)?)? ?(?:[Zz]|([+-])([01]\d|2[0-3]):?([0-5]\d)?)?", re.ASCII
)


def unix_seconds(timestamp: Any) -> int | None:
    """Whole seconds since 1970, negative before it; None when the timestamp cannot be read.

    Understands RFC 3339 and what Conductor makes of it: no seconds, no fraction, one of any length,
    an offset, or none, which means UTC.
    """
    if not isinstance(timestamp, str):
        return None
    begin = _begin_of(timestamp[:16])
    rest = _REST.fullmatch(timestamp, 16)
    if begin is None or rest is None:
        return None
    second, sign, hours, minutes = rest.groups()
    # Second 60 is a leap second, which Unix time does not count.
    seconds = begin + min(int(second or 0), 59)
    if sign is None:
        return seconds
    offset = int(hours) * 3600 + int(minutes or 0) * 60
    return seconds + offset if sign == "-" else seconds - offset


@functools.lru_cache(maxsize=16)
def _begin_of(minute: str) -> int | None:
    """When a minute of UTC begins, in Unix time; None when there is no such minute."""
    if not _MINUTE.fullmatch(minute):
        return None
    try:
        days = date.fromisoformat(minute[:10]).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    return days * 86_400 + int(minute[11:13]) * 3600 + int(minute[14:]) * 60
