"""The built-in `cloudify.snmp.snmp_trap.send_snmp_trap`: a notification goes to SNMP receivers.

Owns the order of the work: resolve names, make messages, send, wait for acknowledgements, count. It
encodes nothing and opens no socket: the modules in snmp/ do. The registry makes it.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from listener.actions import Action, Call, Fault, Surroundings
from listener.actions.snmp_trap.inputs import read_targets
from listener.actions.snmp_trap.values import OF_HOOK
from listener.errors import ActionFailed, StateError
from listener.hooks.table import ANY_EVENT, Hook
from listener.hooks.values import Kind
from listener.model.outcome import Tally
from listener.snmp import mib
from listener.snmp.identity import engine_identity
from listener.snmp.mib import Content
from listener.snmp.names import Address, Names, literal
from listener.snmp.sender import Conversation, Peer, TrapSender
from listener.snmp.target import Target
from listener.snmp.v2c import V2cMessages

if TYPE_CHECKING:
    from listener.snmp.v3 import V3Messages

_log = logging.getLogger(__name__)


class _Inputs(NamedTuple):
    """What the inputs of a hook say."""

    hook: Hook
    targets: tuple[Target, ...]
    faults: tuple[Fault, ...]
    is_instant: bool


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
        self._inputs: dict[int, _Inputs] = {}  # by the hook's line
        self._tallies: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])

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
        self._count(targets, problems)
        reached = [target for target in targets if target.name not in problems]
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
                    self._version_3().prepare(target)
        except (ActionFailed, StateError) as error:
            _log.warning("hook %s: %s", hook.name, error)

    def take_tallies(self) -> dict[str, Tally]:
        tallies = {name: Tally(*tally) for name, tally in self._tallies.items()}
        self._tallies.clear()
        return tallies

    def close(self) -> None:
        self._sender.close()

    def _read(self, hook: Hook) -> _Inputs:
        """A hook's inputs; they are read once for each hooks.conf."""
        known = self._inputs.get(hook.line)
        if known is None or known.hook is not hook:
            targets, faults = read_targets(hook.inputs, hook.timeout_s)
            is_instant = all(map(_is_instant, targets))
            known = self._inputs[hook.line] = _Inputs(hook, targets, faults, is_instant)
        return known

    def _count(self, targets: Sequence[Target], problems: Container[str]) -> None:
        for target in targets:
            tally = self._tallies[target.name]
            if target.name in problems:
                tally[_FAILED] += 1
            else:
                tally[_SENT] += 1
                tally[_ACKNOWLEDGED] += target.is_inform

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
        self._names.look_up([target.lookup for target in targets])
        problems: dict[str, str] = {}
        informs: dict[str, Conversation] = {}
        for target in targets:
            try:
                address = self._address(target, now + hook.timeout_s / 2)
                peer = Peer(address, target.port, target.name, target.source)
                messages = self._version_3() if target.version == "3" else self._version_2c
                message = target, peer, next(self._request_ids) % 2**31, content
                if target.is_inform:
                    informs[target.name] = messages.inform(*message)
                else:
                    self._sender.send(messages.trap(*message), peer)
            except (ActionFailed, StateError) as error:
                problems[target.name] = str(error)
        if informs:
            problems |= self._sender.converse(informs, now + hook.timeout_s, call.stop)
        for target in targets:
            if target.name in problems:
                self._names.doubt(target.lookup)
        return problems

    def _address(self, target: Target, deadline: float) -> Address:
        try:
            return self._names.address(target.lookup, deadline)
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


_SENT, _ACKNOWLEDGED, _FAILED = range(3)


def _is_instant(target: Target) -> bool:
    """Whether sending takes some microseconds: no name, no answer to wait for, no pysnmp."""
    return target.version == "2c" and not target.is_inform and literal(target.host) is not None


def _result(targets: Iterable[Target]) -> str:
    """The destinations that were reached, in words."""
    sent = ", ".join([target.name for target in targets if not target.is_inform])
    acknowledged = ", ".join([target.name for target in targets if target.is_inform])
    results = (sent and f"sent to {sent}", acknowledged and f"acknowledged by {acknowledged}")
    return "; ".join(filter(None, results))
