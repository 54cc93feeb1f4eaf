"""What a manager publishes comes to the listener, and the broker need not keep it any more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rabbitmq.forwarding import CONSUMING, Process, Site, body, execution_of, forwarding, section
from tests.rabbitmq.vhost import QUEUE, Vhost
from tests.support import wait_for

HUNDRED = list(map(str, range(100)))


def test_what_is_published_is_kept_then_acknowledged_and_printed_for_supervisord(
    site: Site, vhost: Vhost
) -> None:
    vhost.declare()
    vhost.publish(body("1"), body("2"), "no notification", body("3"))
    with forwarding(site) as forwarder:
        wait_for("the acknowledgements", lambda: vhost.counts() == (0, 0, 1))
        [batch] = site.inbox()
        texts = [record.payload for record in batch]
        assert {record.source for record in batch} == {"rabbitmq"}
        wait_for("the frames", lambda: len(forwarder.frames) == 3)
        assert forwarder.frames == [text for text in texts if text != "no notification"]
        assert [execution_of(text) for text in forwarder.frames] == ["1", "2", "3"]
        assert forwarder.terminate() == 0
        assert vhost.counts() == (0, 0, 0)
        port = vhost.port
        consuming = f"{CONSUMING}127.0.0.1:{port}, vhost {vhost.name!r}"
        assert forwarder.lines == [f"INFO {consuming}, messages waiting: 4", "INFO stopped"]


def test_a_queue_that_is_not_there_is_made_as_a_manager_makes_it(site: Site, vhost: Vhost) -> None:
    with forwarding(site) as forwarder:
        forwarder.wait_until_it_says(CONSUMING)
        vhost.declare()  # the broker refuses another declaration
        vhost.publish(body("1"))
        site.wait_for_kept("1")


def test_a_queue_of_its_own_is_made_to_serve_one_host_at_a_time(site: Site, vhost: Vhost) -> None:
    own = {"queue": "hooks", "exchange": "events", "routing_key": "#", "single_active": True}
    site.write(section(vhost, **own))
    with forwarding(site) as forwarder:
        forwarder.wait_until_it_says("consuming the queue 'hooks' of ")
        with vhost.channel() as channel:
            channel.exchange_declare("events", "topic", durable=True)
            single = {"x-single-active-consumer": True}
            channel.queue_declare("hooks", durable=True, arguments=single)
            channel.basic_publish("events", "a.key", body("1"))
        site.wait_for_kept("1")


def test_a_queue_that_is_there_is_used_as_it_is_beside_its_other_consumers(
    site: Site, vhost: Vhost
) -> None:
    vhost.declare(arguments={"x-queue-type": "quorum"})
    with vhost.channel() as worker:
        worker.basic_consume(QUEUE, lambda *_: None)
        with forwarding(site) as forwarder:
            forwarder.wait_until_it_says(CONSUMING, "WARNING other consumers of the queue")
            assert "'cloudify-hooks': 1. Each message goes to one" in forwarder.lines[1]
            vhost.publish(*map(body, "12"))
            wait_for("one in the inbox", lambda: len(site.kept) == 1)
            assert forwarder.terminate() == 0


@pytest.fixture
def stuck(site: Site, vhost: Vhost) -> Iterator[Process]:
    """A forwarder whose frames nobody reads, with more messages than a pipe and its prefetch hold."""
    site.write(section(vhost, prefetch=5))
    vhost.declare()
    with forwarding(site, is_read=False) as forwarder:
        forwarder.wait_until_it_says(CONSUMING)
        vhost.publish(*(body(each, message="x" * 1000) for each in HUNDRED))
        wait_for("most of what a pipe holds", lambda: forwarder.unread_bytes > 32_000)
        yield forwarder


def test_while_nobody_reads_its_frames_the_connection_is_served_and_nothing_is_lost(
    stuck: Process, site: Site, vhost: Vhost
) -> None:
    vhost.close_connections()
    stuck.wait_until_it_says(CONSUMING, "it was stopped, or has closed", CONSUMING)
    assert len(site.kept) < 100
    stuck.read()
    wait_for("all", lambda: list(dict.fromkeys(site.kept)) == HUNDRED)
    wait_for("the acknowledgements", lambda: vhost.counts() == (0, 0, 1))


def test_sigterm_while_nobody_reads_its_frames_gives_back_what_does_not_fit(
    stuck: Process, site: Site, vhost: Vhost
) -> None:
    assert stuck.terminate() == 0
    kept = len(site.kept)
    assert site.kept == HUNDRED[:kept] != HUNDRED
    assert vhost.counts() == (100 - kept, 0, 0)


def test_it_leaves_when_its_frames_cannot_be_read_any_more(stuck: Process, vhost: Vhost) -> None:
    assert stuck.process.stdout
    stuck.process.stdout.close()
    assert stuck.ended() == 0
    assert "Broken pipe; it is in the listener's inbox" in stuck.lines[1]
    assert vhost.counts().consumers == 0


def test_it_leaves_when_nobody_can_read_its_frames_while_nothing_comes(
    site: Site, vhost: Vhost
) -> None:
    with forwarding(site, is_read=False) as forwarder:
        forwarder.wait_until_it_says(CONSUMING)
        assert forwarder.process.stdout
        forwarder.process.stdout.close()
        assert forwarder.ended() == 0
        assert vhost.counts().consumers == 0


def test_on_a_full_disk_messages_stay_at_the_broker_until_there_is_room(
    site: Site, vhost: Vhost
) -> None:
    full = "/inbox cannot be written (File too large), so messages stay at the broker: free disk space"
    with forwarding(site) as forwarder:
        forwarder.wait_until_it_says(CONSUMING)
        forwarder.may_write(False)
        vhost.publish(*map(body, "123"))
        forwarder.wait_until_it_says(CONSUMING, full)
        wait_for("the messages", lambda: vhost.counts() == (3, 0, 0))
        forwarder.may_write(True)
        site.wait_for_kept("1", "2", "3")
        forwarder.wait_until_it_says(CONSUMING, full, CONSUMING)
        wait_for("the acknowledgements", lambda: vhost.counts() == (0, 0, 1))


def test_its_log_has_the_form_that_the_listeners_has(site: Site, vhost: Vhost) -> None:
    site.write(section(vhost), log_format="json")
    with forwarding(site) as forwarder:
        forwarder.wait_until_it_says(f'"INFO", "message": "{CONSUMING}')


def test_its_log_has_nothing_of_pika_and_sigterm_ends_it_while_it_waits(
    site: Site, vhost: Vhost
) -> None:
    site.write(section(vhost, password="wr0ng-s3cret"))
    with forwarding(site) as forwarder:
        forwarder.wait_until_it_says("ERROR 127.0.0.1")
        assert forwarder.terminate() == 0
        assert forwarder.lines[1:] == ["INFO stopped"]
        assert "wr0ng-s3cret" not in forwarder.lines[0]
