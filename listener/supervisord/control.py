"""A client of supervisord's XML-RPC, and where supervisord and its configuration file are.

Owns the words for a supervisord that does not answer. It changes nothing there. standing.py, doctor and
the verb `fire` ask it.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from typing import Any, NamedTuple
from xml.parsers.expat import ExpatError
from xmlrpc.client import Error, Fault, ProtocolError, ServerProxy

from supervisor.options import ClientOptions
from supervisor.xmlrpc import Faults, SupervisorTransport

from listener.errors import HooksError
from listener.supervisord.emit import remote_kind
from listener.supervisord.presence import Presence

_ANSWER_S = 5.0
_LOG_BYTES = 20_000
_ERROR = re.compile(
    r'^(?:\S+ ERROR .*(?:\n .*)*|\{.*"level": ?"ERROR".*\}|supervisor: couldn\'t .*)', re.MULTILINE
)
"""A line of our log with those that belong to it, in either log_format; supervisord's when it cannot
start the program."""

_PROC = "/proc"
_UNAUTHORIZED = 401


class Address(NamedTuple):
    """Where a supervisord answers: `unix:///…` or `http://…`, and what it wants to know of a client."""

    url: str
    username: str | None = None
    password: str | None = None


class Control:
    """Asks one supervisord; each method raises HooksError when it does not answer."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._transport = SupervisorTransport(address.username, address.password, address.url)
        self._proxy = ServerProxy("http://localhost", self._transport)

    def processes(self) -> list[dict[str, Any]]:
        """What it says of each of its processes, by getAllProcessInfo: `statename`, `start`…"""
        return list(self._ask("supervisor.getAllProcessInfo"))

    def configured(self) -> dict[str, dict[str, Any]]:
        """How it runs each process, by its group:name, as getAllConfigInfo says."""
        found = self._ask("supervisor.getAllConfigInfo")
        return {f"{each['group']}:{each['name']}": each for each in found}

    def recorder(self, state_dir: str) -> dict[str, Any] | None:
        """The status of the recorder into this state directory (recorder.py); None if there is none."""
        for method in self._ask("system.listMethods"):
            if method.endswith(".status"):
                status = self._ask(method)
                if isinstance(status, dict) and status.get("state_dir") == os.path.normpath(state_dir):
                    return status
        return None

    def last_error(self, process: str) -> str:
        """The newest ERROR in the end of a process's log, as one line; '' if there is none."""
        text, _, _ = self._ask("supervisor.tailProcessStderrLog", process, 0, _LOG_BYTES)
        errors: list[str] = _ERROR.findall(text)
        return " ".join(errors[-1].split()) if errors else ""

    def send(self, process: str, notification: str) -> None:
        """Make it send this JSON to a listener, which must subscribe to REMOTE_COMMUNICATION events."""
        self._ask("supervisor.sendRemoteCommEvent", remote_kind(process), notification)

    def _ask(self, method: str, *arguments: object) -> Any:
        try:
            with _limited():
                return getattr(self._proxy, method)(*arguments)
        except Fault as fault:
            raise HooksError(f"supervisord at {self._address.url} {_refusal(method, fault)}") from fault
        except (OSError, Error, HTTPException, ExpatError) as error:
            raise HooksError(f"supervisord at {self._address.url} {_trouble(error)}") from error
        finally:
            self._transport.close()


def address_of(presence: Presence | None, config: str | None) -> Address:
    """Where supervisord answers: as its configuration says, else as it has told the listener.

    Raises HooksError when neither does.
    """
    path = config or configuration_of(presence)
    why = "there is no configuration file of supervisord"
    if path is not None:
        try:
            options = ClientOptions()
            options.read_config(path)
            section = options.configroot.supervisorctl
            return Address(section.serverurl, section.username or None, section.password or None)
        except ValueError as error:
            why = f"{path}: {error}"
    if presence is not None and presence.server_url:
        return Address(presence.server_url)
    raise HooksError(f"where supervisord answers is not known: {why}; name it with --supervisor-config")


def configuration_of(presence: Presence | None) -> str | None:
    """The configuration file of the listener's supervisord, else the one that supervisorctl takes."""
    pid = presence.supervisord_pid if presence is not None else None
    if pid is not None:
        with suppress(OSError):
            return _named_by(pid)
    found: str | None = ClientOptions().default_configfile()
    return found and os.path.abspath(found)


def _named_by(pid: int) -> str:
    """The file that the process was started with. Raises OSError when it does not say."""
    with open(f"{_PROC}/{pid}/cmdline", encoding="utf-8", errors="surrogateescape") as file:
        arguments = file.read().split("\0")
    for argument, following in itertools.pairwise(arguments):
        name, has_value, value = argument.partition("=")
        if argument in ("-c", "--configuration"):
            return _seen_by(pid, following)
        if has_value and name == "--configuration":
            return _seen_by(pid, value)
    raise FileNotFoundError(errno.ENOENT, "no -c")


def _seen_by(pid: int, path: str) -> str:
    """Where a path leads for the process; its folder is hidden from most other users."""
    return path if os.path.isabs(path) else os.path.join(os.readlink(f"{_PROC}/{pid}/cwd"), path)


@contextmanager
def _limited() -> Iterator[None]:
    """A supervisord that hangs is one that does not answer; its transport takes no limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_ANSWER_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _refusal(method: str, fault: Fault) -> str:
    if fault.faultCode == Faults.UNKNOWN_METHOD:
        return (
            f"does not know {method}; its configuration needs the section [rpcinterface:supervisor],"
            " as echo_supervisord_conf prints it"
        )
    return f"refuses {method}: {fault.faultString}"


def _trouble(error: Exception) -> str:
    """What is wrong with it, and what to do."""
    if isinstance(error, ProtocolError) and error.errcode == _UNAUTHORIZED:
        return "wants a username and a password: give those of its server in [supervisorctl]"
    if isinstance(error, PermissionError):
        return "may not be asked by this user: do this as its user, or as root"
    if isinstance(error, TimeoutError):
        return f"has not answered within {_ANSWER_S:g} s: it hangs, or is very busy; look at its log"
    if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
        return "does not run: start it"
    return f"cannot be asked: {error}"
