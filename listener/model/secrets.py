"""All redaction: what is left out of everything that is stored, logged and shown.

Owns how a secret is recognised: a rest_token by its form, anything else by the key before it. It knows
no notification and no file; whatever stores or prints a text calls it.
"""

from __future__ import annotations

import json
import re
from typing import Any

_TOKEN = re.compile(r"ctok-[\w-]+")
_TOKEN_LIKE = re.compile(r"(?<![\w-])(?!\w{8}(-\w{4}){3}-\w{12}(?![\w-]))[\w-]{24,}")
"""A rest_token, or a part of one; an execution's id is as long, but has a form of its own."""

_SECRET_KEY = re.compile(
    r"pass|pwd|secret|token|credential|private|auth|community|api[-_]?key|[-_]key$|^key$", re.IGNORECASE
)
_LEVELS = 100  # of lists and objects in one another; Python's recursion ends at some 300
_LONG_TOKEN = 20
"""Characters, half of a token's; a shorter text can stand in a notification by chance."""


def mask_tokens(text: str) -> str:
    """The text with `ctok-…` in place of each rest_token."""
    return _TOKEN.sub("ctok-…", text) if "ctok-" in text else text


def mask_token_like(text: str) -> str:
    """The text of an unknown form, possibly cut, with `…` in place of what may be a token."""
    return _TOKEN_LIKE.sub("…", text)


def mask_values(value: Any, levels: int = _LEVELS) -> Any:
    """The JSON value with `…` for each value whose key names a secret, or that nests too deep."""
    if not levels and isinstance(value, (list, dict)):
        return "…"
    if isinstance(value, list):
        return [mask_values(item, levels - 1) for item in value]
    if isinstance(value, dict):
        return {
            key: "…" if item and names_secret(key) else mask_values(item, levels - 1)
            for key, item in value.items()
        }
    return value


def names_secret(key: str) -> bool:
    """Whether what has this name is secret."""
    return _SECRET_KEY.search(key) is not None


def without_token(text: str, token: str | None) -> str:
    """A notification's JSON without its rest_token, wherever that stands; the key stays, with ''."""
    if token is None:
        return text
    literal = f'"{token}"'
    if text.count(token) == text.count(literal) == 1 and "\\u" not in text and "/" not in token:
        return text.replace(literal, '""')
    try:  # it stands there more than once, or may be written with escapes
        value = json.loads(text)
        value = _erased(value, token) if len(token) >= _LONG_TOKEN else value
        value["context"]["rest_token"] = ""
        return json.dumps(value)
    except RecursionError:  # no workflow nests so deep
        return text.replace(token, "")


def _erased(value: Any, token: str) -> Any:
    if isinstance(value, str):
        return value.replace(token, "")
    if isinstance(value, list):
        return [_erased(item, token) for item in value]
    if isinstance(value, dict):
        return {key.replace(token, ""): _erased(item, token) for key, item in value.items()}
    return value
