"""How things stand, in words."""

from __future__ import annotations

import pytest

from listener.overview.words import lines_of
from listener.rabbitmq.presence import ForwarderPresence
from tests.overview.test_judgement import DEAD, NOW, WELL
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
