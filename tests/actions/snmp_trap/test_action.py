"""The built-in that sends traps: its inputs, what it says of them, and what it sends."""

from __future__ import annotations

import itertools
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest
from pysnmp.proto.api import v2c

from listener.actions import Call, Fault
from listener.actions.snmp_trap.action import NAME, SnmpTrapAction
from listener.errors import ActionFailed
from listener.hooks.table import ANY_EVENT, Hook
from listener.model.notification import EVENT_TYPES, Notification
from listener.model.outcome import Tally
from listener.snmp.names import Address, Names
from tests.snmp.receivers import closed_port, decoded, udp_socket, varbinds_of

COMMUNITY = "xyzzy-community"
DOCUMENTED = {
    "destination_address": "10.239.0.109",
    "destination_port": 162,
    "community_string": COMMUNITY,
}
STARTED_AT = 1000.0


@pytest.fixture
def action() -> Iterator[SnmpTrapAction]:
    made = SnmpTrapAction(time.monotonic(), itertools.count(7).__next__)
    yield made
    made.close()


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with udp_socket("127.0.0.1") as made:
        yield made


def hook(inputs: dict[str, Any], *event_types: str) -> Hook:
    return Hook("trap-it", event_types or (EVENT_TYPES[0],), NAME, inputs, line=1, input_lines={})


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


def to(receiver: socket.socket, **changes: Any) -> dict[str, Any]:
    host, port, *_ = receiver.getsockname()
    return DOCUMENTED | {"destination_address": host, "destination_port": port} | changes


def value_of(datagram: bytes, oid: str) -> Any:
    [value] = [value for name, value in varbinds_of(datagram) if ".".join(map(str, name)) == oid]
    return value


def failure_of(action: SnmpTrapAction, attempt: Call) -> str:
    with pytest.raises(ActionFailed) as failure:
        action.run(attempt)
    assert not failure.value.details
    return str(failure.value)


@pytest.mark.parametrize("as_type", [int, str])
@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")], ids=["ipv4", "ipv6"]
)
def test_a_trap_is_sent_with_the_documents_inputs_and_the_port_may_be_text(
    action: SnmpTrapAction, host: str, shown: str, as_type: type
) -> None:
    with udp_socket(host) as receiver:
        port = receiver.getsockname()[1]
        said = action.run(call(to(receiver, destination_port=as_type(port))))
        message = decoded(receiver.recv(65535))
    assert said == f"sent to {shown}:{port}"
    assert bytes(message["community"]) == COMMUNITY.encode()


def test_every_attempt_has_a_request_id_of_its_own(
    action: SnmpTrapAction, receiver: socket.socket
) -> None:
    for expected in (7, 8):
        action.run(call(to(receiver)))
        pdu = v2c.apiMessage.get_pdu(decoded(receiver.recv(65535)))
        assert v2c.apiPDU.get_request_id(pdu) == expected


def test_the_error_may_stand_in_the_notifications_own_sentence(
    action: SnmpTrapAction, receiver: socket.socket
) -> None:
    action.run(call(to(receiver), "workflow_failed", text="it failed"))
    error = value_of(receiver.recv(65535), "1.3.6.1.4.1.52312.1.1.7")
    assert bytes(error) == b"it failed"


