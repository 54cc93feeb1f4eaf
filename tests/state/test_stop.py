"""The file by which a person stops an attempt, as what waits for the attempt sees it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from listener.state import stop
from listener.state.stop import Deadline, Stop, ask, path_of


def test_what_is_asked_ends_the_wait_of_that_attempt_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop, "LOOK_S", 0.0)  # it looks each time
    this, other = (path_of(str(tmp_path), 1, began_at) for began_at in (1.5, 2.5))
    deadline, of_other = Deadline(600, Stop(this)), Deadline(600, Stop(other))
    assert deadline.left_s > 0
    ask(this)
    assert deadline.left_s == 0
    assert of_other.left_s > 0
    assert list(tmp_path.iterdir()) == []  # which tells the verb that it was seen
    assert deadline.left_s == 0


def test_it_looks_at_most_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    path = path_of(str(tmp_path), 1, 1.5)
    asked = Stop(path)
    ask(path)
    assert not asked.is_asked()
    now[0] += stop.LOOK_S
    assert asked.is_asked()
