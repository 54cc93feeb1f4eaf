"""The folder of the demo, and the supervisord that works in it.

Owns what is written there, the start and the end of supervisord, and what it and the listener log. It
judges nothing; run.py uses it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from listener.cli.shipped import shipped
from listener.errors import HooksError

PAGER = "page-on-call"
"""The name of the hook that calls a function."""

_STOP_LIMIT_S = 5.0

_SUPERVISORD_CONF = """\
[supervisord]
nodaemon=true
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
childlogdir={folder}

[include]
files={folder}/conductor-hooks.conf

[program:demo-workflow]
command={python} -m listener.cli.demo.workflow {folder}/notifications
stdout_capture_maxbytes=1MB
startsecs=0
autorestart=false
"""

_SPAWNED = r"spawned: 'conductor-hooks' with pid (\d+)\n"

_FUNCTION = f"""
  - name: {PAGER}
    event_type: workflow_failed
    implementation: listener.cli.demo.on_call.page
    inputs: {{calls: CALLS}}
    retries: 3
    repeatable: true
"""


class Place:
    """A folder that is there until `remove`, with a supervisord in it after `start`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="conductor-hooks-demo-"))
        self.supervisord: subprocess.Popen[bytes] | None = None
        self._seen = 0  # characters of the log

    def start(self, parts: Iterable[Iterable[Mapping[str, Any]]], receiver: tuple[str, int]) -> None:
        """Start supervisord; its workflow waits before the next part until `resume_workflow`."""
        env = self._env(receiver)
        if shutil.which("conductor-hooks", path=env["PATH"]) is None:
            raise HooksError(
                "the command conductor-hooks is not on the PATH; install the package first"
            )
        shutil.copy(shipped("supervisor.d/conductor-hooks.conf"), self.folder)
        function = _FUNCTION.replace("CALLS", json.dumps(str(self.folder / "calls")))
        self._write("hooks.conf", shipped("hooks.conf").read_text("utf-8") + function)
        texts = ["".join(json.dumps(notification) + "\n" for notification in part) for part in parts]
        self._write("notifications", "\n".join(texts))
        python = shlex.quote(sys.executable).replace("%", "%%")
        self._write("supervisord.conf", _SUPERVISORD_CONF.format(folder=self.folder, python=python))
        command = [sys.executable, "-m", "supervisor.supervisord", "-n"]
        with (self.folder / "supervisord.out").open("wb") as output:
            self.supervisord = subprocess.Popen(
                [*command, "-c", str(self.folder / "supervisord.conf")],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _env(self, receiver: tuple[str, int]) -> dict[str, str]:
        """The environment that the shipped section and the shipped hooks.conf read."""
        programs = [str(Path(sys.executable).parent), str(Path(sys.argv[0]).absolute().parent)]
        return {
            **os.environ,
            "PATH": os.pathsep.join([*programs, os.environ.get("PATH", os.defpath)]),
            "CONDUCTOR_HOOKS_CONFIG": str(self.folder / "hooks.conf"),
            "CONDUCTOR_HOOKS_STATE_DIR": str(self.folder / "state"),
            "CONDUCTOR_TRAP_ADDRESS": receiver[0],
            "CONDUCTOR_TRAP_PORT": str(receiver[1]),
        }

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, "utf-8")

    def resume_workflow(self) -> None:
        """Let the workflow emit its next part."""
        (self.folder / "notifications.go").touch()

    def said_by_supervisord(self) -> str:
        """All that supervisord has logged."""
        return self._text("supervisord.out")

    def said_by_listener(self) -> str:
        """All that the listener has logged; supervisord chooses the file's name."""
        return self._text("conductor-hooks-stderr*.log")

    def _text(self, pattern: str) -> str:
        return "".join(file.read_text("utf-8", "replace") for file in sorted(self.folder.glob(pattern)))

    def listeners(self) -> list[int]:
        """The process ids of all listeners that supervisord has started, the oldest first."""
        return list(map(int, re.findall(_SPAWNED, self.said_by_supervisord())))

    def new_lines(self) -> list[str]:
        """What the listener has logged since this was last called."""
        text = self.said_by_listener()
        whole = text[: text.rfind("\n") + 1]
        new, self._seen = whole[self._seen :], len(whole)
        return new.splitlines()

    def stop(self) -> None:
        """SIGTERM makes supervisord stop its programs; what does not obey is killed with its group."""
        if self.supervisord is None:
            return
        self.supervisord.terminate()
        try:
            self.supervisord.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.supervisord.pid, signal.SIGKILL)
            self.supervisord.wait()

    def remove(self) -> None:
        """Remove the folder; supervisord has ended."""
        shutil.rmtree(self.folder, ignore_errors=True)
