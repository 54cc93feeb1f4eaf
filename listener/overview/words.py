"""A Standing in words: a line for each thing, a row for each destination.

Owns these words, which `status` prints and `report` shows. It judges nothing; judgement.py does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from listener.dispatch.pauses import Pause
from listener.model.notification import short_time
from listener.overview.standing import InHand, Standing
from listener.rabbitmq.presence import ForwarderPresence

_WRONG = ("failed", "interrupted", "unreadable")


def lines_of(standing: Standing) -> Iterator[tuple[str, str]]:
    """The name of each thing, and how it stands."""
    listener, process, totals = standing.listener, standing.process, standing.totals
    if listener is None:
        yield "listener", "none has run yet"
    else:
        since = f"since {short_time(listener.began_at)}"
        runs = f"process {listener.pid} runs {since}" if standing.is_running else "does not run"
        yield "listener", f"{runs}, version {listener.version}"
        if process.state:
            yield "supervisord", f"says {process.state}"
        hooks = ""
        if standing.table is not None and not listener.problem:  # else a finding says what is in force
            hooks = f", hooks: {len(standing.table.hooks)}"
        yield "hooks.conf", f"{listener.config}{hooks}"
    yield "state", standing.folder
    for pause in standing.pauses:
        yield "paused", _paused(pause)
    for hook in standing.in_hand:
        yield "in hand", _in_hand(hook)
    pending = totals.by_state.get("pending", 0)
    begun = pending - totals.untried
    oldest = ""
    if pending and totals.oldest_at:  # else it is of what is in hand
        oldest = f", the oldest since {short_time(totals.oldest_at)}"
    yield "waiting", f"{totals.untried} not begun, {begun} begun{oldest}"
    wrong = [f"{totals.by_state.get(state, 0)} {state}" for state in _WRONG]
    yield "went wrong", ", ".join(wrong)
    lost = f"the last at {short_time(totals.gap_at)}" if totals.gap_at else "none in 24 hours"
    yield "discarded", lost
    if standing.recorder is not None:
        yield "recorder", "{recorded} events recorded, {failed} not".format(**standing.recorder)
    if standing.forwarder is not None:
        yield "forwarder", _forwarder(standing.forwarder)


def _forwarder(forwarder: ForwarderPresence) -> str:
    """What it lacks, the findings say."""
    if not forwarder.is_alive:
        return "does not run"
    stands = "cannot consume" if forwarder.is_trouble else forwarder.said
    return f"{stands} (since {short_time(forwarder.at)})"


def _in_hand(hook: InHand) -> str:
    until = "" if hook.deadline_at is None else f", ends by {short_time(hook.deadline_at)[11:]}"
    return f"hook {hook.hook} of entry {hook.entry_id} since {short_time(hook.began_at)}{until}"


def _paused(pause: Pause) -> str:
    what = f"hook {pause.hook}" if pause.hook else "all hooks"
    until = f", until {short_time(pause.until)}" if pause.until else ""
    comment = pause.comment and f" ({pause.comment})"
    return f"{what} by {pause.by} since {short_time(pause.since)}{until}{comment}"


def destinations_of(standing: Standing) -> Iterator[Mapping[str, Any]]:
    """For each one: destination, sent, failed, last sent."""
    for name, tally in standing.tallies.items():
        last = short_time(tally.sent_at) if tally.sent else "never"
        yield {"destination": name, "sent": tally.sent, "failed": tally.failed, "last sent": last}
