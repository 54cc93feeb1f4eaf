"""The deep look: how supervisord is configured and runs, our state directory, hooks.conf.

Owns the order of the findings. Each module judges one subject and changes nothing. The verb doctor
calls it.
"""

from __future__ import annotations

from collections.abc import Iterator

from listener.overview.doctor.destinations import judge_destinations
from listener.overview.doctor.emitters import judge_emitters
from listener.overview.doctor.facts import Facts
from listener.overview.doctor.forwarder import judge_forwarder
from listener.overview.doctor.hooks import judge_hooks
from listener.overview.doctor.place import judge_place
from listener.overview.doctor.recorder import judge_recorder
from listener.overview.doctor.running import judge_running
from listener.overview.doctor.section import judge_section
from listener.overview.finding import Finding
from listener.overview.judgement import judge


def examine(facts: Facts) -> Iterator[Finding]:
    """What needs doing: what `status` finds comes first."""
    if facts.kept.standing is not None:
        yield from judge(facts.kept.standing)
    for judge_subject in (
        judge_running,
        judge_section,
        judge_emitters,
        judge_recorder,
        judge_forwarder,
        judge_place,
        judge_hooks,
        judge_destinations,
    ):
        yield from judge_subject(facts)
