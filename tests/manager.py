"""A double of a manager's REST service, which is asked to delete rest_tokens: there is none here."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from listener.hooks.settings import RestService
from tests.support import served


class Manager(ThreadingHTTPServer):
    """Answers with `statuses`, then with 204; it hangs while `answers` is not set."""

    request_queue_size = 128  # a worker asks from a hundred threads at once

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.statuses: list[int] = []
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.answers = threading.Event()
        self.answers.set()

    def service(self, host: str = "127.0.0.1", *tls: str) -> RestService:
        return RestService(host, self.server_port, *(tls or ("http",)))

    def handle_error(self, *_: Any) -> None:
        """Nothing: a client that trusts no certificate breaks off."""


class _Answers(BaseHTTPRequestHandler):
    def do_DELETE(self) -> None:
        manager: Any = self.server
        manager.asked.append((self.path, self.headers["Authentication-Token"], self.headers["Tenant"]))
        manager.answers.wait()
        self.send_response(manager.statuses.pop(0) if manager.statuses else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing: stderr belongs to the tests."""


@contextmanager
def running() -> Iterator[Manager]:
    manager = Manager()
    with served(manager):
        try:
            yield manager
        finally:
            manager.answers.set()
