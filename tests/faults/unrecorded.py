"""What the README says can be lost before the journal has it: it is lost here, and told of.

Owns one fault for each row of "What can still be lost" that no recorder prevents or none is there to
prevent. What is lost breaks no promise; that nobody names what could be named does.
"""

from __future__ import annotations

import re
import shlex
import signal
import sys
from collections.abc import Callable
from functools import partial

from tests.faults import processes
from tests.faults.hooks import Hooks, all_printed, count_done, names, printed
from tests.faults.ledger import Setting, Verdict, judge, read_journal, unless
from tests.faults.recorded import beside_a_neighbour
from tests.faults.supervised import Supervised, supervised
from tests.support import wait_for


def small_buffer(setting: Setting) -> Verdict:
    """A buffer for 2 events, and actions of 200 ms: the log and the history say how many were lost."""
    emitted = names(20 if setting.short else 200)
    hooks = Hooks(("once",), seconds=0.2)
    with supervised(setting.folder, hooks, settings={"buffer_size": "2"}) as supervisord:
        supervisord.send(["the-first"])  # what a new journal sees first tells it of no loss
        supervisord.wait_until_settled("the-first")
        supervisord.send(emitted)
        verdict = _judged(supervisord, emitted, hooks)
        named, discarded = supervisord.named_losses(), supervisord.discarded()
        told = _told_in_history(setting)
    return verdict.and_also(
        unless(verdict.lost, "nothing was lost"),
        unless(named == discarded, f"{discarded} were discarded, the log names {named}"),
        unless(told == discarded, f"{discarded} were discarded, the history names {told}"),
        remark=f"the log and the history name {named}",
    )


def _told_in_history(setting: Setting) -> int:
    errors = [entry.error for entry in read_journal(setting.folder) if entry.state == "dropped"]
    found = (re.search(r"discarded (\d+) events", error) for error in errors)
    return sum(int(match[1]) for match in found if match)


def supervisord_ends(setting: Setting) -> Verdict:
    """It reloads, is stopped and is killed with a backlog, and nobody is left to name the loss."""
    return _with_a_backlog(
        setting,
        Supervised.reload,
        lambda supervisord: _started_again(supervisord, signal.SIGTERM),
        lambda supervisord: _started_again(supervisord, signal.SIGKILL),
    )


def section(setting: Setting) -> Verdict:
    """`supervisorctl update` with a backlog, after the listener's section was changed."""
    return _with_a_backlog(setting, Supervised.change_section)


def _started_again(supervisord: Supervised, signum: int) -> None:
    supervisord.end(signum)
    supervisord.start()


def _with_a_backlog(setting: Setting, *strikes: Callable[[Supervised], None]) -> Verdict:
    each = 20 if setting.short else 300
    emitted = names(each * len(strikes))
    hooks = Hooks(seconds=0.01)
    with supervised(setting.folder, hooks) as supervisord:
        for number, strike in enumerate(strikes):
            done = count_done(setting.folder)
            supervisord.send(emitted[number * each : (number + 1) * each])
            wait_for("an action", partial(_is_more_done, setting, done))
            strike(supervisord)
        return _judged(supervisord, emitted, hooks)


def _is_more_done(setting: Setting, done: int) -> bool:
    return count_done(setting.folder) > done


def _judged(supervisord: Supervised, emitted: list[str], hooks: Hooks) -> Verdict:
    supervisord.send(["the-last"])
    supervisord.wait_until_settled("the-last")
    return judge(supervisord.folder, emitted, hooks.names, may_lose=True)


def neighbour(setting: Setting) -> Verdict:
    """A listener of the same priority answers FAIL: ours gets events again, and in another order."""
    verdict = beside_a_neighbour(setting, recorder=False)
    is_true = "0 were discarded, the log names 0" in verdict.remark
    return verdict.and_also(unless(is_true, "the log names a loss where nothing was discarded"))


def capture(setting: Setting) -> Verdict:
    """A notification above stdout_capture_maxbytes is kept as unreadable, and an ERROR says why."""
    large = printed("e-0", text="x" * 6000)
    with supervised(setting.folder, Hooks(), capture="2KB") as supervisord:
        supervisord.send_in_pieces(large, 1000)
        supervisord.send(["e-1"])
        verdict = _judged(supervisord, names(2), Hooks())
        kept = [entry for entry in read_journal(setting.folder) if entry.state == "unreadable"]
        is_told = "raise stdout_capture_maxbytes" in supervisord.log()
    return verdict.and_also(
        unless(verdict.lost == len(kept) == 1, f"{len(kept)} are kept as unreadable, not 1"),
        unless(is_told, "the log does not name stdout_capture_maxbytes"),
        remark="kept as unreadable, with an ERROR",
    )


def program_exits(setting: Setting) -> Verdict:
    """A program exits right after it wrote more than a pipe holds."""
    emitted = names(500 if setting.short else 2500)
    command = f"cat {setting.folder}/burst"
    with supervised(setting.folder, _ONE, more=_burst(setting, emitted, command)) as supervisord:
        wait_for("its end", lambda: supervisord.has_logged("exited: burst"))
        return _judged(supervisord, emitted, _ONE)


def program_killed(setting: Setting) -> Verdict:
    """A program is killed while it writes; it does not end before, however late the listener is."""
    emitted = names(200 if setting.short else 2000)
    slowly = (
        "import time; [print(l, end='', flush=time.sleep(.002) is None)"
        " for l in list(open('{}'))[:-1]]; time.sleep(3600)"
    )
    command = shlex.join([sys.executable, "-c", slowly.format(setting.folder / "burst")])
    with supervised(setting.folder, _ONE, more=_burst(setting, emitted, command)) as supervisord:
        count = setting.random.randrange(1, len(emitted) // 2)
        wait_for("some actions", lambda: count_done(setting.folder, _ONE.names) >= count)
        processes.kill(supervisord.ask("supervisor.getProcessInfo", "burst")["pid"])
        verdict = _judged(supervisord, emitted, _ONE)
    return verdict.and_also(unless(verdict.lost, "nothing was lost"))


_ONE = Hooks(("once",))


def _burst(setting: Setting, emitted: list[str], command: str) -> str:
    (setting.folder / "burst").write_bytes(all_printed(emitted))
    return (
        f"\n[program:burst]\ncommand={command}\nstartsecs=0\nautorestart=false\n"
        "stdout_capture_maxbytes=1MB\nstdout_logfile=NONE\n"
    )
