"""plugins upload, list, remove and renew-common, as an operator who moves plugins over uses them.

Only an upload makes a whole plugin; for the other verbs a folder with the marker is one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from listener.cli import command
from listener.interpreters.plugins import GLOBAL, MARKER
from listener.interpreters.plugins.health import health_of
from listener.interpreters.plugins.source import COMMON
from tests.faults.processes import is_gone
from tests.support import uncounted_env, wait_for
from tests.users import NOBODY
from tests.wagons import Made, installed

COMMAND = [sys.executable, "-m", "listener", "plugins", "upload", "--config", "/dev/null"]


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


def put(tmp_path: Path, *versions: str, tenant: str = GLOBAL) -> None:
    """Folders that count as versions of the plugin `tried`; no interpreter is in them."""
    for version in versions:
        folder = tmp_path / "state/plugins" / tenant / "tried" / version
        folder.mkdir(parents=True)
        (folder / MARKER).touch()


def versions() -> list[str]:
    return [plugin["version"] for plugin in listed()]


def test_upload_makes_a_plugin_and_prints_it(made: Made, state: Path) -> None:
    result = run("upload", made.wagon("tried"), "--output", "json")
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
    provided, installing = result.stderr.splitlines()
    assert provided.startswith(f"{COMMON} {plugin['cloudify_common']} is provided by {state}")
    assert installing.startswith("installing tried 1.0 for Python 3.")
    row = run("list").stdout.splitlines()[1]
    assert row.split() == [
        "tried", "1.0", "yes", "(all)", f"{plugin['size_bytes'] / 1e6:.1f}", "MB",
        plugin["cloudify_common"], "ok",
    ]  # fmt: skip


def test_list_is_a_table_that_says_which_runs_and_what_is_wrong(tmp_path: Path) -> None:
    put(tmp_path, "1.0", "1.33", "1.9")
    put(tmp_path, "1.0", tenant="acme")
    lines = [" ".join(line.split()) for line in run("list").stdout.splitlines()]
    assert lines[0] == "name version runs tenant size cloudify-common health"
    starts = ["1.33 yes (all)", "1.9 (all)", "1.0 (all)", "1.0 yes acme"]
    for line, start in zip(lines[1:], starts, strict=True):
        assert line.startswith(f"tried {start} 0.0 MB its interpreter does not work: ")
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
    other = tmp_path / "other"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(other)], check=True)
    [site_packages] = other.glob("lib/*/site-packages")
    (site_packages / "of_other.py").touch()
    conf = tmp_path / "hooks.conf"
    conf.write_text(f"listener: {{state_dir: {tmp_path}/elsewhere, python: {other}/bin/python}}\n")
    result = run("upload", made.wagon("tried"), "--wheels", made.wheels, "--config", conf)
    assert result.exit_code == 0, result.stderr
    [plugin] = listed("--config", conf)
    assert plugin["folder"] == f"{tmp_path}/elsewhere/plugins/_global/tried/1.0"
    assert plugin["cloudify_common"] == "9.9"
    assert f"made the state directory {tmp_path}/elsewhere; its owner must also run" in result.stderr
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o700
    conf.write_text(f"listener: {{state_dir: {tmp_path}/elsewhere, python: /none/python}}\n")
    assert "/none/python" in failed(run("upload", made.wagon("tried"), "--config", conf))


def test_what_is_named_and_cannot_be_read_is_an_error(made: Made, state: Path) -> None:
    wagon = made.wagon("tried")
    for words in (["list"], ["upload", wagon], ["remove", "tried"]):
        assert failed(run(*words, "--config", "/none/hooks.conf")) == (
            "Error: /none/hooks.conf does not exist; name a hooks.conf with --config"
        )
    for words in (["/none.wgn"], [wagon, "--plugin-yaml", "/none.yaml"], [wagon, "--wheels", "/none"]):
        assert failed(run("upload", *words)).startswith(
            f"Error: {words[-1]} cannot be read: No such file or directory; name "
        )
    assert not (state / "plugins").exists()


def test_a_tenant_and_a_plugin_yaml_can_be_named(made: Made, state: Path, tmp_path: Path) -> None:
    named = tmp_path / "plugin.yaml"
    named.write_text("plugins: {x: {executor: host_agent}}")
    reason = failed(run("upload", made.wagon("tried"), "--plugin-yaml", named))
    assert reason.startswith(f"Error: {named}: plugin 'x' has the executor host_agent, and hooks run")
    named.write_text("plugins: {x: {executor: central_deployment_agent}}")
    result = run("upload", made.wagon("tried"), "--plugin-yaml", named, "--tenant", "acme")
    assert result.exit_code == 0, result.stderr
    assert [plugin["tenant"] for plugin in listed()] == ["acme"]
    assert (state / "plugins/acme/tried/1.0" / MARKER).exists()


@pytest.mark.parametrize("tenant", ["", "..", "a/b", "_global", ".a", "1a", "a b", "\u00e4", "a" * 256])
def test_a_text_that_is_no_tenant_is_refused(tenant: str) -> None:
    for result in (run("upload", "x.wgn", "--tenant", tenant), run("remove", "x", "--tenant", tenant)):
        assert failed(result).endswith(
            f"{tenant!r} is no tenant's name: that is a letter, then letters, digits, '.', '_' and '-';"
            " leave --tenant out for all tenants"
        )


def test_remove_takes_one_version_or_asks_before_it_takes_all(tmp_path: Path) -> None:
    put(tmp_path, "1.0", "1.33", "1.9")
    put(tmp_path, "1.0", tenant="acme")
    removed = run("remove", "tried", "1.33", "--output", "json")
    assert removed.stderr == "removed tried 1.33\n"
    assert [plugin["version"] for plugin in json.loads(removed.stdout)] == ["1.33"]
    of_tenant = run("remove", "tried", "--tenant", "acme")
    assert (of_tenant.stderr, of_tenant.stdout) == ("removed tried 1.0 of tenant acme\n", "")
    asked = run("remove", "tried", stdin="n\n")
    assert asked.exit_code == 1
    assert asked.stderr.startswith("remove 2 versions of tried, 1.9, 1.0? [y/N]: ")
    assert versions() == ["1.9", "1.0"]
    assert run("remove", "tried", "--yes").stderr == "removed tried 1.9, 1.0\n"
    assert versions() == []
    assert os.listdir(tmp_path / "state/plugins") == [".lock"]


def test_the_newest_version_is_removed_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "1.0", "1.9", "1.33")
    removed: list[str] = []
    monkeypatch.setattr(
        "listener.interpreters.plugins.upload.remove", lambda plugin: removed.append(plugin.version)
    )
    run("remove", "tried", "--yes")
    assert removed == ["1.0", "1.9", "1.33"]


def test_remove_names_the_hooks_that_run_in_what_is_removed(tmp_path: Path) -> None:
    put(tmp_path, "1.0", "1.9")
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


def test_remove_of_what_is_not_there_is_exit_1(tmp_path: Path) -> None:
    assert failed(run("remove", "tried")) == (
        f"Error: there is no state directory {tmp_path}/state; name the right one with --state-dir"
    )
    (tmp_path / "state").mkdir()
    put(tmp_path, "1.0")
    for words, what in {
        ("treid",): "treid was uploaded for all tenants",
        ("tried", "1.1"): "tried 1.1 was uploaded for all tenants",
        ("tried", "--tenant", "acme"): "tried was uploaded for tenant acme",
    }.items():
        assert (
            failed(run("remove", *words), 1)
            == f"no plugin {what}; conductor-hooks plugins list names all"
        )
    assert versions() == ["1.0"]


def test_cloudify_common_is_renewed_for_all_plugins_or_stays_as_it_was(
    made: Made, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    plugin = installed(state, made.wagon("tried"), wheels=made.wheels)
    marker = Path(plugin.folder, MARKER)
    before = marker.stat().st_mtime_ns
    (tmp_path / "empty").mkdir()
    assert "cannot be had" in failed(run("renew-common", "--wheels", tmp_path / "empty"))
    assert health_of(plugin).common_version == "9.9"
    assert marker.stat().st_mtime_ns == before
    result = run("renew-common", "--wheels", made.wheels_with_common("9.10"), "--output", "json")
    assert [(each["cloudify_common"], each["problems"]) for each in json.loads(result.stdout)] == [
        ("9.10", [])
    ]
    assert result.stderr.startswith(f"getting {COMMON} for ")
    assert marker.stat().st_mtime_ns > before  # so the next call starts a new interpreter
    assert sorted(os.listdir(state / "plugins")) == [".lock", "_global"]
    assert len(os.listdir(state / COMMON)) == 1


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_an_upload_that_is_told_to_end_ends_what_it_has_started(
    signum: signal.Signals, state: Path, tmp_path: Path
) -> None:
    python, note, conf = tmp_path / "python", tmp_path / "note", tmp_path / "hooks.conf"
    python.write_text(f"#!/bin/sh\necho $$ > {note}.new\nmv {note}.new {note}\nexec sleep 600\n")
    python.chmod(0o755)
    conf.write_text(f"listener: {{python: {python}}}\n")
    with subprocess.Popen(
        [*COMMAND, tmp_path, "--config", conf],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for("its interpreter, or its end", lambda: note.exists() or process.poll() is not None)
        process.send_signal(signum)
        try:
            answer, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, answer, said.splitlines()[-1]) == (1, "", "Aborted!")
    wait_for("the end of its interpreter", lambda: is_gone(int(note.read_text())))
    assert os.listdir(state / "plugins") == [".lock"]


# With the rights of the state directory's owner


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


def test_what_root_uploads_belongs_to_the_owner_and_runs_with_its_rights(
    made: Made, nobodys: Path
) -> None:
    wagon = made.wagon("tried")
    wagon.chmod(0o600)  # only root can read it
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


def test_a_folder_that_the_owner_cannot_read_is_named(made: Made, nobodys: Path) -> None:
    (nobodys / "of-root").mkdir(0o700)
    for words in ([made.wagon("tried"), "--wheels", nobodys / "of-root"], [nobodys / "of-root"]):
        result = run_at(nobodys, "upload", *words)
        assert result.returncode == 2
        assert result.stderr.startswith(f"Error: {nobodys}/of-root cannot be ")
        assert "Permission denied" in result.stderr


def test_an_installation_that_the_owner_cannot_read_is_named(nobodys: Path) -> None:
    (nobodys / "venv/lib").chmod(0o700)
    try:
        result = run_at(nobodys, "renew-common", "--wheels", nobodys / "wheels")
    finally:
        (nobodys / "venv/lib").chmod(0o755)
    [package] = (nobodys / "venv").glob("lib/*/site-packages/listener")
    assert result.returncode == 2
    assert result.stderr == (
        "Error: root continues as the owner of the state directory, who may not read"
        f" {package}; let that user read it, and pass through all folders above\n"
    )


def test_a_state_directory_that_cannot_be_read_is_named(nobodys: Path) -> None:
    os.chown(nobodys / "state", 0, 0)
    result = run_at(nobodys, "list", as_nobody=True)
    assert result.returncode == 2
    assert f"{nobodys}/state/plugins cannot be read: Permission denied" in result.stderr
