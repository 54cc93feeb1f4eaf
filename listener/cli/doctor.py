"""The verb doctor: what is wrong with supervisord's configuration and with all that is ours.

Owns its options and what it prints. It judges nothing itself: overview/doctor looks and judges.
"""

from __future__ import annotations

import sys
import time

import click

from listener.cli.answers import output_option, print_json, supervisor_option
from listener.cli.place import Place, place_options
from listener.cli.status import print_findings
from listener.overview.doctor import examine
from listener.overview.doctor.look import look


@click.command(short_help="Find what is wrong with the whole set-up.")
@supervisor_option
@output_option
@place_options
def doctor(supervisor_config: str | None, output: str, place: Place) -> None:
    """Find what is wrong with supervisord's configuration, the state directory and hooks.conf.

    It has all that status finds, too, says what to write where, and changes nothing. Root continues as
    the owner of the state directory. It imports no function: check does, and finds inputs that do not
    fit. It does not see whether a changed buffer_size, events, priority or autorestart is in force:
    supervisorctl update puts them in force. Exits with 1 when something needs doing, with 0 when
    nothing does.
    """
    findings = list(
        examine(look(place.given_config, place.given_state_dir, supervisor_config, time.time()))
    )
    if output == "json":
        print_json([finding._asdict() for finding in findings])
    else:
        print_findings(findings, well="nothing is wrong")
    sys.exit(1 if findings else 0)
