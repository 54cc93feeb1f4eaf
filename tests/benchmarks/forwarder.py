"""From RabbitMQ: how fast messages are kept, how soon they are traps, and what more hosts bring.

Owns the measurements and their tables, on a private broker. What is bare keeps nothing: a consumer
alone, and one that prints frames for the same supervisord and listener. A rate is taken from the first
message that leaves the queue to the last one that is acknowledged, or whose trap has come.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.interpreter import CHECKOUT
from tests.benchmarks.listeners import environment, hooks_conf_path
from tests.benchmarks.machine import rss_bytes
from tests.benchmarks.notifications import LISTENER, PROGRAMS, text, trap_hook
from tests.benchmarks.sink import Sink
from tests.benchmarks.tables import at_least, at_most, judged, median, quantile, ratio, show
from tests.rabbitmq.broker import Broker
from tests.rabbitmq.vhost import Vhost

_SIZE = 620
_LIMIT_S = 300.0
_PACE_S = 0.02

_SLOW = """
hooks:
  - {event_type: "*", implementation: no_op.sleep_20_ms}
"""

_CONF = """\
[supervisord]
nodaemon=true
loglevel=warn
logfile={folder}/supervisord.log
pidfile={folder}/pid
childlogdir={folder}

[eventlistener:conductor-hooks]
command={listener}
events=PROCESS_COMMUNICATION,TICK_5
buffer_size=65536
stdout_logfile=NONE
stderr_logfile={folder}/listener.log

