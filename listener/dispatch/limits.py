"""How many runs of a hook begin within a time (`at_most`); those above that are suppressed.

Owns the count, which is kept in a note of the journal for each hook and group: the note changes in the
transaction that accepts an entry, so neither a kill nor another delivery counts a run twice. It runs
nothing; the dispatcher has it judge each new job, and asks it what is over.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec

from listener.dispatch.job import Job
from listener.hooks.table import AtMost, Hook
from listener.log import extra, loggable
from listener.model.delivery import Delivery, hook_suppressed
from listener.model.notification import iso_time, storable
from listener.state.journal import Journal

_log = logging.getLogger(__name__)

_PREFIX = "at_most "


class Window(msgspec.Struct, frozen=True):
    """The last runs of a hook, or of one group of them: the Unix times at which they were planned.

    So many were `suppressed` above them, the first at `since`, the last at `until`. `group` is the
    field by which is counted, and its value.
    """

    hook: str
    group: dict[str, Any]
    per_s: float
    planned: tuple[float, ...] = ()
    suppressed: int = 0
    since: float = 0.0
    until: float = 0.0

    def with_run(self, limit: AtMost, now: float) -> Window:
        """The window with one more run, which is suppressed if there are as many as the limit."""
        recent = tuple(at for at in self.planned if 0 <= now - at < limit.per_s)
        if len(recent) < limit.runs:
            return msgspec.structs.replace(self, per_s=limit.per_s, planned=(*recent, now))
        since = self.since if self.suppressed else now
        return msgspec.structs.replace(
            self, per_s=limit.per_s, suppressed=self.suppressed + 1, since=since, until=now
        )

    def is_over(self, at: float, now: float) -> bool:
        """Whether a time is no longer in the window; also if the clock was set back since."""
        return not 0 <= now - at < self.per_s


class Limits:
    """The windows of all hooks with a limit. They are read from the journal at the first need."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @cached_property
    def _windows(self) -> dict[str, Window]:
        """Each by the name of its note."""
        return self._journal.all_noted_as(_PREFIX, Window)

    def judge(self, jobs: Iterable[Job]) -> None:
        """Suppress what is above its hook's limit in new jobs. One accepted before is left alone."""
        judged: set[str | None] = set()
        for job in jobs:
            if [hook for hook in job.hooks if hook and hook.at_most]:
                key = job.entry.key
                if key not in judged and self._journal.find(str(key)) is None:
                    judged.add(key)
                    self._judge(job)

    def _judge(self, job: Job) -> None:
        notes = {}
        for position, hook in enumerate(job.hooks):
            if hook is not None and hook.at_most is not None:
                name, window = self._window(hook, hook.at_most, job.hook_context)
                after = window.with_run(hook.at_most, job.entry.received_at)
                if after.suppressed > window.suppressed:
                    job.put(position, job.entry.runs[position].with_state("suppressed"))
                    _log_beginning(hook.at_most, after, job.about)
                self._windows[name] = after
                notes[name] = _text(after)
        job.entry = msgspec.structs.replace(job.entry, notes=tuple(notes.items()))

    def _window(self, hook: Hook, limit: AtMost, context: Mapping[str, Any]) -> tuple[str, Window]:
        value = context.get(limit.field) if limit.field else None
        if isinstance(value, str):
            value = storable(value)
        name = storable(f"{_PREFIX}{len(hook.name)} {hook.name} {limit.field} {value}")
        group = {limit.field: value} if limit.field else {}
        return name, self._windows.get(name) or Window(hook.name, group, limit.per_s)

    def take_ended(self, now: float) -> Sequence[tuple[tuple[str, str], Delivery]]:
        """What hooks on hook_suppressed get about each suppression that is over, which it forgets.

        Each comes with a note: together with its acceptance, that makes this last.
        """
        self._forget_unused(now)
        ended = []
        for name, window in self._windows.items():
            if window.suppressed and window.is_over(window.until, now):
                self._windows[name] = left = msgspec.structs.replace(window, suppressed=0)
                ended.append(((name, _text(left)), _ended(window)))
        return ended

    def _forget_unused(self, now: float) -> None:
        """Forget the windows in which nothing is left."""
        unused = [
            name
            for name, window in self._windows.items()
            if not window.suppressed and window.is_over(window.planned[-1], now)
        ]
        if unused:
            self._journal.forget(unused)
            for name in unused:
                del self._windows[name]


def _ended(window: Window) -> Delivery:
    since, until = iso_time(window.since), iso_time(window.until)
    _log.warning("hook %s%s: runs suppressed from %s to %s: %d", window.hook, _group(window),
                 since, until, window.suppressed)  # fmt: skip
    return hook_suppressed(window.hook, window.group, window.suppressed, window.since, window.until)


def _log_beginning(limit: AtMost, window: Window, about: str) -> None:
    if window.suppressed == 1:
        _log.warning("hook %s%s: above 'at_most: %s': further runs are suppressed (%s)",
                     window.hook, _group(window), limit.words, about,
                     extra=extra(hook=window.hook, outcome="suppressed"))  # fmt: skip


def _group(window: Window) -> str:
    return "".join(f", {field} {loggable(value)}" for field, value in window.group.items())


def _text(window: Window) -> str:
    return msgspec.json.encode(window).decode()
