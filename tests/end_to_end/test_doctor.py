"""The verb doctor beside a real supervisord: as shipped, and then with one fault after another."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from listener.cli.shipped import shipped
from tests.end_to_end.real_supervisord import RealSupervisord, running
from tests.support import wait_for

COMMAND = [sys.executable, "-W", "error", "-m", "listener", "doctor"]
RECORDER = """\
[rpcinterface:conductor_hooks]
supervisor.rpcinterface_factory=listener.supervisord.recorder:make_recorder
state_dir={}
"""


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def found() -> list[str]:
    """What doctor says, each with the section or the part that it is about."""
    result = doctor("--output", "json")
    findings = json.loads(result.stdout)
    assert (result.returncode, result.stderr) == (int(bool(findings)), "")
    return [f"{finding['where'].rpartition('/')[2]}: {finding['what']}" for finding in findings]


def reload(supervisord: RealSupervisord) -> None:
    """Also when the listener starts more slowly than supervisord answers."""
    before = supervisord.pid()
    supervisord.supervisorctl("reload")
    wait_for(
        "another listener", lambda: supervisord.state() == "RUNNING" and supervisord.pid() != before
    )
    wait_for("its words", lambda: "does not run" not in doctor().stdout)


def test_the_shipped_set_up_is_well_with_and_without_a_recorder_and_faults_are_found() -> None:
    with running(shipped("hooks.conf").read_text("utf-8")) as supervisord:
        result = doctor()
        assert (result.returncode, result.stdout, result.stderr) == (0, "nothing is wrong\n", "")

        recorder = supervisord.folder / "conf.d/recorder.conf"
        recorder.write_text(RECORDER.format(os.environ["CONDUCTOR_HOOKS_STATE_DIR"]))
        assert found() == ["recorder: it is in supervisord's configuration, but does not run"]
        reload(supervisord)
        assert found() == []

        recorder.unlink()
        section = supervisord.folder / "conf.d/conductor-hooks.conf"
        text = section.read_text("utf-8").replace("stopwaitsecs=600", "stopwaitsecs=60")
        section.write_text(text.replace("buffer_size=65536", "environment=NMS=%(ENV_TEST_NOTES)s"))
        place = "conductor-hooks.conf [eventlistener:conductor-hooks]"
        assert found() == [
            f"{place}: changed, but not in force: stopwaitsecs, environment",
            f"{place}: buffer_size is 10: a burst above it is lost",
            f"{place}: stopwaitsecs is 60: all hooks of one workflow_succeeded may take 62 s, and a"
            " stop kills the one that runs then",
            "recorder: it runs, but is no longer in supervisord's configuration: the next start is"
            " without it",
        ]
        section.write_text(shipped("supervisor.d/conductor-hooks.conf").read_text("utf-8"))
        reload(supervisord)
        assert found() == [
            "recorder: it is gone, but the listener takes events for recorded: supervisord's"
            " environment says so"
        ]
