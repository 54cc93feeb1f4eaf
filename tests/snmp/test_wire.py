"""What the action sends, as others see it: a real snmptrapd with our MIB, and tshark."""

from __future__ import annotations

import itertools
import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from listener.actions import Call
from listener.actions.snmp_trap.action import NAME, SnmpTrapAction
from listener.hooks.table import Hook
from listener.model.notification import EVENT_TYPES, Notification
from listener.snmp import mib
from tests.snmp.receivers import (
    answer,
    snmptrapd,
    udp_socket,
    values_in,
    with_our_mib,
    write_base_mibs,
)

TENANT = "配置"
PARAMETERS = {"a": 1, "größe": ["失敗", None, 'said "no"']}
ERROR = "échec: Überlauf 失敗"
CONTEXT = {
    "tenant": {"name": TENANT},
    "deployment_id": None,
    "workflow_id": "install",
    "execution_id": "0b1b5f3a-6c8e-4d6f-9a53-0f7d3f0f3b11",
    "execution_parameters": PARAMETERS,
}


@pytest.fixture
def action() -> Iterator[SnmpTrapAction]:
    made = SnmpTrapAction(time.monotonic(), itertools.count(2**31 - 100).__next__)
    yield made
    made.close()


def call(port: int, event_type: str, context: dict[str, Any], error: str = ERROR) -> Call:
    inputs = {
        "destination_address": "127.0.0.1",
        "destination_port": port,
        "community_string": "testcommunity",
    }
    notification = Notification(
        event_type, context, timestamp="2018-09-03T11:20:00.123Z", arguments={"error": error}
    )
    hook = Hook("trap", (event_type,), NAME, inputs, line=1, input_lines={})
    return Call(hook, notification, notification.hook_context(), received_at=0.0)


def test_snmptrapd_prints_all_five_notifications_by_name(
    action: SnmpTrapAction, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    base_mibs = write_base_mibs(tmp_path_factory.mktemp("base_mibs"))
    with snmptrapd(with_our_mib(base_mibs, tmp_path), tmp_path) as receiver:
        for event_type in EVENT_TYPES:
            action.run(call(receiver.port, event_type, CONTEXT))
            values = values_in(receiver.read_past("cloudifyWorkflowParameters"))
            assert f"OID: CLOUDIFY-MIB::{mib.NOTIFICATIONS[event_type][0]}" in values.values()
            error = {"cloudifyErrorDetails": ERROR} if event_type == "workflow_failed" else {}
            assert {name: value for name, value in values.items() if name in mib.OBJECTS} == {
                "cloudifyExecutionID": "0b1b5f3a-6c8e-4d6f-9a53-0f7d3f0f3b11",
                "cloudifyWorkflowName": "install",
                "cloudifyTenantName": TENANT,
                "cloudifyDeploymentID": "",
                "cloudifyTimeStamp": "Counter64: 1535973600",
                "cloudifyWorkflowParameters": json.dumps(PARAMETERS),
                **error,
            }


def pcap(datagrams: list[bytes]) -> bytes:
    """A capture file of these datagrams on their way to UDP port 162, with whole checksums."""
    ethernet = bytes(12) + b"\x08\x00"
    loopback = bytes((127, 0, 0, 1))
    written = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for datagram in datagrams:
        size = 8 + len(datagram)
        udp = struct.pack("!HHHH", 40000, 162, size, 0)
        pseudo = loopback * 2 + struct.pack("!HH", 17, size)
        udp = udp[:6] + checksum(pseudo + udp + datagram)
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + size, 0, 0, 64, 17, 0)
        ip = head[:10] + checksum(head + loopback * 2) + loopback * 2
        frame = ethernet + ip + udp + datagram
        written += struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame
    return written


def checksum(data: bytes) -> bytes:
    """The Internet checksum (RFC 1071)."""
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")


def complaints(datagrams: list[bytes], folder: Path) -> list[int]:
    """The datagrams, by position, that tshark does not take for flawless SNMP."""
    capture = folder / "traps.pcap"
    capture.write_bytes(pcap(datagrams))
    read = ["-n", "-r", str(capture), "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    doubtful = ["-Y", "not snmp or _ws.malformed or _ws.expert"]
    printed = answer(
        {"LC_ALL": "C.UTF-8", "HOME": str(folder)},
        "tshark", *read, *doubtful, "-T", "fields", "-e", "frame.number",
    )  # fmt: skip
    return [int(number) - 1 for number in printed.split()]


def sent_by(action: SnmpTrapAction) -> list[bytes]:
    """Datagrams of every event type: usual, with nothing in them, and as long as they get."""
    most = {"tenant": {"name": "置" * 200}} | dict.fromkeys(
        ["deployment_id", "workflow_id", "execution_id"], "é" * 300
    )
    most["execution_parameters"] = {"a": "x" * 503}
    datagrams = []
    with udp_socket("127.0.0.1") as receiver:
        for event_type in EVENT_TYPES:
            for context in (CONTEXT, {}, most):
                action.run(call(receiver.getsockname()[1], event_type, context, ERROR * 50))
                datagrams.append(receiver.recv(65535))
    return datagrams


def test_tshark_finds_nothing_to_complain_about(action: SnmpTrapAction, tmp_path: Path) -> None:
    datagrams = sent_by(action)
    assert max(map(len, datagrams)) > 2000
    assert complaints(datagrams, tmp_path) == []


def test_tshark_does_complain_about_broken_datagrams(action: SnmpTrapAction, tmp_path: Path) -> None:
    whole = sent_by(action)[0]
    length = whole.index(b"install") - 1
    longer = whole[:length] + bytes((whole[length] + 40,)) + whole[length + 1 :]
    broken = [whole[:-1], whole[:30], longer, b"hello"]
    assert complaints([whole, *broken, whole], tmp_path) == [1, 2, 3, 4]
