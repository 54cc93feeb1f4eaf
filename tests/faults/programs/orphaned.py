"""The listener, whose supervisord dies when it has sent the first event and nothing was done with it.

That takes a moment between READY and all that comes after it; here it is made to last.
"""

from __future__ import annotations

import os
import signal
import sys
from select import POLLIN, poll

from listener.__main__ import main
from listener.supervisord.pipe import SupervisorSource
from tests.support import wait_for

_say_ready = SupervisorSource.say_ready


def say_ready_and_be_orphaned(source: SupervisorSource) -> None:
    """Return when the event is in the pipe and supervisord is no more."""
    _say_ready(source)
    event = poll()
    event.register(source._events, POLLIN)
    event.poll()
    parent = os.getppid()
    os.kill(parent, signal.SIGKILL)
    wait_for("another parent", lambda: os.getppid() != parent)


SupervisorSource.say_ready = say_ready_and_be_orphaned  # type: ignore[method-assign,assignment]
sys.argv = ["conductor-hooks", "listen"]
main()
