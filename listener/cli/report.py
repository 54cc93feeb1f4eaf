"""The verb report: a page for the browser about what happened.

Owns its options and the file that it writes. It gathers and judges nothing itself: overview/ does.
"""

from __future__ import annotations

import os
import time

import click

from listener.cli.answers import supervisor_option
from listener.cli.entries import time_option
from listener.cli.place import A_FILE, Place, place_options
from listener.errors import HooksError
from listener.overview.judgement import judge
from listener.overview.report.gather import gather
from listener.overview.report.page import render
from listener.overview.standing import stand
from listener.overview.words import destinations_of, lines_of


@click.command(short_help="One HTML page about what happened.")
@click.option(
    "--html", "path", required=True, metavar="FILE", type=A_FILE,
    help="What to write; - for stdout.",
)  # fmt: skip
@click.option(
    "--since", metavar="TIME", default="24h", show_default=True, callback=time_option,
    help="30m, 2h, 7d, or a time (UTC).",
)  # fmt: skip
@supervisor_option
@place_options
def report(path: str, since: float, supervisor_config: str | None, place: Place) -> None:
    """Write one HTML page that needs nothing else: to keep, to send or to print.

    It names deployments and hooks: a new file is for its owner alone. One that is there keeps its mode.
    """
    journal, folder = place.open_journal()
    now = time.time()
    standing = stand(journal, folder, supervisor_config, now)
    page = render(
        gather(journal, since, now),
        lines=lines_of(standing),
        destinations=list(destinations_of(standing)),
        findings=judge(standing),
    )
    if path == "-":
        click.echo(page)
        return
    try:
        with open(path, "w", encoding="utf-8", opener=_open) as file:
            file.write(page)
    except OSError as error:
        raise HooksError(
            f"the page cannot be written to {path}: {error.strerror}; name another file with --html"
        ) from error


def _open(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
