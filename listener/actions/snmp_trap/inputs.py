"""The inputs of a trap hook: which belong together, and the destinations they name.

Owns the messages about inputs that are unknown, missing, without meaning, or do not fit each other;
values.py knows what each may be. action.py sends to the Targets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import AddressValueError, IPv6Address
from typing import Any

from listener.actions import Fault
from listener.actions.inputs import read_inputs
from listener.actions.snmp_trap.values import INPUTS, OF_HOOK
from listener.hooks.values import INVALID, in_words
from listener.snmp.mib import LAYOUTS
from listener.snmp.names import family_of, literal
from listener.snmp.target import Target, User, address_name

_VERSION_3 = (
    "user", "auth_protocol", "auth_key", "priv_protocol", "priv_key", "context_name", "engine_id"
)  # fmt: skip


def read_targets(
    inputs: Mapping[str, Any], timeout_s: float
) -> tuple[tuple[Target, ...], tuple[Fault, ...]]:
    """The destinations of a hook with this `timeout`; or all that is wrong with its inputs.

    A Fault's input is the place of the value: `community_string`, or `destinations.0.user`.
    """
    hook, destinations = _given(inputs)
    targets: dict[str, Target] = {}
    for own in destinations:
        target = _Destination(own, hook, timeout_s).read()
        if target is None:
            continue
        if target.name in targets:
            own.fault(None, f"{target.name} is listed twice")
        targets[target.name] = target
    faults = dict.fromkeys(fault for given in (hook, *destinations) for fault in given.faults)
    return (() if faults else tuple(targets.values())), tuple(faults)


def read_users(inputs: Mapping[str, Any]) -> Iterator[User]:
    """The users of version 3 of a hook, whatever else its inputs lack or templates have yet to give."""
    hook, destinations = _given(inputs)
    for own in destinations:
        if user := _Destination(own, hook, 0.0).read_user():
            yield user


class _Given:
    """Inputs as they stand with a hook, or with one of its destinations: values, and what is wrong."""

    def __init__(self, inputs: Mapping[str, Any], position: int | None = None) -> None:
        self._position = position
        self.faults: list[Fault] = []
        self.values, faults = read_inputs(inputs, INPUTS, others=("destinations",))
        for fault in faults:
            self.fault(*fault[:2])

    def fault(self, name: str | None, reason: str) -> None:
        """Record what is wrong with an input, or with all of them."""
        place, label = name, ""
        if self._position is not None:
            place = f"destinations.{self._position}" + (f".{name}" if name else "")
            label = f"destination {self._position + 1}: "
        self.faults.append(Fault(place, label + reason))


def _given(inputs: Mapping[str, Any]) -> tuple[_Given, Sequence[_Given]]:
    """The inputs of a hook, and the own ones of each destination."""
    hook = _Given({name: value for name, value in inputs.items() if name != "destinations"})
    return hook, _destinations(inputs, hook)


def _destinations(inputs: Mapping[str, Any], hook: _Given) -> Sequence[_Given]:
    """The own inputs of each destination: those of the hook itself where it has no list of them."""
    if "destinations" not in inputs:
        return [hook]
    found, kind = inputs["destinations"], OF_HOOK["destinations"]
    if kind.read(found) is INVALID:
        hook.fault("destinations", f"'destinations' {kind.refusal(in_words(found))}")
        return []
    if "destination_address" in inputs:
        name = "destination_address"
        hook.fault(name, f"{name!r} must stand in the list 'destinations'")
    return [
        _Given(item if isinstance(item, dict) else {"destination_address": item}, position)
        for position, item in enumerate(found)
    ]


class _Destination:
    """One destination being read: its own inputs, and those of the hook as defaults."""

    def __init__(self, own: _Given, hook: _Given, timeout_s: float) -> None:
        self._own = own
        self._hook = hook
        self._timeout_s = timeout_s
        self._values = {**hook.values, **own.values}

    def read(self) -> Target | None:
        """The target; None when a value is wrong or missing, which is among the faults then."""
        value = self._values.get
        host, port = self._required("destination_address"), self._required("destination_port")
        source = value("source_address", "")
        self._check_addresses(host, source)
        version, notify = value("version", "2c"), value("notify", "trap")
        if INVALID in (version, notify):
            return None  # what would be needed is not known
        is_inform, user = notify == "inform", User("")
        if not is_inform:
            self._leave_out(("timeout", "retries"), "an inform has it; add 'notify: inform'")
        timeout_s, retries = value("timeout", 1.0), value("retries", 5)
        if is_inform:
            self._check_duration(timeout_s, retries)
        if version == "3":
            self._leave_out(("community_string",), "version 2c has it; version 3 has a 'user'")
            user = self._user()
            if is_inform:
                self._leave_out(("engine_id",), "a trap has it; an inform uses the receiver's")
        else:
            self._required("community_string")
            self._leave_out(_VERSION_3, "version 3 has it; add 'version: 3'")
        if INVALID in self._values.values():
            return None
        return Target(
            address_name(host, port), host, port, version, is_inform, value("layout", LAYOUTS[0]),
            value("community_string", b""), timeout_s, retries, user, value("context_name", ""),
            value("engine_id", b""), source,
        )  # fmt: skip

    def read_user(self) -> User | None:
        """The user of version 3; None when there is none, or a value of it is wrong or missing."""
        if self._values.get("version") != "3":
            return None
        faults = len(self._own.faults) + len(self._hook.faults)
        user = self._user()
        is_right = len(self._own.faults) + len(self._hook.faults) == faults
        return user if is_right and INVALID not in user else None

    def _check_addresses(self, host: Any, source: Any) -> None:
        for name, address in (("destination_address", host), ("source_address", source)):
            if _lacks_zone(address):
                self._wrong(name, "needs a zone, the interface of the link, as in fe80::1%eth0")
        known = literal(host) if source and INVALID not in (host, source) else None
        if known and known.family != family_of(source):
            self._wrong("source_address", f"and {host} must both be IPv4, or both IPv6")

    def _user(self) -> User:
        protocols = {name: self._values.get(f"{name}_protocol", "") for name in ("auth", "priv")}
        keys = {name: self._values.get(f"{name}_key", "") for name in ("auth", "priv")}
        for name in ("auth", "priv"):
            if protocols[name] and not keys[name]:
                self._wrong(f"{name}_protocol", f"needs '{name}_key'")
            if keys[name] and not protocols[name]:
                self._wrong(f"{name}_key", f"needs '{name}_protocol'")
        if protocols["priv"] and not protocols["auth"]:
            self._wrong(
                "priv_protocol", "needs 'auth_protocol': version 3 encrypts only what it authenticates"
            )
        name = self._required("user")
        return User(name, protocols["auth"], keys["auth"], protocols["priv"], keys["priv"])

    def _check_duration(self, timeout_s: Any, retries: Any) -> None:
        """All tries of an inform have to fit into the hook's timeout."""
        if INVALID in (timeout_s, retries) or timeout_s * (retries + 1) <= self._timeout_s + 1e-6:
            return
        tries = "1 try" if retries == 0 else f"{retries + 1} tries"
        own = [name for name in ("timeout", "retries") if name in self._own.values]
        self._own.fault(
            own[0] if own else None,
            f"an inform with {tries} of {timeout_s:g} s can take longer than the hook's 'timeout'"
            f" of {self._timeout_s:g} s; raise that, or lower the input 'timeout' or 'retries'",
        )

    def _required(self, name: str) -> Any:
        if name not in self._values:
            self._values[name] = INVALID
            self._own.fault(None, f"the input {name!r} is missing; add it")
        return self._values[name]

    def _leave_out(self, names: Sequence[str], why: str) -> None:
        """What has no meaning here is a fault where it was written for this destination."""
        for name in names:
            self._values.pop(name, None)
            if name in self._own.values:
                self._wrong(name, f"has no meaning here: only {why}")

    def _wrong(self, name: str, reason: str) -> None:
        given = self._own if name in self._own.values else self._hook
        given.fault(name, f"{name!r} {reason}")


def _lacks_zone(address: Any) -> bool:
    """Whether it is a link-local address (RFC 4291, 2.5.6), but of which link is not said."""
    try:
        ipv6 = IPv6Address(address)
    except AddressValueError:
        return False
    return ipv6.is_link_local and ipv6.scope_id is None
