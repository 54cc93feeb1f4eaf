"""What is held back is let go when there is a pause."""

from __future__ import annotations

import pytest

from listener import log, pause


@pytest.mark.parametrize(
    ("seconds", "comes_in", "expected"),
    [
        (log.PAUSE_S, 1, ["wait 0.05"]),
        (0.75, 1, ["wait 0.05"]),
        (0.75, 2, ["wait 0.05", "log", "held", "wait 0.70"]),
        (-1.0, 2, ["wait -1.00"]),
    ],
)
def test_while_somebody_waits_for_long_there_is_a_pause(
    monkeypatch: pytest.MonkeyPatch, seconds: float, comes_in: int, expected: list[str]
) -> None:
    happened: list[str] = []
    monkeypatch.setattr(log, "flush", lambda: happened.append("log"))

    def wait(wait_s: float) -> str:
        happened.append(f"wait {wait_s:.2f}")
        return "it" if len(happened) >= comes_in else ""

    with pause.at_pause(lambda: happened.append("held")):
        assert pause.waited(wait, seconds) == ("it" if len(expected) >= comes_in else "")
        assert happened == expected


def test_what_is_held_is_let_go_once_more_at_its_end_and_then_no_more() -> None:
    happened: list[str] = []
    with pytest.raises(RuntimeError), pause.at_pause(lambda: happened.append("held")):
        raise RuntimeError
    pause.let_go()
    assert happened == ["held"]
