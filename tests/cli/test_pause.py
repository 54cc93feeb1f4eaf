"""pause and resume: what a person reads and writes of a pause, with a listener and without one."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click
import pytest

from listener.cli.entries import until_option
from listener.model.entry import Run
from listener.state.journal import Journal
from tests.cli.commands import COMMAND, answer, failed, run, state_of, store
from tests.listening import Listener, Site, frame, site_in
from tests.support import event, wait_for

NOTE = "{name: note, event_type: '*', implementation: test_functions.told}"
OTHER = "{name: other, event_type: '*', implementation: test_functions.told}"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site:
        yield site


def until(value: str) -> float:
    parameter = click.Option(["--until"])
    found = until_option(click.Context(click.Command("pause")), parameter, value)
    assert found is not None
    return found


def asked(site: Site, listener: Listener, serial: int, *arguments: str) -> str:
    """What a verb prints for which the listener has to look at the journal: it gets a TICK_5."""
    with closing(Journal(str(site.state_dir))) as journal:
        journal.is_changed()
        pipe = subprocess.PIPE
        command = [*COMMAND, *arguments]
        with subprocess.Popen(command, env=site.env, stdout=pipe, stderr=pipe, text=True) as process:
            wait_for("the verb's note", journal.is_changed)
            listener.send(event("when:1", serial=serial, eventname="TICK_5"))
            shown, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    return shown


def test_until_is_the_next_time_of_day_a_duration_or_a_full_time() -> None:
    now = time.time()
    for hour in range(24):
        at = until(f"{hour:02d}:30")
        assert now < at <= time.time() + 86_400
        assert time.strftime("%H:%M:%S", time.gmtime(at)) == f"{hour:02d}:30:00"
    assert now + 7200 <= until("2h") <= time.time() + 7200
    full = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(now + 7200))
    assert until(full) == until(f"{full}Z") == (now + 7200) // 60 * 60
    for wrong in ("2020-01-31T23:59", "25:00", "6", "tomorrow", "0s", "999999999d"):
        with pytest.raises(click.BadParameter, match="write 06:00, 30m, 2h, 7d or"):
            until(wrong)


def test_a_running_listener_obeys_and_the_verbs_say_so(site: Site) -> None:
    listener = site.start(NOTE)
    listener.send(frame("e-1"))
    listener.wait_for_answers(1)
    shown = asked(site, listener, 2, "pause", "--comment", "relay\ndown", "--output", "json")
    assert json.loads(shown) == {
        **json.loads(shown), "hook": None, "comment": "relay\ndown", "until": None, "state": "in force"
    }  # fmt: skip
    listener.send(frame("e-2", serial=3))
    listener.wait_for_answers(3)
    assert site.states == ["done", "pending"]
    replayed = site.run("replay", "1", "--all-actions")
    assert ("; conductor-hooks resume\n" in replayed.stderr, replayed.returncode) == (True, 0)
    assert r"(relay\ndown); conductor-hooks resume" in site.run("history").stderr
    standing = site.run("status").stdout
    assert "\npaused      all hooks by " in standing
    assert "(relay\\ndown)\n" in standing
    assert standing.endswith("\nall is well; conductor-hooks resume ends the pause\n")

    shown = asked(site, listener, 4, "resume")
    assert shown == "resumed: what was kept runs in order\n"
    site.wait_for_states("done", "done")
    assert site.notes == ["workflow_started"] * 3
    assert site.run("history").stderr == ""
    nothing = site.run("resume")
    assert (nothing.returncode, nothing.stderr) == (1, "nothing is paused as a whole\n")


def test_a_listener_in_a_hook_obeys_later_and_one_that_starts_obeys_at_once(site: Site) -> None:
    slow = "{name: slow, event_type: '*', implementation: test_functions.slow}"
    listener = site.start(slow, OTHER)
    listener.send(frame("e-1"))
    wait_for("the hook", lambda: site.notes)
    shown = site.run("pause", "--hook", "other", "--until", "06:00").stdout
    assert shown.endswith("T06:00:00.000Z: in force when the hook that runs now has ended\n")
    listener.process.kill()
    listener.ended()
    assert site.run("pause").stdout.endswith(": in force when a listener starts: none runs now\n")

    listener = site.start(slow, OTHER)
    listener.wait_for_log("hook other is paused by")
    listener.wait_for_log(" WARNING paused by")
    resumed = site.run("resume", "--hook", "slow")
    assert resumed.returncode == 1
    assert resumed.stderr.startswith("hook slow is not paused; hook other is paused by")
    shown = asked(site, listener, 1, "resume", "--hook", "other", "--drop")
    assert shown == "resumed: what was kept is dropped\n"
    [entry] = site.entries
    assert [run.state for run in entry.runs] == ["running", "dropped"]


def test_a_hook_that_is_not_there_is_named_with_the_nearest(folder: Path, journal: Journal) -> None:
    result = run("pause", "--hook", "fial")
    wrong = f"Error: {folder}/hooks.conf has no hook 'fial'; did you mean 'fail'?\n"
    assert (result.returncode, result.stderr, result.stdout) == (2, wrong, "")
    assert run("resume").returncode == 1


def test_replay_says_what_is_paused_and_leaves_it_pending(folder: Path, journal: Journal) -> None:
    first = store(journal, "failed", runs=(failed("greet", implementation="test_functions.greet"),),
                  event_type="workflow_started")  # fmt: skip
    second = store(journal, "failed", runs=(failed("fail", implementation="test_functions.fail"),))
    run("pause", "--hook", "greet")
    result = run("replay", str(first), str(second), "--output", "json")
    assert result.returncode == 1
    assert [entry["state"] for entry in json.loads(result.stdout)] == ["pending", "failed"]
    assert "; conductor-hooks resume --hook greet\n" in result.stderr
    run("pause")
    assert run("replay", str(second)).returncode == 1
    assert [state_of(journal, each) for each in (first, second)] == ["pending", "pending"]


def test_without_a_listener_what_was_kept_is_dropped_by_the_verb_and_replay_can_run_it(
    folder: Path, journal: Journal
) -> None:
    run("pause")
    entry_id = store(journal, "pending", event_type="workflow_started",
                     runs=(Run("greet", "test_functions.greet"),))  # fmt: skip
    assert answer(run("resume", "--drop", "--output", "json"))["state"] == "ended"
    assert state_of(journal, entry_id) == "dropped"
    assert run("replay", str(entry_id)).returncode == 0
    assert state_of(journal, entry_id) == "done"
