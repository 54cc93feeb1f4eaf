"""A supervisord for one listener: it says what to send and when, and nothing else is going on.

Owns the listener's process and the rules of supervisord that matter here: one event at a time, the one
that was not answered again before all others, a new listener for one that has ended. It runs under this
name because a listener asks whether its parent is a supervisord; double.py starts it and talks to it.

    supervisord_double.py LOG    a JSON object a line on stdin (orders) and on stdout (what happened)
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections import deque
from contextlib import suppress
from typing import Any

_LIMIT_S = 5.0


class Double:
    """Orders: `listener` (what is started from now on), `start`, `event`, `signal`."""

    def __init__(self, log: str) -> None:
        self._log = log
        self._listener: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False
        self._in_hand: dict[str, Any] | None = None
        self._waiting: deque[dict[str, Any]] = deque()
        self._heard = b""
        self._pipes: list[int] = []  # the listener's stdout and stderr

    def serve(self) -> None:
        """Until stdin ends; the listener is ended then, and killed when it does not end."""
        orders = b""
        while True:
            ready, _, _ = select.select([0, *self._pipes], [], [])
            for fd in self._pipes[1:]:
                if fd in ready:
                    self._keep_log()
            for fd in self._pipes[:1]:
                if fd in ready:
                    self._listen()
            if 0 in ready:
                data = os.read(0, 1 << 20)
                if not data:
                    break
                *lines, orders = (orders + data).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_LIMIT_S)
            self._process.kill()
            self._process.wait()

    def _take(self, order: dict[str, Any]) -> None:
        if "listener" in order:
            self._listener = order["listener"]
        elif "event" in order:
            self._waiting.append(order["event"])
            self._dispatch()
        elif "signal" in order and self._process is not None:
            self._process.send_signal(order["signal"])
        elif "start" in order and self._process is None:
            self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._listener["command"],
            env={**os.environ, "SUPERVISOR_ENABLED": "1", **self._listener["env"]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        assert self._process.stdout and self._process.stderr
        self._pipes = [self._process.stdout.fileno(), self._process.stderr.fileno()]
        self._is_ready = False
        self._heard = b""
        self._tell(started=self._process.pid)

    def _keep_log(self) -> bool:
        """Whether there was anything. By a pipe, since a limit on files is not to hit the log."""
        data = os.read(self._pipes[1], 1 << 16)
        with open(self._log, "ab") as log:
            log.write(data)
        if not data:
            del self._pipes[1:]
        return bool(data)

    def _after_its_end(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin and process.stdout and process.stderr
        status = process.wait()
        while self._pipes[1:] and self._keep_log():
            pass
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()
        self._process, self._pipes = None, []
        if self._in_hand is not None:
            self._waiting.appendleft(self._in_hand)
            self._in_hand = None
        self._tell(ended=process.pid, status=status)
        if self._listener["autorestart"]:
            self._start()

    def _listen(self) -> None:
        assert self._process is not None
        data = os.read(self._pipes[0], 4096)
        if not data:
            self._after_its_end(self._process)
            return
        self._heard += data
        if self._heard.startswith(b"RESULT 2\nOK"):
            assert self._in_hand is not None
            self._heard = self._heard[len(b"RESULT 2\nOK") :]
            self._tell(answered=self._in_hand["serial"])
            self._in_hand = None
        if self._heard == b"READY\n":
            self._heard = b""
            self._is_ready = True
            self._tell(ready=self._process.pid)
            self._dispatch()
        elif self._heard and not b"READY\n".startswith(self._heard):
            self._tell(stray=repr(self._heard))

    def _dispatch(self) -> None:
        if not (self._is_ready and self._waiting) or self._process is None:
            return
        assert self._process.stdin is not None
        self._in_hand = self._waiting.popleft()
        self._is_ready = False
        data = self._in_hand["frame"].encode("utf-8", "surrogateescape")
        with suppress(BrokenPipeError):  # its end comes next, and with it another one
            self._process.stdin.write(data)

    def _tell(self, **what: Any) -> None:
        os.write(1, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    Double(sys.argv[1]).serve()
