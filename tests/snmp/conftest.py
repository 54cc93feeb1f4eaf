"""What the tests with engines of pysnmp share."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _mibs_are_compiled_once() -> Iterator[None]:
    """pysnmp compiles its MIB modules again for every engine, half of what a test takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pysnmp.smi.builder.compile", functools.cache(compile), raising=False)
        yield
