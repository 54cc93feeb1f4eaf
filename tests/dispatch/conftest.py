"""The house that the tests of this folder work in."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.dispatch.support import TOKEN, House, Log, lines


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    return partial(lines, caplog)


@pytest.fixture
def house(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[House]:
    caplog.set_level(logging.DEBUG)
    house = House(tmp_path)
    yield house
    house.close()
    for record in caplog.get_records("call"):
        assert TOKEN not in record.getMessage()
