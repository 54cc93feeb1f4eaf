"""The forwarder: a program that supervisord runs, from its start to SIGTERM.

Owns when a connection is tried again, what the log says of it, and the lock of the one forwarder of a
state directory. It never gives up: whatever is wrong, it waits and tries again. The verb `forward`
calls it.
"""

from __future__ import annotations

import logging
import os
import random
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from listener import log
from listener.errors import HooksError
from listener.hooks.file import load
from listener.hooks.forward import ForwardSettings
from listener.hooks.settings import ListenerSettings
from listener.inbox import whole_file
from listener.rabbitmq.acknowledgement import WhenActed, WhenKept
from listener.rabbitmq.broker import read_broker
from listener.rabbitmq.connection import Connection
from listener.rabbitmq.presence import say_present
from listener.rabbitmq.writer import Batch, Writer, unwritable
from listener.state.directory import open_file, path_of, try_lock

_log = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
_END_S = 5.0


class Stop:
    """What ends the forwarder: SIGTERM, SIGINT, or the end of what reads the descriptor `fd`."""

    def __init__(self, fd: int) -> None:
        wakeup, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: None)
        self._poll = select.poll()
        self._poll.register(wakeup, select.POLLIN)
        self._poll.register(fd, 0)  # asks for POLLERR alone

    def wait(self, seconds: float) -> bool:
        """Whether it came within that time."""
        return bool(self._poll.poll(seconds * 1000))


class Forwarder:
    """Reads hooks.conf anew for each connection, so that a mistake is mended without a restart.

    `jitter` gives a number from 0 to 1.
    """

    def __init__(
        self,
        config: str,
        state_dir: str | None,
        stop: Stop,
        writer: Writer,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._config = config
        self._state_dir = state_dir
        self._stop = stop
        self._writer = writer
        self._said = ""
        self._place = ""  # the state directory, as soon as no other forwarder has it
        self._pause_s = FIRST_PAUSE_S
        self._jitter = jitter
        self._next_host = int(1000 * jitter())  # forwarders of many hosts spread over the brokers

    def run(self) -> bool:
        """Forward until it is to stop: True. False when the writer has ended by a defect of ours."""
        while not self._must_stop():
            began = time.monotonic()
            try:
                self._forward()
            except (HooksError, OSError) as error:
                if time.monotonic() - began > LONGEST_PAUSE_S:
                    self._pause_s = FIRST_PAUSE_S
                self._say(logging.ERROR, f"{error}; trying again")
                self._stop.wait(self._pause_s * (0.5 + self._jitter() / 2))
                self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)
        self._say(logging.INFO, "stopped")
        return self._stop.wait(0)

    def _must_stop(self) -> bool:
        return self._stop.wait(0) or not self._writer.is_alive

    def _forward(self) -> None:
        """One connection, from hooks.conf to its end. Raises HooksError."""
        settings, state_dir = self._read()
        is_acted = settings.acknowledge == "acted"
        acknowledgement = WhenActed(state_dir) if is_acted else WhenKept()
        with _locked(state_dir):
            self._place = state_dir
            _probe(state_dir)
            with acknowledgement.of_connection(), closing(self._connect(settings)) as connection:
                while not self._must_stop():
                    if messages := connection.take(acknowledgement.turn_s):
                        self._writer.put(Batch(messages, connection, acknowledgement, state_dir))
                    acknowledgement.work(connection)
                    log.flush_if_due()
                self._writer.close(_END_S)

    def _read(self) -> tuple[ForwardSettings, str]:
        """The settings and the state directory as hooks.conf has them now. Raises HooksError."""
        table = load(self._config, os.environ).table
        settings: ForwardSettings = (table and table.forward) or ForwardSettings()
        if settings.problem:
            raise HooksError(settings.problem)
        of_listener = table.listener if table else ListenerSettings()
        log.set_form(of_listener.log_format, of_listener.log_level)
        return settings, path_of(self._state_dir, os.environ, lambda: of_listener.state_dir)

    def _connect(self, settings: ForwardSettings) -> Connection:
        """A connection to the first host that has the queue, beginning with another one each time."""
        broker = read_broker(settings)
        self._next_host += 1
        first = self._next_host % len(broker.hosts)
        failures = []
        for host in broker.hosts[first:] + broker.hosts[:first]:
            try:
                connection = Connection(broker, host, settings)
            except HooksError as error:
                failures.append(str(error))
            else:
                waiting = f", messages waiting: {connection.waiting}"
                self._say(logging.INFO, f"consuming the {connection}", waiting)
                if connection.warning:
                    _log.warning("%s", connection.warning)
                log.flush()
                return connection
        raise HooksError("; ".join(sorted(failures)))

    def _say(self, level: int, text: str, then: str = "") -> None:
        """Log a change of state; the same state again is none. `then` is true at this moment only."""
        if text != self._said:
            self._said = text
            _log.log(level, "%s%s", text, then)
            if self._place:
                say_present(self._place, text, time.time(), is_trouble=level > logging.INFO)


def forward(config: str, state_dir: str | None) -> int:
    """Forward until SIGTERM; the exit status is 1 when supervisord has to start it again."""
    log.start()
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # a dozen lines for each refusal
    is_asked_to = Forwarder(config, state_dir, Stop(1), Writer(1)).run()
    log.flush()
    return 0 if is_asked_to else 1


@contextmanager
def _locked(state_dir: str) -> Iterator[None]:
    """Be the only forwarder of the state directory. Raises HooksError."""
    try:
        fd = open_file(os.path.join(state_dir, "forwarder.lock"), os.O_RDWR | os.O_CREAT)
    except FileNotFoundError as error:
        raise HooksError(
            f"there is no state directory {state_dir}: start the listener once, which makes it"
        ) from error
    except OSError as error:
        raise HooksError(unwritable(state_dir, error)) from error
    with open(fd, "rb"):
        if not try_lock(fd):
            raise HooksError(
                f"another forwarder writes into {state_dir}: one takes all that a host gets; stop this"
                " one"
            )
        yield


def _probe(state_dir: str) -> None:
    """Find out whether the inbox can be written, before messages are taken from the broker."""
    try:
        whole_file.probe(state_dir)
    except OSError as error:
        raise HooksError(unwritable(state_dir, error)) from error
