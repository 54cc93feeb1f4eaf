"""plugins upload, list and remove, as whoever moves plugins over from a manager uses them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from listener.cli import command
from listener.interpreters.plugins import MARKER
from listener.interpreters.plugins.source import COMMON
from tests.faults.processes import is_gone
from tests.interpreters.plugins.uploads import Made, installed
from tests.privileges import NOBODY
from tests.support import shown_at_terminal, uncounted_env, wait_for


def run(*arguments: str | Path, stdin: str = "") -> Result:
    """The verb in this process, with a hooks.conf that is not there unless one is named."""
    words = list(map(str, arguments))
    if "--config" not in words:
        words += ["--config", "/dev/null"]
    return CliRunner().invoke(command, ["plugins", *words], input=stdin)


def listed(*arguments: str | Path) -> list[dict[str, Any]]:
    result = run("list", "--output", "json", *arguments)
    assert result.exit_code == 0, result.stderr
    answer: list[dict[str, Any]] = json.loads(result.stdout)
    return answer


def failed(result: Result, status: int = 2) -> str:
    """The one line that says why."""
    assert (result.exit_code, result.stdout) == (status, "")
    return result.stderr.splitlines()[-1]


def test_upload_makes_a_plugin_and_prints_it(made: Made, state: Path) -> None:
    wagon = made.wagon("tried")
    result = run("upload", wagon, "--output", "json")
    assert result.exit_code == 0, result.stderr
    [plugin] = json.loads(result.stdout)
    assert plugin["size_bytes"] > 10_000
    assert plugin["cloudify_common"].startswith("7.")
    expected = {
        "name": "tried",
        "version": "1.0",
        "runs": True,
        "tenant": None,
        "size_bytes": plugin["size_bytes"],
        "cloudify_common": plugin["cloudify_common"],
        "problems": [],
        "folder": str(state / "plugins/_global/tried/1.0"),
    }
    assert plugin == expected
    assert listed() == [expected]
    assert f"{COMMON} {plugin['cloudify_common']} is provided by {state}" in result.stderr
    assert "installing tried 1.0 for Python 3." in result.stderr


def test_all_answers_go_to_stdout_and_all_else_to_stderr(made: Made, state: Path) -> None:
    verb = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "listener",
        "plugins",
        "upload",
        str(made.wagon("tried")),
    ]
    words = [*verb, "--output", "json", "--config", "/dev/null"]
    result = subprocess.run(words, capture_output=True, text=True, check=True)
    assert [plugin["name"] for plugin in json.loads(result.stdout)] == ["tried"]
    assert len(result.stderr.splitlines()) == 2
    assert sorted(os.listdir(state / "plugins")) == [".lock", "_global"]


def test_list_is_a_table_that_tells_which_runs_and_what_is_wrong(made: Made, state: Path) -> None:
    for version in ("1.0", "1.33", "1.9"):
        installed(state, made.wagon("tried", version))
    broken = installed(state, made.wagon("tried"), tenant="acme")
    Path(broken.python).unlink()
    result = run("list")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    common = listed()[0]["cloudify_common"]
    assert lines[0] == "name version runs tenant size cloudify-common health"
    for line, start in zip(
        lines[1:], ["1.33 yes (all)", "1.9 (all)", "1.0 (all)", "1.0 yes acme"], strict=False
    ):
        assert line.startswith(f"tried {start} 0.")
    assert [line.rpartition(" MB ")[2] for line in lines[1:4]] == [f"{common} ok"] * 3
    assert lines[4].rpartition(" MB ")[2].startswith("its interpreter does not work:")
    assert [plugin["runs"] for plugin in listed()] == [True, False, False, True]


def test_no_plugins_are_said_to_be_none_and_where(tmp_path: Path) -> None:
    result = run("list")
    assert (result.exit_code, result.stderr) == (0, f"no plugin in {tmp_path}/state/plugins\n")
    assert listed() == []
    assert not (tmp_path / "state").exists()


def test_the_state_directory_and_the_interpreter_are_those_of_hooks_conf(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONDUCTOR_HOOKS_STATE_DIR")
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    conf = tmp_path / "hooks.conf"
    conf.write_text(f"listener: {{state_dir: {tmp_path}/elsewhere, python: {python}}}\n")
    result = run("upload", made.wagon("tried"), "--wheels", made.wheels, "--config", conf)
    assert result.exit_code == 0, result.stderr
    [plugin] = listed("--config", conf)
    assert plugin["folder"] == f"{tmp_path}/elsewhere/plugins/_global/tried/1.0"
    assert plugin["cloudify_common"] == "9.9"
    assert f"made the state directory {tmp_path}/elsewhere, for the user who must" in result.stderr
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o700
    conf.write_text(f"listener: {{state_dir: {tmp_path}/elsewhere, python: /none/python}}\n")
    assert "/none/python" in failed(run("upload", made.wagon("tried"), "--config", conf))


def test_a_hooks_conf_that_is_named_and_not_there_is_no_empty_one(made: Made, state: Path) -> None:
    expected = "Error: /none/hooks.conf does not exist; name a hooks.conf with --config"
    for words in (["list"], ["upload", made.wagon("tried")], ["remove", "tried"]):
        assert failed(run(*words, "--config", "/none/hooks.conf")) == expected
    assert not (state / "plugins").exists()


def test_a_tenant_and_a_plugin_yaml_can_be_named(made: Made, state: Path, tmp_path: Path) -> None:
    named = tmp_path / "plugin.yaml"
    named.write_text("plugins: {x: {executor: host_agent}}")
    reason = failed(run("upload", made.wagon("tried"), "--plugin-yaml", named))
    assert reason.startswith(
        f"Error: {named}: plugin 'x' has the executor host_agent, and hooks run only"
    )
    named.write_text("plugins: {x: {executor: central_deployment_agent}}")
    result = run("upload", made.wagon("tried"), "--plugin-yaml", named, "--tenant", "acme")
    assert result.exit_code == 0, result.stderr
    assert [plugin["tenant"] for plugin in listed()] == ["acme"]
    assert (state / "plugins/acme/tried/1.0" / MARKER).exists()


@pytest.mark.parametrize(
    "tenant", ["", "..", "a/b", "_global", ".a", "-a", "1a", "a b", "\u00e4", "a" * 256]
)
def test_what_is_no_tenant_is_refused(tenant: str) -> None:
    for result in (run("upload", "x.wgn", "--tenant", tenant), run("remove", "x", "--tenant", tenant)):
        assert failed(result).endswith(
            f"{tenant!r} is no tenant's name, which is a letter, then letters, digits, '.', '_' and"
            " '-'; leave --tenant out for all tenants"
        )


@pytest.mark.parametrize("option", [[], ["--plugin-yaml", "none.yaml"]])
def test_a_file_that_is_not_there_is_named(made: Made, option: list[str]) -> None:
    path = made.wagon("tried") if option else "none.wgn"
    reason = failed(run("upload", path, *option))
    missing = option[-1] if option else "none.wgn"
    assert f"{missing} cannot be read: No such file or directory" in reason


def test_remove_takes_one_version_or_asks_before_it_takes_all(made: Made, state: Path) -> None:
    for version in ("1.0", "1.33", "1.9"):
        installed(state, made.wagon("tried", version))
    assert run("remove", "tried", "1.33").stderr == "removed tried 1.33\n"
    assert [(plugin["version"], plugin["runs"]) for plugin in listed()] == [
        ("1.9", True),
        ("1.0", False),
    ]
    asked = run("remove", "tried", stdin="n\n")
    assert asked.exit_code == 1
    assert asked.stderr.startswith("remove 2 versions of tried, 1.9, 1.0? [y/N]: ")
    assert len(listed()) == 2
    assert run("remove", "tried", "--yes").stderr == "removed tried 1.9, 1.0\n"
    assert listed() == []
    assert os.listdir(state / "plugins") == [".lock"]


def test_remove_asks_nothing_for_the_only_version_and_takes_the_tenants_own(
    made: Made, state: Path
) -> None:
    for tenant in (None, "acme"):
        installed(state, made.wagon("tried"), tenant=tenant)
    assert run("remove", "tried", "--tenant", "acme").exit_code == 0
    assert [plugin["tenant"] for plugin in listed()] == [None]


def test_remove_names_the_hooks_that_run_in_what_is_removed(
    made: Made, state: Path, tmp_path: Path
) -> None:
    for version in ("1.0", "1.9"):
        installed(state, made.wagon("tried", version))
    conf = tmp_path / "hooks.conf"
    hook = "{{name: {}, event_type: '*', implementation: {}.tasks.version, enabled: {}}}"
    lines = [
        hook.format("first", "tried.tried", "true"),
        hook.format("resting", "tried.tried", "false"),
        hook.format("other", "others.tried", "true"),
    ]
    conf.write_text(f"hooks: [{', '.join(lines)}]")
    assert run("remove", "tried", "1.0", "--config", conf).stderr == "removed tried 1.0\n"
    assert run("remove", "tried", "--config", conf).stderr == (
        "warning: hooks of hooks.conf run in what is removed: 'first'\nremoved tried 1.9\n"
    )


def test_cloudify_common_is_renewed_for_all_plugins_or_stays_as_it_was(
    made: Made, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    plugin = installed(state, made.wagon("tried"), wheels=made.wheels)
    marker = Path(plugin.folder, MARKER)
    before = marker.stat().st_mtime_ns
    (tmp_path / "empty").mkdir()
    assert "cannot be had" in failed(run("renew-common", "--wheels", tmp_path / "empty"))
    assert [each["cloudify_common"] for each in listed()] == ["9.9"]
    assert marker.stat().st_mtime_ns == before
    result = run("renew-common", "--wheels", made.wheels_with_common("9.10"), "--output", "json")
    assert [(each["cloudify_common"], each["problems"]) for each in json.loads(result.stdout)] == [
        ("9.10", [])
    ]
    assert result.stderr.startswith(f"getting {COMMON} for ")
    assert marker.stat().st_mtime_ns > before  # by which its warm child is replaced
    assert sorted(os.listdir(state / "plugins")) == [".lock", "_global"]
    assert len(os.listdir(state / COMMON)) == 1


def test_cloudify_common_can_be_got_before_there_is_a_plugin(made: Made, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    result = run("renew-common", "--wheels", made.wheels, "--output", "json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])
    [folder] = (tmp_path / "state" / COMMON).iterdir()
    assert (folder / MARKER).exists()


def test_remove_of_what_is_not_there_is_exit_1_and_names_the_nearest(made: Made, state: Path) -> None:
    assert failed(run("remove", "tried"), 1) == "there is no plugin tried; no plugin was uploaded"
    installed(state, made.wagon("tried"))
    expected = {
        ("treid",): "there is no plugin treid; did you mean 'tried'?",
        ("fabric", "2.0"): "there is no plugin fabric 2.0; known are: tried",
        ("tried", "1.1"):
            "there is no plugin tried 1.1 for all tenants; of tried there is 1.0 for all tenants",
        ("tried", "--tenant", "acme"):
            "there is no plugin tried for tenant acme; of tried there is 1.0 for all tenants",
    }  # fmt: skip
    for words, line in expected.items():
        assert failed(run("remove", *words), 1) == line
    assert len(listed()) == 1


def test_remove_without_a_state_directory_makes_none(tmp_path: Path) -> None:
    reason = failed(run("remove", "tried"))
    assert reason == (
        f"Error: there is no state directory {tmp_path}/state; name the right one with --state-dir"
    )
    assert not (tmp_path / "state").exists()


# Whose rights are taken


def run_at(
    folder: Path, *words: str | Path, as_nobody: bool = False
) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [
        folder / "venv/bin/python", "-m", "listener", "plugins", *words, "--config", "/dev/null",
    ]  # fmt: skip
    env = {**uncounted_env(), "CONDUCTOR_HOOKS_STATE_DIR": str(folder / "state"), "HOME": "/root"}
    user: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if as_nobody else {}
    return subprocess.run(
        command, env=env, cwd="/", capture_output=True, text=True, check=False, **user
    )


def test_what_root_uploads_belongs_to_the_owner_and_runs_with_his_rights(
    made: Made, nobodys: Path
) -> None:
    wagon = made.wagon("tried")
    wagon.chmod(0o600)  # which root alone can read
    result = run_at(nobodys, "upload", wagon, "--wheels", nobodys / "wheels", "--output", "json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)[0]["problems"] == []
    everything = [nobodys / "state", *(nobodys / "state").rglob("*")]
    assert len(everything) > 20
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in everything} == {(NOBODY, NOBODY)}
    again = run_at(nobodys, "list", "--output", "json", as_nobody=True)
    assert json.loads(again.stdout) == json.loads(result.stdout)
    [init] = (nobodys / "state" / COMMON).rglob("cloudify/__init__.py")
    init.write_text("import os; raise SystemError(os.getresuid())")
    [plugin] = json.loads(run_at(nobodys, "list", "--output", "json").stdout)
    uids = (NOBODY, NOBODY, NOBODY)
    assert plugin["problems"] == [f"cloudify cannot be imported: SystemError: {uids}"]
    assert run_at(nobodys, "remove", "tried").stderr == "removed tried 1.0\n"
    assert os.listdir(nobodys / "state/plugins") == [".lock"]


def test_a_wheels_folder_that_the_owner_cannot_read_is_named(made: Made, nobodys: Path) -> None:
    (nobodys / "of-root").mkdir(0o700)
    result = run_at(nobodys, "upload", made.wagon("tried"), "--wheels", nobodys / "of-root")
    assert result.returncode == 2
    assert result.stderr == (
        f"Error: {nobodys}/of-root cannot be read: Permission denied; it must be readable by the owner"
        " of the state directory, the listener's user, whose rights are taken here\n"
    )


def test_who_may_not_look_into_the_state_directory_is_told_so(nobodys: Path) -> None:
    os.chown(nobodys / "state", 0, 0)
    result = run_at(nobodys, "list", as_nobody=True)
    assert result.returncode == 2
    assert f"{nobodys}/state cannot be read: Permission denied" in result.stderr


def test_at_a_terminal_each_step_of_an_upload_shows_how_long_it_takes(made: Made, state: Path) -> None:
    command = [sys.executable, "-m", "listener", "plugins", "upload", "--config", "/dev/null"]
    lines = shown_at_terminal([*command, made.wagon("tried")], columns=80, stream="stderr")
    plain = "\n".join(lines)
    assert re.search(r"0:00:\d\d cloudify-common 7\S+ is provided by ", plain), plain
    assert re.search(r"0:00:\d\d installing tried 1\.0 for Python ", plain), plain


HANGS = """
import os, pathlib, time
pathlib.Path({note!r}).write_text(str(os.getpid()))
time.sleep(600)
"""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_an_upload_that_is_told_to_end_ends_what_it_has_started(
    signum: signal.Signals, state: Path, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    (tmp_path / "hanging").mkdir()
    (tmp_path / "hanging/setup.py").write_text(HANGS.format(note=str(note)))
    command = [sys.executable, "-m", "listener", "plugins", "upload", "--config", "/dev/null"]
    with subprocess.Popen(
        [*command, tmp_path / "hanging"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for("its setup.py", lambda: note.exists() and note.read_text() != "")
        process.send_signal(signum)
        answer, told = process.communicate(timeout=30)
    assert (process.returncode, answer, told.splitlines()[-1]) == (1, "", "Aborted!")
    wait_for("the end of its setup.py", lambda: is_gone(int(note.read_text())))
    assert os.listdir(state / "plugins") == [".lock"]


def test_a_wheels_folder_that_is_not_there_is_named(made: Made, state: Path) -> None:
    reason = failed(run("upload", made.wagon("tried"), "--wheels", state / "none"))
    assert reason == f"Error: there is no {state}/none; name a folder that is there"


def test_the_newest_version_is_removed_last_and_the_tenant_named(
    made: Made, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("1.0", "1.9", "1.33"):
        installed(state, made.wagon("tried", version), tenant="acme")
    removed: list[str] = []
    monkeypatch.setattr(
        "listener.interpreters.plugins.upload.remove", lambda plugin: removed.append(plugin.version)
    )
    result = run("remove", "tried", "--tenant", "acme", "--yes")
    assert removed == ["1.0", "1.9", "1.33"]
    assert result.stderr == "removed tried 1.33, 1.9, 1.0 of tenant acme\n"


def test_a_source_folder_that_the_owner_cannot_read_is_named(nobodys: Path) -> None:
    (nobodys / "source").mkdir(0o700)
    result = run_at(nobodys, "upload", nobodys / "source")
    assert result.returncode == 2
    assert result.stderr.startswith(
        f"Error: {nobodys}/source cannot be read: Permission denied; it must"
    )


def test_a_command_that_the_owner_cannot_run_is_named(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, _mode: path != os.__file__)
    assert failed(run("list")) == (
        f"Error: {os.__file__} cannot be read by the owner of the state directory, as whom this goes"
        " on: install conductor-hooks, and its Python, where that user can read them"
    )
