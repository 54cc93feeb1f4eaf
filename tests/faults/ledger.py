"""What has become of every notification: the functions' own notes against the listener's journal.

Owns the rule of what is lost, done twice or interrupted, and the value that a fault returns. It starts
and breaks nothing; every fault hands it the names that it has emitted.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from listener.model.entry import Entry, Run
from listener.model.notification import HOOK_FAILED
from listener.state.filters import Filters
from listener.state.journal import FILE, Journal
from tests.faults.hooks import Note, notes

_ONCE = "once"  # the hook that is not repeatable


class Setting(NamedTuple):
    """What a fault is given: an empty folder with a short path, and its own random numbers."""

    folder: Path
    short: bool
    random: Random


class Verdict(NamedTuple):
    """What a fault has found. Every notification is acted on, lost or interrupted.

    `problems` are broken promises, each a sentence; `remark` is for the table.
    """

    emitted: int
    acted_on: int
    lost: int = 0
    twice: int = 0
    interrupted: int = 0
    problems: tuple[str, ...] = ()
    remark: str = ""

    def and_also(self, *problems: str | None, remark: str = "") -> Verdict:
        """With these problems, those that are there, and this remark."""
        found = tuple(problem for problem in problems if problem)
        return self._replace(problems=self.problems + found, remark=remark or self.remark)


def unless(is_kept: object, problem: str) -> str | None:
    """The problem, unless the promise was kept."""
    return None if is_kept else problem


def total(verdicts: Sequence[Verdict], remark: str = "") -> Verdict:
    """Several rounds of a fault as one."""
    sums = (sum(counts) for counts in zip(*(verdict[:5] for verdict in verdicts), strict=True))
    emitted, acted_on, lost, twice, interrupted = sums
    problems = tuple(problem for verdict in verdicts for problem in verdict.problems)
    return Verdict(emitted, acted_on, lost, twice, interrupted, problems, remark)


def judge(
    folder: Path,
    emitted: Iterable[str],
    hooks: Sequence[str] = ("once", "again"),
    *,
    traps: Counter[str] | None = None,
    may_lose: bool = False,
    may_repeat: bool = False,
    keeps_entries: bool = True,
) -> Verdict:
    """What has become of all that was emitted. `traps` are those received, by name.

    What the README says may be lost or done twice is counted, and is no problem. `keeps_entries` is
    False where the fault took the journal away; then the notes alone are judged.
    """
    found = notes(folder)
    for name, count in (traps or Counter()).items():
        found[Note("trap", "begun", name)] = found[Note("trap", "done", name)] = count
    entries: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in read_journal(folder) if keeps_entries else ():
        if entry.source != HOOK_FAILED:
            entries[entry.execution_id or ""].append(entry)
    counts = Counter[str]()
    problems = []
    for name in emitted:
        fate, told = _fate(name, hooks, entries[name], found, keeps_entries)
        counts[fate] += 1
        is_twice = any("twice" in problem for problem in told)
        counts["twice"] += is_twice
        if not (may_lose and fate == "lost") and not (may_repeat and is_twice):
            problems += told
    return Verdict(
        sum(counts[fate] for fate in ("acted on", "lost", "interrupted")),
        counts["acted on"],
        counts["lost"],
        counts["twice"],
        counts["interrupted"],
        tuple(problems),
    )


def _fate(
    name: str, hooks: Sequence[str], entries: Sequence[Entry], found: Counter[Note], keeps_entries: bool
) -> tuple[str, list[str]]:
    """One word for a notification, and what is wrong about it."""
    problems = []
    if len(entries) > 1:
        problems.append(f"{name} is in the journal twice, as {[entry.id for entry in entries]}")
    runs = {run.hook: run for entry in entries for run in entry.runs}
    fates = set()
    for hook in hooks:
        begun, done = (found[Note(hook, what, name)] for what in ("begun", "done"))
        run = runs.get(hook) if keeps_entries else None
        fate = _fate_of_run(hook, run, done, keeps_entries)
        fates.add(fate)
        if fate == "lost":
            problems.append(f"{name} is lost for hook {hook}: {done} times done, {_told(run)}")
        if _is_twice(hook, run, begun, done):
            problems.append(
                f"hook {hook} ran twice for {name}: {begun} times begun, {done} times done,"
                f" {_told(run)}"
            )
    return next(fate for fate in ("lost", "interrupted", "acted on") if fate in fates), problems


def _told(run: Run | None) -> str:
    if run is None:
        return "the journal does not tell"
    return f"the journal has {run.state} after {[attempt.state for attempt in run.attempts]}"


def _fate_of_run(hook: str, run: Run | None, done: int, keeps_entries: bool) -> str:
    if not keeps_entries:
        return "acted on" if done else "lost"
    if run is not None and run.state == "interrupted" and hook == _ONCE:
        return "interrupted"
    return "acted on" if run is not None and run.state == "done" and done else "lost"


def _is_twice(hook: str, run: Run | None, begun: int, done: int) -> bool:
    """Whether it ran although it had been done, or ran again although it must not.

    What was begun when its listener died may be done by the time the next listener runs it again, so
    a second note of a repeatable hook is a broken promise only beyond the attempts that were recorded.
    """
    if hook == _ONCE:
        return begun > 1
    if run is None:
        return done > 1
    return done > len(run.attempts) or any(each.state == "done" for each in run.attempts[:-1])


def judge_hosts(
    folders: Sequence[Path], emitted: Iterable[str], may_repeat: Collection[str] = ()
) -> Verdict:
    """What has become of all that several hosts were given, whose only hook is `once`.

    `may_repeat` are the names that two hosts may have begun: these are counted, and are no problem.
    """
    found = sum(map(notes, folders), Counter[Note]())
    interrupted = {
        entry.execution_id
        for folder in folders
        for entry in read_journal(folder)
        if any(run.state == "interrupted" for run in entry.runs)
    }
    counts = Counter[str]()
    problems = []
    for name in emitted:
        begun, done = (found[Note(_ONCE, what, name)] for what in ("begun", "done"))
        fate = "acted on" if done else "interrupted" if name in interrupted else "lost"
        counts[fate] += 1
        counts["twice"] += begun > 1
        if fate == "lost":
            problems.append(f"{name} is lost: {begun} times begun, and never done")
        if begun > 1 and name not in may_repeat:
            problems.append(f"{name} ran twice: {begun} times begun, {done} times done")
    acted_on, lost = counts["acted on"], counts["lost"]
    emitted_in_all = acted_on + lost + counts["interrupted"]
    return Verdict(
        emitted_in_all, acted_on, lost, counts["twice"], counts["interrupted"], tuple(problems)
    )


def problems_of_follow_ups(folder: Path) -> list[str]:
    """What is wrong with the entries of hook_failed: each failure has one, and its hook was run."""
    failures, follow_ups = Counter[str](), Counter[str]()
    problems = []
    for entry in read_journal(folder):
        name = entry.execution_id or ""
        if entry.source == HOOK_FAILED:
            follow_ups[name] += 1
            problems += [f"{name}: {run}" for run in entry.runs if run.state != "done"]
        else:
            failures[name] += sum(run.state in ("failed", "interrupted") for run in entry.runs)
    for name in failures | follow_ups:
        if failures[name] != follow_ups[name]:
            problems.append(f"{name} has {failures[name]} failures, {follow_ups[name]} were told of")
    return problems


def read_journal(folder: Path) -> list[Entry]:
    """All entries, the oldest first."""
    state = folder / "state"
    if not (state / FILE).exists():
        return []
    journal = Journal(str(state))
    try:
        return journal.newest(Filters(), 10**7)[::-1]
    finally:
        journal.close()


SETTLED_S = 600.0
"""To wait for that at most: on a busy machine thousands of calls take minutes."""


def is_settled(folder: Path, name: str) -> bool:
    """Whether the entry of that name is there, and it and all others are settled."""
    query = (
        "SELECT 1 FROM entries WHERE execution_id = ?"
        " AND NOT EXISTS (SELECT 1 FROM entries WHERE state IN ('pending', 'running')) LIMIT 1"
    )
    return bool(_asked(folder, query, name))


def has_nothing_to_do(folder: Path) -> bool:
    """Whether the inbox is read, and every entry settled."""
    if any(folder.glob("state/inbox/[!.]*")):
        return False
    query = "SELECT NOT EXISTS (SELECT 1 FROM entries WHERE state IN ('pending', 'running'))"
    return _asked(folder, query) == [(1,)]


def last_without_entry(folder: Path) -> str:
    """The numbers of the last event that made no entry: a TICK_5, when nothing else is sent."""
    [(serials,)] = _asked(folder, "SELECT value FROM notes WHERE name = 'serials'") or [("",)]
    return str(serials)


def _asked(folder: Path, query: str, *values: str) -> list[tuple[object, ...]]:
    """Read beside the listener, without making or mending anything."""
    try:
        connection = sqlite3.connect(f"file:{folder}/state/{FILE}?mode=ro", uri=True, timeout=0.1)
    except sqlite3.Error:
        return []
    try:
        return connection.execute(query, values).fetchall()
    except sqlite3.Error:
        return []
    finally:
        connection.close()
