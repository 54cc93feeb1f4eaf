"""Two listeners on one supervisord, as the README has them: fast traps beside slow tasks."""

from __future__ import annotations

import json
import os
import signal
import socket
import tempfile
from collections.abc import Iterator, Mapping
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest

from listener.cli.shipped import shipped
from listener.snmp.trap import Trap, decode
from tests.end_to_end.real_supervisord import RealSupervisord, ids
from tests.faults import processes
from tests.support import wait_for

_RECORDER = """
[rpcinterface:{name}]
supervisor.rpcinterface_factory = listener.supervisord.recorder:make_recorder
state_dir = {state_dir}
"""


class TwoListeners(RealSupervisord):
    """The shipped section sends traps; beside it is its copy with the lines changed that README names.

    The copy's hook waits until there is the file `may_end`.
    """

    def __init__(self, folder: Path, traps: socket.socket) -> None:
        self.may_end = folder / "may-end"
        self._traps = traps
        self._state_dirs = {"conductor_hooks": Path(os.environ["CONDUCTOR_HOOKS_STATE_DIR"]),
                            "slow_hooks": folder / "slow"}  # fmt: skip
        inputs = {"destination_address": "127.0.0.1", "destination_port": traps.getsockname()[1],
                  "community_string": "public"}  # fmt: skip
        trap = _hooks("cloudify.snmp.snmp_trap.send_snmp_trap", inputs)
        super().__init__(folder, trap, capture="1MB", output="")

    def start(self) -> None:
        recorders = [
            _RECORDER.format(name=name, state_dir=path) for name, path in self._state_dirs.items()
        ]
        (self.folder / "conf.d" / "slow.conf").write_text(self._section() + "".join(recorders))
        super().start()
        self.wait_until_listening()
        wait_for("the other listener", lambda: "listening with" in self.slow_log())

    def _section(self) -> str:
        hooks_conf, state_dir = self.folder / "slow.conf", self._state_dirs["slow_hooks"]
        hooks_conf.write_text(_hooks("test_functions.wait_for_file", {"path": str(self.may_end)}))
        sections = RawConfigParser()
        sections.read(shipped("supervisor.d/conductor-hooks.conf"))
        env = f'CONDUCTOR_HOOKS_CONFIG="{hooks_conf}",CONDUCTOR_HOOKS_STATE_DIR="{state_dir}"'
        changed = {"priority": "7143", "environment": env}
        section = {**sections["eventlistener:conductor-hooks"], **changed}
        lines = "".join(f"{key}={value}\n" for key, value in section.items())
        return f"[eventlistener:slow-hooks]\n{lines}"

    def slow_log(self) -> str:
        """What the other listener has logged since supervisord was started."""
        files = self.folder.glob("slow-hooks-stderr*.log")
        return "".join(file.read_text("utf-8", "replace") for file in files)

    def slow_pid(self) -> int:
        return int(self.ask("supervisor.getProcessInfo", "slow-hooks")["pid"])

    def trapped(self, count: int) -> list[str]:
        """The execution ids of the next traps."""
        traps = [decode(self._traps.recv(65535), "")[0] for _ in range(count)]
        return [str(trap.values["cloudifyExecutionID"]) for trap in traps if isinstance(trap, Trap)]

    def recorded(self) -> list[int]:
        """How many events each recorder has."""
        return [self.ask(f"{name}.status")["recorded"] for name in self._state_dirs]

    def kill(self) -> None:
        """Kill supervisord, and wait until all that it leaves behind has ended."""
        left = processes.children(self.process.pid)
        self.process.kill()
        self.process.wait()
        self._close_frames()
        for pid in left:
            processes.kill(pid, signal.SIGCONT)
        wait_for("the end of all", lambda: all(map(processes.is_gone, left)))


def _hooks(implementation: str, inputs: Mapping[str, Any]) -> str:
    """A hooks.conf with one hook."""
    hook = {"event_type": "*", "implementation": implementation, "inputs": inputs}
    return json.dumps({"hooks": [hook]})


@pytest.fixture
def two() -> Iterator[TwoListeners]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as traps,
        tempfile.TemporaryDirectory(prefix="ch-") as folder,  # short: a socket's path has 107 bytes
    ):
        traps.bind(("127.0.0.1", 0))
        traps.settimeout(30)
        supervisord = TwoListeners(Path(folder), traps)
        try:
            yield supervisord
        finally:
            supervisord.may_end.touch()
            supervisord.close()


def test_a_slow_hook_or_the_death_of_one_holds_up_no_trap_of_the_other_and_sends_none_again(
    two: TwoListeners,
) -> None:
    for name in ids(2):
        two.emit("workflow_failed", name)
    assert two.trapped(2) == ids(2)
    wait_for("the slow hook", lambda: two.notes("begun") == ["e-0"])
    killed = two.slow_pid()
    processes.kill(killed)
    wait_for("the next slow hook", lambda: two.notes("begun") == ids(2))
    assert two.slow_pid() != killed
    assert two.notes() == []
    two.emit("workflow_failed", "e-2")
    assert two.trapped(1) == ["e-2"]
    two.may_end.touch()
    wait_for("the slow hooks", lambda: two.notes() == ["e-1", "e-2"])
    for log in (two.log(), two.slow_log()):
        assert ", recorded by supervisord" in log
        assert "WARNING supervisord records into" not in log


def test_after_the_death_of_supervisord_both_act_on_all_that_was_recorded_and_on_nothing_twice(
    two: TwoListeners,
) -> None:
    processes.kill(two.pid(), signal.SIGSTOP)
    for name in ids(20):
        two.emit("workflow_failed", name)
    wait_for("the records", lambda: two.recorded() == [20, 20])
    wait_for("the slow hook", lambda: two.notes("begun") == ["e-0"])
    two.may_end.touch()
    two.kill()
    two.start()
    assert two.trapped(20) == ids(20)
    wait_for("the slow hooks", lambda: two.notes() == ids(20))
    two.emit("workflow_failed", "the-last")
    assert two.trapped(1) == ["the-last"]
    wait_for("the last", lambda: two.notes()[-1] == "the-last")
    assert two.notes() == two.notes("begun") == [*ids(20), "the-last"]
