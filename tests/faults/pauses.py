"""Everything, or one hook, is paused and resumed while the listener is killed with -9 at random.

Owns the rule of a pause: nothing is lost or done twice, what it has kept runs in the order of its
receipt, and while everything is paused nothing begins.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing

from listener.dispatch.pauses import Pause, begin_pause, end_pause, in_force, is_taken
from listener.state.journal import Journal
from tests.faults.double import Double, listening
from tests.faults.hooks import Hooks, names, notes_in_order
from tests.faults.ledger import Setting, Verdict, judge, unless
from tests.support import wait_for


def pauses(setting: Setting) -> Verdict:
    """The hook `again` is the one that is paused alone, so that `once` shows the order of all."""
    kills, size = (6, 20) if setting.short else (200, 25)
    emitted = names(kills * size)
    with (
        listening(setting.folder, Hooks(seconds=0.001)) as double,
        closing(Journal(str(setting.folder / "state"))) as journal,
    ):
        for number in range(kills):
            double.send(emitted[number * size : (number + 1) * size])
            _change(setting, journal)
            double.tick()
            time.sleep(setting.random.uniform(0, 0.4))
            double.kill()
        late = names(10, "late")
        held = _begun_in_a_pause(double, journal, late)
        for pause in in_force(journal, time.time()):
            end_pause(journal, pause)
        double.tick()
        double.wait_until_settled(late[-1])
    emitted += late
    begun = [note.name for note in notes_in_order(setting.folder) if note[:2] == ("once", "begun")]
    order = sorted(begun, key=emitted.index)
    return judge(setting.folder, emitted).and_also(
        unless(begun == order, "what was kept did not run in order"),
        unless(not held, f"{held} hooks began although everything was paused"),
        remark=f"killed {kills} times",
    )


def _change(setting: Setting, journal: Journal) -> None:
    """Pause what runs, or resume what is paused."""
    hook = setting.random.choice(("", "again"))
    paused = {pause.hook: pause for pause in in_force(journal, time.time())}
    if hook in paused:
        end_pause(journal, paused[hook])
    else:
        begin_pause(journal, Pause("a fault", time.time(), hook))


def _begun_in_a_pause(double: Double, journal: Journal, late: Sequence[str]) -> int:
    """How many hooks begin for what comes after the listener has taken a pause of everything."""
    pause = Pause("a fault", time.time())
    begin_pause(journal, pause)
    double.tick()
    wait_for("the pause", lambda: is_taken(journal, pause))
    before = len(notes_in_order(double.folder))
    double.send(late)
    double.wait_for_answers()
    return len(notes_in_order(double.folder)) - before
