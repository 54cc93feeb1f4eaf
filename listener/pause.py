"""What is held back while events follow each other closely is let go at a pause: the log's lines, and
what the journal's owner has not committed.

Owns who holds something back. Where there is a pause, sources/supervisor.py knows, and whoever waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from listener import log

_T = TypeVar("_T")

_held: list[Callable[[], None]] = []


@contextmanager
def at_pause(let_go: Callable[[], None]) -> Iterator[None]:
    """Inside `with`, and once at its end, `let_go` is called at each pause."""
    _held.append(let_go)
    try:
        yield
    finally:
        _held.remove(let_go)
        let_go()


def let_go() -> None:
    """Call it when nothing has come for a moment."""
    log.flush()
    for each in _held:
        each()


def waited(wait: Callable[[float], _T], seconds: float) -> _T:
    """What `wait` returns, which waits for at most `seconds`; when that takes long, it is a pause.

    It has to return something false when what it waited for has not come.
    """
    if seconds > log.PAUSE_S:
        if result := wait(log.PAUSE_S):
            return result
        let_go()
        seconds -= log.PAUSE_S
    return wait(seconds)
