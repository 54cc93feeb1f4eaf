"""Tasks of managed plugins: which version runs, in which surroundings, and how a failure is told."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from listener.actions import Call, Fault, Surroundings, function
from listener.actions.function import FunctionAction
from listener.errors import ActionFailed
from listener.hooks.settings import ListenerSettings
from listener.hooks.table import Condition, Hook
from listener.interpreters.plugins import GLOBAL, MARKER
from listener.model.notification import Notification
from listener.model.outcome import NEVER
from tests.functions import MakeAction
from tests.handmade_plugins import make_plugin
from tests.processes import children
from tests.users import NOBODY, NOBODYS_NAME, needs_root

TASKS = """
import importlib.util
import os
import shutil
import sys

from cloudify import ctx, exceptions
from cloudify.decorators import operation


def version(context):
    return ctx.plugin.package_version


def interpreter(context):
    return os.getppid()


def told(context, folder, **inputs):
    with open(os.path.join(folder, "told"), "w") as file:
        file.write(repr((dict(context), inputs)))


def raises(context, name, *args, **options):
    raise getattr(exceptions, name)(*args, **options)


def raises_later(context):
    return ctx.operation.retry("the door is shut", retry_after=7)


def raises_for_good(context):
    raise Final("the door is gone")


class Final(exceptions.NonRecoverableError):
    pass


def fills_memory(context, mib):
    kept = [bytearray(1 << 20) for _ in range(mib)]
    return len(kept)


def visibility(context):
    return ctx._context["plugin"]["visibility"]


def tattles(context):
    ctx.logger.info("with %s", ctx.rest_token)
    print("and", context["rest_token"])
    raise exceptions.NonRecoverableError("for " + ctx.rest_token)


@operation(resumable=True)
def decorated(ctx, door, hinge=None, **kwargs):
    return door


@operation
def strict(ctx, door):
    return door


def variable(context, name):
    return os.environ.get(name)


def can_import(context, name):
    return importlib.util.find_spec(name) is not None


def script(context):
    return shutil.which("a-script")
"""

CONTEXT = {"tenant_name": "acme", "execution_id": "x1", "rest_token": "secret-but-no-ctok"}
LIMIT_S = 20.0

pytestmark = pytest.mark.usefixtures("uncounted")


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory, cloudify_packages: Path) -> Path:
    """Has one plugin, which nobody changes."""
    folder = tmp_path_factory.mktemp("state")
    make_plugin(folder / "plugins", "my-plugin", {"my/tasks.py": TASKS}, cloudify_packages)
    return folder


@pytest.fixture(scope="module")
def action(state_dir: Path) -> Iterator[FunctionAction]:
    """One for all: no call reaches the next."""
    made = FunctionAction(Surroundings(ListenerSettings(), str(state_dir), ""))
    yield made
    made.close()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Where the plugins of one test go."""
    return tmp_path / "own" / "plugins"


@pytest.fixture
def make_own(own: Path, make_action: MakeAction) -> MakeAction:
    return partial(make_action, own.parent)


def hook_for(implementation: str, inputs: dict[str, Any] | None = None, **more: Any) -> Hook:
    return Hook("h1", ("workflow_failed",), implementation, inputs or {}, 1, {}, **more)


def run(
    action: FunctionAction,
    implementation: str,
    inputs: dict[str, Any] | None = None,
    *,
    tenant: object = "acme",
    timeout_s: float = LIMIT_S,
    **more: Any,
) -> str:
    """What the action says of a task; of my-plugin's when only a function is named."""
    if "." not in implementation:
        implementation = f"my-plugin.my.tasks.{implementation}"
    hook = hook_for(implementation, inputs, timeout_s=timeout_s, **more)
    context = {**CONTEXT, "tenant_name": tenant}
    return action.run(Call(hook, Notification("workflow_failed", {}), context, 0.0))


def failure(action: FunctionAction, implementation: str, *args: Any, **options: Any) -> ActionFailed:
    with pytest.raises(ActionFailed) as failed:
        run(action, implementation, *args, **options)
    return failed.value


FILLING = """
import os
def interpreter(context):
    return os.getppid()
def fills_memory(context):
    kept = None
    while True:
        kept = {"kept": kept}
"""

VERSION = "def version(context): return {!r}\n"


