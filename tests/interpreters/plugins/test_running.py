"""The whole way of a managed plugin: from its wagon to the task that a running listener calls."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from listener.interpreters.plugins.source import COMMON
from tests.support import event
from tests.wagons import Made

COMMAND = (sys.executable, "-W", "error", "-m", "listener")
NAME = "tried-plugin"
TASKS = """
from importlib.metadata import version
from cloudify import ctx
def tell(context, greeting):
    ctx.logger.info("%s from %s", greeting, context.logger.name)
    return [version("tried-plugin"), ctx.task_type, ctx.execution_id]
"""
HOOKS = f"""
hooks:
  - event_type: workflow_started
    implementation: {NAME}.tried_plugin.tasks.tell
    inputs: {{greeting: hello}}
"""


def run(*arguments: str | Path) -> str:
    result = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def send(listener: subprocess.Popen[bytes], number: int) -> None:
    """Let the listener act on a notification, and wait for its answer."""
    assert listener.stdin is not None
    assert listener.stdout is not None
    notification = {"event_type": "workflow_started", "context": {"execution_id": f"e-{number}"}}
    listener.stdin.write(event(json.dumps(notification), serial=number))
    listener.stdin.flush()
    assert listener.stdout.read(17) == b"RESULT 2\nOKREADY\n"


def test_wagons_are_uploaded_run_replaced_and_removed_while_the_listener_works(
    made: Made, state: Path, tmp_path: Path
) -> None:
    config = tmp_path / "hooks.conf"
    config.write_text(HOOKS)
    wagon = made.wagon_of_the_tool(NAME, "1.9", tasks=TASKS, requires=(COMMON,))
    run("plugins", "upload", wagon, "--config", config)
    with (
        open(tmp_path / "log", "wb") as log,
        subprocess.Popen(
            [*COMMAND, "listen", "--config", config],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
        ) as listener,
    ):  # fmt: skip
        assert listener.stdout is not None
        assert listener.stdout.read(6) == b"READY\n"
        send(listener, 1)
        newer = made.wagon(NAME, "1.33", tasks=TASKS, requires=(COMMON,))
        run("plugins", "upload", newer, "--config", config)
        send(listener, 2)
        run("plugins", "remove", NAME, "--yes", "--config", config)
        send(listener, 3)
    assert listener.returncode == 0
    entries = json.loads(run("history", "--output", "json"))
    runs = {entry["execution_id"]: entry["runs"][0] for entry in entries}
    assert runs["e-1"]["result"] == f"{NAME} 1.9 returned ['1.9', 'hook', 'e-1']"
    assert runs["e-2"]["result"] == f"{NAME} 1.33 returned ['1.33', 'hook', 'e-2']"
    assert runs["e-3"]["error"] == (
        f"there is no managed plugin '{NAME}' (there is none); upload it with 'conductor-hooks plugins"
        " upload'"
    )
    lines = (tmp_path / "log").read_text()
    assert f"runs in the managed plugin {NAME} 1.9" in lines
    for entry in (1, 2):
        assert f" INFO hook workflow_started-1, entry {entry} | hello from ctx." in lines
