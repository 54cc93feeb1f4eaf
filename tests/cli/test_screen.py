"""What a person sees in a terminal of any width: nothing is cut, states have colours."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from listener.cli.entries import _WHOLE, as_row, columns_of
from listener.cli.screen import print_rows
from listener.model.entry import Entry
from listener.model.outcome import Tally
from listener.state.journal import Journal
from tests.cli.commands import COMMAND, THEN, done, failed, new, run, store
from tests.handmade_plugins import make_plugin
from tests.support import shown_at_terminal

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


VERBS = ("history", "history --destinations", "show 1", "check", "check --against history",
         "plugins list", "fire workflow_failed --dry-run", "explain workflow_failed", "explain 1",
         "status", "doctor")  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_shows_as_much_at_a_terminal_of_any_width_as_in_a_pipe(
    folder: Path, journal: Journal, verb: str
) -> None:
    hook = (
        "{name: page-oncall, event_type: workflow_failed, implementation: the-doors.doors.tasks.open}"
    )
    (folder / "hooks.conf").write_text(f"hooks: [{hook}, {hook.replace('page', 'call')}]")
    make_plugin(folder / "state/plugins", "the-doors", {"doors.py": ""})
    runs = (done("nms-traps"), failed("page-oncall", f"{ERROR}, neither over HTTP nor over {UUID}"))
    store(journal, "failed", runs=runs, execution=UUID, deployment_id="nodecellar-production-eu-1")
    journal.count({"[2001:db8:85a3:1319:8a2e:370:7334:1]:10162": Tally(123_456, 120_000, 3_456)}, THEN)
    expected = sorted("".join(run(*verb.split()).stdout.split()))
    for width in (60, 200):
        command = ["sh", "-c", f"{shlex.join(COMMAND)} {verb} || true"]  # would fail is 1
        lines = shown_at_terminal(command, columns=width, stream="stdout")
        has_cures = verb in ("status", "doctor")  # which are not folded: a command can be copied
        folded = [line for line in lines if not (has_cures and line.startswith("    "))]
        assert [line for line in folded if cell_len(line) > width and " " in line.strip()] == []
        assert sorted("".join("".join(lines).split())) == expected


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


def test_a_value_that_fits_on_a_line_is_not_divided() -> None:
    console = Console(file=io.StringIO(), width=40)
    row = ["1", UUID[:20], "nodecellar", "page: failed (no route)"]
    print_rows(
        ["id", "execution", "deployment", "hooks"], [row], whole=["id"], colours={}, console=console
    )
    assert isinstance(console.file, io.StringIO)
    lines = list(map(str.rstrip, console.file.getvalue().splitlines()))
    assert lines[-2:] == [f"    {UUID[:20]}  nodecellar", "    page: failed (no route)"]


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
