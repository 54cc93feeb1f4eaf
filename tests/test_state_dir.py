"""The state directory: where it is, who may have it, and who owns what is made there.

Locks are real ones, held by other processes. What only root or only somebody else can show is shown by
changing this process's effective user for a moment.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from listener import state_dir
from listener.errors import StateError
from listener.state_dir import (
    Claim,
    InUse,
    Unavailable,
    become_owner,
    claim,
    holds,
    is_locked,
    is_owner,
    lock,
    make,
    path_of,
)
from tests.support import do_without

NOBODY = 65534
VARIABLE = "CONDUCTOR_HOOKS_STATE_DIR"

HOLDER = """
import sys
from listener.state_dir import claim
print(claim(sys.argv[1]).lock_fd is not None, flush=True)
sys.stdin.read()
"""


@contextmanager
def unprivileged() -> Iterator[None]:
    """Nobody's rights, for a moment; this process's own if it is not root's."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@contextmanager
def folder_of_nobody() -> Iterator[Path]:
    """A directory of the user that `unprivileged` makes of us, where that user can reach it."""
    with tempfile.TemporaryDirectory() as name:
        if os.geteuid() == 0:
            os.chown(name, NOBODY, NOBODY)
        yield Path(name)


@contextmanager
def child(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python that runs this program; it is killed at the end if it has not ended."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    """The next line of a child; '' when it has ended."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def needs_root() -> None:
    if os.geteuid() != 0:
        do_without("only root can give files away")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


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
    ],
)
def test_the_nearest_to_the_person_names_the_place(
    given: str | None, env: dict[str, str], setting: str | None, found: str
) -> None:
    assert path_of(given, env, lambda: setting) == found


def test_a_relative_path_starts_where_the_command_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert path_of("state", {}, lambda: None) == str(tmp_path / "state")
    assert path_of(None, {VARIABLE: "state"}, lambda: None) == str(tmp_path / "state")


def test_root_has_a_place_for_the_machine() -> None:
    if os.geteuid() != 0:
        do_without("this process is not root's")
    assert path_of(None, {"XDG_STATE_HOME": "/xdg"}, lambda: None) == state_dir.OF_THE_MACHINE


def test_anybody_else_has_a_place_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    with unprivileged():
        assert path_of(None, {"XDG_STATE_HOME": "/xdg"}, lambda: None) == "/xdg/conductor-hooks"
        for env in ({}, {"XDG_STATE_HOME": ""}):
            assert path_of(None, env, lambda: None) == "/home/somebody/.local/state/conductor-hooks"


def test_the_place_for_the_machine_is_for_the_user_to_whom_it_belongs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory() as folder:  # that anybody can see
        monkeypatch.setattr(state_dir, "OF_THE_MACHINE", folder)
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
            assert path_of(None, {}, lambda: None) == folder
        with unprivileged():
            assert path_of(None, {"XDG_STATE_HOME": "/xdg"}, lambda: None) == folder


def test_the_default_place_does_not_depend_on_where_the_command_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    with unprivileged():
        found = path_of(None, {"XDG_STATE_HOME": "relative"}, lambda: None)
    assert found == "/home/somebody/.local/state/conductor-hooks"


# Making it


def test_a_directory_is_made_for_its_owner_alone_and_one_that_is_there_is_left_as_it_is(
    tmp_path: Path,
) -> None:
    made, found = tmp_path / "a" / "state", tmp_path / "found"
    found.mkdir()
    found.chmod(0o750)
    for _ in range(2):
        make(str(made))
        make(str(found))
    assert mode(made) == 0o700
    assert mode(found) == 0o750


def test_what_stands_in_the_way_is_told_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("something else")
    for place in (path, path / "below"):
        with pytest.raises(Unavailable) as caught:
            make(str(place))
        assert str(caught.value).startswith(f"the state directory {place} cannot be made: ")
        assert "listener: state_dir" in str(caught.value)
    assert path.read_text() == "something else"


# Claiming it


