"""One thing that needs doing: what is wrong, where, and what to do about it.

Owns the form in which all verbs say so. It judges nothing; judgement.py and doctor/ make Findings.
"""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """`where` is a file, a section or a part of the listener; `cure` is what to do or to write."""

    where: str
    what: str
    cure: str


def of_text(where: str, text: str, cure: str = "") -> Finding:
    """Of an error's or a mistake's text, which mostly ends with what to do; else that is `cure`."""
    what, _, own_cure = text.partition("; ")
    return Finding(where, what, own_cure or cure)
