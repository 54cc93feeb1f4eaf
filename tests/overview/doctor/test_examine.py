"""Each fault that doctor finds in a configuration file, a state directory and a hooks.conf."""

from __future__ import annotations

import errno
import json
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import listener
from listener.actions.registry import TRAP
from listener.cli.shipped import shipped
from listener.hooks.watch import MISSING, HooksFile
from listener.inbox.runs import run_of
from listener.overview.doctor import destinations, examine, look, place
from listener.overview.doctor.facts import Facts
from listener.overview.finding import Finding
from listener.rabbitmq.presence import say_present as say_forwarder
from listener.state import directory
from listener.state.journal import FILE, Journal
from listener.supervisord.presence import Presence, say_present
from tests.state.entries import entry
from tests.support import uncounted_env
from tests.users import NOBODY, NOBODYS_NAME, needs_root

CONF = """\
[unix_http_server]
file={folder}/s
[supervisord]
[supervisorctl]
serverurl=unix://{folder}/s
[include]
files={folder}/conductor-hooks.conf
[program:workflows]
command=true
stdout_capture_maxbytes=1MB
"""
SECTION = "[eventlistener:conductor-hooks]"
FORWARDER = """
[program:conductor-forwarder]
command=conductor-hooks forward
autorestart=true
stdout_capture_maxbytes=1MB
"""
HOOKS = f"""\
hooks:
  - event_type: workflow_failed
    implementation: {TRAP}
    inputs: {{destination_address: 127.0.0.1, destination_port: 162, community_string: !file community}}
"""
FUNCTION = """\
listener: {python_path: [.]}
hooks: [{event_type: workflow_failed, implementation: own.page}]
"""


