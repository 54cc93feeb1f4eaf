"""`ctx` inside the child, beside what the original's own runner makes of the same hook."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from listener.actions import Call, Fault
from listener.actions.function import FunctionAction
from listener.errors import ActionFailed
from listener.hooks.settings import RestService
from listener.hooks.table import Hook
from listener.model.notification import Notification
from listener.model.outcome import NEVER
from tests.functions import MakeAction
from tests.handmade_plugins import dispatched, installed, make_plugin
from tests.pythons import interpreters

TASKS = '''
import copy
import io
import json
import logging
import os
import pickle
import sys

from cloudify import ctx
from cloudify.exceptions import NonRecoverableError
from cloudify.manager import get_resource_from_manager, get_rest_client
from cloudify.state import ctx_parameters

PATHS = """
execution_id tenant_name task_type type task_name task_id task_target task_queue workflow_id rest_token
execution_token deployment.id deployment.tenant_name blueprint.id plugin plugin.name plugin.package_name
plugin.package_version plugin.prefix operation.name operation.retry_number operation.max_retries resume
timeout timeout_recoverable execution_env workflow_parameters logger.name logger.level rest_host
rest_port bypass_maintenance execution_creator_username
""".split()


def write(told, value):
    with open(told, "w") as file:
        json.dump(value, file)


def describe(context, told):
    values = {}
    for path in PATHS:
        value = ctx
        for name in path.split("."):
            value = getattr(value, name)
        values[path] = value
    write(told, [values, context, dict(ctx_parameters)])


def refuses(context, told, names):
    reasons = {}
    for name in names:
        try:
            getattr(ctx, name)
        except Exception as error:
            reasons[name] = [type(error).__name__, str(error)]
    write(told, reasons)


def logs(context):
    ctx.logger.info("for %s", ctx.execution_id)
    ctx.logger.debug("two\\nlines")
    context.logger.warning("by the first argument")
    logging.basicConfig()
    try:
        raise ValueError("shut")
    except ValueError:
        ctx.logger.exception("with a traceback")


def resources(context, told):
    copy = ctx.download_resource("page.txt")
    with open(copy) as file:
        copied = file.read()
    named = ctx.download_resource("page.txt", told + ".copy")
    write(told, {
        "whole": ctx.get_resource("page.txt").decode(),
        "rendered": ctx.get_resource_and_render("page.txt", {"door": "shut"}).decode(),
        "by the first argument": context.get_resource(context["page"]).decode(),
        "copy": copy,
        "copied": copied,
        "named": named,
        "workdir": ctx.plugin.workdir,
    })


def missing(context):
    ctx.get_resource("nowhere.txt")


def logs_beside_what_is_printed(context):
    sys.stderr = io.StringIO()
    print("so far", end=" ")
    ctx.logger.log(35, "a level between")
    ctx.logger.log(13, "a low one")
    ctx.logger.log(900, "a high one")
    print("\x1enobody's record")
    print("\x1e[20, 5]")


def unreadable(context):
    ctx.logger.info("never %d", "a number")


def answers(context, told):
    context.noted = 5
    write(told, {
        "is a dict": isinstance(context, dict) and context == dict(context),
        "tenant": context.tenant_name,
        "noted": ctx.noted,
        "copies": [type(each).__name__ for each in (
            copy.copy(context), copy.deepcopy(context), pickle.loads(pickle.dumps(context)),
        )],
        "provider": context.provider_context,
    })


def has_no_such_thing(context):
    context.what


def fetches(context, told):
    get_resource_from_manager("page.txt")


def rest(context, told):
    tenant = get_rest_client().tenants.get(ctx.tenant_name)
    write(told, [tenant["name"], get_resource_from_manager("page.txt").decode()])


def both(context, told, path):
    found = [context.get_resource(path).decode()]
    with open(ctx.download_resource(path)) as file:
        found.append(file.read())
    write(told, [*found, ctx.get_resource("page.txt").decode()])
'''

CONTEXT = {
    "tenant_name": "acme",
    "execution_id": "x1",
    "rest_token": "ctok-AbCd-0123456789",
    "deployment_id": "dep1",
    "workflow_id": "install",
    "event_type": "workflow_failed",
    "arguments": None,
}


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory, cloudify_packages: Path) -> Path:
    root = tmp_path_factory.mktemp("state") / "plugins"
    return make_plugin(root, "my-plugin", {"tasks.py": TASKS}, cloudify_packages, version="1.2")


@pytest.fixture(scope="module")
def cloudify_6(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the last cloudify-common of version 6, and nothing that it needs."""
    return installed(tmp_path_factory.mktemp("six"), "cloudify-common==6.4.2.0", "--no-deps")


