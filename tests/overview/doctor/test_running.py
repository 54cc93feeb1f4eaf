"""What doctor finds in what supervisord says of itself, beside a file that is well."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest

import listener
from listener.inbox.folder import RECORDED_IN
from listener.overview.doctor import examine
from listener.overview.doctor.facts import Facts
from listener.overview.doctor.running import _COMPARED
from listener.overview.finding import Finding
from listener.overview.standing import Standing
from listener.supervisord.configuration import Program
from tests.overview.doctor.test_examine import FORWARDER, SECTION, SetUp, set_up

__all__ = ["set_up"]

LISTENER = "conductor-hooks:conductor-hooks"
RECORDER = {"trouble": "", "version": listener.__version__}
IN_FILE = """
[rpcinterface:hooks]
supervisor.rpcinterface_factory=listener.supervisord.recorder:make_recorder
state_dir={}
"""


def configured(program: Program) -> dict[str, Any]:
    """As supervisord says it of a program that runs as its section has it."""
    values = {name: getattr(program.process, name) for name in _COMPARED}
    return {name: "none" if value is None else value for name, value in values.items()} | {
        "inuse": True
    }


def asked(set_up: SetUp, changes: Mapping[str, Mapping[str, Any]] | None = None) -> Facts:
    """What is found where supervisord answers, with these changes by group:name."""
    facts = set_up.look()
    assert facts.supervisord.configuration is not None
    programs = facts.supervisord.configuration.programs
    running = {program.names[0]: configured(program) for program in programs}
    for name, values in (changes or {}).items():
        running[name] |= values
    return facts._replace(supervisord=facts.supervisord._replace(configured=running, troubles=()))


def standing(facts: Facts, **values: Any) -> Facts:
    found = facts.kept.standing
    assert isinstance(found, Standing)
    return facts._replace(kept=facts.kept._replace(standing=found._replace(**values)))


def supervisord(facts: Facts, **values: Any) -> Facts:
    return facts._replace(supervisord=facts.supervisord._replace(**values))


def only(facts: Facts) -> Finding:
    [finding] = examine(facts)
    return finding


def test_what_runs_as_its_section_has_it_is_well(set_up: SetUp) -> None:
    assert list(examine(asked(set_up))) == []


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({LISTENER: {"inuse": False}}, "supervisord does not have it yet"),
        (
            {LISTENER: {"stopwaitsecs": 10, "uid": 5}},
            "changed, but not in force: uid, stopwaitsecs",
        ),
        ({"workflows:workflows": {"stdout_capture_maxbytes": 0}}, "stdout_capture_maxbytes"),
    ],
)
def test_a_change_that_is_not_in_force(
    set_up: SetUp, changes: Mapping[str, Mapping[str, Any]], what: str
) -> None:
    finding = only(asked(set_up, changes))
    assert what in finding.what
    assert finding.cure.startswith("supervisorctl update")


def test_an_environment_that_is_not_in_force(set_up: SetUp) -> None:
    text = set_up.section.read_text("utf-8").replace(SECTION, f"{SECTION}\nenvironment=TRAPS=one", 1)
    set_up.section.write_text(text)
    facts = supervisord(asked(set_up), own_environment={"PATH": "/bin"})
    assert list(examine(supervisord(facts, environment={"TRAPS": "one", "PATH": "/bin"}))) == []
    changed = supervisord(facts, environment={"TRAPS": "two"})
    assert only(changed).what.endswith(": environment")
    assert list(examine(supervisord(changed, own_environment=None))) == []  # what is %(ENV_X)s there?


def test_a_change_of_a_program_that_prints_no_notifications_is_nobodys_business(set_up: SetUp) -> None:
    set_up.section.write_text(f"{set_up.section.read_text('utf-8')}\n[program:web]\ncommand=web\n")
    assert list(examine(asked(set_up, {"web:web": {"command": "other"}}))) == []


def test_a_program_that_emits_and_is_not_captured(set_up: SetUp) -> None:
    set_up.write("web.log", "x" * 200_000 + "<!--XSUPERVISOR:BEGIN-->{}<!--XSUPERVISOR:END-->\n")
    set_up.section.write_text(f"{set_up.section.read_text('utf-8')}\n[program:web]\ncommand=web\n")
    finding = only(asked(set_up, {"web:web": {"stdout_logfile": f"{set_up.folder}/web.log"}}))
    assert finding.where == f"{set_up.section} [program:web]"
    assert finding.cure.startswith("stdout_capture_maxbytes=1MB")
    os.mkfifo(set_up.folder / "web.fifo")  # as /dev/stdout is, often
    waiting = {"web:web": {"stdout_logfile": f"{set_up.folder}/web.fifo"}}
    assert list(examine(asked(set_up, waiting))) == []


@pytest.mark.parametrize(
    ("log", "why"),
    [
        ("", "can't find command 'conductor-hooks'"),
        ("long ago\ncannot start:\nhooks.conf, line 3: no\n", "cannot start: / hooks.conf, line 3: no"),
    ],
)
def test_a_listener_that_has_never_come_up(set_up: SetUp, log: str, why: str) -> None:
    set_up.write("log", log)
    facts = asked(set_up, {LISTENER: {"stderr_logfile": f"{set_up.folder}/log"}})
    facts = facts._replace(kept=facts.kept._replace(standing=None))
    process = {"statename": "FATAL", "spawnerr": "can't find command 'conductor-hooks'"}
    finding = only(supervisord(facts, processes={LISTENER: process}))
    assert finding.where == f"{set_up.section} {SECTION}"
    assert finding.what == f"supervisord says FATAL: {why}"


def test_a_forwarder_that_has_never_come_up(set_up: SetUp) -> None:
    set_up.section.write_text(f"{set_up.section.read_text('utf-8')}{FORWARDER}")
    process = {"statename": "BACKOFF"}
    name = "conductor-forwarder:conductor-forwarder"
    assert (
        only(supervisord(asked(set_up), processes={name: process})).what == "supervisord says BACKOFF"
    )


def test_a_recorder_has_to_stand_in_the_file_and_to_run(set_up: SetUp) -> None:
    facts = asked(set_up)
    assert only(standing(facts, recorder=RECORDER)).what.startswith("it runs, but is no longer in")
    stale = supervisord(facts, environment={RECORDED_IN: str(set_up.state)})
    assert only(stale).cure.startswith("restart supervisord")

    set_up.conf.write_text(set_up.conf.read_text() + IN_FILE.format(set_up.state))
    facts = asked(set_up)
    assert list(examine(standing(facts, recorder=RECORDER))) == []
    assert only(facts).cure.startswith("supervisorctl reload")


def test_a_recorder_of_another_version(set_up: SetUp) -> None:
    set_up.conf.write_text(set_up.conf.read_text() + IN_FILE.format(set_up.state))
    finding = only(standing(asked(set_up), recorder={**RECORDER, "version": "0.0.1"}))
    assert finding.what == "its version 0.0.1 differs from the listener's"


def test_included_files_that_this_user_may_not_read(set_up: SetUp) -> None:
    facts = asked(set_up)
    assert facts.supervisord.configuration is not None
    hidden = facts.supervisord.configuration._replace(unreadable=("/etc/x.conf",))
    assert only(supervisord(facts, configuration=hidden)).where == "/etc/x.conf"


def test_root_takes_no_environment_from_another_users_process(
    set_up: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARK", "of the test")
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    facts = set_up.look()
    assert facts.supervisord.environment is not None
    assert os.environ["MARK"] == "of the test"