def test_a_claim_is_a_directory_and_its_lock_with_our_pid(tmp_path: Path) -> None:
    path = tmp_path / "state"
    before = os.umask(0)
    try:
        claimed = claim(str(path))
    finally:
        os.umask(before)
    assert claimed.lock_fd is not None
    assert claimed == Claim(str(path), claimed.lock_fd)
    assert mode(path) == 0o700
    assert mode(path / "lock") == 0o600
    assert (path / "lock").read_text() == f"{os.getpid()}\n"
    assert is_locked(str(path))


def test_a_claim_overwrites_what_an_earlier_holder_has_left(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("12345678901234567890\n")
    os.close(lock(str(tmp_path)))
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_second_claim_is_refused_and_names_the_first_one_s_process(tmp_path: Path) -> None:
    with child(HOLDER, str(tmp_path)) as holder:
        assert said(holder) == "True"
        assert is_locked(str(tmp_path))
        for _ in range(2):
            with pytest.raises(InUse) as caught:
                claim(str(tmp_path))
        assert str(caught.value).startswith(
            f"process {holder.pid} works in the state directory {tmp_path}: "
        )
        assert "numprocs must be 1" in str(caught.value)
        assert (tmp_path / "lock").read_text() == f"{holder.pid}\n"


def test_a_holder_that_has_not_said_who_it_is_is_unknown(tmp_path: Path) -> None:
    fd = lock(str(tmp_path))
    os.ftruncate(fd, 0)
    with pytest.raises(InUse, match=r"^process unknown works in"):
        lock(str(tmp_path))
    os.close(fd)


def test_an_owner_knows_that_it_is_one(tmp_path: Path) -> None:
    assert not is_owner(str(tmp_path))
    with child(HOLDER, str(tmp_path)) as holder:
        assert said(holder) == "True"
        assert not is_owner(str(tmp_path))
    os.close(lock(str(tmp_path)))
    assert is_owner(str(tmp_path))


def test_a_lock_ends_with_its_process_even_if_that_is_killed(tmp_path: Path) -> None:
    with child(HOLDER, str(tmp_path)) as holder:
        assert said(holder) == "True"
        holder.send_signal(signal.SIGKILL)
        assert holder.wait() == -signal.SIGKILL
        assert not is_locked(str(tmp_path))
        with child(HOLDER, str(tmp_path)) as next_one:
            assert said(next_one) == "True"
            assert (tmp_path / "lock").read_text() == f"{next_one.pid}\n"


def test_what_a_holder_has_started_does_not_hold_the_lock(tmp_path: Path) -> None:
    program = """
import subprocess, sys
from listener.state_dir import claim
claim(sys.argv[1])
print(subprocess.Popen(["sleep", "60"], close_fds=False).pid, flush=True)
sys.stdin.read()
"""
    with child(program, str(tmp_path)) as holder:
        left_behind = int(said(holder))
        try:
            holder.kill()
            holder.wait()
            assert not is_locked(str(tmp_path))
        finally:
            os.kill(left_behind, signal.SIGKILL)


def test_a_released_lock_is_free(tmp_path: Path) -> None:
    os.close(lock(str(tmp_path)))
    assert not is_locked(str(tmp_path))
    os.close(lock(str(tmp_path)))


def test_without_a_directory_there_is_a_claim_with_the_problem(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.touch()
    claimed = claim(str(path))
    assert (claimed.folder, claimed.lock_fd) == (str(path), None)
    assert claimed.problem.startswith(f"the state directory {path} cannot be made: File exists; ")


def test_a_directory_that_cannot_be_written_may_become_writable() -> None:
    with folder_of_nobody() as path, unprivileged():
        path.chmod(0o500)
        assert claim(str(path)) == Claim(str(path))
        for ask in (lock, is_locked):
            with pytest.raises(StateError) as caught:
                ask(str(path))
            assert str(caught.value) == (
                f"the state directory {path} cannot be written: Permission denied;"
                " let the listener's user write to it"
            )
        path.chmod(0o700)
        os.close(lock(str(path)))


def test_a_full_disk_does_not_keep_a_listener_from_starting(tmp_path: Path) -> None:
    program = """
import resource, signal, sys
from listener.state_dir import claim
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
claimed = claim(sys.argv[1])
print(claimed.folder, repr(claimed.problem))
"""
    with child(program, str(tmp_path)) as process:
        assert said(process) == f"{tmp_path} ''"


# Who owns what is made there


def test_what_root_makes_there_belongs_to_the_directory_s_owner(tmp_path: Path) -> None:
    needs_root()
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for path in (ours, theirs):
        path.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    for path, owner in ((ours, 0), (theirs, NOBODY)):
        os.close(lock(str(path)))
        made = (path / "lock").stat()
        assert (made.st_uid, made.st_gid) == (owner, owner)
        assert mode(path / "lock") == 0o600


def test_root_gives_nothing_away_that_a_link_in_the_directory_points_to(tmp_path: Path) -> None:
    needs_root()
    secret = tmp_path / "secret"
    secret.write_text("root's")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "lock").symlink_to(secret)
    os.chown(theirs, NOBODY, NOBODY)
    assert claim(str(theirs)).lock_fd is None
    assert secret.read_text() == "root's"
    assert secret.stat().st_uid == 0


def test_a_lock_whose_directory_was_made_anew_is_no_longer_held(tmp_path: Path) -> None:
    path = tmp_path / "state"
    make(str(path))
    lock_fd = lock(str(path))
    assert holds(str(path), lock_fd)
    (path / "lock").rename(tmp_path / "old")
    assert not holds(str(path), lock_fd)
    (path / "lock").touch()
    assert not holds(str(path), lock_fd)
    os.close(lock_fd)


# Root and the owner


def test_root_becomes_the_owner_for_good_and_leaves_his_groups_behind() -> None:
    needs_root()
    program = (
        "import os, sys; from listener.state_dir import become_owner;"
        "become_owner(sys.argv[1]);"
        "print(os.getresuid(), os.getresgid(), os.getgroups(), os.environ['HOME'])"
    )
    with folder_of_nobody() as folder:
        output = subprocess.check_output([sys.executable, "-c", program, str(folder)], text=True)
    user = pwd.getpwuid(NOBODY)
    groups = os.getgrouplist(user.pw_name, NOBODY)
    assert output == f"{(NOBODY,) * 3} {(NOBODY,) * 3} {groups} {user.pw_dir}\n"


@pytest.mark.parametrize(("euid", "owner"), [(0, 0), (4711, 4712), (4711, 4711)])
def test_whoever_is_not_root_or_owns_the_directory_stays_who_he_is(
    euid: int, owner: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    called: list[object] = []
    as_owner(monkeypatch, euid, owner, called)
    become_owner(str(tmp_path))
    assert called == []


def test_an_owner_without_a_name_is_taken_by_his_number(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    called: list[object] = []
    as_owner(monkeypatch, 0, 3_999_999_999, called)
    become_owner(str(tmp_path))
    assert called == [("groups", []), ("gid", 4713), ("uid", 3_999_999_999)]


def test_an_owner_with_a_name_has_his_groups_and_his_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    called: list[object] = []
    monkeypatch.setenv("HOME", "/root")
    as_owner(monkeypatch, 0, NOBODY, called)
    become_owner(str(tmp_path))
    groups = os.getgrouplist(pwd.getpwuid(NOBODY).pw_name, 4713)
    assert called == [("groups", groups), ("gid", 4713), ("uid", NOBODY)]
    assert os.environ["HOME"] == pwd.getpwuid(NOBODY).pw_dir


def as_owner(monkeypatch: pytest.MonkeyPatch, euid: int, owner: int, called: list[object]) -> None:
    """As if we had that id and each file that owner; what would be given up is noted instead."""
    found = os.stat_result((0o40700, 1, 1, 1, owner, 4713, 0, 0, 0, 0))
    monkeypatch.setattr(os, "geteuid", lambda: euid)
    monkeypatch.setattr(os, "stat", lambda _path: found)
    for name in ("groups", "gid", "uid"):
        monkeypatch.setattr(os, f"set{name}", lambda value, name=name: called.append((name, value)))
