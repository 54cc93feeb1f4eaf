"""Tables at a terminal, whatever its width.

Owns where a row is divided, and its colours. A value is folded or moved to a second line, but never
cut. It escapes nothing; answers.py calls it, with rows that may be shown.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_FOLDED = 40  # columns of a terminal that a value needs that may be folded
_GAP = "  "
_INDENT = 4

Rows = Sequence[Sequence[str]]


def print_rows(
    columns: Sequence[str],
    rows: Rows,
    *,
    whole: Collection[str],
    colours: Mapping[str, str],
    console: Console,
) -> None:
    """Print a head and rows. The values of the columns in `whole` are never folded.

    Where not all columns fit beside each other, a row takes several lines: as many as fit of those in
    `whole`, and below them all others. `colours` are those of the values in the column `state`.
    """
    widths = [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]
    texts = [[_text(*pair, colours) for pair in zip(columns, row, strict=True)] for row in rows]
    needed = [
        width if name in whole else min(width, _FOLDED)
        for name, width in zip(columns, widths, strict=True)
    ]
    if _room(needed) <= console.width:
        _print_beside(columns, texts, whole, console)
    else:
        above = _fitting([name in whole for name in columns], widths, console.width)
        _print_below(columns, texts, {position: widths[position] for position in above}, console)


def _text(column: str, value: str, colours: Mapping[str, str]) -> Text:
    return Text(value, colours.get(value, "") if column == "state" else "")


def _room(widths: Collection[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _fitting(is_whole: Sequence[bool], widths: Sequence[int], width: int) -> list[int]:
    """The positions of the columns for a row's first line: at least one."""
    found: list[int] = []
    for position in (position for position, is_so in enumerate(is_whole) if is_so):
        if found and _room([widths[each] for each in (*found, position)]) > width:
            break
        found.append(position)
    return found or [0]


def _print_beside(
    columns: Sequence[str], texts: Sequence[Sequence[Text]], whole: Collection[str], console: Console
) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name in whole)
    for row in texts:
        table.add_row(*row)
    console.print(table)


def _print_below(
    columns: Sequence[str],
    texts: Sequence[Sequence[Text]],
    above: Mapping[int, int],
    console: Console,
) -> None:
    """`above` are the positions of the first line's columns, with their widths."""
    for row in ([Text(name, "bold") for name in columns], *texts):
        for position, width in above.items():
            row[position].pad_right(width - row[position].cell_len)
        first = Text(_GAP).join(row[position] for position in above)
        first.rstrip()
        console.print(first)
        others = [text for position, text in enumerate(row) if position not in above and text]
        for line in _lines(others, console.width - _INDENT):
            console.print(Padding(line, (0, 0, 0, _INDENT), expand=False))


def _lines(texts: Sequence[Text], width: int) -> list[Text]:
    """As many values on each line as fit; only one that is longer than a line will be folded."""
    lines: list[Text] = []
    for text in texts:
        if lines and _room([lines[-1].cell_len, text.cell_len]) <= width:
            lines[-1] = Text(_GAP).join((lines[-1], text))
        else:
            lines.append(text)
    return lines
