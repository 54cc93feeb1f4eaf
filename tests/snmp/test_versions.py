"""Every version and kind of notification, taken by a real snmptrapd; and receivers that take none.

What snmptrapd never says is answered by a double: datagrams of another engine, made with pysnmp alone.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pyasn1.codec.ber import decoder, encoder
from pysnmp.proto.api import v2c
from pysnmp.proto.mpmod.rfc3412 import SNMPv3Message
from pysnmp.proto.secmod.rfc3414.service import UsmSecurityParameters
from pysnmp.proto.secmod.rfc3826.priv import aes

from listener.actions import Call
from listener.actions.snmp_trap import NAME, SnmpTrapAction
from listener.errors import ActionFailed
from listener.hooks import Hook
from listener.notification import EVENT_TYPES, Notification
from listener.outcome import Tally
from listener.snmp import mib
from listener.snmp.identity import EngineIdentity
from listener.snmp.names import Address
from listener.snmp.sender import Peer
from listener.snmp.target import Target, User
from listener.snmp.v3 import V3Inform, V3Messages
from listener.state_dir import lock
from tests.snmp.receivers import (
    Snmptrapd,
    closed_port,
    snmptrapd,
    udp_socket,
    values_in,
    with_our_mib,
    write_base_mibs,
)
from tests.snmp.test_wire import CONTEXT, ERROR, complaints

V2C: dict[str, Any] = {"community_string": "testcommunity"}
STRONG: dict[str, Any] = {
    "version": 3,
    "user": "strong",
    "auth_protocol": "SHA-256",
    "auth_key": "correct horse",
    "priv_protocol": "AES",
    "priv_key": "battery staple",
}
OLD = STRONG | {"user": "old", "auth_protocol": "SHA", "priv_protocol": "DES"}
SIGNED: dict[str, Any] = {
    "version": 3,
    "user": "signed",
    "auth_protocol": "MD5",
    "auth_key": "correct horse",
}
LONG = STRONG | {"user": "long", "auth_protocol": "SHA-512", "priv_protocol": "AES-256"}
USERS = (STRONG, OLD, SIGNED, LONG)
WAYS = {"2c": V2C, "strong": STRONG, "old": OLD, "signed": SIGNED, "long": LONG}

ENGINE_ID = bytes.fromhex("8000cc58051122334455667788")


def settings(engine_id: bytes = ENGINE_ID) -> list[str]:
    """What a receiver is told of our users: with our engine ID for traps, with its own for informs."""
    lines = ["authCommunity log testcommunity"]
    for user in USERS:
        keys = f'{user["auth_protocol"]} "{user["auth_key"]}"'
        if "priv_protocol" in user:
            keys += f' {user["priv_protocol"]} "{user["priv_key"]}"'
        lines += [f"createUser -e 0x{engine_id.hex()} {user['user']} {keys}"]
        lines += [f"createUser {user['user']} {keys}"]
        lines += [f"authUser log {user['user']} {'priv' if 'priv_protocol' in user else 'auth'}"]
    return lines


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    kept = {"engine_id": ENGINE_ID.hex(), "boots": 1, "machine_boot": "before"}
    (folder / "snmp-engine.json").write_text(json.dumps(kept))
    return folder


@pytest.fixture
def actions(state_dir: Path) -> Iterator[Callable[[], SnmpTrapAction]]:
    """Makes actions, each of which stands for a listener of its own; all end with the test."""
    numbers = itertools.count(1)
    with ExitStack() as stack:

        def make() -> SnmpTrapAction:
            made = SnmpTrapAction(time.monotonic(), numbers.__next__, str(state_dir))
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def action(actions: Callable[[], SnmpTrapAction]) -> SnmpTrapAction:
    return actions()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    base_mibs, own = tmp_path / "base_mibs", tmp_path / "snmptrapd"
    base_mibs.mkdir()
    own.mkdir()
    return with_our_mib(write_base_mibs(base_mibs), own)


def call(
    inputs: dict[str, Any],
    event_type: str = EVENT_TYPES[0],
    *,
    timeout_s: float = 60.0,
    reached: tuple[str, ...] = (),
) -> Call:
    notification = Notification(
        event_type, CONTEXT, timestamp="2018-09-03T11:20:00Z", arguments={"error": ERROR}
    )
    hook = Hook("trap", (event_type,), NAME, inputs, line=1, input_lines={}, timeout_s=timeout_s)
    return Call(hook, notification, notification.hook_context(), 0.0, reached)


def at(receiver: Snmptrapd | int, host: str = "127.0.0.1", **more: Any) -> dict[str, Any]:
    port = receiver if isinstance(receiver, int) else receiver.port
    return {"destination_address": host, "destination_port": port, **more}


def failure_of(action: SnmpTrapAction, attempt: Call) -> ActionFailed:
    with pytest.raises(ActionFailed) as failure:
        action.run(attempt)
    return failure.value


def printed_by(receiver: Snmptrapd) -> dict[str, str]:
    return values_in(receiver.read_past("cloudifyWorkflowParameters"))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("layout", mib.LAYOUTS)
@pytest.mark.parametrize("notify", ["trap", "inform"])
@pytest.mark.parametrize(
    "how", [V2C, STRONG, OLD, LONG, SIGNED], ids=["2c", "strong", "old", "long", "signed"]
)
def test_snmptrapd_prints_all_five_notifications(
    action: SnmpTrapAction,
    environment: dict[str, str],
    tmp_path: Path,
    how: dict[str, Any],
    notify: str,
    layout: str,
    host: str,
) -> None:
    with udp_socket(host):  # or the test cannot run
        pass
    dot = ".0" if layout == "mib" else ""
    with snmptrapd(environment, tmp_path, *settings(), host=host) as receiver:
        for event_type in EVENT_TYPES:
            said = action.run(call(at(receiver, host, **how, notify=notify, layout=layout), event_type))
            verb = "sent to" if notify == "trap" else "acknowledged by"
            assert said.startswith(f"{verb} ")
            values = printed_by(receiver)
            assert f"OID: CLOUDIFY-MIB::{mib.NOTIFICATIONS[event_type][0]}" in values.values()
            assert values[f"cloudifyExecutionID{dot}"] == CONTEXT["execution_id"]
            has_error = event_type == "workflow_failed"
            assert values.get(f"cloudifyErrorDetails{dot}") == (ERROR if has_error else None)


def test_a_receiver_that_was_started_again_takes_what_comes_next(
    action: SnmpTrapAction, environment: dict[str, str], tmp_path: Path
) -> None:
    port = closed_port("127.0.0.1")
    ways = [at(port, **how, notify=notify) for how in (V2C, STRONG) for notify in ("trap", "inform")]
    for _ in range(2):
        with snmptrapd(environment, tmp_path, *settings(), port=port) as receiver:
            for inputs in ways:
                action.run(call(inputs))
                assert printed_by(receiver)["cloudifyWorkflowName"] == "install"


def test_traps_of_version_3_are_taken_after_any_number_of_starts(
    actions: Callable[[], SnmpTrapAction],
    environment: dict[str, str],
    tmp_path: Path,
    state_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the listener and others, with the wall's clock set back, and after a boot of the machine."""
    with snmptrapd(environment, tmp_path, *settings()) as receiver:

        def are_taken_from(*senders: SnmpTrapAction) -> None:
            for sender in senders:
                sender.run(call(at(receiver, **STRONG)))
                assert printed_by(receiver)["cloudifyWorkflowName"] == "install"

        def boots() -> int:
            found: int = json.loads((state_dir / "snmp-engine.json").read_text())["boots"]
            return found

        are_taken_from(actions())  # fire, before there is a listener
        for start in range(10):
            listener, fire = actions(), actions()
            os.close(lock(str(state_dir)))
            are_taken_from(listener)
            (state_dir / "lock").write_text("1\n")  # as the others see it
            are_taken_from(fire, listener, actions())
            assert boots() == 3 + start
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() - 1e6)
        are_taken_from(listener, actions())
        monkeypatch.setattr("listener.snmp.identity._MACHINE_BOOT", str(state_dir / "boot_id"))
        (state_dir / "boot_id").write_text("another boot")
        monkeypatch.setattr("listener.snmp.v3.engine_time", lambda: 3)
        are_taken_from(actions(), actions())
        assert boots() == 13


