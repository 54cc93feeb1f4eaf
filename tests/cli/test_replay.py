"""replay: what was not done is done, by the listener that works or by the command itself."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from listener.hooks.file import load
from listener.model.entry import Attempt, Entry, Run
from listener.state.journal import Journal
from tests.cli.commands import COMMAND, answer, failed, run, state_of, store, waiting
from tests.support import event, uncounted_env, wait_for
from tests.users import NOBODY

FUNCTIONS = """
import os, time
def note(context, text="noted"):
    with open(__file__ + ".notes", "a") as notes:
        notes.write(text + " " + str(context["execution_id"]) + "\\n")
def fail(context):
    note(context, "failing")
    raise ValueError("as it should")
def slow(context):
    note(context, "slow")
    while not os.path.exists(__file__ + ".go"):
        time.sleep(0.005)
def token(context):
    note(context, repr(context["rest_token"]))
def failure(context):
    note(context, context["hook"] + " failed for")
"""

PAGE = {"name": "page", "event_type": "workflow_failed", "implementation": "test_functions.note"}
TRAP = {**PAGE, "name": "trap", "inputs": {"text": "trapped"}}
FAILING = {**PAGE, "implementation": "test_functions.fail"}
SLOW = {**PAGE, "implementation": "test_functions.slow"}


class Place:
    """A folder with hooks.conf, the functions it names, and a state directory with a journal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "hooks.conf"
        self.notes_file = folder / "test_functions.py.notes"
        (folder / "test_functions.py").write_text(FUNCTIONS)
        (folder / "state").mkdir(0o700)
        self.journal = Journal(str(folder / "state"))
        self.journal.unsettled()  # makes it

    def hooks(self, *hooks: dict[str, Any]) -> None:
        listener = {"python_path": [str(self.folder)]}
        self.config.write_text(json.dumps({"listener": listener, "hooks": hooks}))

    def mark(self, position: int) -> int:
        """By which a hook of the file, counted from 0, is known again without a name."""
        table = load(self.folder / "hooks.conf", {}).table
        assert table
        return table.hooks[position].mark

    def notes(self) -> list[str]:
        """What the functions have noted, in that order."""
        return self.notes_file.read_text().splitlines() if self.notes_file.exists() else []

    def let_slow_ones_end(self) -> None:
        (self.folder / "test_functions.py.go").touch()

    def entry(self, entry_id: int) -> Entry:
        entry = self.journal.get(entry_id)
        assert entry
        return entry

    def states(self, entry_id: int) -> list[tuple[str, str, int]]:
        """The hook, the state and the number of attempts of each run."""
        return [(run.hook, run.state, len(run.attempts)) for run in self.entry(entry_id).runs]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    place = Place(tmp_path)
    monkeypatch.setenv("CONDUCTOR_HOOKS_CONFIG", str(place.config))
    yield place
    place.journal.close()


