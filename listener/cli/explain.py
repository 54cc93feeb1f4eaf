"""The verb explain: why each hook runs for a notification, or does not.

Owns its options and what it prints. It judges nothing itself and runs no hook: a hook's conditions
explain themselves, and attempt.py says what an attempt would have.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

import click

from listener import log
from listener.actions import Call
from listener.actions.registry import Actions
from listener.cli.answers import (
    event_types,
    output_option,
    print_json,
    print_line,
    print_table,
    run_as_json,
)
from listener.cli.entries import required_entry
from listener.cli.notifications import made_up, read_from, set_option, warn_of_unknown
from listener.cli.place import Place, place_options
from listener.dispatch.attempt import rehearsed, with_secrets
from listener.dispatch.job import Job, planned, resumed
from listener.hooks.explanation import Refusal, reasons, refusal
from listener.hooks.table import Hook, HookTable
from listener.log import printable
from listener.model.delivery import decode
from listener.model.entry import FIRE
from listener.model.notification import EVENT_TYPES, OWN_EVENT_TYPES, iso_time
from listener.model.secrets import mask


@click.command(short_help="Why each hook would run, or not.")
@click.argument("what", metavar="NOTIFICATION|ID|EVENT_TYPE", shell_complete=event_types)
@set_option
@output_option
@place_options
def explain(what: str, values: tuple[str, ...], output: str, place: Place) -> None:
    """Say of each hook why it would run, and with what inputs, or its first condition that fails.

    For the notification in a file (- for standard input), for an entry of the history, or for one that
    is made up for an event type. An entry is judged at the time of its receipt, all else now. No hook
    is run. Exits with 1 when none would run.
    """
    log.start()
    table = place.table()
    job = _job(what, values, table, place)
    with Actions(table.listener, place.state_dir, os.path.dirname(place.config)) as actions:
        answer = _explained(job, [_of_hook(hook, job, actions) for hook in table.hooks])
    if output == "json":
        print_json(answer)
    else:
        _print(answer, place.config)
    sys.exit(0 if any(hook["state"] == "would run" for hook in answer["hooks"]) else 1)


def _job(what: str, values: tuple[str, ...], table: HookTable, place: Place) -> Job:
    """The job that a listener would have of it. Raises HooksError."""
    is_event_type = what in (*EVENT_TYPES, *OWN_EVENT_TYPES) or not _is_other(what)
    if values and not is_event_type:
        raise click.UsageError("--set goes with an event type")
    if what.isdecimal():
        journal, _ = place.open_journal()
        return resumed(required_entry(journal, int(what)), table)
    notification = made_up(what, values) if is_event_type else read_from(what)
    warn_of_unknown(notification["event_type"])
    return planned(decode(json.dumps(notification), source=FIRE, origin=FIRE), table, time.time())


def _is_other(what: str) -> bool:
    """Whether it names a notification or an entry, and no event type."""
    return what == "-" or what.isdecimal() or bool({"/", "."} & {*what}) or os.path.exists(what)


def _explained(job: Job, hooks: list[dict[str, Any]]) -> dict[str, Any]:
    """The answer; `runs` is what there was of an entry, and whether other hooks match now."""
    entry = job.entry
    answer = {
        "id": entry.id or None,
        "event_type": job.notification.event_type,
        "at": iso_time(entry.received_at),
        "hooks": hooks,
    }
    if entry.id:
        then = [hook and hook.name for hook in job.hooks]
        now = [hook["hook"] for hook in hooks if hook["state"] != "would not run"]
        answer["differs"] = set(then) != set(now)
        answer["runs"] = list(map(run_as_json, entry.runs))
    return answer


def _of_hook(hook: Hook, job: Job, actions: Actions) -> dict[str, Any]:
    entry = job.entry
    call = Call(hook, job.notification, job.hook_context, entry.received_at, entry_id=entry.id)
    call = with_secrets(actions, call)
    event = job.notification.event_type, job.hook_context, entry.received_at
    unmet = refusal(hook, *event)
    return {
        "hook": hook.name,
        "line": hook.line,
        "implementation": hook.implementation,
        **(_why_not(call, unmet) if unmet else _would(call, actions, [*reasons(hook, *event)])),
    }


def _why_not(call: Call, unmet: Refusal) -> dict[str, Any]:
    unmet = unmet._replace(found=mask(unmet.found, call.secrets))
    return {
        "state": "would not run",
        "why": str(unmet),
        "unmet": unmet._asdict(),
        "inputs": None,
        "error": call.hook.problem or None,
    }


def _would(call: Call, actions: Actions, why: list[str]) -> dict[str, Any]:
    if call.hook.at_most:
        why.append(f"at_most: {call.hook.at_most.words}, judged when it comes")
    call, fault = rehearsed(actions, call)
    return {
        "state": "would fail" if fault else "would run",
        "why": mask("; ".join(why), call.secrets),
        "unmet": None,
        "inputs": None if call.hook.templates else actions.shown_inputs(call),
        "error": fault or None,
    }


def _print(answer: Mapping[str, Any], path: str) -> None:
    if not answer["hooks"]:
        print_line(printable(f"{path} has no hooks"))
    else:
        rows = [
            {**hook, "why": _why_in_full(hook), "inputs": _inputs_in_full(hook)}
            for hook in answer["hooks"]
        ]
        print_table(("hook", "state", "why", "inputs"), rows)
    if answer.get("differs"):
        runs = ", ".join(f"{run['hook']}: {run['state']}" for run in answer["runs"]) or "no hook ran"
        print_line(printable(f"entry {answer['id']} had other runs: {runs}"))


def _why_in_full(hook: Mapping[str, Any]) -> str:
    return "; ".join(filter(None, (hook["error"], hook["why"])))


def _inputs_in_full(hook: Mapping[str, Any]) -> str:
    return json.dumps(hook["inputs"], ensure_ascii=False) if hook["inputs"] else ""