def test_a_damaged_identity_fails_what_needs_it_and_nothing_else(
    action: SnmpTrapAction, environment: dict[str, str], tmp_path: Path, state_dir: Path
) -> None:
    (state_dir / "snmp-engine.json").write_text("{")
    with snmptrapd(environment, tmp_path, *settings()) as receiver:
        assert "snmp-engine.json is damaged" in str(failure_of(action, call(at(receiver, **STRONG))))
        action.run(call(at(receiver, **V2C)))
        assert printed_by(receiver)["cloudifyWorkflowName"] == "install"


def test_a_lost_identity_is_told_of_with_the_new_engine_id(
    action: SnmpTrapAction,
    environment: dict[str, str],
    tmp_path: Path,
    state_dir: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = state_dir / "snmp-engine.json"
    file.unlink()
    with udp_socket("127.0.0.1") as sink:
        action.run(call(at(sink.getsockname()[1], **STRONG)))
    engine_id = json.loads(file.read_text())["engine_id"]
    [warning] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"createUser -e 0x{engine_id}" in warning
    with snmptrapd(environment, tmp_path, *settings(bytes.fromhex(engine_id))) as receiver:
        action.run(call(at(receiver, **STRONG)))
        assert printed_by(receiver)["cloudifyWorkflowName"] == "install"


def test_an_engine_id_of_the_hooks_own_is_used_for_traps(
    action: SnmpTrapAction, environment: dict[str, str], tmp_path: Path
) -> None:
    own = bytes.fromhex("80001f8804686f6f6b")
    with snmptrapd(environment, tmp_path, *settings(own)) as receiver:
        action.run(call(at(receiver, **STRONG, engine_id=f"0x{own.hex()}", context_name="ctx")))
        assert printed_by(receiver)["cloudifyWorkflowName"] == "install"


def test_what_was_prepared_is_what_the_first_message_uses(
    action: SnmpTrapAction, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with udp_socket("127.0.0.1") as sink:
        attempt = call(at(sink.getsockname()[1], **STRONG))
        action.prepare(attempt.hook)
        prepared = caplog.messages.copy()
        action.run(attempt)
    assert [message.partition(":")[0] for message in prepared] == ["SNMPv3 user strong"]
    assert caplog.messages == prepared


def test_what_keeps_version_3_from_being_prepared_is_a_warning(
    action: SnmpTrapAction, state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (state_dir / "snmp-engine.json").write_text("{")
    action.prepare(call(at(162, **V2C)).hook)
    assert not caplog.messages
    action.prepare(call(at(162, **STRONG)).hook)
    [warning] = caplog.messages
    assert "snmp-engine.json is damaged" in warning


def test_without_a_state_directory_only_version_3_fails() -> None:
    action = SnmpTrapAction(time.monotonic(), lambda: 1)
    try:
        with udp_socket("127.0.0.1") as sink:
            port = sink.getsockname()[1]
            assert "needs a state directory" in str(failure_of(action, call(at(port, **STRONG))))
            assert action.run(call(at(port, **V2C))).startswith("sent to")
    finally:
        action.close()


QUICK: dict[str, Any] = {"notify": "inform", "timeout": 0.2, "retries": 1}
NONE_IN_TIME = "no acknowledgement from {} within 0.4 s (2 tries): is the receiver running"


@pytest.mark.parametrize("how", [V2C, STRONG], ids=["2c", "3"])
def test_an_inform_that_nobody_answers_fails_when_its_time_is_up(
    action: SnmpTrapAction, how: dict[str, Any]
) -> None:
    with udp_socket("127.0.0.1") as black_hole:
        port = black_hole.getsockname()[1]
        reason = str(failure_of(action, call(at(port, **how, **QUICK))))
        assert reason.startswith(NONE_IN_TIME.format(f"127.0.0.1:{port}"))
        assert [len(black_hole.recv(65535)) > 0 for _ in range(2)] == [True, True]


@pytest.mark.parametrize("how", [V2C, STRONG], ids=["2c", "3"])
def test_an_inform_to_a_port_without_a_receiver_is_refused(
    action: SnmpTrapAction, how: dict[str, Any]
) -> None:
    port = closed_port("127.0.0.1")
    for _ in range(2):
        reason = str(failure_of(action, call(at(port, **how, **QUICK))))
        assert reason == (
            f"nothing listens for traps at 127.0.0.1:{port} (connection refused); start the receiver"
        )


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        pytest.param({"community_string": "another"}, "is its community the", id="community"),
        pytest.param(STRONG | {"user": "nobody"}, "does not know the user 'nobody'", id="user"),
        pytest.param(
            STRONG | {"auth_key": "wrong horse"}, "auth_key of user 'strong' is not the one", id="key"
        ),
        pytest.param(
            STRONG | {"auth_protocol": "SHA-512"}, "auth_key of user 'strong' is not", id="protocol"
        ),
        pytest.param(STRONG | {"priv_key": "wrong staple"}, "are the priv_protocol and", id="priv"),
    ],
)
def test_an_inform_that_is_refused_says_why(
    action: SnmpTrapAction,
    environment: dict[str, str],
    tmp_path: Path,
    how: dict[str, Any],
    reason: str,
) -> None:
    with snmptrapd(environment, tmp_path, *settings()) as receiver:
        found = failure_of(action, call(at(receiver, **how, **QUICK)))
        assert reason in str(found)
        action.run(call(at(receiver, **STRONG, notify="inform")))
        assert printed_by(receiver)["cloudifyWorkflowName"] == "install"


def test_all_destinations_are_tried_at_once_and_a_retry_reaches_those_that_failed(
    action: SnmpTrapAction, environment: dict[str, str], tmp_path: Path
) -> None:
    closed = closed_port("127.0.0.1")
    with (
        udp_socket("127.0.0.1") as black_hole,
        udp_socket("127.0.0.1") as other_hole,
        snmptrapd(environment, tmp_path, *settings()) as receiver,
        udp_socket("127.0.0.1") as sink,
    ):
        holes = [hole.getsockname()[1] for hole in (black_hole, other_hole)]
        port = sink.getsockname()[1]
        inputs: dict[str, Any] = {
            "destinations": [
                at(closed, **V2C),
                at(holes[0], **V2C, **QUICK),
                at(holes[1], **STRONG, **QUICK),
                at(receiver, **STRONG, notify="inform"),
                at(port),
            ],
            **V2C,
        }
        failure = failure_of(action, call(inputs))
        assert printed_by(receiver)["cloudifyWorkflowName"] == "install"
        assert sink.recv(65535)
        good = [f"127.0.0.1:{number}" for number in (receiver.port, port)]
        assert sorted(failure.reached) == sorted(good)
        text = str(failure)
        assert f"nothing listens for traps at 127.0.0.1:{closed} " in text
        assert f"no acknowledgement from 127.0.0.1:{holes[0]} " in text
        assert text.endswith(f"; sent to {good[1]}; acknowledged by {good[0]}")

        again = failure_of(action, call(inputs, reached=failure.reached))
        assert again.reached == ()
        with udp_socket("127.0.0.1", closed):
            del inputs["destinations"][1:3]
            said = action.run(call(inputs, reached=failure.reached))
        assert said == f"sent to 127.0.0.1:{closed}"
        assert (
            action.run(call(inputs, reached=(said[8:], *good))) == "every destination has got it before"
        )
        sink.setblocking(False)
        with pytest.raises(BlockingIOError):
            sink.recv(65535)
    tallies = action.take_tallies()
    assert tallies[good[0]] == Tally(1, 1, 0)
    assert tallies[good[1]] == Tally(1, 0, 0)
    assert tallies[f"127.0.0.1:{holes[0]}"] == Tally(0, 0, 2)
    assert tallies[f"127.0.0.1:{closed}"] == Tally(1, 0, 2)
    assert action.take_tallies() == {}


def test_the_hooks_timeout_bounds_all_informs_together(action: SnmpTrapAction) -> None:
    with udp_socket("127.0.0.1") as one, udp_socket("127.0.0.1") as other:
        ports = [hole.getsockname()[1] for hole in (one, other)]
        slow: dict[str, Any] = {"notify": "inform", "timeout": 0.3, "retries": 0}
        inputs = {"destinations": [at(port, **slow) for port in ports], **V2C}
        began = time.monotonic()
        failure = failure_of(action, call(inputs, timeout_s=0.3))
        assert str(failure).count("no acknowledgement") == 2
        assert time.monotonic() - began < 5


def test_tshark_finds_informs_and_both_layouts_without_fault(
    action: SnmpTrapAction, tmp_path: Path
) -> None:
    datagrams = []
    with udp_socket("127.0.0.1") as sink:
        port = sink.getsockname()[1]
        for how in (V2C, STRONG, SIGNED):
            for layout in mib.LAYOUTS:
                for event_type in EVENT_TYPES:
                    action.run(call(at(port, **how, layout=layout), event_type))
                    datagrams.append(sink.recv(65535))
                    failure_of(
                        action,
                        call(
                            at(port, **how, layout=layout, notify="inform", timeout=0.01, retries=0),
                            event_type,
                        ),
                    )
                    datagrams.append(sink.recv(65535))
    assert complaints(datagrams, tmp_path) == []


def test_an_answer_to_an_earlier_try_counts_and_others_do_not(action: SnmpTrapAction) -> None:
    with udp_socket("127.0.0.1") as receiver:
        inputs = at(receiver.getsockname()[1], **V2C, notify="inform", timeout=0.2, retries=20)

        def answer_the_first_after_the_second() -> None:
            first, sender = receiver.recvfrom(65535)
            receiver.recv(65535)
            receiver.sendto(b"noise", sender)
            inform, trap_tag = first.index(b"\xa6"), 0xA2
            receiver.sendto(first[:inform] + bytes((trap_tag,)) + first[inform + 1 :], sender)

        thread = Thread(target=answer_the_first_after_the_second)
        thread.start()
        assert action.run(call(inputs)).startswith("acknowledged by")
        thread.join()


def test_a_socket_that_is_of_no_use_any_more_is_replaced(
    action: SnmpTrapAction, caplog: pytest.LogCaptureFixture
) -> None:
    with udp_socket("127.0.0.1") as sink:
        attempt = call(at(sink.getsockname()[1], **V2C))
        action.run(attempt)
        [(_, kept)] = action._sender._sockets.values()
        kept.shutdown(socket.SHUT_WR)
        action.run(attempt)
        assert [bool(sink.recv(65535)) for _ in range(2)] == [True, True]
    assert caplog.records == []


def test_a_user_with_fewer_protocols_there_is_told_so(
    action: SnmpTrapAction, environment: dict[str, str], tmp_path: Path
) -> None:
    with snmptrapd(environment, tmp_path, *settings()) as receiver:
        more = SIGNED | {"priv_protocol": "AES", "priv_key": "battery staple"}
        reason = str(failure_of(action, call(at(receiver, **more, **QUICK))))
        assert "refused the inform: user 'signed' needs other protocols there" in reason


def test_a_user_without_protocols_is_taken_where_that_is_allowed(
    action: SnmpTrapAction, environment: dict[str, str], tmp_path: Path
) -> None:
    lines = [
        f"createUser -e 0x{ENGINE_ID.hex()} plain",
        "createUser plain",
        "authUser log plain noauth",
    ]
    with snmptrapd(environment, tmp_path, *lines) as receiver:
        for notify in ("trap", "inform"):
            action.run(call(at(receiver, version=3, user="plain", notify=notify)))
            assert printed_by(receiver)["cloudifyWorkflowName"] == "install"


def test_a_receiver_with_another_engine_at_the_same_address_is_asked_anew(
    action: SnmpTrapAction, environment: dict[str, str], tmp_path: Path
) -> None:
    port = closed_port("127.0.0.1")
    for engine_id in ("0x80001f8801aabbccdd", "0x80001f8801ddccbbaa"):
        lines = [*settings(), f"engineID {engine_id[2:]}", f"exactEngineID {engine_id}"]
        with snmptrapd(environment, tmp_path, *lines, port=port) as receiver:
            action.run(call(at(receiver, **STRONG, notify="inform", timeout=5, retries=0)))
            assert printed_by(receiver)["cloudifyWorkflowName"] == "install"


# What a receiver may answer


RECEIVER = bytes.fromhex("80001f8801aabbccdd")
CONTENT = mib.Content("workflow_queued", 0, 0, {})
COUNTERS = {"level": 1, "time": 2, "user": 3, "engine": 4, "digest": 5, "decryption": 6}
"""usmStats, each with what a report of it says is wrong (RFC 3414, section 5)."""


class Conversing:
    """An inform to a receiver of which every datagram is the test's."""

    def __init__(self, **user: str) -> None:
        self.messages = V3Messages(EngineIdentity(ENGINE_ID, 1))
        self.target = Target(
            name="receiver:162", host="receiver", port=162, version="3", is_inform=True,
            user=User("plain", **user),
        )  # fmt: skip
        self.peer = Peer(Address(socket.AF_INET, ("192.0.2.1", 0)), 162, "receiver:162")
        self.inform = self.begun()

    def begun(self) -> V3Inform:
        return self.messages.inform(self.target, self.peer, 7, CONTENT)

    def answer(self, pdu: Any, datagram: bytes | None = None, engine_id: bytes = RECEIVER) -> bytes:
        """What that receiver answers, without a digest, to that message, or to the next."""
        message, _ = decoder.decode(datagram or self.inform.message(), asn1Spec=SNMPv3Message())
        message["msgGlobalData"]["msgFlags"] = b"\0"
        security, _ = decoder.decode(message["msgSecurityParameters"], asn1Spec=UsmSecurityParameters())
        for position, value in enumerate((engine_id, 1, 1)):
            security[position] = value
        message["msgSecurityParameters"] = encoder.encode(security)
        scoped = message["msgData"]["plaintext"]
        scoped["contextEngineId"] = engine_id
        scoped["contextName"] = b""
        scoped["data"].setComponentByType(
            pdu.tagSet, pdu, verifyConstraints=False, matchTags=False, matchConstraints=False
        )
        return bytes(encoder.encode(message))

    def report(self, problem: str, engine_id: bytes = RECEIVER) -> bytes:
        return self.answer(report(problem), engine_id=engine_id)

    def sent(self) -> Any:
        """The PDU of the next message, and for which engine it is."""
        message, _ = decoder.decode(self.inform.message(), asn1Spec=SNMPv3Message())
        security, _ = decoder.decode(message["msgSecurityParameters"], asn1Spec=UsmSecurityParameters())
        return bytes(security[0])


def report(problem: str) -> Any:
    pdu = v2c.ReportPDU()
    v2c.apiPDU.set_defaults(pdu)
    oid = (1, 3, 6, 1, 6, 3, 15, 1, 1, COUNTERS[problem], 0)
    v2c.apiPDU.set_varbinds(pdu, [(oid, v2c.Counter32(1))])
    return pdu


def response(error_status: int = 0) -> Any:
    pdu = v2c.ResponsePDU()
    v2c.apiPDU.set_defaults(pdu)
    v2c.apiPDU.set_request_id(pdu, 7)
    v2c.apiPDU.set_error_status(pdu, error_status)
    return pdu


def known() -> Conversing:
    """A conversation that knows its receiver's engine ID."""
    made = Conversing()
    assert made.inform.is_answered(made.report("engine")) is None
    return made


def test_a_receiver_tells_its_engine_id_and_then_acknowledges() -> None:
    talk = Conversing()
    assert talk.sent() == b""
    assert talk.inform.is_answered(talk.report("engine")) is None
    assert talk.sent() == RECEIVER
    assert talk.inform.is_answered(talk.answer(response())) is True


def test_the_next_inform_to_a_known_receiver_asks_for_nothing() -> None:
    talk = known()
    assert talk.inform.is_answered(talk.answer(response())) is True
    talk.inform = talk.begun()
    assert talk.sent() == RECEIVER
    assert talk.inform.is_answered(talk.answer(response())) is True


@pytest.mark.parametrize(
    ("status", "name"), [(5, "genErr"), (16, "authorizationError"), (13, "resource")]
)
def test_a_response_with_an_error_status_is_a_refusal(status: int, name: str) -> None:
    talk = known()
    with pytest.raises(
        ActionFailed, match=rf"^receiver:162 refused the inform with {name}.* \({status}\)$"
    ):
        talk.inform.is_answered(talk.answer(response(status)))


@pytest.mark.parametrize(
    ("problem", "meaning"),
    [
        ("user", "it does not know the user 'plain'; create it there, or correct 'user' ("),
        ("digest", "the auth_protocol or the auth_key of user 'plain' is not the one there ("),
        ("level", "user 'plain' needs other protocols there, such as a priv_protocol ("),
        ("decryption", "the priv_protocol or the priv_key of user 'plain' is not the one there ("),
    ],
)
def test_each_report_is_said_in_the_words_of_the_inputs(problem: str, meaning: str) -> None:
    talk = known()
    with pytest.raises(ActionFailed) as failure:
        talk.inform.is_answered(talk.report(problem))
    assert str(failure.value).startswith(f"receiver:162 refused the inform: {meaning}")


@pytest.mark.parametrize("problem", ["engine", "time"])
def test_a_receiver_that_goes_on_asking_is_given_up(problem: str) -> None:
    talk = known()
    for _ in range(3):
        assert talk.inform.is_answered(talk.report(problem)) is None
    with pytest.raises(ActionFailed, match=r"^receiver:162 refused the inform: "):
        talk.inform.is_answered(talk.report(problem))


def test_a_report_of_a_kind_that_nobody_knows_is_told_as_it_came() -> None:
    talk = known()
    strange = report("engine")
    v2c.apiPDU.set_varbinds(strange, [((1, 3, 6, 1, 6, 3, 11, 2, 1, 3, 0), v2c.Counter32(1))])
    with pytest.raises(ActionFailed, match=r"^receiver:162 refused the inform: "):
        talk.inform.is_answered(talk.answer(strange))


def test_an_answer_of_another_engine_makes_us_ask_for_its_id_and_noise_does_so_a_few_times() -> None:
    talk = known()
    for _ in range(3):
        assert talk.inform.is_answered(b"noise") is None
        assert talk.sent() == b""
    assert talk.inform.is_answered(b"noise") is False
    assert talk.inform.is_answered(talk.report("engine")) is False
    assert talk.sent() == RECEIVER, "the next try has learned of it"


def test_an_acknowledgement_of_an_earlier_try_counts() -> None:
    talk = known()
    first, second = talk.inform.message(), talk.inform.message()
    assert first != second
    assert talk.inform.is_answered(talk.answer(response(), first)) is True


def test_an_answer_that_comes_twice_is_taken_once() -> None:
    talk = known()
    answer = talk.answer(response())
    assert talk.inform.is_answered(answer) is True
    talk.inform = talk.begun()
    talk.inform.message()
    assert talk.inform.is_answered(answer) is None


def test_what_was_not_answered_in_time_is_forgotten_without_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000
    monkeypatch.setattr("listener.snmp.v3.engine_time", lambda: now)
    talk = known()
    first = talk.inform.message()
    for _ in range(20):
        now += 1
        talk.inform.message()
    assert talk.inform.is_answered(talk.answer(response(), first)) is None
    assert talk.inform.is_answered(talk.report("engine")) is None
    assert talk.inform.is_answered(talk.answer(response())) is True


def test_without_the_cryptography_package_nothing_can_be_encrypted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    talk = Conversing(
        auth_protocol="SHA", auth_key="correct horse", priv_protocol="AES", priv_key="battery staple"
    )
    assert talk.messages.trap(talk.target, talk.peer, 7, CONTENT)
    monkeypatch.setattr(aes, "PysnmpCryptoError", True)
    with pytest.raises(ActionFailed, match=r"^no message for receiver:162 could be made: "):
        talk.messages.trap(talk.target, talk.peer, 7, CONTENT)


@pytest.mark.parametrize("age_s", [0, 17, 151, 3_000_000])
def test_a_trap_says_how_long_ago_its_engine_started(
    age_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver silently drops what is 150 s behind the time that it has heard of (RFC 3414, 3.2)."""
    monkeypatch.setattr("listener.snmp.v3.engine_time", lambda: age_s)
    talk = Conversing()
    datagram = talk.messages.trap(talk.target, talk.peer, 7, CONTENT)
    message, _ = decoder.decode(datagram, asn1Spec=SNMPv3Message())
    security, _ = decoder.decode(message["msgSecurityParameters"], asn1Spec=UsmSecurityParameters())
    assert (bytes(security[0]), *map(int, security[1:3])) == (ENGINE_ID, 1, age_s)


def test_an_engine_is_made_once_for_each_user_and_engine_id() -> None:
    talk = Conversing()
    for target in (
        talk.target,
        talk.target,
        talk.target._replace(user=User("other")),
        talk.target._replace(engine_id=RECEIVER),
    ):
        assert talk.messages.trap(target, talk.peer, 7, CONTENT)
    assert len(talk.messages._engines) == 3


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"noise",
        b"\x30",
        b"\x30\x80",
        b"\xff" * 100,
        b"\xf8\x05\x02\x01\x03\x30\x00",
    ],
)
def test_broken_bytes_are_no_answer(datagram: bytes) -> None:
    talk = Conversing()
    talk.inform.message()
    assert talk.inform.is_answered(datagram) is None


def test_broken_bytes_from_one_destination_take_nothing_from_the_others(
    action: SnmpTrapAction, environment: dict[str, str], tmp_path: Path
) -> None:
    with (
        snmptrapd(environment, tmp_path, *settings()) as receiver,
        udp_socket("127.0.0.1") as noisy,
    ):

        def answer_noise() -> None:
            for _ in range(2):
                noisy.sendto(b"noise", noisy.recvfrom(65535)[1])

        thread = Thread(target=answer_noise)
        thread.start()
        inputs = {
            "destinations": [
                at(noisy.getsockname()[1], **STRONG, **QUICK),
                at(receiver, **STRONG, notify="inform"),
            ]
        }
        failure = failure_of(action, call(inputs))
        thread.join()
        assert failure.reached == (f"127.0.0.1:{receiver.port}",)
        assert printed_by(receiver)["cloudifyWorkflowName"] == "install"


@examples(deadline=None, max_examples=40)  # each makes an engine
@given(st.lists(st.tuples(st.integers(0, 2**16), st.integers(1, 255)), min_size=1, max_size=4))
@example([(0, 0xC8)])
def test_an_answer_with_broken_bytes_is_never_another_exception(flips: list[tuple[int, int]]) -> None:
    talk = Conversing()
    answer = bytearray(talk.report("engine"))
    for position, bits in flips:
        answer[position % len(answer)] ^= bits
    with suppress(ActionFailed):
        assert talk.inform.is_answered(bytes(answer)) in (None, False, True)


def test_a_pass_phrase_may_have_letters_beyond_ascii(
    action: SnmpTrapAction, environment: dict[str, str], tmp_path: Path
) -> None:
    keys = 'SHA "pässwörter" AES "schlüssel!"'
    lines = [f"createUser umlaut {keys}", "authUser log umlaut priv"]
    inputs: dict[str, Any] = {
        "version": 3,
        "user": "umlaut",
        "auth_protocol": "SHA",
        "auth_key": "pässwörter",
        "priv_protocol": "AES",
        "priv_key": "schlüssel!",
    }
    with snmptrapd(environment, tmp_path, *lines) as receiver:
        action.run(call(at(receiver, **inputs, **QUICK)))
        assert printed_by(receiver)["cloudifyWorkflowName"] == "install"
