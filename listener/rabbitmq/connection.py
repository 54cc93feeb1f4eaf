"""One connection to one broker, with its channel, from the queue's declaration to the last message.

Owns every call of pika, but for publisher.py's. It never reconnects: when anything is wrong it raises,
and forwarder.py begins anew. All methods but `acknowledge` are for one thread.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pika
from pika.exceptions import ChannelClosedByBroker, ConnectionWrongStateError

from listener.errors import HooksError
from listener.hooks.forward import ForwardSettings, Host
from listener.rabbitmq.broker import Broker
from listener.rabbitmq.faults import TROUBLE, reason
from listener.rabbitmq.messages import Message, read_message
from listener.rabbitmq.parameters import parameters

_PREFETCH = {"kept": 200, "acted": 20}
_NOT_FOUND = 404
_SINGLE_ACTIVE = "x-single-active-consumer"


class BrokerError(HooksError):
    """A broker cannot be reached, has refused something, or is gone."""


class Connection:
    """Consumes the queue of `settings` at `host` from here on. Raises BrokerError when it cannot.

    `waiting` is how many messages the queue had then, `warning` what may be wrong with its consumers,
    or ''. A caller that cannot keep what came sets `problem`: then the next `take` raises it.
    """

    def __init__(self, broker: Broker, host: Host, settings: ForwardSettings) -> None:
        self._broker = broker
        self._name = f"{host.name}:{parameters(broker, host).port}"
        self._settings = settings
        self._came: list[Message] = []
        self.problem = ""
        self._is_over = False
        try:
            self._pika = pika.BlockingConnection(parameters(broker, host))
        except TROUBLE as error:
            raise self._failed(error) from error
        try:
            self.waiting, others = self._declare()
            self.warning = self._warning_of(others)
            self._channel = self._consume()
        except TROUBLE as error:
            self.close()
            raise self._failed(error) from error

    @property
    def is_usable(self) -> bool:
        return not (self._is_over or self.problem)

    def __str__(self) -> str:
        return f"queue {self._settings.queue!r} of {self._name}, vhost {self._broker.vhost!r}"

    def take(self, wait_s: float) -> list[Message]:
        """The messages that have come; waits for the first one so long at most. Raises BrokerError."""
        try:
            self._pika.process_data_events(wait_s)
        except TROUBLE as error:
            raise self._failed(error) from error
        came, self._came = self._came, []
        if self.problem:
            raise BrokerError(self.problem)
        if not (self._channel.is_open and self._channel.consumer_tags):  # pika says nothing of it
            raise BrokerError(
                f"{self._name}: queue {self._settings.queue!r} was deleted, or the broker closed the"
                " channel: its log says why"
            )
        return came

    def acknowledge(self, tag: int, *, and_all_before: bool = False) -> None:
        """For any thread: the broker need not keep this message any more.

        When the connection is lost before, the message comes again.
        """

        def send() -> None:
            if self._channel.is_open:
                self._channel.basic_ack(tag, multiple=and_all_before)

        with suppress(ConnectionWrongStateError):
            self._pika.add_callback_threadsafe(send)

    def close(self) -> None:
        """Give back to the broker what is not acknowledged. Never raises what the broker does."""
        self._is_over = True
        with suppress(*TROUBLE):
            if self._pika.is_open:
                self._pika.process_data_events(0)  # acknowledgements that wait
                self._pika.close()

    def _declare(self) -> tuple[int, int]:
        """How many messages and other consumers the queue has, which is made if it is not there."""
        settings = self._settings
        try:
            found = self._pika.channel().queue_declare(settings.queue, passive=True).method
        except ChannelClosedByBroker as error:
            if error.reply_code != _NOT_FOUND:
                raise
            channel = self._pika.channel()
            channel.exchange_declare(settings.exchange, "topic", durable=True)
            found = self._make_queue(channel)
            channel.queue_bind(settings.queue, settings.exchange, settings.routing_key)
        return found.message_count, found.consumer_count

    def _make_queue(self, channel: Any) -> Any:
        arguments = {_SINGLE_ACTIVE: True} if self._settings.single_active else None
        return channel.queue_declare(self._settings.queue, durable=True, arguments=arguments).method

    def _warning_of(self, others: int) -> str:
        """What may be wrong with other consumers, or with a queue that lets several work at a time."""
        queue = self._settings.queue
        if self._settings.single_active and not self._is_single_active():
            return (
                f"the queue {queue!r} was made without 'single_active', so it serves several hosts at a"
                " time: when no workflow runs and it is empty, delete it (rabbitmqctl delete_queue"
                f" --if-empty {queue}), and the forwarder makes it anew"
            )
        if others and not self._settings.single_active:
            return (
                f"other consumers of the queue {queue!r}: {others}. Each message goes to one of them"
                " alone: right for conductor-hooks on other hosts, but a manager's worker must stop"
                " (remove --hooks-queue from its section of supervisord's configuration)"
            )
        return ""

    def _is_single_active(self) -> bool:
        """Whether the queue was made so, which the broker says only by refusing another declaration."""
        try:
            self._make_queue(self._pika.channel())
        except ChannelClosedByBroker as error:  # for another difference, or without the right to do it
            return _SINGLE_ACTIVE not in error.reply_text
        return True

    def _consume(self) -> Any:
        channel = self._pika.channel()
        settings = self._settings
        channel.basic_qos(prefetch_count=settings.prefetch or _PREFETCH[settings.acknowledge])
        channel.basic_consume(settings.queue, self._on_message)
        return channel

    def _on_message(self, _: Any, method: Any, properties: Any, body: bytes) -> None:
        self._came.append(read_message(method.delivery_tag, body, properties.message_id))

    def _failed(self, error: Exception) -> BrokerError:
        return BrokerError(f"{self._name}: {reason(error, self._broker)}")
