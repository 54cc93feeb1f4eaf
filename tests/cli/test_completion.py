"""Shell completion, in a real bash at a terminal: what TAB makes of what is typed."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from functools import partial
from pathlib import Path

from tests.support import require_program, uncounted_env, wait_for

LINES = {
    "histo": "history ",
    "history --des": "history --destinations ",
    "history --state unr": "history --state unreadable ",
    "emit workflow_q": "emit workflow_queued ",
    "fire hook_f": "fire hook_failed ",
    "traps --output js": "traps --output json ",
    "check hooks.c": "check hooks.conf ",
    "check --state-dir a-fo": "check --state-dir a-folder/",
    "plugins rem": "plugins remove ",
}


class Bash:
    """An interactive bash at a terminal of its own."""

    def __init__(self) -> None:
        self._terminal, theirs = pty.openpty()
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        env = {**uncounted_env(), "PATH": path, "TERM": "dumb", "INPUTRC": os.devnull}
        command = [require_program("bash"), "--norc", "--noprofile", "-i"]
        self._process = subprocess.Popen(
            command, env=env, start_new_session=True, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        self._shown = ""

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def shows(self, text: str) -> bool:
        """Whether that was shown since it was last seen."""
        if select.select([self._terminal], [], [], 0)[0]:
            self._shown += os.read(self._terminal, 4096).decode()
        _, found, after = self._shown.partition(text)
        self._shown = after if found else self._shown
        return bool(found)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)


def test_tab_completes_verbs_options_choices_files_and_event_types(folder: Path) -> None:
    (folder / "a-folder").mkdir()
    (folder / "a-folder-of-no-use").touch()
    bash = Bash()
    try:
        bash.type('eval "$(_CONDUCTOR_HOOKS_COMPLETE=bash_source conductor-hooks)"; echo rea""dy\n')
        wait_for("the prompt", lambda: bash.shows("ready"))
        for typed, completed in LINES.items():
            bash.type(f"conductor-hooks {typed}\t")
            wait_for(completed, partial(bash.shows, f"conductor-hooks {completed}"))
            bash.type("\x15")  # Ctrl-U
    finally:
        bash.close()
