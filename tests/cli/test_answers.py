"""How answers are printed: one line for each row, whatever somebody has put into a value."""

from __future__ import annotations

from typing import Any

import pytest

from listener.cli.answers import one_line, print_table, run_as_json
from listener.model.entry import Attempt, Run
from tests.cli.commands import NASTY, done, failed, waiting

TIMED_OUT = Run("page", "m.page", "failed", 0.0, 1, (Attempt(0.0, "timed out", "no end", 60.0),))


@pytest.mark.parametrize(
    ("run", "state", "error", "result", "seconds"),
    [
        (done(), "done", None, "sent", 0.5),
        (failed(), "failed", "ValueError: no", None, 0.25),
        (waiting(), "pending", "ValueError: no", None, 0.25),
        (TIMED_OUT, "timed out", "no end", None, 60.0),
        (Run("page", "m.page"), "pending", None, None, None),
    ],
    ids=["done", "failed", "waiting", "timed out", "new"],
)
def test_a_run_is_shown_with_its_last_attempt(
    run: Run, state: str, error: str | None, result: str | None, seconds: float | None
) -> None:
    assert run_as_json(run) == {
        "hook": run.hook,
        "implementation": run.implementation,
        "state": state,
        "attempts": len(run.attempts),
        "error": error,
        "result": result,
        "seconds": seconds,
    }


@pytest.mark.parametrize("text", NASTY)
def test_control_characters_are_shown_and_not_obeyed(
    capsys: pytest.CaptureFixture[str], text: str
) -> None:
    assert one_line(text) == repr(text)[1:-1]
    print_table(("id", "hooks"), [{"id": 1, "hooks": text}])
    _, row = capsys.readouterr().out.rstrip("\n").split("\n")
    assert row == f"1   {repr(text)[1:-1]}"


@pytest.mark.parametrize(
    ("value", "most", "shown"),
    [(None, None, ""), ("x" * 9, 5, "xxxx…"), (7, 5, "7"), ("配置", 2, "配置")],
)
def test_a_value_is_one_line_of_at_most_so_many_characters(
    value: Any, most: int | None, shown: str
) -> None:
    assert one_line(value, most) == shown


def test_one_long_value_moves_only_what_follows_it_on_its_own_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = ("short", "x" * 20_000, "配置", "")
    print_table(("id", "value", "end"), [{"id": 1, "value": value, "end": "|"} for value in values])
    head, short, long, wide, empty = capsys.readouterr().out.splitlines()
    assert head == f"id  {'value':40}  end"
    assert short == f"1   {'short':40}  |"
    assert long == f"1   {'x' * 399}…  |"
    assert wide == f"1   {'配置':38}  |"
    assert empty == f"1   {'':40}  |"
