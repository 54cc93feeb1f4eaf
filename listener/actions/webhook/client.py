"""Sends requests over kept connections, each with its answer within a bounded time.

Owns urllib3: one pool for each server, TLS, the proxy, and a thread for each request, since a resolver
and a server that drips bytes know no limit. It never sends a request twice, and follows no redirect.
action.py keeps one for each Route.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
from typing import Any
from urllib.parse import unquote, urlsplit

from urllib3 import PoolManager, ProxyManager, Timeout, make_headers
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from listener.actions.webhook.answer import Answer
from listener.actions.webhook.faults import reason
from listener.actions.webhook.inputs import Route
from listener.actions.webhook.message import Request
from listener.errors import ActionFailed, ActionTimedOut
from listener.state.stop import NOBODY, Deadline, Stop

_MOST_BYTES = 4096
_SERVERS = 32
_LATER_S = 60.0
"""So long after a request was given up its thread ends, if it still waits for a connection."""

logging.getLogger("urllib3").setLevel(logging.CRITICAL)  # its lines have whole URLs


class Client:
    """Of one Route. Raises ActionFailed when its files cannot be used."""

    def __init__(self, route: Route) -> None:
        self._guard = _Guard()
        options: dict[str, Any] = {"ssl_context": _tls_context(route)} if route.tls else {}
        if route.proxy:
            headers = _proxy_headers(route.proxy)
            self._pools: PoolManager = ProxyManager(
                route.proxy, _SERVERS, proxy_headers=headers, **options
            )
        else:
            self._pools = PoolManager(_SERVERS, **options)
        self._pools.pool_classes_by_scheme = self._guard.pool_classes()

    @property
    def is_over(self) -> bool:
        """Whether a request was given up: then another Client is needed."""
        return self._guard.is_over

    def exchange(self, request: Request, name: str, timeout_s: float, stop: Stop = NOBODY) -> Answer:
        """The answer to a request. Raises ActionTimedOut, or ActionFailed when there is none.

        An answer whose body is late or broken is an answer all the same. A kept connection that the
        server has closed is replaced before anything is sent; one that breaks afterwards is a failure,
        since nobody knows whether the request has arrived.
        """
        exchange = Exchange(self._pools, request, timeout_s)
        exchange.start()
        has_ended = Deadline(timeout_s, stop).wait(exchange.has_ended.wait)
        answer, error = exchange.answer, exchange.error
        if not has_ended:
            self._guard.end()
            self._pools.clear()
        if answer is not None:
            return answer
        if error is None:
            what = "the request may have arrived; look at the server"
            late = "" if stop.is_seen else f" within {timeout_s:g} s"
            advice = "" if stop.is_seen else ", or raise the hook's 'timeout'"
            raise ActionTimedOut(f"{name}: no answer{late}; {what}{advice}")
        if isinstance(error, (HTTPError, OSError)):
            raise ActionFailed(reason(error, name)) from error
        raise error

    def close(self) -> None:
        self._pools.clear()


class Exchange(threading.Thread):
    """One request: its `answer` as far as it has come, or the `error`."""

    def __init__(self, pools: PoolManager, request: Request, timeout_s: float) -> None:
        super().__init__(daemon=True)
        self._pools, self._request, self._timeout_s = pools, request, timeout_s
        self.answer: Answer | None = None
        self.error: Exception | None = None
        self.has_ended = threading.Event()

    def run(self) -> None:
        try:
            self._run()
        except Exception as error:  # it is raised where the request is waited for
            self.error = error
        self.has_ended.set()

    def _run(self) -> None:
        method, url, headers, body = self._request
        response = self._pools.urlopen(
            method,
            url,
            body=body or None,
            headers=headers,
            timeout=Timeout(total=self._timeout_s + _LATER_S),
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
        self.answer = Answer(response.status, response.headers)
        try:
            self.answer = self.answer._replace(content=response.read(_MOST_BYTES))
        finally:
            response.close()  # ends the connection if there is more to read


class _Guard:
    """Knows the open connections, and ends them together: then no request goes out any more."""

    def __init__(self) -> None:
        self.is_over = False
        self._open: list[HTTPConnection] = []

    def end(self) -> None:
        self.is_over = True
        for connection in self._open:
            if connection.sock is not None:
                with contextlib.suppress(OSError):  # of a TLS socket, too, the one below
                    socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    def begins(self, connection: HTTPConnection) -> None:
        self._open = [*(each for each in self._open if not each.is_closed), connection]

    def has_begun(self, connection: HTTPConnection) -> None:
        """Raises TimeoutError for a connection that came too late: the resolver has no limit."""
        if self.is_over:
            connection.close()
            raise TimeoutError

    def pool_classes(self) -> dict[str, type[HTTPConnectionPool]]:
        guard = self

        class Guarded(HTTPConnection):
            def connect(self) -> None:
                guard.begins(self)
                super().connect()
                guard.has_begun(self)

        class Secure(Guarded, HTTPSConnection):
            pass

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Guarded

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        return {"http": PlainPool, "https": SecurePool}


def _tls_context(route: Route) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=route.ca or None)
        if route.cert:
            context.load_cert_chain(route.cert, route.key or None, password="")
    except OSError as error:
        names = ", ".join(filter(None, (route.ca, route.cert, route.key)))
        raise ActionFailed(
            f"a certificate or key cannot be used ({names}): {error.strerror or error};"
            " correct 'ca', 'cert' and 'key'"
        ) from error
    return context


def _proxy_headers(proxy: str) -> dict[str, str]:
    """Its user and password, if it has some (RFC 7617)."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return make_headers(proxy_basic_auth=user)
