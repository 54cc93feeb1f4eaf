"""Web servers on loopback for the tests of webhooks: real sockets, and answers as a test wants them.

Owns a server that notes what it gets, and one that is a proxy. It checks nothing; the tests do.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from tests.support import served

HOST = "127.0.0.1"


class Received(NamedTuple):
    """A request; `peer` is the port that it came from."""

    method: str
    path: str
    headers: Message
    body: bytes
    peer: int


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WebServer

    def answer(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def write_until_gone(self, data: bytes, pause_s: float = 0.0) -> None:
        """Again and again, until the client has ended the connection."""
        with contextlib.suppress(OSError):
            while not self.server.is_over.wait(pause_s):
                self.wfile.write(data)
        self.server.gone.set()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        peer = self.client_address[1]
        self.server.received.append(Received(self.command, self.path, self.headers, body, peer))
        self.server.reply(self)

    do_GET = do_PUT = do_POST

    def do_CONNECT(self) -> None:
        """As a proxy: pass all on to where the client wants it."""
        self.server.received.append(Received(self.command, self.path, self.headers, b"", 0))
        host, port = self.path.split(":")
        with socket.create_connection((host, int(port))) as target:
            self.send_response(200)
            self.end_headers()
            pairs = {self.connection: target, target: self.connection}
            while True:
                for ready in select.select(list(pairs), [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        self.close_connection = True
                        return
                    pairs[ready].sendall(data)

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


Reply = Callable[[Handler], None]


class WebServer(ThreadingHTTPServer):
    """Answers with what `reply` does. `closed` counts the connections that it has closed."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__((HOST, 0), Handler)
        self.tls = tls
        self.reply: Reply = Handler.answer
        self.received: list[Received] = []
        self.closed = 0
        self.gone, self.is_over = threading.Event(), threading.Event()

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://{HOST}:{self.server_port}"

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.tls:
            request = self.tls.wrap_socket(request, server_side=True)
        with request:
            super().finish_request(request, client_address)
        self.closed += 1

    def handle_error(self, *_: Any) -> None:
        """A client that ends a connection is no news."""


@contextlib.contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[WebServer]:
    server = WebServer(tls)
    with served(server):
        try:
            yield server
        finally:
            server.is_over.set()


def replying(status: int, body: bytes = b"", **headers: str) -> Reply:
    return lambda handler: handler.answer(status, body, **headers)
