"""The built-in `webhook`: a notification goes to a web server, as an event or as the hook's own body.

Owns the order of the work: read the inputs, make the request, have the answer judged, count. It knows
no HTTP: client.py does. The registry makes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from listener.actions import Action, Call, Fault, Surroundings
from listener.actions.inputs import OncePerHook
from listener.actions.webhook.answer import judge
from listener.actions.webhook.client import Client
from listener.actions.webhook.inputs import INPUTS, Route, Webhook, file_faults, read_webhook
from listener.actions.webhook.message import request_of
from listener.errors import ActionFailed, ActionTimedOut
from listener.hooks.file import Stamp, stamp
from listener.hooks.table import Hook
from listener.hooks.values import Kind
from listener.model.outcome import Tallies, Tally


class _Kept(NamedTuple):
    """A client, and of which versions of its files it was made."""

    client: Client
    files: tuple[Stamp | None, ...]


class WebhookAction(Action):
    """Sends requests and keeps connections. `now` is Unix time."""

    has_destinations = True

    def __init__(self, surroundings: Surroundings, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._read = OncePerHook(lambda hook: read_webhook(hook.inputs, surroundings.config_folder))
        self._clients: dict[Route, _Kept] = {}
        self._tallies = Tallies()

    def run(self, call: Call) -> str:
        webhook, faults = self._read(call.hook)
        if webhook is None:
            raise ActionFailed("; ".join(fault.reason for fault in faults))
        try:
            result = self._send(webhook, call)
        except (ActionFailed, ActionTimedOut):
            self._tallies.count(webhook.name, is_sent=False)
            raise
        self._tallies.count(webhook.name, is_sent=True, is_acknowledged=True)
        return result

    def check(self, hook: Hook, *, may_import: bool) -> list[Fault]:
        webhook, faults = self._read(hook)
        if webhook is None:
            return list(faults)
        if found := file_faults(webhook.route):
            return found
        try:
            self._client(webhook.route)
        except ActionFailed as error:
            return [Fault(None, str(error))]
        return []

    def hosts(self, hook: Hook) -> Collection[str]:
        """That of the proxy, which resolves the server's, where there is one."""
        webhook, _ = self._read(hook)
        reached = (webhook.route.proxy or webhook.url) if webhook else ""
        host = urlsplit(reached).hostname
        return [host] if host else []

    @classmethod
    def inputs(cls) -> Mapping[str, Kind]:
        return INPUTS

    def prepare(self, hook: Hook) -> None:
        """Import what the hook needs and read its certificates; what is wrong `check` has said."""
        self.check(hook, may_import=False)

    def take_tallies(self) -> dict[str, Tally]:
        return self._tallies.take()

    def close(self) -> None:
        for kept in self._clients.values():
            kept.client.close()
        self._clients.clear()

    def _send(self, webhook: Webhook, call: Call) -> str:
        request = request_of(webhook, call, self._now())
        client = self._client(webhook.route)
        answer = client.exchange(request, webhook.name, call.hook.timeout_s, call.stop)
        return judge(answer, webhook, call.secrets, self._now())

    def _client(self, route: Route) -> Client:
        """The kept one, or a new one after a request was given up or a file has changed."""
        files = tuple(map(stamp, filter(None, (route.ca, route.cert, route.key))))
        kept = self._clients.get(route)
        if kept is not None and kept.files == files and not kept.client.is_over:
            return kept.client
        client = Client(route)
        if kept is not None:
            kept.client.close()
        self._clients[route] = _Kept(client, files)
        return client