[program:forwarder]
command={forwarder}
stdout_capture_maxbytes=1MB
stdout_logfile=NONE
stderr_logfile={folder}/forwarder.log
"""


class Counts(NamedTuple):
    """How much is measured."""

    messages: int
    paced: int
    slow: int
    runs: int
    few: int
    many: int


_QUICK = Counts(messages=500, paced=20, slow=40, runs=1, few=200, many=1_000)
_ALL = Counts(messages=10_000, paced=500, slow=400, runs=5, few=2_000, many=100_000)


def run(python: str, quick: bool) -> None:
    counts = (
        Counts(500, 20, 40, 1, 200, 1_000) if quick else Counts(10_000, 500, 400, 5, 2_000, 100_000)
    )
    broker = Broker()
    try:
        broker.wait()
        _show_kept(python, broker, counts)
        _show_traps(python, broker, counts)
        _show_hosts(python, broker, counts)
        _show_memory(python, broker, counts)
    finally:
        broker.close()


def _show_kept(python: str, broker: Broker, counts: Counts) -> None:
    """Messages that are acknowledged in a second."""
    names = ("bare, acknowledges each", "bare, in batches", "ours, kept durably")
    rates: list[list[float]] = [[], [], []]
    for _ in range(counts.runs):
        for found, mode in zip(rates, ("each", "multiple", ""), strict=True):
            with tempfile.TemporaryDirectory(prefix="ch-") as folder, _queue(broker) as vhost:
                _publish(vhost, counts.messages)
                command = _bare(python, mode, vhost) if mode else (python, "-m", "listener", "forward")
                with _program(python, command, Path(folder), vhost):
                    found.append(_drained(vhost, counts.messages))
    each, multiple, kept = rates
    rows = [
        (names[0], f"{median(each):,.0f}", "", ""),
        (names[1], f"{median(multiple):,.0f}", "", ""),
        (
            names[2],
            judged(median(kept), at_least(2000)),
            judged(ratio(kept, each), at_least(1.0)),
            judged(ratio(kept, multiple), at_least(0.5)),
        ),
    ]
    columns = ("consumer", "messages/s", "of each", "of batches")
    show(f"from the queue, {_SIZE} bytes, prefetch 200", columns, rows)


def _show_traps(python: str, broker: Broker, counts: Counts) -> None:
    """Messages that become traps in a second, and how soon one does at a pace."""
    rates: dict[str, list[float]] = {"frames": [], "": []}
    middles: dict[str, list[float]] = {"frames": [], "": []}
    lates: dict[str, list[float]] = {"frames": [], "": []}
    for _ in range(counts.runs):
        for mode, found in rates.items():
            with tempfile.TemporaryDirectory(prefix="ch-") as folder, _queue(broker) as vhost:
                with Sink() as sink:
                    _publish(vhost, counts.messages)
                    with _host(python, Path(folder), vhost, trap_hook(sink.address[1]), mode):
                        found.append(_rate_of_traps(sink, counts.messages))
                        moments = _latencies(sink, vhost, counts.paced)
                middles[mode].append(quantile(moments, 0.5) * 1e3)
                lates[mode].append(quantile(moments, 0.99) * 1e3)
    rows = [
        (
            "frames that nobody keeps",
            *(f"{median(each['frames']):,.1f}" for each in (rates, middles, lates)),
        )
    ]
    rows.append(
        (
            "ours, kept durably",
            f"{median(rates['']):,.1f} {judged(ratio(rates[''], rates['frames']), at_least(0.9))}",
            f"{median(middles['']):,.1f} {judged(ratio(middles[''], middles['frames']), at_most(3))}",
            f"{median(lates['']):,.1f} {judged(ratio(lates[''], lates['frames']), at_most(3))}",
        )
    )
    columns = ("forwarder", "traps/s", "p50 at 50/s, ms", "p99 at 50/s, ms")
    show("broker to trap, with supervisord and listener", columns, rows)


def _show_hosts(python: str, broker: Broker, counts: Counts) -> None:
    """What two and four hosts on one queue bring, with an action of 20 ms."""
    rates: dict[int, list[float]] = {1: [], 2: [], 4: []}
    for _ in range(counts.runs):
        for hosts, found in rates.items():
            found.append(_rate_of_hosts(python, broker, hosts, counts.slow * hosts))
    rows = []
    for hosts, found in rates.items():
        of_one = ratio(found, rates[1]) / hosts
        rows.append(
            (f"{hosts}", f"{median(found):,.1f}", judged(of_one, at_least(0.9) if hosts > 1 else None))
        )
    show("hosts on one queue, an action of 20 ms", ("hosts", "actions/s", "of N x one"), rows)


def _rate_of_hosts(python: str, broker: Broker, hosts: int, messages: int) -> float:
    """Actions a second of so many hosts."""
    with _queue(broker) as vhost, ExitStack() as stack:
        folders = [
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ch-"))) for _ in range(hosts)
        ]
        done = folders[0] / "done"
        done.touch()
        for folder in folders:
            stack.enter_context(_host(python, folder, vhost, _SLOW + LISTENER, "", done))
        _wait_for(lambda: vhost.counts().consumers == hosts)
        began = time.perf_counter()
        _publish(vhost, messages)
        _wait_for(lambda: done.stat().st_size >= messages)
        return messages / (time.perf_counter() - began)


def _show_memory(python: str, broker: Broker, counts: Counts) -> None:
    """The forwarder's memory after few messages and after many."""
    with tempfile.TemporaryDirectory(prefix="ch-") as folder, _queue(broker) as vhost:
        command = (python, "-m", "listener", "forward")
        with _program(python, command, Path(folder), vhost) as process:
            megabytes = []
            for count in (counts.few, counts.many - counts.few):
                for start in range(0, count, 5_000):
                    _publish(vhost, min(5_000, count - start))
                    _wait_for(lambda: vhost.counts()[:2] == (0, 0))
                megabytes.append(rss_bytes(process.pid) / 1e6)
    before, after = megabytes
    columns = ("", f"message {counts.few:,}", f"message {counts.many:,}", "difference")
    rows = [("the forwarder", f"{before:.1f}", f"{after:.1f}", judged(after - before, at_most(2)))]
    show("memory: resident MB of the forwarder", columns, rows)


