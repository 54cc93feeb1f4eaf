"""What a person sees in a terminal of any width: nothing is cut, states have colours."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from listener.cli.entries import _WHOLE, as_row, columns_of
from listener.cli.screen import print_rows
from listener.model.entry import Entry
from tests.cli.commands import THEN, done, failed, new

UUID = "0b6a58ab-9c4f-4f0e-8f3a-2f1d6c7b8a90"
ERROR = "ConnectionError: the pager at pager.example.com does not answer"


def entry(entry_id: int, state: str, event_type: str, **about: object) -> Entry:
    made = new(state, event_type=event_type, received_at=THEN, execution=UUID, **about)  # type: ignore[arg-type]
    return Entry(**{name: getattr(made, name) for name in made.__struct_fields__} | {"id": entry_id})


ENTRIES = [
    entry(
        31, "failed", "workflow_failed", runs=(done(), failed(error=ERROR)), deployment_id="配置中心"
    ),
    entry(3, "interrupted", "workflow_succeeded", runs=(done(),), deployment_id="nodecellar"),
]


def shown(width: int) -> list[str]:
    """What history prints of ENTRIES in a terminal so wide."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    rows = list(map(as_row, ENTRIES))
    columns = columns_of(rows)
    cells = [[str(row[name]) for name in columns] for row in rows]
    print_rows(columns, cells, whole=_WHOLE, colours={}, console=console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_history_cuts_nothing_in_any_width(width: int) -> None:
    lines = shown(width)
    for words in ("31  2023-11-14 22:13:20Z  failed       workflow_failed", UUID, "配置中心"):
        assert [line for line in lines if words in line], words
    assert max(map(len, lines)) <= width
    told = " ".join(" ".join(lines).split())
    assert "trap: done, page: failed (ConnectionError: the pager at" in told


def test_an_entry_takes_two_lines_where_one_does_not_hold_it() -> None:
    assert shown(80)[-2:] == [
        "3   2023-11-14 22:13:20Z  interrupted  workflow_succeeded",
        f"    {UUID}  nodecellar  trap: done",
    ]
    assert shown(100)[-2:] == [
        f"3   2023-11-14 22:13:20Z  interrupted  workflow_succeeded  {UUID}",
        "    nodecellar  trap: done",
    ]
    assert shown(200)[-1].rstrip().endswith(f"  {UUID}  nodecellar  trap: done")


def test_a_long_reason_is_not_folded_into_a_narrow_column() -> None:
    console = Console(file=io.StringIO(), width=80)
    columns = ["hook", "state", "seconds", "implementation", "what it said"]
    row = ["greet", "failed", "0.005", "my-plugin.my_plugin.tasks.greet", ERROR]
    print_rows(columns, [row], whole=columns[:-1], colours={}, console=console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines()[-1].strip() == ERROR


def test_a_state_has_its_colour() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")
    rows = [["1", "failed", "failed"], ["2", "done", ""]]
    colours = {"failed": "red", "done": "green"}
    print_rows(["id", "state", "hooks"], rows, whole=["id", "state"], colours=colours, console=console)
    assert isinstance(console.file, io.StringIO)
    _, one, two = console.file.getvalue().splitlines()
    assert one.count("\x1b[31mfailed") == 1
    assert "\x1b[32mdone" in two
