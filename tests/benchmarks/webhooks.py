"""One webhook on a kept connection, from hook context to answer, beside a bare request of urllib3.

Owns the measurement and its table; ratios are of wall-clock time. Each way has a server of its own, in
another process.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from urllib3 import PoolManager

from listener.actions import Surroundings
from listener.actions.webhook.action import WebhookAction
from listener.hooks.settings import ListenerSettings
from tests.benchmarks.machine import LISTENER_CORE, SUPERVISORD_CORE, on_core
from tests.benchmarks.notifications import EVENT_TYPE, call
from tests.benchmarks.tables import at_most, judged, median, ratio, show

_BARE, _OURS, _SIGNED = "urllib3, the same bytes", "ours", "ours, signed"
_SERVER = """
import socket, sys
connections = socket.socket(fileno=int(sys.argv[1]))
while True:
    connection, _ = connections.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    file = connection.makefile("rb")
    while (line := file.readline()):
        size = 0
        while line.strip():
            name, _, value = line.partition(b":")
            size = int(value) if name.lower() == b"content-length" else size
            line = file.readline()
        file.read(size)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
"""


def run(_python: str, quick: bool) -> None:
    repetitions, count = (2, 20) if quick else (11, 1000)
    costs: dict[str, list[float]] = {_BARE: [], _OURS: [], _SIGNED: []}
    with contextlib.ExitStack() as stack:
        ways = {
            _BARE: _bare(stack.enter_context(_server())),
            _OURS: _ours(stack, stack.enter_context(_server())),
            _SIGNED: _ours(stack, stack.enter_context(_server()), secret="a secret"),
        }
        stack.enter_context(on_core(LISTENER_CORE))
        for repetition in range(repetitions + 1):
            for name, way in ways.items():
                cost = _cost(way, count)
                if repetition:
                    costs[name].append(cost)
    rows = []
    for name, every in costs.items():
        of_bare = judged(ratio(every, costs[_BARE]), at_most(3) if name == _OURS else None)
        rows.append((name, f"{median(every):,.1f}", of_bare))
    title = f"webhooks: µs for one on a kept connection, repetitions: {repetitions}"
    show(title, ("way", "wall µs", "of urllib3's"), rows)


def _cost(way: Callable[[], object], count: int) -> float:
    began = time.perf_counter_ns()
    for _ in range(count):
        way()
    return (time.perf_counter_ns() - began) / 1000 / count


def _bare(url: str) -> Callable[[], object]:
    pools = PoolManager()
    body = b"x" * 600  # about what an event has
    return lambda: pools.request("POST", url, body=body, retries=False).data


def _ours(stack: contextlib.ExitStack, url: str, **inputs: str) -> Callable[[], object]:
    action = WebhookAction(Surroundings(ListenerSettings()))
    stack.callback(action.close)
    hook = {"event_type": EVENT_TYPE, "implementation": "webhook", "inputs": {"url": url, **inputs}}
    attempt = call(json.dumps({"hooks": [hook]}), 300, time.time())
    return lambda: action.run(attempt)


@contextlib.contextmanager
def _server() -> Iterator[str]:
    """Its URL. It takes one connection at a time."""
    with socket.create_server(("127.0.0.1", 0)) as connections, on_core(SUPERVISORD_CORE):
        number = connections.fileno()
        command = [sys.executable, "-c", _SERVER, str(number)]
        with subprocess.Popen(command, pass_fds=(number,)) as process:
            try:
                yield f"http://127.0.0.1:{connections.getsockname()[1]}/hook"
            finally:
                process.kill()