def test_sys_up_time_is_the_listeners_and_grows(
    receiver: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([STARTED_AT, STARTED_AT + 12.34, STARTED_AT + 500 * 86400])
    clock = SimpleNamespace(monotonic=now.__next__)
    monkeypatch.setattr("listener.actions.snmp_trap.time", clock)
    action = SnmpTrapAction(STARTED_AT, lambda: 1)
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


def test_inputs_of_the_document_are_without_fault(action: SnmpTrapAction) -> None:
    for good in (DOCUMENTED, DOCUMENTED | {"destination_port": "162"}):
        assert action.check(hook(good, *EVENT_TYPES, ANY_EVENT), may_import=False) == []


MISSING = "the input '{}' is missing; add it".format
NO_PORT = "'destination_port' must be from 1 to 65535, found {}".format
NO_HOST = (
    "'destination_address' must be a name or an address, without a port, brackets or spaces, found {}"
).format
NO_TEXT = (
    "'community_string' must be a text; write it in quotes, or take it from a !file,"
    " which always gives text"
)


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        *[
            pytest.param(
                {"destination_port": port}, {"destination_port": NO_PORT(shown)}, id=f"port {port}"
            )
            for port, shown in [
                (0, "0"),
                (65536, "65536"),
                (-1, "-1"),
                ("0", "'0'"),
                ("", "''"),
                ("http", "'http'"),
                ("1_6_2", "'1_6_2'"),
                ("１６２", "'１６２'"),
                (162.0, "162.0"),
                (True, "True"),
                (None, "None"),
                ([162], "a list"),
            ]
        ],
        *[
            pytest.param(
                {"destination_address": host},
                {"destination_address": NO_HOST(shown)},
                id=f"host {host}",
            )
            for host, shown in [("", "''"), (None, "None"), (10, "10"), (["a"], "a list")]
        ],
        *[
            pytest.param({"community_string": text}, {"community_string": NO_TEXT}, id=f"text {text!r}")
            for text in (4711, None, b"secret-bytes", ["secret"], True)
        ],
        pytest.param(
            {"comunity_string": COMMUNITY},
            {"comunity_string": "unknown input 'comunity_string'; did you mean 'community_string'?"},
            id="unknown, like a known one",
        ),
        pytest.param(
            {"x": 1},
            {
                "x": "unknown input 'x'; known are: destination_address, destination_port,"
                " community_string, version, notify, layout, timeout, retries, user, auth_protocol,"
                " auth_key, priv_protocol, priv_key, context_name, engine_id, destinations"
            },
            id="unknown, like none",
        ),
    ],
)
def test_a_wrong_or_unknown_input_is_named_with_its_reason(
    action: SnmpTrapAction, changes: dict[str, Any], faults: dict[str, str]
) -> None:
    inputs = DOCUMENTED | changes
    found = action.check(hook(inputs), may_import=False)
    assert found == [Fault(name, reason) for name, reason in faults.items()]
    assert failure_of(action, call(inputs)) == "; ".join(faults.values())


@pytest.mark.parametrize("port", ["9" * 5000, "x" * 5000], ids=["digits", "text"])
def test_a_wrong_input_is_shown_shortened(action: SnmpTrapAction, port: Any) -> None:
    inputs = DOCUMENTED | {"destination_port": port}
    reason = failure_of(action, call(inputs))
    assert reason.startswith(NO_PORT("")) and len(reason) < 200
    assert action.check(hook(inputs), may_import=False) == [Fault("destination_port", reason)]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_missing_input_is_named(action: SnmpTrapAction, name: str) -> None:
    inputs = {key: value for key, value in DOCUMENTED.items() if key != name}
    assert action.check(hook(inputs), may_import=False) == [Fault(None, MISSING(name))]
    assert failure_of(action, call(inputs)) == MISSING(name)


def test_all_that_is_wrong_with_the_inputs_is_told_at_once(action: SnmpTrapAction) -> None:
    inputs = {"destination_port": 0, "comunity_string": COMMUNITY}
    reasons = [
        "unknown input 'comunity_string'; did you mean 'community_string'?",
        MISSING("destination_address"),
        MISSING("community_string"),
        NO_PORT("0"),
    ]
    faults = action.check(hook(inputs), may_import=False)
    assert sorted(fault.reason for fault in faults) == sorted(reasons)
    assert failure_of(action, call(inputs)) == "; ".join(fault.reason for fault in faults)


