"""Holding an event while the journal cannot be written.

Owns the pauses between two tries and what the log says of them. The dispatcher does all its work with
the journal through one Hold.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from listener.errors import StateError, Unanswered

_log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0


class Hold:
    """`pause` waits for some seconds and tells whether the listener was asked to stop meanwhile."""

    def __init__(self, pause: Callable[[float], bool]) -> None:
        self._pause = pause
        self.was_tried_again = False

    def __call__(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """What `work` returns, which is tried again for as long as it raises StateError.

        Raises Unanswered when the listener is asked to stop meanwhile. `was_tried_again` tells
        afterwards whether it had to: an error does not prove that nothing was done.
        """
        pause_s = FIRST_PAUSE_S
        told = ""
        while True:
            try:
                result = work(*args, **kwargs)
                self.was_tried_again = bool(told)
            except StateError as error:
                if str(error) != told:
                    told = str(error)
                    _log.error("nothing goes on until this is mended: %s", told)
                if self._pause(pause_s):
                    raise Unanswered(
                        "stopping before the journal could be written: supervisord delivers again what"
                        " has no answer, and the next listener takes up what was begun"
                    ) from error
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
            else:
                if told:
                    _log.warning("it works again, and goes on")
                return result
