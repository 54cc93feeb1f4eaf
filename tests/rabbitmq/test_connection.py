"""One connection: how it is made, what becomes of its messages when it is over, and how it fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from pika.exceptions import AMQPError

from listener.hooks.forward import ForwardSettings, Host
from listener.rabbitmq.acknowledgement import WhenKept
from listener.rabbitmq.broker import Broker
from listener.rabbitmq.connection import BrokerError, Connection
from listener.rabbitmq.faults import reason
from listener.rabbitmq.messages import Message
from listener.rabbitmq.writer import Batch, Writer
from tests.rabbitmq.forwarding import Site, body
from tests.rabbitmq.proxy import Proxy
from tests.rabbitmq.vhost import QUEUE, Vhost
from tests.support import wait_for


def at(vhost: Vhost) -> Broker:
    return Broker((), vhost.user, vhost.password, vhost.name, False, None, None, None, True)


def taken(connection: Connection, number: int) -> list[Message]:
    """The next so many messages, or more."""
    came: list[Message] = []
    while len(came) < number:
        came += connection.take(1)
    return came


@pytest.fixture
def connection(vhost: Vhost) -> Iterator[Connection]:
    host = Host(vhost.host, vhost.port)
    with closing(Connection(at(vhost), host, ForwardSettings())) as connection:
        yield connection


SINGLE = {"x-single-active-consumer": True}


@pytest.mark.parametrize(
    ("made_with", "single_active", "warning"),
    [
        (SINGLE, True, ""),
        (SINGLE, False, "other consumers of the queue 'cloudify-hooks': 1. Each message goes to one"),
        ({}, True, "the queue 'cloudify-hooks' was made without 'single_active', so it serves several"),
        ({"x-queue-type": "quorum"}, True, "the queue 'cloudify-hooks' was made without 'single_"),
        ({"x-queue-type": "quorum", **SINGLE}, True, ""),
    ],
)  # fmt: skip
def test_a_queue_that_serves_several_hosts_at_a_time_is_warned_of_where_one_is_wanted(
    vhost: Vhost, made_with: dict[str, Any], single_active: bool, warning: str
) -> None:
    vhost.declare(arguments=made_with)
    settings = ForwardSettings(single_active=single_active)
    first, second = (Connection(at(vhost), Host(vhost.host, vhost.port), settings) for _ in "12")
    with closing(first), closing(second):
        assert second.warning.startswith(warning)
        assert bool(second.warning) == bool(warning)


def test_an_acknowledgement_that_comes_too_late_does_no_harm(
    connection: Connection, vhost: Vhost
) -> None:
    vhost.publish(body("1"))
    taken(connection, 1)
    connection.acknowledge(17)  # there is none, so the broker closes the channel
    with pytest.raises(BrokerError, match="or the broker closed the channel"):
        taken(connection, 1)
    connection.acknowledge(1)
    connection.close()
    connection.acknowledge(1)
    assert vhost.counts() == (1, 0, 0)


def test_what_was_not_acknowledged_comes_again_in_order_after_a_lost_connection(vhost: Vhost) -> None:
    vhost.declare()
    vhost.publish(*map(body, "1234"))
    with Proxy(vhost.port) as network:
        first = Connection(at(vhost), Host(vhost.host, network.port), ForwardSettings())
        texts = [message.text for message in taken(first, 4)]
        first.acknowledge(1)
        wait_for("the acknowledgement", lambda: not first.take(0) and vhost.counts() == (0, 3, 1))
        network.cut()
        with pytest.raises(BrokerError, match="the connection was lost"):
            taken(first, 1)
    with closing(Connection(at(vhost), Host(vhost.host, vhost.port), ForwardSettings())) as second:
        assert [message.text for message in taken(second, 3)] == texts[1:]


@pytest.mark.parametrize("has_certificate", [False, True])
def test_it_speaks_tls_with_and_without_a_certificate_of_its_own(
    vhost: Vhost, has_certificate: bool
) -> None:
    authority = vhost.broker.authority
    broker = at(vhost)._replace(tls=True, ca=str(authority.certificate))
    port = vhost.tls_port
    if has_certificate:
        certificate, key = map(str, authority.issue("client"))
        broker, port = broker._replace(cert=certificate, key=key), vhost.mutual_tls_port
    with closing(Connection(broker, Host("localhost", port), ForwardSettings())) as connection:
        assert connection.take(0) == []


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
