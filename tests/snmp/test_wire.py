"""What the action sends, as others see it: a real snmptrapd with our MIB, and tshark."""

from __future__ import annotations

import itertools
import json
import logging
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from listener.actions import Call, Surroundings
from listener.actions.registry import TRAP
from listener.actions.snmp_trap.action import SnmpTrapAction
from listener.errors import ActionFailed
from listener.hooks.settings import ListenerSettings
from listener.hooks.table import Hook
from listener.model.notification import EVENT_TYPES, Notification
from listener.model.outcome import Tally
from listener.snmp import mib
from listener.state.directory import lock
from tests.snmp.receivers import (
    Snmptrapd,
    answer,
    answer_to,
    closed_port,
    snmptrapd,
    udp_socket,
    values_in,
    with_our_mib,
    write_base_mibs,
)
from tests.support import require_program

ENGINE_ID = bytes.fromhex("8000cc58051122334455667788")
TENANT = "配置"
PARAMETERS = {"a": 1, "größe": ["失敗", None, 'said "no"']}
ERROR = "échec: Überlauf 失敗"
CONTEXT: dict[str, Any] = {
    "tenant": {"name": TENANT},
    "deployment_id": None,
    "workflow_id": "install",
    "execution_id": "0b1b5f3a-6c8e-4d6f-9a53-0f7d3f0f3b11",
    "execution_parameters": PARAMETERS,
}

V2C: dict[str, Any] = {"community_string": "testcommunity"}
SIGNED: dict[str, Any] = {
    "version": 3, "user": "signed", "auth_protocol": "MD5", "auth_key": "correct horse"
}  # fmt: skip
STRONG = SIGNED | {
    "user": "strong", "auth_protocol": "SHA-256", "priv_protocol": "AES", "priv_key": "battery staple"
}  # fmt: skip
OLD = STRONG | {"user": "old", "auth_protocol": "SHA", "priv_protocol": "DES"}
LONG = STRONG | {"user": "long", "auth_protocol": "SHA-512", "priv_protocol": "AES-256"}
UMLAUT = STRONG | {"user": "umlaut", "auth_key": "pässwörter", "priv_key": "schlüssel!"}
PLAIN: dict[str, Any] = {"version": 3, "user": "plain"}
USERS = (PLAIN, SIGNED, STRONG, OLD, LONG, UMLAUT)
WAYS = {"2c": V2C, **{user["user"]: user for user in USERS}}
Running = Callable[..., AbstractContextManager[Snmptrapd]]
QUICK: dict[str, Any] = {"notify": "inform", "timeout": 0.2, "retries": 1}


def known_users(engine_id: bytes = ENGINE_ID) -> list[str]:
    """What a receiver is told of our users: with our engine ID for traps, with its own for informs."""
    lines = ["authCommunity log testcommunity"]
    for user in USERS:
        level, keys = "noauth", ""
        if "auth_protocol" in user:
            level, keys = "auth", f'{user["auth_protocol"]} "{user["auth_key"]}"'
        if "priv_protocol" in user:
            level, keys = "priv", f'{keys} {user["priv_protocol"]} "{user["priv_key"]}"'
        lines += [f"createUser -e 0x{engine_id.hex()} {user['user']} {keys}"]
        lines += [f"createUser {user['user']} {keys}", f"authUser log {user['user']} {level}"]
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
    """Makes actions, each of which stands for a process of its own; all end with the test."""
    with ExitStack() as stack:

        def make() -> SnmpTrapAction:
            surroundings = Surroundings(ListenerSettings(), str(state_dir))
            made = SnmpTrapAction(surroundings, first_id=2**31 - 100)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def action(actions: Callable[[], SnmpTrapAction]) -> SnmpTrapAction:
    return actions()


@pytest.fixture
def running(tmp_path: Path) -> Running:
    """An snmptrapd with these lines of configuration, for the time of a `with`."""
    base_mibs, own = tmp_path / "base_mibs", tmp_path / "snmptrapd"
    base_mibs.mkdir()
    own.mkdir()
    return partial(snmptrapd, with_our_mib(write_base_mibs(base_mibs), own), tmp_path)


@pytest.fixture
def receiver(running: Running) -> Iterator[Snmptrapd]:
    with running(*known_users()) as started:
        yield started


def call(
    inputs: dict[str, Any],
    event_type: str = EVENT_TYPES[0],
    *,
    context: dict[str, Any] = CONTEXT,
    error: str = ERROR,
) -> Call:
    notification = Notification(
        event_type, context, timestamp="2018-09-03T11:20:00.123Z", arguments={"error": error}
    )
    hook = Hook("trap", (event_type,), TRAP, inputs, line=1, input_lines={})
    return Call(hook, notification, notification.hook_context(), 0.0)


