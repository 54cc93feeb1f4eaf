"""What the consumer relies on of RabbitMQ and pika, shown with the real ones."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from ssl import SSLCertVerificationError
from typing import Any

import pika
import pytest
from pika.exceptions import (
    AMQPConnectionError,
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    IncompatibleProtocolError,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    StreamLostError,
)

from tests.certificates import Authority, Identity
from tests.rabbitmq.proxy import Proxy
from tests.rabbitmq.vhost import QUEUE, Vhost
from tests.support import wait_for


@contextmanager
def fails(error: type[Exception], text: str) -> Iterator[pytest.ExceptionInfo[Exception]]:
    """The text is in the repr: pika leaves out most of it elsewhere."""
    with pytest.raises(error) as raised:
        yield raised
    assert text in repr(raised.value)


def tls(authority: Authority, host: str, port: int, own: Identity | None = None) -> dict[str, Any]:
    """pika's arguments for a port that speaks TLS."""
    context = ssl.create_default_context(cafile=authority.certificate)
    if own:
        context.load_cert_chain(*own)
    return {"host": host, "port": port, "ssl_options": pika.SSLOptions(context, host)}


def turn_until(channel: Any, what: str, condition: Callable[[], object]) -> None:
    """Let pika read and write until then, as a consumer does all the time."""
    wait_for(what, lambda: channel.connection.process_data_events(0) or condition())


def turn_until_lost(channel: Any) -> None:
    """What pika raises then is raised."""
    turn_until(channel, "the end of the connection", lambda: False)


def consume(channel: Any) -> list[tuple[bytes, bool]]:
    """Each message that comes, and whether it was delivered before; none is acknowledged."""
    messages: list[tuple[bytes, bool]] = []
    channel.basic_consume(
        QUEUE, lambda _channel, method, _properties, body: messages.append((body, method.redelivered))
    )
    return messages


def test_a_passive_declaration_of_a_missing_queue_closes_its_channel_alone(vhost: Vhost) -> None:
    with vhost.channel() as channel:
        with fails(ChannelClosedByBroker, "(404) \"NOT_FOUND - no queue 'cloudify-hooks'"):
            channel.queue_declare(QUEUE, passive=True)
        assert channel.is_closed
        assert channel.connection.is_open


def test_a_declaration_with_other_arguments_is_refused_and_a_passive_one_is_not(vhost: Vhost) -> None:
    vhost.declare(arguments={"x-queue-type": "quorum"})
    with vhost.channel() as channel:
        assert channel.queue_declare(QUEUE, passive=True).method.queue == QUEUE
        with fails(ChannelClosedByBroker, "PRECONDITION_FAILED - inequivalent arg 'x-queue-type'"):
            channel.queue_declare(QUEUE, durable=True)


def test_unacknowledged_messages_come_back_in_order_after_a_lost_connection(vhost: Vhost) -> None:
    vhost.declare()
    vhost.publish("1", "2", "3", "4")
    with Proxy(vhost.port) as network, vhost.channel(port=network.port) as channel:
        messages = consume(channel)
        turn_until(channel, "the messages", lambda: len(messages) == 4)
        channel.basic_ack(1)
        wait_for("the acknowledgement", lambda: vhost.counts() == (0, 3, 1))
        network.cut()
        with pytest.raises(StreamLostError):
            turn_until_lost(channel)
    with vhost.channel() as channel:
        again = consume(channel)
        turn_until(channel, "the messages", lambda: len(again) == 3)
    assert messages == [(b"1", False), (b"2", False), (b"3", False), (b"4", False)]
    assert again == [(b"2", True), (b"3", True), (b"4", True)]


def test_a_stalled_network_keeps_its_connections_and_what_they_carry(vhost: Vhost) -> None:
    vhost.declare()
    with Proxy(vhost.port) as network, vhost.channel(port=network.port) as channel:
        messages = consume(channel)
        network.stall()
        vhost.publish("1")
        wait_for("the broker to deliver", lambda: vhost.counts() == (0, 1, 1))
        channel.connection.process_data_events(0)
        assert messages == []
        network.mend()
        turn_until(channel, "the message", lambda: messages == [(b"1", False)])


def test_a_consumer_whose_queue_is_deleted_has_no_tags_but_its_channel_is_open(vhost: Vhost) -> None:
    vhost.declare()
    with vhost.channel() as channel:
        consume(channel)
        assert channel.consumer_tags
        vhost.delete_queue()
        turn_until(channel, "the consumer's end", lambda: not channel.consumer_tags)
        assert channel.is_open


def test_pika_raises_nothing_when_the_broker_closes_a_channel(vhost: Vhost) -> None:
    vhost.declare()
    with vhost.channel() as channel:
        consume(channel)
        channel.basic_ack(17)  # no such delivery
        turn_until(channel, "the channel's end", lambda: channel.is_closed)
        assert channel.connection.is_open


def test_a_connection_that_an_operator_closes_says_so(vhost: Vhost) -> None:
    with vhost.channel() as channel:
        vhost.close_connections()
        with fails(ConnectionClosedByBroker, "(320) 'CONNECTION_FORCED - "):
            turn_until_lost(channel)


def test_a_refused_login_says_why(vhost: Vhost) -> None:
    credentials = pika.PlainCredentials(vhost.user, "wrong")
    with fails(ProbableAuthenticationError, "(403) 'ACCESS_REFUSED - Login was refused"):
        pika.BlockingConnection(vhost.parameters(credentials=credentials))
    with fails(ProbableAccessDeniedError, "(530) 'NOT_ALLOWED - vhost nope not found'"):
        pika.BlockingConnection(vhost.parameters(virtual_host="nope"))


def test_a_refused_connection_says_so_in_its_repr_alone(vhost: Vhost) -> None:
    with Proxy(vhost.port) as closed:
        pass
    with fails(AMQPConnectionError, "ConnectionRefusedError") as raised:
        pika.BlockingConnection(vhost.parameters(port=closed.port))
    assert str(raised.value) == ""


def test_tls_takes_a_client_with_and_without_a_certificate(vhost: Vhost) -> None:
    broker = vhost.broker
    client = broker.authority.issue("client")
    for changes in (
        tls(broker.authority, vhost.host, vhost.tls_port),
        tls(broker.authority, "localhost", vhost.mutual_tls_port, client),
    ):
        with vhost.channel(**changes) as channel:
            assert channel.is_open


def test_tls_that_fails_says_why(vhost: Vhost, tmp_path: Path) -> None:
    broker, host = vhost.broker, vhost.host
    ours, foreign = broker.authority, Authority(tmp_path, "foreign")
    localhost_only = broker.listen_tls(ours.issue("named", "localhost"))
    stranger, mutual = foreign.issue("stranger"), vhost.mutual_tls_port
    failures: list[tuple[dict[str, Any], type[Exception], str]] = [
        (tls(foreign, host, vhost.tls_port), SSLCertVerificationError, "self-signed certificate"),
        (tls(ours, host, localhost_only), SSLCertVerificationError, "IP address mismatch"),
        (tls(ours, host, vhost.port), ssl.SSLError, "WRONG_VERSION_NUMBER"),
        # TLS 1.3 tells these two after the handshake, and the reason can be lost with the connection.
        (tls(ours, host, mutual), IncompatibleProtocolError, "StreamLostError"),
        (tls(ours, host, mutual, stranger), IncompatibleProtocolError, "StreamLostError"),
    ]
    for changes, error, text in failures:
        with fails(error, text):
            pika.BlockingConnection(vhost.parameters(**changes))
