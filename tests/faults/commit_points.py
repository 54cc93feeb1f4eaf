"""The listener killed at every commit point: before and after each of its writes.

Owns the rounds: a listener dies at its N-th moment, for N = 1, 2, … until one has come to the end
unharmed. Which moments there are, programs/killed_at.py knows.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.faults import traps
from tests.faults.double import PROGRAMS, doubled
from tests.faults.hooks import Hooks, names
from tests.faults.ledger import Setting, Verdict, judge, problems_of_follow_ups, total, unless

_HOOKS = ("once", "again", "trap")
_FAILING = """\
  - {event_type: '*', name: failing, implementation: fault_functions.fail}
  - {event_type: hook_failed, name: told, implementation: fault_functions.told, repeatable: true}
"""


class _Plan(NamedTuple):
    """Which hooks there are, and at which kinds of moments the listener is killed."""

    kinds: str
    hooks: tuple[str, ...] = _HOOKS
    more: str = ""
    is_recorded: bool = False


def commit_points(setting: Setting) -> Verdict:
    """Events from supervisord."""
    return _both_ways(setting, _Plan("write"))


def commit_points_recorded(setting: Setting) -> Verdict:
    """Events that were recorded before they are sent."""
    return _both_ways(setting, _Plan("write,unlink", is_recorded=True))


def commit_points_failing(setting: Setting) -> Verdict:
    """A hook fails, and another one is to be told of that, once for each failure."""
    return _both_ways(setting, _Plan("write", ("once",), _FAILING))


def _both_ways(setting: Setting, plan: _Plan) -> Verdict:
    """In the long form also with a new journal for each N, and at the moments that are no commits."""
    in_a_row = _in_a_row(setting, plan, names(1 if setting.short else 20))
    if setting.short:
        return in_a_row
    anew = _each_anew(setting, plan._replace(kinds=f"open,answer,{plan.kinds}"), names(4))
    return total([in_a_row, anew], f"{in_a_row.remark}, {anew.remark}")


def _in_a_row(setting: Setting, plan: _Plan, emitted: list[str]) -> Verdict:
    """One journal, in which the N-th listener finds what the one before it has left behind."""
    folder = setting.folder / "in-a-row"
    folder.mkdir()
    with traps.received() as sent, doubled(folder, _hooks(plan, sent)) as double:
        if plan.is_recorded:
            double.record(emitted)
            double.record((), number=2)  # after which nobody writes to the first one any more
        double.send(emitted)
        for number in itertools.count(1):
            double.listen_with(_dying(number, plan, folder), autorestart=False)
            double.start()
            if not double.wait_for_end_or_all(emitted[-1]):
                break
        double.stop()
        verdict = _judged(folder, plan, emitted, sent)
    return _told(verdict, number - 1)


def _each_anew(setting: Setting, plan: _Plan, emitted: list[str]) -> Verdict:
    """A journal for each N, and an unharmed listener after the one that died."""
    verdicts: list[Verdict] = []
    with traps.received() as sent:
        while True:
            number = len(verdicts) + 1
            folder = setting.folder / str(number)
            folder.mkdir()
            where = _round(folder, plan, emitted, sent, number)
            verdict = _judged(folder, plan, emitted, sent)
            problems = tuple(f"killed {where} ({number}): {each}" for each in verdict.problems)
            verdicts.append(verdict._replace(problems=problems))
            if not where:
                return _told(total(verdicts), number - 1)


def _told(verdict: Verdict, moments: int) -> Verdict:
    problem = unless(moments, "no listener was killed")
    return verdict.and_also(problem, remark=f"killed at {moments} moments")


def _round(folder: Path, plan: _Plan, emitted: list[str], sent: traps.Traps, number: int) -> str:
    """Where the first listener was killed; '' when it has lived."""
    with doubled(folder, _hooks(plan, sent)) as double:
        if plan.is_recorded:
            double.record(emitted)
            double.record((), number=2)
        double.listen_with(_dying(number, plan, folder))
        double.start()
        double.listen_with()
        double.send(emitted)
        double.wait_for_answers()
        double.wait_until_settled(emitted[-1])
        double.stop()
    killed = folder / "killed"
    return killed.read_text().strip() if killed.exists() else ""


def _judged(folder: Path, plan: _Plan, emitted: list[str], sent: traps.Traps) -> Verdict:
    verdict = judge(folder, emitted, plan.hooks, traps=sent.take())
    return verdict.and_also(*(problems_of_follow_ups(folder) if plan.more else ()))


def _hooks(plan: _Plan, sent: traps.Traps) -> Hooks:
    return Hooks(plan.hooks, trap_port=sent.port, more=plan.more)


def _dying(number: int, plan: _Plan, folder: Path) -> Sequence[str]:
    program = PROGRAMS / "killed_at.py"
    return (sys.executable, str(program), str(number), plan.kinds, str(folder / "killed"))
