"""The whole way of a managed plugin: from its wagon to the task that a running listener has it do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from listener.interpreters.plugins.source import COMMON
from tests.interpreters.plugins.uploads import Made
from tests.supervisord.test_journaled import Site, frame

NAME = "tried-plugin"
TASKS = """
from importlib.metadata import version
from cloudify import ctx
def tell(context, greeting):
    ctx.logger.info("%s from %s", greeting, context.logger.name)
    return [version("tried-plugin"), ctx.task_type, ctx.execution_id]
"""
TASK = f"{NAME}.tried_plugin.tasks.tell"
HOOK = f"{{event_type: '*', implementation: {TASK}, inputs: {{greeting: hello}}}}"


@pytest.fixture
def site(tmp_path: Path, state: Path) -> Iterator[Site]:
    """`state` is where its listeners look for plugins."""
    place = Site(tmp_path)
    assert place.state_dir == state
    yield place
    place.close()


def plugins(*arguments: str | Path) -> str:
    command = [
        sys.executable,
        "-m",
        "listener",
        "plugins",
        *map(str, arguments),
        "--config",
        "/dev/null",
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_wagons_are_uploaded_run_replaced_and_removed_while_the_listener_works(
    made: Made, site: Site
) -> None:
    wagons = [made.wagon(NAME, version, tasks=TASKS, requires=(COMMON,)) for version in ("1.9", "1.33")]
    plugins("upload", wagons[0])
    listener = site.start(HOOK)
    listener.wait_for_log(f"runs in the managed plugin {NAME} 1.9")
    listener.send(frame("e-1"))
    listener.wait_for_answers(1)

    plugins("upload", wagons[1])
    listener.send(frame("e-2", serial=2))
    listener.wait_for_answers(2)

    plugins("remove", NAME, "--yes")
    listener.send(frame("e-3", serial=3))
    listener.wait_for_answers(3)

    assert listener.end() == 0
    assert [entry.runs[0].attempts[-1].text for entry in site.entries] == [
        f"{NAME} 1.9 returned ['1.9', 'hook', 'e-1']",
        f"{NAME} 1.33 returned ['1.33', 'hook', 'e-2']",
        f"there is no managed plugin '{NAME}' (there is none); upload it with 'conductor-hooks plugins"
        " upload'",
    ]
    assert site.states == ["done", "done", "failed"]
    for entry in (1, 2):
        assert f" INFO hook any-1, entry {entry} | hello from ctx." in listener.log
