"""Everything that ends a listener or a supervisord, in any order and at any moment, with the recorder.

Owns the blows. What the other faults show one at a time is mixed here, since what one blow leaves
behind is what the next one meets.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable
from random import Random

from tests.faults import processes
from tests.faults.hooks import Hooks, names
from tests.faults.ledger import Setting, Verdict, judge
from tests.faults.supervised import Supervised, supervised

_LONGEST_S = 0.3


def anything(setting: Setting) -> Verdict:
    """Some events are recorded, then something happens, then the next events come."""
    emitted: list[str] = []
    struck = Counter[str]()
    small = {"buffer_size": "3"} if setting.random.random() < 0.5 else {}
    with supervised(setting.folder, Hooks(seconds=0.004), recorder=True, settings=small) as supervisord:
        for _ in range(3 if setting.short else 120):
            new = names(len(emitted) + setting.random.randrange(5, 50))[len(emitted) :]
            before = supervisord.recorded()
            supervisord.send(new)
            emitted += new
            supervisord.wait_until_recorded(before + len(new))
            time.sleep(setting.random.uniform(0, _LONGEST_S))  # the moment is what is tried
            name = setting.random.choice(list(_BLOWS))
            _BLOWS[name](supervisord, setting.random)
            struck[name] += 1
        supervisord.send(["the-last"])
        supervisord.wait_until_settled("the-last")
        verdict = judge(setting.folder, emitted)
    return verdict._replace(remark=", ".join(f"{count} {name}" for name, count in struck.items()))


def _kill_listener(supervisord: Supervised, _random: Random) -> None:
    _end_listener(supervisord, signal.SIGKILL)


def _stop_listener(supervisord: Supervised, _random: Random) -> None:
    _end_listener(supervisord, signal.SIGTERM)


def _end_listener(supervisord: Supervised, signum: int) -> None:
    pid = supervisord.wait_for_listener()
    processes.kill(pid, signum)
    supervisord.wait_for_listener(other_than=[pid])


def _kill_supervisord(supervisord: Supervised, _random: Random) -> None:
    supervisord.end(signal.SIGKILL)
    supervisord.start()


def _stop_supervisord(supervisord: Supervised, _random: Random) -> None:
    supervisord.wait_for_listener()
    supervisord.end(signal.SIGTERM)
    supervisord.start()


def _kill_both(supervisord: Supervised, random: Random) -> None:
    processes.kill(supervisord.wait_for_listener())
    time.sleep(random.uniform(0, _LONGEST_S))
    _kill_supervisord(supervisord, random)


def _reload(supervisord: Supervised, _random: Random) -> None:
    supervisord.wait_for_listener()
    supervisord.reload()


def _change_section(supervisord: Supervised, random: Random) -> None:
    supervisord.wait_for_listener()
    supervisord.change_section(buffer_size=random.randrange(1, 1000))


_BLOWS: dict[str, Callable[[Supervised, Random], None]] = {
    "listener killed": _kill_listener,
    "listener stopped": _stop_listener,
    "supervisord killed": _kill_supervisord,
    "supervisord stopped": _stop_supervisord,
    "both killed": _kill_both,
    "reloads": _reload,
    "sections changed": _change_section,
}
