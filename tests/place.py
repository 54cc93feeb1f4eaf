"""A folder with hooks.conf, the functions that it names and a state directory, for the command."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from listener.inbox.reader import InboxReader, Record
from listener.model.entry import Entry
from listener.state.filters import Filters
from listener.state.journal import Journal
from tests.support import event

FUNCTIONS = """
def note(context):
    with open(__file__ + ".notes", "a") as notes:
        notes.write(context["execution_id"] + " " + str(context.get("rest_token")) + "\\n")
def fail(context):
    note(context)
    raise ValueError("as it should")
"""

HOOKS = """
listener: {python_path: [.]}
hooks:
  - {name: note, event_type: [workflow_started, workflow_failed], implementation: test_functions.note}
  - {name: fail, event_type: workflow_failed, implementation: test_functions.fail}
"""

COMMAND = (sys.executable, "-W", "error", "-m", "listener")


class Place:
    """`state` is where $CONDUCTOR_HOOKS_STATE_DIR leads, `conf` where $CONDUCTOR_HOOKS_CONFIG does."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.conf = folder / "hooks.conf"
        self.conf.write_text(HOOKS)
        (folder / "test_functions.py").write_text(FUNCTIONS)
        self.state.mkdir(0o700)
        monkeypatch.setenv("CONDUCTOR_HOOKS_CONFIG", str(self.conf))

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """The command; `options` are those of subprocess.run."""
        standard = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "timeout": 30}
        return subprocess.run(
            [*COMMAND, *arguments], cwd=self.folder, check=False, **{**standard, **options}
        )

    def listen(self, *events: bytes) -> str:
        """What a listener logs that gets these events, then a TICK_5, then the end of stdin."""
        data = b"".join((*events, event("when:1", serial=len(events) + 1, eventname="TICK_5")))
        result = self.run("listen", input=data.decode())
        assert result.stdout == "READY\n" + "RESULT 2\nOKREADY\n" * (len(events) + 1)
        return result.stderr

    def inbox(self, state: Path | None = None) -> list[Record]:
        with closing(InboxReader(str(state or self.state))) as reader:
            return [record for batch in reader.read_new() for record in batch]

    def entries(self) -> list[Entry]:
        """Oldest first."""
        journal = Journal(str(self.state))
        try:
            return journal.newest(Filters(), 1000)[::-1]
        finally:
            journal.close()

    def notes(self) -> list[str]:
        """The execution and the token of each call of a function."""
        file = self.folder / "test_functions.py.notes"
        return file.read_text().splitlines() if file.exists() else []

    def files(self) -> list[Path]:
        return [path for path in self.state.rglob("*") if path.is_file()]


def notification(execution_id: str = "e-1", **changes: Any) -> dict[str, Any]:
    context = {"execution_id": execution_id, "workflow_id": "install", "rest_token": None}
    context |= {"tenant_name": "acme", "deployment_id": "nodecellar"}
    return {"event_type": "workflow_started", "context": context, **changes}


def environment_without(name: str) -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != name}
