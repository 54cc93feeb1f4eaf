"""UDP sockets to trap receivers, one kept for each destination.

Owns the sockets and what the network says of what was sent. It knows no SNMP; actions/snmp_trap.py
hands it whole datagrams.
"""

from __future__ import annotations

import errno
import os
import socket

from listener.errors import ActionFailed


class TrapSender:
    """Sends datagrams. A socket stays connected to its destination, so that a refusal is heard of."""

    def __init__(self) -> None:
        self._sockets: dict[tuple[str, int], socket.socket] = {}

    def send(self, datagram: bytes, host: str, port: int) -> None:
        """Send to a name or an address of either family.

        Nothing tells that a trap has arrived. Raises ActionFailed when it cannot be sent, and when
        the destination's host said at once that nothing listens there, as a local one does.
        """
        try:
            kept = self._sockets.get((host, port))
            if kept is None:
                kept = self._sockets[host, port] = _connected(host, port)
            _error_of(kept)  # a refusal of what was sent before; that attempt is over
            kept.send(datagram)
            if error := _error_of(kept):
                raise OSError(error, os.strerror(error))
        except (OSError, UnicodeError) as error:
            self._forget(host, port)
            raise ActionFailed(_reason(error, len(datagram), host, port)) from error

    def close(self) -> None:
        """Close every socket. Safe to call twice."""
        for destination in list(self._sockets):
            self._forget(*destination)

    def _forget(self, host: str, port: int) -> None:
        """The next send looks the name up again."""
        if kept := self._sockets.pop((host, port), None):
            kept.close()


def _connected(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    new = socket.socket(family, kind, protocol)
    try:
        new.connect(address)
    except OSError:
        new.close()
        raise
    return new


def _error_of(kept: socket.socket) -> int:
    return kept.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def shown(host: str, port: int) -> str:
    """A destination as people write it, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reason(error: OSError | UnicodeError, size: int, host: str, port: int) -> str:
    if isinstance(error, ConnectionRefusedError):
        destination = shown(host, port)
        return f"nothing listens for traps at {destination} (connection refused); start the receiver"
    if isinstance(error, (socket.gaierror, UnicodeError)):
        why = error.strerror if isinstance(error, OSError) else "it is no name"
        return f"the name {host!r:.80} cannot be resolved ({why}); correct destination_address"
    if error.errno == errno.EMSGSIZE:
        return f"sending to {shown(host, port)} failed: {size} bytes are too many for one datagram"
    return f"sending to {shown(host, port)} failed: {error.strerror or error}"
