"""Several hosts on one queue of RabbitMQ, of which one dies wholly and comes back later.

Owns what the README promises of a host's death under `acknowledge: kept` and `acted`, and of the one
host that a queue with `single_active` serves. Every action notes its beginning, so that twice is seen.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from tests.faults import processes
from tests.faults.hooks import Hooks, names, notes_in_order
from tests.faults.host import Host, forward, hosts, publish, wait_until_consuming, wait_until_over
from tests.faults.ledger import Setting, Verdict, has_nothing_to_do, judge_hosts, read_journal, unless
from tests.faults.rabbitmq import names_of, parts
from tests.rabbitmq.proxy import Proxy
from tests.rabbitmq.vhost import QUEUE, Vhost
from tests.support import wait_for

_PREFETCH = {"kept": 200, "acted": 20}
_OURS = "conductor-hooks"


class _Death(NamedTuple):
    """What a host had begun when it died: the last ones, and those that had not ended."""

    host: Host
    last: Sequence[str]
    in_hand: set[str]

    @property
    def problem(self) -> str | None:
        """What its log does not name when it is back."""
        unnamed = self.in_hand - self.host.named()
        return unless(not unnamed, f"the log does not name {unnamed}, which had begun")


def kept(count: int, setting: Setting, vhost: Vhost) -> Verdict:
    """What a dead host has in its inbox waits for its return; the others get the rest."""
    emitted = names_of(setting)
    twice = 0
    with hosts(setting.folder, *[_hooks(vhost, "kept")] * count) as some:
        folders = [host.folder for host in some]
        for part in _rounds(setting, emitted):
            with _dead_in_the_middle(setting, vhost, setting.random.choice(some), part, some):
                pass
            wait_until_over(vhost, some)
            twice = max(twice, judge_hosts(folders, part, part).twice)
        verdict = judge_hosts(folders, emitted, emitted)
    problem = f"{twice} ran twice after one death, more than a host has without an acknowledgement"
    return verdict.and_also(unless(twice <= _PREFETCH["kept"], problem))


def acted(count: int, setting: Setting, vhost: Vhost) -> Verdict:
    """The others act on all that a dead host had not begun, before it is back."""
    emitted = names_of(setting)
    with hosts(setting.folder, *[_hooks(vhost, "acted")] * count) as some:
        deaths: list[_Death] = []
        problems: list[str | None] = []
        for part in _rounds(setting, emitted):
            with _dead_in_the_middle(setting, vhost, setting.random.choice(some), part, some) as death:
                problems += judge_hosts([host.folder for host in some], part, part).problems
            wait_until_over(vhost, some)
            deaths.append(death)
            problems.append(death.problem)
    return _judged_of(some, emitted, deaths).and_also(*problems)


def acted_cut(setting: Setting, vhost: Vhost) -> Verdict:
    """A host is cut off, but lives: what it has not begun goes to the other one."""
    emitted = names_of(setting)
    with Proxy(vhost.port) as network:
        there = [f"{vhost.host}:{network.port}"]
        hooks = _hooks(vhost, "acted", hosts=there), _hooks(vhost, "acted")
        with hosts(setting.folder, *hooks) as some:
            lonely = some[0]
            may_repeat: set[str] = set()
            for part in _rounds(setting, emitted):
                before = lonely.connections()
                _publish_until_some_are_done(setting, vhost, part[: len(part) // 2], lonely)
                since = max(0, len(_begun(lonely)) - _PREFETCH["acted"])
                network.cut()
                publish(vhost, part[len(part) // 2 :])
                wait_until_over(vhost, some)
                may_repeat |= set(_begun(lonely)[since:]) - _given_back(lonely)
                network.mend()
                wait_until_consuming([lonely], before)
                wait_until_over(vhost, some)
            given_back = _given_back(lonely)
        verdict = judge_hosts([host.folder for host in some], emitted, may_repeat)
    return verdict.and_also(
        unless(given_back or setting.short, "nothing was given back"),
        remark=f"{len(given_back)} given back",
    )


def single_active(setting: Setting, vhost: Vhost) -> Verdict:
    """One host gets all, in order; when it dies, the other one takes over where it was."""
    emitted = names_of(setting)
    hooks = _hooks(vhost, "acted", queue=_OURS, single_active=True)
    with hosts(setting.folder, hooks, hooks) as some:
        active, standby = some
        deaths: list[_Death] = []
        problems: list[str | None] = []
        for part in _rounds(setting, emitted):
            begun = len(_begun(standby))
            with _dead_in_the_middle(setting, vhost, active, part, some, _OURS) as death:
                problems.append(_problem_of_takeover(death, _begun(standby)[begun], emitted))
            wait_until_over(vhost, some, _OURS)
            deaths.append(death)
            problems.append(death.problem)
            active, standby = standby, active
        problems += [_problem_of_order(host, emitted) for host in some]
    return _judged_of(some, emitted, deaths).and_also(*problems)


def stopped(setting: Setting, vhost: Vhost) -> Verdict:
    """A forwarder and a listener in turn are stopped (SIGSTOP): the other host gets what is there."""
    rounds = 1 if setting.short else 3
    emitted = names(200 * rounds)
    hooks = _hooks(vhost, "acted")._replace(seconds=0.02)
    with hosts(setting.folder, hooks, hooks) as some:
        victim, other = some
        strikes = [victim.wait_for_forwarder, victim.wait_for_listener] * rounds
        may_repeat: set[str] = set()
        took: list[float] = []
        held = 0
        for part, strike in zip(parts(emitted, len(strikes)), strikes, strict=True):
            before = victim.connections()
            _publish_until_some_are_done(setting, vhost, part, victim)
            with _stopped(strike()):
                since = time.monotonic()
                wait_for("all others", lambda: _has_the_rest(vhost, other))
                held += vhost.counts().unacknowledged
                wait_until_over(vhost, [other])
                took.append(time.monotonic() - since)
            wait_until_consuming([victim], before)
            wait_until_over(vhost, some)
            may_repeat |= set(_begun(victim)[-_PREFETCH["acted"] :])
        verdict = judge_hosts([host.folder for host in some], emitted, may_repeat)
    seconds = [" ".join(f"{each:.0f}" for each in took[number::2]) for number in (0, 1)]
    return verdict.and_also(
        unless(held, "what was stopped had no message without an acknowledgement"),
        remark="forwarder: over after {} s, listener: after {} s".format(*seconds),
    )


def _has_the_rest(vhost: Vhost, host: Host) -> bool:
    return vhost.counts().ready == 0 and has_nothing_to_do(host.folder)


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    processes.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        processes.kill(pid, signal.SIGCONT)


@contextmanager
def _dead_in_the_middle(
    setting: Setting,
    vhost: Vhost,
    victim: Host,
    part: Sequence[str],
    some: Sequence[Host],
    queue: str = QUEUE,
) -> Iterator[_Death]:
    """Publish; the victim is dead for the time of a `with`, where the others have done their work."""
    half = len(part) // 2
    _publish_until_some_are_done(setting, vhost, part[:half], victim)
    victim.die()
    publish(vhost, part[half:])
    wait_until_over(vhost, [host for host in some if host is not victim], queue)
    begun = _begun(victim)
    ended = {note.name for note in notes_in_order(victim.folder) if note.what == "done"}
    yield _Death(victim, begun[-_PREFETCH["acted"] :], set(begun) - ended)
    before = victim.connections()
    victim.start()
    wait_until_consuming([victim], before)


def _publish_until_some_are_done(
    setting: Setting, vhost: Vhost, some: Sequence[str], host: Host
) -> None:
    """Until this host has begun some of them, no more than it gets for sure."""
    wanted = len(_begun(host)) + setting.random.randrange(1, _PREFETCH["acted"])
    publish(vhost, some)
    wait_for("some actions", lambda: len(_begun(host)) >= wanted)


def _given_back(host: Host) -> set[str]:
    """What it must not begin any more."""
    return {entry.execution_id or "" for entry in read_journal(host.folder) if entry.state == "dropped"}


def _begun(host: Host) -> list[str]:
    return [note.name for note in notes_in_order(host.folder) if note.what == "begun"]


def _judged_of(some: Sequence[Host], emitted: Sequence[str], deaths: Sequence[_Death]) -> Verdict:
    """Twice may run what had no acknowledgement: the last ones that a dead host had begun."""
    may_repeat = {name for death in deaths for name in death.last}
    named = set().union(*(host.named() for host in some))
    verdict = judge_hosts([host.folder for host in some], emitted, may_repeat)
    return verdict._replace(remark=f"{len(deaths)} deaths, {len(named)} named as begun")


def _problem_of_takeover(death: _Death, first: str, emitted: Sequence[str]) -> str | None:
    after = emitted[emitted.index(death.last[-1]) + 1]
    return unless(first in (*death.last, after), f"after {death.last[-1]} came {first}")


def _problem_of_order(host: Host, emitted: Sequence[str]) -> str | None:
    """Whether the host has begun anything before what was published earlier."""
    order = {name: number for number, name in enumerate(emitted)}
    numbers = [order[name] for name in _begun(host)]
    return unless(numbers == sorted(numbers), f"host {host.folder.name} has not kept the order")


def _hooks(vhost: Vhost, acknowledge: str, **more: object) -> Hooks:
    return Hooks(("once",), seconds=0.005, forward=forward(vhost, acknowledge=acknowledge, **more))


def _rounds(setting: Setting, emitted: Sequence[str]) -> Iterator[Sequence[str]]:
    return parts(emitted, 1 if setting.short else 4)
