"""Secrets planted wherever one can stand: none is in the log, the history, the journal or an answer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.listening import frame, notification, site_in
from tests.support import event

TOKEN = "WyIwIiwiT0KEN" + "x9" * 20
FILE = "fileS3CRET/with+signs"
ENV = "envS3CRET-0123"
PLAIN = "plainS3CRET-1"
PLANTED = {
    "token": TOKEN, "its tail": TOKEN[4:20], "file": FILE, "env": ENV, "plain": PLAIN,
    "parameter": "PARAMS3CRET", "default": "DEFAULTS3CRET",
}  # fmt: skip

FUNCTIONS = """
import json, logging, subprocess, sys
from urllib.parse import quote

def everything(context, inputs):
    return [context["rest_token"], *inputs.values()]

def returns(context, **inputs):
    return everything(context, inputs)

def prints(context, **inputs):
    for each in everything(context, inputs):
        print(each, file=sys.stderr)
        logging.warning("%s, %r", quote(each, safe=""), each)
    sys.stdout.write("y" * ((1 << 20) - 300) + context["rest_token"] * 20)

def raises(context, **inputs):
    raise RuntimeError("POST %s failed" % everything(context, inputs))

def leaves(context, **inputs):
    program = ["sh", "-c", "read go < $0; echo late $1"]
    subprocess.Popen([*program, context["execution_id"], context["rest_token"]])

def fits(context, team, key="DEFAULTS3CRET"):
    pass
"""
INPUTS = (
    f"inputs: {{url: !file secret, other: !env SECRET, password: {PLAIN},"
    " header: !template 'Bearer {{ rest_token }}'}"
)
HOOKS = [
    f"{{name: {name}, event_type: workflow_started, implementation: planted.{name}, {INPUTS}}}"
    for name in ("returns", "prints", "raises", "leaves")
] + [
    "{name: swapped, event_type: workflow_started, implementation:"
    " cloudify.snmp.snmp_trap.send_snmp_trap, inputs: {destination_address: 127.0.0.1,"
    " destination_port: !file secret, community_string: x}}",
    "{name: misfit, event_type: workflow_started, implementation: planted.fits, inputs: {x: 1}}",
    "{name: notifies, event_type: workflow_started, implementation: notify, inputs: {urls:"
    f" ['json://bot:{PLAIN}@127.0.0.1:1/', 'slakc://{PLAIN}']}}}}",
    "{name: broken, event_type: workflow_started, implementation: planted.fits, timeout: !file secret}",
]


VERBS = (
    ("check",), ("check", "--no-import", "--output", "json"), ("history", "--output", "json"),
    ("show", "1"), ("show", "2"), ("show", "2", "--output", "json"), ("fire", "workflow_started"),
    ("fire", "workflow_started", "--dry-run"), ("replay", "1"),
)  # fmt: skip


def test_no_secret_is_in_anything_that_is_kept_or_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", ENV)
    (tmp_path / "planted.py").write_text(FUNCTIONS)
    (tmp_path / "secret").write_text(FILE + "\n")
    os.mkfifo(tmp_path / "fifo")
    text = notification(str(tmp_path / "fifo")).partition('"execution_parameters": {}')
    whole = f'{text[0]}"rest_token": "{TOKEN}"{text[2]}'
    cut = f'{TOKEN[4:]}", "execution_parameters": {{"db_password": "PARAMS3CRET"}}{text[2]}'
    with site_in(tmp_path) as site:
        listener = site.start(*HOOKS)
        listener.send(event(whole))
        listener.send(event(cut, serial=2))
        listener.wait_for_answers(2)
        with open(tmp_path / "fifo", "w") as fifo:
            fifo.write("go\n")
        listener.send(frame("other", serial=3))
        listener.wait_for_answers(3)
        assert listener.end() == 0
        shown = {
            "log": listener.log,
            **{" ".join(verb): str(site.run(*verb)) for verb in VERBS},
            "journal": (site.state_dir / "journal.db").read_bytes().decode("latin-1"),
        }
    assert listener.log.count("| late …") == 1
    assert "the text '…'" in shown["check"]
    assert listener.log.count("POST ['…', '…', '…', '…', 'Bearer …'] failed") >= 1
    found = {
        f"{what} in {where}" for what, secret in PLANTED.items() for where, said in shown.items()
        if secret in said
    }  # fmt: skip
    assert found == set()
