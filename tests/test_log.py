"""The log: what a line looks like, and when it is written."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator

import pytest

from listener import log

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (\w+) (.*)\n")


@pytest.fixture
def ours_alone() -> Iterator[None]:
    """The log as the listener starts it: no handler of pytest's beside it."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    log.start()
    log.flush()
    yield
    log.flush()
    root.handlers = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("ours_alone")
@pytest.mark.parametrize("make", [logging.getLogger, log.logger])
def test_a_line_waits_for_a_pause_and_a_warning_does_not(
    make: type[logging.Logger], capfd: pytest.CaptureFixture[str]
) -> None:
    logger = make(f"listener.test.{make.__module__}.{make.__qualname__}")
    logger.info("a hook, %s: %d", "done", 3)
    log.settle()
    assert capfd.readouterr().err == ""
    logger.warning("two\nlines with %s", "ctok-secret-1")
    first, second, third = capfd.readouterr().err.splitlines(keepends=True)
    assert [LINE.fullmatch(line).groups() for line in (first, second)] == [  # type: ignore[union-attr]
        ("INFO", "a hook, done: 3"),
        ("WARNING", "two"),
    ]
    assert third == "    lines with ctok-…\n"


@pytest.mark.usefixtures("ours_alone")
def test_a_full_memory_of_lines_does_not_wait(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    log.flush()
    for _ in range(3):
        log.logger("listener.test.many").info("%s", "x" * 10_000)
        log.settle()
        assert capfd.readouterr().err == ""
    log.logger("listener.test.many").info("%s", "x" * 10_000)
    log.settle()
    assert capfd.readouterr().err.count("\n") == 4


@pytest.mark.usefixtures("ours_alone")
def test_while_events_follow_each_other_a_line_waits_for_50_ms(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [17.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    log.flush()
    for now_s[0], written in ((17.02, 0), (17.049, 0), (17.051, 3), (17.06, 0)):
        log.logger("listener.test.events").info("an event")
        log.settle()
        assert capfd.readouterr().err.count("\n") == written


def test_a_handler_of_somebody_else_gets_every_record(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "listener"):
        log.logger("listener.test.else").info("%s", os.name)
    assert caplog.messages == [os.name]


def test_loggers_of_others_stay_what_they_were() -> None:
    log.logger("listener.test.own")
    assert type(logging.getLogger("somebody")) is logging.Logger
