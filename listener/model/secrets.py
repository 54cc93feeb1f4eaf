"""All redaction: what is left out of everything that is stored, logged and shown.

Owns how a secret is recognised: a value that a hook or a notification has, a rest_token by its form,
anything else by the key before it. It knows no notification and no file; whatever stores or prints a
text calls it.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

_TOKEN = re.compile(r"ctok-[\w-]+")
_TOKEN_LIKE = re.compile(r"(?<![\w-])(?!\w{8}(-\w{4}){3}-\w{12}(?![\w-]))[\w-]{24,}")
"""A rest_token, or a part of one; an execution's id is as long, but has a form of its own."""

_SECRET_KEY = re.compile(
    r"pass|pwd|secret|token|credential|private|auth(?!_protocol)|community|api[-_]?key|[-_]key$|^key$",
    re.IGNORECASE,
)
_LEVELS = 100  # of lists and objects in one another; Python's recursion ends at some 300
_OPEN_KEY = re.compile(
    r"address|host|server|port|user|name|tenant|path|file|folder|dir|level|version", re.IGNORECASE
)
"""What has such a name is shown, although it is taken from the environment."""
_PAIR = re.compile(r'(?<!\\)("(?:[^"\\]|\\.)*")(\s*:\s*)("(?:[^"\\]|\\.)*(?:"|$)|[^\s"{}\[\],]+)')
"""No key begins with an escaped quote. Were each one looked at, the time would grow with the square."""
_REST_OF_TEXT = re.compile(r'^[^{\[].*?"(?=\s*[,}\]])', re.DOTALL)
"""Of a text whose beginning was cut off: the rest of a value, perhaps of one whose key is lost."""
_PLAIN = re.compile(r"[\w.~-]+")
_SHORTEST = 4
_SHORTEST_KEYED = 8  # "public" is a word, too
_SHORTEST_LINE = 16
_LONG_TOKEN = 20
"""Characters, half of a token's; a shorter text can stand in a notification by chance."""


def mask_tokens(text: str) -> str:
    """The text with `ctok-…` in place of each rest_token."""
    return _TOKEN.sub("ctok-…", text) if "ctok-" in text else text


def mask_unreadable(text: str) -> str:
    """What should have been JSON, possibly cut at either end, with `…` in place of what may be secret.

    That is the value of a key that names a secret, the rest of a text whose beginning was cut off, and
    whatever looks like a token.
    """
    text = _REST_OF_TEXT.sub('…"', text)
    text = _PAIR.sub(lambda pair: f'{pair[1]}{pair[2]}"…"' if names_secret(pair[1]) else pair[0], text)
    return _TOKEN_LIKE.sub("…", text)


def secrets_in(inputs: Any, taken: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The secrets of a hook, for `mask`: in its inputs, and in the texts that it takes from elsewhere.

    Those are (key, text), with '' as the key for what a file has: that is secret, and so is what the
    environment has, but for a place or a person. Too short ones are left out: they stand anywhere.
    `inputs` can also be an execution's parameters; what nests too deep is not looked at.
    """
    elsewhere = [text for key, text in taken if not (key and _OPEN_KEY.search(key))]
    keyed = _keyed(inputs) if isinstance(inputs, (dict, list)) else ()
    own = [text for text in keyed if len(text) >= _SHORTEST_KEYED]
    return forms([*elsewhere, *own]) if elsewhere or own else ()


def _keyed(value: Any, key: str = "", levels: int = _LEVELS) -> Iterator[str]:
    """The texts below keys that name a secret, of a mapping or a list."""
    if isinstance(value, dict):
        items = ((str(name), item) for name, item in value.items())
    else:
        items = ((key, item) for item in value)
    for name, item in items:
        if isinstance(item, str):
            if name and names_secret(name):
                yield item
        elif isinstance(item, (dict, list)) and levels:
            yield from _keyed(item, name, levels - 1)


def forms(values: Iterable[str]) -> tuple[str, ...]:
    """Each way in which these secrets are written, the longest first."""
    found = {value for value in values if len(value) >= _SHORTEST}
    for value in [value for value in found if not _PLAIN.fullmatch(value)]:
        from urllib.parse import quote  # seldom needed

        data = value.encode("utf-8", "backslashreplace")  # a byte that is not UTF-8 is half a surrogate
        found |= {quote(data, safe=""), quote(data), json.dumps(value)[1:-1], repr(value)[1:-1]}
        found |= {line for line in value.splitlines() if len(line) >= _SHORTEST_LINE}
    return tuple(sorted(found, key=len, reverse=True))


def mask(text: str, secrets: Sequence[str]) -> str:
    """The text with `…` in place of each of these secrets, which `forms` has made."""
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, "…")
    return text


def mask_values(value: Any, secrets: Sequence[str] = (), levels: int = _LEVELS) -> Any:
    """The JSON value with `…` for each value whose key names a secret, or that nests too deep.

    The texts in it, as keys, too, are masked of these secrets.
    """
    if isinstance(value, str):
        return mask(value, secrets)
    if not levels and isinstance(value, (list, dict)):
        return "…"
    if isinstance(value, list):
        return [mask_values(item, secrets, levels - 1) for item in value]
    if isinstance(value, dict):
        return {
            mask(str(key), secrets): (
                "…" if item and names_secret(str(key)) else mask_values(item, secrets, levels - 1)
            )
            for key, item in value.items()
        }
    return value


@functools.lru_cache(maxsize=1000)  # the same keys come with each event
def names_secret(key: str) -> bool:
    """Whether what has this name, which may stand in quotes, is secret."""
    return _SECRET_KEY.search(key.strip('"')) is not None


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
