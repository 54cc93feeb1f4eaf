"""Functions that behave, and functions that do not: each call ends clearly, and the next one works."""

from __future__ import annotations

import datetime
import math
import os
import py_compile
import re
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from listener.actions import Call, Fault, Surroundings, function
from listener.actions.function import FunctionAction
from listener.errors import ActionFailed, ActionTimedOut
from listener.hooks.settings import ListenerSettings
from listener.hooks.table import Hook
from listener.model.notification import Notification
from listener.model.outcome import NEVER
from tests.functions import ENDS_ITS_PROCESS, MATERIAL, MakeAction
from tests.processes import children, living
from tests.support import wait_for
from tests.users import NOBODY, NOBODYS_NAME, needs_root

LIMIT_S = 20.0
SHORT_S = 0.5

pytestmark = pytest.mark.usefixtures("uncounted")


MODULES = {
    "material.py": MATERIAL,
    "package/__init__.py": "def page_here(context): pass",
    "package/broken.py": "def page(context): pass\n\n1 / 0\n",
    "package/needy.py": "import not_installed\n",
    "package/leaving.py": "import sys\npage = print\nsys.exit(5)\n",
    "package/misspelt.py": "def page(context)\n",
    "package/patient.py": "import time\ntime.sleep(600)\n",
    "package/time.py": "def page(context): pass\n",
    "package/curious.py": """
def page(context):
    inner = 1
class Pager:
    def method(self): pass
page_now = lambda context: lambda: [inner for inner in ()]
""",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("functions"), MODULES)


@pytest.fixture(scope="module")
def action(folder: Path) -> Iterator[FunctionAction]:
    """One for all: no call reaches the next."""
    made = FunctionAction(Surroundings(ListenerSettings(python_path=(str(folder),)), None, ""))
    yield made
    made.close()


@pytest.fixture
def make_with(tmp_path: Path, make_action: MakeAction) -> MakeAction:
    """Makes actions whose python_path leads to files with the given texts, in tmp_path."""

    def make(texts: dict[str, str], *python_path: str) -> FunctionAction:
        written(tmp_path, texts)
        return make_action(python_path=tuple(str(tmp_path / place) for place in python_path or ("",)))

    return make


