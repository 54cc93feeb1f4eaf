"""The forwarder from RabbitMQ, as a program of supervisord.

Owns what is wrong with its section, and the worker on the same host that takes messages of its queue.
What it says of itself, `status` tells.
"""

from __future__ import annotations

from collections.abc import Iterator

from supervisor.datatypes import RestartUnconditionally

from listener.overview.doctor.facts import Facts
from listener.overview.finding import Finding
from listener.supervisord.configuration import Configuration, Program


def judge_forwarder(facts: Facts) -> Iterator[Finding]:
    configuration = facts.supervisord.configuration
    if configuration is None:
        return
    sections = [each for each in configuration.programs if each.is_verb("forward")]
    for section in sections:
        yield from _section(section, facts)
    if sections:
        yield from _worker(configuration)
    elif facts.hooks.table is not None and facts.hooks.table.forward is not None:
        yield Finding(
            facts.hooks.config,
            "it has the section 'forward', but no program of supervisord runs conductor-hooks forward",
            "uncomment its section in conductor-hooks.conf, then supervisorctl update;"
            " or remove 'forward'",
        )


def _section(program: Program, facts: Facts) -> Iterator[Finding]:
    if program.process.autorestart is not RestartUnconditionally:
        what = "autorestart is not true: after a clean end nothing takes messages from the queue"
        yield Finding(program.place, what, "autorestart=true; then supervisorctl update")
    if not program.process.stdout_capture_maxbytes:
        what = "stdout_capture_maxbytes is missing: the listener sees a message after up to 5 seconds"
        yield Finding(program.place, what, "stdout_capture_maxbytes=1MB; then supervisorctl update")
    state = facts.supervisord.processes.get(program.names[0], {}).get("statename", "RUNNING")
    standing = facts.kept.standing
    if state not in ("RUNNING", "STARTING") and (standing is None or standing.forwarder is None):
        cure = f"correct what its log names, then supervisorctl start {program.group}"
        yield Finding(program.place, f"supervisord says {state}", cure)


def _worker(configuration: Configuration) -> Iterator[Finding]:
    for program in configuration.programs:
        if "--hooks-queue" in program.process.command:
            yield Finding(
                program.place,
                "this worker takes messages from the forwarder's queue, and runs hooks itself",
                "remove --hooks-queue and its value from command=; then supervisorctl update",
            )
