"""What supervisord has read is acted on, whatever becomes of its buffers: the recorder is inside.

Owns the ways in which supervisord loses what waits for the listener. Each fault makes sure that all was
read, and that some of it waits, before it strikes.
"""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable

from tests.faults.double import PROGRAMS, again, doubled
from tests.faults.hooks import Hooks, count_done, names
from tests.faults.ledger import Setting, Verdict, judge, unless
from tests.faults.supervised import Supervised, supervised
from tests.support import wait_for

_SMALL = {"buffer_size": "2"}
_PRIORITY = "7142"  # the shipped section's


def sigterm(setting: Setting) -> Verdict:
    """supervisord is stopped with a backlog, and started again."""
    return _with_a_backlog(setting, lambda supervisord: _started_again(supervisord, signal.SIGTERM))


def sigkill(setting: Setting) -> Verdict:
    """supervisord is killed with a backlog, and started again."""
    return _with_a_backlog(setting, lambda supervisord: _started_again(supervisord, signal.SIGKILL))


def sighup(setting: Setting) -> Verdict:
    """supervisord reloads with a backlog."""
    return _with_a_backlog(setting, Supervised.reload)


def section(setting: Setting) -> Verdict:
    """`supervisorctl update` with a backlog, after the listener's section was changed."""
    return _with_a_backlog(setting, Supervised.change_section)


def _started_again(supervisord: Supervised, signum: int) -> None:
    supervisord.end(signum)
    supervisord.start()


def _with_a_backlog(setting: Setting, strike: Callable[[Supervised], None]) -> Verdict:
    emitted = names(20 if setting.short else 300)
    with supervised(setting.folder, Hooks(seconds=0.01), recorder=True) as supervisord:
        supervisord.send(emitted)
        supervisord.wait_until_recorded(len(emitted))
        wait_for("the first action", lambda: count_done(setting.folder))
        backlog = len(emitted) - count_done(setting.folder)
        strike(supervisord)
        verdict = _judged(supervisord, emitted)
    return verdict.and_also(unless(backlog, "nothing waited"), remark=f"{backlog} waited")


def _judged(supervisord: Supervised, emitted: list[str], hooks: Hooks | None = None) -> Verdict:
    supervisord.send(["the-last"])
    supervisord.wait_until_settled("the-last")
    return judge(supervisord.folder, emitted, (hooks or Hooks()).names)


def small_buffer(setting: Setting) -> Verdict:
    """A buffer for 2 events, and actions of 200 ms."""
    emitted = names(20 if setting.short else 200)
    hooks = Hooks(("once",), seconds=0.2)
    with supervised(setting.folder, hooks, recorder=True, settings=_SMALL) as supervisord:
        supervisord.send(emitted)
        verdict = _judged(supervisord, emitted, hooks)
        discarded = supervisord.discarded()
    return verdict.and_also(
        unless(discarded, "supervisord discarded nothing"),
        remark=f"supervisord discarded {discarded}",
    )


def fatal(setting: Setting) -> Verdict:
    """The listener cannot start, and supervisord has given it up while the events came."""
    emitted = names(20 if setting.short else 1000)
    settings = {**_SMALL, "startsecs": "1", "startretries": "0"}
    broken = Hooks(listener="  no_such_key: 1")
    with supervised(setting.folder, broken, recorder=True, settings=settings) as supervisord:
        wait_for("FATAL", lambda: supervisord.state() == "FATAL")
        supervisord.send(emitted)
        supervisord.wait_until_recorded(len(emitted))
        Hooks().write(setting.folder)
        supervisord.ask("supervisor.startProcess", "conductor-hooks", False)
        verdict = _judged(supervisord, emitted)
        discarded = supervisord.discarded()
    return verdict._replace(remark=f"supervisord discarded {discarded}")


def neighbour(setting: Setting) -> Verdict:
    """A listener of the same priority answers FAIL, so that events come to ours again and again."""
    return beside_a_neighbour(setting, recorder=True)