class SetUp:
    """One that is well, but for a supervisord that runs; tests spoil a file of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "supervisord.conf"
        self.section = folder / "conductor-hooks.conf"
        self.hooks = folder / "hooks.conf"
        self.state = folder / "state"
        self.conf.write_text(CONF.format(folder=folder))
        self.section.write_text(shipped("supervisor.d/conductor-hooks.conf").read_text("utf-8"))
        self.hooks.write_text(HOOKS)
        self.write("community", "public", 0o600)
        self.state.mkdir(0o700)
        (self.state / "inbox").mkdir(0o700)
        self.say_present()

    def say_present(
        self, version: str = listener.__version__, process: str = "", problem: str = ""
    ) -> None:
        with closing(Journal(str(self.state))) as journal:
            now, run = time.time(), run_of(os.getpid())
            here = Presence(run, version, now, str(self.hooks), process=process)
            say_present(journal, here, now, problem)

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(mode)

    def look(self) -> Facts:
        return look.look(None, str(self.state), str(self.conf), time.time())

    def findings(self) -> list[Finding]:
        """Without that of the supervisord that does not run."""
        found = list(examine(self.look()))
        assert [finding.what for finding in found if finding.where == "supervisord"] == [
            f"supervisord at unix://{self.folder}/s does not run: start it"
        ]
        return [finding for finding in found if finding.where != "supervisord"]


@pytest.fixture
def set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SetUp]:
    monkeypatch.setattr(os, "environ", uncounted_env())  # it takes the listener's
    set_up = SetUp(tmp_path)
    os.environ["CONDUCTOR_HOOKS_CONFIG"] = str(set_up.hooks)
    fd = directory.lock(str(set_up.state))
    yield set_up
    os.close(fd)


def test_it_finds_nothing_in_the_shipped_section_and_hooks(set_up: SetUp) -> None:
    set_up.hooks.write_text(shipped("hooks.conf").read_text("utf-8"))
    assert set_up.findings() == []


@pytest.mark.parametrize(
    ("shipped_line", "line", "what", "cure"),
    [
        ("events=", "events=TICK_5", "PROCESS_COMMUNICATION is missing", "events=PROCESS_COMM"),
        ("events=", "events=PROCESS_COMMUNICATION", "TICK_5 is missing", "events=PROCESS_COMM"),
        (
            "events=", "events=PROCESS_COMMUNICATION,PROCESS_COMMUNICATION_STDOUT,TICK_5",
            "each notification comes twice", "events=PROCESS_COMM",
        ),
        ("buffer_size=", "", "buffer_size is 10:", "buffer_size=65536"),
        ("autorestart=", "", "autorestart is not true", "autorestart=true"),
        ("startretries=", "", "startretries is 3", "startretries=100"),
        (
            "numprocs=", "numprocs=2\nprocess_name=%(process_num)s", "numprocs is above 1",
            "numprocs=1",
        ),
        ("stopwaitsecs=", "stopwaitsecs=61", "may take 62 s", "stopwaitsecs=62"),
        ("stopasgroup=", "stopasgroup=true", "stopasgroup is true", "stopasgroup=false"),
        ("stdout_logfile=", "", "stdout_logfile is not NONE", "stdout_logfile=NONE"),
        (
            "stderr_logfile=", "stderr_capture_maxbytes=1MB", "stderr_capture_maxbytes is set",
            "stderr_capture_maxbytes=0",
        ),
        (
            "priority=", "\n[eventlistener:mail]\ncommand=crashmail\nevents=TICK_60\npriority=999\n"
            f"{SECTION}\ncommand=conductor-hooks listen",
            "[eventlistener:mail] has the same priority", "priority=7142",
        ),
        (
            "priority=", "priority=7142\n[eventlistener:slow]\ncommand=conductor-hooks listen\n"
            f"events=TICK_60\npriority=7143\n{SECTION}\ncommand=conductor-hooks listen",
            "[eventlistener:slow] has the same state directory",
            'environment=CONDUCTOR_HOOKS_STATE_DIR="…" of its own for that one',
        ),
    ],
)  # fmt: skip
def test_a_line_of_the_section(
    set_up: SetUp, shipped_line: str, line: str, what: str, cure: str
) -> None:
    lines = set_up.section.read_text("utf-8").splitlines()
    changed = [line if each.startswith(shipped_line) else each for each in lines]
    set_up.section.write_text("\n".join(changed))
    [finding] = set_up.findings()
    assert finding.where == f"{set_up.section} {SECTION}"
    assert what in finding.what
    assert finding.cure.startswith(cure)


def test_a_configuration_without_the_section(set_up: SetUp) -> None:
    set_up.section.write_text("")
    [finding] = set_up.findings()
    assert finding.where == str(set_up.conf)
    assert "include supervisor.d/conductor-hooks.conf" in finding.cure


def test_of_several_listeners_the_one_of_this_state_directory_is_meant(set_up: SetUp) -> None:
    text = set_up.section.read_text("utf-8")
    head = "[eventlistener:slow]\nenvironment=CONDUCTOR_HOOKS_STATE_DIR=/elsewhere"
    other = text.replace(SECTION, head).replace("=7142", "=7143")
    set_up.section.write_text(f"{text}\n{other.replace('autorestart=true', '')}")
    assert set_up.findings() == []
    set_up.say_present(process="slow:slow")
    [finding] = set_up.findings()
    assert finding.where == f"{set_up.section} [eventlistener:slow]"


def test_the_listeners_environment_is_that_of_its_section_before_it_has_run(set_up: SetUp) -> None:
    (set_up.state / FILE).unlink()
    text = set_up.section.read_text("utf-8")
    line = f"{SECTION}\nenvironment=CONDUCTOR_HOOKS_CONFIG=/none/hooks.conf"
    set_up.section.write_text(text.replace(SECTION, line, 1))
    assert "/none/hooks.conf" in [finding.where for finding in set_up.findings()]


def test_hooks_conf_is_read_with_the_rights_of_the_state_directorys_owner(
    set_up: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "become_owner", lambda _: set_up.hooks.unlink())
    [finding] = set_up.findings()
    assert finding.what == MISSING


def test_a_configuration_that_cannot_be_read_hides_nothing_else(set_up: SetUp) -> None:
    set_up.section.write_text(f"{SECTION}\ncommand=conductor-hooks listen\nenvironment=A=%(ENV_NONE)s")
    set_up.hooks.write_text("hooks: [{event_type: x}]")
    found = list(examine(set_up.look()))
    assert any("cannot be read as supervisord reads it" in finding.what for finding in found)
    assert any(finding.where.startswith(f"{set_up.hooks}, line 1") for finding in found)


@pytest.mark.parametrize(
    ("text", "what", "cure"),
    [
        ("redirect_stderr=true", "redirect_stderr is true", "redirect_stderr=false"),
        ("stdout_capture_maxbytes=3KB", "of the last 10000 notifications had 3000", "=1MB"),
    ],
)
def test_a_program_that_emits(set_up: SetUp, text: str, what: str, cure: str) -> None:
    with closing(Journal(str(set_up.state))) as journal:
        journal.accept(entry(state="done", body="x" * 3000))
        journal.accept(entry(state="done", body="x" * 9000, source="forward"))
    set_up.conf.write_text(f"{set_up.conf.read_text()}{text}\n")
    [finding] = set_up.findings()
    assert finding.where == f"{set_up.conf} [program:workflows]"
    assert what in finding.what
    assert cure in finding.cure


def test_no_program_at_all_that_is_captured(set_up: SetUp) -> None:
    set_up.conf.write_text(CONF.format(folder=set_up.folder).replace("1MB", "0"))
    [finding] = set_up.findings()
    assert "supervisord passes on no notification" in finding.what
    with closing(Journal(str(set_up.state))) as journal:
        journal.accept(entry(state="done", source="emit"))
    assert set_up.findings() == []  # they come by the inbox alone


def test_a_recorder_into_another_directory(set_up: SetUp) -> None:
    section = "[rpcinterface:hooks]\nsupervisor.rpcinterface_factory=listener.supervisord.recorder:"
    set_up.conf.write_text(f"{set_up.conf.read_text()}{section}make_recorder\nstate_dir=/none\n")
    [finding] = set_up.findings()
    assert finding.where == f"{set_up.conf} [rpcinterface:hooks]"
    assert finding.cure.startswith(f"state_dir={set_up.state};")
    set_up.conf.write_text(set_up.conf.read_text().replace("/none", str(set_up.folder)))
    (set_up.folder / FILE).touch()  # another listener's
    assert set_up.findings() == []


@pytest.mark.parametrize(
    ("section", "what", "cure"),
    [
        ("", "no program of supervisord runs conductor-hooks forward", "or remove 'forward'"),
        (FORWARDER.replace("autorestart=true", ""), "autorestart is not true", "autorestart=true"),
        (FORWARDER.replace("1MB", "0"), "stdout_capture_maxbytes is missing", "maxbytes="),
        (
            f"{FORWARDER}[program:worker]\ncommand=worker --hooks-queue cloudify-hooks",
            "runs hooks itself", "--hooks-queue",
        ),
    ],
)  # fmt: skip
def test_the_forwarders_section(set_up: SetUp, section: str, what: str, cure: str) -> None:
    set_up.hooks.write_text(f"{HOOKS}forward: {{hosts: [127.0.0.1]}}\n")
    set_up.section.write_text(f"{set_up.section.read_text('utf-8')}{section}")
    [finding] = set_up.findings()
    assert what in finding.what
    assert cure in finding.cure


def test_what_the_forwarder_says_of_its_broker_is_not_said_again(set_up: SetUp) -> None:
    set_up.hooks.write_text(f"{HOOKS}forward: {{broker_config: none.json}}\n")
    set_up.section.write_text(f"{set_up.section.read_text('utf-8')}{FORWARDER}")
    [unread] = set_up.findings()
    assert unread.what.endswith(
        "none.json, which names the broker, cannot be read: No such file or directory"
    )
    said = f"{unread.what.removeprefix('forward: ')}; {unread.cure}; trying again"
    say_forwarder(str(set_up.state), said, 0.0, is_trouble=True)
    [finding] = set_up.findings()
    assert (finding.where, finding.what) == ("forwarder", said)


def test_what_status_finds_comes_first(set_up: SetUp) -> None:
    say_forwarder(str(set_up.state), "no route", 0.0, is_trouble=True)
    set_up.say_present(version="0.0.1")
    first, second = set_up.findings()
    assert first.what == "no route"
    assert second.what == f"version 0.0.1 runs, and this command is {listener.__version__}"


@pytest.mark.parametrize(
    ("spoil", "where", "what", "cure"),
    [
        (lambda state: state.chmod(0o720), "", "group or others may write", "chmod go-w"),
        (lambda state: state.chmod(0o500), "", "its owner may not write", "chmod u+rwx"),
        (
            lambda state: ((state / "inbox").rmdir(), (state / "inbox").touch(0o600)),
            "inbox", "it is no directory", "make it a directory",
        ),
        (lambda state: (state / "inbox").chmod(0o702), "inbox", "every user may write", "chmod o-w"),
        (
            lambda state: (state / FILE).write_bytes(b"x" * 4096),
            "", "file is not a database", "move it and its -wal file away",
        ),
        (lambda state: (state / FILE).unlink(), "", "no listener has run", "--state-dir"),
        (
            lambda state: (state.rename(f"{state}.away"), state.touch()),
            "", "it is not a directory", "move it away",
        ),
    ],
)  # fmt: skip
def test_the_state_directory(
    set_up: SetUp, spoil: Callable[[Path], object], where: str, what: str, cure: str
) -> None:
    spoil(set_up.state)
    [finding] = set_up.findings()
    set_up.state.chmod(0o700)
    assert finding.where == str(set_up.state / where)
    assert what in finding.what
    assert cure in finding.cure


def test_the_group_of_the_readme_may_write_to_the_inbox(set_up: SetUp) -> None:
    set_up.state.chmod(0o710)
    (set_up.state / "inbox").chmod(0o2770)
    assert set_up.findings() == []


def test_what_a_damaged_wal_file_has_lost_while_no_listener_works(
    set_up: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "is_locked", lambda _: False)
    monkeypatch.setattr(look, "lost_changes", lambda _: 7)
    [finding] = set_up.findings()
    assert finding.where == str(set_up.state / f"{FILE}-wal")
    assert "up to 7 of the journal's last changes" in finding.what


def test_a_disk_that_is_nearly_full(set_up: SetUp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "_LOW_BYTES", 1 << 60)
    [finding] = set_up.findings()
    assert "MB left" in finding.what


def test_a_user_who_does_not_own_the_state_directory_or_its_home(set_up: SetUp) -> None:
    needs_root()
    lines = f"user={NOBODYS_NAME}\nenvironment=HOME={set_up.folder}"
    set_up.section.write_text(set_up.section.read_text("utf-8").replace(";user=cfyuser", lines, 1))
    set_up.write("own.py", "def page(context): ...")
    set_up.hooks.write_text(FUNCTION)
    home, state = set_up.findings()
    assert f"HOME is {set_up.folder}, which belongs to another user than" in home.what
    assert state.cure == f"sudo chown -R {NOBODYS_NAME} {set_up.state}"
    home_of_nobody = pwd.getpwuid(NOBODY).pw_dir
    set_up.section.write_text(
        set_up.section.read_text("utf-8").replace(f"={set_up.folder}", f"={home_of_nobody}")
    )
    assert set_up.findings() == [state]


def test_functions_that_root_runs(set_up: SetUp) -> None:
    set_up.write("own.py", "def page(context): ...")
    set_up.hooks.write_text(FUNCTION)
    set_up.section.write_text(
        set_up.section.read_text("utf-8").replace(";user=cfyuser", "user=root", 1)
    )
    [finding] = set_up.findings()
    assert "root runs these hooks" in finding.what
    assert finding.cure.startswith("user=NAME")


@pytest.mark.parametrize(
    ("hooks", "where", "what"),
    [
        ("", "", "nothing stands here"),
        ("hooks: [", "line 2", "invalid YAML"),
        (HOOKS.replace("event_type", "event_typ"), "line 2", "event_typ"),
        (HOOKS.replace("162", "nine"), "line 4", "destination_port"),
        (HOOKS.replace("127.0.0.1", "traps.invalid"), "hook workflow_failed-1", "'traps.invalid'"),
        (
            "hooks: [{event_type: '*', implementation: webhook, inputs: {url: 'http://w.invalid/'}}]",
            "hook any-1", "'w.invalid'",
        ),
    ],
)  # fmt: skip
def test_hooks_conf(set_up: SetUp, hooks: str, where: str, what: str) -> None:
    set_up.hooks.write_text(hooks)
    finding = set_up.findings()[0]
    assert finding.where == ", ".join(filter(None, (str(set_up.hooks), where)))
    assert what in finding.what


@pytest.mark.parametrize(
    "spoil",
    [
        lambda hooks: hooks.write_text("hooks: ["),
        lambda hooks: hooks.write_text(f"{HOOKS}    timeout: never\n"),
        lambda hooks: hooks.unlink(),
        lambda hooks: (hooks.unlink(), hooks.mkdir()),
    ],
)
def test_what_the_listener_says_of_its_hooks_conf_is_not_said_again(
    set_up: SetUp, spoil: Callable[[Path], object]
) -> None:
    hooks_file = HooksFile(set_up.hooks, {})
    spoil(set_up.hooks)
    hooks_file.refresh()
    set_up.say_present(problem=hooks_file.problem)
    [finding] = set_up.findings()
    assert "the last good hooks (1) stay in force" in finding.what


def test_a_mistake_that_names_no_cure_is_to_be_corrected(set_up: SetUp) -> None:
    set_up.hooks.write_text("hooks: [")
    [finding] = set_up.findings()
    assert finding.cure == f"correct it, then conductor-hooks check {set_up.hooks}"


def test_a_hooks_conf_that_others_may_write(set_up: SetUp) -> None:
    set_up.hooks.chmod(0o664)
    [finding] = set_up.findings()
    assert finding.cure == f"chmod go-w {set_up.hooks}"


def test_a_hooks_conf_that_is_not_there(set_up: SetUp) -> None:
    set_up.hooks.unlink()
    [finding] = set_up.findings()
    assert finding.what == MISSING
    assert finding.cure == "write it, or name another one in $CONDUCTOR_HOOKS_CONFIG"


def test_an_installation_that_the_listeners_user_may_not_read(
    set_up: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, *_, **__: path != look.__file__)
    [finding] = set_up.findings()
    assert finding.what == f"the listener's user may not read {Path(listener.__file__).parent}"
    assert finding.cure.startswith("let it read that folder")


def test_a_hooks_conf_that_the_listeners_user_may_not_read(
    set_up: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(look, "read_file", refuse)
    [finding] = set_up.findings()
    assert finding.what == "cannot be read: Permission denied"
    assert finding.cure.startswith("let the listener's user read it")


def test_a_plugin_that_a_hook_runs(set_up: SetUp) -> None:
    plugin = set_up.state / "plugins/_global/doors/1.0"
    plugin.mkdir(parents=True)
    (plugin / "plugin.id").touch()
    set_up.hooks.write_text("hooks: [{event_type: workflow_failed, implementation: doors.tasks.open}]")
    of_hook, of_plugin = set_up.findings()
    assert of_hook.where == f"{set_up.hooks}, line 1"
    assert of_plugin.where == "plugin doors 1.0"
    assert of_plugin.what.startswith("its interpreter does not work")


@pytest.mark.parametrize(("mode", "cure"), [(0o604, "chmod o-r"), (0o620, "chmod go-w")])
def test_a_secret_that_others_may_read_or_change(set_up: SetUp, mode: int, cure: str) -> None:
    (set_up.folder / "community").chmod(mode)
    [finding] = set_up.findings()
    assert finding.cure == f"{cure} {set_up.folder}/community"


def test_no_more_names_are_asked_for_than_there_may_be_threads(
    set_up: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up.hooks.write_text(HOOKS.replace("127.0.0.1", "traps.invalid"))
    monkeypatch.setattr(destinations, "_MOST", 0)
    assert set_up.findings() == []


HANGING = """
import socket, sys, threading
from listener.overview.doctor import destinations
from listener.snmp import names
known = socket.getaddrinfo
def hang(host, *others, flags=0):
    return known(host, *others, flags=flags) if flags else threading.Event().wait()
socket.getaddrinfo = hang
names.ANSWER_S = destinations.ANSWER_S = 0.1
from listener.__main__ import main
main()
"""
"""The command, beside a resolver that never answers."""


def test_a_resolver_that_hangs_does_not_hold_up_the_answer(set_up: SetUp) -> None:
    set_up.hooks.write_text(HOOKS.replace("127.0.0.1", "traps.example.com"))
    options = ["--state-dir", str(set_up.state), "--supervisor-config", str(set_up.conf)]
    command = [sys.executable, "-c", HANGING, "doctor", *options, "--output", "json"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "no answer from the resolver" in json.loads(result.stdout)[-1]["what"]
