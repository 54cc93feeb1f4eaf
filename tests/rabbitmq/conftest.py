"""The broker of the session, which starts while other tests run, and a virtual host for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rabbitmq.broker import Broker
from tests.rabbitmq.forwarding import Site, section
from tests.rabbitmq.server import SERVER
from tests.rabbitmq.vhost import Vhost, new_vhost
from tests.support import require_program

_STARTED = pytest.StashKey[Broker]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start it in the background, if a test that runs will want it."""
    wanted = any("broker" in getattr(item, "fixturenames", ()) for item in session.items)
    if wanted and os.access(SERVER, os.X_OK) and not session.config.option.collectonly:
        session.config.stash[_STARTED] = broker = Broker()
        session.config.add_cleanup(broker.close)


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest) -> Broker:
    """The session's only one: tests share it, and leave it running."""
    require_program(SERVER)
    broker = request.config.stash[_STARTED]
    broker.wait()
    return broker


@pytest.fixture
def vhost(broker: Broker) -> Iterator[Vhost]:
    """Empty: nothing is declared there."""
    with new_vhost(broker) as vhost:
        yield vhost


@pytest.fixture
def site(tmp_path: Path, vhost: Vhost) -> Site:
    """Of a forwarder from that virtual host."""
    site = Site(tmp_path)
    site.write(section(vhost))
    return site
