"""One message to one URL, by Apprise: what runs in a process of its own.

Owns what Apprise is asked for, and its reason when it fails, which only its log has. It knows no hook.
The listener never imports it, since Apprise takes 50 MB: action.py has its functions called in a child.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from apprise import Apprise, AppriseAsset, NotificationManager

from listener.hooks.values import nearest

_ASSET = AppriseAsset(app_id="conductor-hooks", app_desc="conductor-hooks", async_mode=False)
_SCHEMES = frozenset(NotificationManager().schemas())  # type: ignore[no-untyped-call]
"""Of all services: they are loaded once, before processes are forked for calls."""


class NotSent(Exception):
    """The text is Apprise's reason."""


class _Reasons(logging.Handler):
    """The lines of Apprise's log that say what went wrong.

    Why a connection failed is a line for its developers. One with a URL in it is left out: it shows
    the ends of each secret.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: dict[str, None] = {}  # a set that keeps the order

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage().strip().rstrip(".")
        is_reason = record.levelno >= logging.WARNING or line.startswith("Socket Exception: ")
        if is_reason and "://" not in line:
            self._lines[line] = None

    def __str__(self) -> str:
        return "; ".join(self._lines)


def send(_context: Mapping[str, Any], url: str, title: str, body: str, kind: str) -> None:
    """Send a text; `kind` is Apprise's notify_type. Raises NotSent."""
    reasons = _listen()
    service = _service(url, reasons)
    if not service.notify(body, title, kind, body_format="text"):
        raise NotSent(str(reasons) or "Apprise gives no reason")


def check(_context: Mapping[str, Any], url: str) -> None:
    """Raises NotSent when Apprise does not understand the URL; nothing is sent."""
    _service(url, _listen())


def _listen() -> _Reasons:
    """Hear all that Apprise logs, in place of the listener's log. This process makes no other call."""
    reasons = _Reasons()
    logger = logging.getLogger("apprise")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(reasons)
    return reasons


def _service(url: str, reasons: _Reasons) -> Apprise:
    service = Apprise(asset=_ASSET)
    if service.add(url) and len(service):
        return service
    scheme = url.partition("://")[0].lower()
    if scheme in _SCHEMES:
        raise NotSent(f"Apprise does not understand the URL: {reasons or 'a part is missing or wrong'}")
    raise NotSent(f"Apprise has no service {scheme!r:.40}; {_hint(scheme)}")


def _hint(scheme: str) -> str:
    hint = nearest(scheme, _SCHEMES)
    return hint if hint.endswith("?") else "its documentation lists them"
