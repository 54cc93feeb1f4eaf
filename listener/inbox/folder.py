"""The folder of the inbox: its place, the names of its files, and to whom they belong.

Owns what the writers of both kinds of file have in common. It never writes or reads a record. The
writers open the folder and make their files with it; the reader knows files by their names.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

FOLDER = "inbox"
"""In the state directory, for its owner alone: it holds whole notifications, rest_token and all."""

RECORDED_IN = "CONDUCTOR_HOOKS_RECORDED_IN"
"""The environment variable that names, for supervisord's programs, the state directory of each
recorder, one a line."""

IN_HOOK = "CONDUCTOR_HOOKS_IN_HOOK"
"""The environment variable of what runs in a hook, and of every program that it starts."""

NAME = re.compile(
    r"[0-9]{8,}-(?:(?P<run>[0-9]{1,7}\.[0-9]+)\.events|(?P<source>[a-z-]+)-[0-9a-f]+\.notifications)"
)
"""The names of complete files and growing ones; any other file is left alone."""

UNFINISHED = re.compile(rf"\.?probe-[0-9a-f]+|\.({NAME.pattern})")
"""The names of what is not meant to stay: its writer works on it, or was killed."""

_NEW_FILE = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def events_name(number: int, run: str) -> str:
    """The name of a growing file; `run` is the supervisord that writes it."""
    return f"{number:08d}-{run}.events"


def notifications_name(number: int, source: str) -> str:
    """The name of a whole file, which no other has; `source` is of lower-case letters
    and hyphens."""
    return f"{number:08d}-{source}-{os.urandom(8).hex()}.notifications"


def next_number(names: Iterable[str]) -> int:
    """The number for a file that comes after all of these."""
    numbers = (name.partition("-")[0] for name in names)
    return 1 + max((int(number) for number in numbers if number.isdecimal()), default=0)


def names_of(state_dir: str, source: str) -> list[str]:
    """The whole files of this source that the listener has not read yet. Raises OSError."""
    try:
        names = os.listdir(os.path.join(state_dir, FOLDER))
    except FileNotFoundError:
        return []
    return [match[0] for match in map(NAME.fullmatch, names) if match and match["source"] == source]


def fault(state_dir: str) -> str:
    """Why the owner of the state directory cannot read and write in the folder.

    '' if it can, or if nothing has come in yet.
    """
    try:
        owner, found = os.stat(state_dir).st_uid, os.stat(os.path.join(state_dir, FOLDER))
    except OSError:
        return ""
    if not stat.S_ISDIR(found.st_mode):
        return "it is no directory"
    if owner == 0:
        return ""  # root may
    rights = stat.S_IRWXU if found.st_uid == owner else stat.S_IRWXG
    return "" if found.st_mode & rights == rights else "the listener's user may not read and write it"


def discard(state_dir: str, source: str) -> None:
    """Remove the whole files of this source that the listener has not read yet. Raises OSError."""
    for name in names_of(state_dir, source):
        with suppress(FileNotFoundError):  # it is read by now
            os.unlink(os.path.join(state_dir, FOLDER, name))


def recorded_in(env: Mapping[str, str]) -> list[str]:
    """The state directories into which the supervisord that started this process records."""
    return env.get(RECORDED_IN, "").splitlines()


def is_recorded(state_dir: str, env: Mapping[str, str]) -> bool:
    """Whether that supervisord records into this state directory, by whatever path."""
    return os.path.realpath(state_dir) in map(os.path.realpath, recorded_in(env))


@contextmanager
def opened(state_dir: str) -> Iterator[int]:
    """A descriptor of the folder, which is made if need be. Raises OSError, as without `state_dir`.

    The owner of the state directory can put a link in its place, which must not lead root astray.
    """
    path = os.path.join(state_dir, FOLDER)
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _give(folder, os.stat(state_dir))
        yield folder
    finally:
        os.close(folder)


def new_file(folder: int, name: str) -> int:
    """A descriptor, for appending, of a file that was not there. Raises OSError."""
    fd = os.open(name, _NEW_FILE, 0o600, dir_fd=folder)
    _give(fd, os.fstat(folder))
    return fd


def _give(fd: int, owner: os.stat_result) -> None:
    """What root makes belongs to the owner of the state directory."""
    if os.geteuid() == 0 and os.fstat(fd).st_uid != owner.st_uid:
        os.fchown(fd, owner.st_uid, owner.st_gid)
