"""The MIB file as its readers see it: smilint, snmptranslate, pysmi, pysnmp and a real snmptrapd.

It keeps every name and OID of the original, and a receiver that loads it prints UTF-8 and JSON as
text, also when a trap has the original's layout.
"""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.snmp.receivers import (
    MIB,
    Snmptrapd,
    answer,
    golden_datagram,
    snmptrapd,
    values_in,
    with_our_mib,
    write_base_mibs,
)

ROOT = ".1.3.6.1.4.1.52312.1"
OBJECTS = {
    "cloudifyTimeStamp": f"{ROOT}.1.1",
    "cloudifyDeploymentID": f"{ROOT}.1.2",
    "cloudifyTenantName": f"{ROOT}.1.3",
    "cloudifyWorkflowName": f"{ROOT}.1.4",
    "cloudifyExecutionID": f"{ROOT}.1.5",
    "cloudifyWorkflowParameters": f"{ROOT}.1.6",
    "cloudifyErrorDetails": f"{ROOT}.1.7",
}
NOTIFICATIONS = {
    "cloudifyWorkflowQueued": f"{ROOT}.0.1",
    "cloudifyWorkflowStarted": f"{ROOT}.0.2",
    "cloudifyWorkflowSucceeded": f"{ROOT}.0.3",
    "cloudifyWorkflowCancelled": f"{ROOT}.0.4",
    "cloudifyWorkflowFailed": f"{ROOT}.0.5",
}
GROUPS = {
    "cloudifyManagerCompliance": f"{ROOT}.1000.1",
    "cloudify1NotifyGroup": f"{ROOT}.1001.1",
    "cloudify1PropertiesGroup": f"{ROOT}.1001.2",
}
OID_BY_NAME = {**OBJECTS, **NOTIFICATIONS, **GROUPS}

ORDER = [
    "cloudifyTimeStamp",
    "cloudifyTenantName",
    "cloudifyDeploymentID",
    "cloudifyWorkflowName",
    "cloudifyExecutionID",
    "cloudifyWorkflowParameters",
]


@pytest.fixture(scope="module")
def base_mibs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base_mibs(tmp_path_factory.mktemp("base_mibs"))


@pytest.fixture
def environment(base_mibs: Path, tmp_path: Path) -> dict[str, str]:
    return with_our_mib(base_mibs, tmp_path)


def test_smilint_at_level_6_has_nothing_to_say(environment: dict[str, str]) -> None:
    assert answer(environment, "smilint", "-c", os.devnull, "-l", "6", str(MIB)) == ""


def test_snmptranslate_knows_the_oid_of_every_name_and_the_name_of_every_oid(
    environment: dict[str, str],
) -> None:
    names = [f"CLOUDIFY-MIB::{name}" for name in OID_BY_NAME]
    assert answer(environment, "snmptranslate", "-On", *names).split() == list(OID_BY_NAME.values())
    assert answer(environment, "snmptranslate", *OID_BY_NAME.values()).split() == names


