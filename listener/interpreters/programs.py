"""Programs that hooks name, started by a child interpreter that ends them when the listener is gone.

Owns what is different from calling a function: no process is made ahead, and the one that starts a
program lives on when that ends. It knows no hook; actions/command.py makes the requests.
"""

from __future__ import annotations

import os
import sys

from listener.inbox.folder import IN_HOOK
from listener.interpreters.call import CallProcess
from listener.interpreters.worker import Worker
from listener.state.stop import Deadline


class Programs(Worker):
    """As a Worker, for requests of what child/program.py starts. The answers' `status` is of `wait`.

    A program has our environment, and the sign for `emit` that it is called by a hook.
    """

    what = "the program"

    def __init__(self, memory_mib: int | None) -> None:
        super().__init__(sys.executable, env={**os.environ, IN_HOOK: "1"}, memory_mib=memory_mib)

    def _next_call(self, deadline: Deadline, label: str) -> CallProcess:
        try:
            return self._running_server().program()
        except OSError as error:
            raise self._no_process(error.strerror) from error

    def _end(self, call: CallProcess) -> str:
        if call.pid:
            return call.end()
        self._end_server()  # it did not even start the program, and must not do so later
        return "killed"

    def _how_lost(self, call: CallProcess) -> str:
        how = f"; the program was {call.end()}" if call.pid else ""
        return f"the interpreter {self.python}, which starts programs, ended before the program{how}"
