"""What the fork server has imported, and when a file counts as changed."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from listener.interpreters.child import modules


@pytest.mark.parametrize(("age_s", "is_doubtful"), [(0.004, True), (1.0, False)])
def test_a_file_of_the_clock_tick_before_its_import_may_not_be_what_was_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age_s: float, is_doubtful: bool
) -> None:
    """The kernel writes the time of its last tick to a file: what is written now can look older."""
    now = time.time()
    (tmp_path / "paging.py").touch()
    os.utime(tmp_path / "paging.py", ns=(0, int((now - age_s) * 1e9)))
    monkeypatch.setattr("time.time", lambda: now)
    monkeypatch.setattr(modules, "_has_threads", lambda: False)
    monkeypatch.syspath_prepend(tmp_path)
    imported = modules.Modules()
    imported.load("paging")
    monkeypatch.delitem(sys.modules, "paging")
    assert imported.have_changed() == is_doubtful
