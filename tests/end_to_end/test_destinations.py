"""The destinations of a trap, from the listener's process to the journal and to `replay`.

The receivers are real sockets, of which one is away at first.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from unittest.mock import ANY

import pytest

from listener.actions.registry import TRAP
from listener.model.outcome import Tally
from listener.state.filters import Filters
from listener.state.journal import Journal
from tests.support import event

COMMAND = [sys.executable, "-W", "error", "-m", "listener"]

NOTIFICATION = json.dumps({"event_type": "workflow_failed", "context": {"execution_id": "x1"}})


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def command(verb: str, *arguments: str, config: Path) -> list[str]:
    return [*COMMAND, verb, *arguments, "--config", str(config)]


def listen(config: Path, *, is_killed: bool) -> None:
    """A listener gets a notification; it ends with its stdin, or is killed after a TICK_5."""
    events = event(NOTIFICATION) + event("when:1", serial=2, eventname="TICK_5") * is_killed
    answers = b"READY\n" + b"RESULT 2\nOKREADY\n" * (1 + is_killed)
    pipe = subprocess.PIPE
    with subprocess.Popen(command("listen", config=config), stdin=pipe, stdout=pipe) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(events)
        process.stdin.flush()
        assert process.stdout.read(len(answers)) == answers
        if is_killed:
            process.kill()


class Receiver:
    """A receiver of traps that is away until it comes; its port is its own for all that time.

    The port is taken by a socket that hears only one peer: any other sender is refused.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._socket = self._bound(0)
        self._socket.connect(("127.0.0.1", 9))
        self.port: int = self._socket.getsockname()[1]
        self.name = f"127.0.0.1:{self.port}"

    def come(self) -> None:
        self._socket = self._bound(self.port)

    def _bound(self, port: int) -> socket.socket:
        bound = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        bound.setblocking(False)
        return bound

    def taken(self) -> int:
        """How many traps have come since this was last asked; loopback delivers at once."""
        number = 0
        with suppress(BlockingIOError):
            while self._socket.recv(65535):
                number += 1
        return number


@pytest.mark.parametrize("is_killed", [False, True], ids=["at the end", "at a tick"])
def test_what_was_reached_is_counted_and_left_out_until_all_is_to_be_done_again(
    tmp_path: Path, stack: ExitStack, is_killed: bool
) -> None:
    near, away = Receiver(stack), Receiver(stack)
    near.come()
    destinations = [
        {"destination_address": "127.0.0.1", "destination_port": each.port} for each in (near, away)
    ]
    inputs = {"community_string": "public", "destinations": destinations}
    hooks = [{"event_type": "workflow_failed", "implementation": TRAP, "inputs": inputs}]
    config = tmp_path / "hooks.conf"
    config.write_text(json.dumps({"hooks": hooks}))
    journal = stack.enter_context(closing(Journal(str(tmp_path / "state"))))

    listen(config, is_killed=is_killed)
    [entry] = journal.newest(Filters(), 9)
    assert (entry.state, entry.runs[0].reached) == ("failed", (near.name,))
    assert (near.taken(), away.taken()) == (1, 0)
    assert journal.tallies() == {near.name: Tally(1, 0, 0, ANY), away.name: Tally(0, 0, 1)}

    away.come()
    for options, expected in (((), (0, 1)), (("--all-actions",), (1, 1))):
        subprocess.run(command("replay", str(entry.id), *options, config=config), check=True)
        assert (near.taken(), away.taken()) == expected
    assert journal.tallies() == {near.name: Tally(2, 0, 0, ANY), away.name: Tally(2, 0, 1, ANY)}


def test_a_template_says_where_each_trap_goes(tmp_path: Path, stack: ExitStack) -> None:
    receivers = [Receiver(stack), Receiver(stack)]
    config = tmp_path / "hooks.conf"
    config.write_text(f"""\
hooks:
- event_type: workflow_failed
  implementation: {TRAP}
  inputs:
    destination_address: 127.0.0.1
    destination_port: !template "{{{{ execution_parameters.port }}}}"
    community_string: public
""")
    events = b""
    for serial, receiver in enumerate(receivers, 1):
        receiver.come()
        context = {"execution_id": f"x{serial}", "execution_parameters": {"port": receiver.port}}
        value = {"event_type": "workflow_failed", "context": context}
        events += event(json.dumps(value), serial=serial)

    subprocess.run(
        command("listen", config=config), input=events, stdout=subprocess.DEVNULL, check=True
    )

    assert [receiver.taken() for receiver in receivers] == [1, 1]
