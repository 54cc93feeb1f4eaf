"""How pika connects to a broker: the address, the user, the TLS, the times.

Owns the certificates' files and the reasons for the times. It opens no connection; connection.py and
publisher.py do.
"""

from __future__ import annotations

import ssl

import pika

from listener.errors import HooksError
from listener.hooks.forward import Host
from listener.rabbitmq.broker import Broker

HEARTBEAT_S = 15
"""RabbitMQ on a manager proposes none. A frozen host keeps its messages for 3 of these at most."""
CONNECT_S = 5.0


def parameters(broker: Broker, host: Host) -> pika.ConnectionParameters:
    """How to connect to one of the hosts. Raises HooksError when a file of TLS cannot be used."""
    return pika.ConnectionParameters(
        host=host.name,
        port=host.port or (5671 if broker.tls else 5672),
        virtual_host=broker.vhost,
        credentials=pika.PlainCredentials(broker.username, broker.password),
        heartbeat=HEARTBEAT_S,
        blocked_connection_timeout=HEARTBEAT_S,
        socket_timeout=CONNECT_S,
        stack_timeout=2 * CONNECT_S,
        ssl_options=pika.SSLOptions(_tls_context(broker), host.name) if broker.tls else None,
        client_properties={"product": "conductor-hooks"},
    )


def _tls_context(broker: Broker) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=broker.ca)
        context.check_hostname = broker.verify_host
        if broker.cert is not None:
            context.load_cert_chain(broker.cert, broker.key)
    except OSError as error:
        names = ", ".join(filter(None, (broker.ca, broker.cert, broker.key)))
        raise HooksError(
            f"a certificate or key for the broker cannot be used ({names}):"
            f" {error.strerror or error}; correct 'ca', 'cert' and 'key' in {broker.place}"
        ) from error
    return context
