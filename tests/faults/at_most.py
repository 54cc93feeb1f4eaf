"""The listener killed with -9 at random while a hook has a limit, and supervisord delivers again.

Owns the rule of the limit, by the times of receipt in the journal: in no window are more runs than it
allows, none is suppressed while there is room, and all that are suppressed are counted for a hook.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing

from listener.model.entry import Entry
from listener.model.notification import HOOK_SUPPRESSED
from listener.state.journal import Journal
from tests.faults.double import Double, listening
from tests.faults.hooks import Hooks, names, notes
from tests.faults.ledger import Setting, Verdict, has_nothing_to_do, judge, read_journal, unless
from tests.support import wait_for

_RUNS, _PER_S = 20, 1.0
_ROUNDS = 5  # from one end of the window to the next
_HOOKS = f"""\
  - {{event_type: '*', name: once, implementation: fault_functions.once, inputs: {{seconds: 0.02}},
     at_most: {_RUNS} per {_PER_S:g}s}}
  - {{event_type: hook_suppressed, name: counted, implementation: fault_functions.counted,
     repeatable: true}}
"""


def at_most(setting: Setting) -> Verdict:
    """The count survives each kill, and what is delivered again is not counted again."""
    kills, size = (6, 25) if setting.short else (200, 25)
    emitted = names(kills * size)
    with listening(setting.folder, Hooks((), more=_HOOKS)) as double:
        for number in range(kills):
            double.send(emitted[number * size : (number + 1) * size])
            if number % _ROUNDS == 0:  # it is killed as it tells of the suppressed ones
                double.wait_for_answers()
                time.sleep(_PER_S)
            double.tick()
            time.sleep(setting.random.uniform(0, 0.5))
            double.kill()
        wait_for("the end of the last window", lambda: _is_over(double))
    return _judged(setting, emitted, kills)


def _is_over(double: Double) -> bool:
    """Whether all events are settled, and no window is counted in any more."""
    double.tick()
    double.wait_for_answers()
    with closing(Journal(str(double.folder / "state"))) as journal:
        return not journal.all_noted_as("at_most ", dict) and has_nothing_to_do(double.folder)


def _judged(setting: Setting, emitted: Sequence[str], kills: int) -> Verdict:
    entries = [entry for entry in read_journal(setting.folder) if entry.source != HOOK_SUPPRESSED]
    above = {entry.execution_id for entry in entries if entry.state == "suppressed"}
    planned = [entry.received_at for entry in entries if entry.state != "suppressed"]
    found = notes(setting.folder)
    told = {note.name: int(note.what) for note in found if note.hook == "counted"}
    return judge(setting.folder, [name for name in emitted if name not in above], ("once",)).and_also(
        *_problems_of_windows(entries, planned),
        unless(not {note.name for note in found} & above, "something ran although it was suppressed"),
        unless(
            sum(told.values()) == len(above),
            f"{len(above)} were suppressed, {sum(told.values())} were told of",
        ),
        remark=f"killed {kills} times, {len(above)} more suppressed, told of in {len(told)} counts",
    )


def _problems_of_windows(entries: Sequence[Entry], planned: Sequence[float]) -> Iterator[str]:
    """Where a window has more runs than it may have, or was not full when something was suppressed."""
    for first, next_one in zip(planned, planned[_RUNS:], strict=False):
        if next_one - first < _PER_S:
            yield f"{_RUNS + 1} runs within {next_one - first:.3f} s"
    for entry in entries:
        recent = sum(0 <= entry.received_at - at < _PER_S for at in planned)
        if entry.state == "suppressed" and recent < _RUNS:
            yield f"{entry.execution_id} was suppressed after {recent} runs"
