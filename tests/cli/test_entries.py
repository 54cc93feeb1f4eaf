"""How entries are found and described, in the one form that every verb prints."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import pytest

from listener.cli.entries import as_json, as_row, time_option
from listener.cli.place import Place
from listener.state import directory
from listener.state.journal import Journal
from tests.cli.commands import THEN, done, failed, new, run, run_as_stranger, store
from tests.users import open_to_others

ABOUT: dict[str, Any] = {"deployment_id": "d-1", "workflow_id": "heal", "tenant": {"name": "acme"}}
UNREADABLE = new("unreadable", event_type=None, received_at=THEN + 1, error="no JSON")


def since(value: str | None) -> float:
    return time_option(click.Context(click.Command("x")), click.Option(["--since"]), value)


@pytest.mark.parametrize(
    ("value", "age_s"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("7d", 604_800), ("0m", 0), ("9" * 14 + "d", 86_400e14)],
)
def test_a_time_is_a_span_before_now(value: str, age_s: float) -> None:
    assert since(value) == pytest.approx(time.time() - age_s, abs=60, rel=1e-9)


@pytest.mark.parametrize(
    ("value", "unix_time"),
    [
        ("2026-01-31", 1_769_817_600.0),
        ("2026-01-31T12:00", 1_769_860_800.0),
        ("2026-01-31 12:00:00", 1_769_860_800.0),
        ("2026-01-31T12:00:00.500", 1_769_860_800.5),
        ("2026-01-31T12:00Z", 1_769_860_800.0),
        ("2026-01-31T13:00+01:00", 1_769_860_800.0),
        (None, 0.0),
    ],
)
def test_a_time_is_utc_unless_it_says_more(
    monkeypatch: pytest.MonkeyPatch, value: str | None, unix_time: float
) -> None:
    monkeypatch.setenv("TZ", "XST-9")  # a machine nine hours east
    time.tzset()
    try:
        assert since(value) == unix_time
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


@pytest.mark.parametrize(
    "value", ["yesterday", "5", "30 m", "-5m", "1.5h", "", "2026-13-01", "9" * 400 + "s"]
)
def test_anything_else_is_refused_with_a_hint(value: str) -> None:
    with pytest.raises(click.BadParameter, match="write 30m, 2h, 7d or 2026-01-31T23:59"):
        since(value)


def test_an_entry_in_json_has_the_fields_of_the_design() -> None:
    nothing: dict[str, Any] = dict.fromkeys(
        ("event_type", "execution_id", "deployment_id", "tenant_name", "workflow_id")
    )
    assert as_json(UNREADABLE) == {
        **nothing,
        "id": None,
        "received_at": "2023-11-14T22:13:21.000Z",
        "source": "supervisord",
        "state": "unreadable",
        "error": "no JSON",
        "runs": [],
    }
    described = as_json(new("failed", runs=(done(), failed()), received_at=THEN + 0.123, **ABOUT))
    assert [run["hook"] for run in described.pop("runs")] == ["trap", "page"]
    assert described == {
        "id": None,
        "event_type": "workflow_failed",
        "execution_id": "e-1",
        "deployment_id": "d-1",
        "tenant_name": "acme",
        "workflow_id": "heal",
        "received_at": "2023-11-14T22:13:20.123Z",
        "source": "supervisord",
        "state": "failed",
        "error": None,
    }


def test_a_row_says_what_went_wrong() -> None:
    row = as_row(new("failed", runs=(done(), failed(error="no 配置")), received_at=THEN, **ABOUT))
    assert list(row.values()) == [
        0, "2023-11-14 22:13:20Z", "failed", "workflow_failed", "e-1", "d-1", "",
        "trap: done, page: failed (no 配置)",
    ]  # fmt: skip
    assert as_row(UNREADABLE)["hooks"] == "no JSON"


# The journal


@pytest.mark.parametrize("is_there", [False, True], ids=["no directory", "an empty one"])
def test_without_a_journal_it_is_said_what_to_do_and_nothing_is_made(
    tmp_path: Path, is_there: bool
) -> None:
    if is_there:
        (tmp_path / "state").mkdir()
    for verb in (["history"], ["show", "1"], ["drop", "1"], ["replay", "1"]):
        result = run(*verb)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == (
            f"Error: there is no journal in {tmp_path}/state: no listener has run with this state"
            " directory; name the right one, which the listener's log says at its start, with"
            " --state-dir or $CONDUCTOR_HOOKS_STATE_DIR\n"
        )
    assert [*tmp_path.rglob("*")] == ([tmp_path / "state"] if is_there else [])


def test_it_is_found_by_option_by_environment_and_by_hooks_conf(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(journal)
    config, secret = tmp_path / "hooks.conf", tmp_path / "secret.conf"
    config.write_text("listener: {state_dir: state}\nhooks: []\n")
    hook = "{event_type: workflow_failed, implementation: m.f, inputs: {a: !env NOT_SET}}"
    secret.write_text(f"hooks: [{hook}]\n")
    with click.Context(click.Command("x")):
        found = [Place().open_journal()]
        monkeypatch.setenv("CONDUCTOR_HOOKS_STATE_DIR", str(tmp_path / "elsewhere"))
        monkeypatch.chdir(tmp_path)
        found.append(Place(str(secret), "state").open_journal())
        monkeypatch.delenv("CONDUCTOR_HOOKS_STATE_DIR")
        found.append(Place(str(config)).open_journal())
        for opened, folder in found:
            assert (folder, opened.get(1)) == (str(tmp_path / "state"), journal.get(1))


def test_a_hooks_conf_that_cannot_be_used_does_not_hide_the_journal(
    tmp_path: Path,
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store(journal)
    (tmp_path / "hooks.conf").write_text("hooks: [")
    monkeypatch.delenv("CONDUCTOR_HOOKS_STATE_DIR", raising=False)
    monkeypatch.setattr(directory, "OF_THE_MACHINE", str(tmp_path / "state"))
    with click.Context(click.Command("x")):
        _, folder = Place(str(tmp_path / "hooks.conf")).open_journal()
    assert folder == str(tmp_path / "state")
    assert "invalid YAML" in (told := capsys.readouterr().err)
    assert told.endswith("\nso it names no state directory; --state-dir does\n")


@pytest.mark.parametrize("mode", [0o700, 0o755], ids=oct)
def test_the_journal_of_another_user_is_not_taken_for_none(
    tmp_path: Path, journal: Journal, mode: int
) -> None:
    store(journal)
    (tmp_path / "state").chmod(mode)
    with open_to_others(tmp_path):
        result = run_as_stranger("history")
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    for words in (f"{tmp_path}/state", "Permission denied; ", "listener's user"):
        assert words in result.stderr


def test_a_damaged_journal_is_an_error_of_one_line(tmp_path: Path, journal: Journal) -> None:
    store(journal)
    journal.close()
    (tmp_path / "state" / "journal.db").write_bytes(b"not what it was\n" * 1000)
    result = run("history")
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith(f"Error: the journal {tmp_path}/state/journal.db: ")
