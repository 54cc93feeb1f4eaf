"""One notification to every hook that matches: the order, the funnel, the log.

The hooks.conf is a real file; the actions are doubles, since what they do is tested in actions/. The
original's four log lines are compared word for word, with their levels: operators search for them.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from listener import log
from listener.actions import Call, Fault
from listener.actions.registry import Actions
from listener.errors import ActionFailed, ActionTimedOut
from listener.hooks.table import Hook
from listener.hooks.watch import HooksFile
from listener.model.entry import Run
from listener.model.notification import Notification
from listener.state.journal import Journal
from tests.support import Settling, SettlingWithout, delivery_of

TOKEN = "ctok-AbCdEfGhIj-0123456789abcdefghijklmnopqrstuvwxyzABCD"

NOTIFICATION = Notification(
    "workflow_failed",
    {
        "execution_id": "x1",
        "workflow_id": "install",
        "deployment_id": "dep1",
        "rest_token": TOKEN,
        "tenant": {"name": "acme"},
    },
    "2024-08-12T13:16:13.123Z",
)
ABOUT = "execution x1, serial 7"
RECEIVED = "The hook consumer received `workflow_failed` event "


class Doubles(Actions):
    """Actions that end as they are told: a text is returned, an exception raised."""

    def __init__(self) -> None:
        self.ends: dict[str, str | BaseException] = {}
        self.calls: list[Call] = []

    def of(self, hook: Hook) -> Doubles:
        if hook.implementation == "no.action":
            raise LookupError("no action for it")
        return self

    def run(self, call: Call) -> str:
        self.calls.append(call)
        end = self.ends.get(call.hook.implementation, "")
        if isinstance(end, BaseException):
            raise end
        return end

    def check(self, hook: Hook, *, may_import: bool) -> list[Fault]:
        raise NotImplementedError


Start = Callable[..., Settling | SettlingWithout]
Dispatch = Callable[..., list[Run]]


@pytest.fixture
def actions() -> Doubles:
    return Doubles()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hooks.conf"


@pytest.fixture(params=["with a journal", "without one"])
def start(
    request: pytest.FixtureRequest, path: Path, actions: Doubles, tmp_path: Path
) -> Iterator[Start]:
    """Make what acts on deliveries, of both kinds that there are."""
    with ExitStack() as stack:

        def start(now: Callable[[], float] = time.time) -> Settling | SettlingWithout:
            hooks_file = HooksFile(path, {})
            if request.param == "without one":
                return SettlingWithout(hooks_file, actions, now=now)
            (tmp_path / "state").mkdir()
            journal = Journal(str(tmp_path / "state"))
            stack.enter_context(closing(journal))
            return Settling(hooks_file, actions, journal, now=now)

        yield start


@pytest.fixture
def dispatch(path: Path, start: Start) -> Dispatch:
    """Write a hooks.conf whose hooks have these implementations, and dispatch the notification."""

    def dispatch(*implementations: str) -> list[Run]:
        path.write_text(
            "hooks:\n" + "".join(map(hook_line, implementations)) if implementations else "{}"
        )
        return runs_of(start(now=lambda: 1234.5))

    return dispatch


def runs_of(
    dispatcher: Settling | SettlingWithout, notification: Notification = NOTIFICATION
) -> list[Run]:
    """What a dispatcher has done for a notification."""
    entry = dispatcher.act(delivery_of(notification))
    return list(entry.runs) if entry is not None else []


def hook_line(implementation: str) -> str:
    name = f"{implementation}-hook"
    return f"- {{name: {name}, event_type: workflow_failed, implementation: {implementation}}}\n"


@pytest.fixture(autouse=True)
def all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Level and text of what was logged since last asked, the token never in it.

    Durations are left out, and the entry, which there is with a journal alone.
    """
    found = []
    for record in caplog.records:
        text = re.sub(r", entry \d+", "", record.getMessage())
        found.append((record.levelname, re.sub(r"\d+\.\d{3} s", "… s", text)))
    caplog.clear()
    assert TOKEN not in str(found)
    return found


def test_all_matching_hooks_run_in_the_file_s_order(dispatch: Dispatch, actions: Doubles) -> None:
    runs = dispatch("c.c", "a.a", "b.b")

    assert [call.hook.implementation for call in actions.calls] == ["c.c", "a.a", "b.b"]
    assert [run.hook for run in runs] == [call.hook.name for call in actions.calls]
    assert [run.state for run in runs] == ["done", "done", "done"]


