"""What `acknowledge: acted` leaves to other hosts when its connection is over. None needs a broker."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

from listener.inbox import whole_file
from listener.inbox.folder import names_of
from listener.inbox.reader import InboxReader
from listener.model.delivery import FROM_BROKER, SHARED_WITH_BROKER
from listener.model.entry import Entry, Run
from listener.rabbitmq.acknowledgement import WhenActed
from listener.rabbitmq.messages import read_message
from listener.rabbitmq.writer import Batch, Writer
from listener.state.filters import Filters
from listener.state.journal import Journal
from listener.supervisord.emit import WAKE_UP, enframe
from tests.listening import notification


def test_at_the_end_nothing_is_begun_any_more_wherever_it_waits(tmp_path: Path) -> None:
    for source in (FROM_BROKER, SHARED_WITH_BROKER):
        whole_file.add(str(tmp_path), source, ["{}"])
    with closing(Journal(str(tmp_path))) as journal, closing(WhenActed(str(tmp_path))) as acted:
        for source in (FROM_BROKER, SHARED_WITH_BROKER):
            journal.accept(Entry(0, 0.0, source, "pending", "{}", runs=(Run("h", "f.f", "pending"),)))
        acted.end()
        entries = {entry.source: entry.state for entry in journal.newest(Filters(), 9)}
    assert entries == {FROM_BROKER: "pending", SHARED_WITH_BROKER: "dropped"}
    assert names_of(str(tmp_path), SHARED_WITH_BROKER) == []
    assert len(names_of(str(tmp_path), FROM_BROKER)) == 1


def test_what_is_no_notification_stays_for_the_history_since_it_is_acknowledged(tmp_path: Path) -> None:
    bodies = [notification().encode(), b"no notification", notification().encode()]
    messages = [read_message(tag, body, None) for tag, body in enumerate(bodies)]
    connection = Mock(is_usable=True)
    with closing(WhenActed(str(tmp_path))) as acted, open(os.devnull, "wb") as nowhere:
        writer = Writer(nowhere.fileno())
        writer.put(Batch(messages, connection, acted, str(tmp_path)))
        writer.close(30)
        acted.end()
    connection.acknowledge.assert_called_once_with(1)
    with closing(InboxReader(str(tmp_path))) as reader:
        assert [[record.payload for record in batch] for batch in reader.read_new()] == [
            ["no notification"]
        ]


def test_its_frames_say_nothing_that_could_be_begun_after_the_end(tmp_path: Path) -> None:
    with closing(WhenActed(str(tmp_path))) as acted:
        assert acted.frames([read_message(1, b"{}", None)]) == enframe(WAKE_UP)
