"""A text file that a person names: hooks.conf, what !file names, a notification.

Owns which files are read at all, their encoding, and what is doubtful about a text that stands outside
of hooks.conf. It knows no YAML. file.py and yaml_lines.py read with it, author.py decodes.
"""

from __future__ import annotations

import errno
import os
import stat

MOST_BYTES = 1_000_000

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read(path: str | os.PathLike[str]) -> bytes:
    """All of a regular file of at most 1 MB, or of /dev/null; never waits, as a pipe would make it.

    Raises OSError, also for any other file; its `strerror` says what is wrong.
    """
    with open(path, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) and not os.path.samestat(status, os.stat(os.devnull)):
            raise OSError(errno.EINVAL, "it is a pipe or a device, not a regular file")
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise OSError(errno.EFBIG, "it is larger than 1 MB")
    return data


def text_of(data: bytes) -> str:
    """The text without its byte order mark. Raises UnicodeDecodeError, whose `reason` names UTF-16."""
    if data.startswith(_UTF_16) or b"\0" in data[:2]:
        raise UnicodeDecodeError("utf-8", data, 0, 1, "it is UTF-16")
    return data.decode().removeprefix("\ufeff")


def doubt(text: str) -> str:
    """What a text has that nobody sees and that may be a mistake; '' when there is nothing."""
    if not text:
        return "is empty"
    if text != text.strip():
        return "begins or ends with a blank or an empty line"
    hidden = next(filter(_is_hidden, text), "")
    return f"has the invisible character U+{ord(hidden):04X}" if hidden else ""


def _is_hidden(character: str) -> bool:
    is_byte = "\udc80" <= character <= "\udcff"  # of the environment, and no UTF-8
    return not (character.isprintable() or character in "\n\t" or is_byte)
