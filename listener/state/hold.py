"""Holding an event while the journal cannot be written.

Owns the pauses between two tries, and what the log says of them. It knows no journal; the Journal of a
listener runs each of its methods through one Hold.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from listener.errors import StateError, Unanswered

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

HELD = "the journal cannot be written, events are held"
"""What its ERROR begins with; `status` knows it by that."""

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0


class Hold:
    """`pause` waits for some seconds; it returns whether the listener was asked to stop meanwhile.

    `repair` is called before each further try: it can raise StateError, too.
    """

    def __init__(
        self, pause: Callable[[float], bool], repair: Callable[[], object] = lambda: None
    ) -> None:
        self._pause = pause
        self._repair = repair

    def __call__(self, work: Callable[[], _T]) -> _T:
        """Do `work`, again and again while it raises StateError; return what it returns.

        An error does not prove that nothing was done, so `work` must be safe to repeat. Raises
        Unanswered when the listener is asked to stop meanwhile, and what `pause` raises.
        """
        pause_s = FIRST_PAUSE_S
        problem = ""
        while True:
            try:
                if problem:
                    self._repair()
                result = work()
            except StateError as error:
                if str(error) != problem:
                    problem = str(error)
                    _log.error("%s: %s", HELD, problem)
                if self._pause(pause_s):
                    raise Unanswered(
                        "stopping before the journal could be written: supervisord delivers again what"
                        " has no answer, and the next listener resumes what was begun"
                    ) from error
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
            else:
                if problem:
                    mended = problem.partition("; ")[0]  # without the advice
                    _log.warning(
                        "the journal can be written again: held events resume; mended is: %s", mended
                    )
                return result
