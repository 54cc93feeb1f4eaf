"""The listener's end of the protocol's pipes: waiting, answering, the watchdog.

supervisord's ends are in this process. What a whole listener does with them is in tests/test_app.py.
"""

from __future__ import annotations

import io
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from listener import log
from listener.errors import FramingError, HooksError, Unheard
from listener.supervisord import pipe
from listener.supervisord.frames import Frame
from listener.supervisord.pipe import ProtocolDescriptors, SupervisorSource, is_supervised
from tests.support import event

SILENCE_S = 0.2
TICK = event("when:1", eventname="TICK_5")


class Peer:
    """supervisord's ends of the pipes to a source in this process."""

    def __init__(self) -> None:
        events, self.events = os.pipe()
        self.answers, answers = os.pipe()
        descriptors = object.__new__(ProtocolDescriptors)  # leaves this process's 0 and 1 alone
        descriptors.events, descriptors.answers = events, answers
        self._descriptors = descriptors

    def source(self, *, is_supervised: bool = False) -> SupervisorSource:
        return SupervisorSource(self._descriptors, is_supervised=is_supervised, silence_s=SILENCE_S)

    def end_after(self, seconds: float) -> None:
        """Close stdin of the listener, that much later."""
        threading.Timer(seconds, os.close, [self.events]).start()

    def serve(self, *, is_supervised: bool, action_s: float = 0) -> list[str]:
        """The names of the events served until stdin ended."""
        served = []

        def handle(frame: Frame) -> None:
            served.append(frame.eventname)
            threading.Event().wait(action_s)

        self.source(is_supervised=is_supervised).serve(handle, lambda: None, lambda: SILENCE_S / 4)
        return served


@pytest.fixture
def peer() -> Iterator[Peer]:
    ending = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {signum: signal.getsignal(signum) for signum in ending}
    yield Peer()
    signal.set_wakeup_fd(-1)
    for signum, handler in before.items():
        signal.signal(signum, handler)


def test_silence_after_a_tick_means_that_supervisord_no_longer_hears_us(peer: Peer) -> None:
    os.write(peer.events, TICK)
    with pytest.raises(Unheard, match="state UNKNOWN"):
        peer.serve(is_supervised=True)


@pytest.mark.parametrize(("first", "is_supervised"), [(event("x"), True), (TICK, False), (b"", True)])
def test_silence_means_nothing_without_a_tick_or_without_supervisord(
    peer: Peer, first: bytes, is_supervised: bool
) -> None:
    os.write(peer.events, first)
    peer.end_after(SILENCE_S * 2)
    assert len(peer.serve(is_supervised=is_supervised)) == (1 if first else 0)


def test_the_time_that_actions_take_is_no_silence(peer: Peer) -> None:
    os.write(peer.events, TICK * 2)
    peer.end_after(SILENCE_S * 4.5)
    assert peer.serve(is_supervised=True, action_s=SILENCE_S * 2) == ["TICK_5", "TICK_5"]


def test_every_event_is_finished_after_its_answer_also_when_nobody_takes_that(peer: Peer) -> None:
    os.write(peer.events, TICK * 2)
    os.set_blocking(peer.answers, False)
    heard: list[bytes] = []

    def finish() -> None:
        heard.append(os.read(peer.answers, 100))
        os.close(peer.answers)

    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        peer.source().serve(lambda frame: None, finish, lambda: None)

    assert heard == [b"RESULT 2\nOKREADY\n"]
    assert isinstance(caught.value.__context__, BrokenPipeError)


def test_a_wait_ends_with_a_signal_and_after_a_second_interrupt_nothing_is_waited_for(
    peer: Peer,
) -> None:
    source = peer.source()
    assert not source.pause(0.0)
    assert not source.has_event()
    signal.raise_signal(signal.SIGINT)
    assert source.pause(60.0)
    assert source.has_event()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("is_supervised", [True, False])
def test_nothing_more_is_begun_when_supervisord_has_gone_and_all_of_a_closed_stdin_is_served(
    peer: Peer, is_supervised: bool
) -> None:
    source = peer.source(is_supervised=is_supervised)
    assert not source.is_left_alone()
    os.close(peer.events)
    assert source.is_left_alone() is is_supervised
    signal.raise_signal(signal.SIGTERM)
    assert source.is_left_alone()


