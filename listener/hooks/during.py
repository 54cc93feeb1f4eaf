"""Times of the week: `Mon-Fri 18:00-08:00 Europe/Berlin`, and whether a moment is within them.

Owns how they are written and what wall clocks make of them. It has no clock of its own: when.py reads
them from hooks.conf, and is given the moment.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone, tzinfo
from typing import NamedTuple

from listener.hooks.values import near

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MIDNIGHT = 24 * 60
_DAY = "|".join(_DAYS)
_TIME = r"\d\d?:\d\d"
_PERIOD = re.compile(
    rf"((?P<first>{_DAY})(-(?P<last>{_DAY}))?(?= |$))? *"
    rf"((?P<begin>{_TIME})-(?P<end>{_TIME})(?= |$))? *(?P<zone>[A-Za-z]\S*)?",
    re.IGNORECASE,
)


class Period(NamedTuple):
    """From one minute of these weekdays, Monday being 0, to another, which may be of the day after."""

    days: frozenset[int]
    begin: int
    end: int
    zone: tzinfo

    def clock(self, at: float) -> str:
        """What wall clocks of the zone show at this Unix time: `Sat 2026-01-10 13:00 Europe/Berlin`."""
        return f"{datetime.fromtimestamp(at, self.zone):%a %Y-%m-%d %H:%M} {self.zone}"

    def has(self, at: float) -> bool:
        """Whether wall clocks of the zone show a time within it at this Unix time."""
        clock = datetime.fromtimestamp(at, self.zone)
        minute, day = clock.hour * 60 + clock.minute, clock.weekday()
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        began_today = day in self.days and minute >= self.begin
        return began_today or ((day - 1) % 7 in self.days and minute < self.end)


def period(text: str) -> Period:
    """The period that is written so. Raises ValueError, which says what it must be."""
    found = _PERIOD.fullmatch(text)
    if found is None or not (found["first"] or found["begin"]):
        raise ValueError(
            "must be days, times or both, as in 'Mon-Fri', '18:00-08:00' or 'Sat 08:00-12:00"
            " Europe/Berlin'"
        )
    begin, end = _minute(found["begin"] or "00:00"), _minute(found["end"] or "24:00")
    if begin in (end, _MIDNIGHT):
        raise ValueError("must not end when it begins; a whole day is 00:00-24:00")
    return Period(_days(found["first"], found["last"]), begin, end, _zone(found["zone"]))


def _minute(time: str) -> int:
    hour, minute = map(int, time.split(":"))
    if minute > 59 or hour * 60 + minute > _MIDNIGHT:
        raise ValueError(f"must have times from 00:00 to 24:00, found {time}")
    return hour * 60 + minute


def _days(first: str | None, last: str | None) -> frozenset[int]:
    """From the first day to the last, around the end of the week if need be; all if there is none."""
    if first is None:
        return frozenset(range(7))
    begin = _DAYS.index(first.lower())
    number = (_DAYS.index((last or first).lower()) - begin) % 7 + 1
    return frozenset((begin + each) % 7 for each in range(number))


def _zone(name: str | None) -> tzinfo:
    if name in (None, "UTC"):
        return timezone.utc
    import zoneinfo  # only a zone needs it, and it is slow to import

    try:
        return zoneinfo.ZoneInfo(str(name))
    except (KeyError, ValueError, OSError) as error:
        known = zoneinfo.available_timezones()
        close = near(str(name), known)
        hint = f"; did you mean {close!r}?" if close else ""
        hint = hint if known else "; this host has none: install tzdata"
        raise ValueError(f"names the unknown time zone {name!r}{hint}") from error
