"""When the broker is told that it need not keep a message any more: the setting `acknowledge`.

Owns which messages wait for the end of their hooks. It reads the listener's journal and never runs a
hook. The writer tells it what is in the inbox; forwarder.py lets it work at each turn.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from listener.dispatch.withdrawal import hand_over
from listener.errors import HooksError
from listener.inbox.folder import discard
from listener.inbox.runs import is_stopped, run_of
from listener.model.delivery import FROM_BROKER, SHARED_WITH_BROKER
from listener.rabbitmq.connection import Connection
from listener.rabbitmq.messages import Message
from listener.state.directory import holder, is_locked
from listener.state.journal import Journal
from listener.supervisord.emit import WAKE_UP, enframe

LOOK_EVERY_S = 5.0


class WhenKept:
    """As soon as a message is in the inbox of this host."""

    def source_of(self, message: Message) -> str:
        """What the history shows."""
        return FROM_BROKER

    @property
    def turn_s(self) -> float:
        """How long the connection may wait for messages before `work` is called."""
        return 0.5

    @contextmanager
    def of_connection(self) -> Iterator[None]:
        """Around one connection: at its end this host begins no more of what others get then.

        Raises HooksError when messages are to stay at the broker.
        """
        yield

    def kept(self, connection: Connection, messages: Sequence[Message]) -> None:
        """For the writer's thread: these are in the inbox."""
        connection.acknowledge(messages[-1].tag, and_all_before=True)

    def frames(self, messages: Sequence[Message]) -> bytes:
        """What supervisord gets of these."""
        return b"".join(message.frame for message in messages)

    def work(self, connection: Connection) -> None:
        """Acknowledge what is due. Raises HooksError when messages are to go back to the broker."""


class WhenActed(WhenKept):
    """When the hooks of a message have ended; until then another host gets it if this one dies."""

    def __init__(self, state_dir: str) -> None:
        self._state_dir = state_dir
        self._journal = Journal(state_dir)
        self._run = run_of(os.getpid())
        self._lock = threading.Lock()
        self._tags: dict[str, list[int]] = {}
        self._is_new = False
        self._look_at = 0.0

    def source_of(self, message: Message) -> str:
        """What is no notification has no hooks: it is kept here, and acknowledged at once."""
        return FROM_BROKER if message.key is None else SHARED_WITH_BROKER

    @property
    def turn_s(self) -> float:
        return 0.02 if self._tags else 0.1

    @contextmanager
    def of_connection(self) -> Iterator[None]:
        with closing(self._journal):
            self._check_listener()
            self._give_back()  # what a killed forwarder has left
            try:
                yield
            finally:
                self._give_back()

    def kept(self, connection: Connection, messages: Sequence[Message]) -> None:
        with self._lock:
            for message in messages:
                if message.key is None:
                    connection.acknowledge(message.tag)
                else:
                    self._tags.setdefault(message.key, []).append(message.tag)
            self._is_new = True

    def frames(self, messages: Sequence[Message]) -> bytes:
        """No notification: it could be accepted when it was given back already."""
        return enframe(WAKE_UP)

    def work(self, connection: Connection) -> None:
        self._check_listener()
        with self._lock:
            keys, is_new, self._is_new = list(self._tags), self._is_new, False
        if keys and (self._journal.is_changed() or is_new):
            for key in self._journal.settled(keys):
                with self._lock:
                    tags = self._tags.pop(key)
                for tag in tags:
                    connection.acknowledge(tag)

    def _give_back(self) -> None:
        discard(self._state_dir, SHARED_WITH_BROKER)
        hand_over(self._journal, self._run)

    def _check_listener(self) -> None:
        """Raises HooksError when no listener works here, seldom enough not to be in its way."""
        now = time.monotonic()
        if now < self._look_at:
            return
        if not is_locked(self._state_dir):
            raise HooksError(
                f"no listener runs here, {_STAY}: start it (supervisorctl start conductor-hooks)"
            )
        pid = holder(self._state_dir)
        if pid and is_stopped(pid):
            raise HooksError(f"the listener is stopped, {_STAY}: let it continue (kill -CONT {pid})")
        self._look_at = now + LOOK_EVERY_S


_STAY = "so messages stay at the broker for other hosts"
