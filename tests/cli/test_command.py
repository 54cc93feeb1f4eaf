"""The group of all verbs: what each accepts, and what a mistake of usage gives."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from listener.cli import command

VERBS = command.list_commands(click.Context(command))


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "plugins"])
def test_every_verb_explains_itself_and_accepts_the_common_options(verb: str) -> None:
    result = CliRunner().invoke(command, [verb, "--help"])
    assert result.exit_code == 0
    options = ["--config", "--state-dir"]
    if verb not in ("listen", "forward", "emit", "demo", "report"):
        options.append("--output")
    assert [option for option in options if option not in result.output] == []


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