def at(receiver: Snmptrapd | int, host: str = "127.0.0.1", **more: Any) -> dict[str, Any]:
    port = receiver if isinstance(receiver, int) else receiver.port
    return {"destination_address": host, "destination_port": port, **more}


def failure_of(action: SnmpTrapAction, attempt: Call) -> ActionFailed:
    with pytest.raises(ActionFailed) as failure:
        action.run(attempt)
    return failure.value


def printed_by(receiver: Snmptrapd) -> dict[str, str]:
    return values_in(receiver.read_past("cloudifyWorkflowParameters"))


def is_taken(action: SnmpTrapAction, inputs: dict[str, Any], receiver: Snmptrapd) -> bool:
    action.run(call(inputs))
    return printed_by(receiver)["cloudifyWorkflowName"] == "install"


# What arrives


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("how", WAYS.values(), ids=WAYS)
def test_snmptrapd_prints_all_five_notifications_in_both_layouts(
    action: SnmpTrapAction, running: Running, how: dict[str, Any], host: str
) -> None:
    udp_socket(host).close()  # or the test cannot run
    order = itertools.product(EVENT_TYPES, ("trap", "inform"), mib.LAYOUTS)
    with running(*known_users(), host=host) as receiver:
        for event_type, notify, layout in order:
            said = action.run(call(at(receiver, host, **how, notify=notify, layout=layout), event_type))
            assert said.startswith("sent to " if notify == "trap" else "acknowledged by ")
            values = printed_by(receiver)
            assert f"OID: CLOUDIFY-MIB::{mib.NOTIFICATIONS[event_type][0]}" in values.values()
            dot = ".0" if layout == "mib" else ""
            error = {f"cloudifyErrorDetails{dot}": ERROR} if event_type == "workflow_failed" else {}
            assert {name: value for name, value in values.items() if name.startswith("cloudify")} == {
                f"cloudifyExecutionID{dot}": "0b1b5f3a-6c8e-4d6f-9a53-0f7d3f0f3b11",
                f"cloudifyWorkflowName{dot}": "install",
                f"cloudifyTenantName{dot}": TENANT,
                f"cloudifyDeploymentID{dot}": "",
                f"cloudifyTimeStamp{dot}": "Counter64: 1535973600",
                f"cloudifyWorkflowParameters{dot}": json.dumps(PARAMETERS),
                **error,
            }


def test_an_error_with_control_characters_is_one_line_in_the_log_of_a_receiver(
    action: SnmpTrapAction, receiver: Snmptrapd
) -> None:
    inputs = at(receiver, **V2C, layout="mib")
    action.run(call(inputs, "workflow_failed", error="red: \x1b[31m\r\0\nat its end"))
    values = values_in(receiver.read_past("cloudifyErrorDetails"))
    assert values["cloudifyErrorDetails.0"] == "red:  [31m   at its end"
    assert values["cloudifyTenantName.0"] == TENANT


def complaints(datagrams: list[bytes], folder: Path) -> list[int]:
    """The datagrams, by position, that tshark does not take for flawless SNMP."""
    dump, capture = folder / "traps.txt", folder / "traps.pcap"
    dump.write_text("\n".join(f"000000 {datagram.hex(' ')}\n" for datagram in datagrams))
    environment = {"LC_ALL": "C.UTF-8", "HOME": str(folder)}
    convert = [require_program("text2pcap"), "-q", "-u", "40000,162", str(dump), str(capture)]
    subprocess.run(convert, env=environment, check=True, capture_output=True)
    doubtful = ["-Y", "not snmp or _ws.malformed or _ws.expert"]
    printed = answer(
        environment, "tshark", "-n", "-r", str(capture), *doubtful, "-T", "fields", "-e", "frame.number"
    )
    return [int(number) - 1 for number in printed.split()]


