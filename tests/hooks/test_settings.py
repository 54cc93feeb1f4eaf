"""The section `listener:` of hooks.conf: every setting, its default, and what a wrong one is told."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from listener.hooks.conf import read
from listener.hooks.settings import ListenerSettings, RestService

HOST = "manager: {rest_host: localhost, rest_cert: "


def settings_of(section: str, **env: str) -> ListenerSettings:
    table, mistakes = read(f"listener: {section}", env=env, folder="/")
    assert table is not None
    assert mistakes == []
    return table.listener


def findings(section: str) -> list[tuple[int, str, bool]]:
    """Line, text and whether it is only a warning, of all that is wrong or doubtful."""
    _, mistakes = read(f"listener:\n{section}", env={}, folder="/nowhere")
    return [(mistake.line, mistake.text, mistake.is_warning) for mistake in mistakes]


def test_every_setting_is_read() -> None:
    section = f"""
  state_dir: /var/lib/conductor-hooks
  python: {sys.executable}
  python_path: [/usr, /opt]
  durability: power
  keep_days: 7
  keep_entries: 1000
  wait_for_retries: 60
  plugins: /opt
  manager: {{rest_host: manager, rest_port: 8443, rest_protocol: http, rest_cert: {__file__}}}
  child_memory: 256
  metrics: /tmp/conductor-hooks.prom
  log_format: json
  log_level: warning
"""
    assert settings_of(section) == ListenerSettings(
        state_dir="/var/lib/conductor-hooks",
        python=sys.executable,
        python_path=("/usr", "/opt"),
        durability="power",
        keep_days=7.0,
        keep_entries=1000,
        wait_for_retries=60.0,
        plugins="/opt",
        manager=RestService("manager", 8443, "http", __file__),
        child_memory=256,
        metrics="/tmp/conductor-hooks.prom",
        log_format="json",
        log_level="warning",
    )


@pytest.mark.parametrize("section", ["", "{}"])
def test_what_is_not_set_has_its_default(section: str) -> None:
    assert settings_of(section) == ListenerSettings(
        None, None, (), "process", 30.0, 1_000_000, 900.0, None, None, None, None, "text", "debug"
    )


def test_relative_paths_start_at_the_folder_of_hooks_conf(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    table, mistakes = read("listener: {python_path: code, state_dir: state}", env={}, folder=tmp_path)
    assert table is not None and mistakes == []
    assert table.listener == ListenerSettings(f"{tmp_path}/state", None, (f"{tmp_path}/code",))


def test_an_interpreter_may_be_named_as_in_a_shell() -> None:
    folder, name = os.path.split(sys.executable)
    beside = os.path.relpath(sys.executable, "/")
    assert settings_of(f"{{python: {name}}}", PATH=folder).python == sys.executable
    assert settings_of(f"{{python: {beside}}}").python == sys.executable


@pytest.mark.parametrize(
    ("setting", "mistake"),
    [
        ("statedir: /x", "listener has the unknown key 'statedir'; did you mean 'state_dir'?"),
        ("state_dir: 5", "'state_dir' must be a path, found 5"),
        ("state_dir:", "'state_dir' must be a path, found nothing"),
        ('python: "a\\0b"', "'python' must be a path, found the text 'a\\x00b'"),
        ("plugins: [a]", "'plugins' must be a path, found a list"),
        ("python_path: []", "'python_path' is an empty list; name at least one"),
        ("python_path: [/usr, 5]", "'python_path' must be a path, found 5"),
        ("child_memory: 63", "'child_memory' must be a whole number from 64 to 1048576, found 63"),
        ("durability: ''", "'durability' must be process or power, found an empty text"),
        ("metrics: 5", "'metrics' must be a path, found 5"),
        ("metrics: /tmp/x", "'metrics' must end in .prom, or node_exporter does not read it"),
        ("keep_days: 0", "'keep_days' must be a number of days from 0.01 to 36500, found 0"),
        ("keep_entries: 0", "'keep_entries' must be a whole number from 1 to 100000000, found 0"),
        (
            "wait_for_retries: -1",
            "'wait_for_retries' must be a number of seconds from 0.01 to 86400, found -1",
        ),
        (
            "manager: localhost",
            "'manager' must be a mapping with 'rest_host', found the text 'localhost'",
        ),
        ("manager: {}", "'manager' has no 'rest_host'; add it"),
        (f"{HOST}{__file__}, rest_port: 0}}",
         "'manager': 'rest_port' must be a port from 1 to 65535, found 0"),
        (f"{HOST}{__file__}, rest_protocol: ftp}}",
         "'manager': 'rest_protocol' must be https or http, found the text 'ftp'"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_a_mistake_at_its_line(setting: str, mistake: str) -> None:
    expected = f"listener: {mistake}" if mistake.startswith("'") else mistake
    assert findings(f"  {setting}\n") == [(2, expected, False)]


@pytest.mark.parametrize(
    ("setting", "warning"),
    [
        ("python: /nowhere/python", "'python': '/nowhere/python' is not there or not executable"),
        ("python: /usr", "'python': '/usr' is not there or not executable"),
        ("python: no-such-python", "'python': 'no-such-python' is not there or not executable"),
        ("python_path: [/usr, hooks]", "'python_path': there is no '/nowhere/hooks'"),
        ("plugins: /nowhere/plugins", "'plugins': there is no '/nowhere/plugins'"),
        (
            f"{HOST}cert.pem}}",
            "'manager': there is no certificate '/nowhere/cert.pem'; cloudify needs one, also over"
            " http: name it with 'rest_cert'",
        ),
    ],
)
def test_what_is_not_there_is_a_warning_and_still_in_force(setting: str, warning: str) -> None:
    assert findings(f"  {setting}\n") == [(2, f"listener: {warning}", True)]
    table, _ = read(f"listener: {{{setting}}}", env={}, folder="/nowhere")
    assert table is not None
    assert table.listener != ListenerSettings()
