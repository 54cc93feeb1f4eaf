"""Which broker, as whom, and over which TLS: what hooks.conf says, else the manager's own file.

Owns what is read of the manager's broker_config.json. It opens no connection, and needs no pika: the
verb `check` calls it, too.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from listener.errors import HooksError
from listener.hooks.forward import OF_THE_MANAGER, ForwardSettings, Host
from listener.hooks.text_file import read


class Broker(NamedTuple):
    """Everything that a connection needs, and the `place` in which an operator corrects it.

    `ca` is a file; without it, the system's are trusted.
    """

    hosts: tuple[Host, ...]
    username: str
    password: str
    vhost: str
    tls: bool
    ca: str | None
    cert: str | None
    key: str | None
    verify_host: bool
    place: str = "the section 'forward'"


def read_broker(settings: ForwardSettings) -> Broker:
    """The broker of these settings. Raises HooksError when none is known, or a file is unreadable."""
    path = settings.broker_config or (None if settings.hosts else OF_THE_MANAGER)
    known = _read_config(path, settings) if path else {}
    hosts = settings.hosts or _hosts_in(known)
    if not hosts:
        raise HooksError(
            "no broker is known: name its 'hosts' in the section 'forward' of hooks.conf; on a manager,"
            f" {OF_THE_MANAGER} has them"
        )
    return Broker(
        hosts=hosts,
        username=settings.username or str(known.get("broker_username") or "guest"),
        password=settings.password or str(known.get("broker_password") or "guest"),
        vhost=settings.vhost or str(known.get("broker_vhost") or "/"),
        tls=bool(known.get("broker_ssl_enabled", True)) if settings.tls is None else settings.tls,
        ca=settings.ca or known.get("broker_cert_path") or None,
        cert=settings.cert,
        key=settings.key,
        verify_host=settings.verify_host,
        place=f"the section 'forward', or {path}" if known else "the section 'forward'",
    )


def _read_config(path: str, settings: ForwardSettings) -> dict[str, Any]:
    """What broker_config.json says: the named one, else the manager's where there is no other host."""
    try:
        value = json.loads(read(path))
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and settings.broker_config is None:
            return {}  # this is no manager
        reason = error.strerror if isinstance(error, OSError) else "it is no JSON"
        raise HooksError(
            f"{path}, which names the broker, cannot be read: {reason}; run the forwarder as the user"
            " that may read it, or name 'hosts', 'username' and 'password' in the section 'forward'"
        ) from error
    return value if isinstance(value, dict) else {}


def _hosts_in(known: dict[str, Any]) -> tuple[Host, ...]:
    found = known.get("broker_hostname")
    names = found if isinstance(found, list) else [found]
    return tuple(Host(name) for name in names if isinstance(name, str) and name)
