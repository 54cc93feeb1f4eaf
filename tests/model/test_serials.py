"""The numbers of an event as a text."""

from __future__ import annotations

import pytest

from listener.model.serials import Serials


@pytest.mark.parametrize("serials", [Serials("4711.99", 12, 3), Serials("", 0, 0)])
def test_serials_are_read_back_from_their_text(serials: Serials) -> None:
    assert Serials.parse(str(serials)) == serials


@pytest.mark.parametrize(
    "text", ["", "4711.99", "4711.99/12", "4711.99/12/3/4", "4711.99/12/-1", "a/b/c"]
)
def test_any_other_text_is_none(text: str) -> None:
    assert Serials.parse(text) is None


def test_an_event_has_one_name_in_every_pool() -> None:
    assert Serials("4711.99", 12, 3).event == Serials("4711.99", 12, -1).event == "4711.99/12"
