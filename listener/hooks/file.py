"""hooks.conf on disk, read once.

Owns the messages about a file that cannot be read, and how versions of it differ. It logs nothing
and imports little, because the listener reads the file before it says READY. watch.py reads it
again when it has changed.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

from listener.errors import InvalidYaml, SettingsError
from listener.hooks import text_file
from listener.hooks.conf import read
from listener.hooks.readers import COMMENT, Reader
from listener.hooks.settings import ListenerSettings
from listener.hooks.table import HookTable
from listener.hooks.yaml_lines import Mistake
from listener.hooks.yaml_nodes import NO_YAML

DEFAULT_CONFIG = "/opt/mgmtworker/config/hooks.conf"

Stamp = tuple[int, int, int]
"""What differs between versions of a file: mtime in ns, inode, size in bytes."""


class Version(NamedTuple):
    """The file at one moment: no stamp and no table when there was none.

    `mistakes` are warnings, and what is wrong with single hooks.
    """

    stamp: Stamp | None
    table: HookTable | None
    mistakes: list[Mistake]

    @property
    def settings(self) -> ListenerSettings:
        """Those of the section `listener`; the defaults where there was no file."""
        return self.table.listener if self.table else ListenerSettings()


def config_path(given: str | None, env: Mapping[str, str]) -> str:
    """Where hooks.conf is: as given, else $CONDUCTOR_HOOKS_CONFIG, else where a manager has it."""
    return os.path.abspath(given or env.get("CONDUCTOR_HOOKS_CONFIG") or DEFAULT_CONFIG)


def state_dir_in(config: str | None, env: Mapping[str, str]) -> str | None:
    """The state directory that hooks.conf names. Raises SettingsError, as `load` does."""
    return load(config_path(config, env), env).settings.state_dir


def read_file(
    path: str | os.PathLike[str], env: Mapping[str, str], tests: Reader = COMMENT
) -> tuple[HookTable | None, list[Mistake]]:
    """Like `read`, for a file. Raises OSError when there is none or it cannot be read."""
    table, mistakes = read_bytes(text_file.read(path), env, os.path.dirname(path), tests)
    if os.stat(path).st_mode & 0o022:
        writable = f"group or others may write this file, and so run what they like; chmod go-w {path}"
        mistakes.insert(0, Mistake(0, writable, is_warning=True))
    return table, mistakes


def read_bytes(
    data: bytes, env: Mapping[str, str], folder: str, tests: Reader = COMMENT
) -> tuple[HookTable | None, list[Mistake]]:
    """Like `read`, for the bytes of a file."""
    try:
        text = text_file.text_of(data)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return None, [Mistake(line, f"not UTF-8: {error.reason}; save the file as UTF-8")]
    return read(text, env=env, folder=folder, tests=tests)


def load(path: str | os.PathLike[str], env: Mapping[str, str]) -> Version:
    """The file as it is now. Raises SettingsError, a line for each mistake, when it cannot be used."""
    now = stamp(path)  # before reading: a change in between is found next time
    try:
        table, mistakes = read_file(path, env)
    except FileNotFoundError:
        return Version(None, None, [])
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    if table is None:
        is_yaml = not any(mistake.text.startswith(NO_YAML) for mistake in mistakes)
        raise (SettingsError if is_yaml else InvalidYaml)(wrong_in(mistakes, path))
    return Version(now, table, mistakes)


def wrong_in(mistakes: list[Mistake], path: str | os.PathLike[str]) -> str:
    """What is more than a warning, a line each."""
    return "\n".join(mistake.as_text(path) for mistake in mistakes if not mistake.is_warning)


def stamp(path: str | os.PathLike[str]) -> Stamp | None:
    """The version of the file that is there now; None when there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
