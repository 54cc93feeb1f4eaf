"""The settings of the forwarder: the section `forward:` of hooks.conf.

Owns their keys, their kinds and their defaults. It opens no connection and reads no broker_config;
listener/rabbitmq does. A mistake here stops the forwarder alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from listener.hooks import schema
from listener.hooks.schema import Form
from listener.hooks.values import BOOLEAN, INVALID, TEXT, Kind, choice, text, whole_number

if TYPE_CHECKING:
    import yaml

    from listener.hooks.readers import Source

OF_THE_MANAGER = "/opt/mgmtworker/work/broker_config.json"
"""Where a manager keeps what its own worker knows of the broker."""


class Host(NamedTuple):
    """A broker; without a port, the one that AMQP has with TLS or without."""

    name: str
    port: int | None = None


class ForwardSettings(NamedTuple):
    """The `forward:` section. None means what `broker_config` says, else a default.

    `problem` is what is wrong with the section; '' when nothing is.
    """

    hosts: tuple[Host, ...] = ()
    broker_config: str | None = None
    username: str | None = None
    password: str | None = None
    vhost: str | None = None
    tls: bool | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    verify_host: bool = True
    queue: str = "cloudify-hooks"
    exchange: str = "cloudify-events-topic"
    routing_key: str = "events.hooks"
    prefetch: int | None = None
    acknowledge: str = "kept"
    single_active: bool = False
    problem: str = ""


def read_forward(source: Source, node: yaml.Node, _: str) -> ForwardSettings:
    """The settings that the section names, and the defaults of all others."""
    known = len(source.mistakes)
    settings = ForwardSettings(**source.mapping(node, "forward", KEYS))
    if settings.single_active and settings.queue == ForwardSettings().queue:
        source.refuse(
            node,
            f"forward: a manager makes its own queue {settings.queue!r}, without 'single_active': name"
            " another 'queue'",
        )
    if (settings.cert is None) != (settings.key is None):
        source.refuse(node, "forward: 'cert' and 'key' belong together; name both or none")
    return settings._replace(problem="\n".join(source.end_part(known)))


def _host(value: Any) -> Any:
    match = re.fullmatch(_HOST, value) if isinstance(value, str) else None
    if match is None or not 0 < int(match["port"] or 1) <= 65535:
        return INVALID
    return Host(match["v6"] or match["name"], int(match["port"]) if match["port"] else None)


_HOST = r"(\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<name>[^\s\[\]:/@]+))(:(?P<port>[0-9]{1,5}))?"
_HOST_KIND = Kind(
    _host,
    "a host, as in 'broker.example.com', 'broker.example.com:5671' or '[2001:db8::1]:5671'",
    is_secret=True,
)
"""A wrong one is not shown, because a URL in its place has the password."""


_SHORT = text("a text of at most 255 bytes", most=255)
"""A name in AMQP."""

KEYS: Mapping[str, Kind | Form] = {
    "hosts": schema.several(_HOST_KIND, schema.of(_HOST_KIND)),
    "broker_config": schema.path(),
    "username": TEXT,
    "password": text(is_secret=True),
    "vhost": _SHORT,
    "tls": BOOLEAN,
    "ca": schema.path(os.path.isfile),
    "cert": schema.path(os.path.isfile),
    "key": schema.path(os.path.isfile),
    "verify_host": BOOLEAN,
    "queue": _SHORT,
    "exchange": _SHORT,
    "routing_key": _SHORT,
    "prefetch": whole_number(1, 10_000),
    "acknowledge": choice("kept", "acted"),
    "single_active": BOOLEAN,
}
