"""Timestamps that Python prints; Conductor's own, and what is none, are in tests/snmp/test_mib.py."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from listener.model.timestamp import unix_seconds


@given(
    moment=st.datetimes(datetime(1970, 1, 2), datetime(9998, 1, 1)),
    offset=st.none() | st.integers(-24 * 60 + 1, 24 * 60 - 1),
    timespec=st.sampled_from(["minutes", "seconds", "milliseconds", "microseconds"]),
    separator=st.sampled_from("T "),
)
def test_what_python_prints_as_iso_time_is_understood(
    moment: datetime, offset: int | None, timespec: str, separator: str
) -> None:
    zone = timezone.utc if offset is None else timezone(timedelta(minutes=offset))
    printed = moment.replace(tzinfo=zone if offset is not None else None).isoformat(separator, timespec)
    kept = moment.replace(second=0) if timespec == "minutes" else moment
    expected = kept.replace(tzinfo=zone, microsecond=0).timestamp()
    assert unix_seconds(printed) == expected