def test_a_wait_ends_with_stdin_and_there_is_no_second_one(peer: Peer) -> None:
    os.write(peer.events, event("not read yet"))
    source = peer.source()
    assert not source.pause(0.0)
    peer.end_after(SILENCE_S)
    assert not source.pause(60.0)
    with pytest.raises(Unheard, match="stdin has ended while the journal could not be written"):
        source.pause(60.0)


def test_after_a_signal_the_event_in_hand_is_answered_and_no_other_begun(peer: Peer) -> None:
    os.write(peer.events, TICK * 2)
    said: list[str] = []

    def handle(_frame: Frame) -> None:
        signal.raise_signal(signal.SIGTERM)

    peer.source().serve(handle, lambda: said.append("finished"), lambda: None, said.append)
    assert said == ["SIGTERM", "finished"]
    assert os.read(peer.answers, 100) == b"RESULT 2\nOK"


def test_an_end_inside_an_event_is_an_error_without_an_answer(peer: Peer) -> None:
    os.write(peer.events, event("x")[:-1])
    os.close(peer.events)
    with pytest.raises(FramingError, match="stdin ended inside an event"):
        peer.serve(is_supervised=False)
    assert select.select([peer.answers], [], [], 0)[0] == []


@pytest.fixture
def own() -> Iterator[None]:
    """Descriptors 0 and 1 are put back."""
    kept = [os.dup(number) for number in (0, 1)]
    yield
    for number, copy in enumerate(kept):
        os.dup2(copy, number)
        os.close(copy)


@pytest.mark.usefixtures("own")
def test_what_else_reads_and_writes_does_not_speak_to_supervisord() -> None:
    (theirs, events), (answers, other) = os.pipe(), os.pipe()
    os.dup2(theirs, 0)
    os.dup2(other, 1)
    descriptors = ProtocolDescriptors()
    os.write(events, b"event")
    os.write(descriptors.answers, b"answer")
    assert (os.read(0, 9), os.read(descriptors.events, 9)) == (b"", b"event")
    assert os.path.sameopenfile(1, 2)
    assert os.read(answers, 9) == b"answer"
    for number in (theirs, events, answers, other, descriptors.events, descriptors.answers):
        os.close(number)


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("closed", [0, 1])
def test_a_descriptor_that_is_closed_is_an_error(closed: int) -> None:
    os.close(closed)
    with pytest.raises(HooksError, match="listen needs stdin and stdout, one of them is closed"):
        ProtocolDescriptors()


def test_the_log_is_written_when_no_event_comes_soon(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    to_come: list[bytes] = []
    waits: Iterator[Callable[[], object]] = iter(
        [
            lambda: None,
            lambda: os.write(peer.events, event("there already", eventname="OTHER")),
            lambda: to_come.append(event("seen while looking", eventname="OTHER")),
            lambda: None,
            lambda: os.close(peer.events),
        ]
    )

    def between() -> float:
        next(waits)()
        return 0.0

    monkeypatch.setattr(os, "sched_yield", lambda: to_come and os.write(peer.events, to_come.pop()))
    monkeypatch.setattr(log, "flush", lambda: happened.append("written"))
    os.write(peer.events, event("first", eventname="OTHER"))
    peer.source().serve(lambda frame: happened.append(frame.payload), lambda: None, between)

    assert happened == ["first", "there already", "seen while looking", "written"]


@pytest.mark.parametrize(
    ("env", "cmdline", "expected"),
    [
        ({}, b"supervisord", False),
        ({"SUPERVISOR_ENABLED": "1"}, b"/usr/bin/python3\0/usr/bin/supervisord\0-n", True),
        ({"SUPERVISOR_ENABLED": "1"}, b"python\0-m\0supervisor.supervisord", True),
        ({"SUPERVISOR_ENABLED": "1"}, b"bash", False),
        ({"SUPERVISOR_ENABLED": "1"}, None, True),
    ],
)
def test_being_supervised_takes_more_than_an_inherited_variable(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], cmdline: bytes | None, expected: bool
) -> None:
    def opened(_path: str, _mode: str) -> io.BytesIO:
        if cmdline is None:
            raise FileNotFoundError
        return io.BytesIO(cmdline)

    monkeypatch.setattr(pipe, "open", opened, raising=False)
    assert is_supervised(env, os.getppid()) is expected
