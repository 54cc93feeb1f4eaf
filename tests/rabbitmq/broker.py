"""A private RabbitMQ on loopback, in a temporary directory: its ports, virtual hosts, users and queues.

Owns what a test changes there from the broker's side. It never touches a RabbitMQ of the machine. The
fixtures call it, and tests that stop or kill it.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.certificates import Authority, Identity
from tests.rabbitmq.server import HOST, Server, held_port, port_of

USER = PASSWORD = "guest"


class Counts(NamedTuple):
    """Of one queue, at this moment."""

    ready: int
    unacknowledged: int
    consumers: int


class Broker:
    """A RabbitMQ that starts in the background: `wait` before its first use.

    `tls_port` takes a client certificate of `authority`, or none; `mutual_tls_port` demands one. The
    server's certificate there is for localhost and 127.0.0.1.
    """

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="rabbitmq-")
        folder = Path(self._directory.name)
        self._held = [held_port() for _ in range(3)]
        self.port, self.tls_port, self.mutual_tls_port = map(port_of, self._held)
        self.authority = Authority(folder, "authority")
        self._identity = self.authority.issue("server", "localhost", HOST)
        self._names = (f"vhost-{number}" for number in itertools.count(1))
        self._server = Server(folder, self.port)
        self._server.start(then=self._listen_on_tls())

    def wait(self) -> None:
        """Until it takes connections on all its ports."""
        self._server.wait()

    def close(self) -> None:
        """End it, and remove all it has written."""
        self._server.close()
        for held in self._held:
            held.close()
        self._directory.cleanup()

    @contextmanager
    def killed(self) -> Iterator[None]:
        """Killed for the time of a `with`, then started with its data."""
        self._server.kill()
        try:
            yield
        finally:
            self._server.start(then=self._listen_on_tls())
            self._server.wait()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """As `rabbitmqctl stop_app` and `start_app` do, for the time of a `with`."""
        self._server.do("rabbit:stop()")
        try:
            yield
        finally:
            self._server.do(f"begin ok = rabbit:start(), {self._listen_on_tls()} end")

    @contextmanager
    def alarm(self) -> Iterator[None]:
        """Too little memory for the time of a `with`: who publishes gets no answer."""
        alarm = "{resource_limit, memory, node()}"
        self._server.do(f"rabbit_alarm:set_alarm({{{alarm}, []}})")
        try:
            yield
        finally:
            self._server.do(f"rabbit_alarm:clear_alarm({alarm})")

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """Its new channels are closed soon where nothing is acknowledged, for the time of a `with`."""
        names = ("consumer_timeout", "channel_tick_interval")
        asked = [f"element(2, application:get_env(rabbit, {each}))" for each in names]
        before = list(map(self._server.evaluate, asked))
        for each in names:
            self._server.do(f"application:set_env(rabbit, {each}, 200)")
        try:
            yield
        finally:
            for each, value in zip(names, before, strict=True):
                self._server.do(f"application:set_env(rabbit, {each}, {value})")

    def listen_tls(self, identity: Identity, *, demands_certificate: bool = False) -> int:
        """A further port with another certificate, until the broker stops; TLS 1.2, as on a manager."""
        self._held.append(held := held_port())
        port = port_of(held)
        versions = "{versions, ['tlsv1.2']}, "
        self._server.do(self._tls_listener(port, identity, demands_certificate, versions))
        return port

    def add_user(self, name: str, password: str) -> None:
        """A user without any rights."""
        added = f"{_binary(name)}, {_binary(password)}, {_binary('test')}"
        self._server.do(f"rabbit_auth_backend_internal:add_user({added})")

    def permit(self, user: str, vhost: str, *, configure: str, write: str, read: str) -> None:
        """Rights in a virtual host: patterns for the names of queues and exchanges."""
        arguments = map(_binary, (user, vhost, configure, write, read, "test"))
        self._server.do(f"rabbit_auth_backend_internal:set_permissions({', '.join(arguments)})")

    def add_vhost(self) -> str:
        """The name of a new virtual host, in which USER has all rights."""
        name = next(self._names)
        self._server.do(f"rabbit_vhost:add({_binary(name)}, {_binary('test')})")
        self.permit(USER, name, configure=".*", write=".*", read=".*")
        return name

    def delete_vhost(self, name: str) -> None:
        """In the background."""
        self._server.ask(f"rabbit_vhost:delete({_binary(name)}, {_binary('test')})")

    def close_connections(self, vhost: str) -> None:
        """As `rabbitmqctl close_all_connections` does."""
        theirs = f"[{{vhost, {_binary(vhost)}}}] == rabbit_networking:connection_info(Each, [vhost])"
        close = f"rabbit_networking:close_connection(Each, {_binary('closed by a test')})"
        self._server.evaluate(f"[{close} || Each <- rabbit_networking:connections(), {theirs}]")

    def counts(self, vhost: str, queue: str) -> Counts:
        """What the queue itself says, which `rabbitmqctl list_queues` prints."""
        keys = "[messages_ready, messages_unacknowledged, consumers]"
        values = f"[Value || {{_, Value}} <- rabbit_amqqueue:info(Queue, {keys})]"
        return Counts(*json.loads(self._with_queue(vhost, queue, values)))

    def delete_queue(self, vhost: str, queue: str) -> None:
        """With all its messages and consumers."""
        self._with_queue(
            vhost, queue, f"rabbit_amqqueue:delete(Queue, false, false, {_binary('test')})"
        )

    def _with_queue(self, vhost: str, queue: str, expression: str) -> str:
        resource = f"rabbit_misc:r({_binary(vhost)}, queue, {_binary(queue)})"
        answer = self._server.evaluate(
            f"rabbit_amqqueue:with({resource}, fun(Queue) -> {expression} end)"
        )
        assert not answer.startswith("{error"), answer
        return answer

    def _listen_on_tls(self) -> str:
        free = self._tls_listener(self.tls_port, self._identity, demands_certificate=False)
        strict = self._tls_listener(self.mutual_tls_port, self._identity, demands_certificate=True)
        return f"rabbit_networking:ensure_ssl(), {free}, {strict}"

    def _tls_listener(
        self, port: int, identity: Identity, demands_certificate: bool, more: str = ""
    ) -> str:
        options = (
            f"[{more}"
            f'{{cacertfile, "{self.authority.certificate}"}}, {{certfile, "{identity.certificate}"}},'
            f' {{keyfile, "{identity.key}"}}, {{verify, verify_peer}},'
            f" {{fail_if_no_peer_cert, {str(demands_certificate).lower()}}}]"
        )
        return f'ok = rabbit_networking:start_ssl_listener({{"{HOST}", {port}}}, {options}, 1)'


def _binary(text: str) -> str:
    return f"<<{','.join(map(str, text.encode()))}>>"
