"""One trap, from hook context to sent datagram, beside the least and the usual ways.

Owns the measurement and its table. All ways take turns in this process and send to the same socket on
the loopback device; ratios are of CPU time.
"""

from __future__ import annotations

import asyncio
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pysnmp.hlapi.v3arch.asyncio import (
    CommunityData,
    ContextData,
    SnmpEngine,
    UdpTransportTarget,
    send_notification,
)
from pysnmp.proto import rfc1902
from pysnmp.smi.builder import MibBuilder
from pysnmp.smi.view import MibViewController

from listener.actions import Surroundings
from listener.actions.snmp_trap.action import SnmpTrapAction
from listener.hooks.settings import ListenerSettings
from listener.model.timestamp import unix_seconds
from listener.snmp import mib
from tests.benchmarks.libsnmp import Libsnmp
from tests.benchmarks.machine import LISTENER_CORE, on_core
from tests.benchmarks.notifications import call, trap_hook, v3_trap_hook
from tests.benchmarks.sink import Sink
from tests.benchmarks.tables import Wanted, at_least, at_most, judged, median, ratio, show

_SENDTO = "sendto, datagram ready"
_OURS = "ours"
_ENGINE_FOR_EACH = "pysnmp, an engine for each"


class Way(NamedTuple):
    """One way to send a trap, and how often in a repetition; `send` gives the cost of one."""

    name: str
    cost: Callable[[int], Cost]
    sends: int


class Cost(NamedTuple):
    """µs a trap."""

    wall: float
    cpu: float


def run(_python: str, quick: bool) -> None:
    repetitions, factor = (2, 1) if quick else (11, 10)
    with Sink() as sink, on_core(LISTENER_CORE), _ways(sink, factor) as ways:
        costs: dict[str, list[Cost]] = {way.name: [] for way in ways}
        for repetition in range(repetitions + 1):
            for way in ways:
                before = sink.count()
                cost = way.cost(way.sends)
                if (came := sink.count() - before) != way.sends:
                    raise RuntimeError(f"{way.name}: {came} traps came, expected {way.sends}")
                if repetition:
                    costs[way.name].append(cost)
    _show(repetitions, ways, costs)


@contextmanager
def _ways(sink: Sink, factor: int) -> Iterator[Sequence[Way]]:
    host, port = sink.address
    attempt = call(trap_hook(port), 300, time.time())
    folder = tempfile.TemporaryDirectory(prefix="ch-")
    ours = SnmpTrapAction(Surroundings(ListenerSettings(), folder.name))
    libsnmp = Libsnmp.made_in(Path(folder.name))
    attempt_3 = call(v3_trap_hook(port), 300, time.time())
    ours.run(attempt)
    datagram = sink.drain()
    bare = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    kept = _Pysnmp((host, port))
    context = attempt.hook_context
    ways = [
        Way(_SENDTO, _here(lambda: bare.sendto(datagram, (host, port))), 500 * factor),
        Way(_OURS, _here(lambda: ours.run(attempt)), 200 * factor),
        Way("ours, version 3, authPriv", _here(lambda: ours.run(attempt_3)), 20 * factor),
        Way("pysnmp, one engine kept", _here(lambda: kept.send(context)), 10 * factor),
        Way(_ENGINE_FOR_EACH, _here(lambda: _send_once((host, port), context)), factor),
    ]
    if libsnmp:
        ways.insert(1, Way("libsnmp in C", lambda sends: Cost(*libsnmp.send("trap", port, sends)),
                           200 * factor))  # fmt: skip
    try:
        yield ways
    finally:
        folder.cleanup()
        kept.close()
        bare.close()
        ours.close()


def _here(send: Callable[[], object]) -> Callable[[int], Cost]:
    """The cost of what is sent by this process."""

    def cost(sends: int) -> Cost:
        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        for _ in range(sends):
            send()
        cpu, wall = time.process_time_ns() - cpu, time.perf_counter_ns() - wall
        return Cost(wall / 1000 / sends, cpu / 1000 / sends)

    return cost


class _Pysnmp:
    """pysnmp's high-level interface, in the way that costs it least: its MIB is not looked at."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)  # pysnmp asks for the current one
        self._engine: Any = SnmpEngine()
        mibs = MibBuilder()
        # Where pysmi is installed, as for our tests, an engine would build a parser of MIBs for itself.
        mibs.set_mib_compiler(object(), "")
        self._engine.cache["mibViewController"] = MibViewController(mibs)
        self._community = CommunityData("public")
        self._target: Any = self._loop.run_until_complete(UdpTransportTarget.create(address))

    def send(self, context: Any) -> None:
        self._loop.run_until_complete(
            send_notification(
                self._engine,
                self._community,
                self._target,
                ContextData(),
                "trap",
                *_varbinds(context),
                lookupMib=False,
            )
        )

    def close(self) -> None:
        self._engine.close_dispatcher()
        self._loop.run_until_complete(asyncio.sleep(0))  # lets its transport close
        self._loop.close()


def _send_once(address: tuple[str, int], context: Any) -> None:
    once = _Pysnmp(address)
    try:
        once.send(context)
    finally:
        once.close()


def _varbinds(context: Any) -> list[tuple[Any, Any]]:
    """The same eight as ours."""
    oid = rfc1902.ObjectIdentifier
    values = [
        (mib.SYS_UP_TIME_0, rfc1902.TimeTicks(0)),
        (mib.SNMP_TRAP_OID_0, oid(mib.NOTIFICATIONS[context["event_type"]][1])),
        (mib.OBJECTS["cloudifyExecutionID"], rfc1902.OctetString(context["execution_id"])),
        (mib.OBJECTS["cloudifyWorkflowName"], rfc1902.OctetString(context["workflow_id"])),
        (mib.OBJECTS["cloudifyTenantName"], rfc1902.OctetString(context["tenant_name"])),
        (mib.OBJECTS["cloudifyDeploymentID"], rfc1902.OctetString(context["deployment_id"])),
        (mib.OBJECTS["cloudifyTimeStamp"], rfc1902.Counter64(unix_seconds(context["timestamp"]))),
        (
            mib.OBJECTS["cloudifyWorkflowParameters"],
            rfc1902.OctetString(str(context["execution_parameters"])),
        ),
    ]
    return [(oid(name), value) for name, value in values]


def _show(repetitions: int, ways: Sequence[Way], costs: dict[str, list[Cost]]) -> None:
    cpu = {name: [cost.cpu for cost in every] for name, every in costs.items()}
    wanted: dict[str, Wanted] = {_OURS: at_most(8)}
    rows = []
    for way in ways:
        middle = Cost(*map(median, zip(*costs[way.name], strict=True)))
        of_sendto = judged(ratio(cpu[way.name], cpu[_SENDTO]), wanted.get(way.name))
        of_ours = ratio(cpu[way.name], cpu[_OURS])
        shown = judged(of_ours, at_least(1000) if way.name == _ENGINE_FOR_EACH else None)
        rows.append((way.name, f"{middle.wall:,.1f}", f"{middle.cpu:,.1f}", of_sendto, shown))
    show(
        f"traps: µs for one, from hook context to sent datagram, repetitions: {repetitions}",
        ("way", "wall µs", "CPU µs", "of sendto's CPU", "of ours"),
        rows,
    )
