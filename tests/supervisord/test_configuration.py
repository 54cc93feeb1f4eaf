"""supervisord's configuration file, read by supervisor's own parser without its effects."""

from __future__ import annotations

from pathlib import Path

import pytest

from listener.errors import HooksError
from listener.supervisord.configuration import read_configuration
from tests.users import open_to_others, unprivileged

FILE = """\
[supervisord]
user=root
environment=A="one"
[include]
files=conf.d/*.conf
[rpcinterface:hooks]
supervisor.rpcinterface_factory=listener.supervisord.recorder:make_recorder
state_dir=/state
[rpcinterface:other]
supervisor.rpcinterface_factory=no.such.module:make
[group:all]
programs=two
[program:two]
command=two %(ENV_NAME)s
numprocs=2
process_name=%(program_name)s_%(process_num)s
[program:none]
command=none
numprocs=0
"""
INCLUDED = """\
[eventlistener:hooks]
command=/opt/conductor-hooks/bin/conductor-hooks listen
events=PROCESS_COMMUNICATION
result_handler=no.such.module:handler
buffer_size=7
environment=B="two"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/hooks.conf").write_text(INCLUDED)
    (tmp_path / "supervisord.conf").write_text(FILE)
    return tmp_path / "supervisord.conf"


def test_it_is_read_with_all_that_it_includes_and_runs_no_code_that_it_names(file: Path) -> None:
    found = read_configuration(str(file), {"NAME": "x"})
    assert (found.file, found.uid, found.unreadable) == (str(file), 0, ())
    assert found.recorders == {f"{file} [rpcinterface:hooks]": "/state"}
    two, hooks = found.programs
    assert two.names == ("all:two_0", "all:two_1")
    assert (two.place, two.process.command) == (f"{file} [program:two]", "two x")
    assert hooks.place == f"{file.parent}/conf.d/hooks.conf [eventlistener:hooks]"
    assert [event.__name__ for event in hooks.events] == ["ProcessCommunicationEvent"]
    assert hooks.buffer_size == 7
    assert hooks.process.environment == {"A": "one", "B": "two"}


@pytest.mark.parametrize(
    ("command", "is_ours"),
    [
        ("conductor-hooks listen", True),
        ("/opt/conductor-hooks/bin/python -m listener listen --config x", True),
        ("""sh -c 'exec "/opt/x/conductor-hooks" listen'""", True),
        ("/opt/conductor-hooks/bin/python -m other listen", False),
        ("conductor-hooks forward", False),
    ],
)
def test_our_verbs_are_known_by_their_command(file: Path, command: str, is_ours: bool) -> None:
    file.write_text(f"[supervisord]\n[program:x]\ncommand={command}\n")
    [program] = read_configuration(str(file), {}).programs
    assert program.is_verb("listen") == is_ours


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (FILE, "ENV_NAME"),
        ("[program:x]", "does not include supervisord section"),
        ("nonsense", "no section headers"),
        ("[supervisord]\nuser=no-such-user", "no-such-user"),
    ],
)
def test_what_supervisord_would_refuse_is_said(file: Path, text: str, why: str) -> None:
    file.write_text(text)
    with pytest.raises(HooksError, match=f"cannot be read as supervisord reads it: .*{why}"):
        read_configuration(str(file), {})


def test_included_files_that_the_parser_skips_are_named(file: Path) -> None:
    hidden = file.parent / "conf.d/hooks.conf"
    hidden.chmod(0o600)
    with open_to_others(file.parent / "conf.d"), unprivileged():
        found = read_configuration(str(file), {"NAME": "x"})
    assert found.unreadable == (str(hidden),)
    assert len(found.programs) == 1