def beside_a_neighbour(setting: Setting, *, recorder: bool) -> Verdict:
    """Each event is refused there three times, and comes to ours as often again."""
    emitted = names(20 if setting.short else 500)
    command = shlex.join([sys.executable, "-I", str(PROGRAMS / "neighbour.py")])
    more = (
        f"\n[eventlistener:neighbour]\ncommand={command}\nevents=PROCESS_COMMUNICATION\n"
        f"buffer_size=65536\npriority={_PRIORITY}\nstartsecs=0\n"
    )
    refused = 3 * len(emitted)
    with supervised(setting.folder, Hooks(), recorder=recorder, more=more) as supervisord:
        supervisord.wait_until_listening()
        supervisord.send(emitted)
        again = "accepted already"
        wait_for(f"{refused} times {again}", lambda: supervisord.log().count(again) >= refused)
        verdict = _judged(supervisord, emitted)
        named, discarded = supervisord.named_losses(), supervisord.discarded()
    return verdict._replace(
        remark=f"refused {refused} times, {discarded} were discarded, the log names {named}"
    )


def stopped(setting: Setting) -> Verdict:
    """`supervisorctl restart` with a backlog; stopwaitsecs is above the timeouts of one event."""
    emitted = names(7 if setting.short else 100)
    hooks = Hooks(("once",), seconds=0.17, timeout=0.5)
    settings = {"stopwaitsecs": "1"}
    with supervised(setting.folder, hooks, recorder=True, settings=settings) as supervisord:
        supervisord.send(emitted)
        supervisord.wait_until_recorded(len(emitted))
        wait_for("the first action", lambda: count_done(setting.folder, ["once"]))
        supervisord.supervisorctl("restart", "conductor-hooks")
        killed = "with SIGKILL" in supervisord.supervisord_log()
        verdict = _judged(supervisord, emitted, hooks)
    return verdict.and_also(
        unless(not killed, "SIGTERM did not end the listener after the event in hand: it was killed"),
        unless(not verdict.interrupted, "a stop in time has interrupted an action"),
    )


def behind_a_script(setting: Setting) -> Verdict:
    """A script starts the listener without exec, and supervisord's numbers mean nothing to it."""
    emitted = names(20)
    hooks = Hooks(("once",), seconds=0.05)
    script = {"command": "sh -c 'conductor-hooks listen; true'", "stopasgroup": "true"}
    settings = {**_SMALL, **script}
    with supervised(setting.folder, hooks, recorder=True, settings=settings) as supervisord:
        supervisord.send(emitted)
        supervisord.wait_until_recorded(len(emitted))
        supervisord.send(["the-last"])
        supervisord.wait_until_settled("the-last")
        is_told = "does not act on what supervisord records" in supervisord.log()
        verdict = judge(setting.folder, emitted, hooks.names, may_lose=True)
    problem = f"{verdict.lost} recorded events are not acted on, and the log does not say so"
    return verdict.and_also(unless(is_told or not verdict.lost, problem))


def pruned(setting: Setting) -> Verdict:
    """The journal forgets what was done long ago, while supervisord still has it in its file."""
    emitted = names(10)
    hooks = Hooks(listener="  keep_entries: 2")
    with doubled(setting.folder, hooks) as double:
        double.record(emitted)
        double.start()
        double.send(emitted)
        double.tick()
        double.wait_for_answers()
        double.stop()
        double.listen_with()
        double.start()
        double.send(["the-last"])
        double.wait_for_answers()
        double.wait_until_settled("the-last")
    return judge(setting.folder, emitted, keeps_entries=False)


def damaged(setting: Setting) -> Verdict:
    """The journal was damaged and is moved away: what the recorder's newest file has counts as new."""
    emitted = names(10)
    with doubled(setting.folder, Hooks()) as double:
        double.record(emitted)
        double.start()
        double.send(emitted)
        double.wait_for_answers()
        double.stop()
        for part in setting.folder.glob("state/journal.db*"):
            part.rename(setting.folder / part.name)
        double.listen_with()
        double.start()
        double.send(["the-last"])
        double.wait_for_answers()
        double.wait_until_settled("the-last")
    return judge(setting.folder, emitted, keeps_entries=False, may_repeat=True)


def orphaned(setting: Setting) -> Verdict:
    """supervisord dies while the listener starts, with the first event in its pipe already."""
    emitted = names(1)
    with doubled(setting.folder, Hooks()) as double:
        double.record(emitted)
        double.listen_with((sys.executable, str(PROGRAMS / "orphaned.py")))
        double.start()
        double.send(emitted)
        double.wait_for_death()
    with again(setting.folder) as double:
        double.start()
        double.send(["the-last"])
        double.wait_for_answers()
        double.wait_until_settled("the-last")
    return judge(setting.folder, emitted)
