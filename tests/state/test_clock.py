"""A clock that has jumped is not believed before an hour has passed."""

from __future__ import annotations

from listener.state.clock import Clock


def test_a_clock_is_steady_when_it_has_not_jumped_for_an_hour() -> None:
    """That NTP slews it a little is no jump."""
    now = {"wall": 1.0, "uptime": 100.0}
    clock = Clock(lambda: now["wall"], lambda: now["uptime"])

    def is_steady_after(seconds: float) -> bool:
        now["wall"] += seconds * 1.0005
        now["uptime"] += seconds
        return clock.is_steady()

    for jump_s in (0.0, 40 * 86_400.0, -40 * 86_400.0, 65.0):
        now["wall"] += jump_s
        assert [is_steady_after(wait_s) for wait_s in (5.0, 3595.0, 5.0)] == [False, False, True]
