"""The page: figures, standing and findings become HTML.

Owns the words for durations, times and shares, and the policy that lets the page load nothing. What it
is given is escaped, all of it. The verb `report` calls it.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from listener.hooks.values import shortened
from listener.log import printable
from listener.model.notification import iso_time, short_time
from listener.overview.finding import Finding
from listener.overview.report.gather import Figures
from listener.overview.report.outcomes import OUTCOMES, outcome_of
from listener.overview.report.palette import COLOURS
from listener.overview.report.timeline import MOST_RUNS, axis_of

_MOST_CHARACTERS = 80
_SIGNS = {
    "done": "✓", "succeeded": "✓",
    "failed": "✕", "timed out": "✕", "unreadable": "✕",
    "interrupted": "!",
    "running": "▸", "pending": "○", "queued": "○",
}  # fmt: skip
"""Beside a state's colour; a dash beside all others."""
_UNITS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def render(
    figures: Figures,
    *,
    lines: Iterable[tuple[str, str]],
    destinations: Sequence[Mapping[str, Any]],
    findings: Sequence[Finding],
) -> str:
    """The whole page. `lines` and `destinations` say how things stand, `findings` what needs doing."""
    environment = _environment()
    style = environment.get_template("page.css").render(colours=COLOURS)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        figures=figures,
        lines=lines,
        destinations=destinations,
        findings=findings,
        anchors={each.execution_id: f"x{n}" for n, each in enumerate(figures.executions)},
        axis=axis_of(figures.executions, figures.since, figures.at),
        outcomes=[each for each in OUTCOMES if any(each in hook.numbers for hook in figures.outcomes)],
        most_runs=MOST_RUNS,
        style=style,
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(os.path.dirname(__file__)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "moment": short_time,
        "day": lambda at: short_time(at)[:10],
        "clock": lambda at: short_time(at)[11:19],
        "iso": iso_time,
        "text": _text,
        "duration": duration,
        "number": "{:,}".format,
        "share": _share,
        "sign": lambda state: _SIGNS.get(state, "–"),
        "outcome": outcome_of,
    }
    environment.filters |= filters
    return environment


def _text(value: str, most: int = _MOST_CHARACTERS) -> str:
    """What came from outside, on one line and not too long."""
    return printable(shortened(value, most))


def duration(seconds: float) -> str:
    """In the units that a person would use, with two digits or two units."""
    if seconds < 0.001:
        return "< 1 ms"
    if seconds < 0.9995:
        return f"{float(f'{seconds * 1000:.2g}'):g} ms"
    if seconds < 59.95:
        return f"{float(f'{seconds:.2g}'):g} s"
    whole = round(seconds)
    size, unit, smaller, smaller_unit = next(each for each in _UNITS if whole >= each[0])
    rest = whole % size // smaller
    return f"{whole // size:,} {unit}" + (f" {rest} {smaller_unit}" if rest else "")


def _share(part: float | None) -> str:
    """In per cent; neither none nor all of them by rounding alone."""
    if part is None:
        return "–"
    if part in (0.0, 1.0):
        return f"{part:.0%}"
    return f"{min(max(100 * part, 0.1), 99.9):.1f}%"
