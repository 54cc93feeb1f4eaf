"""The built-in `cloudify.snmp.snmp_trap.send_snmp_trap`: a notification goes to SNMP receivers.

Owns the order of the work: resolve names, make messages, send, wait for acknowledgements, count. It
encodes nothing and opens no socket: the modules in snmp/ do. The registry makes it.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from listener.actions import Action, Call, Fault, Surroundings
from listener.actions.inputs import OncePerHook
from listener.actions.snmp_trap.inputs import read_targets
from listener.actions.snmp_trap.values import OF_HOOK
from listener.errors import ActionFailed, StateError
from listener.hooks.table import ANY_EVENT, Hook
from listener.hooks.values import Kind
from listener.model.outcome import Tallies, Tally
from listener.snmp import mib
from listener.snmp.identity import engine_identity
from listener.snmp.mib import Content
from listener.snmp.names import Address, Names, literal
from listener.snmp.sender import Conversation, TrapSender
from listener.snmp.target import Target
from listener.snmp.v2c import V2cMessages

if TYPE_CHECKING:
    from listener.snmp.v3 import V3Messages

_log = logging.getLogger(__name__)


class _Inputs(NamedTuple):
    """What the inputs of a hook say."""

    targets: tuple[Target, ...]
    faults: tuple[Fault, ...]
    is_instant: bool

    @classmethod
    def of(cls, hook: Hook) -> _Inputs:
        targets, faults = read_targets(hook.inputs, hook.timeout_s)
        return cls(targets, faults, all(map(_is_instant, targets)))


class SnmpTrapAction(Action):
    """Sends traps and informs. `now` is monotonic; sysUpTime counts from when this is made.

    `first_id` is the request-id of the first message. The SNMPv3 engine keeps its identity in the state
    directory; without one, version 3 fails.
    """

    repeatable = True
    has_destinations = True

    def __init__(
        self,
        surroundings: Surroundings,
        *,
        now: Callable[[], float] = time.monotonic,
        first_id: int | None = None,
    ) -> None:
        self._now = now
        self._started_at = now()
        self._request_ids = itertools.count(
            int.from_bytes(os.urandom(4), "big") if first_id is None else first_id
        )
        self._names = Names()
        self._sender = TrapSender()
        self._state_dir = surroundings.state_dir
        self._version_2c = V2cMessages()
        self._v3: V3Messages | None = None
        self._read = OncePerHook(_Inputs.of)
        self._tallies = Tallies()

    def run(self, call: Call) -> str:
        event_type = call.notification.event_type
        if event_type not in mib.NOTIFICATIONS:
            raise ActionFailed(
                f"the MIB has no trap for {event_type!r:.60}; it has: {', '.join(mib.NOTIFICATIONS)}"
            )
        inputs = self._read(call.hook)
        if inputs.faults:
            raise ActionFailed("; ".join(fault.reason for fault in inputs.faults))
        targets = [target for target in inputs.targets if target.name not in call.reached]
        problems = self._send(call, targets, self._now())
        reached = [target for target in targets if target.name not in problems]
        for target in targets:
            is_sent = target.name not in problems
            is_acknowledged = is_sent and target.is_inform
            self._tallies.count(target.name, is_sent=is_sent, is_acknowledged=is_acknowledged)
        result = _result(reached)
        if not problems:
            return result or "every destination has got it before"
        is_plain = len(inputs.targets) == 1
        reasons = [
            why if is_plain or name in why else f"{name}: {why}" for name, why in problems.items()
        ]
        raise ActionFailed(
            "; ".join(filter(None, (*reasons, result))),
            reached=tuple(target.name for target in reached),
        )

    def check(self, hook: Hook, *, may_import: bool) -> list[Fault]:
        faults = list(self._read(hook).faults)
        faults += [
            Fault(None, f"the MIB has no trap for the event type {event_type!r}", is_certain=False)
            for event_type in hook.event_types
            if event_type not in mib.NOTIFICATIONS and event_type != ANY_EVENT
        ]
        return faults

    def hosts(self, hook: Hook) -> Collection[str]:
        return [target.host for target in self._read(hook).targets]

    @classmethod
    def inputs(cls) -> Mapping[str, Kind]:
        return OF_HOOK

    def is_instant(self, hook: Hook) -> bool:
        return self._read(hook).is_instant

    def prepare(self, hook: Hook) -> None:
        """Do the slow part of the hook's first message of version 3: a tenth of a second or more.

        A failure is a WARNING here, and the reason of each message that fails later.
        """
        try:
            for target in self._read(hook).targets:
                if target.version == "3":
                    self._version_3().engine(target)
        except (ActionFailed, StateError) as error:
            _log.warning("hook %s: %s", hook.name, error)

    def take_tallies(self) -> dict[str, Tally]:
        return self._tallies.take()

    def close(self) -> None:
        self._sender.close()

    def _send(self, call: Call, targets: Sequence[Target], now: float) -> dict[str, str]:
        """Send to all of these; the reasons, by destination, of those that could not be reached.

        Names get half of the hook's time at most, so that acknowledgements get the other half.
        """
        hook, notification = call.hook, call.notification
        content = Content.of(
            notification.event_type,
            call.hook_context,
            notification.text,
            uptime_s=now - self._started_at,
            received_at=call.received_at,
            warn=lambda text: _log.warning("hook %s: %s", hook.name, text),
        )
        for target in targets:
            self._names[target.lookup].look_up()
        problems: dict[str, str] = {}
        informs: list[tuple[Conversation, Address]] = []
        for target in targets:
            try:
                address = self._address(target, now + hook.timeout_s / 2)
                messages = self._version_3() if target.version == "3" else self._version_2c
                message = target, next(self._request_ids) % 2**31, content
                if target.is_inform:
                    informs.append((messages.inform(*message), address))
                else:
                    self._sender.send(messages.trap(*message), target, address)
            except (ActionFailed, StateError) as error:
                problems[target.name] = str(error)
        if informs:
            problems |= self._sender.converse(informs, now + hook.timeout_s, call.stop)
        for target in targets:
            if target.name in problems:
                self._names[target.lookup].doubt()
        return problems

    def _address(self, target: Target, deadline: float) -> Address:
        try:
            return self._names[target.lookup].address(deadline)
        except ActionFailed as error:
            raise ActionFailed(f"{error}; correct destination_address") from error

    def _version_3(self) -> V3Messages:
        """Raises ActionFailed where there is no state directory, StateError where it cannot be used."""
        if self._state_dir is None:
            raise ActionFailed(
                "version 3 needs a state directory, for the engine ID and its boots: name one with"
                " 'listener: state_dir'"
            )
        if self._v3 is None:
            from listener.snmp.v3 import V3Messages  # pysnmp is slow to import

            self._v3 = V3Messages(engine_identity(self._state_dir))
        return self._v3


def _is_instant(target: Target) -> bool:
    """Whether sending takes some microseconds: no name, no answer to wait for, no pysnmp."""
    return target.version == "2c" and not target.is_inform and literal(target.host) is not None


def _result(targets: Iterable[Target]) -> str:
    """The destinations that were reached, in words."""
    sent = ", ".join([target.name for target in targets if not target.is_inform])
    acknowledged = ", ".join([target.name for target in targets if target.is_inform])
    results = (sent and f"sent to {sent}", acknowledged and f"acknowledged by {acknowledged}")
    return "; ".join(filter(None, results))
