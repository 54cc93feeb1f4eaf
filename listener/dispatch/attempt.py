"""One attempt at one hook: its action is run, and its end becomes an Outcome; both are logged.

Owns the funnel: any exception of an action is an Outcome, so a hook that fails never stops the next. It
knows no journal and no retries; the runner calls it, and the verbs `fire` and `explain`.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable

import msgspec

from listener.actions import Call
from listener.actions.registry import Actions
from listener.errors import ActionFailed, ActionTimedOut
from listener.log import extra, loggable
from listener.model.delivery import rest_token_of
from listener.model.entry import Run
from listener.model.outcome import Outcome
from listener.model.secrets import forms, mask, secrets_in

_log = logging.getLogger(__name__)

STOPPED = "stopped by conductor-hooks stop"
"""What the text of an outcome begins with if a person has ended the attempt."""


def attempt(actions: Actions, call: Call, about: str) -> Outcome:
    """Run the hook's action once. `about` is what the log calls the notification."""
    hook = call.hook
    _log.info(
        "The hook consumer received `%s` event and the hook implementation is: `%s` (hook %s, %s)",
        loggable(call.notification.event_type), hook.implementation, hook.name, about,
        extra=extra(hook=hook.name),
    )  # fmt: skip
    call = with_secrets(actions, call)

    def work() -> str:
        nonlocal call
        call = rendered(call)
        return actions.of(call.hook).run(call)

    outcome = _run(work)
    actions.count(hook, is_done=outcome.is_done)
    how = f"{STOPPED}: " if call.stop.is_seen and not outcome.is_done else ""
    text, details = mask(how + outcome.text, call.secrets), mask(outcome.details, call.secrets)
    return msgspec.structs.replace(outcome, text=text, details=details)


def rehearsed(actions: Actions, call: Call) -> tuple[Call, str]:
    """The call as an attempt would make it, and why it would fail: '' if nothing is seen beforehand."""
    call = with_secrets(actions, call)
    try:
        call = rendered(call)
        faults = [fault.reason for fault in actions.check(call.hook, may_import=False)]
    except ActionFailed as error:
        faults = [str(error)]
    return call, mask("; ".join(faults), call.secrets)


def with_secrets(actions: Actions, call: Call) -> Call:
    """The call with what nothing that is said of it shows."""
    token = rest_token_of(call.notification)
    parameters = call.notification.context.get("execution_parameters")
    secrets = (
        *actions.secrets_of(call.hook),
        *(forms((token,)) if token else ()),
        *(secrets_in(parameters, ()) if parameters else ()),
    )
    return msgspec.structs.replace(call, secrets=secrets)


def rendered(call: Call) -> Call:
    """The call with a text for each template among the hook's inputs. Raises ActionFailed."""
    hook = call.hook
    if not hook.templates:
        return call
    from listener.hooks.template import rendered as with_texts  # slow to import, and seldom needed

    own = {"entry_id": call.entry_id or None, "text": call.notification.text}
    inputs = with_texts(hook.inputs, {**own, **call.hook_context})
    secrets = (*call.secrets, *secrets_in(inputs, ()))
    return msgspec.structs.replace(
        call, hook=hook._replace(inputs=inputs, templates=()), secrets=secrets
    )


def _run(work: Callable[[], str]) -> Outcome:
    began = time.monotonic()
    try:
        text = work()
    except ActionTimedOut as error:
        return Outcome("timed out", str(error), time.monotonic() - began)
    except ActionFailed as error:
        seconds = time.monotonic() - began
        return Outcome("failed", str(error), seconds, error.details, error.reached, error.retry_after_s)
    except Exception as error:  # the funnel: whatever an action raises is its outcome
        reason = f"{type(error).__name__}: {error}"
        return Outcome("failed", reason, time.monotonic() - began, traceback.format_exc())
    return Outcome("done", text, time.monotonic() - began)


def log_end(run: Run, outcome: Outcome, about: str) -> None:
    """Log how the last attempt at this run ended."""
    more = extra(
        outcome.details, hook=run.hook, attempt=len(run.attempts),
        outcome=outcome.state, seconds=outcome.seconds,
    )  # fmt: skip
    if outcome.is_done:
        _log.info("hook %s: done in %.3f s%s (%s)", run.hook, outcome.seconds,
                  outcome.text and f", {outcome.text}", about, extra=more)  # fmt: skip
    else:
        _log.error("hook %s: %s after %.3f s: %s (%s)", run.hook, outcome.state, outcome.seconds,
                   outcome.text, about, extra=more)  # fmt: skip
