"""The colours of the page, in the light and in the dark.

Owns them all: page.css names them and has no other. Each of INKS can be read on each of PAPERS; LINES
only divide. page.py hands them to the template.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Colour(NamedTuple):
    light: str
    dark: str


PAPERS: Mapping[str, Colour] = {
    "paper": Colour("#ffffff", "#14171a"),
    "panel": Colour("#f3f5f7", "#1e2328"),
}
INKS: Mapping[str, Colour] = {
    "ink": Colour("#1b1f24", "#e6e9ed"),
    "quiet": Colour("#57606a", "#9ba5b0"),
    "link": Colour("#0b57a4", "#7ab7ff"),
    "good": Colour("#1a6b34", "#5cc47e"),
    "bad": Colour("#b3201e", "#ff8a82"),
    "cut": Colour("#86298b", "#e090e6"),
    "waiting": Colour("#7a5200", "#e0b04a"),
    "live": Colour("#0b5c8c", "#66b8e8"),
}
LINES: Mapping[str, Colour] = {
    "line": Colour("#d5dae0", "#363d45"),
}
COLOURS = {**PAPERS, **INKS, **LINES}
