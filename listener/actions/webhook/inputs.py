"""What each input of a webhook hook may be, and the Webhook that they make together.

Owns the messages about inputs that are unknown, missing, wrong, or do not fit each other, and about
files that cannot be read. It opens no connection; action.py reads each hook once.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from listener.actions import Fault
from listener.actions.inputs import read_inputs
from listener.hooks.values import INVALID, PATH, Kind, choice, text
from listener.model.notification import storable
from listener.model.secrets import forms


class Route(NamedTuple):
    """How its server is reached; webhooks with the same one share connections. All but `tls` are paths
    of files, or a proxy's URL; '' is none, and without a `ca` those of the system are trusted.
    """

    tls: bool
    ca: str = ""
    cert: str = ""
    key: str = ""
    proxy: str = ""


class Webhook(NamedTuple):
    """The inputs of one hook. `name` is its destination: the URL without path, query and default port.

    `body` is None for an event, '' for no body. `secret` is the key of the signature, b'' for none.
    `secrets` are for `mask`.
    """

    url: str
    name: str
    method: str
    headers: Mapping[str, str]
    body: str | None
    content_type: str
    secret: bytes
    route: Route
    secrets: tuple[str, ...]


def read_webhook(inputs: Mapping[str, Any], folder: str) -> tuple[Webhook | None, tuple[Fault, ...]]:
    """The webhook; or None, and all that is wrong. Relative paths start at `folder`."""
    values, faults = read_inputs(inputs, INPUTS, required=("url",))
    if "key" in values and "cert" not in values:
        faults.append(Fault("key", "'key' needs 'cert', the certificate that it belongs to"))
    if faults:
        return None, tuple(faults)
    url, secret = values["url"], values.get("secret", b"")
    parts = urlsplit(url)
    files = {name: os.path.join(folder, values[name]) for name in FILES if name in values}
    route = Route(parts.scheme == "https", **files, proxy=values.get("proxy", ""))
    method = values.get("method", "POST")
    content_type, body = values.get("body", ("", "" if method == "GET" else None))
    headers = values.get("headers", {})
    return Webhook(
        url, origin(parts), method, headers, body, content_type, secret, route, _secrets(parts, route)
    ), ()


def file_faults(route: Route) -> list[Fault]:
    """The files of TLS that cannot be read here and now."""
    return [
        Fault(name, f"{name!r}: {path} cannot be read: {reason}", is_certain=not os.path.exists(path))
        for name in FILES
        if (path := getattr(route, name)) and (reason := _unreadable(path))
    ]


def origin(parts: SplitResult) -> str:
    """A URL without what may be secret in it: https://example.com:8443."""
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    is_usual = parts.port in (None, _PORTS.get(parts.scheme))
    return f"{parts.scheme}://{host}" + ("" if is_usual else f":{parts.port}")


def _secrets(parts: SplitResult, route: Route) -> tuple[str, ...]:
    """Many a service has its secret in the URL."""
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    queries = [pair.partition("=")[2] for pair in parts.query.split("&")]
    return forms([target, parts.path, parts.query, *queries, urlsplit(route.proxy).password or ""])


def _unreadable(path: str) -> str:
    try:
        with open(path, "rb") as file:
            file.read(1)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _url(value: Any) -> Any:
    parts = _split(value)
    is_one = parts is not None and parts.scheme in _PORTS and "@" not in parts.netloc
    return value if is_one else INVALID


def _proxy(value: Any) -> Any:
    parts = _split(value)
    is_one = parts is not None and parts.scheme == "http" and parts.path in ("", "/")
    return value if is_one else INVALID


def _split(value: Any) -> SplitResult | None:
    """The parts of a URL with a host; None if it is none."""
    if not isinstance(value, str) or not _PRINTED.fullmatch(value):
        return None
    try:
        parts = urlsplit(value)
        return parts if parts.hostname and parts.port != 0 else None
    except ValueError:  # a port that is no number, a [ without its ]
        return None


def _headers(value: Any) -> Any:
    """By their names in lower case. A line feed in one would begin another one (RFC 9112, 5.2)."""
    if not isinstance(value, dict) or not all(map(_is_header, value, value.values())):
        return INVALID
    return {name.lower(): text for name, text in value.items()}


def _is_header(name: Any, value: Any) -> bool:
    is_name = isinstance(name, str) and _TOKEN.fullmatch(name) and name.lower() not in _FRAMING
    return bool(is_name and isinstance(value, str) and _FIELD.fullmatch(value))


def _body(value: Any) -> Any:
    """Its content type, and its text."""
    if isinstance(value, str):
        return "text/plain; charset=utf-8", storable(value)
    try:
        return "application/json", json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return INVALID


def _secret(value: Any) -> Any:
    """The key as Standard Webhooks has it: in base64 after `whsec_`, else the text itself."""
    given = text(is_secret=True).read(value)
    if given is INVALID or not given.startswith(_PREFIX):
        return given if given is INVALID else given.encode()
    try:
        key = base64.b64decode(given.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        return INVALID
    return key or INVALID


FILES = ("ca", "cert", "key")
_PORTS = {"http": 80, "https": 443}
_PREFIX = "whsec_"
_PRINTED = re.compile(r"[!-~]+")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD = re.compile(r"[\t -~\xa0-\xff]*")
_FRAMING = ("connection", "content-length", "host", "transfer-encoding")

INPUTS: Mapping[str, Kind] = {
    "url": Kind(
        _url, "a URL, http://… or https://…, in ASCII, without a user or blanks", is_secret=True
    ),
    "method": choice("POST", "PUT", "PATCH", "GET"),
    "headers": Kind(
        _headers,
        "a mapping of names to texts, in quotes, without line feeds; not " + ", ".join(_FRAMING),
        is_secret=True,
        schema={"type": "object"},
    ),
    "body": Kind(_body, "a text, or what JSON can hold", schema={}),
    "secret": Kind(_secret, f"a text, or {_PREFIX} and base64", is_secret=True),
    "ca": PATH,
    "cert": PATH,
    "key": PATH,
    "proxy": Kind(_proxy, "a URL, http://host:port, without a path", is_secret=True),
}
