"""supervisord's event listener protocol, without any I/O.

Turns the bytes that supervisord writes into Frames, and owns the words that are written back. It
knows no file descriptor and no notification; pipe.py feeds it.

The length in a frame's header counts characters, not bytes (Supervisor issue 1243; its
documentation says bytes), so the decoder reads UTF-8 incrementally and counts code points.
"""

import codecs
import re
from collections.abc import Iterator
from typing import NamedTuple

from listener.errors import FramingError, UnreadableNotification

READY = b"READY\n"
OK = b"RESULT 2\nOK"

COMMUNICATION_EVENTS = frozenset(("PROCESS_COMMUNICATION_STDOUT", "PROCESS_COMMUNICATION_STDERR"))
REMOTE = "REMOTE_COMMUNICATION"
"""What a client of supervisord's XML-RPC has sent."""
TICK = "TICK_5"

MAX_HEADER = 4096
"""Characters. supervisord's headers have about 150; a longer line is not a header."""


class Frame(NamedTuple):
    """One event as supervisord sent it: the header's values and the payload's text.

    `serial` counts all events of one supervisord, `poolserial` those of this listener's pool; both
    stay the same when an event is delivered again.
    """

    eventname: str
    serial: int
    poolserial: int
    payload: str

    def communication(self) -> tuple[str, str]:
        """The name of the program and what it wrote, of a PROCESS_COMMUNICATION event.

        Raises UnreadableNotification when the payload does not begin with supervisord's own line.
        """
        line, newline, data = self.payload.partition("\n")
        if not newline or not line.startswith("processname:"):
            raise UnreadableNotification(
                "the payload should begin with supervisord's line 'processname:… groupname:… pid:…',"
                f" found {line[:80]!r}; is stdin really connected to supervisord?"
            )
        return line.split(" ", 1)[0].removeprefix("processname:"), data


class FrameDecoder:
    """Bytes in, Frames out, in whatever pieces the bytes come.

    Bytes that are not UTF-8 count one character each and become lone surrogates: what they stand
    in is still one frame, and its reader can refuse it alone.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._header: tuple[str, int, int] | None = None
        self._pieces: list[str] = []  # of the header or the payload in hand
        self._missing = 0  # characters of the payload in hand

    @property
    def is_inside_frame(self) -> bool:
        """Whether a frame has begun whose end has not been seen."""
        undecoded, _ = self._decoder.getstate()
        return bool(undecoded or self._pieces or self._header)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Every frame that `data` completes. Raises FramingError at the first thing that is none."""
        text = self._decoder.decode(data)
        while text or self._header:
            if self._header is None:
                text = self._take_header(text)
                continue
            missing = self._missing
            if len(text) < missing:
                self._pieces.append(text)
                self._missing = missing - len(text)
                return
            payload, text = text[:missing], text[missing:]
            if self._pieces:
                payload = "".join((*self._pieces, payload))
                self._pieces.clear()
            header, self._header = self._header, None
            yield Frame(*header, payload)

    def _take_header(self, text: str) -> str:
        """Read the header if `text` completes it, else keep it for later; return what follows."""
        if self._pieces:
            text = "".join((*self._pieces, text))
            self._pieces.clear()
        match = re.match(_HEADER, text)
        if match is not None:
            serial, poolserial, eventname, length = match.groups()
            self._header, self._missing = (eventname, int(serial), int(poolserial)), int(length)
            return text[match.end() :]
        line, newline, _ = text.partition("\n")
        if newline or len(line) > MAX_HEADER:
            raise FramingError(
                "reading an event's header: expected 'ver:3.0 server:… serial:… pool:… poolserial:…"
                f" eventname:… len:…', found {line[:80]!r}; is stdin really connected to supervisord?"
            )
        self._pieces.append(text)
        return ""


_HEADER = (
    r"ver:\S+ server:.* serial:([0-9]{1,18}) pool:.* poolserial:([0-9]{1,18}) eventname:(\S+)"
    r" len:([0-9]{1,18})\n"
)
"""In the order in which supervisord writes it; an identifier may hold colons and spaces."""
