"""The errors of conductor-hooks, one small tree.

Every message says what was being done, what was found, and what to do next. The text of a HooksError
may be shown to a person as it stands; any other exception is a defect of ours or of a hook's
function.
"""

from __future__ import annotations

import sys


class HooksError(Exception):
    """Something that a person can correct; the text says how."""


class UnreadableNotification(HooksError):
    """A payload that arrived whole but is no workflow notification."""


class SettingsError(HooksError):
    """hooks.conf cannot be used. The text holds one line per mistake, each with file and line."""


class InvalidYaml(SettingsError):
    """hooks.conf is no YAML at all."""


class StateError(HooksError):
    """The state directory or a file in it cannot be read or written now."""


class NoStateDirectory(StateError):
    """There is no state directory, and none can be made."""


class ProgramFailed(HooksError):
    """A program could not be started, took too long or failed; the text says which, and no more.

    `output` is what it had printed.
    """

    def __init__(self, reason: str, output: str = "") -> None:
        super().__init__(reason)
        self.output = output


class ActionFailed(HooksError):
    """An action could not do its work.

    `details` is what a person wants below the one-line reason: a traceback, usually. `reached` are
    the destinations that another attempt leaves out. `retry_after_s` is as in an Outcome.
    """

    def __init__(
        self,
        reason: str,
        details: str = "",
        *,
        reached: tuple[str, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.details = details
        self.reached = reached
        self.retry_after_s = retry_after_s


class ActionTimedOut(HooksError):
    """An action took longer than its hook's `timeout` and was ended."""


class ListenerMustEnd(HooksError):
    """The listener cannot continue; every funnel lets it pass.

    `exit_status` 1 makes supervisord start the listener again, with 2 a person has to do something.
    """

    exit_status = 1


class FramingError(ListenerMustEnd):
    """The bytes on stdin are not the event listener protocol; nothing after them can be trusted."""


class Unheard(ListenerMustEnd):
    """supervisord no longer takes this process for a listener, or has ended; only a restart helps."""


class Unanswered(ListenerMustEnd):
    """The listener is asked to stop before the event in hand could be put on record."""

    exit_status = 0


class InUse(ListenerMustEnd):
    """Another process works in the state directory."""

    exit_status = 2


class OtherSchema(ListenerMustEnd):
    """Another version of conductor-hooks has written this journal."""

    exit_status = 2


def chain_of(error: BaseException | None) -> str:
    """The reprs of an error and of all that caused it; the text alone may be empty."""
    found: list[str] = []
    while error is not None and len(found) < 9:
        found.append(repr(error))
        error = error.__cause__ or error.__context__
    return " / ".join(found)


def not_installed(package: object, wanted_by: str, extra: str) -> str:
    """What a person reads where the packages of an extra are missing."""
    return (
        f"{package} is not installed, which {wanted_by} needs; in the checkout, run"
        f" {sys.executable} -m pip install '.[{extra}]'"
    )