# Which one runs


def test_a_task_gets_the_hook_context_and_the_inputs(action: FunctionAction, tmp_path: Path) -> None:
    inputs = {"folder": str(tmp_path), "team": "core", "hours": [1, 2.5]}
    assert run(action, "told", inputs) == "my-plugin 1.0"
    assert eval((tmp_path / "told").read_text()) == (CONTEXT, {"team": "core", "hours": [1, 2.5]})


def test_a_tenant_s_own_plugin_runs_before_everybody_s(make_own: MakeAction, own: Path) -> None:
    make_plugin(own, "doors", {"doors.py": VERSION.format("all")}, version="2.0")
    make_plugin(own, "doors", {"doors.py": VERSION.format("acme")}, tenant="acme")
    action = make_own()
    for tenant, told in (("acme", "1.0 returned 'acme'"), ("b", "2.0 returned 'all'")):
        assert run(action, "doors.doors.version", tenant=tenant) == f"doors {told}"
    assert run(action, "doors.doors.version", tenant=None) == "doors 2.0 returned 'all'"


@pytest.mark.parametrize(("tenant", "visibility"), [("acme", "tenant"), ("_global", "global")])
def test_ctx_tells_whether_a_plugin_is_everybody_s(
    make_own: MakeAction, own: Path, cloudify_packages: Path, tenant: str, visibility: str
) -> None:
    make_plugin(own, "my-plugin", {"my/tasks.py": TASKS}, cloudify_packages, tenant=tenant)
    assert run(make_own(), "visibility") == f"my-plugin 1.0 returned '{visibility}'"


def test_a_manager_s_plugins_run_beside_those_that_were_uploaded(
    make_own: MakeAction, own: Path, tmp_path: Path
) -> None:
    make_plugin(own, "doors", {"doors.py": VERSION.format("ours")})
    theirs = tmp_path / "manager"
    make_plugin(
        theirs, "doors", {"doors.py": VERSION.format("its")}, version="2", tenant="default_tenant"
    )
    make_plugin(theirs, "gates", {"gates.py": VERSION.format("its")}, tenant="acme")
    action = make_own(plugins=str(theirs))
    assert run(action, "doors.doors.version") == "doors 2 returned 'its'"
    assert run(action, "gates.gates.version") == "gates 1.0 returned 'its'"


def test_what_is_uploaded_or_removed_while_running_counts_at_the_next_call(
    make_own: MakeAction, own: Path
) -> None:
    action = make_own()
    known = children()
    make_plugin(own, "doors", {"doors.py": VERSION.format("first")})
    assert run(action, "doors.doors.version") == "doors 1.0 returned 'first'"
    second = make_plugin(own, "doors", {"doors.py": VERSION.format("second")}, version="2.0")
    assert run(action, "doors.doors.version") == "doors 2.0 returned 'second'"
    assert len(children() - known) == 1  # that of 1.0 is gone
    second.rename(own.parent / "removed")
    assert run(action, "doors.doors.version") == "doors 1.0 returned 'first'"


def test_a_version_that_is_uploaded_anew_or_whose_cloudify_common_is_gets_a_new_child(
    make_own: MakeAction, own: Path
) -> None:
    action = make_own()
    folder = make_plugin(own, "doors", {"doors.py": "import os\ndef pid(c): return os.getppid()\n"})
    first = run(action, "doors.doors.pid")
    assert run(action, "doors.doors.pid") == first
    os.utime(folder / MARKER, (0, 0))
    assert run(action, "doors.doors.pid") != first
    folder.rename(own.parent / "removed")
    make_plugin(own, "doors", {"doors.py": VERSION.format("mended")})
    assert run(action, "doors.doors.version") == "doors 1.0 returned 'mended'"


