"""What `acknowledge: acted` leaves to other hosts when its connection is over. None needs a broker."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from listener.inbox import whole_file
from listener.inbox.folder import names_of
from listener.model.delivery import FROM_BROKER, SHARED_WITH_BROKER
from listener.model.entry import Entry, Run
from listener.rabbitmq.acknowledgement import WhenActed
from listener.rabbitmq.messages import read_message
from listener.state.journal import Filters, Journal
from listener.supervisord.emit import WAKE_UP, enframe


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


def test_its_frames_say_nothing_that_could_be_begun_after_the_end(tmp_path: Path) -> None:
    with closing(WhenActed(str(tmp_path))) as acted:
        assert acted.frames([read_message(1, b"{}", None)]) == enframe(WAKE_UP)
