"""The listener's end of supervisord's event listener protocol: file descriptors 0 and 1.

Owns the two descriptors, the waiting, SIGTERM and the watchdog; frames.py knows what the bytes
mean, and the caller's function what to do with an event. Nothing else in the process may read from
supervisord or write to it: one stray byte on stdout and supervisord never sends another event.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Mapping

from listener.errors import FramingError, HooksError, Unheard
from listener.supervisord.frames import OK, READY, TICK, Frame, FrameDecoder

_READ_BYTES = 65536  # what a pipe holds

LOOK_S = 120e-6
"""So long the next event is looked for without sleeping."""

SILENCE_S = 12.0
"""Two TICK_5 periods and the 1.6 s that supervisord may be late."""


class ProtocolDescriptors:
    """Private copies of stdin and stdout, out of reach of whatever runs in this process.

    From here on, descriptor 0 is /dev/null and descriptor 1 is stderr, so that a print, a C library
    or a child process cannot speak to supervisord. Raises HooksError when one of them is closed.
    """

    def __init__(self) -> None:
        try:
            os.fstat(1)  # were it closed, the next line would take its place
            self.events = os.dup(0)
            self.answers = os.dup(1)
        except OSError as error:
            raise HooksError(
                "listen needs stdin and stdout, one of them is closed; supervisord starts it with both,"
                " in an [eventlistener:…] section"
            ) from error
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(2, 1)
        os.close(null)


class SupervisorSource:
    """Serves events until stdin ends or SIGTERM comes.

    `is_supervised` allows the watchdog: it is armed by the first TICK_5 and ends the process when
    nothing has come for `silence_s` seconds of waiting.
    """

    def __init__(
        self, descriptors: ProtocolDescriptors, *, is_supervised: bool, silence_s: float = SILENCE_S
    ) -> None:
        self._events = descriptors.events
        self._answers = descriptors.answers
        self.is_supervised = is_supervised
        self._silence_s = silence_s
        self._decoder = FrameDecoder()
        self._is_armed = False
        self.is_stopping = False
        self._stopping: Callable[[str], None] = lambda _signal: None
        self._wakeup, wakeup_writer = os.pipe()
        os.set_blocking(wakeup_writer, False)
        signal.set_wakeup_fd(wakeup_writer, warn_on_full_buffer=False)
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # HUP: "read your file again"
            signal.signal(signum, self._stop)
        self._poll = select.poll()
        self._poll.register(self._events, select.POLLIN)
        self._poll.register(self._wakeup, select.POLLIN)
        self._end = select.poll()
        self._end.register(self._events, 0)  # asks for POLLHUP alone
        self._end.register(self._wakeup, select.POLLIN)

    def say_ready(self) -> None:
        """Ask supervisord for the first event."""
        self._write(READY)

    def has_event(self) -> bool:
        """Whether there is something to read already, or to stop for."""
        return bool(self._poll.poll(0))

    def is_left_alone(self) -> bool:
        """Whether to begin nothing more: asked to stop, or the supervisord that runs us has gone.

        Without a supervisord, all frames of a closed stdin are still to be served.
        """
        return self.is_stopping or (self.is_supervised and self._has_ended())

    def _has_ended(self) -> bool:
        return self._events in dict(self._end.poll(0))

    def serve(
        self,
        handle: Callable[[Frame], None],
        finish: Callable[[], None],
        between: Callable[[], float | None],
        stopping: Callable[[str], None] = lambda _signal: None,
    ) -> None:
        """Hand every event to `handle`, answer OK after it returned, and call `finish` after that.

        `between` is called whenever the listener is about to wait for supervisord; it returns the
        seconds after which it wants to be called again, or None. Returns at the end of stdin or after
        SIGTERM, SIGINT or SIGHUP, when the event in hand has been answered. Raises FramingError, with
        no answer given, when stdin is not the protocol, and Unheard when supervisord has fallen silent.
        `stopping` gets the name of the signal that ends all this, at once: also while a hook runs.
        """
        self._stopping = stopping
        while data := self._read(between):
            for frame in self._decoder.feed(data):
                if frame.eventname == TICK:
                    self._is_armed = self.is_supervised
                handle(frame)
                is_last = self.is_stopping
                try:
                    self._write(OK if is_last else OK + READY)
                finally:
                    finish()
                if is_last:
                    return
        if self._decoder.is_inside_frame and not self.is_stopping:
            raise FramingError("stdin ended inside an event; write all of it")

    def pause(self, seconds: float) -> bool:
        """Wait, but not beyond SIGTERM or the end of stdin; whether the listener was asked to stop.

        Raises Unheard when stdin had ended before: no answer can be given any more.
        """
        if self._has_ended():
            raise Unheard(
                "stdin has ended while the journal could not be written: an event without an answer is"
                " lost unless supervisord recorded it"
            )
        self._end.poll(seconds * 1000)
        return self.is_stopping

    def _read(self, between: Callable[[], float | None]) -> bytes:
        """What supervisord wrote; b'' at the end of stdin or when asked to stop."""
        silent_from = time.monotonic() + self._silence_s
        while True:
            wait_s = between()
            if self._is_armed:
                silence_s = max(0.0, silent_from - time.monotonic())
                wait_s = silence_s if wait_s is None else min(wait_s, silence_s)
            if self._is_soon() or self._poll.poll(None if wait_s is None else wait_s * 1000):
                return b"" if self.is_stopping else os.read(self._events, _READ_BYTES)
            if self._is_armed and time.monotonic() >= silent_from:
                raise Unheard(
                    f"no event for {self._silence_s:.0f} s although TICK_5 is subscribed: supervisord"
                    " has this listener in state UNKNOWN; leaving, so that it starts a new one"
                )

    def _is_soon(self) -> bool:
        """Look for the next event without sleeping, for as long as supervisord needs to send it.

        When events come one after another, putting this process to sleep and waking it again takes
        longer than all that it does for one; between single events this costs next to nothing.
        """
        if self.has_event():
            return True
        from listener import log  # READY does not wait for logging

        until = time.monotonic() + LOOK_S
        while not (is_there := self.has_event()) and time.monotonic() < until:
            os.sched_yield()
        if not is_there:
            log.flush()
        return is_there

    def _write(self, answer: bytes) -> None:
        while answer:
            answer = answer[os.write(self._answers, answer) :]

    def _stop(self, signum: int, _frame: object) -> None:
        self.is_stopping = True
        if signum == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C ends at once
        self._stopping(signal.Signals(signum).name)


def is_supervised(env: Mapping[str, str], parent: int) -> bool:
    """Whether supervisord is the parent of this process, as far as /proc shows.

    A shell under supervisord hands SUPERVISOR_ENABLED on to what is started in it, so the variable
    alone proves nothing.
    """
    if "SUPERVISOR_ENABLED" not in env:
        return False
    try:
        with open(f"/proc/{parent}/cmdline", "rb") as cmdline:
            program = cmdline.read().split(b"\0")[:4]  # `python -m supervisor.supervisord`, say
    except OSError:
        return True  # no /proc on this system
    return any(name.split(b"/")[-1].startswith((b"supervisord", b"supervisor.")) for name in program)