def test_a_plugin_that_is_removed_at_this_very_moment_is_a_failure_that_says_so(
    make_own: MakeAction, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = make_own()
    folder = make_plugin(own, "doors", {"doors.py": VERSION.format("here")})
    found = action.plugins(hook_for("doors.doors.version"))
    folder.rename(own.parent / "removed")
    monkeypatch.setattr(action._interpreters, "plugin", lambda *_: found[0])
    assert str(failure(action, "doors.doors.version")) == (
        f"the interpreter {folder}/bin/python cannot be started: No such file or directory; correct"
        " 'listener: python' in hooks.conf, or upload the plugin again"
    )


def test_plugins_that_cannot_be_read_are_a_failure_and_no_reason_to_import_something_else(
    make_own: MakeAction, own: Path
) -> None:
    action = make_own()
    (own / GLOBAL).mkdir(parents=True)
    (own / GLOBAL / "os").symlink_to("os")  # a circle: even root cannot read it
    hook = hook_for("os.path.basename")
    expected = f"looking for plugins, {own}/{GLOBAL}/os cannot be read: "
    assert str(failure(action, hook.implementation)).startswith(expected)
    [fault] = action.check(hook, may_import=True)
    assert fault.reason.startswith(expected)
    assert action.plugins(hook) == ()


def test_root_runs_no_task_of_a_plugin_that_is_another_user_s(make_own: MakeAction, own: Path) -> None:
    needs_root()
    folder = make_plugin(own, "doors", {"doors.py": VERSION.format("here")})
    os.chown(folder, NOBODY, NOBODY)
    action = make_own()
    expected = f"{folder} belongs to user {NOBODYS_NAME}, and root runs nothing that others can change"
    assert str(failure(action, "doors.doors.version")).startswith(expected)
    [fault] = action.check(hook_for("doors.doors.version"), may_import=True)
    assert fault.reason.startswith(expected)


MISSING = {
    "near": ("my-plugn.my.tasks.pid", "there is no managed plugin 'my-plugn' (did you mean"
             " 'my-plugin'?); upload it with 'conductor-hooks plugins upload'"),
    "far": ("x-1.my.tasks.pid", "there is no managed plugin 'x-1' (known are: my-plugin); upload it"
            " with 'conductor-hooks plugins upload'"),
    "no module": ("my-plugin.pid", "my-plugin.pid names the plugin my-plugin 1.0 and no module in it;"
                  " correct 'implementation' to my-plugin.module.pid"),
    "no such module": ("my-plugin.my.task.pid", "my-plugin 1.0: No module named my.task for {python}"),
    "no function": ("my-plugin.my.tasks.pit", "my-plugin 1.0: my.tasks has no function named 'pit'"),
    "neither": ("My_Plugin.my.tasks.pid", "No module named My_Plugin.my.tasks for {ours}, and no"
                " managed plugin 'My_Plugin' (did you mean 'my-plugin'?); name the module's folder in"
                " 'listener: python_path', or upload the plugin"),
}  # fmt: skip


@pytest.mark.parametrize(("implementation", "reason"), MISSING.values(), ids=MISSING.keys())
def test_what_is_not_there_is_told_by_a_call_and_by_check(
    action: FunctionAction, state_dir: Path, implementation: str, reason: str
) -> None:
    python = state_dir / "plugins/_global/my-plugin/1.0/bin/python"
    expected = reason.format(python=python, ours=sys.executable)
    assert str(failure(action, implementation)) == expected
    for may_import in (False, True):
        faults = action.check(hook_for(implementation), may_import=may_import)
        assert faults == [Fault(None, expected, is_certain=False)]


def test_a_plugin_of_other_tenants_is_told_to_be_theirs(make_own: MakeAction, own: Path) -> None:
    for tenant in ("b", "c"):
        make_plugin(own, "the-doors", {"doors.py": VERSION.format(tenant)}, tenant=tenant)
    action = make_own()
    assert str(failure(action, "the-doors.doors.version")) == (
        "there is no managed plugin 'the-doors' for tenant 'acme', only for b, c;"
        " upload it with 'conductor-hooks plugins upload'"
    )
    reason = (
        "its managed plugin serves only b, c, and it fails for any other tenant; upload the plugin"
        " without --tenant, or add 'when: {tenant_name: [b, c]}'"
    )
    hook = hook_for("the-doors.doors.version")
    assert action.check(hook, may_import=True) == [Fault(None, reason, is_certain=False)]
    when = Condition("tenant_name", lambda *_: True, "", lambda *_: "")
    theirs = hook._replace(when=(when,))
    assert action.check(theirs, may_import=True) == []


# Isolation


def test_two_plugins_with_packages_that_exclude_each_other_run_side_by_side(
    make_own: MakeAction, own: Path
) -> None:
    task = "import dependency\ndef version(context): return dependency.VERSION\n"
    for name, version in (("doors", 1), ("gates", 2)):
        make_plugin(own, name, {"tasks.py": task, "dependency.py": f"VERSION = {version}\n"})
    action = make_own()
    for _ in range(2):
        assert run(action, "doors.tasks.version") == "doors 1.0 returned 1"
        assert run(action, "gates.tasks.version") == "gates 1.0 returned 2"


@pytest.mark.parametrize(
    ("name", "is_there"), [("cloudify", True), ("listener", False), ("msgspec", False), ("ours", False)]
)
def test_a_plugin_sees_its_own_packages_and_cloudify_s_and_never_ours(
    action: FunctionAction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_there: bool
) -> None:
    (tmp_path / "ours.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert run(action, "can_import", {"name": name}) == f"my-plugin 1.0 returned {is_there}"


def test_a_plugin_s_virtualenv_is_active_and_its_scripts_are_found(
    action: FunctionAction, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYTHONHOME", "PYTHONPATH"):
        monkeypatch.setenv(name, "/nowhere")
    folder = state_dir / "plugins/_global/my-plugin/1.0"
    (folder / "bin/a-script").write_text("#!/bin/sh\n")
    (folder / "bin/a-script").chmod(0o755)
    assert run(action, "script") == f"my-plugin 1.0 returned '{folder}/bin/a-script'"
    variables = ("VIRTUAL_ENV", "PYTHONNOUSERSITE", "PYTHONHOME", "PYTHONPATH")
    told = [run(action, "variable", {"name": name}) for name in variables]
    assert told == [
        f"my-plugin 1.0 returned '{folder}'",
        "my-plugin 1.0 returned '1'",
        "my-plugin 1.0",
        "my-plugin 1.0",
    ]


# Failures


CLASSES: dict[str, tuple[dict[str, Any], str, float | None]] = {
    "NonRecoverableError": ({}, "NonRecoverableError", NEVER),
    "HttpException": (
        {"url": "http://x", "code": 404, "message": "gone"},
        "HttpException: 404 (http://x) : gone",
        NEVER,
    ),
    "RecoverableError": ({"message": "shut"}, "RecoverableError: shut", None),
    "OperationRetry": (
        {"message": "shut", "retry_after": 2.5},
        "OperationRetry: shut [retry_after=2.5]",
        2.5,
    ),
    "a long time": (
        {"name": "RecoverableError", "message": "", "retry_after": 10**9},
        "RecoverableError:  [retry_after=1000000000]",
        86400,
    ),
    "no time": (
        {"name": "RecoverableError", "retry_after": "soon"},
        "RecoverableError:  [retry_after=soon]",
        None,
    ),
    "a time before": (
        {"name": "RecoverableError", "retry_after": -1},
        "RecoverableError:  [retry_after=-1]",
        None,
    ),
    "TimeoutException": ({}, "TimeoutException", None),
}


@pytest.mark.parametrize(
    ("name", "options", "text", "after_s"),
    [(name, *rest) for name, rest in CLASSES.items()],
    ids=CLASSES,
)
def test_an_error_comes_back_by_class_and_message_and_says_when_a_retry_may_help(
    action: FunctionAction, name: str, options: dict[str, Any], text: str, after_s: float | None
) -> None:
    failed = failure(action, "raises", {"name": name, **options})
    assert str(failed) == f"my-plugin 1.0: {text}"
    assert failed.retry_after_s == after_s
    assert "in raises" in failed.details


def test_a_subclass_of_an_error_that_is_final_is_final(action: FunctionAction) -> None:
    failed = failure(action, "raises_for_good")
    assert (str(failed), failed.retry_after_s) == ("my-plugin 1.0: Final: the door is gone", NEVER)


def test_a_task_that_asks_for_a_retry_has_failed_until_then(action: FunctionAction) -> None:
    failed = failure(action, "raises_later")
    assert str(failed) == "my-plugin 1.0: OperationRetry: the door is shut [retry_after=7]"
    assert failed.retry_after_s == 7
    assert run(action, "version") == "my-plugin 1.0 returned '1.0'"


# Memory


def test_memory_above_the_bound_is_a_failure_that_names_the_setting(
    make_own: MakeAction, own: Path, cloudify_packages: Path
) -> None:
    make_plugin(own, "my-plugin", {"my/tasks.py": TASKS}, cloudify_packages)
    action = make_own(child_memory=96)
    child = run(action, "interpreter")
    assert str(failure(action, "fills_memory", {"mib": 200})) == (
        "my-plugin 1.0: MemoryError: more than the 96 MiB of 'listener: child_memory' in hooks.conf"
    )
    assert run(action, "fills_memory", {"mib": 20}) == "my-plugin 1.0 returned 20"
    assert run(action, "interpreter") == child


def test_a_child_whose_memory_is_full_to_the_last_byte_can_still_tell(
    make_own: MakeAction, own: Path
) -> None:
    make_plugin(own, "my-plugin", {"my/tasks.py": FILLING})
    action = make_own(child_memory=64)
    child = run(action, "interpreter")
    assert "more than the 64 MiB" in str(failure(action, "fills_memory"))
    assert run(action, "interpreter") == child


def test_memory_is_bounded_for_functions_too_and_not_without_the_setting(
    make_own: MakeAction, tmp_path: Path
) -> None:
    (tmp_path / "greedy.py").write_text("def eat(context): return len(bytearray(200 << 20))\n")
    bounded, free = (make_own(python_path=(str(tmp_path),), child_memory=mib) for mib in (64, None))
    assert "64 MiB of 'listener: child_memory'" in str(failure(bounded, "greedy.eat"))
    assert run(free, "greedy.eat") == f"returned {200 << 20}"


# Looking before


CHECKED: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "fits": ("decorated", {"door": 1, "what": 2}, None),
    "misses one": ("decorated", {}, "the inputs do not fit decorated(ctx, door, hinge=…, **kwargs):"
                   " missing a required argument: 'door'"),
    "has too many": ("strict", {"door": 1, "lock": 2}, "the inputs do not fit strict(ctx, door): got an"
                     " unexpected keyword argument 'lock'"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "inputs", "reason"), CHECKED.values(), ids=CHECKED.keys())
def test_check_tells_whether_the_inputs_fit_the_task(
    action: FunctionAction, name: str, inputs: dict[str, Any], reason: str | None
) -> None:
    hook = hook_for(f"my-plugin.my.tasks.{name}", inputs)
    expected = [Fault(None, f"my-plugin 1.0: {reason}")] if reason else []
    assert action.check(hook, may_import=True) == expected
    assert action.check(hook, may_import=False) == []


def test_check_looks_at_the_plugin_of_each_tenant(make_own: MakeAction, own: Path) -> None:
    make_plugin(own, "doors", {"doors.py": "def other(context): pass"})
    make_plugin(own, "doors", {"gates.py": ""}, version="2.0", tenant="b")
    make_plugin(own, "doors", {"doors.py": VERSION.format("c")}, version="3.0", tenant="c")
    action = make_own()
    hook = hook_for("doors.doors.version")
    reasons = [fault.reason for fault in action.check(hook, may_import=False)]
    assert reasons == [
        "doors 1.0: doors has no function named 'version'",
        f"doors 2.0 of tenant b: No module named doors for {own}/b/doors/2.0/bin/python",
    ]
    assert [(plugin.version, plugin.tenant) for plugin in action.plugins(hook)] == [
        ("1.0", None), ("2.0", "b"), ("3.0", "c")
    ]  # fmt: skip


def test_a_plugin_that_never_answers_is_asked_once_and_the_others_all_the_same(
    make_own: MakeAction, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = make_plugin(own, "doors", {"doors.py": ""}) / "bin/python"
    make_plugin(own, "gates", {"gates.py": ""})
    python.unlink()
    python.write_text("#!/bin/sh\nexec sleep 60\n")
    python.chmod(0o755)
    monkeypatch.setattr(function, "CHECK_TIMEOUT_S", 0.5)
    action = make_own()
    [fault] = action.check(hook_for("doors.doors.version"), may_import=False)
    assert fault.reason == f"looking for doors.version: {python} did not answer in 0.5 s"
    assert action.check(hook_for("doors.doors.version"), may_import=False) == []
    monkeypatch.setattr(function, "CHECK_TIMEOUT_S", LIMIT_S)
    [fault] = action.check(hook_for("gates.gates.version"), may_import=False)
    assert "no function named 'version'" in fault.reason
