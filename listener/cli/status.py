"""The verb status: how the listener stands, on one screen.

Owns its options and what it prints. It judges nothing itself: overview/ looks and judges.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click

from listener.cli.answers import (
    common_options,
    one_line,
    output_option,
    print_json,
    print_line,
    print_table,
    supervisor_option,
)
from listener.cli.entries import open_journal
from listener.cli.pause import print_pauses
from listener.dispatch.pauses import in_force
from listener.model.notification import iso_time
from listener.overview.finding import Finding
from listener.overview.judgement import judge
from listener.overview.standing import InHand, Standing, stand


@click.command(short_help="How the listener stands, and what needs doing.")
@supervisor_option
@output_option
@common_options("config", "state_dir")
def status(
    supervisor_config: str | None, output: str, config: str | None, state_dir: str | None
) -> None:
    """What runs, what waits and what has failed, with a cure for all that is wrong.

    Exits with 0 when all is well, and with 1 when something needs doing.
    """
    journal, folder = open_journal(config, state_dir)
    standing = stand(journal, folder, supervisor_config, time.time())
    findings = judge(standing)
    print_pauses(in_force(journal, standing.at))
    if output == "json":
        print_json(_as_json(standing, findings))
    else:
        _print(standing, findings)
    sys.exit(1 if findings else 0)


def _print(standing: Standing, findings: Iterable[Finding]) -> None:
    for name, text in _lines(standing):
        print_line(f"{name:<12}{one_line(text)}")
    if standing.tallies:
        click.echo()
        print_table(_COLUMNS, map(dict, _destinations(standing)), whole=_COLUMNS[:-1])
    click.echo()
    print_findings(findings, well="all is well")


def print_findings(findings: Iterable[Finding], *, well: str) -> None:
    """Each with its cure on a line of its own; `well` when there are none."""
    is_any = False
    for finding in findings:
        is_any = True
        print_line(f"{click.style(one_line(finding.where), fg='red')}: {one_line(finding.what)}")
        click.echo(f"    {one_line(finding.cure)}")  # not folded: a command can be copied
    if not is_any:
        click.secho(well, fg="green")


def findings_as_json(findings: Iterable[Finding]) -> list[dict[str, str]]:
    return [finding._asdict() for finding in findings]


def _lines(standing: Standing) -> Iterator[tuple[str, str]]:
    """The name of each thing, and how it stands."""
    listener, process, totals = standing.listener, standing.process, standing.totals
    if listener is None:
        yield "listener", "none has run yet"
    else:
        since = f"since {_moment(listener.began_at)}"
        runs = f"process {listener.pid} runs {since}" if standing.is_running else "does not run"
        seen = f", supervisord says {process.state}" if process.state else ""
        yield "listener", f"{runs}{seen}; version {listener.version}"
        hooks = "" if standing.table is None else f", hooks: {len(standing.table.hooks)}"
        yield "hooks.conf", f"{listener.config}{hooks}"
    yield "state", standing.folder
    for hook in standing.in_hand:
        yield "in hand", _in_hand(hook)
    oldest = f", the oldest since {_moment(totals.oldest_at)}" if totals.oldest_at else ""
    retries = totals.by_state.get("pending", 0) - totals.untried
    yield "waiting", f"{totals.untried} never tried, {retries} for a retry{oldest}"
    wrong = [f"{totals.by_state.get(state, 0)} {state}" for state in _WRONG]
    yield "went wrong", ", ".join(wrong)
    lost = f"the last at {_moment(totals.gap_at)}" if totals.gap_at else "none in 24 hours"
    yield "discarded", lost
    if standing.recorder is not None:
        yield "recorder", "{recorded} events recorded, {failed} not".format(**standing.recorder)
    if standing.forwarder is not None:
        yield "forwarder", f"{standing.forwarder.said} (since {_moment(standing.forwarder.at)})"


_WRONG = ("failed", "interrupted", "unreadable")
_COLUMNS = ("sent", "failed", "last sent", "destination")


def _in_hand(hook: InHand) -> str:
    until = "" if hook.deadline_at is None else f", at most until {_moment(hook.deadline_at)}"
    return f"hook {hook.hook} of entry {hook.entry_id} since {_moment(hook.began_at)}{until}"


def _destinations(standing: Standing) -> Iterator[Mapping[str, Any]]:
    for name, tally in standing.tallies.items():
        last = _moment(tally.sent_at) if tally.sent else "never"
        yield {"destination": name, "sent": tally.sent, "failed": tally.failed, "last sent": last}


def _moment(at: float) -> str:
    return iso_time(at)[:19].replace("T", " ") + "Z"


def _as_json(standing: Standing, findings: Iterable[Finding]) -> dict[str, Any]:
    listener, totals = standing.listener, standing.totals
    return {
        "at": iso_time(standing.at),
        "state_dir": standing.folder,
        "listener": listener and {
            "is_running": standing.is_running,
            "pid": listener.pid,
            "version": listener.version,
            "since": iso_time(listener.began_at),
            "heard_at": iso_time(listener.heard_at) if listener.heard_at else None,
            "config": listener.config,
            "config_problem": listener.problem or None,
        },
        "supervisord": {
            "state": standing.process.state or None,
            "since": iso_time(standing.process.since) if standing.process.since else None,
            "problem": standing.process.why_not or None,
        },
        "in_hand": [_in_hand_as_json(hook) for hook in standing.in_hand],
        "entries": dict(totals.by_state),
        "never_tried": totals.untried,
        "oldest_unsettled_at": iso_time(totals.oldest_at) if totals.oldest_at else None,
        "gaps": totals.gaps,
        "recorder": standing.recorder,
        "forwarder": standing.forwarder and {
            "is_running": standing.forwarder.is_alive,
            "said": standing.forwarder.said,
            "since": iso_time(standing.forwarder.at),
        },
        "destinations": [
            {
                "destination": name,
                **tally._asdict(),
                "sent_at": iso_time(tally.sent_at) if tally.sent else None,
            }
            for name, tally in standing.tallies.items()
        ],
        "findings": findings_as_json(findings),
    }  # fmt: skip


def _in_hand_as_json(hook: InHand) -> dict[str, Any]:
    deadline_at = hook.deadline_at and iso_time(hook.deadline_at)
    return {**hook._asdict(), "began_at": iso_time(hook.began_at), "deadline_at": deadline_at}
