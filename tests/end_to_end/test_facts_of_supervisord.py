"""What a real supervisord does that nobody expects of it, and what keeps ours from harm.

What is supervisord's own doing is shown with a small listener beside ours that writes down what it
is sent; what keeps ours from harm is shown with our listener and the section as it is shipped.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import sys
import termios
from collections import Counter
from collections.abc import Iterator
from configparser import RawConfigParser
from contextlib import contextmanager
from pathlib import Path
from select import PIPE_BUF
from typing import Any

import pytest

from listener.cli.shipped import shipped
from listener.supervisord.emit import ATOMIC_FRAME
from tests.end_to_end.real_supervisord import NOTE, RealSupervisord, ids, notification_frame, running
from tests.support import frame_of, wait_for

OTHER_LISTENER = r"""
import os, re, sys

sent, manner = sys.argv[1:]
with open(sent) as file:
    known = set(file)
while True:
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    header = re.search(r" serial:(\d+) .* poolserial:(\d+) .* len:(\d+)$", sys.stdin.readline())
    sys.stdin.read(int(header[3]))
    event = f"{header[1]} {header[2]}\n"
    with open(sent, "a") as file:
        file.write(event)
    is_first, is_new = not known, event not in known
    known.add(event)
    if manner == "dies over" and is_new:
        os._exit(1)
    answer = "FAIL" if manner == "refuses" and is_new else "OK"
    sys.stdout.write(f"RESULT {len(answer)}\n{answer}")
    if manner == "leaves after the first" and is_first:
        sys.exit(0)
"""

WRITERS = """
import json, os, signal, sys
from listener import emit

for file in sys.argv[1:]:
    if os.fork() == 0:
        with open(file) as lines:
            notifications = [json.loads(line) for line in lines]
        for notification in notifications:
            emit(notification)
        break
signal.alarm(60)  # what a program wrote just before its end may be lost
signal.pause()
"""

SMALL = """
hooks:
  - event_type: "*"
    implementation: small_functions.note
"""
SMALL_FUNCTIONS = """
import json, os

def note(context):
    with open(os.environ["TEST_NOTES"], "a") as notes:
        notes.write(json.dumps(["done", context["execution_id"], None]) + "\\n")
"""


class OtherListener:
    """A listener beside ours: `manner` says how it takes an event that it is sent for the first time.

    What it is sent again it accepts, so that nothing goes round for ever.
    """

    def __init__(
        self, supervisord: RealSupervisord, name: str, manner: str = "accepts", **settings: str
    ) -> None:
        self._sent = supervisord.folder / f"{name}.sent"
        self._sent.touch()
        defaults = {"events": "PROCESS_COMMUNICATION", "startsecs": "0"}
        program = supervisord.folder / f"{name}_listener.py"  # another is perhaps just being read
        program.write_text(OTHER_LISTENER)
        command = shlex.join([sys.executable, str(program), str(self._sent), manner])
        add_section(supervisord, "eventlistener", name, command, **{**defaults, **settings})

    def sent(self) -> list[tuple[int, int]]:
        """Serial and poolserial of every event that supervisord has sent to it, in order."""
        lines = self._sent.read_text().splitlines()
        return [(int(serial), int(poolserial)) for serial, poolserial in map(str.split, lines)]

    def wait_until_sent(self, count: int) -> None:
        wait_for(f"{count} events of a listener beside ours", lambda: len(self.sent()) >= count)


def add_section(
    supervisord: RealSupervisord, kind: str, name: str, command: str, **settings: str
) -> None:
    """Have a running supervisord start one more program."""
    wait_for("supervisord", supervisord.state)
    lines = "".join(f"{key}={value}\n" for key, value in settings.items())
    with supervisord.conf.open("a") as conf:
        conf.write(f"\n[{kind}:{name}]\ncommand={command}\n{lines}")
    assert f"{name}: added process group" in supervisord.supervisorctl("update")


def shipped_setting(name: str) -> str:
    """What the shipped section has there."""
    section = RawConfigParser()
    section.read(shipped("supervisor.d/conductor-hooks.conf"))
    return section["eventlistener:conductor-hooks"][name]


@contextmanager
def output_of(pid: int, fd: int = 1) -> Iterator[int]:
    """A process's stdout or stderr, to be written to as another process that shares it does."""
    pipe = os.open(f"/proc/{pid}/fd/{fd}", os.O_WRONLY)
    try:
        yield pipe
    finally:
        os.close(pipe)


def wait_for_notes(supervisord: RealSupervisord, count: int) -> None:
    """Reads none before all are there, as half a line of them can be seen while it is written."""
    notes = supervisord.notes_file
    wait_for(f"{count} notes", lambda: notes.read_bytes().count(b"\n") >= count)


def program_pid(supervisord: RealSupervisord) -> int:
    return int(supervisord.supervisorctl("pid", "workflows"))


