"""The group of all verbs: what each accepts, and what a mistake of usage gives."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from listener.cli import command
from listener.hooks.file import DEFAULT_CONFIG

VERBS = command.list_commands(click.Context(command))


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("plugins", "keys")])
def test_every_verb_explains_itself_and_accepts_the_common_options(verb: str) -> None:
    result = CliRunner().invoke(command, [verb, "--help"])
    assert result.exit_code == 0
    options = ["--config", "--state-dir"]
    if verb not in ("listen", "forward", "emit", "demo", "report"):
        options.append("--output")
    assert [option for option in options if option not in result.output] == []
    lines = [line for line in result.output.splitlines() if "[default: /" not in line]
    assert max(map(len, lines)) <= 80


def test_the_help_shows_the_paths_that_are_taken_here_and_now(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONDUCTOR_HOOKS_STATE_DIR")
    hooks_conf = folder / "hooks.conf"

    def defaults() -> list[str]:
        shown = CliRunner().invoke(command, ["history", "--help"], terminal_width=80).output
        assert max(map(len, shown.splitlines())) <= max(80, len(f"{25 * ' '}[default: {hooks_conf}]"))
        return [line.strip() for line in shown.splitlines() if line.strip().startswith("[default: ")]

    hooks_conf.write_text("listener: {state_dir: my-state}")
    assert defaults() == [f"[default: {hooks_conf}]", f"[default: {folder}/my-state]"]
    hooks_conf.write_text("]")
    assert defaults()[1] == "[default: in hooks.conf, which has a mistake]"
    monkeypatch.setenv("CONDUCTOR_HOOKS_STATE_DIR", "/elsewhere")
    monkeypatch.delenv("CONDUCTOR_HOOKS_CONFIG")
    assert defaults() == [f"[default: {DEFAULT_CONFIG}]", "[default: /elsewhere]"]


@pytest.mark.parametrize(
    "arguments",
    [
        "history --limit 0",
        "history --limit many",
        "history --state broken",
        "history --since yesterday",
        "history 4711",
        "history --destinations --since 1h",
        "history --destinations --state failed",
        "history --destinations --event-type workflow_failed",
        "history --destinations --execution e",
        "history --destinations --follow",
        "show",
        "show x",
        "show 1 2",
        "drop",
        "drop x",
        "replay --failed --since yesterday",
        "no-such-verb",
    ],
)
def test_wrong_usage_is_exit_2(arguments: str) -> None:
    result = CliRunner().invoke(command, arguments.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage: " in result.stderr
