"""What is wrong with the journal, in words: SQLite's or the system's, and what to do about it.

Owns the advice. It opens nothing; database.py and directory.py put the file's name before it.
"""

from __future__ import annotations

import msgspec

_DAMAGED = "it is damaged: move it and its -wal file away; a new one begins then"
_NOT_OURS = (
    "let the listener's user write to the directory and all in it: as root, chown -R USER DIRECTORY"
)
_HINTS = (
    ("full", "free space on its file system"),
    ("no space", "free space on its file system"),
    ("file too large", "raise the limit on the size of files"),
    ("disk i/o", "look at the disk, its free space and the limits of this process"),
    (
        "locked",
        "another process keeps it locked; end the process that has it open (fuser)",
    ),
    ("readonly", _NOT_OURS),
    ("read-only", "mount its file system writable"),
    ("permission", _NOT_OURS),
    ("unable to open", "let the listener's user write to its directory"),
    ("malformed", _DAMAGED),
    ("not a database", _DAMAGED),
    ("no such file", "its directory is gone: make it again for the listener's user"),
    ("is a directory", "move that directory away"),
    ("not a directory", "move that file away, and make the directory for the listener's user"),
    ("no regular file", "move it away"),
    ("symbolic links", "a link is not followed there: move it away, and name the right 'state_dir'"),
)


def reason(error: Exception) -> str:
    """What is wrong, and what to do about it."""
    text = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    lowered = text.lower()
    hint = next((hint for part, hint in _HINTS if part in lowered), "")
    if isinstance(error, msgspec.MsgspecError) or "could not decode" in lowered:
        text, hint = "a part of it cannot be read", _DAMAGED
    return f"{text}; {hint}" if hint else text