def test_tshark_finds_no_fault_with_what_is_sent_and_does_with_broken_datagrams(
    action: SnmpTrapAction, tmp_path: Path
) -> None:
    """Of every event type: usual, with nothing in them, and as long as they get."""
    most: dict[str, Any] = {"tenant": {"name": "置" * 200}} | dict.fromkeys(
        ["deployment_id", "workflow_id", "execution_id"], "é" * 300
    )
    most["execution_parameters"] = {"a": "x" * 503}
    impatient: dict[str, Any] = {"notify": "inform", "timeout": 0.01, "retries": 0}
    datagrams = []
    with udp_socket("127.0.0.1") as sink:
        port = sink.getsockname()[1]
        for event_type, layout in itertools.product(EVENT_TYPES, mib.LAYOUTS):
            for context in (CONTEXT, {}, most):
                inputs = at(port, **V2C, layout=layout)
                action.run(call(inputs, event_type, context=context, error=ERROR * 50))
                datagrams.append(sink.recv(65535))
            for how in (V2C, STRONG, SIGNED):
                action.run(call(at(port, **how, layout=layout), event_type))
                failure_of(action, call(at(port, **how, layout=layout, **impatient), event_type))
                datagrams += [sink.recv(65535) for _ in range(2)]
    assert max(map(len, datagrams)) > 2000
    assert complaints(datagrams, tmp_path) == []
    whole = datagrams[0]
    length = whole.index(b"install") - 1
    longer = whole[:length] + bytes((whole[length] + 40,)) + whole[length + 1 :]
    broken = [whole[:-1], whole[:30], longer, b"hello"]
    assert complaints([whole, *broken, whole], tmp_path) == [1, 2, 3, 4]


# The engine's identity


def test_traps_of_version_3_are_taken_after_any_number_of_starts(
    actions: Callable[[], SnmpTrapAction],
    receiver: Snmptrapd,
    state_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the listener and others, with the wall's clock set back, and after a boot of the machine."""

    def are_taken_from(*senders: SnmpTrapAction) -> bool:
        return all(is_taken(sender, at(receiver, **STRONG), receiver) for sender in senders)

    def boots() -> int:
        found: int = json.loads((state_dir / "snmp-engine.json").read_text())["boots"]
        return found

    assert are_taken_from(actions())  # fire, before there is a listener
    for start in range(3):
        listener, fire = actions(), actions()
        os.close(lock(str(state_dir)))
        assert are_taken_from(listener)
        (state_dir / "lock").write_text("1\n")  # as the others see it
        assert are_taken_from(fire, listener, actions())
        assert boots() == 3 + start
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 1e6)
    assert are_taken_from(listener, actions())
    monkeypatch.setattr("listener.snmp.identity._MACHINE_BOOT", str(state_dir / "boot_id"))
    (state_dir / "boot_id").write_text("another boot")
    monkeypatch.setattr("listener.snmp.v3.engine_time", lambda: 3)
    assert are_taken_from(actions(), actions())
    assert boots() == 6


def test_boots_that_were_set_back_are_dropped_until_they_are_raised(
    actions: Callable[[], SnmpTrapAction], receiver: Snmptrapd, state_dir: Path
) -> None:
    kept = state_dir / "snmp-engine.json"
    restored = kept.read_text()
    os.close(lock(str(state_dir)))
    assert all(is_taken(actions(), at(receiver, **STRONG), receiver) for _ in range(3))
    kept.write_text(restored)
    actions().run(call(at(receiver, **STRONG), "workflow_started"))
    kept.write_text(restored.replace('"boots": 1,', '"boots": 1001,'))
    actions().run(call(at(receiver, **STRONG), "workflow_failed"))
    failed, _ = mib.NOTIFICATIONS["workflow_failed"]
    assert f"OID: CLOUDIFY-MIB::{failed}" in printed_by(receiver).values()


