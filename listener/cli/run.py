"""The verbs that stay: listen, traps.

Owns their options; what they do stands in app.py and snmp/receiver.py. Plain `listen`, as
supervisord starts it, does not come through here (see __main__.py).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import click

from listener.actions.registry import TRAP
from listener.actions.snmp_trap.inputs import read_users
from listener.app import listen as serve
from listener.cli.answers import output_option, print_json
from listener.cli.place import Place, place_options
from listener.errors import HooksError
from listener.hooks.file import read_file, wrong_in
from listener.log import printable

if TYPE_CHECKING:
    from listener.snmp.receiver import TrapReceiver
    from listener.snmp.target import User
    from listener.snmp.trap import Trap

_INTERRUPT_S = 0.25


@click.command(short_help="Serve supervisord's events.")
@place_options
def listen(place: Place) -> None:
    """Serve supervisord's events on standard input; this is what supervisord runs.

    Exits with 0 after SIGTERM or at the end of its input, with 1 when supervisord must start it again,
    with 2 when a person must act: no usable hooks.conf, a state directory in use, another version's
    journal.
    """
    sys.exit(serve(place.config, place.given_state_dir))


@click.command(short_help="Receive SNMP traps and informs and print them.")
@click.option(
    "--address", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Where to receive."
)
@click.option(
    "--port",
    metavar="PORT",
    default=162,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="UDP port; 0 takes a free one.",
)
@click.option("--count", metavar="N", type=click.IntRange(1), help="Leave after that many traps.")
@output_option
@place_options
def traps(
    address: str,
    port: int,
    count: int | None,
    output: str,
    place: Place,
) -> None:
    """Receive SNMP traps and informs and print what is in them, until Ctrl-C.

    Acknowledges informs. Names on stderr what it cannot read, with the reason. Knows the version 3
    users of the hooks in hooks.conf. Also shows version 3 traps that are too old or not authenticated,
    which other receivers drop. With --address 0.0.0.0, other hosts can send to it.
    """
    from listener.snmp.receiver import TrapReceiver  # pysnmp is slow to import

    users = _users(place)
    try:
        receiver = TrapReceiver(address, port, users)
    except OSError as error:
        raise HooksError(
            f"cannot receive at {address}:{port}: {error.strerror}; try another --address or --port"
        ) from error
    interrupts: list[int] = []  # an exception could get lost in a callback, and a wait begin behind it
    signal.signal(signal.SIGINT, lambda signum, _frame: interrupts.append(signum))
    with contextlib.closing(receiver):
        click.echo("receiving traps at {}:{}".format(*receiver.address), err=True)
        for trap in itertools.islice(_received(receiver, interrupts), count):
            if output == "json":
                print_json(trap._asdict(), indent=None)
            else:
                click.echo(_as_text(trap))


def _received(receiver: TrapReceiver, interrupts: Collection[int]) -> Iterator[Trap]:
    """The traps that come until an interrupt; stderr has the reasons of what cannot be read."""
    from listener.snmp.trap import Trap

    while not interrupts:
        trap = receiver.receive(timeout_s=_INTERRUPT_S)
        if isinstance(trap, Trap):
            yield trap
        elif trap:
            click.echo(printable(f"{trap.sender}: {trap.reason}"), err=True)


def _users(place: Place) -> list[User]:
    """The users of version 3 in hooks.conf; one that was not named may be missing."""
    try:
        table, mistakes = read_file(place.config, os.environ)
    except OSError as error:
        if place.given_config:
            raise HooksError(f"{place.config} cannot be read: {error.strerror}") from error
        return []
    if wrong := wrong_in(mistakes, place.config):
        click.echo(f"not all users of version 3 are known: {wrong}", err=True)
    hooks = [hook for hook in (table.hooks if table else ()) if hook.implementation == TRAP]
    return list(dict.fromkeys(user for hook in hooks for user in read_users(hook.inputs)))


def _as_text(trap: Trap) -> str:
    """The trap in lines. Control characters are escaped: anybody may have sent them."""
    kind = f"v{trap.version} {'inform' if trap.is_inform else 'trap'}"
    lines = [f"{trap.notification} from {trap.sender}, up {trap.uptime_s:.2f} s, {kind}"]
    if trap.version == "3":
        lines.append(f"  user {trap.user}, {trap.security_level}")
        lines.append(f"  engine {trap.engine_id}, context engine {trap.context_engine_id}")
    lines += [f"  {name} = {value}" for name, value in trap.values.items()]
    return "\n".join(map(printable, lines))
