"""The verb report: where its page goes, whole and for its owner alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from listener.state.journal import Journal
from tests.cli.commands import failed, run_here, store


@pytest.fixture(autouse=True)
def _filled(folder: Path, journal: Journal) -> None:
    store(journal, "failed", runs=(failed(),), deployment_id="prod")


def report(*arguments: str) -> tuple[int, str]:
    result = run_here("report", *arguments)
    return result.returncode, result.stdout + result.stderr


def test_a_page_on_stdout_says_what_status_says_and_what_failed() -> None:
    status, page = report("--html", "-")
    assert status == 0
    for words in ("none has run yet", "1 failed", "conductor-hooks replay 1", "ValueError: no", "prod"):
        assert words in page


def test_a_new_file_is_for_its_owner_alone_and_one_that_is_there_keeps_its_mode(folder: Path) -> None:
    path = folder / "page.html"
    assert report("--html", str(path)) == (0, "")
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("old")
    path.chmod(0o644)
    (folder / "link.html").symlink_to(path)
    assert report("--html", "link.html") == (0, "")
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.read_text().startswith("<!DOCTYPE html>")


def test_a_page_that_cannot_be_written_is_exit_2_with_the_reason() -> None:
    status, said = report("--html", "none/page.html")
    assert status == 2
    assert "the page cannot be written to none/page.html: No such file or directory" in said


def test_since_bounds_what_the_page_counts() -> None:
    assert "Nothing was accepted in this time" in report("--html", "-", "--since", "2099-01-01")[1]
