"""The inputs of a trap hook: which belong together, and the destinations they name.

Owns the reasons for inputs that are missing, unknown, meaningless, or do not fit each other. It never
judges one value: values.py does. action.py sends to the Targets that come out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from listener.actions import Fault
from listener.actions.snmp_trap.values import INVALID, READERS, SECRET, hint, shortened
from listener.snmp.mib import LAYOUTS
from listener.snmp.target import Target, User, address_name

_VERSION_3 = (
    "user", "auth_protocol", "auth_key", "priv_protocol", "priv_key", "context_name", "engine_id"
)  # fmt: skip


def read_targets(
    inputs: Mapping[str, Any], timeout_s: float
) -> tuple[tuple[Target, ...], tuple[Fault, ...]]:
    """The destinations of a hook with this `timeout`, and all that is wrong with its inputs.

    A Fault's input is the place of the value: `community_string`, or `destinations.0.user`.
    """
    faults: list[Fault] = []
    top = _Destination(inputs, "", inputs, timeout_s, faults)
    for name in inputs:
        if name in READERS:
            top.value_of(name)  # one that no destination uses may be wrong, too
        elif name != "destinations":
            faults.append(Fault(name, f"unknown input {name!r:.60}; {hint(name)}"))
    targets: list[Target] = []
    for place, own in _destinations(inputs, faults):
        target = _Destination(inputs, place, own, timeout_s, faults).read()
        if target is None:
            continue
        if any(target.name == other.name for other in targets):
            faults.append(Fault(place, f"the destination {target.name} stands here twice"))
        targets.append(target)
    return tuple(targets), tuple(dict.fromkeys(faults))


def _destinations(
    inputs: Mapping[str, Any], faults: list[Fault]
) -> list[tuple[str, Mapping[str, Any]]]:
    """The place and the own inputs of each destination; '' for the one of the hook itself."""
    if "destinations" not in inputs:
        return [("", inputs)]
    found = inputs["destinations"]
    if not isinstance(found, list) or not found:
        shape = "a list of addresses, or of mappings with a 'destination_address' each"
        reason = f"'destinations' must be {shape}, found {shortened(found)}"
        faults.append(Fault("destinations", reason))
        return []
    if "destination_address" in inputs:
        faults.append(
            Fault("destination_address", "'destination_address' goes into the list of 'destinations'")
        )
    items: list[tuple[str, Mapping[str, Any]]] = []
    for position, item in enumerate(found):
        place = f"destinations.{position}"
        if isinstance(item, str):
            items.append((place, {"destination_address": item}))
        elif isinstance(item, dict):
            for name in map(str, item):
                if name not in READERS:
                    reason = f"unknown input {name!r:.60}; {hint(name)}"
                    faults.append(Fault(f"{place}.{name}", f"destination {position + 1}: {reason}"))
            items.append((place, item))
        else:
            reason = f"destination {position + 1} must be an address, or a mapping of inputs"
            faults.append(Fault(place, reason))
    return items


class _Destination:
    """One destination being read: its own inputs, and those of the hook as defaults."""

    def __init__(
        self,
        inputs: Mapping[str, Any],
        place: str,
        own: Mapping[str, Any],
        timeout_s: float,
        faults: list[Fault],
    ) -> None:
        self._inputs = inputs
        self._place = place
        self._own = own
        self._timeout_s = timeout_s
        self._faults = faults
        self._number = int(place.rpartition(".")[2]) + 1 if place else 0

    def read(self) -> Target | None:
        """The target; None when something is wrong, which is among the faults then."""
        known = len(self._faults)
        version, notify = self._value("version", "2c"), self._value("notify", "trap")
        host = self._required("destination_address")
        port = self._required("destination_port")
        layout = self._value("layout", LAYOUTS[0])
        if INVALID in (version, notify):
            return None  # what would be needed is not known
        is_inform = notify == "inform"
        timeout_s, retries = 1.0, 5
        if is_inform:
            timeout_s, retries = self._value("timeout", timeout_s), self._value("retries", retries)
            self._check_duration(timeout_s, retries)
        else:
            self._refuse(("timeout", "retries"), "an inform is waited for; add 'notify: inform'")
        community, user, context_name, engine_id = b"", User(""), "", b""
        if version == "3":
            self._refuse(("community_string",), "version 2c has a community; a 'user' is version 3's")
            user = self._user()
            context_name = self._value("context_name", "")
            if is_inform:
                self._refuse(("engine_id",), "a trap goes out under it; an inform, the receiver's")
            else:
                engine_id = self._value("engine_id", b"")
        else:
            community = self._required("community_string")
            self._refuse(_VERSION_3, "version 3 has it; add 'version: 3'")
        if len(self._faults) > known:
            return None
        return Target(
            address_name(host, port), host, port, version, is_inform, layout, community,
            timeout_s, retries, user, context_name, engine_id,
        )  # fmt: skip

    def _user(self) -> User:
        protocols = {name: self._value(f"{name}_protocol", "") for name in ("auth", "priv")}
        keys = {name: self._value(f"{name}_key", "") for name in ("auth", "priv")}
        for name in ("auth", "priv"):
            if protocols[name] and not keys[name]:
                self._wrong(f"{name}_protocol", f"needs '{name}_key'")
            if keys[name] and not protocols[name]:
                self._wrong(f"{name}_key", f"needs '{name}_protocol'")
        if protocols["priv"] and not protocols["auth"]:
            self._wrong("priv_protocol", "needs 'auth_protocol': nothing is encrypted unauthenticated")
        name = self._required("user")
        return User(name, protocols["auth"], keys["auth"], protocols["priv"], keys["priv"])

    def _check_duration(self, timeout_s: Any, retries: Any) -> None:
        if INVALID in (timeout_s, retries):
            return
        if timeout_s * (retries + 1) > self._timeout_s + 1e-6:
            tries = "1 try" if retries == 0 else f"{retries + 1} tries"
            reason = (
                f"an inform with {tries} of {timeout_s:g} s can take longer than the hook's 'timeout'"
                f" of {self._timeout_s:g} s; raise that, or lower the input 'timeout' or 'retries'"
            )
            given = [name for name in ("timeout", "retries") if name in self._own]
            place = ".".join(filter(None, (self._place, *given[:1])))
            self._faults.append(Fault(place or None, self._where() + reason))

    def _value(self, name: str, default: Any) -> Any:
        """The value of an input that may be missing; INVALID when it is wrong."""
        return self.value_of(name) if self._given(name) is not None else default

    def _required(self, name: str) -> Any:
        if self._given(name) is not None:
            return self.value_of(name)
        reason = f"{self._where()}the input {name!r} is missing; add it"
        self._faults.append(Fault(self._place or None, reason))
        return INVALID

    def _where(self) -> str:
        return f"destination {self._number}: " if self._place else ""

    def _given(self, name: str) -> Mapping[str, Any] | None:
        """Where an input stands: with the destination, with the hook, or nowhere."""
        return next((each for each in (self._own, self._inputs) if name in each), None)

    def value_of(self, name: str) -> Any:
        """The value of an input that is given; INVALID when it is wrong."""
        inputs = self._given(name) or {}
        value = READERS[name][0](inputs[name])
        if value is INVALID:
            found = "" if name in SECRET else f", found {shortened(inputs[name])}"
            self._wrong(name, f"must be {READERS[name][1]}{found}")
        return value

    def _refuse(self, names: tuple[str, ...], why: str) -> None:
        """What has no meaning here is a mistake where it was written for this destination."""
        for name in names:
            if name in self._own:
                self._wrong(name, f"has no meaning here: only {why}")

    def _wrong(self, name: str, reason: str) -> None:
        is_own = self._place and name in self._own
        where = self._where() if is_own else ""
        place = f"{self._place}.{name}" if is_own else name
        self._faults.append(Fault(place, f"{where}{name!r} {reason}"))
