"""What the original's own integration tests of hooks look at, line by line, with real actions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from listener.actions.registry import Actions
from listener.errors import SettingsError
from listener.hooks.settings import ListenerSettings
from listener.hooks.watch import HooksFile
from listener.model.entry import Run
from listener.model.notification import Notification
from listener.state.journal import Journal
from tests.handmade_plugins import make_plugin
from tests.support import Finishing, delivery_of

TASKS = """
def hook_task(context, **kwargs):
    return sorted(context), kwargs
def version(context):
    return VERSION
"""
CONTEXT = {
    "message_type": "hook",
    "execution_id": "x1",
    "workflow_id": "install",
    "deployment_id": "dep1",
    "rest_token": "ctok-a-b",
    "tenant": {"name": "default_tenant"},
}
RECEIVED = "The hook consumer received `workflow_started` event "

Dispatch = Callable[..., list[Run]]


@pytest.fixture
def dispatch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Dispatch]:
    """The runs of a workflow_started, with this text as hooks.conf; None: there is no such file."""
    caplog.set_level(logging.INFO)
    (tmp_path / "cloudmock").mkdir()
    (tmp_path / "cloudmock/tasks.py").write_text(TASKS)
    for version in ("1.0", "1.33"):
        tasks = f"{TASKS}VERSION = {version!r}\n"
        make_plugin(tmp_path / "plugins", "cloudmock-plugin", {"mock/tasks.py": tasks}, version=version)
    with ExitStack() as stack:

        def dispatch(text: str | None, event_type: str = "workflow_started") -> list[Run]:
            path = tmp_path / "hooks.conf"
            if text is not None:
                path.write_text(text)
            settings = ListenerSettings(python_path=(str(tmp_path),))
            actions = stack.enter_context(Actions(settings, str(tmp_path)))
            journal = Journal(str(tmp_path))
            stack.enter_context(closing(journal))
            dispatcher = Finishing(HooksFile(path, {}), actions, journal, 900.0)
            notification = Notification(event_type, CONTEXT, "2024-08-12T13:16Z")
            dispatcher.act(delivery_of(notification))
            return list(dispatcher.newest.runs)

        yield dispatch


def hook(implementation: str, *lines: str, event_type: str = "workflow_started") -> str:
    keys = (f"event_type: {event_type}", f"implementation: {implementation}", *lines)
    return "- " + "\n  ".join(keys) + "\n"


def end(runs: list[Run]) -> tuple[str, str]:
    [run] = runs
    return run.state, run.attempts[-1].text


def test_no_compatible_hook(dispatch: Dispatch, caplog: pytest.LogCaptureFixture) -> None:
    assert dispatch("hooks:\n" + hook("a.b", event_type="workflow_failed")) == []
    assert any(
        line.startswith(f"{RECEIVED}but didn't find a compatible hook in the configuration")
        for line in caplog.messages
    )


def test_a_module_that_cannot_be_imported(dispatch: Dispatch, caplog: pytest.LogCaptureFixture) -> None:
    state, text = end(dispatch("hooks:\n" + hook("package.module.task")))
    assert state == "failed"
    assert text.startswith("No module named package.module for ")
    assert any(
        line.startswith(f"{RECEIVED}and the hook implementation is: `package.module.task`")
        for line in caplog.messages
    )


def test_a_function_that_does_not_exist(dispatch: Dispatch) -> None:
    expected = ("failed", "cloudmock.tasks has no function named 'test'")
    assert end(dispatch("hooks:\n" + hook("cloudmock.tasks.test"))) == expected


def test_a_missing_implementation(dispatch: Dispatch) -> None:
    state, text = end(dispatch("hooks:\n- event_type: workflow_started\n"))
    assert (state, text) == ("failed", "hooks.conf, line 2: hook 1 has no 'implementation'; add it")


KEYS = sorted({*CONTEXT, "tenant_name", "event_type", "timestamp", "arguments"} - {"tenant"})


@pytest.mark.parametrize("lines", [(), ("inputs:",), ("inputs: {}",)])
def test_missing_inputs(dispatch: Dispatch, lines: tuple[str, ...]) -> None:
    state, text = end(dispatch("hooks:\n" + hook("cloudmock.tasks.hook_task", *lines)))
    assert (state, text) == ("done", cut(f"returned {(KEYS, {})!r}"))


def cut(text: str) -> str:
    most = len("returned ") + 200
    return text if len(text) <= most else text[: most - 3] + "..."


def test_no_hooks_key(dispatch: Dispatch, caplog: pytest.LogCaptureFixture) -> None:
    assert dispatch("{}\n") == []
    assert any("didn't find a compatible hook" in line for line in caplog.messages)


def test_a_missing_file(dispatch: Dispatch, caplog: pytest.LogCaptureFixture) -> None:
    assert dispatch(None) == []
    assert any(
        line.startswith(f"{RECEIVED}but the hooks config file doesn't exist")
        for line in caplog.messages
    )


def test_invalid_yaml(dispatch: Dispatch) -> None:
    with pytest.raises(SettingsError, match=r"hooks\.conf, line 5: invalid YAML"):
        dispatch("hooks:\n" + hook("a.b") + "  test\n")


def test_a_plugin_s_task_gets_context_and_inputs(dispatch: Dispatch) -> None:
    inputs = {"input1": "bar", "input2": [1]}
    lines = ("inputs:", "  input1: bar", "  input2: [1]")
    state, text = end(dispatch("hooks:\n" + hook("cloudmock-plugin.mock.tasks.hook_task", *lines)))
    assert state == "done"
    told = cut(f"returned {(KEYS, inputs)!r}")
    assert text == f"cloudmock-plugin 1.33 {told}"


def test_of_two_versions_the_newest_runs(dispatch: Dispatch) -> None:
    expected = ("done", "cloudmock-plugin 1.33 returned '1.33'")
    assert end(dispatch("hooks:\n" + hook("cloudmock-plugin.mock.tasks.version"))) == expected


def test_an_importable_function(dispatch: Dispatch) -> None:
    state, text = end(dispatch("hooks:\n" + hook("os.path.join")))
    assert (state, text[:10]) == ("failed", "TypeError:")
    assert end(dispatch("hooks:\n" + hook("builtins.len"))) == ("done", f"returned {len(KEYS)}")


def test_several_hooks_one_for_each_event_type(dispatch: Dispatch) -> None:
    text = "hooks:\n" + hook("builtins.len") + hook("builtins.sorted", event_type="workflow_failed")
    for event_type, name in (("workflow_started", "len"), ("workflow_failed", "sorted")):
        [run] = dispatch(text, event_type)
        assert (run.state, run.implementation) == ("done", f"builtins.{name}")
