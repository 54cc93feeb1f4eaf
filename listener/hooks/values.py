"""What a value may be: a text, a number, one of some words, …

Owns the kinds of values, and the words about one that is wrong: what was found, what is wanted, which
name is nearest. It knows no file and no key. The keys of hooks.conf (conf.py) and the inputs of
traps (actions/snmp_trap/values.py) are tables of kinds.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

_SHOWN = 40
_QUOTED = 200

Schema = Mapping[str, Any]
"""A JSON Schema."""

_TEXT: Schema = {"type": "string"}

INVALID: Any = object()
"""Stands in place of a wrong value, whose mistake has been or will be reported."""


class Kind(NamedTuple):
    """What a value may be. `read` gives what to use of a plain value, or INVALID.

    `wanted` completes "it must be …". A wrong value of a secret kind is never shown. `schema` says as
    much of it as a JSON Schema can.
    """

    read: Callable[[Any], Any]
    wanted: str
    is_secret: bool = False
    schema: Schema = _TEXT

    def refusal(self, found: str) -> str:
        """What a person reads about a value that is INVALID; `found` says what it is."""
        return f"must be {self.wanted}" + ("" if self.is_secret else f", found {found}")


def text(
    wanted: str = "a text", *, least: int = 1, most: float = math.inf, is_secret: bool = False
) -> Kind:
    """A text of so many bytes. It has no null byte, where C would take it to end."""

    def read(value: Any) -> Any:
        try:
            size = len(value.encode()) if isinstance(value, str) else -1
        except UnicodeEncodeError:  # the environment brings bytes that are no UTF-8 as lone surrogates
            return INVALID
        return value if least <= size <= most and "\0" not in value else INVALID

    return Kind(read, wanted, is_secret, {**_TEXT, "minLength": min(least, 1)})


def number(unit: str, most: float) -> Kind:
    """A float from a number above 0, whole or not."""

    def read(value: Any) -> Any:
        value = _number(value)
        return float(value) if type(value) in (int, float) and _LEAST <= value <= most else INVALID

    schema = {"type": "number", "minimum": _LEAST, "maximum": most}
    return Kind(read, f"a number of {unit} from {_LEAST:g} to {most:g}", schema=schema)


_LEAST = 0.01


def whole_number(least: int, most: int) -> Kind:
    def read(value: Any) -> Any:
        value = _number(value)
        return value if type(value) is int and least <= value <= most else INVALID

    schema = {"type": "integer", "minimum": least, "maximum": most}
    return Kind(read, f"a whole number from {least} to {most}", schema=schema)


def _number(value: Any) -> Any:
    """The number that a text looks like: !env and !file always give texts."""
    if not isinstance(value, str) or not re.fullmatch(_LOOKS_LIKE_NUMBER, value):
        return value
    return float(value) if "." in value else int(value)


_LOOKS_LIKE_NUMBER = r"-?[0-9]{1,9}(\.[0-9]{1,9})?"


def _duration(value: Any) -> Any:
    is_right = type(value) in (int, float, str)
    match = re.fullmatch(_DURATION, str(value), re.ASCII) if is_right else None
    seconds = float(match[1]) * SECONDS[match[2]] if match else 0.0
    return seconds if 0 < seconds <= _MOST_DAYS * SECONDS["d"] else INVALID


_DURATION = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd]?)"
SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_MOST_DAYS = 30


def unix_time(text: str) -> float:
    """The Unix time of an ISO 8601 time, in UTC unless it says more. Raises ValueError."""
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()


def choice(*words: str) -> Kind:
    wanted = " or ".join(words) if len(words) == 2 else f"one of {', '.join(words)}"
    return Kind(lambda value: value if value in words else INVALID, wanted, schema={"enum": words})


def _boolean(value: Any) -> Any:
    if isinstance(value, str):
        return _TRUTH.get(value.lower(), INVALID)
    return value if isinstance(value, bool) else INVALID


_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
"""As YAML 1.1 reads these words without quotes."""

TEXT = text()
PATH = text("a path")
PORT = whole_number(1, 65535)._replace(wanted="a port from 1 to 65535")
BOOLEAN = Kind(_boolean, "true or false", schema={"enum": [True, False, *_TRUTH]})
DURATION = Kind(
    _duration,
    f"a duration of at most {_MOST_DAYS}d, such as 90s, 5m, 2h or 1d",
    schema={"type": ["number", "string"], "pattern": "^[0-9.]+[smhd]?$"},
)
"""Read as seconds. A number is seconds, too."""


def in_words(value: Any) -> str:
    """What a mistake calls a value that was found. What stands in a list or mapping may be secret."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, list)):
        kind = "mapping" if isinstance(value, dict) else "list"
        return f"a {kind}" if value else f"an empty {kind}"
    if isinstance(value, str):
        return f"the text {shortened(value)!r}" if value else "an empty text"
    return shortened(str(value))


def quoted(value: Any) -> str:
    """A value that was found, in an explanation: a text in quotes, all else as in a mistake."""
    return f'"{shortened(value, _QUOTED)}"' if isinstance(value, str) else in_words(value)


def shortened(text: str, most: int = _SHOWN) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?`, or the list of what would be right."""
    known = tuple(known)
    close = near(word, known)
    return f"did you mean {close!r}?" if close else f"known are: {', '.join(known)}"


def near(word: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """The known word that a person has probably meant; None if none has this likeness (of 1)."""
    import difflib  # only a mistake needs it, and it is slow to import

    by_spelling = {spelled_alike(each): each for each in known}
    ending = [each for each in by_spelling if each.endswith(f"-{spelled_alike(word)}")]
    close = ending or difflib.get_close_matches(spelled_alike(word), by_spelling, 1, likeness)
    return by_spelling[close[0]] if close else None


def spelled_alike(word: str) -> str:
    """The same for all words that differ in case, or in - and _."""
    return word.casefold().replace("_", "-")
