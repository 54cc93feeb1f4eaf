"""How things stand, in words."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from listener.hooks.table import HookTable
from listener.overview.words import lines_of
from listener.rabbitmq.presence import ForwarderPresence
from tests.overview.test_judgement import DEAD, LISTENER, NOW, WELL, totals
from tests.processes import ALIVE


@pytest.mark.parametrize(
    ("forwarder", "words"),
    [
        (ForwarderPresence(ALIVE, NOW, "consuming", False), "consuming (since 2023-11-14 22:13:20Z)"),
        (ForwarderPresence(ALIVE, NOW, "no", True), "cannot consume (since 2023-11-14 22:13:20Z)"),
        (ForwarderPresence(DEAD, NOW, "consuming", False), "does not run"),
    ],
    ids=["consuming", "in trouble", "dead"],
)
def test_a_forwarder_stands_as_it_does_now(forwarder: ForwarderPresence, words: str) -> None:
    assert ("forwarder", words) in lines_of(WELL._replace(forwarder=forwarder))


def test_the_number_of_hooks_is_that_of_a_file_in_force() -> None:
    read = WELL._replace(table=HookTable())
    assert ("hooks.conf", "/etc/hooks.conf, hooks: 0") in lines_of(read)
    broken = read._replace(listener=replace(LISTENER, problem="the last good hooks (3) stay in force"))
    assert ("hooks.conf", "/etc/hooks.conf") in lines_of(broken)


def test_what_is_in_hand_alone_does_not_wait() -> None:
    oldest = ", the oldest since 2023-11-14 22:13:11Z"
    assert ("waiting", f"2 not begun, 1 begun{oldest}") in lines_of(WELL)
    alone = WELL._replace(totals=totals(by_state={"running": 1}, untried=0))
    assert ("waiting", "0 not begun, 0 begun") in lines_of(alone)
