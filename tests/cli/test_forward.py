"""forward and emit --amqp, as a person at a shell uses them where there is no broker."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.commands import run

NO_PIKA = """
raise ModuleNotFoundError("No module named 'pika'", name="pika")
"""


@pytest.fixture
def without_pika(folder: Path) -> None:
    """The import of pika fails, as where it is not installed."""
    (folder / "pika.py").write_text(NO_PIKA)


@pytest.mark.usefixtures("without_pika")
@pytest.mark.parametrize("arguments", [["forward"], ["emit", "workflow_failed", "--amqp"]])
def test_without_pika_it_is_said_what_to_install(arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "Error: pika is not installed, which RabbitMQ needs; in the checkout, run"
        f" {sys.executable} -m pip install '.[rabbitmq]'\n"
    )


@pytest.mark.usefixtures("without_pika")
@pytest.mark.parametrize("arguments", [["check"], ["emit", "workflow_failed"], ["forward", "--help"]])
def test_no_other_verb_needs_pika(folder: Path, arguments: list[str]) -> None:
    (folder / "hooks.conf").write_text("hooks: []\nforward: {hosts: broker}\n")
    assert run(*arguments).returncode == 0


def test_a_mistake_in_its_section_keeps_emit_from_sending(folder: Path) -> None:
    (folder / "hooks.conf").write_text("forward: {prefetch: 0}")
    result = run("emit", "workflow_failed", "--amqp")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "Error: hooks.conf, line 1: forward: 'prefetch' must be a whole number from 1 to 10000,"
        " found 0\n"
    )


def test_where_no_broker_is_known_emit_says_where_to_name_one(folder: Path) -> None:
    (folder / "broker.json").write_text("{}")
    (folder / "hooks.conf").write_text("forward: {broker_config: broker.json}")
    result = run("emit", "workflow_failed", "--amqp")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: no broker is known: name its 'hosts' in the section")