@pytest.fixture
def action(plugin: Path, make_action: MakeAction, tmp_path: Path) -> FunctionAction:
    (tmp_path / "page.txt").write_text("for {{ ctx.tenant_name }}, {{ door }}")
    return make_action(plugin.parents[3], tmp_path)  # where hooks.conf would be


@pytest.fixture
def told(tmp_path: Path) -> Path:
    return tmp_path / "told"


def run(
    action: FunctionAction,
    implementation: str,
    context: Mapping[str, Any] = CONTEXT,
    entry_id: int = 0,
    **inputs: Any,
) -> str:
    hook = Hook("h1", ("workflow_failed",), implementation, inputs, 1, {}, timeout_s=20)
    call = Call(hook, Notification("workflow_failed", {}), context, 0.0, entry_id=entry_id)
    return action.run(call)


def read(told: Path) -> Any:
    return json.loads(told.read_text())


# As the original


def test_ctx_is_what_the_original_s_runner_makes_it(
    action: FunctionAction, plugin: Path, told: Path
) -> None:
    original = dispatched(plugin, "tasks.describe", CONTEXT, {"told": str(told)})
    assert original == {"type": "result", "payload": None}
    expected = read(told)
    told.unlink()
    run(action, "my-plugin.tasks.describe", told=str(told))
    assert read(told) == expected
    assert expected[0]["execution_id"] == "x1"
    assert expected[0]["plugin.package_version"] == "1.2"


def test_what_a_hook_has_not_is_refused_as_the_original_refuses_it(
    action: FunctionAction, plugin: Path, told: Path
) -> None:
    names = ["node", "instance", "source", "target", "capabilities"]
    dispatched(plugin, "tasks.refuses", CONTEXT, {"told": str(told), "names": names})
    expected = read(told)
    told.unlink()
    run(action, "my-plugin.tasks.refuses", told=str(told), names=names)
    assert read(told) == expected
    assert list(expected) == names


def test_an_importable_function_has_ctx_too_and_a_plain_dict(
    make_action: MakeAction, cloudify_packages: Path, tmp_path: Path, told: Path
) -> None:
    (tmp_path / "function.py").write_text(
        "from cloudify import ctx\n"
        "def ids(context):\n"
        "    return type(context).__name__, ctx.execution_id, ctx.task_name, ctx.plugin.name\n"
        "def resource(context):\n"
        "    return ctx.get_resource('function.py')[:13].decode()\n"
        "def again(context):\n"
        "    ctx.operation.retry('later')\n"
    )
    paths = (str(tmp_path), str(cloudify_packages))
    action = make_action(tmp_path, tmp_path, python_path=paths)
    assert run(action, "function.ids") == "returned ('dict', 'x1', 'function.ids', '')"
    assert run(action, "function.resource") == "returned 'from cloudify'"
    with pytest.raises(ActionFailed, match=r"^OperationRetry: later$"):
        run(action, "function.again")


# Where there is no cloudify


def test_without_cloudify_a_task_gets_a_plain_dict(make_action: MakeAction, tmp_path: Path) -> None:
    make_plugin(tmp_path / "plugins", "bare", {"bare.py": "def kind(c): return type(c).__name__\n"})
    action = make_action(tmp_path)
    assert run(action, "bare.bare.kind") == "bare 1.0 returned 'dict'"


