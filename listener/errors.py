"""The errors of conductor-hooks, one small tree.

Every message says what was being done, what was found, and what to do next. Whoever catches a
HooksError may show its text to a person as it stands; any other exception is a defect of ours or
of somebody's function.
"""

from __future__ import annotations


class HooksError(Exception):
    """Something that a person can mend; the text says how."""


class FramingError(HooksError):
    """The bytes on stdin are not the event listener protocol; nothing after them can be trusted."""


class UnreadableNotification(HooksError):
    """A payload that arrived whole but is no workflow notification."""


class SettingsError(HooksError):
    """hooks.conf cannot be used. The text holds one line per mistake, each with file and line."""


class StateError(HooksError):
    """The state directory or its journal cannot be read or written now; the text says what to do."""


class Unanswered(HooksError):
    """The listener has to leave before the event in hand could be put on record."""


class ActionFailed(HooksError):
    """An action could not do its work.

    `details` is what a person wants below the one-line reason: a traceback, usually. `reached` are
    the destinations that another attempt is to leave out. `retry_after_s` is as in an Outcome.
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