def written(folder: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def a_hook(implementation: str, inputs: dict[str, Any] | None = None, **more: Any) -> Hook:
    return Hook("h1", ("workflow_failed",), implementation, inputs or {}, 1, {}, **more)


def run(
    action: FunctionAction,
    name: str,
    inputs: dict[str, Any] | None = None,
    context: dict[str, Any] | None = None,
    timeout_s: float = LIMIT_S,
    fresh: bool = False,
) -> str:
    """The result of a function of the material, or of another module when it has a dot."""
    path = name if "." in name else f"material.{name}"
    hook = a_hook(path, inputs, timeout_s=timeout_s, fresh=fresh)
    return action.run(Call(hook, Notification("workflow_failed", {}), context or {}, 0.0))


def assert_next_call_works(action: FunctionAction, caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()
    assert run(action, "next_call").startswith("returned ")
    assert "hook h1 | the next call" in caplog.messages


FAILS_IN_PYTHON = {
    "no package": ("no_package.module.page", {}, "No module named no_package.module "),
    "no module": ("package.module.page", {}, "No module named package.module "),
    "no package but a module": ("material.deeper.page", {}, "No module named material.deeper "),
    "no function": ("package.page", {}, "package has no function named 'page'"),
    "no callable": ("number", {}, "material.number is no function, but a value of type int"),
    "raises at import": ("package.broken.page", {}, "ZeroDivisionError: division by zero"),
    "needs a module": ("package.needy.page", {}, "ModuleNotFoundError: No module named 'not_inst"),
    "exits at import": ("package.leaving.page", {}, "it called sys.exit(5)"),
    "no Python": ("package.misspelt.page", {}, "SyntaxError: "),
    "raises": ("raises", {}, "ValueError: the door is shut"),
    "raises in C": ("picks", {}, "KeyError: 'missing'"),
    "raises what has no text": ("raises_what_has_no_text", {}, "Mute: (its text cannot be had)"),
    "raises what says much": ("raises_what_says_much", {}, "ValueError: much "),
    "raises half a character": ("raises_half_a_character", {}, "ValueError: \ud83d"),
    "raises no Exception": ("raises_no_exception", {}, "KeyboardInterrupt"),
    "raises a TypeError": ("raises_its_own_type_error", {}, "TypeError: len() takes exactly one"),
    "recurses": ("recurses", {}, "RecursionError: maximum recursion depth exceeded"),
    "exits": ("exits", {}, "it called sys.exit('no more')"),
    "no such input": ("raises", {"x": 1}, "the inputs do not fit: raises() got an unexpected"),
    "missing input": ("ends_itself", {}, "the inputs do not fit: ends_itself() missing 1 required"),
    "input like the first parameter": (
        "echo",
        {"context": 1},
        "the inputs do not fit: material.echo() got multiple values for argument 'context'",
    ),
}


@pytest.mark.parametrize(
    ("name", "inputs", "reason"), FAILS_IN_PYTHON.values(), ids=FAILS_IN_PYTHON.keys()
)
def test_a_function_that_fails_in_python_fails_its_hook_and_the_reason_is_short(
    action: FunctionAction, name: str, inputs: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ActionFailed) as failed:
        run(action, name, inputs)
    text = str(failed.value)
    assert text.replace("material.", "").startswith(reason.replace("material.", ""))
    assert len(text) <= 500


NO_JSON = {
    "returns_a_lock": "TypeError: Object of type lock is not JSON serializable",
    "returns_itself": "ValueError: Circular reference detected",
    "returns_shy": "ZeroDivisionError: division by zero",
}


@pytest.mark.parametrize(("name", "why"), NO_JSON.items())
def test_a_result_that_is_no_json_is_a_failure_that_no_retry_follows(
    action: FunctionAction, name: str, why: str
) -> None:
    with pytest.raises(ActionFailed) as failed:
        run(action, name)
    assert str(failed.value) == (
        f"it ran to its end, and is not run again, but its result cannot be put into JSON: {why};"
        " let it return what can, or nothing"
    )
    assert failed.value.retry_after_s == NEVER


@pytest.mark.parametrize(
    ("name", "inputs", "how"), ENDS_ITS_PROCESS.values(), ids=ENDS_ITS_PROCESS.keys()
)
def test_a_function_that_ends_its_process_is_told_and_the_next_call_works(
    action: FunctionAction,
    caplog: pytest.LogCaptureFixture,
    name: str,
    inputs: dict[str, Any],
    how: str,
) -> None:
    with pytest.raises(ActionFailed) as failed:
        run(action, name, inputs)
    assert str(failed.value) == how
    assert_next_call_works(action, caplog)


FINE: dict[str, tuple[str, dict[str, Any], str]] = {
    "returns nothing": ("nothing", {}, ""),
    "returns half a character": ("returns_half_a_character", {}, r"returned ['\udcff']"),
    "returns much": ("returns_much", {}, "returned 'much " + "much " * 20),
    "forks": ("forks", {}, "returned 0"),
    "forks and raises": ("forks_and_raises", {}, ""),
    "waits for all its children": ("waits_for_all_its_children", {}, "returned 'none left'"),
    "closes the streams": ("closes_the_streams", {}, ""),
    "closes its output": ("closes_its_output", {}, ""),
    "leads its output elsewhere": ("leads_its_output_elsewhere", {}, ""),
    "detaches the streams": ("detaches_the_streams", {}, ""),
    "deletes the streams": ("deletes_the_streams", {}, ""),
    "replaces the streams by nothing": ("replaces_the_streams", {"stream": "None"}, ""),
    "replaces the streams by a text": ("replaces_the_streams", {"stream": "io.StringIO()"}, ""),
    "replaces the streams by what fails": ("replaces_the_streams", {"stream": "Failing()"}, ""),
    "leaves a thread": ("leaves_a_thread", {}, ""),
}


@pytest.mark.parametrize(("name", "inputs", "text"), FINE.values(), ids=FINE.keys())
def test_a_function_with_bad_manners_that_returns_is_done_and_the_next_call_works(
    action: FunctionAction,
    caplog: pytest.LogCaptureFixture,
    name: str,
    inputs: dict[str, Any],
    text: str,
) -> None:
    result = run(action, name, inputs, timeout_s=5)
    assert result == text if not text else result.startswith(text)
    assert len(result) <= 220
    assert_next_call_works(action, caplog)


@pytest.mark.parametrize(
    ("name", "fresh"),
    [
        ("ignores_the_exception_that_ends_loops", False),
        ("holds_the_interpreter_lock", False),
        ("loops", True),
    ],
)
def test_a_function_that_never_returns_is_killed_with_its_programs_at_its_timeout(
    action: FunctionAction,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    name: str,
    fresh: bool,
) -> None:
    told = tmp_path / "told"
    run(action, "nothing")
    timeout_s = SHORT_S + fresh  # a new interpreter needs a while before it is there
    with pytest.raises(
        ActionTimedOut, match=rf"^no end within {timeout_s:g} s, the hook's 'timeout'; "
    ):
        run(action, name, context={"told": str(told)}, timeout_s=timeout_s, fresh=fresh)
    wait_for("the end of the group", lambda: not living(int(told.read_text())))
    assert_next_call_works(action, caplog)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("raises", r'material.py", line \d+, in raises'),
        ("package.broken.page", r'broken.py", line 3, in <module>'),
    ],
)
def test_the_details_of_a_failure_begin_at_the_functions_or_the_modules_own_line(
    action: FunctionAction, name: str, place: str
) -> None:
    with pytest.raises(ActionFailed) as failed:
        run(action, name)
    first, *_ = failed.value.details.splitlines()
    assert re.fullmatch(rf' *File ".*/{place}', first)