def test_each_action_gets_the_notification_its_hook_context_and_the_time(
    dispatch: Dispatch, actions: Doubles
) -> None:
    dispatch("a.a", "b.b")

    for call in actions.calls:
        assert call.notification is NOTIFICATION
        assert call.hook_context == NOTIFICATION.hook_context()
        assert call.received_at == 1234.5


def test_only_matching_and_enabled_hooks_run(path: Path, start: Start) -> None:
    path.write_text("""\
hooks:
- {name: other event, event_type: workflow_queued, implementation: a.b}
- {name: other tenant, event_type: workflow_failed, implementation: a.b, when: {tenant_name: ACME}}
- {name: tenant, event_type: workflow_failed, implementation: a.b, when: {tenant_name: "ac*"}}
- {name: disabled, event_type: workflow_failed, implementation: a.b, enabled: false}
- {name: any, event_type: "*", implementation: a.b}
""")
    dispatcher = start()

    runs = runs_of(dispatcher)

    assert [run.hook for run in runs] == ["tenant", "any"]


@pytest.mark.parametrize(
    ("end", "state", "text", "details"),
    [
        ("", "done", "", ""),
        ("sent to 10.0.0.1", "done", "sent to 10.0.0.1", ""),
        (ActionFailed("no route"), "failed", "no route", ""),
        (ActionFailed("ValueError: x", "Traceback …"), "failed", "ValueError: x", "Traceback …"),
        (ActionTimedOut("no end after 30 s"), "timed out", "no end after 30 s", ""),
        (ValueError("defect"), "failed", "ValueError: defect", "Traceback"),
        (RecursionError(), "failed", "RecursionError: ", "Traceback"),
        (MemoryError("full"), "failed", "MemoryError: full", "Traceback"),
        (OSError(28, "No space left"), "failed", "OSError: [Errno 28] No space left", "Traceback"),
        (TimeoutError("socket"), "failed", "TimeoutError: socket", "Traceback"),
    ],
)
def test_however_an_action_ends_is_its_outcome_and_the_next_hook_runs(
    dispatch: Dispatch,
    actions: Doubles,
    caplog: pytest.LogCaptureFixture,
    end: str | BaseException,
    state: str,
    text: str,
    details: str,
) -> None:
    actions.ends["a.a"] = end

    first, second = dispatch("a.a", "b.b")

    [attempt] = first.attempts
    assert (attempt.state, attempt.text) == (state, text)
    assert first.state == ("done" if state == "done" else "failed")
    assert 0 <= attempt.seconds < 60
    assert second.state == "done"
    logged = lines(caplog)
    more = f", {text}" if text else ""
    if state == "done":
        assert logged[1] == ("INFO", f"hook a.a-hook: done in … s{more} ({ABOUT})")
    else:
        level, line = logged[1]
        said, _, below = line.partition("\n")
        assert (level, said) == ("ERROR", f"hook a.a-hook: {state} after … s: {text} ({ABOUT})")
        assert below.startswith(details)
        assert bool(below) is bool(details)
    assert logged[3] == ("INFO", f"hook b.b-hook: done in … s ({ABOUT})")
    assert len(logged) == 4


def test_a_hook_without_an_action_is_failed_and_the_next_runs(dispatch: Dispatch) -> None:
    first, second = dispatch("no.action", "b.b")

    assert first.attempts[0].text == "LookupError: no action for it"
    assert (first.state, second.state) == ("failed", "done")


def test_what_asks_the_whole_process_to_end_is_no_outcome(dispatch: Dispatch, actions: Doubles) -> None:
    actions.ends["a.a"] = KeyboardInterrupt()

    with pytest.raises(KeyboardInterrupt):
        dispatch("a.a", "b.b")

    assert len(actions.calls) == 1


# The original's four lines


def test_an_event_with_a_hook_is_logged_as_the_original_does(
    dispatch: Dispatch, caplog: pytest.LogCaptureFixture
) -> None:
    dispatch("a.a", "b.b")

    logged = lines(caplog)
    assert [line for line in logged if line[1].startswith(RECEIVED)] == [
        ("INFO", f"{RECEIVED}and the hook implementation is: `a.a` (hook a.a-hook, {ABOUT})"),
        ("INFO", f"{RECEIVED}and the hook implementation is: `b.b` (hook b.b-hook, {ABOUT})"),
    ]


