"""A rest_token that no hook needs any more is deleted at the manager, beside the events.

Owns the requests to the manager's REST service, the thread that makes them, and the queue before it.
It never decides when a token is no longer needed, and no event waits for it. The runner hands it
tokens, app.py closes it.
"""

from __future__ import annotations

import logging
import re
from contextlib import closing
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from listener.hooks.settings import RestService

if TYPE_CHECKING:
    from http.client import HTTPConnection

_log = logging.getLogger(__name__)

MOST_WAITING = 1000
END_S = 2.0
TIMEOUT_S = 10.0
"""For each step of a request: to connect, to read."""

_TOKEN = re.compile(r"ctok-(\w+)-[\w-]+", re.ASCII)
_DELETED = 204
_UNKNOWN = 404
_UNAUTHORIZED = 401

_REFUSED = (
    "the manager answers 401 to the deletion of a rest_token: it has expired, or another consumer has"
    " deleted it, such as the manager's own mgmtworker; let only one of them consume the notifications"
)
_FULL = (
    f"{MOST_WAITING} rest_tokens wait for their deletion at the manager: further ones are left to"
    " expire, after 10 hours; look why its REST service is slow"
)
_FAILED = (
    "a rest_token cannot be deleted at the manager (%s): it is left to expire, after 10 hours; check"
    " 'listener: manager' in hooks.conf and the manager's REST service"
)


class _Waiting(NamedTuple):
    token: str
    token_id: str
    tenant: str


class Tokens:
    """Deletes rest_tokens at `service`, one after another; none if that is None.

    What cannot be deleted expires. One WARNING says so, and another one only after it has worked again.
    """

    def __init__(self, service: RestService | None) -> None:
        self._service = service
        self._waiting: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._troubles: set[str] = set()

    def delete(self, token: str, tenant: object) -> None:
        """Delete a token of this tenant soon; what cannot be a manager's is left alone."""
        match = _TOKEN.fullmatch(token)
        if self._service is None or match is None or not _is_tenant(tenant):
            return
        if self._waiting.qsize() >= MOST_WAITING:
            self._warn(_FULL)
            return
        self._waiting.put(_Waiting(token, match[1], tenant))
        if self._thread is None:
            self._thread = Thread(target=self._run, args=(self._service,), name="tokens", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait until all is deleted, but at most END_S: what is left then expires."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(END_S)

    def _run(self, service: RestService) -> None:
        while (waiting := self._waiting.get()) is not None:
            if trouble := _delete(service, waiting):
                self._warn(trouble)
            else:
                self._troubles &= {_REFUSED, _FULL}  # these two come and go with each token

    def _warn(self, trouble: str) -> None:
        if trouble not in self._troubles:
            self._troubles.add(trouble)
            _log.warning("%s", trouble)


def _is_tenant(name: object) -> TypeGuard[str]:
    return isinstance(name, str) and name.isascii() and name.isprintable()


def _delete(service: RestService, waiting: _Waiting) -> str:
    """Ask each host in turn until one has answered; what is wrong then, '' if the token is gone."""
    from http.client import HTTPException

    failures = []
    for host in filter(None, map(str.strip, service.host.split(","))):
        try:
            status = _answer(service, host, waiting)
        except (OSError, HTTPException, ValueError) as error:  # ValueError: what can be no host
            failures.append(f"{host}:{service.port}: {error}")
            continue
        if status in (_DELETED, _UNKNOWN):
            return ""
        if status == _UNAUTHORIZED:
            return _REFUSED
        failures.append(f"{host}:{service.port}: status {status}")
    return _FAILED % ", ".join(failures)


def _answer(service: RestService, host: str, waiting: _Waiting) -> int:
    """The status of the host's answer."""
    headers = {"Authentication-Token": waiting.token, "Tenant": waiting.tenant}
    with closing(_connection(service, host)) as connection:
        connection.request("DELETE", f"/api/v3.1/tokens/{waiting.token_id}", headers=headers)
        with connection.getresponse() as response:
            return response.status


def _connection(service: RestService, host: str) -> HTTPConnection:
    """A connection as cloudify's own client has it: it checks the certificate and the host's name."""
    from http.client import HTTPConnection, HTTPSConnection

    if service.protocol == "http":
        return HTTPConnection(host, service.port, timeout=TIMEOUT_S)
    from ssl import PROTOCOL_TLS_CLIENT, SSLContext

    context = SSLContext(PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(service.cert)
    return HTTPSConnection(host, service.port, timeout=TIMEOUT_S, context=context)