def test_a_cloudify_that_cannot_be_imported_is_told_of_once(
    make_action: MakeAction, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    modules = {"bare.py": "def kind(c): return type(c).__name__\n", "cloudify/__init__.py": "1 / 0\n"}
    make_plugin(tmp_path / "plugins", "bare", modules)
    action = make_action(tmp_path)
    for _ in range(2):
        assert run(action, "bare.bare.kind") == "bare 1.0 returned 'dict'"
    assert caplog.messages == [
        "hook h1 | there is no ctx, as cloudify cannot be imported: ZeroDivisionError: division by zero"
    ]
    [fault] = action.check(Hook("h1", ("*",), "bare.bare.kind", {}, 1, {}), may_import=True)
    assert fault == Fault(None, "bare 1.0: ZeroDivisionError: division by zero", is_certain=False)


CLOUDIFY_STAND_IN = {
    "cloudify/__init__.py": "",
    "cloudify/context.py": """
class CloudifyContext:
    _endpoint = operation = type("Part", (), {"_operation_retry": None})
    def __init__(self, about):
        self.about = about
        self.tenant_name = about["tenant"]["name"]
""",
    "cloudify/exceptions.py": "class NonRecoverableError(Exception): pass\n"
    "class RecoverableError(Exception): pass\n"
    "HttpException = OSError\n",
    "cloudify/constants.py": "SECURED_PROTOCOL = None\n",
    "cloudify/manager.py": "get_resource = None\n",
    "cloudify/utils.py": "get_manager_rest_service_host = None\n",
    "cloudify_rest_client/exceptions.py": "CloudifyClientError = OSError\n",
    "cloudify/state.py": """
import contextlib
class current_ctx:
    @staticmethod
    @contextlib.contextmanager
    def push(ctx, parameters):
        yield
""",
    "tasks.py": """
import sys
from cloudify.exceptions import NonRecoverableError
def tenant(context):
    return "%d.%d" % sys.version_info[:2], context["tenant_name"], context.tenant_name
def shut(context):
    raise NonRecoverableError("shut")
""",
}


@pytest.mark.parametrize("version", interpreters())
def test_every_python_makes_a_ctx(make_action: MakeAction, version: str, tmp_path: Path) -> None:
    for name, text in CLOUDIFY_STAND_IN.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    folder = tmp_path / "state/plugins/_global/old/1.0"
    (folder / "bin").mkdir(parents=True)
    (folder / "plugin.id").touch()
    python = folder / "bin/python"
    start = f"import sys; sys.path.append({str(tmp_path)!r})\n"
    (tmp_path / "start.py").write_text(
        start
        + "import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    python.write_text(
        f'#!/bin/sh\nshift 3\nexec "{interpreters()[version]}" -u "{tmp_path}/start.py" "$@"\n'
    )
    python.chmod(0o755)
    action = make_action(tmp_path / "state")
    assert run(action, "old.tasks.tenant") == f"old 1.0 returned ('{version}', 'acme', 'acme')"
    with pytest.raises(ActionFailed) as failed:
        run(action, "old.tasks.shut")
    assert failed.value.retry_after_s == NEVER


# The log


def test_what_ctx_logger_is_told_is_logged_under_the_hook_at_its_own_level(
    action: FunctionAction, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.setLevel(logging.DEBUG)
    run(action, "my-plugin.tasks.logs", entry_id=7)
    *told, failure = logged(caplog)
    assert told == [
        ("INFO", "hook h1, entry 7 | for x1"),
        ("DEBUG", "hook h1, entry 7 | two\nlines"),
        ("WARNING", "hook h1, entry 7 | by the first argument"),
    ]  # none of them twice
    assert failure[0] == "ERROR"
    first, second, *_, last = failure[1].splitlines()
    assert first == "hook h1, entry 7 | with a traceback"
    assert (second, last) == ("Traceback (most recent call last):", "ValueError: shut")


def test_what_is_printed_beside_it_stays_apart_and_every_level_is_one_that_we_know(
    action: FunctionAction, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.setLevel(logging.DEBUG)
    run(action, "my-plugin.tasks.logs_beside_what_is_printed")
    assert logged(caplog) == [
        ("INFO", "hook h1 | so far "),
        ("WARNING", "hook h1 | a level between"),
        ("DEBUG", "hook h1 | a low one"),
        ("CRITICAL", "hook h1 | a high one"),
        ("INFO", "hook h1 | nobody's record"),
        ("INFO", "hook h1 | [20, 5]"),
    ]


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_a_line_that_cannot_be_formed_fails_no_task(
    action: FunctionAction, caplog: pytest.LogCaptureFixture
) -> None:
    assert run(action, "my-plugin.tasks.unreadable") == "my-plugin 1.2"
    assert "hook h1 | --- Logging error ---" in caplog.messages


# Resources without a manager


def test_a_relative_resource_is_beside_hooks_conf_and_copies_last_for_the_call(
    action: FunctionAction, told: Path, tmp_path: Path
) -> None:
    context = {**CONTEXT, "page": str(tmp_path / "page.txt")}
    run(action, "my-plugin.tasks.resources", context, told=str(told))
    text = "for {{ ctx.tenant_name }}, {{ door }}"
    found = read(told)
    assert found["whole"] == found["copied"] == found["by the first argument"] == text
    assert found["rendered"] == "for acme, shut"
    assert found["named"] == f"{told}.copy"
    assert Path(f"{told}.copy").read_text() == text
    assert Path(found["copy"]).name == "page.txt"
    assert Path(found["workdir"]).parts[-2:] == ("plugins", "my-plugin")
    assert not Path(found["copy"]).exists()
    assert not Path(found["workdir"]).exists()


def test_a_resource_that_is_not_there_is_named_with_its_whole_path(
    action: FunctionAction, tmp_path: Path
) -> None:
    with pytest.raises(ActionFailed) as failed:
        run(action, "my-plugin.tasks.missing")
    assert str(failed.value) == (
        "my-plugin 1.2: FileNotFoundError: [Errno 2] there is no such file, and no manager to ask: name"
        f" its REST service in 'listener: manager' in hooks.conf: '{tmp_path}/nowhere.txt'"
    )


@pytest.mark.parametrize("name", ["rest", "fetches"])
def test_without_a_manager_what_needs_one_says_what_to_set(
    action: FunctionAction, name: str, told: Path
) -> None:
    with pytest.raises(ActionFailed) as failed:
        run(action, f"my-plugin.tasks.{name}", told=str(told))
    assert str(failed.value) == (
        "my-plugin 1.2: NonRecoverableError: there is no manager to ask: name its REST service in"
        " 'listener: manager' in hooks.conf"
    )


# The first argument


def test_the_first_argument_is_a_dict_that_answers_as_ctx_does(
    action: FunctionAction, told: Path
) -> None:
    run(action, "my-plugin.tasks.answers", told=str(told))
    assert read(told) == {
        "is a dict": True,
        "tenant": "acme",
        "noted": 5,
        "copies": ["dict", "dict", "dict"],
        "provider": {},
    }
    with pytest.raises(ActionFailed, match="AttributeError: 'CloudifyContext' object has no attribute"):
        run(action, "my-plugin.tasks.has_no_such_thing")


# With a manager


class Manager(ThreadingHTTPServer):
    """A double of a manager's REST service and file server, of which there is none here."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.asked: list[tuple[str, str | None, str | None]] = []


class _Answers(BaseHTTPRequestHandler):
    ANSWERS: Mapping[str, bytes] = {
        "/resources/page.txt": b"from the manager",
        "/api/v3.1/tenants/acme": b'{"name": "acme"}',
    }

    def do_GET(self) -> None:
        manager: Any = self.server
        headers = (self.headers["Authentication-Token"], self.headers["Tenant"])
        manager.asked.append((self.path, *headers))
        answer = self.ANSWERS.get(self.path)
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(answer or b"{}")

    def log_message(self, *_: Any) -> None:
        """Nothing: stderr belongs to the tests."""


@pytest.fixture
def manager() -> Iterator[Manager]:
    with Manager() as manager:
        thread = threading.Thread(target=manager.serve_forever)
        thread.start()
        yield manager
        manager.shutdown()
        thread.join()


@pytest.fixture
def asking(make_action: MakeAction, manager: Manager, tmp_path: Path) -> MakeAction:
    """Makes actions with the plugins of a state directory that ask the manager."""
    (tmp_path / "cert.pem").touch()
    service = RestService("127.0.0.1", manager.server_port, "http", str(tmp_path / "cert.pem"))
    return lambda state_dir: make_action(state_dir, manager=service)


@pytest.mark.parametrize("major", [6, 7] if sys.version_info < (3, 12) else [7])
def test_each_cloudify_asks_the_manager_by_the_named_protocol(
    asking: MakeAction, manager: Manager, told: Path, tmp_path: Path, major: int,
    cloudify_packages: Path, cloudify_6: Path,
) -> None:  # fmt: skip
    packages = [cloudify_6, cloudify_packages][major - 6 :]
    make_plugin(tmp_path / "plugins", "my-plugin", {"tasks.py": TASKS}, *packages)
    run(asking(tmp_path), "my-plugin.tasks.rest", told=str(told))
    assert read(told) == ["acme", "from the manager"]
    assert manager.asked == [
        ("/api/v3.1/tenants/acme", CONTEXT["rest_token"], "acme"),
        ("/resources/page.txt", None, None),
    ]


def test_resources_are_the_manager_s_or_files_with_an_absolute_path(
    asking: MakeAction, plugin: Path, told: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "page.txt").write_text("from a file")
    path = str(tmp_path / "page.txt")
    action = asking(plugin.parents[3])
    run(action, "my-plugin.tasks.both", told=str(told), path=path)
    assert read(told) == ["from a file", "from a file", "from the manager"]
    line = f"hook h1 | the manager does not have {path}: reading the local file"
    assert caplog.messages.count(line) == 2
    for missing in ("nowhere.txt", f"{path}.none"):
        with pytest.raises(ActionFailed, match=rf"HttpException: 404 \({missing}\)") as failed:
            run(action, "my-plugin.tasks.both", told=str(told), path=missing)
        assert failed.value.retry_after_s == NEVER


def test_a_manager_s_certificate_that_is_gone_is_told(
    make_action: MakeAction, plugin: Path, tmp_path: Path
) -> None:
    service = RestService("127.0.0.1", cert=str(tmp_path / "cert.pem"))
    action = make_action(plugin.parents[3], manager=service)
    with pytest.raises(ActionFailed, match="Local REST certificate file not found"):
        run(action, "my-plugin.tasks.missing")