def test_an_event_without_a_hook_is_logged_as_the_original_does(
    dispatch: Dispatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert dispatch() == []

    assert lines(caplog) == [
        ("INFO", f"{RECEIVED}but didn't find a compatible hook in the configuration ({ABOUT})")
    ]


@pytest.mark.parametrize(
    ("text", "level", "problem"),
    [
        (None, "WARNING", "but the hooks config file doesn't exist"),
        ("hooks: [", "ERROR", "but the hook config file is invalid yaml"),
        ("hooks: 5", "ERROR", "but the hook config file is invalid yaml"),
    ],
)
def test_every_event_without_a_usable_file_is_logged_as_the_original_does(
    path: Path,
    start: Start,
    caplog: pytest.LogCaptureFixture,
    text: str | None,
    level: str,
    problem: str,
) -> None:
    dispatcher = start()
    if text is not None:
        path.write_text(text)

    for _ in range(3):
        assert runs_of(dispatcher) == []

        [(found_level, found)] = lines(caplog)
        assert found_level == level
        assert found.startswith(f"{RECEIVED}{problem} ({path})")

    path.write_text(f"hooks:\n{hook_line('a.a')}")
    assert len(runs_of(dispatcher)) == 1


@pytest.mark.parametrize(
    ("spoil", "level", "problem"),
    [
        (Path.unlink, "WARNING", "but the hooks config file doesn't exist"),
        (lambda path: path.write_text("hooks: ["), "ERROR", "but the hook config file is invalid yaml"),
    ],
)
def test_a_file_that_goes_bad_is_logged_once_and_its_hooks_still_run(
    path: Path,
    start: Start,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Path], Any],
    level: str,
    problem: str,
) -> None:
    path.write_text(f"hooks:\n{hook_line('a.a')}")
    dispatcher = start()

    spoil(path)
    attempts = [runs_of(dispatcher) for _ in range(3)]

    assert [len(found) for found in attempts] == [1, 1, 1]
    bad = [line for line in lines(caplog) if f"{RECEIVED}but" in line[1]]
    assert [found for found, _ in bad] == [level]
    assert bad[0][1].startswith(f"{RECEIVED}{problem} ({path})")


def test_a_changed_file_is_in_force_for_the_event_that_finds_it(path: Path, start: Start) -> None:
    path.write_text(f"hooks:\n{hook_line('a.a')}")
    dispatcher = start()

    path.write_text(f"hooks:\n{hook_line('b.b')}")
    os.utime(path, ns=(10**18, 10**18))
    [attempt] = runs_of(dispatcher)

    assert attempt.implementation == "b.b"


def test_missing_fields_are_warned_about_once_and_the_hooks_run(
    path: Path, actions: Doubles, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text(f"hooks:\n{hook_line('a.a')}{hook_line('b.b')}")
    dispatcher = start()

    attempts = runs_of(dispatcher, Notification("workflow_failed", {"execution_id": "x1"}))

    assert len(attempts) == 2
    assert [line for line in lines(caplog) if line[0] == "WARNING"] == [
        ("WARNING", f"{ABOUT}: the notification lacks workflow_id, tenant_name, deployment_id")
    ]
    assert actions.calls[0].hook_context["tenant_name"] is None


@pytest.mark.parametrize("start", ["without one"], indirect=True)
@pytest.mark.parametrize(
    ("implementations", "expected"), [(("a.a", "b.b"), ["written", "a.a", "b.b"]), ((), [])]
)
def test_where_there_is_no_journal_the_log_is_written_before_an_events_first_action(
    dispatch: Dispatch,
    actions: Doubles,
    monkeypatch: pytest.MonkeyPatch,
    implementations: tuple[str, ...],
    expected: list[str],
) -> None:
    happened: list[str] = []

    def run(call: Call) -> str:
        happened.append(call.hook.implementation)
        return ""

    monkeypatch.setattr(actions, "run", run)
    monkeypatch.setattr(log, "flush", lambda: happened.append("written"))
    dispatch(*implementations)
    assert happened == expected


def test_the_time_is_the_clock_s_by_default(path: Path, actions: Doubles, start: Start) -> None:
    path.write_text(f"hooks:\n{hook_line('a.a')}")

    runs_of(start())

    assert actions.calls[0].received_at > 1.7e9
