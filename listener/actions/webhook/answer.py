"""What a server's answer means for the hook: done, failed, or failed for good.

Owns the meaning of each status, and when to try again. It reads no socket; client.py makes Answers,
action.py has them judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from listener.actions.webhook.inputs import Webhook, origin
from listener.errors import ActionFailed
from listener.hooks.values import shortened
from listener.log import printable
from listener.model.outcome import NEVER
from listener.model.secrets import mask

_PASSING = (408, 425, 429)
"""With those from 500 on: the same request may be accepted later."""

_MOST_CHARACTERS = 200
_MOST_PAUSE_S = 86_400.0

_TO_DO = {
    401: "correct 'headers' or 'secret'",
    403: "correct 'headers' or 'secret'",
    404: "correct 'url'",
    405: "correct 'method'",
    407: "correct 'proxy'",
    410: "correct 'url'",
}


class Answer(NamedTuple):
    """`headers` knows names in any case. `content` is the beginning of the body."""

    status: int
    headers: Mapping[str, str]
    content: bytes = b""


def judge(answer: Answer, webhook: Webhook, secrets: tuple[str, ...], now: float) -> str:
    """What to log when the request was accepted; else raises ActionFailed. `now` is Unix time."""
    found = f"{webhook.name} answered {answer.status}"
    if 300 <= answer.status < 400:
        place = _place(answer.headers.get("location", ""), webhook.url)
        raise ActionFailed(
            f"{found}, which points to {place}; redirects are not followed: correct 'url'",
            retry_after_s=NEVER,
        )
    text = _shown(answer.content, (*secrets, *webhook.secrets))
    found += f": {text}" if text else ""
    if 200 <= answer.status < 300:
        return found
    if answer.status in _PASSING or answer.status >= 500:
        pause_s = _pause_s(answer.headers.get("retry-after", ""), now)
        asks = "" if pause_s is None else f"; it asks for a pause of {pause_s:.0f} s"
        raise ActionFailed(found + asks, retry_after_s=pause_s)
    to_do = _TO_DO.get(answer.status, "correct the hook's inputs")
    raise ActionFailed(f"{found}; {to_do}", retry_after_s=NEVER)


def _shown(content: bytes, secrets: tuple[str, ...]) -> str:
    """The text in one line. Secrets go before it is cut: half of one would not be known any more."""
    text = printable(" ".join(mask(content.decode("utf-8", "replace"), secrets).split()))
    return shortened(text, _MOST_CHARACTERS)


def _place(location: str, url: str) -> str:
    """Where a redirect points to, without a user and a query, and without our own path."""
    try:
        parts, own = urlsplit(urljoin(url, location)), urlsplit(url).path
        path = parts.path.replace(own, "…") if len(own) > 1 else parts.path
        return printable(origin(parts) + path)[:_MOST_CHARACTERS] if location else "nowhere"
    except ValueError:
        return "no URL"


def _pause_s(retry_after: str, now: float) -> float | None:
    """The seconds of a Retry-After (RFC 9110, 10.2.3), at most a day; None if it says none."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        pause_s = float(text[:9])
    else:
        try:
            pause_s = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return min(max(pause_s, 0.0), _MOST_PAUSE_S)
