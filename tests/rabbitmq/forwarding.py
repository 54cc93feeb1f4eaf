"""The forwarder as tests run it: as a process behind a pipe, or in a thread with short pauses.

Owns the section `forward` of a hooks.conf and the state directory that it writes into. It starts no
broker and no listener. Tests of the forwarder call it.
"""

from __future__ import annotations

import array
import fcntl
import json
import logging
import os
import resource
import subprocess
import termios
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from listener.inbox.reader import InboxReader, Record
from listener.rabbitmq import forwarder
from listener.rabbitmq.forwarder import Forwarder, Stop
from listener.rabbitmq.writer import Writer
from tests.listening import COMMAND
from tests.rabbitmq.vhost import Vhost
from tests.support import wait_for

CONSUMING = "consuming the queue 'cloudify-hooks' of "


def section(vhost: Vhost, /, **changes: Any) -> dict[str, Any]:
    """The section `forward` for this virtual host, without TLS; a None among the changes removes."""
    plain = {"hosts": [f"{vhost.host}:{vhost.port}"], "vhost": vhost.name, "tls": False}
    return {key: value for key, value in (plain | changes).items() if value is not None}


class Site:
    """A hooks.conf, and a state directory as a listener would have made it."""

    def __init__(self, folder: Path) -> None:
        self.conf = folder / "hooks.conf"
        self.state = Path(os.environ["CONDUCTOR_HOOKS_STATE_DIR"])
        self.state.mkdir()

    def write(self, forward: dict[str, Any], **listener: str) -> None:
        """Replace hooks.conf as a whole, since a forwarder may read it meanwhile."""
        new = self.conf.with_suffix(".new")
        new.write_text(json.dumps({"hooks": [], "forward": forward, "listener": listener}))
        new.rename(self.conf)

    def inbox(self) -> list[list[Record]]:
        """What is there now, a list for each file."""
        with closing(InboxReader(str(self.state))) as reader:
            return list(reader.read_new())

    @property
    def kept(self) -> list[str]:
        """The executions in the inbox."""
        return [execution_of(record.payload) for batch in self.inbox() for record in batch]

    def wait_for_kept(self, *executions: str) -> None:
        wait_for(f"{executions} in the inbox", lambda: self.kept == list(executions))


def body(execution_id: str, **more: Any) -> str:
    """As a manager publishes it."""
    context = {"execution_id": execution_id, "rest_token": f"t0ken-{execution_id}"}
    return json.dumps({"event_type": "workflow_failed", "context": context, **more})


def execution_of(text: str) -> str:
    return str(json.loads(text)["context"]["execution_id"])


class Process:
    """`conductor-hooks forward`, its stdout a pipe that is read, or not before `read`."""

    def __init__(self, site: Site, *, is_read: bool = True) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "forward", "--config", str(site.conf)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._log, self._frames = bytearray(), bytearray()
        self._readers: list[threading.Thread] = []
        self._gather(self.process.stderr, self._log)
        if is_read:
            self.read()

    def read(self) -> None:
        """Begin to read its frames."""
        self._gather(self.process.stdout, self._frames)

    def _gather(self, pipe: Any, gathered: bytearray) -> None:
        def gather() -> None:
            while data := os.read(pipe.fileno(), 65536):
                gathered.extend(data)

        thread = threading.Thread(target=gather)
        thread.start()
        self._readers.append(thread)

    @property
    def lines(self) -> list[str]:
        """Of its log, each without the moment."""
        return [line.partition(" ")[2] for line in self._log.decode().splitlines()]

    @property
    def frames(self) -> list[str]:
        """What is in its frames on stdout."""
        texts = self._frames.decode().split("<!--XSUPERVISOR:BEGIN-->")
        return [text.partition("<!--XSUPERVISOR:END-->")[0] for text in texts[1:]]

    @property
    def unread_bytes(self) -> int:
        """In the pipe of its frames."""
        count = array.array("i", [0])
        fcntl.ioctl(self.process.stdout or -1, termios.FIONREAD, count)
        return count[0]

    def wait_until_it_says(self, *parts: str) -> None:
        """Until its log has as many lines as there are parts, each with its own."""
        wait_for(f"the lines {parts}", lambda: are_said(self.lines, parts))

    def terminate(self) -> int:
        """The exit status, after SIGTERM."""
        self.process.terminate()
        return self.ended()

    def ended(self) -> int:
        """The exit status, as soon as there is one."""
        status = self.process.wait(timeout=30)
        for reader in self._readers:
            reader.join(timeout=30)
        return status

    def may_write(self, is_allowed: bool) -> None:
        """Let it write to files, or let that fail as on a disk that is full."""
        limits = (resource.RLIM_INFINITY if is_allowed else 0, resource.RLIM_INFINITY)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, limits)

    def close(self) -> None:
        self.process.kill()
        self.ended()
        for pipe in filter(None, (self.process.stdout, self.process.stderr)):
            pipe.close()


@contextmanager
def forwarding(site: Site, *, is_read: bool = True) -> Iterator[Process]:
    """A forwarder as supervisord starts it, killed at the end if it has not ended."""
    with closing(Process(site, is_read=is_read)) as process:
        yield process


class _Told(Stop):
    """Ends a forwarder when it is told to. Counts how often that has waited to try again."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.tries = 0

    def wait(self, seconds: float) -> bool:
        self.tries += seconds > 0
        return self._event.wait(seconds)

    def stop(self) -> None:
        self._event.set()


class Threaded(logging.Handler):
    """A forwarder in a thread of the test, which pauses for moments only; nobody reads its frames."""

    def __init__(self, stop: _Told) -> None:
        super().__init__()
        self._stop = stop
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname} {record.getMessage()}")

    def wait_until_it_says(self, *parts: str) -> None:
        """Until its log has as many lines as there are parts, each with its own."""
        wait_for(f"the lines {parts}", lambda: are_said(self.lines, parts))

    def wait_for_tries(self, number: int) -> None:
        """Until it has failed so often from here on."""
        enough = self._stop.tries + number
        wait_for("further tries", lambda: self._stop.tries >= enough)


@contextmanager
def threaded(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Threaded]:
    """A forwarder that ends with the `with`."""
    monkeypatch.setattr(forwarder, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(forwarder, "LONGEST_PAUSE_S", 0.05)
    stop = _Told()
    with open(os.devnull, "wb") as nowhere, _logged_to(Threaded(stop)) as threaded:
        writer = Writer(nowhere.fileno())
        run = Forwarder(str(site.conf), None, stop, writer, jitter=lambda: 0.0).run
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield threaded
        finally:
            stop.stop()
            thread.join()
            writer.close(30)


@contextmanager
def _logged_to(handler: Threaded) -> Iterator[Threaded]:
    """The handler, which gets what this package logs; pika says nothing, as in a process."""
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    logger = logging.getLogger("listener")
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def are_said(lines: list[str], parts: tuple[str, ...]) -> bool:
    """Whether these are the lines, of each of which a part is known."""
    return len(lines) == len(parts) and all(map(str.__contains__, lines, parts))
