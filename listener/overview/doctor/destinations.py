"""The names of the hosts that hooks and the forwarder send to.

Owns the one question to the resolver for all of them, which takes a few seconds at most. It sends
nothing to any host.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

from listener.errors import ActionFailed
from listener.overview.doctor.facts import Facts
from listener.overview.finding import Finding
from listener.snmp.names import ANSWER_S, Host, Names

_MOST = 50
"""So many are asked for; each has a thread."""


def judge_destinations(facts: Facts) -> Iterator[Finding]:
    names, deadline = Names(), time.monotonic() + ANSWER_S
    hosts = dict(itertools.islice(facts.hooks.hosts.items(), _MOST))
    for host in hosts:
        names[Host(host)].look_up()
    for host, user in hosts.items():
        try:
            names[Host(host)].address(deadline)
        except ActionFailed as error:
            yield Finding(
                f"{facts.hooks.config}, {user}", str(error), "correct the name, or the resolver"
            )
