"""One of two hosts on a queue dies: the short forms of two faults, which tests/faults/ has."""

from __future__ import annotations

import pytest

from tests.faults import __main__ as tool
from tests.faults import rabbitmq
from tests.rabbitmq.broker import Broker


@pytest.mark.parametrize("name", ["rabbitmq-two-kept", "rabbitmq-two-acted"])
def test_no_promise_of_the_readme_is_broken(
    name: str, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq, "shared_broker", lambda: broker)
    verdict, _ = tool.run(name, short=True, seed=4711)
    assert (verdict.problems, verdict.lost) == ((), 0)
