"""The log: what a line looks like, and when it is written."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Iterator

import pytest

from listener import log

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (\w+) (.*)\n")
_log = logging.getLogger("listener.test")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The log as the listener starts it, with no handler of pytest's beside it; its seconds."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    log.start()
    now_s = [17.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    log.flush()
    yield now_s
    log.flush()
    root.handlers = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("clock")
def test_a_line_waits_until_it_is_flushed_and_a_warning_does_not(
    capfd: pytest.CaptureFixture[str],
) -> None:
    _log.info("a hook, %s: %d", "done", 3)
    assert capfd.readouterr().err == ""
    _log.warning("two\nlines with %s", "ctok-secret-1")
    first, second, third = capfd.readouterr().err.splitlines(keepends=True)
    assert [LINE.fullmatch(line).groups() for line in (first, second)] == [  # type: ignore[union-attr]
        ("INFO", "a hook, done: 3"),
        ("WARNING", "two"),
    ]
    assert third == "    lines with ctok-…\n"
    try:
        raise LookupError("why")
    except LookupError:
        _log.exception("a defect")
    assert capfd.readouterr().err.endswith("\n    LookupError: why\n")


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_of_a_library_whose_arguments_do_not_fit_ends_nothing_and_takes_no_other_line(
    capfd: pytest.CaptureFixture[str], form: str
) -> None:
    log.set_form(form, "debug")
    _log.info("waits")
    logging.getLogger("library").warning("sent %d", "x")
    log.set_form("text", "debug")
    first, second = capfd.readouterr().err.splitlines()
    assert "waits" in first
    assert "sent %d ('x',)" in second


@pytest.mark.usefixtures("clock")
def test_no_terminal_obeys_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    _log.warning("my_hooks | %s", "10 %\r20 %\x1b[2J\x9b31m配置\nnext\u202e")
    assert capfd.readouterr().err.partition("| ")[2] == (
        "10 %\\r20 %\\x1b[2J\\x9b31m配置\n    next\\u202e\n"
    )


@pytest.mark.usefixtures("clock")
def test_a_hundred_lines_are_written_together(capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(99):
        _log.info("an event")
    assert capfd.readouterr().err == ""
    _log.info("an event")
    assert capfd.readouterr().err.count("\n") == 100


def test_while_events_follow_each_other_a_line_waits_for_50_ms(
    clock: list[float], capfd: pytest.CaptureFixture[str]
) -> None:
    for clock[0], written in ((17.02, 0), (17.049, 0), (17.051, 3), (17.06, 0)):
        _log.info("an event")
        log.flush_if_due()
        assert capfd.readouterr().err.count("\n") == written


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("seconds", "found", "waits", "written"),
    [(0.01, "", [0.01], 0), (2.0, "at once", [0.05], 0), (2.0, "", [0.05, 1.95], 1)],
)
def test_a_long_wait_writes_the_lines_first(
    capfd: pytest.CaptureFixture[str], seconds: float, found: str, waits: list[float], written: int
) -> None:
    asked: list[float] = []

    def wait(wait_s: float) -> str:
        asked.append(wait_s)
        return found

    _log.info("an inform was sent")
    assert log.flush_during(wait, seconds) == found
    assert asked == waits
    assert capfd.readouterr().err.count("\n") == written


@pytest.mark.usefixtures("clock")
def test_supervisord_finds_no_frame_in_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    _log.warning("my_hooks | %s", "<!--XSUPERVISOR:BEGIN-->{}<!--XSUPERVISOR:END-->")
    assert capfd.readouterr().err.endswith(" | <!-- XSUPERVISOR:BEGIN-->{}<!-- XSUPERVISOR:END-->\n")


@pytest.mark.usefixtures("clock")
def test_a_line_in_json_has_the_fields_of_what_it_is_about(capfd: pytest.CaptureFixture[str]) -> None:
    log.set_form("json", "info")
    about = log.about("execution é\x1b, entry 7", entry_id=7, execution_id=None)
    _log.info("<!--XSUPERVISOR:\n%s, %s", about, "ctok-secret-1", extra=log.extra(hook="page"))
    _log.error("no route", extra=log.extra("Traceback …"))
    try:
        raise LookupError("why")
    except LookupError:
        _log.exception("a defect")
    text = capfd.readouterr().err
    assert "\x1b" not in text and text.count("\n") == 3
    first, second, third = map(json.loads, text.splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    assert first == {
        "level": "INFO",
        "message": "<!-- XSUPERVISOR:\nexecution é\x1b, entry 7, ctok-…",
        "entry_id": 7,
        "hook": "page",
        "logger": "listener.test",
    }
    assert (second["message"], second["details"]) == ("no route", "Traceback …")
    assert third["message"] == "a defect"
    assert third["details"].endswith("\nLookupError: why")


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(("level", "shown"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_lines_below_the_level_are_left_out_whoever_logs_them(
    capfd: pytest.CaptureFixture[str], level: str, shown: int
) -> None:
    log.set_form("text", level)
    for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logging.getLogger("listener.interpreters").log(number, "printed")
        logging.getLogger("somebody").log(number, "of a library")
    log.flush()
    text = capfd.readouterr().err
    assert text.count("printed") == shown
    assert text.count("of a library") == min(shown, 2)


@pytest.mark.usefixtures("clock")
def test_a_log_that_cannot_be_written_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(_fd: int, _data: bytes) -> int:
        raise OSError("no space left")

    with monkeypatch.context() as full:
        full.setattr(os, "write", refuse)
        _log.warning("lost")
    _log.warning("written")
    assert capfd.readouterr().err.endswith("Z WARNING written\n")


@pytest.mark.parametrize(
    ("value", "shown"), [("x" * 100, "x" * 80), ("a\nb\x1b", "a\\nb\\x1b"), (None, "None"), (7, "7")]
)
def test_a_field_is_one_short_line_in_the_log(value: object, shown: str) -> None:
    assert log.loggable(value) == shown
