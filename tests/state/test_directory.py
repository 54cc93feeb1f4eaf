"""The state directory: where it is, who may have it, and who owns what is made there.

Locks are real ones, held by other processes.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from listener.errors import InUse, NoStateDirectory, StateError
from listener.state import directory
from listener.state.directory import become_owner, claim, holder, is_locked, lock, make, path_of
from tests.children import child, said
from tests.support import uncounted_env
from tests.users import NOBODY, folder_of_nobody, mode, needs_root, unprivileged

VARIABLE = "CONDUCTOR_HOOKS_STATE_DIR"
HOLDER = """
import subprocess, sys
from listener.state.directory import claim
claimed = claim(sys.argv[1])
print(claimed.problem, flush=True)
print(subprocess.Popen(["sleep", "60"], close_fds=False, stdout=2).pid, flush=True)
sys.stdin.read()
"""
"""It starts a process that outlives it."""


# Where it is


@pytest.mark.parametrize(
    ("given", "env", "setting", "found"),
    [
        ("/given", {VARIABLE: "/env"}, "/setting", "/given"),
        (None, {VARIABLE: "/env"}, "/setting", "/env"),
        ("", {VARIABLE: "/env"}, "/setting", "/env"),
        (None, {VARIABLE: ""}, "/setting", "/setting"),
        (None, {"XDG_STATE_HOME": "/xdg"}, "/setting", "/setting"),
        ("/a/../b/", {}, None, "/b"),
        ("relative", {}, None, f"{os.getcwd()}/relative"),
    ],
)
def test_the_place_is_the_one_that_is_named_nearest_to_the_person(
    given: str | None, env: dict[str, str], setting: str | None, found: str
) -> None:
    assert path_of(given, env, lambda: setting) == found


@pytest.mark.parametrize(
    ("xdg", "found"),
    [
        ("/xdg", "/xdg/conductor-hooks"),
        ("", "/home/somebody/.local/state/conductor-hooks"),
        ("relative", "/home/somebody/.local/state/conductor-hooks"),
    ],
)
def test_a_user_has_a_place_at_home_unless_the_place_for_the_machine_is_theirs(
    monkeypatch: pytest.MonkeyPatch, xdg: str, found: str
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    env = {"XDG_STATE_HOME": xdg}
    with folder_of_nobody() as theirs, unprivileged():
        monkeypatch.setattr(directory, "OF_THE_MACHINE", "/no such directory")
        assert path_of(None, env, lambda: None) == found
        monkeypatch.setattr(directory, "OF_THE_MACHINE", str(theirs))
        assert path_of(None, env, lambda: None) == str(theirs)


def test_root_has_the_place_for_the_machine() -> None:
    needs_root()
    assert path_of(None, {"XDG_STATE_HOME": "/xdg"}, lambda: None) == directory.OF_THE_MACHINE


# Making it


def test_it_is_made_for_its_owner_alone_and_one_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    made, found = tmp_path / "a" / "state", tmp_path / "found"
    found.mkdir()
    found.chmod(0o750)
    for path in (made, found, made, found):
        make(str(path))
    assert (mode(made), mode(found)) == (0o700, 0o750)


def test_what_stands_in_its_place_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("something else")
    for place in (path, path / "below"):
        with pytest.raises(NoStateDirectory, match="listener: state_dir") as caught:
            make(str(place))
        assert str(caught.value).startswith(f"the state directory {place} cannot be made: ")
    assert claim(str(path)).problem.startswith(
        f"the state directory {path} cannot be made: File exists;"
    )
    assert path.read_text() == "something else"


# Claiming it


def test_a_claim_makes_the_directory_and_locks_it_with_our_pid(tmp_path: Path) -> None:
    path = tmp_path / "state"
    before = os.umask(0)
    try:
        claimed = claim(str(path))
    finally:
        os.umask(before)
    assert (claimed.folder, claimed.problem) == (str(path), "")
    assert (mode(path), mode(path / "lock")) == (0o700, 0o600)
    assert (path / "lock").read_text() == f"{os.getpid()}\n"
    assert is_locked(str(path))
    claimed.keep()


def test_a_second_claim_is_refused_and_names_the_process_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("12345678901234567890\n")
    with child(HOLDER, str(tmp_path)) as holder:
        assert said(holder) == ""
        for _ in range(2):
            with pytest.raises(InUse, match="numprocs must be 1") as caught:
                claim(str(tmp_path))
            works = f"process {holder.pid} works in the state directory {tmp_path}: "
            assert str(caught.value).startswith(works)
        os.kill(int(said(holder)), signal.SIGKILL)
        (tmp_path / "lock").write_text("")
        with pytest.raises(InUse, match=r"^process unknown works in"):
            lock(str(tmp_path))


def test_the_last_process_that_has_locked_it_is_known(tmp_path: Path) -> None:
    assert holder(str(tmp_path)) is None
    (tmp_path / "lock").write_text("1\n")
    assert holder(str(tmp_path)) == 1
    os.close(lock(str(tmp_path)))
    assert holder(str(tmp_path)) == os.getpid()


def test_a_lock_ends_with_its_process_though_what_that_has_started_goes_on(tmp_path: Path) -> None:
    with child(HOLDER, str(tmp_path)) as holder:
        assert said(holder) == ""
        left_behind = int(said(holder))
        try:
            holder.kill()
            holder.wait()
            assert not is_locked(str(tmp_path))
            os.close(lock(str(tmp_path)))
        finally:
            os.kill(left_behind, signal.SIGKILL)
    assert not is_locked(str(tmp_path))


def test_a_claim_is_kept_when_the_directory_becomes_writable() -> None:
    with folder_of_nobody() as path, unprivileged():
        path.chmod(0o500)
        claimed = claim(str(path))
        assert claimed.problem == ""
        for ask in (claimed.keep, lambda: is_locked(str(path))):
            with pytest.raises(StateError) as caught:
                ask()
            assert str(caught.value) == (
                f"the state directory cannot be written: {path}/lock: Permission denied;"
                " let the listener's user write to the directory and all in it: as root,"
                " chown -R USER DIRECTORY"
            )
        path.chmod(0o700)
        claimed.keep()
        assert is_locked(str(path))


@pytest.mark.parametrize(
    "remove",
    [lambda path: path.parent.rename(f"{path.parent}.old"), lambda path: (path / "lock").unlink()],
)
def test_a_claim_is_kept_when_the_directory_was_removed(
    tmp_path: Path, remove: Callable[[Path], object]
) -> None:
    path = tmp_path / "volume" / "state"
    claimed = claim(str(path))
    remove(path)
    claimed.keep()
    assert is_locked(str(path))


def test_a_lock_that_is_a_fifo_is_told_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lock")
    assert holder(str(tmp_path)) is None
    with pytest.raises(StateError, match="/lock: lock is no regular file; move it away"):
        lock(str(tmp_path))


def test_a_full_disk_does_not_keep_a_listener_from_starting(tmp_path: Path) -> None:
    limit = "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    with child(limit + HOLDER, str(tmp_path)) as holder:
        assert said(holder) == ""
        left_behind = int(said(holder))
        assert is_locked(str(tmp_path))
        os.kill(left_behind, signal.SIGKILL)


# Who owns what is made there


@pytest.mark.parametrize("owner", [0, NOBODY])
def test_what_root_makes_there_belongs_to_the_owner_of_the_directory(
    tmp_path: Path, owner: int
) -> None:
    needs_root()
    os.chown(tmp_path, owner, owner)
    os.close(lock(str(tmp_path)))
    made = (tmp_path / "lock").stat()
    assert (made.st_uid, made.st_gid) == (owner, owner)


def test_root_gives_nothing_away_that_a_link_in_the_directory_points_to(tmp_path: Path) -> None:
    needs_root()
    secret, theirs = tmp_path / "secret", tmp_path / "theirs"
    secret.write_text("root's")
    theirs.mkdir()
    (theirs / "lock").symlink_to(secret)
    os.chown(theirs, NOBODY, NOBODY)
    claim(str(theirs))
    assert (secret.read_text(), secret.stat().st_uid) == ("root's", 0)


def test_root_becomes_the_owner_for_good_with_the_groups_and_the_home_of_that_user() -> None:
    needs_root()
    program = (
        "import os, sys; from listener.state.directory import become_owner;"
        "become_owner(sys.argv[1]);"
        "print(os.getresuid(), os.getresgid(), os.getgroups(), os.environ['HOME'])"
    )
    with folder_of_nobody() as folder:
        command = [sys.executable, "-c", program, str(folder)]
        output = subprocess.check_output(command, text=True, env=uncounted_env())
    user = pwd.getpwuid(NOBODY)
    groups = os.getgrouplist(user.pw_name, NOBODY)
    assert output == f"{(NOBODY,) * 3} {(NOBODY,) * 3} {groups} {user.pw_dir}\n"


@pytest.mark.parametrize(
    ("euid", "owner", "expected"),
    [
        (0, 0, []),
        (4711, 4712, []),
        (0, 3_999_999_999, [("groups", []), ("gid", 4713), ("uid", 3_999_999_999)]),
        (0, NOBODY, [("groups", "of nobody"), ("gid", 4713), ("uid", NOBODY)]),
    ],
)
def test_only_root_gives_its_rights_up_also_for_an_owner_without_a_name(
    euid: int, owner: int, expected: list[object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As if we had that id and each file that owner; what would be given up is noted instead."""
    called: list[object] = []
    found = os.stat_result((0o40700, 1, 1, 1, owner, 4713, 0, 0, 0, 0))
    monkeypatch.setattr(os, "geteuid", lambda: euid)
    monkeypatch.setattr(os, "stat", lambda _path: found)
    monkeypatch.setattr(os, "getgrouplist", lambda *_: "of nobody")
    for name in ("groups", "gid", "uid"):
        monkeypatch.setattr(os, f"set{name}", lambda value, name=name: called.append((name, value)))
    monkeypatch.setenv("HOME", "/root")
    become_owner(str(tmp_path))
    assert called == expected