def test_the_details_of_a_failure_are_not_without_end(action: FunctionAction) -> None:
    with pytest.raises(ActionFailed) as failed:
        run(action, "recurses")
    assert 0 < len(failed.value.details) < 20_000


@pytest.mark.parametrize("name", ["picks", "number", "package.page", "exits"])
def test_a_failure_without_a_line_of_the_functions_has_no_details(
    action: FunctionAction, name: str
) -> None:
    with pytest.raises(ActionFailed) as failed:
        run(action, name)
    assert failed.value.details == ""


def test_inputs_and_context_arrive_as_they_were(action: FunctionAction) -> None:
    context = {"tenant_name": "ä", "arguments": None, "execution_parameters": {"n": [1, 2.5, True]}}
    inputs = {
        "mapping": {1: "int", None: "none", (1, 2): "tuple"},
        "data": b"\x00\xff",
        "not_a_number": math.nan,
        "huge": 10**100,
        "day": datetime.date(2026, 1, 31),
        "group": {7},
    }
    assert run(action, "echo", inputs, context, fresh=True) == shortened(
        f"returned {repr((context, inputs))!r}"
    )
    for name, value in inputs.items():
        assert run(action, "echo", {name: value}) == f"returned {repr(({}, {name: value}))!r}"


def shortened(text: str) -> str:
    most = len("returned ") + 200
    return text if len(text) <= most else text[: most - 3] + "..."


def test_an_interpreter_stays_for_the_next_call_and_a_fresh_one_does_not(
    action: FunctionAction,
) -> None:
    assert len({run(action, "interpreter", fresh=fresh) for fresh in (False, True, False, True)}) == 3


