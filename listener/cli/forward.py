"""The verb forward: RabbitMQ's messages become notifications of the listener.

Owns its options, and what a person reads where pika is missing. What it does stands in
rabbitmq/forwarder.py.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from listener.cli.place import Place, place_options
from listener.errors import HooksError, not_installed


@click.command(short_help="Forward RabbitMQ's notifications to the listener.")
@place_options
def forward(place: Place) -> None:
    """Forward a manager's notifications from RabbitMQ to the listener; supervisord runs this.

    The section 'forward' of hooks.conf says where the broker is. Runs until SIGTERM. Without a
    broker, it tries again after 1 to 30 seconds, for ever. While the inbox cannot be written, messages
    stay at the broker. What is no notification is kept as unreadable.

    A broker that was killed can send messages of a classic queue again after they were acknowledged.
    This host knows those that it has had; another host acts on them.
    """
    forwarder = import_rabbitmq("forwarder")
    sys.exit(forwarder.forward(place.config, place.given_state_dir))


def import_rabbitmq(module: str) -> Any:
    """A module of listener/rabbitmq that needs pika. Raises HooksError where that is not installed."""
    try:
        return importlib.import_module(f"listener.rabbitmq.{module}")
    except ModuleNotFoundError as error:
        raise HooksError(not_installed(error.name, "RabbitMQ", "rabbitmq")) from error
