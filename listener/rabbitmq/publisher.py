"""A notification for RabbitMQ, published as a manager does it.

Owns the confirmation that it is in a queue. It never consumes. The verb `emit --amqp` calls it.
"""

from __future__ import annotations

import logging
from contextlib import closing

import pika
from pika.exceptions import UnroutableError

from listener.errors import HooksError
from listener.hooks.forward import ForwardSettings, Host
from listener.rabbitmq.broker import Broker, read_broker
from listener.rabbitmq.faults import TROUBLE, reason
from listener.rabbitmq.parameters import parameters

_PERSISTENT = pika.BasicProperties(delivery_mode=2)


def publish(text: str, settings: ForwardSettings) -> None:
    """Publish a notification's JSON; when this returns, the broker has it in a queue, on its disk.

    Takes the first host that accepts it. Raises HooksError when none does; when the connection was lost
    meanwhile, the broker may have it all the same.
    """
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    broker = read_broker(settings)
    failures = []
    for host in broker.hosts:
        try:
            _publish(text, broker, host, settings)
            return
        except UnroutableError as error:
            raise HooksError(
                f"nothing was sent: no queue takes {settings.routing_key!r} from the exchange"
                f" {settings.exchange!r}; start the forwarder once, which makes the queue"
            ) from error
        except TROUBLE as error:
            failures.append(f"{host.name}: {reason(error, broker)}")
    raise HooksError(f"the notification was not confirmed: {'; '.join(failures)}")


def _publish(text: str, broker: Broker, host: Host, settings: ForwardSettings) -> None:
    with closing(pika.BlockingConnection(parameters(broker, host))) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish(
            settings.exchange, settings.routing_key, text.encode(), _PERSISTENT, mandatory=True
        )
