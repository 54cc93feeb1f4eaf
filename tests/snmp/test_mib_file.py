"""The MIB file as its readers see it: smilint, pysmi, pysnmp, snmptranslate and a real snmptrapd.

It has every name and OID that is sent, and a receiver that loads it prints UTF-8 and JSON as text.
"""

from __future__ import annotations

import importlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from listener.snmp import ber, mib
from tests.snmp.receivers import (
    MIB,
    Snmptrapd,
    answer,
    snmptrapd,
    values_in,
    with_our_mib,
    write_base_mibs,
)

GROUPS: dict[str, ber.Oid] = {
    "cloudifyManagerCompliance": (*mib.ROOT, 1000, 1),
    "cloudify1NotifyGroup": (*mib.ROOT, 1001, 1),
    "cloudify1PropertiesGroup": (*mib.ROOT, 1001, 2),
}


@pytest.fixture(scope="module")
def base_mibs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base_mibs(tmp_path_factory.mktemp("base_mibs"))


@pytest.fixture
def environment(base_mibs: Path, tmp_path: Path) -> dict[str, str]:
    return with_our_mib(base_mibs, tmp_path)


def test_smilint_at_level_6_has_nothing_to_say(environment: dict[str, str]) -> None:
    assert answer(environment, "smilint", "-c", os.devnull, "-l", "6", str(MIB)) == ""


@pytest.mark.parametrize("name", mib.OBJECTS)
def test_an_object_is_for_notifications_alone_and_as_large_as_what_is_sent(
    environment: dict[str, str], name: str
) -> None:
    definition = answer(environment, "snmptranslate", "-Td", f"CLOUDIFY-MIB::{name}")
    is_text = name in ("cloudifyWorkflowParameters", "cloudifyErrorDetails")
    syntax = f"OCTET STRING (0..{mib.MAX_TEXT if is_text else mib.MAX_NAME})"
    assert f"SYNTAX\t{'Counter64' if name == 'cloudifyTimeStamp' else syntax}" in definition
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
    for name, oid in {**mib.OBJECTS, **dict(mib.NOTIFICATIONS.values()), **GROUPS}.items():
        (symbol,) = builder.import_symbols("CLOUDIFY-MIB", name)
        assert tuple(symbol.getName()) == oid
    for name in set(mib.OBJECTS) - {"cloudifyTimeStamp"}:
        (symbol,) = builder.import_symbols("CLOUDIFY-MIB", name)
        assert symbol.getSyntax().clone("失敗 über".encode()).prettyPrint() == "失敗 über"


@pytest.fixture
def receiver(environment: dict[str, str], tmp_path: Path) -> Iterator[Snmptrapd]:
    with snmptrapd(environment, tmp_path) as started:
        yield started


@pytest.mark.parametrize("instance", ["", ".0"], ids=["without_instance", "with_instance"])
def test_snmptrapd_prints_utf_8_and_json_of_full_length_as_text_even_in_the_c_locale(
    environment: dict[str, str], receiver: Snmptrapd, instance: str
) -> None:
    texts = {
        "cloudifyTenantName": "置" * 85,
        "cloudifyWorkflowParameters": '{"größe": "失敗", "path": "C:\\\\temp", "said": "\\"no\\""}',
        "cloudifyErrorDetails": "é" * 256,
    }
    sender = ["-v2c", "-c", "public", f"udp:127.0.0.1:{receiver.port}", "0"]
    varbinds = [(f"CLOUDIFY-MIB::{name}{instance}", "s", text) for name, text in texts.items()]
    failed = "CLOUDIFY-MIB::cloudifyWorkflowFailed"
    answer(environment, "snmptrap", *sender, failed, *itertools.chain.from_iterable(varbinds))
    values = values_in(receiver.read_past("cloudifyErrorDetails"))

    assert {name: values[name + instance] for name in texts} == texts