@pytest.mark.parametrize("name", NOTIFICATIONS)
def test_a_notification_lists_its_objects_in_the_order_of_the_original(
    environment: dict[str, str], name: str
) -> None:
    definition = answer(environment, "snmptranslate", "-Td", f"CLOUDIFY-MIB::{name}")
    listed = definition.partition("OBJECTS")[2].partition("{")[2].partition("}")[0]
    error = ["cloudifyErrorDetails"] if name == "cloudifyWorkflowFailed" else []
    assert [entry.strip() for entry in listed.split(",")] == ORDER + error


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_can_only_be_had_in_a_notification(environment: dict[str, str], name: str) -> None:
    definition = answer(environment, "snmptranslate", "-Td", f"CLOUDIFY-MIB::{name}")
    assert "MAX-ACCESS\taccessible-for-notify\n" in definition


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pysmi writes pysnmp's old names
def test_pysmi_compiles_it_and_pysnmp_reads_utf_8_with_the_result(
    base_mibs: Path, tmp_path: Path
) -> None:
    # pysmi and pysnmp have no type information; a module imported this way has only Any in it.
    codegen = importlib.import_module("pysmi.codegen").PySnmpCodeGen
    directory = importlib.import_module("pysmi.reader").FileReader
    parser = importlib.import_module("pysmi.parser").SmiV2Parser
    ready_made = importlib.import_module("pysmi.searcher").StubSearcher
    writer = importlib.import_module("pysmi.writer").PyFileWriter
    compiler = importlib.import_module("pysmi.compiler").MibCompiler(
        parser(), codegen(), writer(str(tmp_path))
    )
    compiler.add_sources(directory(str(MIB.parent)), directory(str(base_mibs)))
    compiler.add_searchers(ready_made(*codegen.baseMibs))

    status = compiler.compile("CLOUDIFY-MIB", genTexts=True)["CLOUDIFY-MIB"]

    assert status == "compiled", getattr(status, "error", "")
    smi = importlib.import_module("pysnmp.smi.builder")
    builder = smi.MibBuilder()
    builder.add_mib_sources(smi.DirMibSource(str(tmp_path)))
    for name, oid in OID_BY_NAME.items():
        (symbol,) = builder.import_symbols("CLOUDIFY-MIB", name)
        assert "." + ".".join(map(str, symbol.getName())) == oid
    for name in set(OBJECTS) - {"cloudifyTimeStamp"}:
        (symbol,) = builder.import_symbols("CLOUDIFY-MIB", name)
        assert symbol.getSyntax().clone("失敗 über".encode()).prettyPrint() == "失敗 über"


@pytest.fixture
def receiver(environment: dict[str, str], tmp_path: Path) -> Iterator[Snmptrapd]:
    with snmptrapd(environment, tmp_path) as started:
        yield started


def send_failed(environment: dict[str, str], port: int, text_by_oid: dict[str, str]) -> None:
    trap = ["-v2c", "-c", "public", f"udp:127.0.0.1:{port}", "0"]
    varbinds = [part for oid, text in text_by_oid.items() for part in (oid, "s", text)]
    answer(environment, "snmptrap", *trap, NOTIFICATIONS["cloudifyWorkflowFailed"], *varbinds)


def test_snmptrapd_prints_a_datagram_of_the_original(receiver: Snmptrapd) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(golden_datagram("failed_short"), ("127.0.0.1", receiver.port))
        values = values_in(receiver.read_past("cloudifyErrorDetails"))

    assert "OID: CLOUDIFY-MIB::cloudifyWorkflowFailed" in values.values()
    assert {name: value for name, value in values.items() if name in OBJECTS} == {
        "cloudifyTimeStamp": "Counter64: 1535973600",
        "cloudifyTenantName": "default_tenant",
        "cloudifyDeploymentID": "nodecellar",
        "cloudifyWorkflowName": "install",
        "cloudifyExecutionID": "0b1b5f3a-6c8e-4d6f-9a53-0f7d3f0f3b11",
        "cloudifyWorkflowParameters": '{"a": 1, "node_ids": ["vm_1", "vm_2"]}',
        "cloudifyErrorDetails": "Traceback: boom",
    }


@pytest.mark.parametrize("instance", ["", ".0"], ids=["without_instance", "with_instance"])
def test_snmptrapd_prints_utf_8_and_json_of_full_length_as_text_even_in_the_c_locale(
    environment: dict[str, str], receiver: Snmptrapd, instance: str
) -> None:
    texts = {
        "cloudifyTenantName": "置" * 85,
        "cloudifyWorkflowParameters": '{"größe": "失敗", "path": "C:\\\\temp", "said": "\\"no\\""}',
        "cloudifyErrorDetails": "é" * 256,
    }

    by_oid = {OBJECTS[name] + instance: text for name, text in texts.items()}
    send_failed(environment, receiver.port, by_oid)
    values = values_in(receiver.read_past("cloudifyErrorDetails"))

    assert {name: values[name + instance] for name in texts} == texts
