"""Who can change a file, by what stands on the way to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from listener.state.ownership import changeable_by_others
from tests.users import NOBODY, NOBODYS_NAME, needs_root


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder of root's with a program in a folder, which is named by a link in another folder."""
    needs_root()
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "python").write_text("#!/bin/sh\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to("../real/python")
    yield tmp_path


def test_what_root_alone_can_change_is_trusted(place: Path) -> None:
    assert changeable_by_others(str(place / "bin" / "python")) == ""
    (place / "absolute").symlink_to(place / "bin")
    assert changeable_by_others(str(place / "absolute" / "python")) == ""


@pytest.mark.parametrize("component", ["real/python", "real", "bin/python", "bin", ""])
def test_a_component_of_another_user_is_named_on_either_side_of_a_link(
    place: Path, component: str
) -> None:
    os.chown(place / component, NOBODY, NOBODY, follow_symlinks=False)
    found = changeable_by_others(str(place / "bin" / "python"))
    assert found == f"{place / component} belongs to user {NOBODYS_NAME}"


def test_a_user_without_a_name_is_named_by_number(place: Path) -> None:
    os.chown(place / "real", 54_321, NOBODY)
    assert changeable_by_others(str(place / "real" / "python")).endswith(" belongs to user 54321")


@pytest.mark.parametrize("mode", [0o775, 0o757])
@pytest.mark.parametrize("component", ["real/python", "real", "bin"])
def test_a_component_that_a_group_or_others_may_write_is_named(
    place: Path, component: str, mode: int
) -> None:
    (place / component).chmod(mode)
    found = changeable_by_others(str(place / "bin" / "python"))
    assert found == f"{place / component} can be written by other users than root"


def test_in_a_sticky_folder_it_counts_whose_the_file_is(place: Path) -> None:
    (place / "bin").chmod(0o1777)
    assert changeable_by_others(str(place / "bin" / "python")) == ""
    os.chown(place / "bin" / "python", NOBODY, NOBODY, follow_symlinks=False)
    assert changeable_by_others(str(place / "bin" / "python")) != ""


def test_what_cannot_be_reached_is_left_to_whoever_starts_it(place: Path) -> None:
    (place / "round").symlink_to("round")
    for name in ("missing", "round", "real/python/deeper"):
        assert changeable_by_others(str(place / name)) == ""
