"""What the tests of functions and of plugins' tasks share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support import uncounted_env


@pytest.fixture(scope="module")
def uncounted() -> Iterator[None]:
    """Interpreters count no lines: theirs are not judged, and to count takes as long as their start."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ.keys() - uncounted_env().keys():
            patch.delenv(name)
        yield
