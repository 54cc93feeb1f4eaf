"""Receivers of notifications on loopback: a mail server, a syslog server and an HTTP server."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

from tests.support import served

PASSWORD = "mailS3CRET"
TOKEN = "pathS3CRET"
_ANSWERS = {"EHLO": "250-double\r\n250 AUTH PLAIN", "AUTH": "235 yes", "QUIT": "221 bye"}


class Web:
    """Keeps the JSON that is posted. While it is closed for repair it answers 503.

    While it hangs, it answers nothing at all.
    """

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.is_in_repair = False
        self.answers = threading.Event()
        self.answers.set()
        self.url = ""


class Mail:
    """Keeps the mails that a client who knows the password sends."""

    def __init__(self) -> None:
        self.mails: list[str] = []
        self.url = ""


class Syslog:
    """Keeps nothing: what has come waits in its socket."""

    def __init__(self, own: socket.socket) -> None:
        self._socket = own
        self.url = f"rsyslog://127.0.0.1:{own.getsockname()[1]}"

    def received(self) -> str:
        return self._socket.recv(65536).decode()


@contextmanager
def web_server() -> Iterator[Web]:
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            web.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            web.answers.wait(60)
            self.send_response(503 if web.is_in_repair else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError):  # the client was killed
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.url = f"json://127.0.0.1:{server.server_address[1]}/{TOKEN}"
    with served(server):
        yield web
        web.answers.set()


@contextmanager
def mail_server() -> Iterator[Mail]:
    mail = Mail()

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 double")
            while line := self.rfile.readline().decode().strip():
                word = line.partition(" ")[0].upper()
                if word == "DATA":
                    self._say("354 go on")
                    mail.mails.append(self._mail())
                self._say(_ANSWERS.get(word, "250 ok"))

        def _mail(self) -> str:
            return b"".join(iter(self.rfile.readline, b".\r\n")).decode()

        def _say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

    server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
    port = server.server_address[1]
    mail.url = f"mailto://bot:{PASSWORD}@127.0.0.1:{port}?from=bot@example.org&to=ops@example.org"
    with served(server):
        yield mail


@contextmanager
def syslog_server() -> Iterator[Syslog]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", 0))
        own.settimeout(15)
        yield Syslog(own)