def unread(pipe: int) -> int:
    """How many bytes wait in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def bytes_written(pid: int) -> int:
    return int(Path(f"/proc/{pid}/io").read_text().split()[3])


@pytest.mark.parametrize("manner", ["refuses", "dies over"])
def test_what_a_listener_does_not_take_comes_again_to_all_listeners_of_its_priority(
    manner: str,
) -> None:
    ours = shipped_setting("priority")
    with running(NOTE, wait=False) as supervisord:
        same = OtherListener(supervisord, "same", priority=ours)
        different = OtherListener(supervisord, "different", priority=str(int(ours) + 1))
        neighbour = OtherListener(supervisord, "neighbour", manner, priority=ours, autorestart="true")
        supervisord.emit("workflow_started", "e-1")
        neighbour.wait_until_sent(2)
        supervisord.emit("workflow_started", "behind all that comes again")
        same.wait_until_sent(4)
        neighbour.wait_until_sent(4)  # SIGTERM to what is just being spawned is lost
        wait_for("the last event", lambda: len(set(different.sent())) == 2)
        assert Counter(same.sent()) == dict.fromkeys(same.sent(), 2)
        assert Counter(different.sent()) == dict.fromkeys(different.sent(), 1)


def test_with_the_shipped_priority_what_usual_neighbours_refuse_comes_only_once() -> None:
    with running(NOTE) as supervisord:
        like_ours = OtherListener(supervisord, "like-ours", priority=shipped_setting("priority"))
        neighbours = [
            OtherListener(supervisord, "usual", "refuses"),
            OtherListener(supervisord, "sample", "refuses", priority="-1"),  # echo_supervisord_conf
        ]
        for name in ids(5):
            supervisord.emit("workflow_started", name)
        for neighbour in neighbours:
            neighbour.wait_until_sent(10)
        supervisord.emit("workflow_started", "behind all that comes again")
        wait_for("the last event", lambda: len(set(like_ours.sent())) == 6)
        wait_for_notes(supervisord, 6)
        assert Counter(like_ours.sent()) == dict.fromkeys(like_ours.sent(), 1)
        assert supervisord.notes() == [*ids(5), "behind all that comes again"]


def test_a_pipe_full_of_tiny_frames_makes_supervisord_deaf_to_that_stdout_for_ever() -> None:
    with running(SMALL) as supervisord:
        (supervisord.folder / "small_functions.py").write_text(SMALL_FUNCTIONS)
        pid = program_pid(supervisord)
        with output_of(pid) as stdout, output_of(pid, 2) as stderr:
            sent = tiny_names(stdout)
            os.write(stdout, b"".join(map(tiny, sent)))
            wait_for("the error", lambda: "RecursionError" in supervisord.supervisord_log())
            os.write(stdout, tiny("the last"))  # supervisord stops listening after one more read
            wait_for("one more read", lambda: unread(stdout) == 0)
            os.write(stdout, tiny("never"))
            os.write(stderr, frame_of(small("on stderr")))
            last = b'"on stderr", null]\n'
            wait_for("its stderr", lambda: last in supervisord.notes_file.read_bytes())
            assert unread(stdout) == len(tiny("never"))
        arrived = [name for name in supervisord.notes() if name in sent]
        assert arrived == sent[: len(arrived)]
        assert len(arrived) < len(sent)


def test_as_many_frames_as_emit_makes_them_all_arrive_from_full_pipes() -> None:
    with running(SMALL) as supervisord:
        (supervisord.folder / "small_functions.py").write_text(SMALL_FUNCTIONS)
        with output_of(program_pid(supervisord)) as stdout:
            sent = tiny_names(stdout)
            frames = [frame_of(small(name)) for name in sent]
            in_a_pipe = fcntl.fcntl(stdout, fcntl.F_GETPIPE_SZ) // max(map(len, frames))
            for start in range(0, len(frames), in_a_pipe):
                wait_for("an empty pipe", lambda: unread(stdout) == 0)
                os.write(stdout, b"".join(frames[start : start + in_a_pipe]))
        wait_for_notes(supervisord, len(sent))
        assert supervisord.notes() == sent
        assert "RecursionError" not in supervisord.supervisord_log()


def small(name: str) -> dict[str, Any]:
    return {"event_type": "x", "context": {"execution_id": name}, "id": name}


def tiny(name: str) -> bytes:
    """What emit would print, without the padding."""
    text = json.dumps(small(name), separators=(",", ":"))
    return f"<!--XSUPERVISOR:BEGIN-->{text}<!--XSUPERVISOR:END-->\n".encode()


def tiny_names(pipe: int) -> list[str]:
    """Names for as many tiny frames as the pipe holds."""
    return ids(fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) // len(tiny("e-1000")))


def test_a_frame_that_another_process_wrote_into_is_named_and_the_next_event_is_acted_on() -> None:
    with running(NOTE) as supervisord:
        large = notification_frame("workflow_started", "large", text="x" * ATOMIC_FRAME)
        pid = program_pid(supervisord)
        with output_of(pid) as stdout:
            before = bytes_written(pid)
            supervisord.write(large[:ATOMIC_FRAME])
            wait_for("the first part", lambda: bytes_written(pid) == before + ATOMIC_FRAME)
            os.write(stdout, notification_frame("workflow_started", "of the other process"))
        supervisord.write(large[ATOMIC_FRAME:])
        supervisord.emit("workflow_started", "next")
        wait_for_notes(supervisord, 1)
        wait_for("the log", lambda: " ERROR " in supervisord.log())
        [error] = [line for line in supervisord.log().splitlines() if " ERROR " in line]
        assert "keep their frames at 4096 bytes or less" in error
        assert "from workflows, entry 1: nothing was run: the payload is not JSON" in error
        assert "workflow_started" in error
        assert supervisord.notes() == ["next"]
        assert supervisord.state() == "RUNNING"
        assert "event was rejected" not in supervisord.supervisord_log()


def test_frames_of_4096_bytes_from_processes_that_share_one_stdout_all_arrive_whole() -> None:
    with running(NOTE) as supervisord:
        written = {letter: [largest(letter, number) for number in range(100)] for letter in "abcd"}
        files = [supervisord.folder / f"{letter}.json" for letter in written]
        for file, notifications in zip(files, written.values(), strict=True):
            file.write_text("".join(json.dumps(one) + "\n" for one in notifications))
        program = supervisord.folder / "writers.py"
        program.write_text(WRITERS)
        command = shlex.join([sys.executable, str(program), *map(str, files)])
        together = {"stopasgroup": "true", "killasgroup": "true"}
        add_section(supervisord, "program", "w", command, stdout_capture_maxbytes="1MB", **together)
        wait_for_notes(supervisord, 400)
        noted = [json.loads(line)[1:] for line in supervisord.notes_file.read_text().splitlines()]
        for letter, notifications in written.items():
            contexts = [notification["context"] for notification in notifications]
            whole = [[context["execution_id"], context["deployment_id"]] for context in contexts]
            assert [note for note in noted if note[0].startswith(letter)] == whole
        assert len(noted) == 400
        assert " ERROR " not in supervisord.log()


def largest(letter: str, number: int) -> dict[str, Any]:
    """A notification whose frame is as large as a write may be that nothing gets into."""
    name = f"{letter}-{number}"
    context = {"execution_id": name, "workflow_id": "w", "tenant_name": "t", "deployment_id": ""}
    notification = {"event_type": "workflow_started", "context": context, "id": name}
    context["deployment_id"] = letter * (ATOMIC_FRAME - len(frame_of(notification)))
    assert len(frame_of(notification)) == ATOMIC_FRAME <= PIPE_BUF
    return notification


def test_the_default_buffer_discards_events_of_a_burst_and_each_is_a_missing_poolserial() -> None:
    with running(NOTE) as supervisord:
        default = OtherListener(supervisord, "default")
        supervisord.write(b"".join(notification_frame("workflow_started", name) for name in ids(400)))
        wait_for("the last event", lambda: 399 in poolserials(default))
        wait_for_notes(supervisord, 400)
        missing = set(range(400)) - poolserials(default)
        log = supervisord.supervisord_log()
        assert len(missing) == log.count("pool default event buffer overflowed, discarding event") > 0
        assert supervisord.notes() == ids(400)
        assert "pool conductor-hooks event buffer overflowed" not in log


def poolserials(listener: OtherListener) -> set[int]:
    return {poolserial for _, poolserial in listener.sent()}


def test_an_event_that_is_subscribed_to_by_two_names_comes_twice_and_as_shipped_once() -> None:
    with running(NOTE) as supervisord:
        events = "PROCESS_COMMUNICATION,PROCESS_COMMUNICATION_STDOUT"
        overlapping = OtherListener(supervisord, "overlapping", events=events)
        like_ours = OtherListener(supervisord, "like-ours", events=shipped_setting("events"))
        for name in ids(5):
            supervisord.emit("workflow_started", name)
        overlapping.wait_until_sent(10)
        like_ours.wait_until_sent(5)
        supervisord.emit("workflow_started", "behind all others")
        overlapping.wait_until_sent(12)
        like_ours.wait_until_sent(6)
        wait_for_notes(supervisord, 6)
        assert Counter(overlapping.sent()) == dict.fromkeys(overlapping.sent(), 2)
        assert Counter(like_ours.sent()) == dict.fromkeys(like_ours.sent(), 1)
        assert supervisord.notes() == [*ids(5), "behind all others"]


def test_a_listener_that_leaves_cleanly_comes_back_only_with_the_shipped_autorestart() -> None:
    with running(NOTE, wait=False) as supervisord:
        manner = "leaves after the first"
        default = OtherListener(supervisord, "default", manner)
        autorestart = shipped_setting("autorestart")
        like_ours = OtherListener(supervisord, "like-ours", manner, autorestart=autorestart)
        for name in ids(5):
            supervisord.emit("workflow_started", name)
        like_ours.wait_until_sent(5)
        wait_for("its end", lambda: "EXITED" in supervisord.supervisorctl("status", "default"))
        supervisord.emit("workflow_started", "behind all others")
        like_ours.wait_until_sent(6)
        assert len(default.sent()) == 1
        assert "EXITED" in supervisord.supervisorctl("status", "default")
