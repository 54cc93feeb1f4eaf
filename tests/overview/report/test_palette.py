"""The colours of the page can be told from what they stand on, in the light and in the dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from listener.overview.report import palette
from listener.overview.report.palette import COLOURS, INKS, PAPERS

CSS = (Path(palette.__file__).parent / "page.css").read_text("utf-8")
AA = 4.5
"""WCAG 2.1, 1.4.3; what is no text would need 3."""


def luminance(colour: str) -> float:
    """The relative luminance of WCAG 2.1."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("ink", INKS)
def test_every_ink_can_be_read_on_every_paper(ink: str, paper: str, scheme: str) -> None:
    pair = sorted(luminance(getattr(COLOURS[name], scheme)) for name in (ink, paper))
    assert (pair[1] + 0.05) / (pair[0] + 0.05) >= AA


def test_the_page_has_no_other_colours_and_uses_each_for_what_it_is() -> None:
    used = re.findall(r"([\w-]+): ?([^;{}]*var\(--[\w-]+\)[^;{}]*);", CSS)
    for key, value in used:
        [name] = re.findall(r"var\(--([\w-]+)\)", value)
        if key == "background":
            assert name in PAPERS
        elif key in ("color", "fill"):
            assert name in INKS
    assert {re.findall(r"--([\w-]+)\)", value)[0] for _, value in used} == COLOURS.keys()
    assert not re.search(r"#[0-9a-f]{3,8}\b|rgba?\(|hsla?\(|(?<!fill-)opacity", CSS)
