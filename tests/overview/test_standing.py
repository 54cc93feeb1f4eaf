"""How the listener stands, read from a state directory and asked of a real supervisord."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from listener.inbox.runs import run_of
from listener.model.entry import Run
from listener.overview.judgement import judge
from listener.overview.standing import InHand, Standing, stand
from listener.rabbitmq.presence import read_presence as forwarder_of
from listener.rabbitmq.presence import say_present as say_forwarder
from listener.state import directory
from listener.state.hold import HELD
from listener.state.journal import FILE, Journal
from listener.supervisord.presence import Presence, say_present
from tests.end_to_end.real_supervisord import running
from tests.state.entries import entry
from tests.support import wait_for

NOW = 1_700_000_000.0
HERE = Presence(run_of(os.getpid()), "0.1.0", NOW - 60, "/none/hooks.conf")
HOOKS = "hooks: [{name: page, event_type: '*', implementation: m.page, timeout: 20}]"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal(str(tmp_path))) as journal:
        yield journal


def standing(journal: Journal, folder: Path) -> Standing:
    return stand(journal, str(folder), None, NOW)


def test_a_journal_that_no_listener_has_used_yet(journal: Journal, tmp_path: Path) -> None:
    found = standing(journal, tmp_path)
    assert (found.listener, found.is_running, found.forwarder, found.in_hand) == (None, False, None, ())
    assert found.process.why_not == "no supervisord has started the last listener"


def test_a_process_alone_is_no_listener_it_has_to_own_the_state_directory(
    journal: Journal, tmp_path: Path
) -> None:
    say_present(journal, HERE, NOW - 2, "")
    assert not standing(journal, tmp_path).is_running
    fd = directory.lock(str(tmp_path))
    found = standing(journal, tmp_path)
    os.close(fd)
    assert found.is_running
    assert found.listener is not None
    assert (found.listener.heard_at, found.table) == (NOW - 2, None)


@pytest.mark.parametrize(("text", "deadline_at"), [(HOOKS, NOW + 15), ("hooks: [", None)])
def test_a_hook_in_hand_has_the_deadline_that_hooks_conf_gives(
    journal: Journal, tmp_path: Path, text: str, deadline_at: float | None
) -> None:
    (tmp_path / "hooks.conf").write_text(text)
    say_present(journal, Presence(HERE.run, "", NOW, str(tmp_path / "hooks.conf")), NOW, "")
    run = Run("page", "m.page").begun(NOW - 5)
    journal.accept(entry(state="running", runs=(run,), event_type="workflow_failed"))
    [in_hand] = standing(journal, tmp_path).in_hand
    assert in_hand == InHand(1, "workflow_failed", "page", "m.page", NOW - 5, deadline_at)


def test_a_forwarder_leaves_what_it_said_last(tmp_path: Path) -> None:
    assert forwarder_of(str(tmp_path)) is None
    say_forwarder(str(tmp_path), "no route", NOW, is_trouble=True)
    found = forwarder_of(str(tmp_path))
    assert found is not None
    assert (found.pid, found.said, found.is_trouble) == (os.getpid(), "no route", True)
    assert found.is_alive
    (tmp_path / "forwarder.json").write_text("{")
    assert forwarder_of(str(tmp_path)) is None
    say_forwarder(str(tmp_path / "none"), "no route", NOW, is_trouble=True)


def test_all_is_well_with_the_shipped_section_under_a_real_supervisord() -> None:
    folder = os.environ["CONDUCTOR_HOOKS_STATE_DIR"]
    with running("hooks: []") as supervisord, closing(Journal(folder)) as journal:

        def heard() -> bool:
            listener = stand(journal, folder, None, time.time()).listener
            return listener is not None and listener.heard_at > 0

        wait_for("a TICK_5", heard)
        found = stand(journal, folder, None, time.time())
        assert judge(found) == []
        assert (found.is_running, found.process.state, found.recorder) == (True, "RUNNING", None)
        assert found.listener is not None
        assert found.listener.pid == supervisord.pid()

        with closing(sqlite3.connect(os.path.join(folder, FILE))) as connection:
            connection.execute("BEGIN IMMEDIATE")
            wait_for("a hold", lambda: HELD in supervisord.log())
            [finding] = judge(stand(journal, folder, None, time.time()))
        assert f"ERROR {HELD}: " in finding.what

        say_present(journal, replace(found.listener, process="no:one"), NOW, "")
        why_not = stand(journal, folder, None, NOW).process.why_not
        assert why_not == "supervisord knows no no:one"
