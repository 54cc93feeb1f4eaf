"""The rules of the house, as tests: style, types, one direction of imports, small rooms."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
ROOMS = sorted((TOP / "listener").rglob("*.py"))

LEVELS = {
    9: ["cli", "__main__"],
    8: ["app"],
    7: ["overview", "rabbitmq", "supervisord"],
    6: ["dispatch"],
    5: ["actions"],
    4: ["interpreters", "snmp"],
    3: ["hooks", "inbox", "state"],
    2: ["log"],
    1: ["model"],
    0: ["errors"],
}
"""Every room, from the door down. A room may import rooms of its own level and below; the package
itself offers `emit` alone."""


def level(module: str) -> int:
    """The level of `listener.<room>[…]`, by the room's name."""
    room = module.split(".")[1]
    [found] = [number for number, rooms in LEVELS.items() if room in rooms]
    return found


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(TOP).with_suffix("").parts).removesuffix(".__init__")


def imports(tree: ast.AST) -> Iterator[str]:
    """The modules of ours that a file imports, at its top or inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith("listener."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "listener":
            names = [f"{node.module}.{name.name}" for name in node.names]
            yield from names if node.module == "listener" else [str(node.module)]


def test_the_rooms_are_those_of_the_design() -> None:
    rooms = {room for rooms in LEVELS.values() for room in rooms}
    there = {path.stem for path in (TOP / "listener").iterdir()} - {"__pycache__", "__init__"}
    assert there == rooms


@pytest.mark.parametrize("file", ROOMS, ids=module_name)
def test_a_module_does_not_repeat_the_name_of_its_package(file: Path) -> None:
    package = file.parent.name.removesuffix("s")
    assert file.stem == "__init__" or package == "" or package not in file.stem.split("_")


@pytest.mark.parametrize("file", ROOMS, ids=module_name)
def test_imports_run_one_way_down(file: Path) -> None:
    name = module_name(file)
    if name == "listener":
        return
    for imported in imports(ast.parse(file.read_text("utf-8"))):
        if imported != "listener.emit":
            assert level(imported) <= level(name), f"{name} imports {imported}"


def test_no_rooms_import_each_other_in_a_circle() -> None:
    known = {module_name(file): set(imports(ast.parse(file.read_text("utf-8")))) for file in ROOMS}
    while leaves := {
        name for name, imported in known.items() if not imported & (known.keys() - {name})
    }:
        known = {name: imported for name, imported in known.items() if name not in leaves}
    assert known == {}


@pytest.mark.parametrize("file", ROOMS, ids=module_name)
def test_rooms_and_functions_are_small_and_say_what_they_are_for(file: Path) -> None:
    text = file.read_text("utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), f"{file} does not say what it owns"
    assert text.count("\n") <= 310
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno:
            assert node.end_lineno - node.lineno < 55, f"{file}: {node.name} is too long"


@pytest.mark.parametrize(
    "command", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]], ids=" ".join
)
def test_the_tools_find_nothing(command: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-m", *command], cwd=TOP, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def at_ready(names: str, moment: str = "app.SupervisorSource.say_ready") -> list[str]:
    """The names that this expression gives when `listen` says READY, or calls another function."""
    program = (
        "import gc, os, sys, typing; from listener import __main__, app\n"
        f"def stop(*_): print(*{names}, file=sys.stderr); os._exit(0)\n"
        f"{moment} = stop; sys.argv[1:] = ['listen']; __main__.main()"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    with tempfile.TemporaryDirectory() as folder:
        env |= {"CONDUCTOR_HOOKS_CONFIG": "hooks.conf", "CONDUCTOR_HOOKS_STATE_DIR": folder}
        result = subprocess.run(
            [sys.executable, "-c", program],
            cwd=TOP,
            env=env,
            capture_output=True,
            text=True,
            check=True,
        )
    return result.stderr.split()


def test_the_listeners_own_path_stays_bare() -> None:
    """What `listen` has imported when it says READY; each of these costs milliseconds there."""
    heavy = {
        "asyncio",
        "click",
        "dataclasses",
        "jinja2",
        "json",
        "listener.hooks.forward",
        "listener.hooks.when",
        "logging",
        "msgspec",
        "pysnmp",
        "subprocess",
        "urllib3",
        "zoneinfo",
    }
    imported = at_ready("sys.modules")
    assert "yaml" in imported
    assert heavy.isdisjoint(imported)


def test_no_named_tuple_before_ready_has_annotations_that_are_text() -> None:
    """Python compiles each of them. `from __future__ import annotations` makes text of all."""
    tuples = (
        "(each.__qualname__ for name, module in sorted(sys.modules.items()) if 'listener' in name"
        " for each in vars(module).values() if isinstance(each, type) and hasattr(each, '_fields')"
        " if {} any(isinstance(kind, typing.ForwardRef) for kind in each.__annotations__.values()))"
    )
    assert "Hook" in at_ready(tuples.format("not"))
    assert at_ready(tuples.format("")) == []


def test_garbage_is_looked_for_after_ready_alone() -> None:
    assert at_ready("[gc.isenabled()]") == ["False"]
    assert at_ready("[gc.isenabled()]", "app._serve") == ["True"]


def test_a_verb_looks_for_garbage_but_not_in_what_it_imports() -> None:
    program = (
        "import atexit, gc, sys; from listener.__main__ import main\n"
        "atexit.register(lambda: print(gc.isenabled(), gc.get_freeze_count() > 10_000))\n"
        "sys.argv[1:] = ['keys', 'listener']; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=TOP, capture_output=True, text=True, check=True
    )
    assert result.stdout.endswith("\nTrue True\n")


def test_history_imports_nothing_that_is_slow() -> None:
    program = "import sys, listener.cli.operate; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=TOP, capture_output=True, text=True, check=True
    )
    slow = {"yaml", "jinja2", "shutil", "supervisor", "urllib3"}
    assert slow.isdisjoint(result.stdout.split())
