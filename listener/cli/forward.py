"""The verb forward: RabbitMQ's messages become notifications of the listener.

Owns its options; what it does stands in rabbitmq/forwarder.py.
"""

from __future__ import annotations

import os
import sys

import click

from listener.cli.answers import common_options
from listener.errors import HooksError
from listener.hooks.file import config_path


@click.command(short_help="Forward RabbitMQ's notifications to the listener.")
@common_options("config", "state_dir")
def forward(config: str | None, state_dir: str | None) -> None:
    """Forward a manager's notifications from RabbitMQ to the listener; supervisord runs this.

    The section 'forward' of hooks.conf says where the broker is. Runs until SIGTERM.
    """
    try:
        from listener.rabbitmq import forwarder
    except ModuleNotFoundError as error:
        raise HooksError(
            f"{error.name} is not installed, which speaks with RabbitMQ: pip install"
            " 'conductor-hooks[rabbitmq]'"
        ) from error
    sys.exit(forwarder.forward(config_path(config, os.environ), state_dir))
