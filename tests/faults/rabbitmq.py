"""A host that takes its notifications from RabbitMQ, while it, the broker or the network breaks.

Owns the faults of one host. Each publishes as a manager does while it breaks things, and judges when
the queue is empty and nothing is left to do.
"""

from __future__ import annotations

import atexit
import functools
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence

from tests.faults import processes
from tests.faults.hooks import Hooks, names
from tests.faults.host import Host, forward, hosts, publish, wait_until_consuming, wait_until_over
from tests.faults.ledger import Setting, Verdict, judge, unless
from tests.faults.storage import no_file_may_grow
from tests.rabbitmq.broker import Broker
from tests.rabbitmq.proxy import Proxy
from tests.rabbitmq.server import SERVER
from tests.rabbitmq.vhost import Vhost, new_vhost
from tests.support import wait_for

Row = Callable[[Setting, Vhost], Verdict]


def on_a_broker(row: Row) -> Callable[[Setting], Verdict]:
    """The fault with a virtual host of the tool's one broker."""

    def fault(setting: Setting) -> Verdict:
        if not os.access(SERVER, os.X_OK):
            return Verdict(0, 0, remark="left out: RabbitMQ is not installed")
        with new_vhost(shared_broker()) as vhost:
            vhost.declare()
            return row(setting, vhost)

    return fault


@functools.cache
def shared_broker() -> Broker:
    """The one of this process, which starts at the first fault and ends with the process."""
    broker = Broker()
    atexit.register(broker.close)
    broker.wait()
    return broker


def parts(emitted: Sequence[str], count: int) -> Iterator[Sequence[str]]:
    """So many pieces, in order."""
    for number in range(count):
        yield emitted[number * len(emitted) // count : (number + 1) * len(emitted) // count]


def kills(setting: Setting, vhost: Vhost) -> Verdict:
    """The forwarder, the listener or supervisord is killed, time and again."""
    count = 6 if setting.short else 30
    strikes = (_kill_forwarder, _kill_listener, _kill_supervisord)
    emitted = names_of(setting)
    with hosts(setting.folder, Hooks(seconds=0.002, forward=forward(vhost))) as [host]:
        for part in parts(emitted, count):
            publish(vhost, part)
            setting.random.choice(strikes)(host, setting.random)
        return _judged(vhost, host, emitted, f"{count} kills")


def _kill_forwarder(host: Host, moment: random.Random) -> None:
    """At any time after its start; the moment is what is tried, nothing is awaited."""
    pid = host.wait_for_forwarder()
    time.sleep(moment.uniform(0, 0.8))
    processes.kill(pid)
    host.wait_for_forwarder(other_than=[pid])


def _kill_listener(host: Host, moment: random.Random) -> None:
    pid = host.wait_for_listener()
    time.sleep(moment.uniform(0, 0.8))
    processes.kill(pid)
    host.wait_for_listener(other_than=[pid])


def _kill_supervisord(host: Host, moment: random.Random) -> None:
    time.sleep(moment.uniform(0, 0.8))
    host.end(signal.SIGKILL)
    host.start()


def broker_down(setting: Setting, vhost: Vhost) -> Verdict:
    """The broker is stopped and killed in turn, and started again."""
    strikes = [vhost.broker.stopped, vhost.broker.killed] * (1 if setting.short else 2)
    emitted = names_of(setting)
    with hosts(setting.folder, Hooks(forward=forward(vhost))) as [host]:
        for strike, part in zip(strikes, parts(emitted, len(strikes)), strict=True):
            publish(vhost, part)
            before = host.connections()
            with strike():
                pass
            wait_until_consuming([host], before)
        return _judged(vhost, host, emitted, f"{len(strikes)} ends of the broker")


def network(setting: Setting, vhost: Vhost) -> Verdict:
    """The network is cut and stalled in turn; in the long form until the forwarder gives it up."""
    emitted = names_of(setting)
    with Proxy(vhost.port) as proxy:
        strikes = [proxy.cut, proxy.stall] * (1 if setting.short else 2)
        there = forward(vhost, hosts=[f"{vhost.host}:{proxy.port}"])
        with hosts(setting.folder, Hooks(forward=there)) as [host]:
            for strike, part in zip(strikes, parts(emitted, len(strikes)), strict=True):
                publish(vhost, part[: len(part) // 2])
                strike()
                publish(vhost, part[len(part) // 2 :])
                time.sleep(setting.random.uniform(0, 2))
                proxy.mend()
            if not setting.short:
                wait_until_over(vhost, [host])  # it is connected
                proxy.stall()
                wait_for("the ERROR", lambda: "two heartbeats" in host.forwarder_log(), 90)
                proxy.mend()
            return _judged(vhost, host, emitted, f"{len(strikes)} cuts and stalls")


def disk_full(setting: Setting, vhost: Vhost) -> Verdict:
    """The forwarder can write nothing for a while."""
    emitted = names_of(setting)
    rounds = 1 if setting.short else 3
    waited = 0
    with hosts(setting.folder, Hooks(forward=forward(vhost))) as [host]:
        for number, part in enumerate(parts(emitted, rounds)):
            publish(vhost, part[: len(part) // 2])
            with no_file_may_grow(host.wait_for_forwarder()):
                publish(vhost, part[len(part) // 2 :])
                _wait_for_errors(host, "cannot be written", number + 1)
                waited += vhost.counts().ready
            wait_until_consuming([host], number + 1)
        return _judged(vhost, host, emitted, f"{waited} waited at the broker").and_also(
            unless(waited, "nothing waited at the broker")
        )


def _wait_for_errors(host: Host, text: str, count: int) -> None:
    wait_for(f"ERRORs: {text}", lambda: host.forwarder_log().count(text) >= count)


def queue_deleted(setting: Setting, vhost: Vhost) -> Verdict:
    """The queue is deleted with what it has, and the forwarder makes it anew."""
    emitted = names_of(setting)
    rounds = 2 if setting.short else 5
    with_it = 0
    with hosts(setting.folder, Hooks(forward=forward(vhost))) as [host]:
        for part in parts(emitted, rounds):
            before = host.connections()
            publish(vhost, part)
            counts = vhost.counts()
            vhost.delete_queue()
            with_it += counts.ready + counts.unacknowledged
            wait_until_consuming([host], before)
        wait_until_over(vhost, [host])
    verdict = judge(setting.folder / "0", emitted, may_lose=True)
    return verdict.and_also(
        unless(verdict.lost <= with_it, f"{verdict.lost} are lost, of which the queue had {with_it}"),
        remark=f"at most {with_it} deleted with the queue, {rounds} times",
    )


def names_of(setting: Setting) -> list[str]:
    """As many as the form of the tool wants."""
    return names(300 if setting.short else 5000)


def _judged(vhost: Vhost, host: Host, emitted: Sequence[str], remark: str) -> Verdict:
    wait_until_over(vhost, [host])
    return judge(host.folder, emitted)._replace(remark=remark)
