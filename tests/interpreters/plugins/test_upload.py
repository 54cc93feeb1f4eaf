"""Uploads of real wagons: what becomes of them, what is refused, and what an interrupted one leaves."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from listener.errors import HooksError
from listener.interpreters.plugins import MARKER, Plugin, Plugins, Root
from listener.interpreters.plugins.health import Health, look
from listener.interpreters.plugins.source import COMMON
from listener.interpreters.plugins.upload import remove, working
from tests.interpreters.plugins.uploads import Made, installed, left_in, run_in
from tests.privileges import NOBODY
from tests.support import wait_for

TAG = sys.implementation.cache_tag


def plugins_of(state: Path) -> Plugins:
    return Plugins([Root.own(str(state))])


def refused(state: Path, path: Path, **more: object) -> str:
    """Why an upload is refused; it leaves nothing."""
    before = plugins_of(state).all()
    with pytest.raises(HooksError) as caught:
        installed(state, path, **more)  # type: ignore[arg-type]
    assert plugins_of(state).all() == before
    assert left_in(state) == []
    return str(caught.value)


def test_a_wagon_becomes_a_plugin_that_sees_its_own_packages_and_cloudify(
    made: Made, state: Path
) -> None:
    plugin = installed(state, made.wagon("needs-common", requires=(COMMON,)))
    folder = str(state / "plugins/_global/needs-common/1.0")
    assert plugin == Plugin("needs-common", "1.0", None, folder)
    assert plugins_of(state).newest("needs-common", "acme") == plugin
    assert left_in(state) == []
    assert run_in(plugin, "import needs_common.tasks as t; print(t.version({}))") == "1.0"
    program = "import cloudify, yaml, networkx; print(cloudify.__file__)"
    assert run_in(plugin, program).startswith(str(state / COMMON / TAG))
    look_for_ours = (
        "import importlib.util as u; print([u.find_spec(n) for n in ('listener', 'pip', 'click')])"
    )
    assert run_in(plugin, look_for_ours) == "[None, None, None]"
    health = look(plugin)
    assert health.problems == ()
    program = "from importlib.metadata import version; print(version('cloudify-common'))"
    assert health.common_version == run_in(plugin, program)


def test_of_three_versions_the_highest_serves_and_each_has_its_own_environment(
    made: Made, state: Path
) -> None:
    for version in ("1.9", "1.33", "1.0"):
        installed(state, made.wagon("tried", version))
    newest = plugins_of(state).newest("tried", "acme")
    assert newest is not None
    assert newest.version == "1.33"
    versions = {each.version: run_in(each, "import tried.tasks as t; print(t.version({}))")
                for each in plugins_of(state).all()}  # fmt: skip
    assert versions == {"1.33": "1.33", "1.9": "1.9", "1.0": "1.0"}


def test_two_plugins_have_conflicting_versions_of_what_they_require(made: Made, state: Path) -> None:
    found = []
    for name, version in (("first", "1.0"), ("second", "2.0")):
        wagon = made.wagon(
            name, requires=(f"small-dep=={version}",), carried=(made.wheel("small-dep", version),)
        )
        plugin = installed(state, wagon)
        assert look(plugin).problems == ()
        found.append(run_in(plugin, "import small_dep.tasks as t; print(t.version({}))"))
    assert found == ["1.0", "2.0"]


def test_a_plugins_own_package_comes_before_the_one_beside_cloudify_common(
    made: Made, state: Path
) -> None:
    wheel = made.wheel("bottle", "0.0.1")
    plugin = installed(state, made.wagon("old", requires=("bottle==0.0.1",), carried=(wheel,)))
    assert run_in(plugin, "from importlib.metadata import version; print(version('bottle'))") == "0.0.1"
    assert any((state / COMMON / TAG).glob("lib/*/site-packages/bottle-0.1*"))  # and that one stays


def test_a_plugin_of_one_tenant_serves_that_one_alone(made: Made, state: Path) -> None:
    plugin = installed(state, made.wagon("tried"), tenant="acme")
    assert plugin.tenant == "acme"
    assert plugins_of(state).newest("tried", "acme") == plugin
    assert plugins_of(state).newest("tried", "other") is None


def test_a_wagon_that_carries_cloudify_common_gets_no_other(made: Made, tmp_path: Path) -> None:
    [common] = made.wheels.iterdir()
    state = tmp_path / "state"
    state.mkdir()
    plugin = installed(state, made.wagon("complete", requires=(COMMON,), carried=(common,)))
    assert os.listdir(state) == ["plugins"]
    assert not list(Path(plugin.folder).rglob("*.pth"))
    assert look(plugin) == Health((), "9.9")


def test_without_a_network_cloudify_common_comes_from_a_folder_and_is_made_once(
    made: Made, tmp_path: Path
) -> None:
    state, told = tmp_path / "state", list[str]()
    state.mkdir()
    plugin = installed(state, made.wagon("tried"), wheels=made.wheels, tell=told.append)
    assert look(plugin) == Health((), "9.9")
    assert told == [
        f"getting {COMMON}, which all plugins of {TAG} share; this is done once",
        f"{COMMON} 9.9 is provided by {state}/{COMMON}/{TAG}",
        f"installing tried 1.0 for Python {'.'.join(map(str, sys.version_info[:3]))}",
    ]
    marker = state / COMMON / TAG / MARKER
    before = marker.stat()
    installed(state, made.wagon("tried", "1.9"))
    assert marker.stat() == before


def test_a_folder_without_cloudify_common_leaves_nothing_and_says_how_to_fill_it(
    made: Made, tmp_path: Path
) -> None:
    state, empty = tmp_path / "state", tmp_path / "empty"
    state.mkdir()
    empty.mkdir()
    reason = refused(state, made.wagon("tried"), wheels=empty)
    assert reason.startswith(f"{COMMON}, which plugins need, cannot be had: Could not find a version")
    assert reason.endswith(
        f"--wheels FOLDER, filled elsewhere by pip wheel -w FOLDER '{COMMON}[dispatcher]'"
    )
    assert os.listdir(state) == ["plugins"]


def test_a_wheel_an_sdist_and_a_source_folder_become_plugins(made: Made, state: Path) -> None:
    wheel = installed(state, made.wheel("tried", "1.0"))
    assert wheel.version == "1.0"
    source = made.source("unbuilt")
    told: list[str] = []
    assert installed(state, source, tell=told.append).name == "unbuilt"
    assert not any("plugin.yaml" in line for line in told)
    assert sorted(os.listdir(source)) == ["plugin.yaml", "setup.py", "unbuilt"]
    command = [sys.executable, "setup.py", "-q", "sdist", "-d", str(state / "dist")]
    copied = made.source("tried", "1.33")
    subprocess.run(command, cwd=copied, check=True, capture_output=True)
    [sdist] = (state / "dist").iterdir()
    newest = installed(state, sdist)
    assert run_in(newest, "import tried.tasks as t; print(t.version({}))") == "1.33"


def test_what_a_wheel_requires_comes_from_the_wheels_folder_alone(made: Made, state: Path) -> None:
    wheel = made.wheel("needy", requires=("small-dep",))
    reason = refused(state, wheel, wheels=made.wheels)
    assert "No matching distribution found for small-dep; what it requires comes from where" in reason
    plugin = installed(state, wheel, wheels=made.wheel("small-dep", "2.0").parent)
    assert run_in(plugin, "import small_dep.tasks as t; print(t.version({}))") == "2.0"


def test_without_a_plugin_yaml_it_is_said_that_the_executor_is_not_known(
    made: Made, state: Path
) -> None:
    told: list[str] = []
    installed(state, made.wagon("no-yaml", executor=None), tell=told.append)
    assert told[0] == "there is no plugin.yaml (--plugin-yaml names one): installing it all the same"


def test_a_plugin_for_another_executor_is_refused_unless_a_right_file_is_named(
    made: Made, state: Path
) -> None:
    wagon = made.wagon("on-hosts", executor="host_agent")
    reason = refused(state, wagon)
    assert reason.startswith(f"plugin.yaml in {wagon}: plugin 'on_hosts' has the executor host_agent")
    right = "plugins: {on: {executor: central_deployment_agent, package_name: on-hosts}}"
    assert installed(state, wagon, plugin_yaml=right).name == "on-hosts"


def test_a_plugin_yaml_of_another_package_is_refused(made: Made, state: Path) -> None:
    other = "plugins: {on: {executor: central_deployment_agent, package_name: other}}"
    reason = refused(state, made.wagon("tried"), plugin_yaml=other)
    assert reason == "named.yaml is of other, not of tried; name the right file with --plugin-yaml"


def test_another_platform_is_refused(made: Made, state: Path) -> None:
    wagon = made.changed(made.wagon("tried"), supported_platform="win32")
    assert refused(state, wagon).startswith(
        f"{wagon} does not fit: it was made for win32, and this is l"
    )


def test_another_python_is_refused(made: Made, state: Path) -> None:
    wagon = made.wagon("future", python_requires=">=4")
    reason = refused(state, wagon)
    assert reason.startswith(
        f"{wagon} does not fit: it requires Python >=4, and plugins run by Python 3."
    )


def test_wheels_for_another_python_are_refused_and_those_that_it_is_for_named(
    made: Made, state: Path
) -> None:
    wheel = "wheels/tried-1.0-py3-none-any.whl"
    renamed = wheel.replace("py3", "cp36")
    wagon = made.wagon("tried")
    changed = made.changed(
        wagon, without=wheel, more={renamed: b""}, wheels=[os.path.basename(renamed)],
        supported_python_versions=["py36"],
    )  # fmt: skip
    reason = refused(state, changed)
    assert (
        "cannot be installed: Could not find a version that satisfies the requirement tried==1.0"
        in reason
    )
    assert (
        "it has to carry all that it requires but cloudify-common, and is for py36; this is" in reason
    )


def test_of_wheels_for_several_pythons_the_one_that_fits_is_installed(made: Made, state: Path) -> None:
    wheels = ["tried-1.0-cp36-cp36m-linux_x86_64.whl", "tried-1.0-py3-none-any.whl"]
    wagon = made.changed(made.wagon("tried"), more={f"wheels/{wheels[0]}": b""}, wheels=wheels)
    plugin = installed(state, wagon)
    assert run_in(plugin, "import tried.tasks as t; print(t.version({}))") == "1.0"


def test_a_broken_wheel_is_refused_with_pips_reason(made: Made, state: Path) -> None:
    wagon = made.changed(
        made.wagon("tried"), more={"wheels/tried-1.0-py3-none-any.whl": b"broken"},
        supported_python_versions=None,
    )  # fmt: skip
    reason = refused(state, wagon)
    assert reason.startswith(f"{wagon} cannot be installed: Wheel 'tried' located at ")
    assert " is invalid.; it has to carry all that it requires but cloudify-common; this is" in reason


def test_a_wagon_that_lacks_a_requirement_is_refused_although_there_is_a_network(
    made: Made, state: Path
) -> None:
    reason = refused(state, made.wagon("lacking", requires=("proxy-tools<0.0.1",)))
    assert "cannot be installed: Could not find a version that satisfies the req" in reason


def test_a_version_that_is_there_is_refused_and_stays(made: Made, state: Path) -> None:
    plugin = installed(state, made.wagon("tried"), tenant="acme")
    marker = Path(plugin.folder, MARKER)
    before = marker.read_text()
    reason = refused(state, made.wagon("tried"), tenant="acme")
    assert reason.startswith(
        f"tried 1.0 is there already, in {plugin.folder}; give a changed one another version"
    )
    assert reason.endswith("conductor-hooks plugins remove tried 1.0 --tenant acme")
    assert marker.read_text() == before
    assert installed(state, made.wagon("tried")).tenant is None
    assert refused(state, made.wagon("tried")).endswith("conductor-hooks plugins remove tried 1.0")


def test_it_becomes_visible_only_when_all_is_there(
    made: Made, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def sync() -> None:
        seen.append((plugins_of(state).all(), os.path.exists(state / "plugins/_global/tried/1.0/bin")))

    monkeypatch.setattr(os, "sync", sync)
    installed(state, made.wagon("tried"))
    assert seen == [([], True)]


def test_what_an_interrupted_upload_has_left_is_cleared_by_the_next_of_any_plugin(
    made: Made, state: Path
) -> None:
    for name in ("_global/tried/1.0/bin/python", "acme/other/2.0/x", ".scratch/x"):
        left = state / "plugins" / name
        left.parent.mkdir(parents=True)
        left.touch()
    (state / "plugins/README").touch()
    (state / "plugins/_global/tried/note").touch()
    plugin = installed(state, made.wagon("tried"))
    assert left_in(state) == ["README", "_global/tried/note"]
    assert plugins_of(state).all() == [plugin]


def test_what_an_interrupted_making_of_cloudify_common_has_left_is_cleared(
    made: Made, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    left = state / COMMON / TAG / "bin/python"
    left.parent.mkdir(parents=True)
    left.write_text("half")
    plugin = installed(state, made.wagon("tried"), wheels=made.wheels)
    assert look(plugin) == Health((), "9.9")


def test_an_interpreter_of_hooks_conf_makes_the_environment(
    made: Made, state: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(other)], check=True)
    [site_packages] = other.glob("lib/*/site-packages")
    (site_packages / "of_other.py").touch()
    plugin = installed(state, made.wagon("tried"), python=str(other / "bin/python"))
    program = "import importlib.util as u; print(u.find_spec('of_other'))"
    assert run_in(plugin, program) == "None"


def test_a_second_upload_waits_until_the_first_has_ended(state: Path) -> None:
    told: list[str] = []
    entered = threading.Event()

    def second() -> None:
        with working(str(state), told.append):
            entered.set()

    thread = threading.Thread(target=second)
    with working(str(state), told.append):
        thread.start()
        wait_for("the second to say that it waits", lambda: told)
        assert not entered.is_set()
    thread.join(30)
    assert entered.is_set()
    assert told == [
        f"waiting for process {os.getpid()} or the programs it left, which change plugins here; who has"
        f" {state}/plugins/.lock open (fuser) can be ended"
    ]


def test_programs_that_a_killed_upload_has_left_keep_others_waiting(state: Path) -> None:
    holder = "import fcntl, os, sys, time; print('held', flush=True); sys.stdin.read()"
    with working(str(state), lambda _: None) as workshop:
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


def test_pip_holds_the_lock(made: Made, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = []

    def popen(command: list[str], **options: object) -> subprocess.Popen[bytes]:
        if "install" in command or "venv" in command:
            held.append(options["pass_fds"] != ())
        return original(command, **options)  # type: ignore[call-overload, no-any-return]

    original = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", popen)
    installed(state, made.wagon("tried"))
    assert held == [True, True]


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
    assert plugins_of(state).all() == []
    assert os.path.exists(plugin.python)
    plugin = installed(state, made.wagon("tried"))
    remove(plugin)
    assert os.listdir(state / "plugins") == [".lock"]


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "plugins").touch()
    with (
        pytest.raises(HooksError, match=rf"^the plugins in {tmp_path}/plugins could not be changed: "),
        working(str(tmp_path), lambda _: None),
    ):
        pytest.fail("there is no such folder")


def test_a_copy_of_what_nobody_may_write_to_is_cleared_away(made: Made, state: Path) -> None:
    """Root may do anything, so it is done as somebody else."""
    plugins = state / "plugins"
    sealed = plugins / ".scratch/source/sealed"

    def leave_and_clear() -> None:
        (sealed / "inner").mkdir(parents=True)
        (sealed / "link").symlink_to("/")
        sealed.chmod(0o500)
        with working(str(state), lambda _line: None) as workshop:
            assert os.listdir(workshop.scratch) == []
            (sealed / "inner").mkdir(parents=True)
            sealed.chmod(0o500)
        assert not (plugins / ".scratch").exists()

    plugins.mkdir()
    as_somebody_else(leave_and_clear, plugins)
    assert os.listdir(plugins) == [".lock"]
    assert left_in(state) == []


def as_somebody_else(work: Callable[[], None], folder: Path) -> None:
    """Do it as nobody where we are root, in a process of its own, to whom the folder is given."""
    if os.geteuid() != 0:
        work()
        return
    for above in folder.parents:
        if above.stat().st_uid == 0 and not above.stat().st_mode & 0o001:
            above.chmod(above.stat().st_mode | 0o011)
    os.chown(folder, NOBODY, NOBODY)
    child = os.fork()
    if child == 0:
        try:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
