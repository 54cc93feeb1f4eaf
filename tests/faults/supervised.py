"""A real supervisord that can be killed and started again, with or without the recorder.

Owns its configuration: the shipped section with the settings that a fault is about, and the recorder's.
What it is asked and told is real_supervisord.py's; what it says of itself is read here.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from configparser import RawConfigParser
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

from listener.cli.shipped import shipped
from tests.end_to_end.real_supervisord import RealSupervisord
from tests.faults import processes
from tests.faults.double import CHECKOUT
from tests.faults.hooks import Hooks, all_printed, environment_of_hooks
from tests.faults.ledger import SETTLED_S, is_settled, last_without_entry
from tests.support import wait_for

_CONF = """\
[unix_http_server]
file={folder}/s

[supervisord]
nodaemon=true
logfile={folder}/supervisord.log
pidfile={folder}/pid
childlogdir={folder}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{folder}/s

[include]
files={folder}/section.conf

[program:workflows]
command=cat {folder}/frames
stdout_capture_maxbytes={capture}
stdout_logfile=NONE
"""

_RECORDER = """
[rpcinterface:conductor_hooks]
supervisor.rpcinterface_factory=listener.supervisord.recorder:make_recorder
state_dir={folder}/state
"""

_AT_ONCE = {"startsecs": "0"}
"""supervisord waits for events' sake and for nothing else; the shipped second only costs time here."""


