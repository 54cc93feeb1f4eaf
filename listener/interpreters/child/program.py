"""One program, started as a request on a channel says; its end is said on that channel, too.

Owns what a program is started with: its standard input, its environment, a session of its own. It waits
for none: server.py sees them end. The listener's call.py is the other end of the channel.
"""

import contextlib
import json
import os
import pickle
import subprocess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional


class Program:
    """A program that runs. The channel gets its process ID, and a line of JSON when it has ended."""

    def __init__(self, process: "subprocess.Popen[bytes]", channel: int) -> None:
        self._process = process
        self._channel = channel
        self.pid = process.pid

    def say_end(self, wait_status: int) -> None:
        """Hand over how it has ended, and close the channel."""
        self._process.returncode = wait_status  # subprocess need not wait for it
        _say(self._channel, {"status": wait_status})


def start(channel: int, output: int) -> "Optional[Program]":
    """Start what the channel asks for; None, and the reason on the channel, when that cannot be.

    Texts come as bytes, since this Python may encode them in another way than the listener's.
    """
    try:
        with open(channel, "rb", closefd=False) as requests:
            request = pickle.load(requests)
    except (EOFError, pickle.UnpicklingError):
        os.close(channel)
        return None  # the listener has gone
    try:
        process = _started(request, output)
    except OSError as error:
        os.write(channel, b"0\n")
        is_of_cwd = error.filename is not None and error.filename == request["cwd"]
        reason = {"error": str(error.strerror), "errno": error.errno, "is_of_cwd": is_of_cwd}
        _say(channel, reason)
        return None
    os.write(channel, b"%d\n" % process.pid)
    return Program(process, channel)


def _started(request: "Dict[str, Any]", output: int) -> "subprocess.Popen[bytes]":
    env = dict(os.environb)
    env.update(request["env"])
    # A file, not a pipe: a program that does not read it cannot block the writer.
    with _memory_file() as stdin:
        stdin.write(request["stdin"])
        stdin.seek(0)
        return subprocess.Popen(
            request["argv"],
            executable=request["executable"],
            env=env,
            cwd=request["cwd"],
            stdin=stdin,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _memory_file() -> "Any":
    """On no disk, which may be full, where this Python can make one."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("notification"), "w+b")
    import tempfile

    return tempfile.TemporaryFile()


def _say(channel: int, answer: "Dict[str, Any]") -> None:
    with contextlib.suppress(OSError):  # the listener does not wait any more
        os.write(channel, json.dumps(answer).encode() + b"\n")
    os.close(channel)
