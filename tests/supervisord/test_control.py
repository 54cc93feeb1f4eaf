"""The client of supervisord's XML-RPC, asked of real supervisords."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from xmlrpc.client import ProtocolError

import pytest
from supervisor.options import ClientOptions
from supervisor.xmlrpc import SupervisorTransport

from listener.errors import HooksError
from listener.inbox.runs import run_of
from listener.supervisord import control
from listener.supervisord.control import Address, Control, address_of, configuration_of
from listener.supervisord.presence import Presence, presence_of
from tests.end_to_end.real_supervisord import RealSupervisord, running


@pytest.fixture(scope="module")
def supervisord() -> Iterator[RealSupervisord]:
    with running("hooks: []") as supervisord:
        yield supervisord


def presence(supervisord: str = "") -> Presence:
    return Presence("1.1", "", 0.0, "", supervisord)


def trouble(address: Address) -> str:
    with pytest.raises(HooksError) as raised:
        Control(address).processes()
    return str(raised.value)


def test_it_is_found_by_the_configuration_file_of_the_listeners_supervisord(
    supervisord: RealSupervisord,
) -> None:
    listener = presence(run_of(supervisord.process.pid))
    assert configuration_of(listener) == str(supervisord.conf)
    address = address_of(listener, None)
    assert address == Address(f"unix://{supervisord.folder}/s")
    states = {info["name"]: info["statename"] for info in Control(address).processes()}
    assert states == {"conductor-hooks": "RUNNING", "workflows": "RUNNING"}


def test_the_listener_knows_its_supervisord_too(supervisord: RealSupervisord, tmp_path: Path) -> None:
    (tmp_path / "empty.conf").write_text("[supervisord]\n")
    pid = supervisord.pid()
    env = dict(
        pair.partition("=")[::2] for pair in Path(f"/proc/{pid}/environ").read_text("utf-8").split("\0")
    )
    here = presence_of("hooks.conf", run_of(supervisord.process.pid), env, 7.0)
    assert here.process == "conductor-hooks:conductor-hooks"
    assert address_of(here, str(tmp_path / "empty.conf")).url == f"unix://{supervisord.folder}/s"


@pytest.mark.parametrize(
    ("logged", "error"),
    [
        ("T1Z ERROR old\nT2Z ERROR why:\n    more\nT3Z INFO x ERROR y\n", "T2Z ERROR why: more"),
        ('{"level": "ERROR"}\n{"level": "INFO"}\n', '{"level": "ERROR"}'),
        (
            "T1Z ERROR of the last run\nsupervisor: couldn't exec conductor-hooks: EACCES\n"
            "supervisor: child process was not spawned\n",
            "supervisor: couldn't exec conductor-hooks: EACCES",
        ),
        ("", ""),
    ],
)
def test_the_last_error_in_a_log(supervisord: RealSupervisord, logged: str, error: str) -> None:
    [log] = supervisord.folder.glob("conductor-hooks-stderr*.log")
    log.write_text(logged)
    found = Control(address_of(None, str(supervisord.conf))).last_error("conductor-hooks")
    assert found == error


def test_without_both_it_says_how_to_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HooksError, match=r"could not find .*; name it with --supervisor-config"):
        address_of(None, str(tmp_path / "none"))
    monkeypatch.setattr(ClientOptions, "default_configfile", lambda _: None)
    with pytest.raises(HooksError, match="there is no configuration file of supervisord; name it"):
        address_of(presence(), None)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["-n", "-c", "etc/s.conf"], "{cwd}/etc/s.conf"),
        (["-c", "/etc/s.conf"], "/etc/s.conf"),
        (["--configuration=s.conf", "-n"], "{cwd}/s.conf"),
        (["--configuration", "s.conf"], "{cwd}/s.conf"),
        (["-n"], "/found"),
    ],
)
def test_the_file_is_read_from_the_command_line_of_supervisord(
    arguments: list[str],
    named: str,
    supervisord: RealSupervisord,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proc = tmp_path / "17"
    proc.mkdir()
    (proc / "cmdline").write_text("\0".join(["python", "supervisord", *arguments, ""]))
    if "{cwd}" in named:  # other users may not see it
        (proc / "cwd").symlink_to(supervisord.folder)
    monkeypatch.setattr(control, "_PROC", str(tmp_path))
    monkeypatch.setattr("listener.supervisord.presence.is_alive", lambda _: True)
    monkeypatch.setattr(ClientOptions, "default_configfile", lambda _: "/found")
    expected = named.format(cwd=supervisord.folder)
    assert configuration_of(presence("17.1")) == expected


def test_another_process_with_the_number_of_an_ended_supervisord_is_not_asked(
    supervisord: RealSupervisord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ClientOptions, "default_configfile", lambda _: "/found")
    assert configuration_of(presence(f"{supervisord.process.pid}.1")) == "/found"


def test_it_says_how_it_runs_each_process(supervisord: RealSupervisord) -> None:
    found = Control(Address(f"unix://{supervisord.folder}/s")).configured()
    names = {f"{info['group']}:{info['name']}" for info in found.values()}
    assert names == set(found) != set()


def test_a_supervisord_without_a_recorder_has_none(supervisord: RealSupervisord) -> None:
    assert Control(Address(f"unix://{supervisord.folder}/s")).recorder("/state") is None


def test_one_that_does_not_answer_says_why(
    supervisord: RealSupervisord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Address(f"unix://{supervisord.folder}/s")
    assert trouble(Address(f"unix://{tmp_path}/s")).endswith("/s does not run: start it")
    with pytest.raises(
        HooksError, match=r"does not know supervisor\.nope; .* \[rpcinterface:supervisor"
    ):
        Control(here)._ask("supervisor.nope")
    with pytest.raises(HooksError, match=r"refuses supervisor\.getProcessInfo: BAD_NAME"):
        Control(here)._ask("supervisor.getProcessInfo", "nope")
    monkeypatch.setattr(control, "_ANSWER_S", 0.2)
    os.kill(supervisord.process.pid, signal.SIGSTOP)
    try:
        assert "has not answered within 0.2 s: it hangs" in trouble(here)
    finally:
        os.kill(supervisord.process.pid, signal.SIGCONT)


def test_a_server_with_a_password_says_so(tmp_path: Path) -> None:
    conf = tmp_path / "s.conf"
    conf.write_text("[supervisorctl]\nserverurl=unix:///run/s\nusername=ops\npassword=s3cret\n")
    assert address_of(None, str(conf)) == Address("unix:///run/s", "ops", "s3cret")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ProtocolError("localhost/RPC2", 401, "Unauthorized", {}), "wants a username and a password"),
        (PermissionError(13, "Permission denied"), "may not be asked by this user"),
        (ConnectionResetError(104, "reset"), "cannot be asked: [Errno 104] reset"),
    ],
)
def test_whatever_keeps_it_from_answering_is_said(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(SupervisorTransport, "request", fail)
    assert words in trouble(Address("unix:///run/s"))