class Supervised(RealSupervisord):
    """`recorder` puts the recorder inside; `settings` replace those of the shipped section."""

    def __init__(
        self,
        folder: Path,
        hooks: Hooks,
        *,
        recorder: bool = False,
        settings: Mapping[str, str] | None = None,
        more: str = "",
        capture: str = "1MB",
    ) -> None:
        self.folder = folder
        self.conf = folder / "supervisord.conf"
        self.hooks_conf = folder / "hooks.conf"
        hooks.write(folder)
        (folder / "state").mkdir(mode=0o700, exist_ok=True)
        os.mkfifo(folder / "frames")
        text = _CONF + (_RECORDER if recorder else "")
        self.conf.write_text(text.format(folder=folder, capture=capture) + more)
        self.write_section(settings or {})
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        mine = {"PATH": programs, "PYTHONPATH": str(CHECKOUT), **environment_of_hooks(folder)}
        self.env = dict(processes.environment(folder, **mine))
        self._frames: int | None = None
        self.start()

    def write_section(self, settings: Mapping[str, str]) -> None:
        """The shipped section with other settings, for the next `supervisorctl update` or start."""
        section = RawConfigParser()
        section.read_string(self.shipped_section())
        for name in section.sections():
            log = (
                f"{self.folder}/{name.partition(':')[2]}-stderr.log"  # one that a new supervisord keeps
            )
            section[name].update({**_AT_ONCE, "stderr_logfile": log})
        section["eventlistener:conductor-hooks"].update(settings)
        with (self.folder / "section.conf").open("w") as file:
            section.write(file)

    def shipped_section(self) -> str:
        """What comes with the listener."""
        return shipped("supervisor.d/conductor-hooks.conf").read_text()

    def change_section(self, buffer_size: int = 1000) -> None:
        """Have the listener's pool removed and another one made, step by step as `update` does."""
        name = "conductor-hooks"
        self.write_section({"buffer_size": str(buffer_size)})
        _, [changed], _ = self.ask("supervisor.reloadConfig")[0]
        assert changed == name
        self.ask("supervisor.stopProcessGroup", name, False)
        wait_for("the removal", self._has_removed)
        self.ask("supervisor.addProcessGroup", name)

    def _has_removed(self) -> bool:
        try:
            return bool(self.ask("supervisor.removeProcessGroup", "conductor-hooks"))
        except Fault:
            return False  # it has not stopped yet

    def start(self) -> None:
        """Start a supervisord, where none is."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", self.conf],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for("supervisord", self.state)

    def end(self, signum: int = signal.SIGTERM) -> None:
        """End this supervisord, and wait for what it leaves behind."""
        left = processes.children(self.process.pid)
        self._close_frames()
        self.process.send_signal(signum)
        wait_for("the end of supervisord", self._has_ended)
        for pid in left:
            if "cat " in processes.command(pid):
                processes.kill(pid)
            wait_for(f"the end of process {pid}", partial(processes.is_gone, pid))

    def _has_ended(self) -> bool:
        self.knock()
        return self.process.poll() is not None

    def knock(self) -> None:
        """Wake it: each program that it starts or stops costs it up to a second of sleep otherwise."""
        with socket.socket(socket.AF_UNIX) as knock, suppress(OSError):
            knock.settimeout(1)
            knock.connect(f"{self.folder}/s")

    def reload(self) -> None:
        """SIGHUP, until it has begun anew."""
        before = self.supervisord_log().count("supervisord started")
        self._close_frames()
        self.process.send_signal(signal.SIGHUP)
        wait_for("the reload", lambda: self._has_begun(before))

    def _has_begun(self, before: int) -> bool:
        self.knock()
        return self.supervisord_log().count("supervisord started") > before and bool(self.state())

    def send(self, names: Iterable[str]) -> None:
        """Have the program print a notification for each name."""
        self.write(all_printed(names))

    def send_in_pieces(self, data: bytes, size: int) -> None:
        """Have the program print, and supervisord read, so many bytes at a time."""
        for start in range(0, len(data), size):
            before = self._bytes_read()
            self.write(data[start : start + size])
            wait_for("supervisord to read", partial(self._has_read_more, before))

    def _has_read_more(self, before: int) -> bool:
        return self._bytes_read() > before

    def _bytes_read(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/io").read_text().split()[1])

    def has_logged(self, text: str) -> bool:
        """Whether supervisord's log has that by now."""
        self.knock()
        return text in self.supervisord_log()

    def recorded(self) -> int:
        """How many events this supervisord has recorded."""
        return int(self.ask("conductor_hooks.status")["recorded"])

    def wait_until_recorded(self, count: int) -> None:
        """Until supervisord has read so many from its programs."""
        wait_for(f"{count} recorded events", lambda: self.recorded() == count)

    def listeners(self) -> list[int]:
        """The processes of the listener that supervisord has started, in order."""
        return self._spawned("conductor-hooks")

    def _spawned(self, program: str) -> list[int]:
        found = re.findall(rf"spawned: '{program}' with pid (\d+)", self.supervisord_log())
        return [int(pid) for pid in found]

    def wait_for_listener(self, other_than: Iterable[int] = ()) -> int:
        """The listener's process; one that is not among these."""
        return self.wait_for_program("conductor-hooks", "listen", other_than)

    def wait_for_program(self, program: str, verb: str, other_than: Iterable[int] = ()) -> int:
        """The process of a program that runs this verb of ours; one that is not among these.

        It is its own program by then: a SIGTERM before that is taken by what it has of supervisord, and
        lost, and supervisord waits for its end until stopwaitsecs are over.
        """
        known = set(other_than)
        return wait_for(f"a {program}", lambda: self._living(program, verb, known))

    def _living(self, program: str, verb: str, known: set[int]) -> int:
        self.knock()
        pid = (self._spawned(program) or [0])[-1]
        is_another = pid and pid not in known and not processes.is_gone(pid)
        return pid if is_another and verb in processes.command(pid).split() else 0

    def discarded(self) -> int:
        """How many events of the listener's buffer supervisord says that it has discarded."""
        return self.supervisord_log().count("pool conductor-hooks event buffer overflowed")

    def wait_until_settled(self, last: str) -> None:
        """Until the journal has this notification, and nothing that is still to be done."""
        wait_for(f"all entries, {last} too", lambda: is_settled(self.folder, last), SETTLED_S)

    def named_losses(self) -> int:
        """How many discarded events the listener's ERRORs name after its next TICK_5.

        At least as many as supervisord names: it may write the listener's log later than its own.
        """
        before = last_without_entry(self.folder)
        wait_for("a TICK_5", lambda: last_without_entry(self.folder) != before)
        wait_for("the ERRORs", lambda: self._named_losses() >= self.discarded())
        return self._named_losses()

    def _named_losses(self) -> int:
        found = re.findall(r" ERROR supervisord discarded (\d+) events", self.log())
        return sum(map(int, found))

    def close(self) -> None:
        """End all its processes, wherever they are by then."""
        self._close_frames()
        self.process.kill()
        self.process.wait()
        processes.end_all(self.folder)


@contextmanager
def supervised(folder: Path, hooks: Hooks, **how: Any) -> Iterator[Supervised]:
    """A supervisord that answers; its listener may just be starting."""
    with closing(Supervised(folder, hooks, **how)) as supervisord:
        yield supervisord
