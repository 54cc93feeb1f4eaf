"""`python -m tests.faults [--short] [--seed N] [NAME…]`: what becomes of events when things break.

Owns the command line, the order of the faults and the table. Each fault breaks one thing while real
listeners work, and says what has become of every notification; the exit status is 1 when a promise of
the README was broken.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from tests.faults import (
    anything,
    at_most,
    beside,
    commit_points,
    durable,
    kills,
    pauses,
    plugins,
    power,
    processes,
    rabbitmq,
    rabbitmq_hosts,
    receivers,
    recorded,
    storage,
    unrecorded,
)
from tests.faults.ledger import Setting, Verdict

Fault = Callable[[Setting], Verdict]

ROWS_OF_RABBITMQ: Mapping[str, rabbitmq.Row] = {
    "rabbitmq-kills": rabbitmq.kills,
    "rabbitmq-broker-down": rabbitmq.broker_down,
    "rabbitmq-network": rabbitmq.network,
    "rabbitmq-disk-full": rabbitmq.disk_full,
    "rabbitmq-queue-deleted": rabbitmq.queue_deleted,
    "rabbitmq-two-kept": partial(rabbitmq_hosts.kept, 2),
    "rabbitmq-four-kept": partial(rabbitmq_hosts.kept, 4),
    "rabbitmq-two-acted": partial(rabbitmq_hosts.acted, 2),
    "rabbitmq-four-acted": partial(rabbitmq_hosts.acted, 4),
    "rabbitmq-acted-cut": rabbitmq_hosts.acted_cut,
    "rabbitmq-acted-stopped": rabbitmq_hosts.stopped,
    "rabbitmq-single-active": rabbitmq_hosts.single_active,
}
"""On a broker of the tool's own. The suite runs some of them, on its own broker."""

FAULTS: Mapping[str, Fault] = {
    "commit-points": commit_points.commit_points,
    "commit-points-recorded": commit_points.commit_points_recorded,
    "commit-points-failing": commit_points.commit_points_failing,
    "first-second": kills.first_second,
    "random-kills": kills.random_kills,
    "commands": kills.commands,
    "webhook": receivers.webhook,
    "notify": receivers.notify,
    "at-most": at_most.at_most,
    "pauses": pauses.pauses,
    "recorded-sigterm": recorded.sigterm,
    "recorded-sighup": recorded.sighup,
    "recorded-sigkill": recorded.sigkill,
    "recorded-section": recorded.section,
    "recorded-small-buffer": recorded.small_buffer,
    "recorded-fatal": recorded.fatal,
    "recorded-neighbour": recorded.neighbour,
    "recorded-stopped": recorded.stopped,
    "recorded-behind-a-script": recorded.behind_a_script,
    "recorded-pruned": recorded.pruned,
    "recorded-damaged": recorded.damaged,
    "recorded-orphaned": recorded.orphaned,
    "recorded-anything": anything.anything,
    "durable": durable.durable,
    "durable-few-descriptors": durable.few_descriptors,
    "small-buffer": unrecorded.small_buffer,
    "supervisord-ends": unrecorded.supervisord_ends,
    "section": unrecorded.section,
    "neighbour": unrecorded.neighbour,
    "capture": unrecorded.capture,
    "program-exits": unrecorded.program_exits,
    "program-killed": unrecorded.program_killed,
    "disk-full": storage.disk_full,
    "file-system-full": storage.file_system_full,
    "damaged": storage.damaged,
    "damaged-note": storage.damaged_note,
    "removed": storage.removed,
    "directory-removed": storage.directory_removed,
    "read-only": storage.read_only,
    "locked": storage.locked,
    "power-loss": power.loss,
    "power-safe": power.safe,
    "power-safe-emission": power.safe_emission,
    "second-listener": beside.second_listener,
    "second-listener-after-removal": beside.second_listener_after_removal,
    "verbs": beside.verbs,
    "plugins": plugins.plugins,
    **{name: rabbitmq.on_a_broker(row) for name, row in ROWS_OF_RABBITMQ.items()},
}

_COLUMNS = ("emitted", "acted on", "lost", "twice", "interrupted", "seconds")
_WIDTH = max(map(len, FAULTS))
_SHOWN = 3  # problems of one fault


def run(name: str, *, short: bool, seed: int) -> tuple[Verdict, float]:
    """One fault, and the seconds that it took. Whatever it has started is ended."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ch-") as path:  # short: a socket's path has 107 bytes
        folder = Path(path)
        try:
            verdict = FAULTS[name](Setting(folder, short, random.Random(f"{seed} {name}")))
        finally:
            processes.end_all(folder)
    return verdict, time.monotonic() - began


def main() -> int:
    """Run the faults that the command line names, or all."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="Breaks what the listener stands on, and counts what was lost or done twice.",
    )
    parser.add_argument("--short", action="store_true", help="small counts, two minutes for all")
    parser.add_argument("--seed", type=int, help="of the random moments; printed, to be given again")
    parser.add_argument("name", nargs="*", help=f"of {', '.join(FAULTS)}; all by default")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.name if name not in FAULTS]:
        parser.error(f"no fault {unknown[0]!r}; there are {', '.join(FAULTS)}")
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    print(f"--seed {seed}")
    print(f"{'':{_WIDTH}} " + " ".join(f"{column:>11}" for column in _COLUMNS), flush=True)
    broken = [name for name in arguments.name or FAULTS if not _told(name, arguments.short, seed)]
    if broken:
        print(f"broken promises: {', '.join(broken)}")
    return 1 if broken else 0


def _told(name: str, short: bool, seed: int) -> bool:
    """Run a fault and print its line; whether every promise was kept."""
    try:
        verdict, seconds = run(name, short=short, seed=seed)
    except (Exception, pytest.fail.Exception):
        print(f"{name:{_WIDTH}}  could not be judged\n{traceback.format_exc()}", flush=True)
        return False
    counts = " ".join(f"{count:11}" for count in verdict[:5])
    print(f"{name:{_WIDTH}} {counts} {seconds:11.1f}  {verdict.remark}", flush=True)
    for problem in verdict.problems[:_SHOWN]:
        print(f"{'':{_WIDTH}}  ! {problem}", flush=True)
    if len(verdict.problems) > _SHOWN:
        print(f"{'':{_WIDTH}}  ! and {len(verdict.problems) - _SHOWN} more", flush=True)
    return not verdict.problems


if __name__ == "__main__":
    sys.exit(main())