def test_a_damaged_identity_fails_what_needs_it_and_nothing_else(
    action: SnmpTrapAction, receiver: Snmptrapd, state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (state_dir / "snmp-engine.json").write_text("{")
    action.prepare(call(at(receiver, **V2C)).hook)
    assert not caplog.messages
    action.prepare(call(at(receiver, **STRONG)).hook)
    [warning] = caplog.messages
    assert "snmp-engine.json is damaged" in warning
    assert "snmp-engine.json is damaged" in str(failure_of(action, call(at(receiver, **STRONG))))
    assert is_taken(action, at(receiver, **V2C), receiver)


def test_an_engine_id_of_the_hooks_own_is_used_for_traps(
    action: SnmpTrapAction, running: Running
) -> None:
    own = bytes.fromhex("80001f8804686f6f6b")
    with running(*known_users(own)) as receiver:
        inputs = at(receiver, **STRONG, engine_id=f"0x{own.hex()}", context_name="ctx")
        assert is_taken(action, inputs, receiver)


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


def test_without_a_state_directory_only_version_3_fails() -> None:
    action = SnmpTrapAction(Surroundings(ListenerSettings()))
    with udp_socket("127.0.0.1") as sink:
        port = sink.getsockname()[1]
        assert "needs a state directory" in str(failure_of(action, call(at(port, **STRONG))))
        assert action.run(call(at(port, **V2C))).startswith("sent to")
    action.close()


# Receivers that take none


@pytest.mark.parametrize("how", [V2C, STRONG], ids=["2c", "3"])
def test_an_inform_that_nobody_answers_or_hears_fails(
    action: SnmpTrapAction, how: dict[str, Any]
) -> None:
    with udp_socket("127.0.0.1") as black_hole:
        port = black_hole.getsockname()[1]
        reason = str(failure_of(action, call(at(port, **how, **QUICK))))
        begin = f"no acknowledgement from 127.0.0.1:{port} within 0.4 s (2 tries): is the receiver"
        assert reason.startswith(begin)
        assert [len(black_hole.recv(65535)) > 0 for _ in range(2)] == [True, True]
    for _ in range(2):
        reason = str(failure_of(action, call(at(port, **how, **QUICK))))
        assert reason.startswith(f"nothing listens for traps at 127.0.0.1:{port} (connection refused)")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"community_string": "another"}, "is its community the"),
        (STRONG | {"user": "nobody"}, "does not know the user 'nobody'"),
        (STRONG | {"auth_key": "wrong horse"}, "auth_key of user 'strong' is not"),
        (STRONG | {"auth_protocol": "SHA-512"}, "auth_key of user 'strong' is not"),
        (STRONG | {"priv_key": "wrong staple"}, "are the priv_protocol and"),
        (STRONG | SIGNED, "refused the inform: user 'signed' needs other protocols"),
    ],
    ids=["community", "user", "key", "protocol", "priv", "level"],
)
def test_an_inform_that_is_refused_says_why(
    action: SnmpTrapAction, receiver: Snmptrapd, how: dict[str, Any], reason: str
) -> None:
    assert reason in str(failure_of(action, call(at(receiver, **how, **QUICK))))
    assert is_taken(action, at(receiver, **STRONG, notify="inform"), receiver)


@pytest.mark.parametrize("engines", [("", ""), ("aabbccdd", "ddccbbaa")], ids=["same", "another"])
def test_a_receiver_that_was_started_again_takes_what_comes_next(
    action: SnmpTrapAction, running: Running, engines: tuple[str, str]
) -> None:
    """Also with another engine at the same address."""
    port = closed_port("127.0.0.1")
    ways = [at(port, **how, notify=notify) for how in (V2C, STRONG) for notify in ("trap", "inform")]
    for engine in engines:
        own = [f"exactEngineID 0x80001f8801{engine}"] if engine else []
        with running(*known_users(), *own, port=port) as receiver:
            assert all(is_taken(action, inputs, receiver) for inputs in ways)


def test_a_destination_that_fails_in_any_way_stops_no_other(
    action: SnmpTrapAction, receiver: Snmptrapd
) -> None:
    closed = closed_port("127.0.0.1")
    with (
        udp_socket("127.0.0.1") as black_hole,
        udp_socket("127.0.0.1") as odd,
        udp_socket("127.0.0.1") as sink,
    ):

        def answer_oddly() -> None:
            inform, sender = odd.recvfrom(65535)
            odd.sendto(answer_to(inform, error_status=2**24_000), sender)

        thread = Thread(target=answer_oddly)
        thread.start()
        hole, strange, port = (each.getsockname()[1] for each in (black_hole, odd, sink))
        inputs: dict[str, Any] = {
            "destinations": [
                at(closed, **V2C),
                at(hole, **V2C, **QUICK),
                at(strange, **V2C, **QUICK),
                at(receiver, **STRONG, notify="inform"),
                at(port),
            ],
            **V2C,
        }
        failure = failure_of(action, call(inputs))
        thread.join()
        assert printed_by(receiver)["cloudifyWorkflowName"] == "install"
        assert sink.recv(65535)
        good = [f"127.0.0.1:{number}" for number in (receiver.port, port)]
        assert sorted(failure.reached) == sorted(good)
        text = str(failure)
        assert f"nothing listens for traps at 127.0.0.1:{closed} " in text
        assert f"no acknowledgement from 127.0.0.1:{hole} " in text
        assert f"127.0.0.1:{strange} refused the inform with an error-status that SNMP does" in text
        assert text.endswith(f"; sent to {good[1]}; acknowledged by {good[0]}")
    failed = dict.fromkeys((f"127.0.0.1:{bad}" for bad in (closed, hole, strange)), Tally(0, 0, 1))
    sent = {good[0]: Tally(1, 1, 0), good[1]: Tally(1, 0, 0)}
    assert action.take_tallies() == sent | failed
