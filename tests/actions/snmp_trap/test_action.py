"""The built-in that sends traps: what it sends and says, to one destination and to several."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from pysnmp.proto.api import v2c

from listener.actions import Call, Fault, Surroundings
from listener.actions.registry import TRAP
from listener.actions.snmp_trap.action import SnmpTrapAction
from listener.errors import ActionFailed
from listener.hooks.settings import ListenerSettings
from listener.hooks.table import ANY_EVENT, Hook
from listener.model.notification import EVENT_TYPES, Notification
from listener.model.outcome import Tally
from listener.snmp.names import Address, Host, Names
from tests.snmp.receivers import closed_port, decoded, udp_socket, varbinds_of

COMMUNITY = "xyzzy-community"
DOCUMENTED = {
    "destination_address": "10.239.0.109",
    "destination_port": 162,
    "community_string": COMMUNITY,
}


@pytest.fixture
def action(tmp_path: Path) -> Iterator[SnmpTrapAction]:
    made = SnmpTrapAction(Surroundings(ListenerSettings(), str(tmp_path)), first_id=7)
    yield made
    made.close()


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with udp_socket("127.0.0.1") as made:
        yield made


def hook(inputs: dict[str, Any], *event_types: str) -> Hook:
    return Hook("trap-it", event_types or (EVENT_TYPES[0],), TRAP, inputs, line=1, input_lines={})


def call(
    inputs: dict[str, Any],
    event_type: str = EVENT_TYPES[0],
    *,
    timeout_s: float = 60.0,
    reached: tuple[str, ...] = (),
    **fields: Any,
) -> Call:
    notification = Notification(event_type, {}, timestamp="2018-09-03T11:20:00Z")._replace(**fields)
    context = notification.hook_context()
    return Call(
        hook(inputs)._replace(timeout_s=timeout_s), notification, context, 1_700_000_000.0, reached
    )


def at(receiver: socket.socket, **more: Any) -> dict[str, Any]:
    """A destination of a list."""
    host, port, *_ = receiver.getsockname()
    return {"destination_address": host, "destination_port": port, **more}


def to(receiver: socket.socket, **changes: Any) -> dict[str, Any]:
    return DOCUMENTED | at(receiver) | changes


def listed(*destinations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"community_string": COMMUNITY, "destinations": list(destinations), **more}


def name_of(receiver: socket.socket) -> str:
    return "127.0.0.1:{1}".format(*receiver.getsockname())


def value_of(datagram: bytes, oid: str) -> Any:
    [value] = [value for name, value in varbinds_of(datagram) if ".".join(map(str, name)) == oid]
    return value


def failure_of(action: SnmpTrapAction, attempt: Call) -> ActionFailed:
    with pytest.raises(ActionFailed) as failure:
        action.run(attempt)
    assert not failure.value.details
    return failure.value


def is_silent(receiver: socket.socket) -> bool:
    """Whether nothing has come that was not read."""
    receiver.setblocking(False)
    with pytest.raises(BlockingIOError):
        receiver.recv(65535)
    return True


# One destination


@pytest.mark.parametrize("as_type", [int, str])
@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")], ids=["ipv4", "ipv6"]
)
def test_a_trap_is_sent_with_the_documents_inputs_and_the_port_may_be_text(
    action: SnmpTrapAction, host: str, shown: str, as_type: type
) -> None:
    with udp_socket(host) as receiver:
        port = receiver.getsockname()[1]
        attempt = call(to(receiver, destination_port=as_type(port)))
        for request_id in (7, 8):
            assert action.run(attempt) == f"sent to {shown}:{port}"
            message = decoded(receiver.recv(65535))
            assert bytes(message["community"]) == COMMUNITY.encode()
            assert v2c.apiPDU.get_request_id(v2c.apiMessage.get_pdu(message)) == request_id
    faults = action.check(
        attempt.hook._replace(event_types=(*EVENT_TYPES, ANY_EVENT)), may_import=False
    )
    assert faults == []


def test_the_error_may_stand_in_the_notifications_own_sentence(
    action: SnmpTrapAction, receiver: socket.socket
) -> None:
    action.run(call(to(receiver), "workflow_failed", text="it failed"))
    error = value_of(receiver.recv(65535), "1.3.6.1.4.1.52312.1.1.7")
    assert bytes(error) == b"it failed"


def test_sys_up_time_is_the_listeners_and_grows(receiver: socket.socket) -> None:
    now = iter([1000.0, 1000.0, 1012.34, 1000.0 + 500 * 86400])
    action = SnmpTrapAction(Surroundings(ListenerSettings()), now=now.__next__)
    ticks = []
    for _ in range(3):
        action.run(call(to(receiver)))
        ticks.append(int(value_of(receiver.recv(65535), "1.3.6.1.2.1.1.3.0")))
    action.close()
    assert ticks == [0, 1234, 500 * 8_640_000 - 2**32]  # it starts again after 497 days


def test_an_unreadable_timestamp_is_logged_with_the_hooks_name(
    action: SnmpTrapAction, receiver: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    action.run(call(to(receiver), timestamp="soon"))
    assert value_of(receiver.recv(65535), "1.3.6.1.4.1.52312.1.1.1") == 1_700_000_000
    assert caplog.messages == [
        "hook trap-it: the timestamp 'soon' cannot be read; the time of receipt is sent instead"
    ]


def test_wrong_inputs_are_faults_at_check_and_fail_when_hit(
    action: SnmpTrapAction, receiver: socket.socket
) -> None:
    wrong, right = {"destination_port": 0, "comunity_string": COMMUNITY}, call(to(receiver))
    faults = action.check(hook(wrong), may_import=False)
    assert [fault.input for fault in faults] == ["destination_port", "comunity_string", None, None]
    for _ in range(2):  # hooks on one line of the file are told apart
        failure = failure_of(action, call(wrong))
        assert str(failure) == "; ".join(fault.reason for fault in faults)
        action.run(right)
        assert receiver.recv(65535)


def test_an_event_type_that_the_mib_does_not_have_is_a_doubt_at_check_and_fails_when_hit(
    action: SnmpTrapAction, receiver: socket.socket
) -> None:
    faults = action.check(hook(DOCUMENTED, "workflow_resumed", *EVENT_TYPES), may_import=True)
    assert faults == [
        Fault(None, "the MIB has no trap for the event type 'workflow_resumed'", is_certain=False)
    ]
    reason = str(failure_of(action, call(to(receiver), "workflow_resumed")))
    assert reason.startswith("the MIB has no trap for 'workflow_resumed'; it has: workflow_queued, ")
    assert all(event_type in reason for event_type in EVENT_TYPES)
    assert len(str(failure_of(action, call(to(receiver), "x" * 60_000)))) < 300


def test_a_community_may_be_any_octets_the_environment_has(
    action: SnmpTrapAction, receiver: socket.socket
) -> None:
    action.run(call(to(receiver, community_string=os.fsdecode(b"caf\xe9"))))
    assert bytes(decoded(receiver.recv(65535))["community"]) == b"caf\xe9"


@pytest.mark.parametrize(
    "secret",
    [COMMUNITY, COMMUNITY * 5000, COMMUNITY.encode(), [COMMUNITY], {COMMUNITY: 1}],
    ids=["text", "too_long_a_text", "bytes", "list", "mapping"],
)
def test_the_community_is_in_no_message(
    action: SnmpTrapAction, receiver: socket.socket, caplog: pytest.LogCaptureFixture, secret: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    said = []
    for changes in (
        {},
        {"port": 1},
        {"destination_port": 0},
        {"destination_port": closed_port("127.0.0.1")},
    ):
        attempt = call(to(receiver, community_string=secret, **changes), timestamp="soon")
        said += [fault.reason for fault in action.check(attempt.hook, may_import=True)]
        try:
            said.append(action.run(attempt))
        except ActionFailed as failure:
            said += [str(failure), failure.details, repr(failure.__cause__)]
    assert len(said) > 4
    assert COMMUNITY not in repr(said) + caplog.text


# Several destinations


def test_one_wrong_destination_keeps_every_hook_from_being_half_sent(
    action: SnmpTrapAction, receiver: socket.socket
) -> None:
    failure = failure_of(action, call(listed(at(receiver), {"destination_port": 0})))
    assert str(failure).startswith("destination 2: ")
    assert is_silent(receiver)


def test_one_that_fails_is_named_and_stops_no_other(
    action: SnmpTrapAction, receiver: socket.socket
) -> None:
    port = closed_port("127.0.0.1")
    closed = {"destination_address": "127.0.0.1", "destination_port": port}
    nowhere = {"destination_address": "no-such-host.invalid", "destination_port": 162}
    failure = failure_of(action, call(listed(closed, nowhere, at(receiver))))
    begin, middle, end = (
        f"nothing listens for traps at 127.0.0.1:{port} (connection refused); start the receiver;"
        " no-such-host.invalid:162: the name 'no-such-host.invalid' cannot be resolved (",
        "; correct destination_address",
        f"; sent to {name_of(receiver)}",
    )
    assert str(failure).startswith(begin) and str(failure).endswith(middle + end)
    assert failure.reached == (name_of(receiver),)
    assert receiver.recv(65535)


def test_the_source_address_is_the_hooks_or_the_destinations_and_a_wrong_one_stops_no_other(
    action: SnmpTrapAction, receiver: socket.socket
) -> None:
    with udp_socket("127.0.0.1") as own, udp_socket("127.0.0.1") as none:
        inputs = listed(at(receiver), at(own, source_address="127.0.0.3"))
        inputs["destinations"] += [at(none, source_address="192.0.2.1")]
        failure = failure_of(action, call(inputs | {"source_address": "127.0.0.2"}))
        assert [each.recvfrom(65535)[1][0] for each in (receiver, own)] == ["127.0.0.2", "127.0.0.3"]
        assert str(failure).startswith(
            f"{name_of(none)}: this host has no address 192.0.2.1; correct source_address; sent to "
        )
        assert action.take_tallies()[name_of(none)] == Tally(0, 0, 1)


def test_what_was_reached_before_is_left_out_and_not_counted_again(
    action: SnmpTrapAction, receiver: socket.socket
) -> None:
    with udp_socket("127.0.0.1") as other:
        names = name_of(receiver), name_of(other)
        inputs = listed(at(receiver), at(other))
        assert action.run(call(inputs, reached=(names[0], "10.9.9.9:162"))) == f"sent to {names[1]}"
        assert other.recv(65535)
    assert is_silent(receiver)
    assert action.take_tallies() == {names[1]: Tally(1, 0, 0)}
    assert action.run(call(inputs, reached=names)) == "every destination has got it before"
    assert action.take_tallies() == {}


@pytest.mark.parametrize(
    ("inputs", "is_instant"),
    [({}, True), ({"notify": "inform"}, False), ({"destination_address": "nms.example.com"}, False)],
)
def test_only_a_trap_that_waits_for_nothing_is_instant(
    action: SnmpTrapAction, inputs: dict[str, Any], is_instant: bool
) -> None:
    assert action.is_instant(hook({**DOCUMENTED, **inputs})) == is_instant


def test_an_inform_that_nobody_has_acknowledged_is_not_said_to_be(
    action: SnmpTrapAction, receiver: socket.socket
) -> None:
    """Two names of one address: as localhost and 127.0.0.1, or two aliases of a receiver."""
    alias = at(receiver) | {"destination_address": "127.1"}
    quick = {"notify": "inform", "timeout": 0.1, "retries": 0}
    failure = failure_of(action, call(listed(at(receiver), alias, **quick)))
    assert failure.reached == ()
    assert str(failure).count("no acknowledgement from") == 2


@pytest.mark.parametrize("name", ["auth_key", "priv_key", "user", "context_name"])
def test_letters_beyond_latin_1_stop_no_destination(
    action: SnmpTrapAction, receiver: socket.socket, name: str
) -> None:
    user = {"version": 3, "user": "ops", "auth_protocol": "SHA", "auth_key": "correct horse"}
    user |= {"priv_protocol": "AES", "priv_key": "battery staple", name: "пароль-длинный"}
    with udp_socket("127.0.0.1") as other:
        action.run(call(listed(at(other, **user), at(receiver))))
        assert receiver.recv(65535)
        assert other.recv(65535)


def test_a_resolver_that_hangs_leaves_others_half_of_the_hooks_time(
    action: SnmpTrapAction, receiver: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_over = Event()

    def ask(host: Host) -> Address:
        is_over.wait(20)
        raise OSError("too late")

    def acknowledge() -> None:
        inform, sender = receiver.recvfrom(65535)
        receiver.sendto(inform.replace(b"\xa6", b"\xa2", 1), sender)

    monkeypatch.setattr(action, "_names", Names(ask))
    slow = {"destination_address": "hangs", "destination_port": 162}
    quick = {"notify": "inform", "timeout": 0.1, "retries": 0}
    thread = Thread(target=acknowledge)
    thread.start()
    failure = failure_of(action, call(listed(slow, at(receiver), **quick), timeout_s=1.0))
    is_over.set()
    thread.join()
    assert "no answer from the resolver" in str(failure)
    assert failure.reached == (name_of(receiver),)


def test_a_receiver_that_has_moved_is_found_by_the_next_try(
    action: SnmpTrapAction, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = iter(["127.0.0.1", "127.0.0.2"])
    names = Names(lambda _: Address(socket.AF_INET, (next(hosts), 0)))
    monkeypatch.setattr(action, "_names", names)
    with udp_socket("127.0.0.2") as receiver:
        attempt = call(to(receiver, destination_address="traps.invalid"))
        assert "connection refused" in str(failure_of(action, attempt))
        assert action.run(attempt).startswith("sent to traps.invalid:")
        assert receiver.recv(65535)


def test_closing_twice_is_safe_and_leaves_no_socket(
    action: SnmpTrapAction, receiver: socket.socket
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    action.run(call(to(receiver)))
    assert len(os.listdir("/proc/self/fd")) > before
    action.close()
    action.close()
    assert len(os.listdir("/proc/self/fd")) == before
