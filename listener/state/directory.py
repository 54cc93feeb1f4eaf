"""The state directory: where it is, and the lock of the one listener that works in it.

Owns the default places, the modes and owners of what is made there, and the lock. It never opens the
journal. app.py claims a directory; the verbs that only look into one ask where it is.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from listener.errors import InUse, NoStateDirectory, StateError

OF_THE_MACHINE = "/var/lib/conductor-hooks"
"""The default for root, and for the user to whom root has given it."""

_DIRECTORY_MODE = 0o700
_FILE_MODE = 0o600
_ASKED_S = 0.2  # a process that only asks whether it is locked holds the lock for less


class Claim:
    """The state directory as a listener has it, with its lock; or the `problem` why there is none."""

    def __init__(self, folder: str, problem: str = "") -> None:
        self.folder = folder
        self.problem = problem
        self._lock_fd: int | None = None

    def keep(self) -> None:
        """Take the lock unless this process holds it; once more when the directory was removed.

        Makes it again then. Raises InUse when another process holds the lock, StateError when it
        cannot be taken now.
        """
        if self.problem or (self._lock_fd is not None and _holds(self.folder, self._lock_fd)):
            return
        make(self.folder)
        held, self._lock_fd = self._lock_fd, lock(self.folder)
        if held is not None:
            os.close(held)


def claim(path: str) -> Claim:
    """Make the directory if need be and lock it for as long as this process lives. Raises InUse."""
    try:
        make(path)
    except NoStateDirectory as error:
        return Claim(path, str(error))
    claimed = Claim(path)
    with suppress(StateError):  # the directory is there, and may become writable
        claimed.keep()
    return claimed


def path_of(given: str | None, env: Mapping[str, str], setting: Callable[[], str | None]) -> str:
    """Where the state directory is: as given, $CONDUCTOR_HOOKS_STATE_DIR, hooks.conf's, the default.

    `setting` reads hooks.conf's, and is only called when that counts.
    """
    chosen = given or env.get("CONDUCTOR_HOOKS_STATE_DIR") or setting()
    if chosen:
        return os.path.abspath(chosen)
    if os.geteuid() in (0, _owner(OF_THE_MACHINE)):
        return OF_THE_MACHINE
    home = env.get("XDG_STATE_HOME", "")
    if not os.path.isabs(home):  # its specification wants it ignored then
        home = os.path.expanduser("~/.local/state")
    return os.path.join(home, "conductor-hooks")


def _owner(path: str) -> int | None:
    try:
        return os.stat(path).st_uid
    except OSError:
        return None


def make(path: str) -> None:
    """Make the directory unless it is there. Raises NoStateDirectory when it cannot be made."""
    try:
        os.makedirs(path, _DIRECTORY_MODE, exist_ok=True)
    except OSError as error:
        raise NoStateDirectory(
            f"the state directory {path} cannot be made: {error.strerror}; make it for the listener's"
            " user, or name another one with 'listener: state_dir' in hooks.conf"
        ) from error


def writable_by_others(path: str) -> str:
    """What is wrong where group or others may write to the directory; '' where they may not."""
    with suppress(OSError):
        if os.stat(path).st_mode & 0o022:
            return (
                f"group or others may write to the state directory {path}, and so replace the journal"
                f" and the plugins; chmod go-w {path}"
            )
    return ""


def become_owner(path: str) -> None:
    """Give up root's rights, for good, for those of the directory's owner; other users keep theirs.

    For verbs that run what lies in the directory, or make something there: root must not run what the
    owner could have put there, and what is made there must belong to the owner.
    """
    owner = os.stat(path)
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    import pwd  # only needed here

    groups = []
    with suppress(KeyError):  # a user without a name has no groups and no home either
        user = pwd.getpwuid(owner.st_uid)
        groups = os.getgrouplist(user.pw_name, owner.st_gid)
        os.environ["HOME"] = user.pw_dir
    os.setgroups(groups)
    os.setgid(owner.st_gid)
    os.setuid(owner.st_uid)


def lock(path: str) -> int:
    """Lock the directory for this process, until the returned descriptor is closed.

    Raises InUse when another process holds the lock, StateError when the directory cannot be written.
    """
    fd = _open_lock(path)
    deadline = time.monotonic() + _ASKED_S
    while not try_lock(fd):
        if time.monotonic() > deadline:
            os.close(fd)
            raise InUse(
                f"process {holder(path) or 'unknown'} works in the state directory {path}: one listener"
                " owns it (numprocs must be 1); a listener whose supervisord was killed ends after the"
                " hook in progress, so wait; otherwise stop it, or give this one its own state_dir"
            )
        time.sleep(_ASKED_S / 10)
    with suppress(OSError):  # on a full disk the lock holds, too; it only cannot say whose it is
        os.ftruncate(fd, 0)
        os.write(fd, b"%d\n" % os.getpid())
    return fd


def _holds(path: str, lock_fd: int) -> bool:
    """Whether that is still the directory's lock; not if the directory was made again."""
    try:
        return os.path.samestat(os.stat(os.path.join(path, "lock")), os.fstat(lock_fd))
    except OSError:
        return False


def is_locked(path: str) -> bool:
    """Whether a listener works in this directory now."""
    fd = _open_lock(path)
    try:
        return not try_lock(fd)
    finally:
        os.close(fd)


def holder(path: str) -> int | None:
    """The process that was the last to lock this directory; None if that is not known."""
    try:
        with open(open_regular(os.path.join(path, "lock"), os.O_RDONLY), "rb") as file:
            return int(file.read(32))
    except (OSError, ValueError):
        return None


def _open_lock(path: str) -> int:
    try:
        return open_file(os.path.join(path, "lock"), os.O_RDWR | os.O_CREAT)
    except OSError as error:
        from listener.state.trouble import reason  # READY does not wait for it

        raise StateError(
            f"the state directory cannot be written: {os.path.join(path, 'lock')}: {reason(error)}"
        ) from error


def try_lock(fd: int) -> bool:
    """Lock an open file for this process, unless another one holds its lock; whether it is locked."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def open_file(path: str, flags: int) -> int:
    """Open a file of the state directory, for its owner alone; root's new ones go to that owner."""
    fd = open_regular(path, flags)
    if os.geteuid() == 0:
        owner = os.stat(os.path.dirname(path))
        if os.fstat(fd).st_uid != owner.st_uid:
            os.fchown(fd, owner.st_uid, owner.st_gid)
    return fd


def open_regular(path: str, flags: int) -> int:
    """Open a file, and nothing else that the owner of its folder may have put in its place.

    Neither follows a link nor waits for the other end of a FIFO. Raises OSError.
    """
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, _FILE_MODE)
    try:
        check_regular(path, os.fstat(fd))
    except OSError:
        os.close(fd)
        raise
    return fd


def check_regular(path: str, found: os.stat_result) -> None:
    """Raise OSError unless what was found there is a regular file."""
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, f"{os.path.basename(path)} is no regular file", path)
