"""One interpreter, ready for the next call: its fork server, and a process that was made ahead.

Owns when these are started and replaced, and what a call that went wrong means. It knows no hook:
actions/function.py makes the requests. choice.py has one for functions and one for each plugin.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from listener.errors import ActionFailed, ActionTimedOut
from listener.interpreters import exits
from listener.interpreters.call import CallProcess
from listener.interpreters.fork_server import ForkServer
from listener.interpreters.output import Output
from listener.state.stop import NOBODY, Deadline, Stop

_log = logging.getLogger(__name__)

_MOMENT_S = 0.5
_LOOK_S = 0.002
_MAX_LEFT = 32
"""Outputs of ended calls that are still read; each is a descriptor."""


class Worker:
    """Calls functions in one interpreter; its process is started when it is first needed.

    `python` is the interpreter to run, `python_path` goes in front of its sys.path. `env` is its
    environment; without one the child has ours, because the original's hooks ran inside the process
    and saw it too. `memory_mib` bounds the memory of each call; None: nothing does.
    """

    what = "the function"
    """What a timeout ends, in words."""

    def __init__(
        self,
        python: str,
        python_path: tuple[str, ...] = (),
        *,
        env: Mapping[str, str] | None = None,
        memory_mib: int | None = None,
    ) -> None:
        self.python = python
        self._arguments = (str(memory_mib or 0), *python_path)
        self._env = env
        self._server: ForkServer | None = None
        self._ahead: CallProcess | None = None
        self._unshared: set[str] = set()
        self._left: list[Output] = []

    def request(
        self, request: Mapping[str, Any], *, timeout_s: float, label: str, stop: Stop = NOBODY
    ) -> dict[str, Any]:
        """The answer of a process that serves this request alone. `label` is for its output in the log.

        Raises ActionTimedOut when it takes longer than `timeout_s` or is stopped, ActionFailed when
        the process ends before it answers, or there can be none.
        """
        deadline = Deadline(timeout_s, stop)
        self._look()
        try:
            answer = self._exchange(request, deadline, label)
            if answer.get("is_stale"):  # a file of an imported module has changed
                self.close()
                answer = self._exchange(request, deadline, label)
        except TimeoutError as how:
            late = "" if stop.is_seen else f"no end within {timeout_s:g} s, the hook's 'timeout'; "
            what = f"{self.what} and the programs it started were {how}"
            raise ActionTimedOut(late + what) from None
        return answer

    def make_ahead(self, module: str = "") -> None:
        """Have the process of the next call made, and `module` imported before that; do not wait."""
        if self._server is None or self._ahead is not None:
            return
        with suppress(OSError):  # the next call tries again, and says why
            self._ahead = self._server.fork("" if module in self._unshared else module)

    def _exchange(self, request: Mapping[str, Any], deadline: Deadline, label: str) -> dict[str, Any]:
        """Raises ActionFailed, and TimeoutError, which says how the process was ended."""
        call = self._next_call(deadline, label)
        call.output.label = label
        try:
            return call.exchange(request, deadline)
        except TimeoutError:
            raise TimeoutError(self._end(call)) from None
        except (EOFError, OSError):
            raise ActionFailed(self._how_lost(call)) from None
        except ValueError:
            self._end(call)
            raise ActionFailed("the process of the call answered with nonsense") from None
        finally:
            call.close()
            self._keep(call.output)

    def _end(self, call: CallProcess) -> str:
        """End the call, and say how it ended."""
        return call.end()

    def _how_lost(self, call: CallProcess) -> str:
        """Why no answer can come any more."""
        how = exits.in_words(self._server.status_of(call) if self._server else None)
        return f"the process of the call {how} before it answered"

    def _next_call(self, deadline: Deadline, label: str) -> CallProcess:
        """A process that waits for its request. Raises TimeoutError and ActionFailed."""
        while True:
            server = self._running_server()
            try:
                call, self._ahead = self._ahead or server.fork(), None
            except OSError as error:
                raise self._no_process(error.strerror) from error
            try:
                call.begin(deadline)
            except TimeoutError:
                _discard(call)
                self._end_server()  # it did not even fork
                raise TimeoutError("killed") from None
            except (EOFError, OSError, ValueError):
                _discard(call)
                self._explain(server, call.module, label)
                continue
            if not call.has_hung_up:
                return call
            _discard(call)  # it was killed while it waited

    def _no_process(self, reason: str | None) -> ActionFailed:
        return ActionFailed(f"{self.python} cannot start a process for the call: {reason}")

    def _explain(self, server: ForkServer, module: str, label: str) -> None:
        """Replace a server that did not fork because of this module; raise ActionFailed without one."""
        problem = server.problem()
        if "fork" in problem:
            raise self._no_process(problem["fork"])
        how = "starts threads" if problem else exits.in_words(server.wait(_MOMENT_S))
        server.output.label = label
        self._end_server()
        if not module:
            raise ActionFailed(f"the interpreter {self.python} {how} before it answered")
        self._unshared.add(module)
        _log.warning(
            "module %s %s when it is imported: each call imports it anew, which takes longer",
            module,
            how,
        )

    def _running_server(self) -> ForkServer:
        if self._server is None:
            try:
                self._server = ForkServer(self.python, self._arguments, self._env)
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                raise ActionFailed(
                    f"the interpreter {self.python} cannot be started: {reason}; correct"
                    " 'listener: python' in hooks.conf, or upload the plugin again"
                ) from error
        return self._server

    def _keep(self, output: Output) -> None:
        """Read on from what an ended call has left behind."""
        self._left.append(output)
        if len(self._left) > _MAX_LEFT:
            oldest = self._left.pop(0)
            _log.warning(
                "%s: a program that it left behind is not read from any more, because %d newer ones"
                " print, too: let it print into a file", oldest.label, _MAX_LEFT
            )  # fmt: skip
            oldest.close()

    def drain(self) -> None:
        """Log what was printed by programs left behind, and that the interpreter has ended."""
        for output in self._left:
            output.drain()
        self._look()

    def _look(self) -> None:
        """Close the outputs to which nothing more is written; replace an interpreter that has ended."""
        ended = [output for output in self._left if output.has_hung_up]
        for output in ended:
            self._left.remove(output)
            output.close()
        server = self._server
        if server is None or not server.has_ended:
            return
        if self._ahead is not None and self._ahead.module and self._ahead.has_hung_up:
            self._explain(server, self._ahead.module, server.output.label)
        else:
            _log.warning("the interpreter %s ended while it was idle", self.python)
            self._end_server()

    def close(self) -> None:
        """End the interpreter and what its calls have left behind. Safe to call twice."""
        deadline = time.monotonic() + _MOMENT_S  # for exit handlers of calls
        while self._left and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
            self.drain()
        self._end_server()
        left, self._left = self._left, []
        for output in left:
            output.close()

    def _end_server(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            _discard(ahead)
        server, self._server = self._server, None
        if server is not None:
            server.close()


def _discard(call: CallProcess) -> None:
    """Let go of a call that was not begun."""
    call.close()
    call.output.close()
