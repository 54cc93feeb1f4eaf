"""The listener killed with -9 at random while its hooks speak with a web server.

Owns the receiver, which notes what it has got as a function would, and refuses a part of it once, so
that there are retries. What may come twice, and how it is recognised then, the README says.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.actions.webhook.web import Handler, WebServer, serving
from tests.faults.hooks import Hooks, append, names
from tests.faults.kills import killed
from tests.faults.ledger import Setting, Verdict, unless
from tests.faults.supervised import supervised

_WEBHOOKS = """\
  - {{event_type: '*', name: once, implementation: webhook, inputs: {{url: '{url}/once'}}}}
  - {{event_type: '*', name: again, implementation: webhook, inputs: {{url: '{url}/again'}},
     repeatable: true, retries: 3}}
"""
_NOTIFY = """\
  - event_type: '*'
    name: once
    implementation: notify
    retries: 3
    inputs: {{urls: ['{url}/first', '{url}/second'], title: !template "{{{{ execution_id }}}}"}}
"""
_NOTED: Mapping[str, Sequence[str]] = {
    "once": ("once begun", "once done"),
    "again": ("again begun", "again done"),
    "first": ("once begun",),
    "second": ("once done",),
}
"""What is noted of each path: a message to two URLs begins at the first, and is done at the second."""

_REFUSING = ("again", "second")
_ANSWERED_AFTER_S = 0.01


class _Request(NamedTuple):
    path: str
    name: str
    id: str | None


class _Receiver:
    """Notes into a folder; `got` are the requests that it has not refused."""

    def __init__(self, web: WebServer, folder: Path) -> None:
        self.got: list[_Request] = []
        self._refused: set[_Request] = set()
        self._notes = folder / "notes"
        web.reply = self._reply

    def _reply(self, handler: Handler) -> None:
        request = _request_of(handler)
        time.sleep(_ANSWERED_AFTER_S)  # the listener is killed meanwhile, now and then
        if self._refuses(request):
            handler.answer(503)
            return
        self.got.append(request)
        for note in _NOTED[request.path]:
            append(self._notes, f"{note} {request.name}\n")
        handler.answer()

    def _refuses(self, request: _Request) -> bool:
        """Whether it is the first one for a name that is refused once."""
        is_first = request not in self._refused
        self._refused.add(request)
        return is_first and request.path in _REFUSING and request.name.endswith(("0", "5"))


def _request_of(handler: Handler) -> _Request:
    """The last one on its connection. A message has its name as the title, an event as the subject."""
    peer = handler.client_address[1]
    received = next(each for each in reversed(handler.server.received) if each.peer == peer)
    body = json.loads(received.body)
    name = body.get("subject") or body["title"]
    return _Request(handler.path.strip("/"), name, received.headers["Idempotency-Key"])


def webhook(setting: Setting) -> Verdict:
    """Nothing is lost. What comes twice comes to the repeatable hook, with the same id again."""
    kills, events = (6, 60) if setting.short else (150, 1500)
    with serving() as web:
        receiver = _Receiver(web, setting.folder)
        hooks = Hooks((), more=_WEBHOOKS.format(url=web.url))
        with supervised(setting.folder, hooks) as supervisord:
            verdict = killed(supervisord, setting, kills, names(events), ("once", "again"), 1.0)
    got = Counter(receiver.got)
    ids = Counter(request.id for request in got)
    again = sum(count - 1 for count in got.values())
    return verdict.and_also(
        unless(len({request[:2] for request in got}) == len(got), "what came twice had another id"),
        unless(max(ids.values()) == 1, "two notifications or hooks had the same id"),
        remark=f"{verdict.remark}, {again} came again, with the same id",
    )


def notify(setting: Setting) -> Verdict:
    """No URL gets a message twice; a retry goes to the URL that has refused it, and to no other."""
    kills, events = (4, 20) if setting.short else (60, 600)
    with serving() as web:
        receiver = _Receiver(web, setting.folder)
        hooks = Hooks((), more=_NOTIFY.format(url=web.url.replace("http", "json")))
        with supervised(setting.folder, hooks) as supervisord:
            verdict = killed(supervisord, setting, kills, names(events), ("once",), 3.0)
    twice = [request for request, count in Counter(receiver.got).items() if count > 1]
    return verdict.and_also(unless(not twice, f"these came twice: {twice}"))
