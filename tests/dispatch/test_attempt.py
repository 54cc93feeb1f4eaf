"""One attempt: however its action ends is an Outcome, and the log has one line before and one after."""

from __future__ import annotations

import logging

import msgspec
import pytest

from listener.actions import Call, Fault
from listener.dispatch.attempt import attempt, log_end, rehearsed
from listener.errors import ActionFailed, ActionTimedOut
from listener.hooks.conf import read
from listener.hooks.table import Hook
from listener.model.entry import Run
from listener.model.notification import Notification
from listener.model.outcome import NEVER, Outcome
from tests.dispatch.support import Doubles

NOTIFICATION = Notification("workflow_failed", {"execution_id": "x1"})
HOOK = Hook("page", ("workflow_failed",), "my.page", {}, 1, {})
CONTEXT = {"execution_id": "x1", "arguments": "S3CRET"}
ABOUT = "execution x1, serial 7"


@pytest.fixture
def actions() -> Doubles:
    return Doubles()


def templated(*inputs: str) -> Hook:
    """A hook with these lines of inputs, which would be instant without templates."""
    head = "hooks:\n- event_type: workflow_failed\n  implementation: my.page\n  inputs:\n"
    table, _ = read("\n    ".join((head, *inputs)), env={}, folder="/")
    assert table is not None
    return table.hooks[0]


def attempted(actions: Doubles, *ends: str | BaseException) -> Outcome:
    actions.ends["my.page"] = list(ends)
    return attempt(actions, Call(HOOK, NOTIFICATION, {}, 1000.0), ABOUT)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("", Outcome("done", "", 0.0)),
        ("sent to 10.0.0.1", Outcome("done", "sent to 10.0.0.1", 0.0)),
        (ActionFailed("no route"), Outcome("failed", "no route", 0.0)),
        (
            ActionFailed("b is away", "details", reached=("a",), retry_after_s=NEVER),
            Outcome("failed", "b is away", 0.0, "details", ("a",), NEVER),
        ),
        (ActionTimedOut("no end after 30 s"), Outcome("timed out", "no end after 30 s", 0.0)),
    ],
)
def test_the_end_of_an_action_is_an_outcome(
    actions: Doubles, end: str | BaseException, expected: Outcome
) -> None:
    outcome = attempted(actions, end)
    assert outcome.seconds >= 0
    assert msgspec.structs.replace(outcome, seconds=0.0) == expected


def test_a_rehearsal_says_what_an_attempt_would_fail_by_and_runs_nothing(
    actions: Doubles, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Call(HOOK, NOTIFICATION, {}, 1000.0)
    assert rehearsed(actions, call) == (call, "")
    faults = [Fault(None, "no module my"), Fault("to", "no address")]
    monkeypatch.setattr(actions, "check", lambda _hook, *, may_import: faults)
    assert rehearsed(actions, call)[1] == "no module my; no address"
    assert actions.calls == []


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("defect"), "ValueError: defect"),
        (MemoryError(), "MemoryError: "),
        (TimeoutError("socket"), "TimeoutError: socket"),
    ],
)
def test_any_other_exception_is_a_failure_with_a_traceback(
    actions: Doubles, error: Exception, text: str
) -> None:
    outcome = attempted(actions, error)
    assert (outcome.state, outcome.text) == ("failed", text)
    assert outcome.details.startswith("Traceback")


def test_an_action_gets_texts_in_place_of_templates_and_their_secrets_are_masked(
    actions: Doubles,
) -> None:
    hook = templated("to: !template '{{ execution_id }}'", "api_key: !template '{{ arguments }}-0123'")
    actions.instant.add("my.page")
    actions.look = lambda call: actions.ends.update({"my.page": [f"sent {call.hook.inputs}"]})

    outcome = attempt(actions, Call(hook, NOTIFICATION, CONTEXT, 1000.0), ABOUT)

    assert outcome.text == "sent {'to': 'x1', 'api_key': '…'}"
    assert not actions.is_instant(hook._replace(repeatable=True))


def test_what_a_key_of_the_parameters_names_a_secret_is_masked_however_deep_they_nest(
    actions: Doubles,
) -> None:
    deep: object = {}
    for _ in range(5000):
        deep = [deep]
    parameters = {"db": {"password": "PaSsW0rd-1"}, "nodes": "all-of-them", "deep": deep}
    notification = Notification("workflow_failed", {"execution_parameters": parameters})
    actions.ends["my.page"] = [ActionFailed("all-of-them: no PaSsW0rd-1", "in PaSsW0rd-1")]
    outcome = attempt(actions, Call(HOOK, notification, {}, 1000.0), ABOUT)
    assert (outcome.text, outcome.details) == ("all-of-them: no …", "in …")


def test_before_an_attempt_it_is_known_that_a_template_cannot_be_filled_in(actions: Doubles) -> None:
    hook = templated("to: !template '{{ execution_id.x }}'")
    _, why = rehearsed(actions, Call(hook, NOTIFICATION, CONTEXT, 1000.0))
    assert why == "hooks.conf, line 6: !template: there is no 'x' in that value"


def test_a_template_that_cannot_be_filled_in_fails_for_good_without_the_action(
    actions: Doubles,
) -> None:
    hook = templated("to: !template '{{ execution_id.x }}'")

    outcome = attempt(actions, Call(hook, NOTIFICATION, CONTEXT, 1000.0), ABOUT)

    reason = "hooks.conf, line 6: !template: there is no 'x' in that value"
    assert (outcome.state, outcome.text, outcome.retry_after_s) == ("failed", reason, NEVER)
    assert actions.calls == []


def test_what_asks_the_whole_process_to_end_is_no_outcome(actions: Doubles) -> None:
    with pytest.raises(KeyboardInterrupt):
        attempted(actions, KeyboardInterrupt())


def test_an_attempt_is_logged_as_the_original_logs_it(
    actions: Doubles, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    attempted(actions)
    [record] = caplog.records
    assert (record.levelname, record.getMessage()) == (
        "INFO",
        "The hook consumer received `workflow_failed` event and the hook implementation is: `my.page`"
        f" (hook page, {ABOUT})",
    )


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        (Outcome("done", "", 0.0125), "INFO hook page: done in 0.013 s (about)"),
        (Outcome("done", "sent", 1.5), "INFO hook page: done in 1.500 s, sent (about)"),
        (Outcome("failed", "no route", 1.5), "ERROR hook page: failed after 1.500 s: no route (about)"),
        (
            Outcome("timed out", "no end", 1.5, "Traceback …"),
            "ERROR hook page: timed out after 1.500 s: no end (about)",
        ),
    ],
)
def test_the_end_of_an_attempt_is_one_line_and_its_details_stand_beside_it(
    caplog: pytest.LogCaptureFixture, outcome: Outcome, line: str
) -> None:
    caplog.set_level(logging.DEBUG)
    log_end(Run("page", "my.page").begun(0.0), outcome, "about")
    [record] = caplog.records
    assert f"{record.levelname} {record.getMessage()}" == line
    assert record.__dict__.get("details", "") == outcome.details
