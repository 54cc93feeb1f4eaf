"""emit --amqp: what it publishes, and what it says where the broker does not have it in a queue."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from listener.errors import HooksError
from listener.hooks.forward import ForwardSettings, Host
from listener.rabbitmq import parameters
from listener.rabbitmq.publisher import publish
from tests.listening import COMMAND
from tests.rabbitmq.forwarding import Site
from tests.rabbitmq.proxy import Proxy
from tests.rabbitmq.vhost import EXCHANGE, QUEUE, Vhost


def settings(vhost: Vhost, **changes: Any) -> ForwardSettings:
    host = Host(vhost.host, vhost.port)
    return ForwardSettings(hosts=(host,), vhost=vhost.name, tls=False)._replace(**changes)


def refused(settings: ForwardSettings) -> str:
    with pytest.raises(HooksError) as refusal:
        publish("{}", settings)
    return str(refusal.value)


def test_it_is_in_the_queue_to_stay_and_its_execution_is_said(site: Site, vhost: Vhost) -> None:
    vhost.declare()
    command = [*COMMAND, "emit", "workflow_failed", "--amqp", "--set", "execution_id=e-1"]
    env = {**os.environ, "CONDUCTOR_HOOKS_CONFIG": str(site.conf)}
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=30)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "published, with the execution e-1\n"
    with vhost.channel() as channel:
        _, properties, body = channel.basic_get(QUEUE, auto_ack=True)
    assert properties.delivery_mode == 2
    notification = json.loads(body)
    assert notification["id"]
    assert notification["context"]["execution_id"] == "e-1"


def test_the_next_host_gets_what_the_first_does_not_take(vhost: Vhost) -> None:
    vhost.declare()
    with Proxy(vhost.port) as closed:
        pass
    hosts = Host(vhost.host, closed.port), Host(vhost.host, vhost.port)
    publish("{}", settings(vhost, hosts=hosts))
    assert vhost.counts() == (1, 0, 0)
    assert refused(settings(vhost, hosts=hosts[:1])) == (
        "the notification was not confirmed: 127.0.0.1: connection refused: start the broker, or"
        " correct the port"
    )


def test_where_no_queue_or_exchange_takes_it_it_is_not_sent(vhost: Vhost) -> None:
    assert f"NOT_FOUND - no exchange '{EXCHANGE}'" in refused(settings(vhost))
    vhost.declare()
    assert refused(settings(vhost, routing_key="other")) == (
        f"nothing was sent: no queue takes 'other' from the exchange '{EXCHANGE}'; start the forwarder"
        " once, which makes the queue"
    )


def test_a_queue_that_refuses_it_is_no_confirmation(vhost: Vhost) -> None:
    vhost.declare(arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    assert refused(settings(vhost)) == (
        "the notification was not confirmed: 127.0.0.1: the queue does not take the message: it is full"
    )


def test_a_broker_without_memory_is_said_to_be(vhost: Vhost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameters, "HEARTBEAT_S", 1)
    vhost.declare()
    with vhost.broker.alarm():
        assert refused(settings(vhost)) == (
            "the notification was not confirmed: 127.0.0.1: it accepts nothing: see its alarms of"
            " memory and disk"
        )
