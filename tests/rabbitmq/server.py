"""The processes of a private RabbitMQ: the server, and Erlang's daemon of node names beside it.

Owns their start, their end and their environment, and evaluates Erlang expressions in the server. It
runs no rabbitmqctl: a shell on the server's stdin answers in milliseconds. The broker calls it.
"""

from __future__ import annotations

import itertools
import os
import re
import select
import socket
import subprocess
from pathlib import Path

from tests.support import wait_for

HOST = "127.0.0.1"
SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""Debian's script itself: the one in PATH becomes the user rabbitmq first."""

_CHILD = ("setpriv", "--pdeathsig", "KILL")
"""The program after it, which keeps the pid, dies with the thread that has started it."""

_NODE = "test@localhost"
_ANSWER = re.compile(rb"@@(\d+) (.*)\n")
_LIMIT_S = 120

_BOOTED = "Boot = monitor(process, rabbit_boot), receive {'DOWN', Boot, _, _, _} -> ok end"
"""A rabbit:stop() before the end of this process would leave it there: no rabbit:start() works then."""


def held_port() -> socket.socket:
    """At a port that no other program gets, but a server that reuses addresses can listen at."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((HOST, 0))
    return held


def port_of(held: socket.socket) -> int:
    """Its number."""
    port: int = held.getsockname()[1]
    return port


class Server:
    """A RabbitMQ whose files are all in `folder`, and whose only listener is at `port`."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._held = (held_port(), held_port())
        distribution, names = map(port_of, self._held)
        _configure(folder, port)
        self._env = _environment(folder, distribution, names)
        self._epmd = _epmd(names)
        self._numbers = itertools.count()

    def start(self, then: str) -> None:
        """In the background; it evaluates `then`, which gives ok, when it has started."""
        self._output = b""
        self._process = subprocess.Popen(
            [*_CHILD, SERVER],
            cwd=self._folder,
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
        self._started = self.ask(f"begin ok = rabbit:await_startup(), {_BOOTED}, {then} end")

    def wait(self) -> None:
        """Until it has started; once after each start."""
        self._done(self._started)

    def kill(self) -> None:
        """As kill -9 does."""
        self._process.kill()
        with self._process:  # closes the pipes, too
            pass

    def close(self) -> None:
        """End both processes."""
        self.kill()
        self._epmd.kill()
        self._epmd.wait()
        for held in self._held:
            held.close()

    def ask(self, expression: str) -> int:
        """Have it evaluated in the background; the number of the answer."""
        assert self._process.stdin
        number = next(self._numbers)
        self._process.stdin.write(f'io:format("~n@@{number} ~tw~n", [catch {expression}]).\n'.encode())
        return number

    def evaluate(self, expression: str) -> str:
        """What it gives, in one line."""
        return self._answer(self.ask(expression))

    def do(self, expression: str) -> None:
        """Evaluate what gives ok."""
        self._done(self.ask(expression))

    def _done(self, number: int) -> None:
        answer = self._answer(number)
        assert answer == "ok", answer

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


def _configure(folder: Path, port: int) -> None:
    """Links to the installation without its plugins: to look at those takes a third of a start."""
    installation = Path(SERVER).resolve().parents[1]
    (folder / "sbin").symlink_to(installation / "sbin")
    (folder / "plugins").mkdir()
    for part in (installation / "plugins").iterdir():
        if not part.name.startswith("rabbitmq_") or part.name.startswith("rabbitmq_prelaunch-"):
            (folder / "plugins" / part.name).symlink_to(part)
    (folder / "enabled_plugins").write_text("[].\n")
    rabbit = (
        f'{{tcp_listeners, [{{"{HOST}", {port}}}]}}, {{disk_free_limit, 50000000}},'
        " {log, [{console, [{enabled, false}]}]}"
    )
    (folder / "advanced.config").write_text(f"[{{rabbit, [{rabbit}]}}].\n")


def _environment(folder: Path, distribution: int, names: int) -> dict[str, str]:
    """All of the server's environment."""
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
        "RABBITMQ_NODENAME": _NODE,
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_SCRIPTS_DIR": str(folder / "sbin"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (  # its name from the first, as the shell looks for it
            f"-sname {_NODE} -start_epmd false -kernel inet_dist_use_interface {{127,0,0,1}}"
            f" -kernel inet_dist_listen_min {distribution} -kernel inet_dist_listen_max {distribution}"
        ),
    }
