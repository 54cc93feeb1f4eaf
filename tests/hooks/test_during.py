"""Times of the week by wall clocks, also where clocks are set forward or back."""

from __future__ import annotations

import zoneinfo
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from listener.hooks.during import period

BERLIN = ZoneInfo("Europe/Berlin")


def at(day: int, time: str) -> float:
    """The Unix time of a time (UTC) in January 2026, whose 5th is a Monday."""
    return datetime.fromisoformat(f"2026-01-{day:02} {time}+00:00").timestamp()


@pytest.mark.parametrize(
    ("text", "within", "outside"),
    [
        ("Sat-Sun", [at(10, "00:00"), at(11, "23:59")], [at(9, "23:59"), at(12, "00:00")]),
        ("fri-mon", [at(5, "12:00"), at(9, "12:00")], [at(6, "00:00"), at(8, "23:59")]),
        ("Wed", [at(7, "00:00")], [at(6, "12:00"), at(8, "00:00")]),
        ("08:00-18:00", [at(5, "08:00"), at(11, "17:59")], [at(5, "07:59"), at(5, "18:00")]),
        ("Mon-Fri 18:00-08:00", [at(5, "18:00"), at(6, "07:59"), at(10, "07:59")],
         [at(5, "07:59"), at(6, "08:00"), at(10, "18:00"), at(12, "07:59")]),
        ("Sun 22:00-02:00", [at(5, "01:59"), at(11, "22:00")], [at(5, "02:00"), at(11, "01:59")]),
        ("22:00-00:00", [at(5, "23:59")], [at(5, "00:00"), at(5, "21:59")]),
        ("Sun 00:00-24:00 UTC", [at(11, "00:00"), at(11, "23:59")], [at(12, "00:00")]),
        ("Mon 8:00-9:00 Europe/Berlin", [at(5, "07:00")], [at(5, "08:00")]),
    ],
)  # fmt: skip
def test_a_period_has_the_times_from_its_begin_to_before_its_end(
    text: str, within: list[float], outside: list[float]
) -> None:
    assert [each for each in within if not period(text).has(each)] == []
    assert [each for each in outside if period(text).has(each)] == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must be days, times or both"),
        ("Europe/Berlin", "must be days, times or both"),
        ("Mon,Tue", "must be days, times or both"),
        ("Mon-Fri18:00-20:00", "must be days, times or both"),
        ("18:00", "must be days, times or both"),
        ("18:00-25:00", "must have times from 00:00 to 24:00, found 25:00"),
        ("18:60-19:00", "must have times from 00:00 to 24:00, found 18:60"),
        ("18:00-18:00", "must not end when it begins"),
        ("24:00-01:00", "must not end when it begins"),
        ("Mon Europe/Berln", "names the unknown time zone 'Europe/Berln'; did you mean 'Eu"),
        ("Mon a/../../x", "names the unknown time zone"),
    ],
)  # fmt: skip
def test_what_is_no_period_says_what_it_must_be(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match="^" + reason.replace("?", "[?]")):
        period(text)


@pytest.mark.parametrize(
    ("date", "hours"), [("2026-03-28", 13), ("2026-10-24", 15), ("2026-06-06", 14)]
)
def test_a_night_in_which_clocks_change_is_an_hour_shorter_or_longer(date: str, hours: int) -> None:
    night = period("Sat 18:00-08:00 Europe/Berlin")
    noon = datetime.fromisoformat(f"{date} 12:00").replace(tzinfo=BERLIN).timestamp()

    assert sum(night.has(noon + 60 * minute) for minute in range(24 * 60)) == 60 * hours


def test_a_host_without_time_zones_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoneinfo, "available_timezones", set)
    with pytest.raises(ValueError, match="this host has none: install tzdata"):
        period("Mon Europe/Berln")