class Listener:
    """`listen`, with a pipe for the events that supervisord would send."""

    def __init__(self, place: Place) -> None:
        self._serial = 0
        with open(place.folder / "log", "ab") as log:
            pipe: Any = subprocess.PIPE
            command = [*COMMAND, "listen"]
            self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"READY\n"
        self.send()  # what it finds at its start is behind it then

    def send(self, eventname: str = "TICK_5", payload: str = "when:1700000000") -> None:
        """An event, of which the answer is waited for; retries that are due come after it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._serial += 1
        self.process.stdin.write(event(payload, serial=self._serial, eventname=eventname))
        self.process.stdin.flush()
        assert self.process.stdout.read(17) == b"RESULT 2\nOKREADY\n"

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self.process.wait()


@contextlib.contextmanager
def replaying(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`replay`, while it goes on."""
    pipe: Any = subprocess.PIPE
    command = [*COMMAND, "replay", *arguments]
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit status, answer and errors."""
    output, errors = process.communicate(timeout=20)
    return process.returncode, output, errors


def interrupted(hook: str = "page") -> Run:
    attempts = (Attempt(1_700_000_000.0),)
    return Run(hook, "test_functions.note", "interrupted", attempts=attempts)


def was(state: Any, hook: str = "page") -> Run:
    attempts = (Attempt(1_700_000_000.0, state, "", 0.5),)
    return Run(hook, "test_functions.note", state, 0.0, int(state == "failed"), attempts)


# Without a listener


def test_what_was_not_done_is_done_and_nothing_else(place: Place) -> None:
    place.hooks(
        TRAP,
        {**PAGE, "name": "mail", "inputs": {"text": "mailed"}},
        {**PAGE, "name": "call", "inputs": {"text": "called"}},
        {**PAGE, "name": "other", "event_type": "workflow_started"},
    )
    runs = (was("done", "trap"), was("failed", "mail"), interrupted("call"))
    entry_id = store(place.journal, "failed", runs=runs)
    other = store(place.journal, "failed", runs=runs, execution="e-2")

    result = run("replay", str(entry_id), "--output", "json")

    [shown] = answer(result)
    assert place.notes() == ["mailed e-1", "called e-1"]
    assert place.states(entry_id) == [("trap", "done", 1), ("mail", "done", 2), ("call", "done", 2)]
    assert (shown["id"], shown["state"]) == (entry_id, "done")
    assert [ran["state"] for ran in shown["runs"]] == ["done"] * 3
    assert f"with {place.config} as it is now: to run are 2 hooks of 1 entry" in result.stderr
    assert "the hook implementation is: `test_functions.note`" in result.stderr
    assert state_of(place.journal, other) == "failed"


def test_what_was_done_is_done_again_only_if_that_is_asked_for(place: Place) -> None:
    place.hooks(TRAP, PAGE)
    runs = (was("done", "trap"), was("done", "page"))
    entry_id = store(place.journal, "done", runs=runs)

    nothing = run("replay", str(entry_id))
    assert (nothing.returncode, place.notes()) == (0, [])
    assert "there is nothing to run" in nothing.stderr

    everything = run("replay", str(entry_id), "--all-actions")
    assert (everything.returncode, place.notes()) == (0, ["trapped e-1", "noted e-1"])
    assert place.states(entry_id) == [("trap", "done", 2), ("page", "done", 2)]


def test_what_fails_again_is_exit_1_and_says_why(place: Place) -> None:
    place.hooks(FAILING, TRAP)
    entry_id = store(place.journal, "failed", runs=(was("failed"), was("failed", "trap")))
    result = run("replay", str(entry_id))
    assert result.returncode == 1
    assert "ValueError: as it should" in result.stdout
    assert place.notes() == ["failing e-1", "trapped e-1"]
    assert place.states(entry_id) == [("page", "failed", 2), ("trap", "done", 2)]
    assert state_of(place.journal, entry_id) == "failed"


def test_a_corrected_hook_is_run_as_it_is_now(place: Place) -> None:
    place.hooks(PAGE)
    wrong = failed(implementation="test_functions.nod", error="no function named 'nod'")
    entry_id = store(place.journal, "failed", runs=(wrong,))
    [shown] = answer(run("replay", str(entry_id), "--output", "json"))
    assert place.notes() == ["noted e-1"]
    assert shown["runs"][0]["implementation"] == "test_functions.note"
    assert place.states(entry_id) == [("page", "done", 2)]


def test_a_hook_that_was_added_since_is_run_too(place: Place) -> None:
    place.hooks(TRAP, PAGE)
    entry_id = store(place.journal, "failed", runs=(was("failed"),))
    done = store(place.journal, "done", runs=(was("done"),), execution="e-2")
    assert run("replay", str(entry_id), str(done)).returncode == 0
    assert sorted(place.notes()) == ["noted e-1", "trapped e-1", "trapped e-2"]
    assert dict(state[:2] for state in place.states(done)) == {"page": "done", "trap": "done"}


def test_hooks_are_replayed_in_the_order_of_the_file(place: Place) -> None:
    place.hooks(TRAP, PAGE)
    entry_id = store(place.journal, "failed", runs=(was("failed"),))
    assert run("replay", str(entry_id)).returncode == 0
    assert place.notes() == ["trapped e-1", "noted e-1"]


def test_an_entry_that_no_hook_matched_is_run_when_one_does_now(place: Place) -> None:
    place.hooks(PAGE)
    entry_id = store(place.journal, "ignored")
    assert run("replay", str(entry_id)).returncode == 0
    assert place.notes() == ["noted e-1"]
    assert state_of(place.journal, entry_id) == "done"


def test_what_was_dropped_can_be_replayed(place: Place) -> None:
    place.hooks(PAGE)
    entry_id = store(place.journal, "dropped", runs=(waiting(),))
    assert run("replay", str(entry_id)).returncode == 0
    assert state_of(place.journal, entry_id) == "done"


def test_a_hook_that_was_removed_since_is_not_run(place: Place) -> None:
    place.hooks(TRAP, {**PAGE, "enabled": False})
    entry_id = store(place.journal, "failed", runs=(was("failed"), was("failed", "trap")))
    alone = store(place.journal, "failed", runs=(was("failed"),))
    result = run("replay", str(entry_id), str(alone), "--all-actions")
    assert "hooks of 2 entries" in result.stderr
    assert place.notes() == ["trapped e-1"] * 2
    assert sorted(place.states(entry_id)) == [("page", "failed", 1), ("trap", "done", 2)]


def test_a_hook_that_was_removed_since_is_told_of(place: Place) -> None:
    place.hooks(TRAP)
    entry_id = store(place.journal, "failed", runs=(was("failed"),))
    result = run("replay", "--failed")
    assert re.search(rf"entry {entry_id}\b.*page.* no longer in ", result.stderr)


def test_hooks_without_names_are_known_when_another_was_put_before_them(place: Place) -> None:
    trap, page = ({k: v for k, v in hook.items() if k != "name"} for hook in (TRAP, PAGE))
    trap = {**trap, "implementation": "test_functions.token"}
    added = {**trap, "implementation": "test_functions.note", "inputs": {"text": "added"}}
    trap.pop("inputs")
    place.hooks(added, trap, page)
    attempt = Attempt(1_700_000_000.0, "done")
    runs = (
        Run("workflow_failed-1", "test_functions.token", "done", 0.0, 0, (attempt,), place.mark(1)),
        Run(
            "workflow_failed-2",
            "test_functions.note",
            "failed",
            0.0,
            1,
            (attempt,),
            place.mark(2),
        ),
    )
    entry_id = store(place.journal, "failed", runs=runs)
    assert run("replay", str(entry_id)).returncode == 0
    assert sorted(place.notes()) == ["added e-1", "noted e-1"]


def test_a_hook_of_another_name_is_another_hook_though_it_calls_the_same_function(place: Place) -> None:
    place.hooks({**PAGE, "name": "first"}, {**PAGE, "name": "second", "inputs": {"text": "added"}})
    replaced = store(place.journal, "done", runs=(was("done", "removed"),))
    second = store(place.journal, "done", runs=(was("done", "first"),), execution="e-2")
    assert run("replay", str(replaced), str(second)).returncode == 0
    assert place.notes() == ["noted e-1", "added e-1", "added e-2"]


def test_two_hooks_without_names_that_call_the_same_function_are_not_mixed_up(place: Place) -> None:
    first, second, added = (
        {"event_type": "workflow_failed", "implementation": f"test_functions.{name}", "inputs": inputs}
        for name, inputs in (("note", {"text": "first"}), ("note", {"text": "second"}), ("fail", {}))
    )
    place.hooks(added, first, second)
    runs = (
        msgspec.structs.replace(was("done", "workflow_failed-1"), mark=place.mark(1)),
        msgspec.structs.replace(was("failed", "workflow_failed-2"), mark=place.mark(2)),
    )
    entry_id = store(place.journal, "failed", runs=runs)
    assert run("replay", str(entry_id)).returncode == 1
    assert place.notes() == ["failing e-1", "second e-1"]


@pytest.mark.parametrize("state", ["pending", "running"])
def test_what_is_still_to_be_run_is_refused(place: Place, state: str) -> None:
    place.hooks(PAGE)
    repaired = store(place.journal, "failed", runs=(was("failed"),))
    unsettled = waiting() if state == "pending" else Run("page", "m.page").begun(1_700_000_000.0)
    entry_id = store(place.journal, state, runs=(unsettled,))
    before = place.entry(entry_id)
    result = run("replay", str(repaired), str(entry_id))
    assert (result.returncode, result.stdout, place.notes()) == (2, "", [])
    assert f"entry {entry_id} is {state}: it will be run in any case" in result.stderr
    assert place.entry(entry_id) == before
    assert state_of(place.journal, repaired) == "failed"


@pytest.mark.parametrize("state", ["unreadable", "dropped"])
def test_what_is_no_notification_is_refused(place: Place, state: str) -> None:
    place.hooks(PAGE)
    entry_id = store(place.journal, state, event_type=None)
    result = run("replay", str(entry_id))
    assert (result.returncode, result.stdout) == (2, "")
    assert f"entry {entry_id} is {state}: there is no notification to replay" in result.stderr


def test_all_that_failed_is_replayed_oldest_first(place: Place) -> None:
    place.hooks(PAGE)
    now = time.time()
    for state, age_s, name in (
        ("failed", 9000, "old"),
        ("interrupted", 5000, "second"),
        ("failed", 60, "third"),
        ("dropped", 50, "dropped"),
        ("ignored", 40, "ignored"),
        ("unreadable", 30, "unreadable"),
        ("done", 20, "done"),
        ("pending", 10, "pending"),
    ):
        last = {"failed": was("failed"), "interrupted": interrupted(), "pending": waiting()}
        runs = (last[state],) if state in last else ()
        store(place.journal, state, runs=runs, received_at=now - age_s, execution=name)

    lately = run("replay", "--failed", "--since", "2h")
    assert (lately.returncode, place.notes()) == (0, ["noted second", "noted third"])

    rest = run("replay", "--failed")
    assert (rest.returncode, place.notes()[2:]) == (0, ["noted old"])

    nothing = run("replay", "--failed", "--output", "json")
    assert (answer(nothing), len(place.notes())) == ([], 3)


@pytest.mark.parametrize(("number", "asked"), [(10, False), (11, True)])
def test_more_than_ten_are_asked_for(place: Place, number: int, asked: bool) -> None:
    place.hooks(PAGE)
    for _ in range(number):
        store(place.journal, "failed", runs=(was("failed"),))
    result = run("replay", "--failed", stdin="")
    assert ("go on?" in result.stderr, bool(result.returncode)) == (asked, asked)
    assert ("where there is no terminal, add --yes" in result.stderr) == asked
    assert "go on?" not in result.stdout
    assert len(place.notes()) == (0 if asked else number)


def test_what_was_replayed_by_another_while_the_question_waited_is_not_done_twice(place: Place) -> None:
    place.hooks(PAGE)
    first, *others = (
        store(place.journal, "failed", runs=(was("failed"),), execution=f"e-{number}")
        for number in range(11)
    )
    command = [*COMMAND, "replay", "--failed"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as asking:
        assert asking.stderr
        said = ""
        while "go on?" not in said:
            said += asking.stderr.read(1)
        assert run("replay", str(first)).returncode == 0
        before = place.journal.get(first)
        out, err = asking.communicate("y\n", timeout=30)
    assert asking.returncode == 0, err
    assert f"entry {first} has gone on meanwhile, and is left as it is" in err
    assert place.notes() == [f"noted e-{number}" for number in range(11)]
    assert place.journal.get(first) == before
    assert sorted(int(line.split()[0]) for line in out.splitlines()[1:]) == others


@pytest.mark.parametrize(
    ("arguments", "said", "is_done"),
    [([], "y\n", True), ([], "n\n", False), ([], "\n", False), (["--yes"], "", True)],
    ids=["y", "n", "nothing", "--yes"],
)
def test_nothing_changes_before_the_answer_is_yes(
    place: Place, arguments: list[str], said: str, is_done: bool
) -> None:
    place.hooks(PAGE)
    entry_ids = [store(place.journal, "failed", runs=(was("failed"),)) for _ in range(12)]
    result = run("replay", "--failed", *arguments, stdin=said)
    assert "to run are 12 hooks of 12 entries" in result.stderr
    assert (result.returncode == 0) is is_done
    assert len(place.notes()) == (12 if is_done else 0)
    assert {state_of(place.journal, i) for i in entry_ids} == {"done" if is_done else "failed"}


@pytest.mark.parametrize(
    "arguments",
    [[], ["1", "--failed"], ["1", "--since", "2h"], ["--since", "2h"], ["x"], ["1", "--all"]],
    ids=" ".join,
)
def test_wrong_usage_is_exit_2_and_runs_nothing(place: Place, arguments: list[str]) -> None:
    place.hooks(PAGE)
    store(place.journal, "failed", runs=(was("failed"),))
    result = run("replay", *arguments)
    assert (result.returncode, result.stdout, place.notes()) == (2, "", [])
    assert "Usage: conductor-hooks replay" in result.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "does not exist; name a hooks.conf with --config"), ("hooks: [", "no valid YAML")],
    ids=["none", "broken"],
)
def test_without_a_good_hooks_conf_nothing_is_replayed(
    place: Place, text: str | None, said: str
) -> None:
    if text is not None:
        place.config.write_text(text)
    entry_id = store(place.journal, "failed", runs=(was("failed"),))
    result = run("replay", str(entry_id))
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr
    assert state_of(place.journal, entry_id) == "failed"


def test_the_hooks_conf_that_is_named_is_taken(place: Place) -> None:
    place.hooks(FAILING)
    place.config.rename(place.folder / "other.conf")
    place.hooks(PAGE)
    entry_id = store(place.journal, "failed", runs=(was("failed"),))
    result = run("replay", str(entry_id), "--config", "other.conf", cwd=place.folder)
    assert (result.returncode, place.notes()) == (1, ["failing e-1"])
    assert f"with {place.folder}/other.conf as it is now" in result.stderr


def test_the_token_of_a_replayed_notification_is_empty(place: Place) -> None:
    place.hooks({**PAGE, "implementation": "test_functions.token"})
    context = {"execution_id": "e-1", "rest_token": ""}
    text = json.dumps({"event_type": "workflow_failed", "context": context})
    entry_id = store(place.journal, "failed", runs=(was("failed"),), text=text)
    assert run("replay", str(entry_id)).returncode == 0
    assert place.notes() == ["'' e-1"]


def test_retries_begin_anew_and_are_left_to_the_listener(place: Place) -> None:
    place.hooks({**FAILING, "retries": 2})
    spent = Run("page", "test_functions.fail", "failed", 0.0, 3, (Attempt(1_700_000_000.0, "failed"),))
    entry_id = store(place.journal, "failed", runs=(spent,))
    result = run("replay", str(entry_id))
    assert (result.returncode, place.notes()) == (1, ["failing e-1"])
    assert place.states(entry_id) == [("page", "pending", 2)]
    assert place.entry(entry_id).runs[0].failures == 1


def test_an_entry_that_is_named_twice_is_replayed_once(place: Place) -> None:
    place.hooks(PAGE)
    entry_id = store(place.journal, "failed", runs=(was("failed"),))
    result = run("replay", str(entry_id), str(entry_id))
    assert (result.returncode, place.notes()) == (0, ["noted e-1"])


def test_what_follows_from_a_failure_is_run_too(place: Place) -> None:
    tell = {"name": "tell", "event_type": "hook_failed", "implementation": "test_functions.failure"}
    place.hooks(FAILING, tell)
    entry_id = store(place.journal, "failed", runs=(was("failed"),))
    assert run("replay", str(entry_id)).returncode == 1
    assert place.notes() == ["failing e-1", "page failed for e-1"]


def test_without_a_listener_there_is_nothing_to_wait_for_and_a_failure_is_exit_1(place: Place) -> None:
    place.hooks(FAILING)
    entry_id = store(place.journal, "failed", runs=(was("failed"),))
    result = run("replay", str(entry_id), "--no-wait")
    assert (result.returncode, place.notes()) == (1, ["failing e-1"])


def test_while_replay_runs_hooks_itself_a_listener_is_refused(place: Place) -> None:
    place.hooks(SLOW)
    entry_id = store(place.journal, "failed", runs=(was("failed"),))
    with replaying(str(entry_id)) as process:
        wait_for("the hook to begin", place.notes)
        assert state_of(place.journal, entry_id) == "running"
        refused = run("listen", "--config", str(place.config))
        second = run("replay", str(entry_id))
        place.let_slow_ones_end()
        status, _, _ = ended(process)
    assert (status, state_of(place.journal, entry_id)) == (0, "done")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"process {process.pid} works in the state directory {place.folder}/state" in refused.stderr
    assert second.returncode == 2
    assert "is running: it will be run in any case" in second.stderr
    assert place.notes() == ["slow e-1"]


def test_a_replay_that_is_killed_leaves_what_the_next_listener_needs(place: Place) -> None:
    place.hooks({**SLOW, "repeatable": True})
    first, second = (
        store(place.journal, "failed", runs=(was("failed"),), execution=name) for name in ("a", "b")
    )
    with replaying(str(first), str(second)) as process:
        wait_for("the hook to begin", place.notes)
        process.kill()
        process.wait(timeout=10)
        place.let_slow_ones_end()
        with Listener(place) as listener:
            listener.send()
            wait_for("both", lambda: state_of(place.journal, second) == "done")
    assert state_of(place.journal, first) == "done"
    assert place.notes() == ["slow a", "slow a", "slow b"]


# With a listener


def test_the_listener_that_works_does_it_and_replay_waits_for_the_end(place: Place) -> None:
    place.hooks(SLOW, TRAP)
    entry_id = store(place.journal, "failed", runs=(was("failed"), was("done", "trap")))
    with Listener(place) as listener, replaying(str(entry_id), "--output", "json") as process:
        wait_for("the plan", lambda: state_of(place.journal, entry_id) == "pending")
        assert place.notes() == []
        listener.send()
        wait_for("the hook to begin", place.notes)
        assert process.poll() is None
        place.let_slow_ones_end()
        status, output, errors = ended(process)
    [shown] = json.loads(output)
    assert (status, shown["state"]) == (0, "done")
    assert place.notes() == ["slow e-1"]
    assert place.states(entry_id) == [("page", "done", 2), ("trap", "done", 1)]
    assert "hook implementation" not in errors
    assert "hook page: done in" in (place.folder / "log").read_text()


def test_the_listener_takes_hooks_conf_as_it_is_now(place: Place) -> None:
    place.hooks(FAILING)
    wrong = failed(implementation="test_functions.fail")
    entry_id = store(place.journal, "failed", runs=(wrong,))
    with Listener(place) as listener:
        listener.send()
        place.hooks(TRAP, PAGE)
        with replaying(str(entry_id)) as process:
            wait_for("the plan", lambda: state_of(place.journal, entry_id) == "pending")
            listener.send()
            status, _, _ = ended(process)
    assert status == 0
    assert sorted(place.notes()) == ["noted e-1", "trapped e-1"]


@pytest.mark.parametrize("retries", [0, 3])
def test_what_fails_again_in_the_listener_is_exit_1_after_one_attempt(
    place: Place, retries: int
) -> None:
    place.hooks({**FAILING, "retries": retries}, TRAP)
    runs = (was("failed"), was("failed", "trap"))
    first, second = (
        store(place.journal, "failed", runs=runs, execution=name) for name in ("e-1", "e-2")
    )
    with Listener(place) as listener, replaying("--failed", "--output", "json") as process:
        wait_for("the plan", lambda: state_of(place.journal, second) == "pending")
        listener.send()
        status, output, _ = ended(process)
    assert status == 1
    assert [shown["id"] for shown in json.loads(output)] == [first, second]
    assert [shown["runs"][1]["state"] for shown in json.loads(output)] == ["done", "done"]
    assert json.loads(output)[0]["runs"][0]["error"] == "ValueError: as it should"
    assert {"failing e-1", "failing e-2", "trapped e-1", "trapped e-2"} <= {*place.notes()}


def test_without_waiting_it_is_left_to_the_listener(place: Place) -> None:
    place.hooks(FAILING)
    entry_id = store(place.journal, "failed", runs=(was("failed"),))
    with Listener(place) as listener:
        [shown] = answer(run("replay", str(entry_id), "--no-wait", "--output", "json"))
        assert (shown["state"], place.notes()) == ("pending", [])
        listener.send()
        wait_for("the end", lambda: state_of(place.journal, entry_id) == "failed")
    assert place.notes() == ["failing e-1"]


def test_a_replayed_entry_is_run_before_a_later_event_of_its_execution(place: Place) -> None:
    place.hooks(PAGE, {**PAGE, "name": "new", "event_type": "workflow_started"})
    entry_id = store(place.journal, "ignored")
    with Listener(place) as listener:
        assert run("replay", str(entry_id), "--no-wait").returncode == 0
        listener.send()
        payload = '{"event_type": "workflow_started", "context": {"execution_id": "e-1"}}'
        listener.send("PROCESS_COMMUNICATION_STDOUT", payload)
        wait_for("both", lambda: len(place.notes()) == 2)
    assert state_of(place.journal, entry_id) == "done"


def test_when_the_listener_is_killed_replay_says_what_becomes_of_the_rest(place: Place) -> None:
    place.hooks({**SLOW, "repeatable": True})
    first, second = (
        store(place.journal, "failed", runs=(was("failed"),), execution=name) for name in ("a", "b")
    )
    with Listener(place) as listener, replaying(str(first), str(second)) as process:
        wait_for("the plan", lambda: state_of(place.journal, second) == "pending")
        listener.send()
        wait_for("the hook to begin", place.notes)
        listener.process.kill()
        status, output, errors = ended(process)
    assert (status, output) == (2, "")
    assert errors.splitlines()[-1] == (
        "Error: the listener has ended; what was not run yet, it runs when it starts again"
    )
    place.let_slow_ones_end()
    with Listener(place) as listener:
        listener.send()
        wait_for("both", lambda: state_of(place.journal, second) == "done")
    assert place.notes() == ["slow a", "slow a", "slow b"]


def test_ctrl_c_ends_the_waiting_and_not_the_replay(place: Place) -> None:
    place.hooks(PAGE)
    entry_id = store(place.journal, "failed", runs=(was("failed"),))
    with Listener(place) as listener:
        with replaying(str(entry_id)) as process:
            wait_for("the plan", lambda: state_of(place.journal, entry_id) == "pending")
            process.send_signal(signal.SIGINT)
            status, output, errors = ended(process)
        assert "Traceback" not in errors
        assert (status, output) == (1, "")
        listener.send()
        wait_for("the end", lambda: state_of(place.journal, entry_id) == "done")
    assert place.notes() == ["noted e-1"]


def test_a_listener_with_work_of_its_own_does_both_once(place: Place) -> None:
    place.hooks(PAGE)
    names = [f"old-{number}" for number in range(8)]
    for name in names:
        store(place.journal, "failed", runs=(was("failed"),), execution=name)
    with Listener(place) as listener, replaying("--failed") as process:
        wait_for("the plan", lambda: state_of(place.journal, len(names)) == "pending")
        for number in range(8):
            context = {"execution_id": f"new-{number}"}
            payload = json.dumps({"event_type": "workflow_failed", "context": context})
            listener.send("PROCESS_COMMUNICATION_STDOUT", payload)
            listener.send()
        status, _, errors = ended(process)
    assert status == 0, errors
    assert sorted(place.notes()) == sorted(
        f"noted {kind}-{n}" for kind in ("old", "new") for n in range(8)
    )
    assert [note for note in place.notes() if "old" in note] == [f"noted {name}" for name in names]


def test_without_a_listener_root_runs_hooks_with_the_rights_of_the_owner(nobodys: Path) -> None:
    state = nobodys / "state"
    store(Journal(str(state)), "failed", runs=(was("failed"),))
    (state / "who.py").write_text(
        "import os\ndef note(context):\n    return os.getresuid() + os.getresgid()\n"
    )
    hooks = [{**PAGE, "implementation": "who.note"}]
    config = nobodys / "hooks.conf"
    config.write_text(json.dumps({"listener": {"python_path": [str(state)]}, "hooks": hooks}))

    def replayed() -> subprocess.CompletedProcess[str]:
        words = ["replay", "1", "--config", str(config), "--state-dir", str(state)]
        command = [str(nobodys / "venv/bin/python"), "-m", "listener", *words]
        options: dict[str, Any] = {"cwd": "/", "env": uncounted_env(), "text": True}
        return subprocess.run(command, check=False, capture_output=True, **options)

    config.chmod(0o600)
    refused = replayed()
    assert refused.returncode == 2
    assert f"{config} cannot be read" in refused.stderr
    assert state_of(Journal(str(state)), 1) == "failed"

    config.chmod(0o644)
    result = replayed()
    assert result.returncode == 0, result.stderr
    entry = Journal(str(state)).get(1)
    assert entry is not None
    assert entry.runs[0].attempts[-1].text == f"returned {(NOBODY,) * 6}"
    assert {path.stat().st_uid for path in state.iterdir()} == {NOBODY, 0}
