"""What is wrong with a broker or the way to it, in words.

Owns the reading of pika's exceptions, whose texts are often empty, and what an operator can do about
each. It catches nothing; connection.py and publisher.py do, and ask it.
"""

from __future__ import annotations

import re

from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPError

from listener.errors import chain_of
from listener.log import printable
from listener.rabbitmq.broker import Broker

TROUBLE = (AMQPError, AMQPConnectorException, OSError, UnicodeError)
"""What pika raises when a broker cannot be reached, refuses something, or is gone.

UnicodeError is about a host with a name that none can have, as 'broker..example.com'.
"""

_REASONS = (
    (r"ACCESS_REFUSED - Login|ProbableAuthenticationError",
     "it refuses the user {broker.username!r} or the password: correct 'username' and 'password' in"
     " {broker.place}"),
    (r"ProbableAccessDenied.*vhost",
     "it has no vhost {broker.vhost!r} that the user {broker.username!r} may enter: correct 'vhost' in"
     " {broker.place}, or its rights"),
    (r"ACCESS_REFUSED - access to (\S+ '[^']*')",
     "the user {broker.username!r} has no rights for the {0}: give them (rabbitmqctl set_permissions)"),
    (r"PRECONDITION_FAILED - (inequivalent arg '[^']*')",
     "its queue or exchange was declared in another way ({0}): delete it, or name another one"),
    (r"(NOT_FOUND - no \w+ '[^']*')", "{0}"),
    (r"CONNECTION_FORCED", "it was stopped, or has closed the connection"),
    (r"RESOURCE_LOCKED|in exclusive use", "another consumer has the queue for itself alone"),
    (r"certificate is not valid for|Hostname mismatch",
     "its certificate is for another name: correct 'hosts', or set 'verify_host: false'"),
    (r"CERTIFICATE_VERIFY_FAILED",
     "its certificate was not issued by the CA in {ca}: correct 'ca' in {broker.place}"),
    (r"WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|UNSUPPORTED_PROTOCOL",
     "it does not speak TLS on this port: correct the port, or set 'tls: false'"),
    (r"NackError", "the queue does not take the message: it is full"),
    (r"ConnectionRefusedError", "connection refused: start the broker, or correct the port"),
    (r"gaierror|UnicodeError", "there is no host of this name: correct 'hosts' in {broker.place}"),
    (r"AMQPHeartbeatTimeout", "it has not answered for two heartbeats"),
    (r"ConnectionBlockedTimeout", "it accepts nothing: see its alarms of memory and disk"),
    (r"TimeoutError|timed out|StackTimeout|SocketTimeout",
     "no answer: check the address, and firewalls in between"),
    # What one cause shows differs from try to try, as when a certificate is refused.
    (r"IncompatibleProtocolError|CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|BAD_CERTIFICATE|UNKNOWN_CA"
     r"|ConnectionReset|Broken pipe|StreamLost|EOF",
     "the connection was lost; if it is lost at once: a port with TLS needs 'tls: true', one that asks"
     " for client certificates 'cert' and 'key' that it accepts"),
)  # fmt: skip


def reason(error: Exception, broker: Broker) -> str:
    """What is wrong, and what to do, in one line."""
    text = chain_of(error)
    ca = broker.ca or "the system's list"
    for pattern, words in _REASONS:
        if match := re.search(pattern, text, re.DOTALL):
            return printable(words.format(*match.groups(), broker=broker, ca=ca))
    return printable(text[:300])
