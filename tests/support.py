"""What test modules share: programs that may be missing, frames, waiting, dispatching, a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import resource
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from socketserver import BaseServer
from typing import Any, Literal, NoReturn, TypeVar

import pytest

from listener.dispatch.dispatcher import Dispatcher
from listener.model.delivery import Delivery
from listener.model.entry import Entry
from listener.model.notification import Notification
from listener.state.filters import Filters
from listener.supervisord.emit import as_json, enframe

REQUIRE_ALL = "CONDUCTOR_HOOKS_TEST_ALL"

_T = TypeVar("_T")


def require_program(name: str) -> str:
    """The path of a program; without it the test is skipped, or fails where all must be there."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        do_without(f"{name} is not installed")
    return found


def do_without(missing: str) -> NoReturn:
    """Skip the test for what this machine lacks, or fail it where everything must be there."""
    if os.environ.get(REQUIRE_ALL):
        pytest.fail(f"{missing}, and {REQUIRE_ALL} is set")
    pytest.skip(missing)


def uncounted_env() -> dict[str, str]:
    """The environment for a process whose coverage is not counted: it may write no file, for one."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


def wait_for(what: str, condition: Callable[[], _T], limit_s: float = 60.0) -> _T:
    """The first true value of `condition`; the test fails when there is none within the limit."""
    deadline = time.monotonic() + limit_s
    pause = 0.002
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {limit_s:g} s in vain for {what}")
        time.sleep(pause)  # between looks at the condition, never instead of one
        pause = min(0.05, pause * 2)
    return value


@contextlib.contextmanager
def served(server: BaseServer) -> Iterator[None]:
    """The server answers, in a thread of its own, for the time of a `with`, and is closed then."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """What a full disk does to a write, without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def event(
    payload: str,
    *,
    serial: int = 1,
    eventname: str = "PROCESS_COMMUNICATION_STDOUT",
    server: str = "supervisor",
) -> bytes:
    """One event as supervisord writes it. A communication event's payload gets its first line."""
    if eventname.startswith("PROCESS_COMMUNICATION"):
        payload = f"processname:workflows groupname:workflows pid:4711\n{payload}"
    header = (
        f"ver:3.0 server:{server} serial:{serial} pool:conductor-hooks poolserial:{serial}"
        f" eventname:{eventname} len:{len(payload)}\n"
    )
    return (header + payload).encode("utf-8", "surrogateescape")


def frame_of(notification: Mapping[str, Any]) -> bytes:
    """The bytes that a program prints for a notification."""
    return enframe(as_json(notification)[1])


def delivery_of(notification: Notification) -> Delivery:
    """What supervisord hands over when a program has written that notification."""
    text = json.dumps({"event_type": notification.event_type, "context": dict(notification.context)})
    return Delivery(notification, text, "supervisord", "serial 7")


class Finishing(Dispatcher):
    """A dispatcher that is used as the listener uses it, with a pause after each event."""

    def act(self, delivery: Delivery) -> None:
        """Deliver and finish."""
        self.deliver(delivery)
        self.finish()

    @property
    def newest(self) -> Entry:
        """The newest entry of its journal."""
        [entry] = self._journal.newest(Filters(), 1)
        return entry


def shown_at_terminal(
    command: Sequence[str | Path], *, columns: int, stream: Literal["stdout", "stderr"]
) -> list[str]:
    """The lines that a program shows on one of its streams, if that is a terminal so wide."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns)}
    streams: dict[str, int] = {"stdout": subprocess.DEVNULL, stream: theirs}
    with subprocess.Popen(command, env=env, **streams) as process:  # type: ignore[call-overload]
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the end of a terminal
            while part := os.read(ours, 4096):
                shown += part
    os.close(ours)
    assert process.returncode == 0
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode()).splitlines()
