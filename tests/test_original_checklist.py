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
from listener.state.journal import Filters, Journal
from tests.interpreters.plugins.by_hand import make_plugin
from tests.support import Finishing, delivery_of

TASKS = """
def hook_task(context, **kwargs):
    return sorted(context), kwargs
def version(context):
    from cloudify import ctx
    return ctx.plugin.package_version
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
def dispatch(
    tmp_path: Path, cloudify_packages: Path, caplog: pytest.LogCaptureFixture
) -> Iterator[Dispatch]:
    """The runs of a workflow_started, with this text as hooks.conf; None: there is no such file."""
    caplog.set_level(logging.INFO)
    (tmp_path / "cloudmock").mkdir()
    (tmp_path / "cloudmock/tasks.py").write_text(TASKS)
    for version in ("1.0", "1.33"):
        make_plugin(
            tmp_path / "plugins", "cloudmock-plugin", {"mock/tasks.py": TASKS}, cloudify_packages,
            version=version,
        )  # fmt: skip
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
            dispatcher.act(delivery_of(Notification(event_type, CONTEXT, "2024-08-12T13:16Z")))
            [entry] = journal.newest(Filters(), 1)
            return list(entry.runs)

        yield dispatch


def hook(implementation: str, *lines: str, event_type: str = "workflow_started") -> str:
    keys = (f"event_type: {event_type}", f"implementation: {implementation}", *lines)
    return "- " + "\n  ".join(keys) + "\n"


OTHER = "- event_type: workflow_failed\n  implementation: a.b\n"


def end(runs: list[Run]) -> tuple[str, str]:
    [run] = runs
    return run.state, run.attempts[-1].text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("hooks:\n" + OTHER, "but didn't find a compatible hook in the configuration"),
        ("{}", "but didn't find a compatible hook in the configuration"),
        (None, "but the hooks config file doesn't exist"),
    ],
    ids=["no compatible hook", "no hooks key", "a missing file"],
)  # fmt: skip
def test_nothing_to_run(
    dispatch: Dispatch, caplog: pytest.LogCaptureFixture, text: str | None, line: str
) -> None:
    assert dispatch(text) == []
    assert any(message.startswith(f"{RECEIVED}{line}") for message in caplog.messages)


@pytest.mark.parametrize(
    ("lines", "refusal"),
    [
        ("hooks:\n- event_type: workflow_started\n", "line 2: hook 1 has no 'implementation'; add it"),
        ("hooks:\n" + OTHER + "  test\n", r"hooks\.conf, line 5: invalid YAML"),
    ],
    ids=["a missing implementation", "invalid yaml"],
)
def test_what_cannot_be_used(dispatch: Dispatch, lines: str, refusal: str) -> None:
    with pytest.raises(SettingsError, match=refusal):
        dispatch(lines)


def test_a_module_that_cannot_be_imported(dispatch: Dispatch, caplog: pytest.LogCaptureFixture) -> None:
    state, text = end(dispatch("hooks:\n" + hook("package.module.task")))
    assert state == "failed"
    assert text.startswith("No module named package.module for ")
    assert any(
        line.startswith(f"{RECEIVED}and the hook implementation is: `package.module.task`")
        for line in caplog.messages
    )


@pytest.mark.parametrize(
    ("implementation", "expected"),
    [
        ("cloudmock.tasks.test", ("failed", "cloudmock.tasks has no function named 'test'")),
        ("cloudmock-plugin.mock.tasks.version", ("done", "cloudmock-plugin 1.33 returned '1.33'")),
        ("builtins.len", ("done", "returned 9")),
    ],
    ids=["a function that does not exist", "of two versions the newest runs", "an importable function"],
)
def test_an_implementation(dispatch: Dispatch, implementation: str, expected: tuple[str, str]) -> None:
    assert end(dispatch("hooks:\n" + hook(implementation))) == expected


KEYS = sorted({*CONTEXT, "tenant_name", "event_type", "timestamp", "arguments"} - {"tenant"})


@pytest.mark.parametrize("lines", [(), ("inputs:",), ("inputs: {}",)])
def test_missing_inputs(dispatch: Dispatch, lines: tuple[str, ...]) -> None:
    state, text = end(dispatch("hooks:\n" + hook("cloudmock.tasks.hook_task", *lines)))
    assert (state, text) == ("done", cut(f"returned {(KEYS, {})!r}"))


def cut(text: str) -> str:
    most = len("returned ") + 200
    return text if len(text) <= most else text[: most - 3] + "..."


def test_a_plugin_s_task_gets_context_and_inputs(dispatch: Dispatch) -> None:
    inputs = {"input1": "bar", "input2": [1]}
    lines = ("inputs:", "  input1: bar", "  input2: [1]")
    state, text = end(dispatch("hooks:\n" + hook("cloudmock-plugin.mock.tasks.hook_task", *lines)))
    assert state == "done"
    told = cut(f"returned {(KEYS, inputs)!r}")
    assert text == f"cloudmock-plugin 1.33 {told}"


def test_several_hooks_one_for_each_event_type(dispatch: Dispatch) -> None:
    text = "hooks:\n" + hook("builtins.len") + hook("builtins.sorted", event_type="workflow_failed")
    for event_type, name in (("workflow_started", "len"), ("workflow_failed", "sorted")):
        [run] = dispatch(text, event_type)
        assert (run.state, run.implementation) == ("done", f"builtins.{name}")
