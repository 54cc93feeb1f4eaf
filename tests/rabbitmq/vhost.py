"""A virtual host of the broker as one test uses it, with what a stock manager does there.

Owns the names that a manager declares. It never starts a broker. Tests of the RabbitMQ source call it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pika

from tests.rabbitmq.broker import PASSWORD, USER, Broker, Counts
from tests.rabbitmq.server import HOST

EXCHANGE = "cloudify-events-topic"
KEY = "events.hooks"
QUEUE = "cloudify-hooks"


@dataclass(frozen=True)
class Vhost:
    """What a client needs to connect, `port` for plain AMQP, and the queue from the broker's side."""

    broker: Broker
    name: str
    port: int
    tls_port: int
    mutual_tls_port: int
    host: str = HOST
    user: str = USER
    password: str = PASSWORD

    def parameters(self, **changes: Any) -> pika.ConnectionParameters:
        """As pika takes them; `changes` are its own arguments."""
        plain = {"host": self.host, "port": self.port, "virtual_host": self.name}
        credentials = pika.PlainCredentials(self.user, self.password)
        return pika.ConnectionParameters(**{**plain, "credentials": credentials, **changes})

    @contextmanager
    def channel(self, **changes: Any) -> Iterator[Any]:
        """An open channel on a connection of its own."""
        connection = pika.BlockingConnection(self.parameters(**changes))
        try:
            yield connection.channel()
        finally:
            if connection.is_open:
                connection.close()

    def declare(self, **changes: Any) -> None:
        """The exchange, queue and binding of a stock manager; `changes` are the queue's."""
        with self.channel() as channel:
            channel.exchange_declare(EXCHANGE, "topic", durable=True)
            channel.queue_declare(QUEUE, **{"durable": True, **changes})
            channel.queue_bind(QUEUE, EXCHANGE, KEY)

    def publish(self, *bodies: str | bytes) -> None:
        """As the manager's REST service does; the broker has confirmed them all at the return."""
        with self.channel() as channel:
            channel.confirm_delivery()
            for body in bodies:
                channel.basic_publish(EXCHANGE, KEY, body, pika.BasicProperties(delivery_mode=2))

    def counts(self, queue: str = QUEUE) -> Counts:
        """Of the queue."""
        return self.broker.counts(self.name, queue)

    def delete_queue(self) -> None:
        """As an operator does, under its consumers."""
        self.broker.delete_queue(self.name, QUEUE)

    def close_connections(self) -> None:
        """As an operator does: the broker says why to each."""
        self.broker.close_connections(self.name)


@contextmanager
def new_vhost(broker: Broker) -> Iterator[Vhost]:
    """An empty one, for the time of a `with`: nothing is declared there."""
    name = broker.add_vhost()
    yield Vhost(broker, name, broker.port, broker.tls_port, broker.mutual_tls_port)
    broker.delete_vhost(name)
