"""Medians, ratios and the plain tables they are printed in.

Owns how figures are summed up: a median over the repetitions, and a ratio as the median of the ratios
within each repetition, so that a slow minute of the machine falls on both sides. It measures nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Wanted(NamedTuple):
    """What a ratio should be."""

    text: str
    is_met: Callable[[float], bool]


def at_most(most: float) -> Wanted:
    return Wanted(f"<= {most:g}", lambda ratio: ratio <= most)


def at_least(least: float) -> Wanted:
    return Wanted(f">= {least:g}", lambda ratio: ratio >= least)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def ratio(values: Sequence[float], others: Sequence[float]) -> float:
    """How many times `others` the values are; both have one value per repetition, in order."""
    return median([value / other for value, other in zip(values, others, strict=True)])


def judged(measured: float, wanted: Wanted | None) -> str:
    """A ratio in a table's cell, with what it should be."""
    shown = f"{measured:.3g}" if measured < 1000 else f"{measured:,.0f}"
    if wanted is None:
        return shown
    return f"{shown} ({wanted.text}: {'met' if wanted.is_met(measured) else 'MISSED'})"


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> None:
    """Print one table; the first column is aligned to the left, figures to the right."""
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    print(f"\n{title}")
    for cells in (columns, ["-" * width for width in widths], *rows):
        first, *others = (
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        print("  " + "  ".join([first, *others]))
    if note:
        print(f"  {note}")