def test_nothing_of_a_fresh_child_is_left_after_its_call(
    action: FunctionAction, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    known = children()
    run(action, "leaves_a_program", context={"told": str(told)}, fresh=True)
    with pytest.raises(ActionFailed, match="shut"):
        run(action, "raises", fresh=True)
    assert not children() - known
    wait_for("the end of the group", lambda: not living(int(told.read_text())))


def test_closing_is_safe_twice_and_a_later_call_works(action: FunctionAction) -> None:
    known = children()
    first = run(action, "interpreter")
    action.close()
    action.close()
    assert not children() - known
    assert run(action, "interpreter") != first


def test_what_a_function_prints_by_any_way_is_logged_under_its_hook(
    action: FunctionAction, caplog: pytest.LogCaptureFixture
) -> None:
    run(action, "prints")
    assert caplog.messages == [
        "hook h1 | from Python",
        "hook h1 | to stderr, as text",
        "hook h1 | from C",
        "hook h1 | from C's own buffer",
        "hook h1 | from a program",
        "hook h1 | cut ÿ",
        "hook h1 | no end of line",
    ]


@pytest.mark.parametrize(
    "name", ["prints_into_a_stream_of_its_own", "prints_into_a_stream_that_holds_it_back"]
)
def test_what_a_stream_holds_back_is_logged_before_the_call_has_ended(
    action: FunctionAction, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    run(action, name)
    assert caplog.messages == ["hook h1 | printed"]


def test_what_a_fresh_child_prints_while_it_ends_is_logged(
    action: FunctionAction, caplog: pytest.LogCaptureFixture
) -> None:
    run(action, "prints_at_its_end", fresh=True)
    assert [line.rpartition(" | ")[2] for line in caplog.messages] == ["from an exit handler", "cut"]


def test_what_a_thread_prints_after_its_call_is_logged_when_asked_for(
    action: FunctionAction, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    action.drain()  # there is no child yet
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    run(action, "prints_later", {"fifo": str(fifo)})
    assert caplog.messages == []
    fifo.write_text("now")

    def printed() -> list[str]:
        action.drain()
        return caplog.messages

    wait_for("the line", printed)
    assert caplog.messages == ["hook h1 | later"]


def test_python_path_comes_first_in_its_order_and_our_own_folder_is_not_there(
    make_with: MakeAction, tmp_path: Path
) -> None:
    paging = "import sys\ndef page(context): return __file__, sys.path[:2]\n"
    action = make_with({"b/paging.py": paging, "a/paging.py": paging}, "b", "a")
    first, second = str(tmp_path / "b"), str(tmp_path / "a")
    page = (f"{first}/paging.py", [first, second])
    assert run(action, "paging.page") == shortened(f"returned {page!r}")
    with pytest.raises(ActionFailed, match="No module named pool "):
        run(action, "pool.Worker")


def test_a_python_that_leaves_its_scripts_folder_out_anyway_loses_nothing_else(
    make_with: MakeAction, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, safe = (make_with({"paging.py": "import sys\ndef page(c): return sys.path"}) for _ in "12")
    path = run(usual, "paging.page")
    monkeypatch.setenv("PYTHONSAFEPATH", "1")  # Python 3.11 and later
    assert run(safe, "paging.page") == path


@pytest.fixture
def _our_stdin_has_data() -> Iterator[None]:
    reader, writer = os.pipe()
    os.write(writer, b"for us alone")
    os.close(writer)
    saved = os.dup(0)
    os.dup2(reader, 0)
    yield
    os.dup2(saved, 0)
    os.close(saved)
    os.close(reader)


@pytest.mark.usefixtures("_our_stdin_has_data")
def test_a_function_has_our_environment_and_an_empty_stdin(
    folder: Path, make_action: MakeAction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDUCTOR_HOOKS_TEST_MARK", "ours")
    assert (
        run(make_action(python_path=(str(folder),)), "surroundings")
        == "returned ('ours', '', '', '/dev/null')"
    )


def test_a_function_has_in_its_environment_what_the_original_s_runner_has(
    make_with: MakeAction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    names = ["CLOUDIFY_DISPATCH", "MANAGER_NAME", "PATH"]
    action = make_with(
        {"paging.py": f"import os\ndef page(c): return [os.environ[n] for n in {names}]\n"}
    )
    path = f"{os.path.dirname(sys.executable)}:/usr/bin"
    assert run(action, "paging.page") == f"returned {['true', os.uname().nodename, path]}"
    monkeypatch.setenv("MANAGER_NAME", "ours")
    assert run(make_with({}), "paging.page") == f"returned {['true', 'ours', path]}"


def test_root_runs_no_function_that_another_user_can_change(
    make_with: MakeAction, tmp_path: Path
) -> None:
    needs_root()
    action = make_with({"theirs/paging.py": "def page(c): pass"}, "theirs")
    os.chown(tmp_path / "theirs", NOBODY, NOBODY)
    reason = (
        f"{tmp_path}/theirs belongs to user {NOBODYS_NAME}, and root runs nothing that others can"
        " change: do this as that user, and give the listener's section user="
    )
    with pytest.raises(ActionFailed, match=f"^{re.escape(reason)}$"):
        run(action, "paging.page")
    for may_import in (False, True):
        assert reasons(action, "paging.page", may_import=may_import) == [reason]


FINDABLE = {
    "def": "def page(context): pass",
    "async def": "async def page(context): pass",
    "class": "class page:\n    def __init__(self, context): pass",
    "assignment": "page = print",
    "chained assignment": "other = page = print",
    "annotated assignment": "page: object = print",
    "tuple": "other, (page, *_) = 1, (print, 3)",
    "condition": "if True:\n    def page(context): pass",
    "fallback": "try:\n    import no_such\nexcept ImportError:\n    page = print",
    "loop": "for page in [print]: pass",
    "with": "from contextlib import nullcontext\nwith nullcontext(print) as page: pass",
    "global": "def make():\n    global page\n    page = print\nmake()",
    "import": "from package.curious import page",
    "import as": "from package.curious import page_now as page",
    "star import": "from package.curious import *",
    "__getattr__": "def __getattr__(name):\n if name == 'page': return print\n raise AttributeError",
}
"""Texts of a module, `page` being there in each."""

check_modes = pytest.mark.parametrize("may_import", [False, True], ids=["find", "import"])


def reasons(action: FunctionAction, path: str, *, may_import: bool, **inputs: Any) -> list[str]:
    return [fault.reason for fault in action.check(a_hook(path, inputs), may_import=may_import)]


@check_modes
def test_check_finds_a_function_whichever_way_its_module_has_it(
    make_with: MakeAction, may_import: bool
) -> None:
    modules = {way: f"way_{number}" for number, way in enumerate(FINDABLE)}
    action = make_with({**MODULES, **{f"{modules[way]}.py": text for way, text in FINDABLE.items()}})
    told = {way: reasons(action, f"{modules[way]}.page", may_import=may_import) for way in FINDABLE}
    assert told == {way: [] for way in FINDABLE}


@check_modes
def test_check_finds_a_function_in_whatever_kind_of_module(
    make_with: MakeAction, tmp_path: Path, may_import: bool
) -> None:
    paths = (
        "package.page_here",
        "package.curious.page",
        "package.time.page",
        "plain.inner.paging.page",
        "builtins.print",
        "time.sleep",
        "math.sqrt",  # an extension module, in most Pythons
        "compiled.page",
    )
    texts = {"plain/inner/paging.py": "def page(context): pass", "source.py": "page = print"}
    action = make_with({**MODULES, **texts})
    py_compile.compile(str(tmp_path / "source.py"), str(tmp_path / "compiled.pyc"))
    told = {path: reasons(action, path, may_import=may_import) for path in paths}
    assert told == {path: [] for path in paths}


@check_modes
def test_check_finds_a_function_in_a_zip_file(
    make_with: MakeAction, tmp_path: Path, may_import: bool
) -> None:
    with zipfile.ZipFile(tmp_path / "hooks.zip", "w") as archive:
        archive.writestr("paging.py", "def page(context): pass")
        archive.writestr("zipped/__init__.py", "")
        archive.writestr("zipped/paging.py", "def page(context): pass")
    action = make_with({}, "hooks.zip")
    for path in ("paging.page", "zipped.paging.page"):
        assert reasons(action, path, may_import=may_import) == []
    (reason,) = reasons(action, "zipped.paging.call", may_import=may_import)
    assert reason == "zipped.paging has no function named 'call'"


@check_modes
def test_check_finds_a_function_that_an_editable_installation_leads_to(
    make_with: MakeAction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, may_import: bool
) -> None:
    finder = f"""
import importlib.util, sys
class Finder:  # as setuptools makes one
    @staticmethod
    def find_spec(fullname, path=None, target=None):
        if fullname == "edited":
            file = {str(tmp_path / "sources" / "__init__.py")!r}
            return importlib.util.spec_from_file_location(fullname, file)
sys.meta_path.append(Finder)
"""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    texts = {f"sources/{name}": "def page(context): pass" for name in ("__init__.py", "paging.py")}
    action = make_with({**texts, "sitecustomize.py": finder})
    for path in ("edited.page", "edited.paging.page"):
        assert reasons(action, path, may_import=may_import) == []


@check_modes
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nowhere.page", "No module named nowhere for "),
        ("package.nowhere.page", "No module named package.nowhere for "),
        ("package.broken.deeper.page", "No module named package.broken.deeper for "),
        ("material.time.page", "No module named material.time for "),
        ("material.json.dumps", "No module named material.json for "),
        ("package.page", "package has no function named 'page'"),
        ("package.curious.call", "package.curious has no function named 'call'"),
        ("package.curious.inner", "package.curious has no function named 'inner'"),
        ("package.curious.method", "package.curious has no function named 'method'"),
        ("package.misspelt.page", "SyntaxError: "),
    ],
)
def test_check_tells_what_is_not_there(
    action: FunctionAction, path: str, reason: str, may_import: bool
) -> None:
    if path.startswith("package.broken") and may_import:
        reason = "ZeroDivisionError: "
    (told,) = reasons(action, path, may_import=may_import)
    assert told.startswith(reason)
    if reason == "SyntaxError: ":
        assert "misspelt.py, line 1" in told
    if reason.startswith("No module"):
        name = path.partition(".")[0]
        assert told.endswith(
            f"{sys.executable}, and no managed plugin {name!r} (there is none); name the module's"
            " folder in 'listener: python_path', or upload the plugin"
        )


@pytest.mark.parametrize(
    ("path", "inputs", "reason"),
    [
        ("package.broken.page", {}, "ZeroDivisionError: division by zero"),
        ("package.leaving.page", {}, "it called sys.exit(5)"),
        ("material.number", {}, "material.number is no function, but a value of type int"),
        ("material.echo", {"context": 1}, "the inputs do not fit echo(context, **inputs): multiple"),
        ("material.ends_itself", {}, "the inputs do not fit ends_itself(context, signum): missing a"),
        (
            "material.interpreter",
            {"x": 1},
            "the inputs do not fit interpreter(context): got an unexpected keyword",
        ),
        ("material.part", {"x": 1}, "the inputs do not fit "),
    ],
)
def test_check_that_imports_tells_what_looking_cannot(
    action: FunctionAction, path: str, inputs: dict[str, Any], reason: str
) -> None:
    assert reasons(action, path, may_import=False, **inputs) == []
    (told,) = reasons(action, path, may_import=True, **inputs)
    assert told.startswith(reason)


def test_check_accepts_any_inputs_for_a_function_that_does_not_tell_its_own(
    action: FunctionAction,
) -> None:
    assert reasons(action, "builtins.max", may_import=True, key=1) == []


def test_looking_runs_no_code_of_modules(make_with: MakeAction, tmp_path: Path) -> None:
    trace = f"open({str(tmp_path / 'trace')!r}, 'w').close()\ndef page(context): pass\n"
    action = make_with({"traced/__init__.py": trace, "traced/paging.py": trace})
    assert reasons(action, "traced.paging.page", may_import=False) == []
    assert not (tmp_path / "trace").exists()
    assert reasons(action, "traced.paging.page", may_import=True) == []
    assert (tmp_path / "trace").exists()


def test_check_ends_an_import_that_takes_too_long(
    action: FunctionAction, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert function.CHECK_TIMEOUT_S == 10
    run(action, "nothing")
    monkeypatch.setattr(function, "CHECK_TIMEOUT_S", SHORT_S)
    reason = f"importing package.patient.page: {sys.executable} did not answer in {SHORT_S:g} s"
    expected = [Fault(None, reason, is_certain=False)]
    began = time.monotonic()
    assert action.check(a_hook("package.patient.page"), may_import=True) == expected
    assert time.monotonic() - began < SHORT_S + 3
    assert reasons(action, "package.curious.page", may_import=True) == []


def test_check_tells_of_a_python_that_cannot_be_started(make_action: MakeAction) -> None:
    (reason,) = reasons(make_action(python="/no/python"), "material.page", may_import=False)
    assert reason.startswith("the interpreter /no/python cannot be started: No such file")
    (reason,) = reasons(make_action(python_path=("a\0b",)), "material.page", may_import=False)
    assert "cannot be started: embedded null byte" in reason


def test_a_module_that_is_installed_later_is_found_then(make_with: MakeAction, tmp_path: Path) -> None:
    action = make_with({}, "later")
    with pytest.raises(ActionFailed, match="No module named later_module"):
        run(action, "later_module.greet")
    written(tmp_path, {"later/later_module.py": "def greet(context):\n    return 'hello'\n"})
    assert run(action, "later_module.greet") == "returned 'hello'"
