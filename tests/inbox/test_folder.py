"""The inbox as the listener's user finds it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from listener.inbox.folder import FOLDER, fault
from tests.users import NOBODY, needs_root


@pytest.mark.parametrize(
    ("owner", "mode", "is_usable"),
    [
        (NOBODY, 0o700, True),
        (NOBODY, 0o500, False),
        (0, 0o700, False),
        (0, 0o2770, True),  # as README has it, for a group of both users
    ],
)
def test_the_owner_of_the_state_directory_may_use_it_by_its_own_rights_or_its_groups(
    tmp_path: Path, owner: int, mode: int, is_usable: bool
) -> None:
    needs_root()
    folder = tmp_path / FOLDER
    folder.mkdir()
    os.chown(tmp_path, NOBODY, NOBODY)
    os.chown(folder, owner, -1)
    folder.chmod(mode)
    assert fault(str(tmp_path)) == (
        "" if is_usable else "the listener's user may not read and write it"
    )


def test_root_may_use_it_whatever_its_mode(tmp_path: Path) -> None:
    needs_root()
    folder = tmp_path / FOLDER
    folder.mkdir(0o500)
    assert fault(str(tmp_path)) == ""
    os.chown(folder, NOBODY, NOBODY)
    assert fault(str(tmp_path)) == ""


def test_a_file_in_its_place_cannot_be_used_and_none_is_no_fault(tmp_path: Path) -> None:
    assert fault(str(tmp_path)) == ""
    (tmp_path / FOLDER).touch()
    assert fault(str(tmp_path)) == "it is no directory"