def test_an_event_type_that_the_mib_does_not_have_is_a_doubt_at_check_and_fails_when_hit(
    action: SnmpTrapAction, receiver: socket.socket
) -> None:
    faults = action.check(hook(DOCUMENTED, "workflow_resumed", *EVENT_TYPES), may_import=True)
    assert faults == [
        Fault(None, "the MIB has no trap for the event type 'workflow_resumed'", is_certain=False)
    ]
    reason = failure_of(action, call(to(receiver), "workflow_resumed"))
    assert reason.startswith("the MIB has no trap for 'workflow_resumed'; it has: workflow_queued, ")
    assert all(event_type in reason for event_type in EVENT_TYPES)
    assert len(failure_of(action, call(to(receiver), "x" * 60_000))) < 300


def test_a_community_may_be_any_octets_the_environment_has(
    action: SnmpTrapAction, receiver: socket.socket
) -> None:
    inputs = to(receiver, community_string=os.fsdecode(b"caf\xe9"))
    assert action.check(hook(inputs), may_import=False) == []
    action.run(call(inputs))
    assert bytes(decoded(receiver.recv(65535))["community"]) == b"caf\xe9"


def test_a_failure_of_the_network_is_the_actions(
    action: SnmpTrapAction, receiver: socket.socket
) -> None:
    refused = to(receiver, destination_port=closed_port("127.0.0.1"))
    assert "connection refused" in failure_of(action, call(refused))
    too_long = to(receiver, community_string="x" * 70_000)
    assert len(failure_of(action, call(too_long))) < 300


@pytest.mark.parametrize(
    "secret",
    [COMMUNITY, COMMUNITY * 5000, COMMUNITY.encode(), [COMMUNITY], {COMMUNITY: 1}],
    ids=["text", "long_text", "bytes", "list", "mapping"],
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


NO_ADDRESS = {name: value for name, value in DOCUMENTED.items() if name != "destination_address"}


def at(receiver: socket.socket, **more: Any) -> dict[str, Any]:
    """A destination of a list."""
    host, port, *_ = receiver.getsockname()
    return {"destination_address": host, "destination_port": port, **more}


def listed(*destinations: str | dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**NO_ADDRESS, "destinations": list(destinations), **more}


def is_silent(receiver: socket.socket) -> bool:
    """Whether nothing has come that was not read."""
    receiver.setblocking(False)
    with pytest.raises(BlockingIOError):
        receiver.recv(65535)
    return True


def test_one_wrong_destination_keeps_every_hook_from_being_half_sent(
    action: SnmpTrapAction, receiver: socket.socket
) -> None:
    """It is told at the start and by `check`; a hook with a mistake is not run at all."""
    reason = failure_of(action, call(listed(at(receiver), {"destination_port": 0})))
    assert reason.startswith("destination 2: ")
    assert is_silent(receiver)


def test_a_failure_names_the_destination_when_there_are_several(
    action: SnmpTrapAction, receiver: socket.socket
) -> None:
    port = closed_port("127.0.0.1")
    closed = {"destination_address": "127.0.0.1", "destination_port": port}
    own = f"127.0.0.1:{receiver.getsockname()[1]}"
    with pytest.raises(ActionFailed) as failure:
        action.run(call(listed(closed, at(receiver))))
    assert str(failure.value) == (
        f"nothing listens for traps at 127.0.0.1:{port} (connection refused); start the receiver;"
        f" sent to {own}"
    )
    assert failure.value.reached == (own,)
    assert receiver.recv(65535)


def test_what_was_reached_before_is_left_out_and_not_counted_again(
    action: SnmpTrapAction, receiver: socket.socket
) -> None:
    with udp_socket("127.0.0.1") as other:
        names = [f"127.0.0.1:{each.getsockname()[1]}" for each in (receiver, other)]
        inputs = listed(at(receiver), at(other))
        assert action.run(call(inputs, reached=(names[0], "10.9.9.9:162"))) == f"sent to {names[1]}"
        assert other.recv(65535)
    assert is_silent(receiver)
    assert action.take_tallies() == {names[1]: Tally(1, 0, 0)}
    everything = call(inputs, reached=tuple(names))
    assert action.run(everything) == "every destination has got it before"
    assert action.take_tallies() == {}


def test_a_destination_without_an_address_does_not_stop_the_others(
    action: SnmpTrapAction, receiver: socket.socket
) -> None:
    nowhere = {"destination_address": "no-such-host.invalid", "destination_port": 162}
    reason = failure_of(action, call(listed(nowhere, at(receiver))))
    assert "the name 'no-such-host.invalid' cannot be resolved" in reason
    assert receiver.recv(65535)


def test_hooks_on_one_line_of_the_file_are_told_apart(
    action: SnmpTrapAction, receiver: socket.socket
) -> None:
    wrong, right = call(to(receiver, destination_port=0)), call(to(receiver))
    for _ in range(2):
        assert failure_of(action, wrong) == NO_PORT("0")
        action.run(right)
        assert receiver.recv(65535)


QUICK = {"notify": "inform", "timeout": 0.1, "retries": 0}


def test_an_inform_that_nobody_has_acknowledged_is_not_said_to_be(
    action: SnmpTrapAction, receiver: socket.socket
) -> None:
    """Two names of one address: as localhost and 127.0.0.1, or two aliases of a receiver."""
    alias = at(receiver) | {"destination_address": "127.1"}
    with pytest.raises(ActionFailed) as failure:
        action.run(call(listed(at(receiver), alias, **QUICK)))
    assert failure.value.reached == ()
    assert str(failure.value).count("no acknowledgement from") == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"auth_key": "пароль-длинный"},
        {"priv_key": "пароль-длинный"},
        {"user": "café"},
        {"context_name": "café"},
    ],
    ids=["auth_key", "priv_key", "user", "context_name"],
)
def test_letters_beyond_latin_1_stop_no_destination(
    tmp_path: Path, receiver: socket.socket, changes: dict[str, Any]
) -> None:
    user = {
        "version": 3,
        "user": "ops",
        "auth_protocol": "SHA",
        "auth_key": "correct horse",
        "priv_protocol": "AES",
        "priv_key": "battery staple",
    }
    action = SnmpTrapAction(time.monotonic(), lambda: 1, str(tmp_path))
    with closing(action), udp_socket("127.0.0.1") as other:
        action.run(call(listed(at(other, **{**user, **changes}), at(receiver))))
        assert receiver.recv(65535)
        assert other.recv(65535)


