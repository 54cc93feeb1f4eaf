"""Uploads of real wagons: what becomes of them, what is refused, and what an interrupted one leaves."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from listener.errors import HooksError
from listener.interpreters.plugins import MARKER, Plugin, Plugins, Root
from listener.interpreters.plugins.health import Health, health_of
from listener.interpreters.plugins.installer import Installer
from listener.interpreters.plugins.source import COMMON
from listener.interpreters.plugins.upload import locked, remove
from tests.pythons import oldest
from tests.support import wait_for
from tests.wagons import Made, installed, left_in, run_in

TAG = sys.implementation.cache_tag
PYTHON = ".".join(map(str, sys.version_info[:3]))


def plugins_of(state: Path) -> list[Plugin]:
    return Plugins([Root.own(str(state))]).all()


def refused(state: Path, path: Path, **more: Any) -> str:
    """Why an upload is refused; it leaves nothing."""
    before = plugins_of(state)
    with pytest.raises(HooksError) as caught:
        installed(state, path, **more)
    assert plugins_of(state) == before
    assert left_in(state) == []
    return str(caught.value)


def test_a_wagon_becomes_a_plugin_that_sees_its_own_packages_and_cloudify(
    made: Made, state: Path
) -> None:
    plugin = installed(state, made.wagon("needs-common", requires=(COMMON,)))
    assert plugin == Plugin(
        "needs-common", "1.0", None, str(state / "plugins/_global/needs-common/1.0")
    )
    assert plugins_of(state) == [plugin]
    assert left_in(state) == []
    assert run_in(plugin, "import needs_common.tasks as t; print(t.version({}))") == "1.0"
    program = "import cloudify, yaml, networkx; print(cloudify.__file__)"
    assert run_in(plugin, program).startswith(str(state / COMMON / TAG))
    look_for_ours = "import importlib.util as u; print(*map(u.find_spec, ('listener', 'pip', 'click')))"
    assert run_in(plugin, look_for_ours) == "None None None"
    program = "from importlib.metadata import version; print(version('cloudify-common'))"
    assert health_of(plugin) == Health((), run_in(plugin, program))


def test_a_plugins_own_package_comes_before_the_one_beside_cloudify_common(
    made: Made, state: Path
) -> None:
    wheel = made.wheel("bottle", "0.0.1")
    plugin = installed(state, made.wagon("old", requires=("bottle==0.0.1",), carried=(wheel,)))
    assert run_in(plugin, "from importlib.metadata import version; print(version('bottle'))") == "0.0.1"
    assert any((state / COMMON / TAG).glob("lib/*/site-packages/bottle-0.1*"))  # and that one stays


def test_a_wagon_that_carries_cloudify_common_gets_no_other(made: Made, tmp_path: Path) -> None:
    [common] = made.wheels.glob("cloudify_common-*")
    wagon = made.wagon("complete", requires=(COMMON,), carried=(common,))
    plugin = installed(tmp_path / "state", wagon)
    assert os.listdir(tmp_path / "state") == ["plugins"]
    assert not list(Path(plugin.folder).rglob("*.pth"))
    assert health_of(plugin) == Health((), "9.9")


def test_without_a_network_cloudify_common_comes_from_a_folder_and_is_made_once(
    made: Made, tmp_path: Path
) -> None:
    state, reported = tmp_path / "state", list[str]()
    half = state / COMMON / TAG / "bin/python"  # as an interrupted upload leaves it
    half.parent.mkdir(parents=True)
    half.touch()
    plugin = installed(state, made.wagon("tried"), wheels=made.wheels, report=reported.append)
    assert health_of(plugin) == Health((), "9.9")
    assert reported == [
        f"getting {COMMON}, which all plugins of {TAG} share; only once",
        f"{COMMON} 9.9 is provided by {state}/{COMMON}/{TAG}",
        f"installing tried 1.0 for Python {PYTHON}",
    ]
    marker = state / COMMON / TAG / MARKER
    before = marker.stat()
    installed(state, made.wagon("tried", "1.9"))
    assert marker.stat() == before


def test_a_folder_without_cloudify_common_leaves_nothing_and_says_how_to_fill_it(
    made: Made, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    reason = refused(tmp_path / "state", made.wagon("tried"), wheels=tmp_path / "empty")
    assert reason.startswith(f"{COMMON}, which plugins need, cannot be had: Could not find a version")
    assert reason.endswith(
        "filled elsewhere with the same Python by pip wheel -w FOLDER pip 'cloudify-common[dispatcher]'"
        " \"legacy-cgi; python_version >= '3.13'\""
    )
    assert os.listdir(tmp_path / "state") == ["plugins"]


def test_the_oldest_python_of_this_machine_runs_plugins(made: Made, tmp_path: Path) -> None:
    python = oldest()
    [common] = made.wheels.glob("cloudify_common-*")
    wagon = made.wagon("complete", requires=(COMMON,), carried=(common,))
    plugin = installed(tmp_path / "state", wagon, python=python)
    assert run_in(plugin, "import complete, cloudify.context, sys; print(sys.version)") == (
        subprocess.check_output([python, "-c", "import sys; print(sys.version)"], text=True).strip()
    )


def test_a_python_that_our_pip_is_too_new_for_gets_a_pip_once(
    made: Made, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{Installer.__module__}._ABOUT_PIP", "print('99', '>=99')")
    (state / "empty").mkdir()
    reason = refused(state, made.wagon("tried"), wheels=state / "empty")
    assert reason.startswith(f"a pip for Python {PYTHON} cannot be had: Could not find a version")
    reported: list[str] = []
    for version in ("1.0", "1.9"):
        plugin = installed(state, made.wagon("tried", version), report=reported.append)
        assert run_in(plugin, "import tried.tasks as t; print(t.version({}))") == version
    assert [line for line in reported if " pip " in line] == [
        f"getting a pip for {TAG}, for which ours is too new; only once"
    ]


def test_a_wheel_and_a_source_folder_become_plugins(made: Made, state: Path) -> None:
    wheel = made.wheel("needy", requires=("small-dep",))
    reason = refused(state, wheel, wheels=made.wheels)
    assert "No matching distribution found for small-dep; what it requires comes from where" in reason
    reported: list[str] = []
    wheels = made.wheel("small-dep", "2.0").parent
    plugin = installed(state, wheel, wheels=wheels, report=reported.append)
    assert run_in(plugin, "import small_dep.tasks as t; print(t.version({}))") == "2.0"
    assert reported[0] == (
        "there is no plugin.yaml (--plugin-yaml names one): installing it all the same"
    )
    source = made.source("unbuilt")
    reported.clear()
    plugin = installed(state, source, report=reported.append)
    assert run_in(plugin, "import unbuilt.tasks as t; print(t.version({}))") == "1.0"
    assert not any("plugin.yaml" in line for line in reported)
    assert sorted(os.listdir(source)) == ["plugin.yaml", "setup.py", "unbuilt"]


def test_a_plugin_for_another_executor_is_refused_unless_a_right_file_is_named(
    made: Made, state: Path
) -> None:
    wagon = made.wagon("on-hosts", executor="host_agent")
    reason = refused(state, wagon)
    assert reason.startswith(f"plugin.yaml in {wagon}: plugin 'on_hosts' has the executor host_agent")
    right = "plugins: {on: {executor: central_deployment_agent, package_name: on-hosts}}"
    assert installed(state, wagon, plugin_yaml=right).name == "on-hosts"


def test_another_platform_is_refused(made: Made, state: Path) -> None:
    wagon = made.changed(made.wagon("tried"), supported_platform="win32")
    assert refused(state, wagon).startswith(f"{wagon} was made for win32, and this is linux_")


@pytest.mark.parametrize(
    ("name", "more", "files", "reason"),
    [
        ("future", {"python_requires": ">=4"}, {}, "Package 'future' requires a different Python: "),
        ("lacking", {"requires": ("proxy-tools<0.0.1",)}, {}, "Could not find a version that satisf"),
        ("tried", {}, {"wheels/tried-1.0-py3-none-any.whl": b"broken"}, "Wheel 'tried' located at "),
    ],
)
def test_a_wagon_that_cannot_be_installed_is_refused_with_pips_reason(
    made: Made, state: Path, name: str, more: dict[str, Any], files: dict[str, bytes], reason: str
) -> None:
    path = made.changed(made.wagon(name, **more), files=files)
    said = refused(state, path)
    assert said.startswith(f"{path} cannot be installed: {reason}")
    assert said.endswith(
        f"; it has to carry all that it requires but cloudify-common, for Python {PYTHON}: make it"
        " again, with this Python"
    )


def test_of_wheels_for_several_pythons_the_one_that_fits_is_installed(made: Made, state: Path) -> None:
    other = {"wheels/tried-1.0-cp36-cp36m-linux_x86_64.whl": b""}
    plugin = installed(state, made.changed(made.wagon("tried"), files=other))
    assert run_in(plugin, "import tried.tasks as t; print(t.version({}))") == "1.0"


def test_a_version_that_is_already_there_is_refused_and_stays(made: Made, state: Path) -> None:
    plugin = installed(state, made.wagon("tried"), tenant="acme")
    before = Path(plugin.folder, MARKER).read_text()
    reason = refused(state, made.wagon("tried"), tenant="acme")
    assert reason.startswith(
        f"tried 1.0 is already there, in {plugin.folder}; give a changed one another version"
    )
    assert reason.endswith("conductor-hooks plugins remove tried 1.0 --tenant acme")
    assert Path(plugin.folder, MARKER).read_text() == before


def test_it_becomes_visible_only_when_all_is_there_and_pip_holds_the_lock(
    made: Made, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, held = [], []
    popen = subprocess.Popen

    def started(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        if "install" in command or "venv" in command:
            held.append(options["pass_fds"] != ())
        return popen(command, **options)

    def sync() -> None:
        seen.append((plugins_of(state), os.path.exists(state / "plugins/_global/tried/1.0/bin")))

    monkeypatch.setattr(subprocess, "Popen", started)
    monkeypatch.setattr(os, "sync", sync)
    installed(state, made.wagon("tried"))
    assert seen == [([], True)]
    assert held == [True, True]


def test_what_an_interrupted_upload_has_left_is_removed_by_the_next(state: Path) -> None:
    for name in ("_global/tried/1.0/bin/python", "acme/other/2.0/x", ".scratch-1/x", "README"):
        left = state / "plugins" / name
        left.parent.mkdir(parents=True, exist_ok=True)
        left.touch()
    (state / "plugins/_global/tried/note").touch()
    with locked(str(state), lambda _line: None) as workshop:
        assert left_in(state) == [os.path.basename(workshop.scratch), "README", "_global/tried/note"]
    assert left_in(state) == ["README", "_global/tried/note"]


def test_a_second_upload_waits_until_the_first_has_ended(state: Path) -> None:
    reported: list[str] = []
    entered = threading.Event()

    def second() -> None:
        with locked(str(state), reported.append):
            entered.set()

    thread = threading.Thread(target=second)
    with locked(str(state), reported.append):
        thread.start()
        wait_for("the second to say that it waits", lambda: reported)
        assert not entered.is_set()
    thread.join(30)
    assert entered.is_set()
    assert reported == [
        f"waiting for another process that changes plugins here; fuser {state}/plugins/.lock names it"
    ]


def test_programs_that_a_killed_upload_has_left_keep_others_waiting(state: Path) -> None:
    holder = "import sys; print('held', flush=True); sys.stdin.read()"
    with locked(str(state), lambda _line: None) as workshop:
        process = subprocess.Popen(
            [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            pass_fds=(workshop.lock_fd,),
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
    with open(state / "plugins/.lock", "rb") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process.communicate(timeout=30)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_removed_plugin_is_hidden_first_and_then_gone(
    made: Made, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = installed(state, made.wagon("tried"))

    def rmtree(_folder: str) -> None:
        raise PermissionError(1, "Operation not permitted", plugin.folder)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", rmtree)
        with pytest.raises(PermissionError):
            remove(plugin)
    assert plugins_of(state) == []
    assert left_in(state) != []
    with locked(str(state), lambda _line: None):
        pass  # the next change of any plugin removes the rest
    assert os.listdir(state / "plugins") == [".lock"]


def test_a_plugin_that_runs_can_be_removed_while_it_writes_byte_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "plugins/_global/tried/1.0"
    (folder / "lib").mkdir(parents=True)
    (folder / MARKER).touch()
    rmdir = os.rmdir

    def rmdir_late(*arguments: Any, **options: Any) -> None:
        with suppress(FileNotFoundError):
            (folder / "late.pyc").touch()
        rmdir(*arguments, **options)

    monkeypatch.setattr(os, "rmdir", rmdir_late)
    remove(Plugin("tried", "1.0", None, str(folder)))
    assert not folder.exists()


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "plugins").touch()
    with (
        pytest.raises(HooksError, match=rf"^the plugins in {tmp_path}/plugins could not be changed: "),
        locked(str(tmp_path), lambda _line: None),
    ):
        pytest.fail("there is no such folder")
