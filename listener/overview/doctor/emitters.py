"""The programs that print notifications, as supervisord captures them.

Owns what in their sections loses notifications, or a part of them. Of a program's log it reads the end.
"""

from __future__ import annotations

from collections.abc import Iterator

from supervisor.datatypes import byte_size

from listener.overview.doctor.facts import Facts
from listener.overview.finding import Finding
from listener.state.inspection import LAST
from listener.supervisord.configuration import Program

_BEGIN = b"<!--XSUPERVISOR:BEGIN-->"
_MARGIN = 1.25
_UPDATE = "then supervisorctl update"


def judge_emitters(facts: Facts) -> Iterator[Finding]:
    configuration = facts.supervisord.configuration
    if configuration is None:
        return
    programs = [program for program in configuration.programs if not program.events]
    found = [finding for program in programs for finding in _judge_emitter(program, facts)]
    yield from found
    if not (found or any(map(_captured_bytes, programs)) or facts.kept.arrivals.number):
        yield Finding(
            configuration.file,
            "no program has stdout_capture_maxbytes, so supervisord passes on no notification",
            f"stdout_capture_maxbytes=1MB in the section of each program that emits; {_UPDATE}",
        )


def _judge_emitter(program: Program, facts: Facts) -> Iterator[Finding]:
    captured, largest = _captured_bytes(program), facts.kept.arrivals.largest_bytes
    if not captured:
        if _BEGIN in facts.supervisord.end_of_log(program, "stdout"):
            what = "it emits, but has no stdout_capture_maxbytes, so supervisord passes on nothing"
            yield Finding(program.place, what, f"stdout_capture_maxbytes=1MB; {_UPDATE}")
        return
    if captured < largest * _MARGIN:
        yield Finding(
            program.place,
            f"stdout_capture_maxbytes is {captured} bytes: the largest of the last {LAST} notifications"
            f" had {largest}, and of a larger one supervisord cuts off the head",
            f"stdout_capture_maxbytes={_rounded(2 * largest)}; {_UPDATE}",
        )
    if program.process.redirect_stderr:
        what = "redirect_stderr is true: what it writes to stderr can get into a notification"
        yield Finding(program.place, what, f"redirect_stderr=false; {_UPDATE}")


def _captured_bytes(program: Program) -> int:
    process = program.process
    return int(process.stdout_capture_maxbytes or process.stderr_capture_maxbytes)


def _rounded(size_bytes: int) -> str:
    """As supervisord reads it."""
    sizes = (f"{2**power}MB" for power in range(20))
    return next(size for size in sizes if byte_size(size) >= size_bytes)
