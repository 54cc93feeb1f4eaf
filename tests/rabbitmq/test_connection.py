"""One connection: what becomes of its messages when it is over, and two ways in which it fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from pika.exceptions import AMQPError

from listener.hooks.forward import ForwardSettings, Host
from listener.rabbitmq.acknowledgement import WhenKept
from listener.rabbitmq.broker import Broker
from listener.rabbitmq.connection import BrokerError, Connection
from listener.rabbitmq.faults import reason
from listener.rabbitmq.writer import Batch, Writer
from tests.rabbitmq.forwarding import Site, body
from tests.rabbitmq.vhost import QUEUE, Vhost


def at(vhost: Vhost) -> Broker:
    return Broker((), vhost.user, vhost.password, vhost.name, False, None, None, None, True)


@pytest.fixture
def connection(vhost: Vhost) -> Iterator[Connection]:
    host = Host(vhost.host, vhost.port)
    with closing(Connection(at(vhost), host, ForwardSettings())) as connection:
        yield connection


def test_others_are_right_on_a_queue_that_serves_one_host_at_a_time(vhost: Vhost) -> None:
    own = ForwardSettings(queue="own", single_active=True)
    shared = ForwardSettings(queue="own")
    for settings, is_wrong in ((own, False), (shared, True)):
        host = Host(vhost.host, vhost.port)
        first, second = (Connection(at(vhost), host, each) for each in (own, settings))
        with closing(first), closing(second):
            assert bool(second.others()) == is_wrong


def test_an_acknowledgement_that_comes_too_late_does_no_harm(
    connection: Connection, vhost: Vhost
) -> None:
    vhost.publish(body("1"))
    while not connection.take(1):
        pass
    connection.acknowledge(17)  # there is none, so the broker closes the channel
    with pytest.raises(BrokerError, match="or the broker closed the channel"):
        while True:
            connection.take(1)
    connection.acknowledge(1)
    connection.close()
    connection.acknowledge(1)
    assert vhost.counts() == (1, 0, 0)


def test_what_a_lost_connection_has_brought_is_not_written(connection: Connection, site: Site) -> None:
    batch = Batch([], connection, WhenKept(), str(site.state))
    connection.close()
    writer = Writer(-1)
    writer.put(batch)
    writer.close(30)
    assert not (site.state / "inbox").exists()


def test_a_queue_that_another_connection_has_for_itself_is_said_to_be(vhost: Vhost) -> None:
    with vhost.channel() as channel:
        channel.queue_declare(QUEUE, exclusive=True)
        with pytest.raises(BrokerError, match="another consumer has the queue for itself alone"):
            Connection(at(vhost), Host(vhost.host, vhost.port), ForwardSettings())


def test_what_nobody_has_foreseen_is_said_as_it_came_in_one_line(vhost: Vhost) -> None:
    assert reason(AMQPError("odd\n"), at(vhost)) == (
        "AMQPError: An unspecified AMQP error has occurred; ('odd\\n',)"
    )
