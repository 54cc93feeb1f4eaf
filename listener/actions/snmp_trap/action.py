"""The built-in `cloudify.snmp.snmp_trap.send_snmp_trap`: a notification goes to SNMP receivers.

Owns the order of the work: resolve names, make messages, send, wait for acknowledgements, count.
trap_inputs.py reads the hook's inputs; the messages and the sockets belong to the rooms in snmp/.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from listener.actions import Action, Call, Fault, Surroundings
from listener.actions.snmp_trap.inputs import read_targets
from listener.errors import ActionFailed, StateError
from listener.hooks.table import ANY_EVENT, Hook
from listener.model.outcome import Tally
from listener.snmp import ber, mib
from listener.snmp.identity import EngineFile
from listener.snmp.mib import Content
from listener.snmp.names import Names, literal
from listener.snmp.sender import Conversation, Peer, TrapSender
from listener.snmp.target import Target
from listener.snmp.v2c import V2cInform

if TYPE_CHECKING:
    from listener.snmp.v3 import V3Messages

NAME = "cloudify.snmp.snmp_trap.send_snmp_trap"

_log = logging.getLogger(__name__)


class _Known(NamedTuple):
    """What the inputs of a hook say. `peers` are those targets, by name, whose host is an address.

    `told` is what is said of it when all targets were reached.
    """

    hook: Hook
    targets: tuple[Target, ...]
    faults: tuple[Fault, ...]
    peers: Mapping[str, Peer]
    told: str


class SnmpTrapAction(Action):
    """Sends traps and informs. `now` is monotonic; sysUpTime counts from when this is made.

    `first_id` is the request-id of the first message. The SNMPv3 engine has its identity in the state
    directory; without one nothing is sent in version 3.
    """

    name = NAME
    repeatable = True

    def __init__(
        self,
        surroundings: Surroundings,
        *,
        now: Callable[[], float] = time.monotonic,
        first_id: int | None = None,
    ) -> None:
        state_dir = surroundings.state_dir
        self._now = now
        self._started_at = now()
        self._request_ids = itertools.count(
            int.from_bytes(os.urandom(4), "big") if first_id is None else first_id
        )
        self._names = Names()
        self._sender = TrapSender()
        self._engine_file = EngineFile(state_dir) if state_dir else None
        self._v3: V3Messages | None = None
        self._inputs_read: dict[int, _Known] = {}  # by the hook's line
        self._tallies: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])

    def run(self, call: Call) -> str:
        event_type = call.notification.event_type
        if event_type not in mib.NOTIFICATIONS:
            raise ActionFailed(
                f"the MIB has no trap for {event_type!r:.60}; it has: {', '.join(mib.NOTIFICATIONS)}"
            )
        known = self._read(call.hook)
        if known.faults:
            raise ActionFailed("; ".join(fault.reason for fault in known.faults))
        left = known.targets
        if call.reached:
            left = tuple(target for target in left if target.name not in call.reached)
        problems = self._send(call, left, known, self._now())
        self._count(left, problems)
        if left is known.targets and not problems:
            return known.told
        reached = [target for target in left if target.name not in problems]
        told = _told(reached)
        if not problems:
            return told or "every destination has got it before"
        is_plain = len(known.targets) == 1
        reasons = [
            why if is_plain or name in why else f"{name}: {why}" for name, why in problems.items()
        ]
        raise ActionFailed(
            "; ".join((*reasons, told) if told else reasons),
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

    def prepare(self, hook: Hook) -> None:
        """Import what version 3 needs, and make its engine: that takes a tenth of a second or more.

        What makes it fail is a WARNING here, and the reason why messages fail later.
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
        if self._engine_file is not None:
            self._engine_file.close()

    def _read(self, hook: Hook) -> _Known:
        """Where a hook sends, and what is wrong with its inputs; read once for each hooks.conf."""
        known = self._inputs_read.get(hook.line)
        if known is None or known.hook is not hook:
            targets, faults = read_targets(hook.inputs, hook.timeout_s)
            addresses = ((target, literal(target.host)) for target in targets)
            peers = {
                target.name: Peer(address, target.port, target.name)
                for target, address in addresses
                if address is not None
            }
            known = _Known(hook, targets, faults, peers, _told(targets))
            self._inputs_read[hook.line] = known
        return known

    def _count(self, targets: Sequence[Target], problems: Container[str]) -> None:
        for target in targets:
            tally = self._tallies[target.name]
            if target.name in problems:
                tally[_FAILED] += 1
            else:
                tally[_SENT] += 1
                tally[_ACKNOWLEDGED] += target.is_inform

    def _send(self, call: Call, targets: Sequence[Target], known: _Known, now: float) -> dict[str, str]:
        """Send to all of these; why it failed, by destination, for those that could not be reached."""
        hook, notification, peers = call.hook, call.notification, known.peers
        content = Content.of(
            notification.event_type,
            call.hook_context,
            notification.text,
            uptime_s=now - self._started_at,
            received_at=call.received_at,
            warn=lambda text: _log.warning("hook %s: %s", hook.name, text),
        )
        deadline = now + hook.timeout_s
        if len(peers) == len(known.targets):
            return self._send_all(content, targets, peers, deadline, deadline)
        half_way = now + hook.timeout_s / 2
        unknown = self._names.look_up([each.host for each in targets if each.name not in peers])
        first = [target for target in targets if target.host not in unknown]
        last = [target for target in targets if target.host in unknown]
        problems = self._send_all(content, first, peers, half_way, half_way if last else deadline)
        problems |= self._send_all(content, last, peers, half_way, deadline)
        for target in targets:
            if target.name in problems:
                self._names.doubt(target.host)
        return problems

    def _send_all(
        self,
        content: Content,
        targets: Iterable[Target],
        peers: Mapping[str, Peer],
        resolved_by: float,
        deadline: float,
    ) -> dict[str, str]:
        """Send to each of these; `deadline` is the end of waiting for acknowledgements."""
        problems: dict[str, str] = {}
        informs: dict[str, Conversation] = {}
        for target in targets:
            try:
                peer = peers.get(target.name) or Peer(
                    self._names.address(target.host, resolved_by), target.port, target.name
                )
                if target.is_inform:
                    informs[target.name] = self._inform(target, peer, content)
                else:
                    self._sender.send(self._trap(target, peer, content), peer)
            except (ActionFailed, StateError) as error:
                problems[target.name] = str(error)
        return problems | self._sender.converse(informs, deadline) if informs else problems

    def _trap(self, target: Target, peer: Peer, content: Content) -> bytes:
        request_id = next(self._request_ids) % 2**31
        if target.version == "3":
            bindings = content.bindings(target.layout)
            return self._version_3().trap(target, peer, request_id, bindings)
        pdu = ber.pdu(ber.TRAP, request_id, content.varbinds(target.layout))
        return ber.message_v2c(target.community, pdu)

    def _inform(self, target: Target, peer: Peer, content: Content) -> Conversation:
        request_id = next(self._request_ids) % 2**31
        if target.version == "3":
            bindings = content.bindings(target.layout)
            return self._version_3().inform(target, peer, request_id, bindings)
        pdu = ber.pdu(ber.INFORM, request_id, content.varbinds(target.layout))
        return V2cInform(target, peer, request_id, pdu)

    def _version_3(self) -> V3Messages:
        """Raises ActionFailed where there is no state directory."""
        if self._engine_file is None:
            raise ActionFailed(
                "version 3 needs a state directory, for the engine ID and its boots: name one with"
                " 'listener: state_dir'"
            )
        if self._v3 is None:
            from listener.snmp.v3 import V3Messages  # pysnmp is slow to import

            self._v3 = V3Messages(self._engine_file.open)
        return self._v3


_SENT, _ACKNOWLEDGED, _FAILED = range(3)


def _told(targets: Iterable[Target]) -> str:
    """What was done, by destination."""
    sent = ", ".join([target.name for target in targets if not target.is_inform])
    acknowledged = ", ".join([target.name for target in targets if target.is_inform])
    told = (sent and f"sent to {sent}", acknowledged and f"acknowledged by {acknowledged}")
    return "; ".join(filter(None, told))
