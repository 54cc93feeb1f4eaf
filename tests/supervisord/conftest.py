"""The house that the tests of supervisord's events work in."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.supervisord.supervised import Supervised


@pytest.fixture
def house(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Supervised]:
    caplog.set_level(logging.DEBUG)
    house = Supervised(tmp_path)
    yield house
    house.close()
