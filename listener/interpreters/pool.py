"""Our side of the child interpreters: starts them, asks them, ends them.

Owns the processes, their pipes and every time limit. A Worker is one warm child; when it fails to
answer in time it is killed with its whole process group, and the next question starts a new one.
It knows no hook: actions/function.py puts the questions; output.py logs what children print.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import select
import signal
import subprocess
import time
from collections.abc import Container, Mapping
from typing import Any

from listener import log
from listener.errors import ActionFailed, ActionTimedOut
from listener.interpreters.output import Output

_log = logging.getLogger(__name__)

_CHILD = os.path.join(os.path.dirname(__file__), "child", "main.py")
_PICKLE_PROTOCOL = 4  # the newest that Python 3.6 reads
_READ_BYTES = 65536
_MOMENT_S = 0.5
_RELEASE_S = 1.0
_LOOK_S = 0.02
_MAX_ANSWER = 1 << 20
_AFTER = "a program left behind by a hook"


class Worker:
    """One warm child interpreter, started when it is first needed and again after it was lost.

    `python` is the interpreter to run, `python_path` goes in front of its sys.path. `env` is its
    environment; without one the child has ours, because the original's hooks ran inside the process
    and saw it too. `memory_mib` bounds its memory; None: nothing does. `remedy` is what to do when the
    interpreter cannot be started.
    """

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
        self._child: _Child | None = None

    def ask(self, request: Mapping[str, Any], *, timeout_s: float, label: str) -> dict[str, Any]:
        """The child's answer. `label` names the question in the log, in front of its output.

        Raises ActionTimedOut when it takes longer than `timeout_s`, ActionFailed when the child
        ends before it answers or cannot be started.
        """
        deadline = time.monotonic() + timeout_s
        child = self._child = self._living_child()
        failure: ActionFailed | ActionTimedOut
        try:
            return child.exchange(request, deadline, label)
        except TimeoutError:
            failure = ActionTimedOut(
                f"no end within {timeout_s:g} s; the function and the programs it started were killed"
            )
        except (EOFError, OSError):
            how = child.how_it_ended()
            failure = ActionFailed(f"the child interpreter {self.python} {how} before it answered")
        except ValueError:
            failure = ActionFailed(f"the child interpreter {self.python} answered with nonsense")
        self._child = None
        child.kill(label)
        raise failure

    def _living_child(self) -> _Child:
        self.drain()
        if self._child is not None:
            return self._child
        try:
            return _Child(self.python, self._arguments, self._env)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ActionFailed(
                f"the interpreter {self.python} cannot be started: {reason}; correct 'listener: python'"
                " in hooks.conf, or upload the plugin again"
            ) from error

    def drain(self) -> None:
        """Log what has been printed since the last question, by threads or programs left behind.

        A child that has ended since is closed; the next request starts a new one.
        """
        child = self._child
        if child is None or not child.has_news:
            return
        child.output.drain(_AFTER)
        child.output.end_call(_AFTER)
        if child.has_hung_up:
            _log.warning("the child interpreter %s ended while it was idle", self.python)
            self.close()

    def close(self, label: str = _AFTER) -> None:
        """Close the child; it and its group end within a second. Safe to call twice.

        `label` stands in the log in front of what it prints while it ends.
        """
        if self._child is not None:
            self._child.release(label)
            self._child = None


class _Child:
    """A running child process with its three pipes: requests, answers, output.

    Raises OSError or ValueError when the interpreter cannot be started.
    """

    def __init__(self, python: str, arguments: tuple[str, ...], env: Mapping[str, str] | None) -> None:
        request_reader, self._requests = os.pipe()
        self._answers, answer_writer = os.pipe()
        output_reader, output_writer = os.pipe()
        try:
            self._process = subprocess.Popen(
                [python, "-u", "-X", "faulthandler", _CHILD,
                 str(request_reader), str(answer_writer), *arguments],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output_writer,
                stderr=output_writer,
                pass_fds=(request_reader, answer_writer),
                start_new_session=True,
            )  # fmt: skip
        except BaseException:
            for fd in (self._requests, self._answers, output_reader):
                os.close(fd)
            raise
        finally:
            for fd in (request_reader, answer_writer, output_writer):
                os.close(fd)
        for fd in (self._requests, output_reader):
            os.set_blocking(fd, False)
        self._number = 0  # of the request in hand
        self.output = Output(output_reader)
        self._poll = select.poll()
        self._poll.register(self._answers, select.POLLIN)
        self._poll.register(output_reader, select.POLLIN)

    def exchange(self, request: Mapping[str, Any], deadline: float, label: str) -> dict[str, Any]:
        """Send the request, gather the output, return the answer.

        Raises TimeoutError; EOFError or OSError when the child has ended, ValueError when it talks
        nonsense.
        """
        self._number += 1
        self.output.secret = request.get("secret", "")
        message = memoryview(pickle.dumps({**request, "id": self._number}, _PICKLE_PROTOCOL))
        message = message[self._send(message) :]
        if message:
            self._poll.register(self._requests, select.POLLOUT)
        answer = bytearray()
        while True:
            ready = self._wait(deadline)
            if self._requests in ready:
                message = message[self._send(message) :]
                if not message:
                    self._poll.unregister(self._requests)
            # poll(2) looks at the answers first, so what was printed before an answer is in the pipe.
            if self.output.fd in ready and not self.output.drain(label):
                self._poll.unregister(self.output.fd)
            if self._answers in ready and self._receive(answer):
                return _judged(self._decoded(answer), self.output.end_call(label))

    def _wait(self, deadline: float) -> Container[int]:
        """What can be read or written now. Raises TimeoutError when that is nothing until then."""
        wait_s = deadline - time.monotonic()
        ready = wait_s > 0 and log.flush_during(lambda seconds: self._poll.poll(seconds * 1000), wait_s)
        if not ready:
            raise TimeoutError
        return dict(ready)

    def _send(self, message: memoryview) -> int:
        try:
            return os.write(self._requests, message)
        except BlockingIOError:
            return 0

    def _receive(self, answer: bytearray) -> bool:
        """Read a part of the answer; whether it is complete now."""
        part = os.read(self._answers, _READ_BYTES)
        if not part:
            raise EOFError
        answer += part
        if len(answer) > _MAX_ANSWER:
            raise ValueError(f"an answer of more than {_MAX_ANSWER} bytes")
        return part.endswith(b"\n")

    def _decoded(self, answer: bytearray) -> dict[str, Any]:
        number, _, text = answer.partition(b" ")
        if number != b"%d" % self._number:
            raise ValueError("not the answer to this request")
        value = json.loads(text)
        if isinstance(value, str):
            return {"text": value}
        if not isinstance(value, dict):
            raise ValueError("neither a text nor an object")
        return value

    @property
    def has_news(self) -> bool:
        """Whether it has printed something, or closed a pipe, without being asked."""
        return bool(self._poll.poll(0))

    @property
    def has_hung_up(self) -> bool:
        """Whether no process can answer any more, as when it has ended."""
        return bool(dict(self._poll.poll(0)).get(self._answers, 0) & select.POLLHUP)

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def how_it_ended(self) -> str:
        """Whether the child has ended by itself, in words. Its pipes close a moment before it does."""
        try:
            status = self._process.wait(_MOMENT_S)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        if status >= 0:
            return f"exited with status {status}"
        known = [signum.name for signum in signal.Signals if signum == -status]
        return f"was ended by {known[0] if known else f'signal {-status}'}"

    def kill(self, label: str) -> None:
        """End the child and its whole group now."""
        self._kill_group()
        self.release(label)

    def release(self, label: str) -> None:
        """Let the child end by itself, which its watcher makes sure of within half a second."""
        os.close(self._requests)
        deadline = time.monotonic() + _RELEASE_S
        while not self.has_ended and time.monotonic() < deadline:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_LOOK_S)
            self.output.drain(label)  # or a full pipe would keep it from ending
        if not self.has_ended:
            self._kill_group()
        self.output.drain(label)
        self.output.end_call(label)
        for fd in (self._answers, self.output.fd):
            os.close(fd)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # it is gone already
            os.killpg(self._process.pid, signal.SIGKILL)
        try:
            self._process.wait(_RELEASE_S)
        except subprocess.TimeoutExpired:  # it hangs inside the kernel, in a file system perhaps
            _log.warning("process %d does not end although it was killed", self._process.pid)


def _judged(answer: dict[str, Any], dropped: str) -> dict[str, Any]:
    """The answer; a failure that says so where all went well but for output that was dropped."""
    if not dropped or "error" in answer:
        return answer
    then = "it ran to its end, and is not run again: let it print less, or into a file"
    return {"error": f"it {dropped}; {then}", "is_final": True}
