"""Who could change a file: whether root may run what is at a path.

Owns the walk along a path, through every symbolic link in it. It opens nothing and changes nothing.
What starts a program or an interpreter that a hook names asks it before.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterable, Iterator

from listener.errors import ActionFailed

_MAX_LINKS = 40  # as Linux has it
_ANY_OTHER = stat.S_IWGRP | stat.S_IWOTH


def refuse_to_root(paths: Iterable[str]) -> None:
    """Raise ActionFailed when we are root and another user can change what a path leads to."""
    for path in paths if os.geteuid() == 0 else ():
        if reason := changeable_by_others(path):
            raise ActionFailed(
                f"{reason}, and root runs nothing that others can change: do this as that user, and"
                " give the listener's section user="
            )


def changeable_by_others(path: str) -> str:
    """What on the way to a file another user than root can change, in words; '' when nothing.

    Only root could replace a component that was found good, so what was found still holds when the
    file is started. What cannot be looked at cannot be started either: the answer is '' then.
    """
    try:
        for component, status in _components(os.path.abspath(path)):
            if status.st_uid != 0:
                return f"{component} belongs to user {_name_of(status.st_uid)}"
            is_link, is_sticky = stat.S_ISLNK(status.st_mode), status.st_mode & stat.S_ISVTX
            if status.st_mode & _ANY_OTHER and not is_link and not is_sticky:
                return f"{component} can be written by other users than root"
    except (OSError, ValueError):  # no path has a null byte
        return ""
    return ""


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _components(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Each folder, link and file that leads to what is at an absolute path, from / on."""
    here, links = "/", 0
    yield here, os.lstat(here)
    left = path.split("/")
    while left:
        name = left.pop(0)
        if name in ("", ".", ".."):
            here = os.path.dirname(here) if name == ".." else here
            continue
        status = os.lstat(os.path.join(here, name))
        yield os.path.join(here, name), status
        if not stat.S_ISLNK(status.st_mode):
            here = os.path.join(here, name)
            continue
        links += 1
        if links > _MAX_LINKS:
            return
        target = os.readlink(os.path.join(here, name))
        here = "/" if target.startswith("/") else here
        left[:0] = target.split("/")