def test_a_resolver_that_hangs_takes_no_time_from_other_destinations(
    action: SnmpTrapAction, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_over = Event()
    arrived_at: list[float] = []

    def ask(host: str) -> Address:
        assert is_over.wait(20)
        raise OSError("too late")

    def acknowledge(receiver: socket.socket) -> None:
        inform, sender = receiver.recvfrom(65535)
        arrived_at.append(time.monotonic())
        tag = inform.index(b"\xa6")
        receiver.sendto(inform[:tag] + b"\xa2" + inform[tag + 1 :], sender)

    monkeypatch.setattr(action, "_names", Names(ask))
    with udp_socket("127.0.0.1") as receiver:
        slow = {"destination_address": "hangs", "destination_port": 162}
        thread = Thread(target=acknowledge, args=(receiver,))
        thread.start()
        began = time.monotonic()
        with pytest.raises(ActionFailed) as failure:
            action.run(call(listed(slow, at(receiver), **QUICK), timeout_s=0.5))
        thread.join()
        is_over.set()
        assert arrived_at[0] - began < 0.5
        assert failure.value.reached == (f"127.0.0.1:{receiver.getsockname()[1]}",)


def test_closing_twice_is_safe_and_leaves_no_socket(
    action: SnmpTrapAction, receiver: socket.socket
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    action.run(call(to(receiver)))
    assert len(os.listdir("/proc/self/fd")) > before
    action.close()
    action.close()
    assert len(os.listdir("/proc/self/fd")) == before
