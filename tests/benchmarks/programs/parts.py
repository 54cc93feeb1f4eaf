"""The parts of the listener's work and nothing else: what a few lines for this notification cost.

It decodes, looks the event type up, sends the trap as our rooms for SNMP make it, and commits twice,
the last time after its answer; then it looks for the next event for as long as ours. It has no log
and knows no event again, and survives no mistake. Arguments: the port for the trap, 0 for none;
`journal` to commit; `function` to commit once more and call one in a warm child after the trap.
"""

import os
import select
import socket
import sqlite3
import sys
import time

import msgspec

from listener.interpreters.worker import Worker
from listener.snmp import ber
from listener.snmp.mib import Content
from listener.supervisord.pipe import LOOK_S

_TABLE = """
CREATE TABLE entries (id INTEGER PRIMARY KEY, at REAL, state TEXT, body TEXT, key TEXT, runs TEXT);
CREATE UNIQUE INDEX entries_by_key ON entries (key);
CREATE INDEX entries_unsettled ON entries (id) WHERE state = 'running';
"""
_UPDATE = "UPDATE entries SET state = ?, runs = ? WHERE id = ?"
_RUNS = '[{"hook":"workflow_started-1","state":"done","attempts":[{"state":"done","seconds":0.0001}]}]'


def opened() -> sqlite3.Connection:
    folder = os.environ["CONDUCTOR_HOOKS_STATE_DIR"]
    os.mkdir(folder)
    journal = sqlite3.connect(os.path.join(folder, "parts.db"), isolation_level=None)
    for setting in ("page_size = 2048", "journal_mode = WAL", "synchronous = NORMAL"):
        journal.execute(f"PRAGMA {setting}")
    journal.execute("PRAGMA wal_autocheckpoint = 8000")
    journal.executescript(_TABLE)
    return journal


def main() -> None:
    port = int(sys.argv[1])
    journal = opened() if "journal" in sys.argv else None
    worker = None
    if "function" in sys.argv:
        worker = Worker(sys.executable, (os.path.dirname(os.path.abspath(__file__)),))
    trap = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    trap.connect(("127.0.0.1", port or 9))
    hooks = {"workflow_started": "public"} if port else {}
    answer = b"READY\n"
    poll = select.poll()
    poll.register(0, select.POLLIN)
    entry_id = 0
    for number in range(1 << 62):
        os.write(1, answer)
        if journal and entry_id:
            journal.execute(_UPDATE, ("done", _RUNS, entry_id))
        until = time.monotonic() + LOOK_S
        while not poll.poll(0) and time.monotonic() < until:
            os.sched_yield()
        data = os.read(0, 65536)
        while b"\n" not in data and data:
            data += os.read(0, 65536)
        if not data:
            return
        header, _, payload = data.partition(b"\n")
        size = int(header.rpartition(b"len:")[2])
        while len(payload) < size:
            payload += os.read(0, 65536)
        body = payload.partition(b"\n")[2]
        value = msgspec.json.decode(body)
        event_type = value["event_type"]
        if event_type in hooks:
            if journal:
                values = (time.time(), "running", body.decode(), f"1.1/{number}", "[]")
                insert = "INSERT INTO entries (at, state, body, key, runs) VALUES (?, ?, ?, ?, ?)"
                entry_id = journal.execute(insert, values).lastrowid or 0
            send(trap, event_type, value)
            if journal and worker:
                journal.execute(_UPDATE, ("running", _RUNS, entry_id))
                request = {
                    "op": "call",
                    "path": "no_op.no_op",
                    "context": value["context"],
                    "inputs": {},
                }
                worker.request(request, timeout_s=60.0, label="")
        answer = b"RESULT 2\nOKREADY\n"


def send(trap: socket.socket, event_type: str, value: "dict[str, dict[str, object]]") -> None:
    context = {**value["context"], "timestamp": value["timestamp"], "tenant_name": "default_tenant"}
    content = Content.of(event_type, context, None, uptime_s=1.0, received_at=0.0, warn=print)
    pdu = ber.pdu(ber.TRAP, 4711, content.varbinds("conductor"))
    trap.send(ber.message_v2c(b"public", pdu))


main()
