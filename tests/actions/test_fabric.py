"""The document's example: tasks of cloudify-fabric-plugin, run over SSH on another machine.

The plugin itself is not published as a package; this one has its name, its module and the signature of
its run_task, and uses the same libraries. The other machine is this one: an sshd with its own keys.
"""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from listener.actions.registry import Actions
from listener.hooks.watch import HooksFile
from listener.model.notification import Notification
from listener.state.journal import Journal
from tests.handmade_plugins import make_plugin
from tests.support import Finishing, delivery_of, require_program, wait_for

pytestmark = pytest.mark.usefixtures("uncounted")

RUN_TASK = """
from fabric import Connection, task

from cloudify import ctx as current
from cloudify.decorators import operation
from cloudify.exceptions import NonRecoverableError


@operation(resumable=True)
def run_task(ctx, tasks_file, task_name, fabric_env=None, task_properties=None, **kwargs):
    ctx.logger.info("Running task: %s from %s", task_name, tasks_file)
    names = {"__name__": "fabric_tasks", "__file__": tasks_file}
    exec(current.get_resource(tasks_file), names)
    if task_name not in names:
        raise NonRecoverableError("Could not find task %r in %r" % (task_name, tasks_file))
    env = dict(fabric_env or {})
    try:
        host = env.pop("host_string", None) or ctx.instance.host_ip
    except NonRecoverableError as error:
        raise NonRecoverableError("host ip is missing: %s" % error)
    connect = {"key_filename": env.pop("key_filename")}
    with Connection(host, env.pop("user"), env.pop("port"), connect_kwargs=connect) as connection:
        return task(names[task_name])(connection, **(task_properties or {}))
"""

TASKS_FILE = """
from cloudify import ctx


def test_started_task(connection):
    said = connection.run("echo started; echo $SSH_CONNECTION | wc -w", hide=True)
    ctx.logger.info("%s: %s", ctx.execution_id, said.stdout.split())
    return said.return_code


def test_succeeded_task(connection):
    connection.run("echo out of paper >&2; exit 3", hide=True)
"""

HOOKS = """
hooks:
  - event_type: workflow_started
    implementation: cloudify-fabric-plugin.fabric_plugin.tasks.run_task
    inputs:
      tasks_file: {folder}/fabric_test/tasks.py
      task_name: test_started_task
      fabric_env: &machine {{host_string: 127.0.0.1, port: {port}, user: {user}, key_filename: {key}}}
    description: A test task for workflow_started
  - event_type: workflow_succeeded
    implementation: cloudify-fabric-plugin.fabric_plugin.tasks.run_task
    inputs:
      tasks_file: fabric_test/tasks.py
      task_name: test_succeeded_task
      fabric_env: *machine
    description: A test task for workflow_succeeded
  - event_type: workflow_failed
    implementation: cloudify-fabric-plugin.fabric_plugin.tasks.run_task
    inputs:
      tasks_file: fabric_test/tasks.py
      task_name: test_started_task
  - event_type: workflow_cancelled
    implementation: cloudify-fabric-plugin.fabric_plugin.tasks.run_task
    inputs:
      tasks_file: fabric_test/tasks.py
      task_name: test_cancelled_task
"""

SSHD_CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
StrictModes no
UsePAM no
PasswordAuthentication no
PidFile none
"""


class Machine:
    """Where a key leads that is in `folder`."""

    def __init__(self, folder: Path, port: int) -> None:
        self.key = folder / "user"
        self.port = port


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """An SSH server on loopback that lets this user in with one key."""
    folder = tmp_path_factory.mktemp("machine")
    sshd = require_program("sshd")
    for name in ("host", "user"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(key, check=True, stdin=subprocess.DEVNULL)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    (folder / "sshd_config").write_text(SSHD_CONFIG.format(folder=folder, port=port))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd demands it of root
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(
            [sshd, "-D", "-e", "-f", str(folder / "sshd_config")],
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
    wait_for("sshd", lambda: b"Server listening" in (folder / "log").read_bytes())
    yield Machine(folder, port)
    server.terminate()
    server.wait()


@pytest.fixture
def dispatcher(
    tmp_path: Path, machine: Machine, cloudify_packages: Path, fabric_packages: Path
) -> Iterator[Finishing]:
    make_plugin(
        tmp_path / "state/plugins",
        "cloudify-fabric-plugin",
        {"fabric_plugin/__init__.py": "", "fabric_plugin/tasks.py": RUN_TASK},
        cloudify_packages,
        fabric_packages,
        version="2.0.27",
    )
    (tmp_path / "fabric_test").mkdir()
    (tmp_path / "fabric_test/tasks.py").write_text(TASKS_FILE)
    hooks = HOOKS.format(folder=tmp_path, port=machine.port, user=getpass.getuser(), key=machine.key)
    (tmp_path / "hooks.conf").write_text(hooks)
    hooks_file = HooksFile(tmp_path / "hooks.conf", {})
    assert hooks_file.table is not None
    with Actions(hooks_file.table.listener, str(tmp_path / "state"), str(tmp_path)) as actions:
        yield Finishing(hooks_file, actions, Journal(None), 900.0)


def end_of(dispatcher: Finishing, event_type: str) -> tuple[str, str]:
    """State and text of the only hook for an event."""
    context = {"execution_id": "x1", "tenant": {"name": "acme"}}
    dispatcher.act(delivery_of(Notification(event_type, context)))
    [run] = dispatcher.newest.runs
    return run.state, run.attempts[-1].text


def test_the_document_s_example_runs_its_tasks_on_the_machine_that_fabric_env_names(
    dispatcher: Finishing, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    started = end_of(dispatcher, "workflow_started")
    assert started == ("done", "cloudify-fabric-plugin 2.0.27 returned 0")
    running = f"Running task: test_started_task from {tmp_path}/fabric_test/tasks.py"
    for said in (running, "x1: ['started', '4']"):
        assert caplog.messages.count(f"hook workflow_started-1, entry 1 | {said}") == 1


def test_a_task_that_fails_on_the_other_machine_is_told_with_what_it_said_there(
    dispatcher: Finishing,
) -> None:
    state, text = end_of(dispatcher, "workflow_succeeded")
    assert state == "failed"
    assert text.startswith("cloudify-fabric-plugin 2.0.27: UnexpectedExit: ")
    assert "Exit code: 3" in text
    assert "out of paper" in text


@pytest.mark.parametrize(
    ("event_type", "reason"),
    [
        (
            "workflow_failed",
            "host ip is missing: ctx.node/ctx.instance can only be used in a node-instance context but"
            " used in a deployment context.",
        ),
        ("workflow_cancelled", "Could not find task 'test_cancelled_task' in 'fabric_test/tasks.py'"),
    ],
)
def test_what_the_plugin_misses_is_told_in_its_own_words(
    dispatcher: Finishing, event_type: str, reason: str
) -> None:
    expected = f"cloudify-fabric-plugin 2.0.27: NonRecoverableError: {reason}"
    assert end_of(dispatcher, event_type) == ("failed", expected)
