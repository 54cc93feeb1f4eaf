"""acknowledge: acted. The broker keeps a message until its hooks have ended, or gives it to others."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from listener.rabbitmq import acknowledgement
from tests import listening
from tests.children import child
from tests.listening import Listener
from tests.rabbitmq.forwarding import (
    CONSUMING,
    Site,
    body,
    forwarding,
    section,
    threaded,
)
from tests.rabbitmq.vhost import Vhost
from tests.support import event, wait_for

HOLDER = """
import sys
from listener.state.directory import claim
claimed = claim(sys.argv[1])
sys.stdin.read()
"""
"""It has the lock as a listener has it, and reads no inbox."""

TICK = event("when:1", eventname="TICK_5")
SLOW = "{event_type: workflow_failed, implementation: test_functions.slow, timeout: 60}"


class Host(listening.Site):
    """A listener that reads its inbox whenever the test says so."""

    def listen(self) -> Listener:
        listener = self.start(SLOW, settings="python_path: [.]")
        listener.wait_for_log("hooks")
        return listener

    def listen_idly(self) -> Listener:
        """One that has looked into its inbox already, and does it again when it is told to."""
        listener = self.listen()
        listener.send(TICK)
        listener.wait_for_answers(1)
        return listener


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    (tmp_path / "host").mkdir()
    host = Host(tmp_path / "host")
    yield host
    host.close()


def read_inbox(listener: Listener, site: Site, count: int) -> None:
    """Let it read its inbox, once so many messages are there."""
    wait_for("the inbox", lambda: len([*chain.from_iterable(site.inbox())]) == count)
    listener.send(TICK)


@pytest.fixture
def acted(site: Site, vhost: Vhost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acknowledgement, "LOOK_EVERY_S", 0.0)
    site.write(section(vhost, acknowledge="acted"))
    vhost.declare()


@pytest.mark.usefixtures("acted")
def test_a_message_is_acknowledged_when_its_hooks_have_ended_and_what_has_none_at_once(
    site: Site, vhost: Vhost, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = host.listen_idly()
    vhost.publish(body("1"), "no notification", body("1"))
    with threaded(site, monkeypatch) as forwarder:
        wait_for("the unreadable one", lambda: vhost.counts() == (0, 2, 1))
        read_inbox(listener, site, 3)
        wait_for("the hook", lambda: host.notes == ["1"])
        assert vhost.counts() == (0, 2, 1)
        host.go()
        wait_for("the acknowledgements", lambda: vhost.counts() == (0, 0, 1))
        assert host.notes == ["1"]
        assert len(forwarder.lines) == 1


@pytest.mark.usefixtures("acted")
def test_without_a_listener_messages_stay_at_the_broker_and_go_back_when_it_is_stopped_or_ends(
    site: Site, vhost: Vhost, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    vhost.publish(body("1"))
    no_listener = "no listener runs here, so messages stay at the broker for other hosts: start it"
    stopped = "the listener is stopped, so messages stay at the broker for other hosts: let it"
    with threaded(site, monkeypatch) as forwarder:
        forwarder.wait_until_it_says(no_listener)
        forwarder.wait_for_tries(3)
        assert vhost.counts() == (1, 0, 0)
        with child(HOLDER, str(host.state_dir)) as listener:
            wait_for("the message", lambda: vhost.counts() == (0, 1, 1))
            listener.send_signal(signal.SIGSTOP)
            forwarder.wait_until_it_says(no_listener, CONSUMING, stopped)
            wait_for("the broker to have it again", lambda: vhost.counts() == (1, 0, 0))
            listener.send_signal(signal.SIGCONT)
            wait_for("the message", lambda: vhost.counts() == (0, 1, 1))
        forwarder.wait_until_it_says(no_listener, CONSUMING, stopped, CONSUMING, no_listener)
        wait_for("the broker to have it again", lambda: vhost.counts() == (1, 0, 0))
        host.go()
        real = host.listen()

        def is_acknowledged() -> bool:
            real.send(TICK)
            return vhost.counts() == (0, 0, 1)

        wait_for("the acknowledgement", is_acknowledged)
    assert host.notes == ["1"]


@pytest.mark.usefixtures("acted")
def test_what_a_killed_forwarder_has_brought_is_begun_only_after_it_has_come_again(
    site: Site, vhost: Vhost, host: Host
) -> None:
    listener = host.listen_idly()
    vhost.publish(body("1"), body("2"))
    with forwarding(site) as first:
        wait_for("both", lambda: vhost.counts() == (0, 2, 1))
        read_inbox(listener, site, 2)
        wait_for("the hook", lambda: host.notes == ["1"])
        first.process.kill()
        first.ended()
    wait_for("the broker to have them again", lambda: vhost.counts() == (2, 0, 0))
    with forwarding(site) as second:
        given_back = "given back to the queue before a hook began: 1; begun already, and may run on"
        second.wait_until_it_says(given_back, CONSUMING)
        assert host.states == ["running", "dropped"]
        wait_for("both", lambda: vhost.counts() == (0, 2, 1))
        host.go()
        wait_for("the answer", lambda: host.states == ["done", "dropped"])
        read_inbox(listener, site, 2)
        wait_for("the acknowledgements", lambda: vhost.counts() == (0, 0, 1))
        assert second.terminate() == 0
    assert host.notes == ["1", "2"]
    assert host.states == ["done", "dropped", "done"]
