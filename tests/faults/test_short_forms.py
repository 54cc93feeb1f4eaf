"""What breaks costs no notification and repeats none: the short form of each fault, and their judge."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from listener.model.entry import Attempt, Entry, Run, RunState
from listener.state.journal import Journal
from tests.faults import __main__ as tool
from tests.faults.hooks import append
from tests.faults.ledger import Verdict, judge, judge_hosts
from tests.support import do_without

TOP = Path(__file__).parents[2]
SEED = 4711


@pytest.mark.parametrize("name", sorted(tool.FAULTS.keys() - tool.ROWS_OF_RABBITMQ.keys()))
def test_no_promise_is_broken(name: str) -> None:
    """RabbitMQ's are in tests/rabbitmq/, where a broker is."""
    verdict, _ = tool.run(name, short=True, seed=SEED)
    if not verdict.emitted:
        do_without(verdict.remark)
    assert verdict.problems == ()
    assert verdict.acted_on + verdict.lost + verdict.interrupted == verdict.emitted


def test_the_tool_prints_its_seed_and_a_line_for_each_fault() -> None:
    command = [sys.executable, "-m", "tests.faults", "--short", "--seed", "7", "second-listener"]
    result = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True)
    seed, columns, line = result.stdout.splitlines()
    assert seed == "--seed 7"
    assert columns.split() == ["emitted", "acted", "on", "lost", "twice", "interrupted", "seconds"]
    assert line.split()[:6] == ["second-listener", "4", "4", "0", "0", "0"]


def test_the_tool_exits_with_1_when_a_promise_was_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_setting: object) -> Verdict:
        return Verdict(1, 0, lost=1, problems=("e-0 is lost",))

    monkeypatch.setattr(tool, "FAULTS", {"broken": broken})
    monkeypatch.setattr(sys, "argv", ["faults"])
    assert tool.main() == 1
    assert "! e-0 is lost" in capsys.readouterr().out


def run(hook: str, state: RunState, *attempts: str) -> Run:
    return Run(hook, "f.f", state, attempts=tuple(Attempt(0.0, each) for each in attempts))  # type: ignore[arg-type]


DONE = (run("once", "done", "done"), run("again", "done", "done"))
ONCE = ("once begun", "once done")
AGAIN = ("again begun", "again done")


@pytest.mark.parametrize(
    ("runs", "noted", "expected"),
    [
        (DONE, (*ONCE, *AGAIN), Verdict(1, 1)),
        ((), (*ONCE, *AGAIN), Verdict(1, 0, lost=1)),
        (DONE, ONCE, Verdict(1, 0, lost=1)),
        (DONE, (*ONCE, *ONCE, *AGAIN), Verdict(1, 1, twice=1)),
        (DONE, (*ONCE, *AGAIN, *AGAIN), Verdict(1, 1, twice=1)),
        ((DONE[0], run("again", "pending", "failed")), (*ONCE, *AGAIN), Verdict(1, 0, lost=1)),
        ((DONE[0], run("again", "interrupted", "interrupted")), ONCE, Verdict(1, 0, lost=1)),
        ((run("once", "interrupted", "interrupted"), DONE[1]), AGAIN, Verdict(1, 0, interrupted=1)),
        (
            (DONE[0], run("again", "done", "interrupted", "done")),
            (*ONCE, *AGAIN, *AGAIN),
            Verdict(1, 1),
        ),
        (
            (DONE[0], run("again", "done", "done", "done")),
            (*ONCE, *AGAIN, *AGAIN),
            Verdict(1, 1, twice=1),
        ),
    ],
)
def test_the_judge_compares_what_functions_noted_with_what_the_journal_has(
    tmp_path: Path, runs: tuple[Run, ...], noted: tuple[str, ...], expected: Verdict
) -> None:
    (tmp_path / "state").mkdir()
    if runs:
        entry = Entry(0, 0.0, "supervisord", "pending", "{}", execution_id="e-0").with_runs(runs)
        Journal(str(tmp_path / "state")).accept(entry)
    for note in noted:
        append(tmp_path / "notes", f"{note} e-0\n")
    verdict = judge(tmp_path, ["e-0"])
    assert verdict._replace(problems=()) == expected
    assert bool(verdict.problems) == bool(expected.lost or expected.twice)


def test_the_judge_of_several_hosts_adds_up_what_they_noted(tmp_path: Path) -> None:
    noted = {"a": ("begun e-0", "done e-0", "begun e-1"), "b": ("begun e-0", "done e-0")}
    for host, notes in noted.items():
        (tmp_path / host).mkdir()
        append(tmp_path / host / "notes", "".join(f"once {note}\n" for note in notes))
    folders = [tmp_path / host for host in noted]
    verdict = judge_hosts(folders, ["e-0", "e-1"])
    assert verdict._replace(problems=()) == Verdict(2, 1, lost=1, twice=1)
    assert verdict.problems == (
        "e-0 ran twice: 2 times begun, 2 times done",
        "e-1 is lost: 1 times begun, and never done",
    )
    assert len(judge_hosts(folders, ["e-0", "e-1"], may_repeat=["e-0"]).problems) == 1
