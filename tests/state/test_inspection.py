"""What doctor asks of a journal's file."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from listener.errors import StateError
from listener.model.entry import FIRE
from listener.state import inspection
from listener.state.inspection import Arrivals, arrivals, damage, lost_changes
from listener.state.journal import FILE, Journal
from tests.children import child, said
from tests.state.entries import entry
from tests.state.test_database import PROGRAM, flip_a_byte


@pytest.fixture
def folder(tmp_path: Path) -> str:
    with closing(Journal(str(tmp_path))) as journal:
        for number in range(100):
            journal.accept(entry(body=f"{number}" * 500))
    return str(tmp_path)


def test_a_sound_journal_has_no_damage_and_has_lost_nothing(folder: str) -> None:
    assert damage(folder) == ""
    assert lost_changes(folder) == 0


def test_a_damaged_page_is_told_unless_the_journal_is_large(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(folder, FILE)
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2] + b"\xff" * 4096 + data[len(data) // 2 + 4096 :])
    assert damage(folder)
    monkeypatch.setattr(inspection, "QUICK_BYTES", 1000)
    assert damage(folder) == ""


def test_what_is_no_journal_is_an_error(folder: str) -> None:
    Path(folder, FILE).write_bytes(b"x" * 5000)
    with pytest.raises(StateError, match="file is not a database; it is damaged: move it"):
        damage(folder)


@pytest.mark.parametrize("is_damaged", [False, True])
def test_what_a_damaged_wal_file_has_lost_is_counted(tmp_path: Path, is_damaged: bool) -> None:
    program = """
for _ in range(20): journal.accept(entry())
print("done", flush=True)
sys.stdin.read()
"""
    with child(PROGRAM + program, str(tmp_path)) as process:
        assert said(process) == "done"
        process.kill()
        process.wait()
    if is_damaged:
        flip_a_byte(tmp_path / f"{FILE}-wal")
    assert (lost_changes(str(tmp_path)) > 1) == is_damaged


def test_arrivals_are_what_came_from_outside_and_the_largest_is_what_was_captured(folder: str) -> None:
    with closing(Journal(folder)) as journal:
        journal.accept(entry(source="recorder", body="é" * 1000))
        journal.accept(entry(source="forward", body="x" * 9000))
        journal.accept(entry(source=FIRE, body="x" * 9999))
    assert arrivals(folder) == Arrivals(102, 2000)
