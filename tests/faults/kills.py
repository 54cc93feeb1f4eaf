"""The listener killed with -9 at random, under a real supervisord without a recorder.

Owns the moments. What supervisord still has in its buffer waits there; what the listener has accepted
stands in its journal.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from tests.faults import processes
from tests.faults.hooks import NOTES, Hooks, names
from tests.faults.ledger import Setting, Verdict, judge
from tests.faults.supervised import Supervised, supervised

_COMMAND = f"""\
  - event_type: '*'
    name: once
    implementation: command
    inputs:
      argv:
      - sh
      - -c
      - >-
        echo once begun $CONDUCTOR_EXECUTION_ID >> ${NOTES};
        sleep 0.1;
        echo once done $CONDUCTOR_EXECUTION_ID >> ${NOTES}
"""


def first_second(setting: Setting) -> Verdict:
    """Killed 0 to 1 s after its start, time and again, while 200 events wait."""
    kills, seconds = (3, 0.003) if setting.short else (60, 0.04)
    emitted = names(200)
    with supervised(setting.folder, Hooks(seconds=seconds)) as supervisord:
        supervisord.send(emitted)
        for _ in range(kills):
            _kill_after(supervisord, setting.random.uniform(0, 1))
        return _judged(supervisord, emitted)


def random_kills(setting: Setting) -> Verdict:
    """Killed at any time while events come."""
    kills, events = (15, 600) if setting.short else (200, 10_000)
    hooks = Hooks(seconds=0.0005)
    with supervised(setting.folder, hooks) as supervisord:
        return killed(supervisord, setting, kills, names(events), hooks.names, 0.25)


def commands(setting: Setting) -> Verdict:
    """The same while a program runs that must not run twice."""
    kills, events = (6, 30) if setting.short else (100, 500)
    with supervised(setting.folder, Hooks((), more=_COMMAND)) as supervisord:
        return killed(supervisord, setting, kills, names(events), ("once",), 1.0)


def killed(
    supervisord: Supervised,
    setting: Setting,
    kills: int,
    emitted: list[str],
    hooks: Sequence[str],
    most_s: float,
) -> Verdict:
    """Kill a listener for each part of the events, 0.1 s to `most_s` after its start; the verdict."""
    events = len(emitted)
    for number in range(kills):
        supervisord.send(emitted[number * events // kills : (number + 1) * events // kills])
        _kill_after(supervisord, setting.random.uniform(0.1, most_s))
    return _judged(supervisord, emitted, hooks)


def _kill_after(supervisord: Supervised, seconds: float) -> None:
    """Kill the listener so long after its start; the moment is what is tried, nothing is awaited."""
    pid = supervisord.wait_for_listener()
    time.sleep(seconds)
    processes.kill(pid)
    supervisord.wait_for_listener(other_than=[pid])


def _judged(
    supervisord: Supervised, emitted: list[str], hooks: Sequence[str] = Hooks().names
) -> Verdict:
    supervisord.send(["the-last"])
    supervisord.wait_until_settled("the-last")
    verdict = judge(supervisord.folder, emitted, hooks)
    killed = supervisord.supervisord_log().count("terminated by SIGKILL")
    return verdict._replace(remark=f"killed {killed} times")
