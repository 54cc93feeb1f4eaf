"""hooks.conf on disk, read once.

Owns the messages about a file that cannot be read, and how versions of it differ. It logs nothing
and imports little, because the listener reads the file before it says READY. watch.py reads it
again when it has changed.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Mapping
from typing import NamedTuple

from listener.errors import SettingsError
from listener.hooks.conf import read
from listener.hooks.table import HookTable
from listener.hooks.yaml_lines import Mistake

DEFAULT_CONFIG = "/opt/mgmtworker/config/hooks.conf"

Stamp = tuple[int, int, int]
"""What differs between versions of a file: mtime in ns, inode, size in bytes."""


class Version(NamedTuple):
    """The file at one moment: no stamp and no table when there was none."""

    stamp: Stamp | None
    table: HookTable | None
    warnings: list[Mistake]


def config_path(given: str | None, env: Mapping[str, str]) -> str:
    """Where hooks.conf is: as given, else $CONDUCTOR_HOOKS_CONFIG, else where a manager has it."""
    return os.path.abspath(given or env.get("CONDUCTOR_HOOKS_CONFIG") or DEFAULT_CONFIG)


def state_dir_in(config: str | None, env: Mapping[str, str]) -> str | None:
    """The state directory that hooks.conf names. Raises SettingsError, as `load` does."""
    table = load(config_path(config, env), env).table
    return table.listener.state_dir if table else None


def read_file(
    path: str | os.PathLike[str], env: Mapping[str, str]
) -> tuple[HookTable | None, list[Mistake]]:
    """Like `read`, for a file. Raises OSError when there is none or it may not be read."""
    with open(path, "rb") as file:
        data = file.read()
        mode = os.fstat(file.fileno()).st_mode
    table, mistakes = read_bytes(data, env, os.path.dirname(path))
    if mode & 0o022:
        writable = f"group or others may write this file, and so run what they like: chmod go-w {path}"
        mistakes.insert(0, Mistake(0, writable, is_warning=True))
    return table, mistakes


def read_bytes(
    data: bytes, env: Mapping[str, str], folder: str
) -> tuple[HookTable | None, list[Mistake]]:
    """Like `read`, for the bytes of a file."""
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return None, [Mistake(line, f"not UTF-8: {error.reason}; save the file as UTF-8")]
    return read(text, env=env, folder=folder)


def load(path: str | os.PathLike[str], env: Mapping[str, str]) -> Version:
    """The file as it is now. Raises SettingsError, one line per mistake, when it cannot be used."""
    now = stamp(path)  # before reading: a change in between is found next time
    try:
        table, mistakes = read_file(path, env)
    except FileNotFoundError:
        return Version(None, None, [])
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    if table is None:
        wrong = [mistake.as_text(path) for mistake in mistakes if not mistake.is_warning]
        raise SettingsError("\n".join(wrong))
    return Version(now, table, mistakes)


def stamp(path: str | os.PathLike[str]) -> Stamp | None:
    """The version of the file that is there now; None when there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
