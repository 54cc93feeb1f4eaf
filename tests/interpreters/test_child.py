"""The child's side under every Python that hooks may have.

The interpreters are the `python3.6`, `python3.7`, … of PATH, and those that the environment variable
CONDUCTOR_HOOKS_TEST_PYTHONS lists, with a colon between them.
"""

from __future__ import annotations

import ast
import datetime
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from listener.interpreters.child import call
from listener.interpreters.worker import Worker
from tests.processes import living
from tests.pythons import interpreters
from tests.support import wait_for

LIMIT_S = 20.0

MATERIAL = """
import os
import subprocess
import sys
import time

number = 7


def version(context):
    return "%d.%d" % sys.version_info[:2]


def echo(context, **inputs):
    return repr((context, inputs))


def raises(context):
    raise ValueError("the door is shut")


def prints(context):
    print("\\xe4\\u20ac")


def start_program(context):
    subprocess.Popen(["sleep", "600"])
    return os.getpid()
"""

SOURCES = {
    name: Path(call.__file__).with_name(name).read_text(encoding="utf-8")
    for name in (
        "call.py",
        "ctx.py",
        "finder.py",
        "lines.py",
        "main.py",
        "modules.py",
        "server.py",
        "sessions.py",
    )
}


@pytest.fixture(params=interpreters())
def python(request: pytest.FixtureRequest) -> str:
    return interpreters()[request.param]


@pytest.fixture
def worker(python: str, tmp_path: Path) -> Iterator[Worker]:
    (tmp_path / "material.py").write_text(MATERIAL)
    worker = Worker(python, (str(tmp_path),))
    yield worker
    worker.close()


def ask(worker: Worker, path: str, op: str = "call", **inputs: Any) -> dict[str, Any]:
    """The child's answer, as far as it is about the question."""
    request = {"op": op, "path": path, "context": {"tenant_name": "acme"}, "inputs": inputs}
    answer = worker.request(request, timeout_s=LIMIT_S, label="label")
    return {key: value for key, value in answer.items() if key in ("text", "error", "details")}


def test_every_python_calls_functions_and_gets_the_inputs_as_they_were(
    worker: Worker, request: pytest.FixtureRequest
) -> None:
    version = request.node.callspec.params["python"]
    assert ask(worker, "material.version") == {"text": f"returned {version!r}"}
    inputs: dict[str, Any] = {
        "a": {1: b"\xff"},
        "b": math.nan,
        "c": datetime.date(2026, 1, 31),
        "d": 10**30,
    }
    text = f"returned {repr(({'tenant_name': 'acme'}, inputs))!r}"
    assert ask(worker, "material.echo", **inputs) == {"text": text}


def test_every_python_tells_of_an_exception_with_the_functions_own_lines(worker: Worker) -> None:
    answer = ask(worker, "material.raises")
    assert answer["error"] == "ValueError: the door is shut"
    first, second, *_ = answer["details"].splitlines()
    assert first.startswith("  File ")
    assert first.endswith(", in raises")
    assert second == '    raise ValueError("the door is shut")'


@pytest.mark.parametrize("op", ["call", "import", "find"])
def test_every_python_tells_what_is_not_there(worker: Worker, python: str, op: str) -> None:
    assert ask(worker, "no_package.module.page", op) == {
        "error": f"No module named no_package.module for {python}",
        "details": "",
    }
    assert ask(worker, "material.page", op) == {
        "error": "material has no function named 'page'",
        "details": "",
    }
    for path in ("material.echo", "json.dumps", "time.sleep"):
        assert op == "call" or ask(worker, path, op) == {"text": ""}


def test_every_python_tells_which_inputs_do_not_fit(worker: Worker) -> None:
    called = ask(worker, "material.raises", x=1)["error"]
    assert called.startswith("the inputs do not fit: raises() got an unexpected keyword")
    checked = ask(worker, "material.raises", "import", x=1)["error"]
    assert checked.startswith("the inputs do not fit raises(context): got an unexpected keyword")


def test_every_python_prints_utf_8_where_no_locale_is_set(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    assert ask(worker, "material.prints") == {"text": ""}
    assert caplog.messages == ["label | ä€"]


def test_every_python_goes_with_its_programs_when_the_listener_lets_go(tmp_path: Path) -> None:
    (tmp_path / "material.py").write_text(MATERIAL)
    workers = [Worker(python, (str(tmp_path),)) for python in interpreters().values()]
    groups = [
        int(ask(worker, "material.start_program")["text"].partition(" ")[2]) for worker in workers
    ]
    wait_for("the programs alone", lambda: [len(living(each)) for each in groups] == [1] * len(groups))
    for worker in workers:
        worker.close()
    wait_for("the end of the groups", lambda: not any(map(living, groups)))


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_the_child_is_written_in_the_language_of_python_3_6(source: str) -> None:
    assert ast.parse(source, feature_version=(3, 6)).body  # a SyntaxError otherwise


@pytest.mark.parametrize("name", SOURCES)
def test_the_child_imports_the_standard_library_alone_and_cloudify_for_ctx(name: str) -> None:
    imported = {
        each
        for node in ast.walk(ast.parse(SOURCES[name]))
        for each in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    assert imported
    known = sys.stdlib_module_names | (
        {"cloudify", "cloudify_rest_client"} if name == "ctx.py" else set()
    )
    assert not {each for each in imported if each.split(".")[0] not in known}


def test_a_token_is_left_out_of_an_answer_before_that_is_cut() -> None:
    token = "S" * 60
    request = {"secrets": [token]}
    for size in range(100, 600):
        answer = {"text": "x" * size + token, "error": "y" * size + token, "details": token}
        shown = call.presentable(answer, request)
        assert "S" not in "".join(shown.values())
        assert len(shown["text"]) <= 209
        assert len(shown["error"]) <= 500