@contextmanager
def _queue(broker: Broker) -> Iterator[Vhost]:
    """A virtual host with a manager's queue."""
    name = broker.add_vhost()
    vhost = Vhost(broker, name, broker.port, broker.tls_port, broker.mutual_tls_port)
    vhost.declare()
    try:
        yield vhost
    finally:
        broker.delete_vhost(vhost.name)


def _publish(vhost: Vhost, count: int) -> None:
    """As a manager does, each message with an execution of its own."""
    value = json.loads(text(_SIZE))
    bodies = []
    for _ in range(count):
        value["context"]["execution_id"] = str(uuid.uuid4())
        bodies.append(json.dumps(value))
    vhost.publish(*bodies)


def _bare(python: str, mode: str, vhost: Vhost) -> tuple[str, ...]:
    url = f"amqp://{vhost.user}:{vhost.password}@{vhost.host}:{vhost.port}/{vhost.name}"
    return (python, str(PROGRAMS / "consumer.py"), mode, url)


def _environment(python: str, folder: Path, vhost: Vhost, hooks: str) -> dict[str, str]:
    """With a hooks.conf that names the broker, and a state directory."""
    forward = f'\nforward: {{hosts: ["{vhost.host}:{vhost.port}"], tls: false, vhost: {vhost.name}}}\n'
    path = hooks_conf_path(folder)
    path.write_text(hooks + forward)
    path.chmod(0o600)
    (folder / "state").mkdir(0o700)
    return dict(environment(python, folder))


@contextmanager
def _program(
    python: str, command: Sequence[str], folder: Path, vhost: Vhost
) -> Iterator[subprocess.Popen[bytes]]:
    """A consumer by itself; nobody reads what it prints."""
    env = _environment(python, folder, vhost, "hooks: []")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env=env, cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=log
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def _host(
    python: str, folder: Path, vhost: Vhost, hooks: str, mode: str, done: Path | None = None
) -> Iterator[None]:
    """A supervisord with a listener, and our forwarder or a bare one (`mode`)."""
    ours = (python, "-m", "listener")
    forwarder = _bare(python, mode, vhost) if mode else (*ours, "forward")
    conf = folder / "supervisord.conf"
    conf.write_text(
        _CONF.format(
            folder=folder, listener=shlex.join((*ours, "listen")), forwarder=shlex.join(forwarder)
        )
    )
    env = {**_environment(python, folder, vhost, hooks), "BENCHMARK_DONE": str(done)}
    process = subprocess.Popen(
        [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", conf],
        env=env,
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def _drained(vhost: Vhost, count: int) -> float:
    """Messages a second, from the first that has left the queue."""
    _wait_for(lambda: vhost.counts().ready < count)
    left = sum(vhost.counts()[:2])
    began = time.perf_counter()
    _wait_for(lambda: vhost.counts()[:2] == (0, 0))
    return left / (time.perf_counter() - began)


def _rate_of_traps(sink: Sink, count: int) -> float:
    _wait_for(lambda: sink.count() > 0)
    before, began = sink.count(), time.perf_counter()
    _wait_for(lambda: sink.count() >= count)
    return (count - before) / (time.perf_counter() - began)


def _latencies(sink: Sink, vhost: Vhost, count: int) -> list[float]:
    """Seconds from each publication at a pace to its trap."""
    before = sink.count()
    came: list[float] = []

    def watch() -> None:
        while len(came) < count:
            came.extend([time.perf_counter()] * (sink.count() - before - len(came)))
            time.sleep(0.0002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    sent = []
    value = json.loads(text(_SIZE))
    with vhost.channel() as channel:
        for number in range(count):
            value["context"]["execution_id"] = str(number)
            sent.append(time.perf_counter())
            channel.basic_publish("cloudify-events-topic", "events.hooks", json.dumps(value))
            channel.connection.sleep(_PACE_S)
    watcher.join(_LIMIT_S)
    return [there - here for here, there in zip(sent, came, strict=True)]


def _wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {_LIMIT_S:g} s in vain")
        time.sleep(0.002)
