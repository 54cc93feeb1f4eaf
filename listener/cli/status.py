"""The verb status: how the listener stands, on one screen.

Owns its options and what it prints. It judges nothing itself: overview/ looks and judges.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import click

from listener.cli.answers import (
    one_line,
    output_option,
    print_json,
    print_line,
    print_table,
    supervisor_option,
    tallies_as_json,
)
from listener.cli.pause import pause_as_json
from listener.cli.place import Place, place_options
from listener.model.notification import iso_time
from listener.overview.finding import Finding
from listener.overview.judgement import judge
from listener.overview.standing import InHand, Standing, stand
from listener.overview.words import destinations_of, lines_of


@click.command(short_help="How the listener stands, and what needs doing.")
@supervisor_option
@output_option
@place_options
def status(supervisor_config: str | None, output: str, place: Place) -> None:
    """What runs, what waits and what has failed, with a cure for all that is wrong.

    Exits with 0 when all is well, and with 1 when something needs doing.
    """
    journal, folder = place.open_journal()
    standing = stand(journal, folder, supervisor_config, time.time())
    findings = judge(standing)
    if output == "json":
        print_json(_as_json(standing, findings))
    else:
        _print(standing, findings)
    sys.exit(1 if findings else 0)


def _print(standing: Standing, findings: Sequence[Finding]) -> None:
    for name, text in lines_of(standing):
        print_line(f"{name:<12}{one_line(text)}", below=12)
    if standing.tallies:
        click.echo()
        print_table(_COLUMNS, destinations_of(standing))
    click.echo()
    resume = "; conductor-hooks resume ends the pause" if standing.pauses else ""
    print_findings(findings, well=f"all is well{resume}")


def print_findings(findings: Sequence[Finding], *, well: str) -> None:
    """Each with its cure on a line of its own; `well` when there are none."""
    for finding in findings:
        print_line(f"{click.style(one_line(finding.where), fg='red')}: {one_line(finding.what)}")
        click.echo(f"    {one_line(finding.cure)}")  # not folded: a command can be copied
    if not findings:
        click.secho(well, fg="green")


_COLUMNS = ("sent", "failed", "last sent", "destination")


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
        "pauses": list(map(pause_as_json, standing.pauses)),
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
        "destinations": tallies_as_json(standing.tallies),
        "findings": [finding._asdict() for finding in findings],
    }  # fmt: skip


def _in_hand_as_json(hook: InHand) -> dict[str, Any]:
    deadline_at = hook.deadline_at and iso_time(hook.deadline_at)
    return {**hook._asdict(), "began_at": iso_time(hook.began_at), "deadline_at": deadline_at}
