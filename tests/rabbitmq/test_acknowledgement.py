"""What `acknowledge: acted` leaves to other hosts when its connection is over. None needs a broker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import pytest

from listener.inbox import whole_file
from listener.inbox.folder import names_of
from listener.inbox.reader import InboxReader
from listener.model.delivery import FROM_BROKER, SHARED_WITH_BROKER
from listener.model.entry import Entry, Run
from listener.rabbitmq.acknowledgement import WhenActed
from listener.rabbitmq.messages import read_message
from listener.rabbitmq.writer import Batch, Writer
from listener.state.directory import lock
from listener.state.filters import Filters
from listener.state.journal import Journal
from listener.supervisord.emit import WAKE_UP, enframe
from tests.listening import notification


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[str]:
    """That a listener has, which is this process."""
    fd = lock(str(tmp_path))
    yield str(tmp_path)
    os.close(fd)


def bring(state_dir: str) -> None:
    """Leave a notification of each source in the inbox, and one in the journal."""
    with closing(Journal(state_dir)) as journal:
        for source in (FROM_BROKER, SHARED_WITH_BROKER):
            whole_file.add(state_dir, source, ["{}"])
            run = Run("h", "f.f", "pending")
            journal.accept(Entry(0, 0.0, source, "pending", "{}", runs=(run,)))


def assert_given_back(state_dir: str) -> None:
    """What others get is not begun here any more, wherever it waits; all else is."""
    with closing(Journal(state_dir)) as journal:
        entries = {entry.source: entry.state for entry in journal.newest(Filters(), 9)}
    assert entries == {FROM_BROKER: "pending", SHARED_WITH_BROKER: "dropped"}
    assert names_of(state_dir, SHARED_WITH_BROKER) == []
    assert len(names_of(state_dir, FROM_BROKER)) == 1


def test_what_a_killed_forwarder_has_brought_is_given_back_before_a_connection(state_dir: str) -> None:
    bring(state_dir)
    with WhenActed(state_dir).of_connection():
        assert_given_back(state_dir)


def test_what_a_connection_has_brought_is_given_back_at_its_end(state_dir: str) -> None:
    with WhenActed(state_dir).of_connection():
        bring(state_dir)
    assert_given_back(state_dir)


def test_what_is_no_notification_stays_for_the_history_since_it_is_acknowledged(state_dir: str) -> None:
    bodies = [notification().encode(), b"no notification", notification().encode()]
    messages = [read_message(tag, body, None) for tag, body in enumerate(bodies)]
    connection = Mock(is_usable=True)
    acted = WhenActed(state_dir)
    with acted.of_connection(), open(os.devnull, "wb") as nowhere:
        writer = Writer(nowhere.fileno())
        writer.put(Batch(messages, connection, acted, state_dir))
        writer.close(30)
    connection.acknowledge.assert_called_once_with(1)
    with closing(InboxReader(state_dir)) as reader:
        assert [[record.payload for record in batch] for batch in reader.read_new()] == [
            ["no notification"]
        ]


def test_its_frames_say_nothing_that_could_be_begun_after_the_end(state_dir: str) -> None:
    assert WhenActed(state_dir).frames([read_message(1, b"{}", None)]) == enframe(WAKE_UP)
