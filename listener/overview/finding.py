"""One thing that needs doing: what is wrong, where, and what to do about it.

Owns the form in which all verbs say so. It judges nothing; standing.py and doctor make Findings.
"""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """`where` is a file, a section or a part of the listener; `cure` is what to do or to write."""

    where: str
    what: str
    cure: str
