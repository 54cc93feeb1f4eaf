"""A private RabbitMQ on loopback: one process, a temporary directory, free ports.

Owns the server, its TLS listeners, users and virtual hosts. It never touches a RabbitMQ of the machine,
and runs no rabbitmqctl: an Erlang shell on the server's stdin evaluates a command in milliseconds. The
fixtures call it, and tests that stop or kill it.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import select
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.rabbitmq.certificates import Authority, Identity
from tests.support import wait_for

SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""Debian's script itself: the one in PATH becomes the user rabbitmq first."""

HOST = "127.0.0.1"
USER = PASSWORD = "guest"
_CHILD = ("setpriv", "--pdeathsig", "KILL")
"""The program after it, which keeps the pid, dies with the thread that has started it."""

_ANSWER = re.compile(rb"@@(\d+) (.*)\n")
_LIMIT_S = 120


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
        self.folder = Path(self._directory.name)
        self._held_ports = [_held_port() for _ in range(5)]
        ports = [held.getsockname()[1] for held in self._held_ports]
        self.port, self.tls_port, self.mutual_tls_port, distribution, names = ports
        self.authority = Authority(self.folder, "authority")
        self._identity = self.authority.issue("server", "localhost", HOST)
        self._env = _environment(self.folder, self.port, distribution, names)
        self._epmd = _epmd(names)
        self._numbers = itertools.count()
        self.start()

    def start(self) -> None:
        """In the background, with the data of the last time."""
        self._output = b""
        self._process = subprocess.Popen(
            [*_CHILD, SERVER],
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
        self._started = self._ask(f"begin ok = rabbit:await_startup(), {self._listen_on_tls()} end")

    def wait(self) -> None:
        """Until it takes connections on all its ports; once after each start."""
        self._done(self._started)

    def kill(self) -> None:
        """As kill -9 does; `start` finds the data that it left."""
        self._process.kill()
        with self._process:  # closes the pipes, too
            pass

    def close(self) -> None:
        """End it, and remove all it has written."""
        self.kill()
        self._epmd.kill()
        self._epmd.wait()
        for held in self._held_ports:
            held.close()
        self._directory.cleanup()

    @contextmanager
    def killed(self) -> Iterator[None]:
        """Killed for the time of a `with`, then started with its data."""
        self.kill()
        try:
            yield
        finally:
            self.start()
            self.wait()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """As `rabbitmqctl stop_app` and `start_app` do, for the time of a `with`."""
        self._do("rabbit:stop()")
        try:
            yield
        finally:
            self._do(f"begin ok = rabbit:start(), {self._listen_on_tls()} end")

    @contextmanager
    def alarm(self) -> Iterator[None]:
        """Too little memory for the time of a `with`: who publishes gets no answer."""
        alarm = "{resource_limit, memory, node()}"
        self._do(f"rabbit_alarm:set_alarm({{{alarm}, []}})")
        try:
            yield
        finally:
            self._do(f"rabbit_alarm:clear_alarm({alarm})")

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """Its new channels are closed soon where nothing is acknowledged, for the time of a `with`."""
        names = ("consumer_timeout", "channel_tick_interval")
        before = [self.evaluate(f"element(2, application:get_env(rabbit, {each}))") for each in names]
        for each in names:
            self._do(f"application:set_env(rabbit, {each}, 200)")
        try:
            yield
        finally:
            for each, value in zip(names, before, strict=True):
                self._do(f"application:set_env(rabbit, {each}, {value})")

    def listen_tls(self, identity: Identity, *, demands_certificate: bool = False) -> int:
        """A further port with another certificate, until the broker stops; TLS 1.2, as on a manager."""
        self._held_ports.append(held := _held_port())
        port: int = held.getsockname()[1]
        self._do(self._tls_listener(port, identity, demands_certificate, "{versions, ['tlsv1.2']}, "))
        return port

    def add_user(self, name: str, password: str) -> None:
        """A user without any rights."""
        added = f"{_binary(name)}, {_binary(password)}, {_binary('test')}"
        self._do(f"rabbit_auth_backend_internal:add_user({added})")

    def permit(self, user: str, vhost: str, *, configure: str, write: str, read: str) -> None:
        """Rights in a virtual host: patterns for the names of queues and exchanges."""
        arguments = map(_binary, (user, vhost, configure, write, read, "test"))
        self._do(f"rabbit_auth_backend_internal:set_permissions({', '.join(arguments)})")

    def add_vhost(self) -> str:
        """The name of a new virtual host, in which USER has all rights."""
        name = f"vhost-{next(self._numbers)}"
        self._do(f"rabbit_vhost:add({_binary(name)}, {_binary('test')})")
        self.permit(USER, name, configure=".*", write=".*", read=".*")
        return name

    def delete_vhost(self, name: str) -> None:
        """In the background."""
        self._ask(f"rabbit_vhost:delete({_binary(name)}, {_binary('test')})")

    def close_connections(self, vhost: str) -> None:
        """As `rabbitmqctl close_all_connections` does."""
        theirs = f"[{{vhost, {_binary(vhost)}}}] == rabbit_networking:connection_info(Each, [vhost])"
        close = f"rabbit_networking:close_connection(Each, {_binary('closed by a test')})"
        self.evaluate(f"[{close} || Each <- rabbit_networking:connections(), {theirs}]")

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

    def evaluate(self, expression: str) -> str:
        """What an Erlang expression gives in the broker, in one line."""
        return self._answer(self._ask(expression))

    def _with_queue(self, vhost: str, queue: str, expression: str) -> str:
        resource = f"rabbit_misc:r({_binary(vhost)}, queue, {_binary(queue)})"
        answer = self.evaluate(f"rabbit_amqqueue:with({resource}, fun(Queue) -> {expression} end)")
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

    def _do(self, expression: str) -> None:
        self._done(self._ask(expression))

    def _done(self, number: int) -> None:
        answer = self._answer(number)
        assert answer == "ok", answer

    def _ask(self, expression: str) -> int:
        """The number of the answer, which `_answer` waits for."""
        assert self._process.stdin
        number = next(self._numbers)
        self._process.stdin.write(f'io:format("~n@@{number} ~tw~n", [catch {expression}]).\n'.encode())
        return number

    def _answer(self, number: int) -> str:
        """The answers before it that nobody has waited for are dropped."""
        while True:
            while not (found := _ANSWER.search(self._output)):
                self._output += self._read()
            self._output = self._output[found.end() :]
            if int(found[1]) == number:
                return found[2].decode()

    def _read(self) -> bytes:
        assert self._process.stdout
        descriptor = self._process.stdout.fileno()
        assert select.select([descriptor], [], [], _LIMIT_S)[0], "RabbitMQ does not answer"
        read = os.read(descriptor, 65536)
        assert read, f"RabbitMQ has ended: {self._output.decode(errors='replace')}"
        return read


def _held_port() -> socket.socket:
    """A port that no other program gets, but a server that reuses addresses can listen at."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((HOST, 0))
    return held


def _epmd(port: int) -> subprocess.Popen[bytes]:
    """Erlang's daemon of node names, which answers. The server would leave one of its own behind."""
    epmd = subprocess.Popen([*_CHILD, "epmd", "-address", HOST, "-port", str(port)])
    wait_for("epmd", lambda: _lists_names(port))
    return epmd


def _lists_names(port: int) -> bool:
    with socket.socket() as client:
        if client.connect_ex((HOST, port)) != 0:
            return False
        client.sendall(b"\0\1n")
        return client.recv(4) != b""


def _environment(folder: Path, port: int, distribution: int, names: int) -> dict[str, str]:
    """All of the server's environment."""
    rabbit = f'{{tcp_listeners, [{{"{HOST}", {port}}}]}}, {{disk_free_limit, 50000000}}'
    (folder / "advanced.config").write_text(
        f"[{{rabbit, [{rabbit}, {{log, [{{console, [{{enabled, false}}]}}]}}]}}].\n"
    )
    (folder / "enabled_plugins").write_text("[].\n")
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "ERL_EPMD_ADDRESS": HOST,
        "ERL_EPMD_PORT": str(names),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_ALLOW_INPUT": "1",
        "RABBITMQ_CONFIG_FILE": str(folder / "none"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
        "RABBITMQ_LOGS": str(folder / "log"),
        "RABBITMQ_LOG_BASE": str(folder),
        "RABBITMQ_MNESIA_BASE": str(folder),
        "RABBITMQ_NODENAME": "test@localhost",
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "-sname test@localhost -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"
            f" -kernel inet_dist_listen_min {distribution} -kernel inet_dist_listen_max {distribution}"
        ),
    }


def _binary(text: str) -> str:
    return f"<<{','.join(map(str, text.encode()))}>>"
