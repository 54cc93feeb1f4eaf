"""replay: what was not done is done, by the listener that works or by the command itself."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from listener.model.entry import Attempt, Entry, Run
from listener.state.journal import Journal
from tests.cli.commands import COMMAND, THEN, answer, run, state_of, store, waiting
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
def failure(context):
    note(context, context["hook"] + " failed for")
"""

PAGE = {"name": "page", "event_type": "workflow_failed", "implementation": "test_functions.note"}
TRAP = {**PAGE, "name": "trap", "inputs": {"text": "trapped"}}
FAILING = {**PAGE, "implementation": "test_functions.fail"}
SLOW = {**PAGE, "implementation": "test_functions.slow", "repeatable": True}


class Place:
    """A folder with hooks.conf, the functions it names, and a state directory with a journal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "hooks.conf"
        self.notes_file = folder / "test_functions.py.notes"
        (folder / "test_functions.py").write_text(FUNCTIONS)
        (folder / "state").mkdir(0o700)
        self.journal = Journal(str(folder / "state"))

    def hooks(self, *hooks: dict[str, Any]) -> None:
        listener = {"python_path": [str(self.folder)]}
        self.config.write_text(json.dumps({"listener": listener, "hooks": hooks}))

    def store(self, *runs: Run, state: str = "failed", **options: Any) -> int:
        return store(self.journal, state, runs=runs, **options)

    def notes(self) -> list[str]:
        """What the functions have noted, in that order."""
        return self.notes_file.read_text().splitlines() if self.notes_file.exists() else []

    def let_slow_ones_end(self) -> None:
        (self.folder / "test_functions.py.go").touch()

    def entry(self, entry_id: int) -> Entry:
        entry = self.journal.get(entry_id)
        assert entry
        return entry

    def state(self, entry_id: int) -> str:
        return self.entry(entry_id).state

    def states(self, entry_id: int) -> list[tuple[str, str, int]]:
        """The hook, the state and the number of attempts of each run."""
        return [(run.hook, run.state, len(run.attempts)) for run in self.entry(entry_id).runs]

    def wait_for(self, entry_id: int, state: str) -> None:
        wait_for(f"entry {entry_id} to be {state}", lambda: self.state(entry_id) == state)


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
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str], said: str | None = None) -> tuple[int, str, str]:
    """Exit status, answer and errors."""
    output, errors = process.communicate(said, timeout=20)
    return process.returncode, output, errors


def was(state: Any, hook: str = "page") -> Run:
    attempts = (Attempt(THEN, state, "", 0.5),)
    return Run(hook, "test_functions.note", state, 0.0, int(state == "failed"), attempts)


# Without a listener


def test_what_was_not_done_is_done_and_nothing_else(place: Place) -> None:
    place.hooks(
        TRAP,
        {**PAGE, "name": "mail", "inputs": {"text": "mailed"}},
        {**PAGE, "name": "call", "inputs": {"text": "called"}},
        {**PAGE, "name": "other", "event_type": "workflow_started"},
    )
    runs = (was("done", "trap"), was("failed", "mail"), was("interrupted", "call"))
    entry_id, other = place.store(*runs), place.store(*runs, execution="e-2")

    result = run("replay", str(entry_id), str(entry_id), "--output", "json")

    [shown] = answer(result)
    assert place.notes() == ["mailed e-1", "called e-1"]
    assert place.states(entry_id) == [("trap", "done", 1), ("mail", "done", 2), ("call", "done", 2)]
    assert (shown["id"], shown["state"]) == (entry_id, "done")
    assert [ran["state"] for ran in shown["runs"]] == ["done"] * 3
    assert f"with {place.config} as it is now: 2 hooks of 1 entry to run" in result.stderr
    assert "the hook implementation is: `test_functions.note`" in result.stderr
    assert place.state(other) == "failed"


def test_the_answer_comes_after_the_log(place: Place) -> None:
    place.hooks(PAGE)
    entry_id = place.store(was("failed"))
    both = subprocess.check_output(
        [*COMMAND, "replay", str(entry_id)], stderr=subprocess.STDOUT, text=True
    )
    lines = both.splitlines()
    assert lines[-1].startswith(f"{entry_id}  ")
    assert "hook page: done" in lines[-3]


def test_what_was_done_is_done_again_only_if_that_is_asked_for(place: Place) -> None:
    place.hooks(TRAP, PAGE)
    entry_id = place.store(was("done", "trap"), was("done"), state="done")

    nothing = run("replay", str(entry_id))
    assert (nothing.returncode, nothing.stdout, place.notes()) == (0, "", [])
    assert nothing.stderr.endswith("there is nothing to run\n")

    everything = run("replay", str(entry_id), "--all-actions")
    assert (everything.returncode, place.notes()) == (0, ["trapped e-1", "noted e-1"])
    assert place.states(entry_id) == [("trap", "done", 2), ("page", "done", 2)]


@pytest.mark.parametrize("options", [[], ["--no-wait"]])
def test_what_fails_again_is_exit_1_and_what_follows_from_that_is_run(
    place: Place, options: list[str]
) -> None:
    tell = {"name": "tell", "event_type": "hook_failed", "implementation": "test_functions.failure"}
    place.hooks(FAILING, TRAP, tell)
    entry_id = place.store(was("failed"), was("failed", "trap"))
    result = run("replay", str(entry_id), *options)
    assert result.returncode == 1
    assert "ValueError: as it should" in result.stdout
    assert place.notes() == ["failing e-1", "trapped e-1", "page failed for e-1"]
    assert place.states(entry_id) == [("page", "failed", 2), ("trap", "done", 2)]


def test_retries_begin_anew_and_are_left_to_the_listener(place: Place) -> None:
    place.hooks({**FAILING, "retries": 2})
    entry_id = place.store(Run("page", "test_functions.fail", "failed", failures=3))
    result = run("replay", str(entry_id))
    assert (result.returncode, place.notes()) == (1, ["failing e-1"])
    [left] = place.entry(entry_id).runs
    assert (left.state, left.failures) == ("pending", 1)


def test_hooks_run_as_they_are_in_the_file_now_and_in_its_order(place: Place) -> None:
    place.hooks(TRAP, PAGE)
    page = Run("page", "test_functions.wrong", "failed", attempts=(Attempt(THEN, "failed"),))
    entry_id = place.store(page)
    assert run("replay", str(entry_id)).returncode == 0
    assert place.notes() == ["trapped e-1", "noted e-1"]
    assert place.states(entry_id) == [("trap", "done", 1), ("page", "done", 2)]


def test_a_hook_that_was_removed_since_is_not_run_and_is_named(place: Place) -> None:
    place.hooks(TRAP, {**PAGE, "enabled": False})
    entry_id = place.store(was("failed"), was("failed", "trap"))
    alone = place.store(was("failed"))
    result = run("replay", str(entry_id), str(alone), "--all-actions")
    assert f"entry {alone}: {place.config} no longer has hook page for its event; " in result.stderr
    assert place.notes() == ["trapped e-1"] * 2
    assert sorted(place.states(entry_id)) == [("page", "failed", 1), ("trap", "done", 2)]


@pytest.mark.parametrize(
    ("state", "runs"),
    [
        ("ignored", ()),
        ("dropped", (waiting(),)),
        ("suppressed", (Run("page", "m.page", "suppressed"),)),
    ],
)
def test_what_was_ignored_dropped_or_suppressed_can_be_replayed(
    place: Place, state: str, runs: tuple[Run, ...]
) -> None:
    at_its_receipt = {"during": "Tue 22:13-22:14"}
    place.hooks({**PAGE, "when": at_its_receipt}, {**TRAP, "when": {"not": at_its_receipt}})
    entry_id = place.store(*runs, state=state, received_at=THEN)
    assert run("replay", str(entry_id)).returncode == 0
    assert place.notes() == ["noted e-1"]
    assert place.state(entry_id) == "done"


def test_of_the_hooks_on_workflow_overdue_only_those_run_that_the_entry_is_for(place: Place) -> None:
    overdue = {"event_type": "workflow_overdue", "after": "1h"}
    place.hooks({**PAGE, **overdue}, {**TRAP, **overdue, "after": "2h"})
    entry_id = place.store(was("failed"), event_type="workflow_overdue")
    assert run("replay", str(entry_id)).returncode == 0
    assert place.states(entry_id) == [("page", "done", 2)]


@pytest.mark.parametrize(
    ("state", "options", "said"),
    [
        ("pending", {}, "it will be run in any case"),
        ("running", {}, "it will be run in any case"),
        ("unreadable", {"event_type": None}, "there is no notification to replay"),
        ("dropped", {"event_type": None}, "there is no notification to replay"),
    ],
)
def test_what_cannot_be_replayed_is_refused_with_all_else(
    place: Place, state: str, options: dict[str, Any], said: str
) -> None:
    place.hooks(PAGE)
    repaired, entry_id = place.store(was("failed")), place.store(state=state, **options)
    result = run("replay", str(repaired), str(entry_id))
    assert (result.returncode, result.stdout, place.notes()) == (2, "", [])
    assert f"entry {entry_id} is {state}: {said}" in result.stderr
    assert (place.state(repaired), place.state(entry_id)) == ("failed", state)


def test_all_that_failed_is_replayed_oldest_first(place: Place) -> None:
    place.hooks(PAGE)
    now = time.time()
    for state, age_s, name in (
        ("failed", 9000, "old"),
        ("interrupted", 5000, "second"),
        ("failed", 60, "third"),
        ("done", 20, "done"),
    ):
        place.store(was(state), state=state, received_at=now - age_s, execution=name)
    for state in ("dropped", "ignored", "unreadable"):
        place.store(state=state, received_at=now, execution=state)

    lately = run("replay", "--failed", "--since", "2h")
    assert (lately.returncode, place.notes()) == (0, ["noted second", "noted third"])

    rest = run("replay", "--failed")
    assert (rest.returncode, place.notes()[2:]) == (0, ["noted old"])

    fired = place.store(was("failed"), source="fire", execution="fired")
    nothing = run("replay", "--failed", "--output", "json")
    assert (answer(nothing), len(place.notes())) == ([], 3)
    assert f"left out, because fire made them: {fired}; " in nothing.stderr
    assert run("replay", str(fired)).returncode == 0
    assert place.notes()[3:] == ["noted fired"]


def test_of_all_that_failed_what_can_no_longer_be_read_is_named_and_left(place: Place) -> None:
    place.hooks(PAGE)
    place.store(was("failed"), execution="first")
    torn = place.store(was("failed"), text='{"event_type": "workflow_f')
    place.store(was("failed"), execution="last")
    one = run("replay", str(torn))
    said = f"entry {torn} cannot be replayed: the payload is not JSON"
    assert (one.returncode, one.stdout, said in one.stderr) == (2, "", True)
    rest = run("replay", "--failed")
    assert (rest.returncode, place.notes()) == (0, ["noted first", "noted last"])
    assert said in rest.stderr
    assert place.state(torn) == "failed"


@pytest.mark.parametrize(
    ("number", "arguments", "said", "is_done"),
    [
        (10, [], "", True),
        (11, [], "", False),
        (11, [], "y\n", True),
        (11, [], "n\n", False),
        (11, [], "\n", False),
        (11, ["--yes"], "", True),
    ],
)
def test_more_than_ten_are_run_only_after_a_yes(
    place: Place, number: int, arguments: list[str], said: str, is_done: bool
) -> None:
    place.hooks(PAGE)
    entry_ids = [place.store(was("failed")) for _ in range(number)]
    result = run("replay", "--failed", *arguments, stdin=said)
    assert f"{number} hooks of {number} entries to run" in result.stderr
    assert ("run them?" in result.stderr) == (number > 10 and not arguments)
    assert ("where there is no terminal, add --yes" in result.stderr) == (not is_done and not said)
    assert (result.returncode == 0) is is_done
    assert len(place.notes()) == (number if is_done else 0)
    assert {place.state(each) for each in entry_ids} == {"done" if is_done else "failed"}


def test_what_was_replayed_by_another_while_the_question_waited_is_not_done_twice(place: Place) -> None:
    place.hooks(PAGE)
    first, *others = (place.store(was("failed"), execution=f"e-{number}") for number in range(11))
    with replaying("--failed") as asking:
        assert asking.stderr
        said = ""
        while "run them?" not in said:
            said += asking.stderr.read(1)
        assert run("replay", str(first)).returncode == 0
        before = place.entry(first)
        status, output, errors = ended(asking, "y\n")
    assert status == 0, errors
    assert f"entry {first} has changed meanwhile, and is left as it is" in errors
    assert place.notes() == [f"noted e-{number}" for number in range(11)]
    assert place.entry(first) == before
    assert sorted(int(line.split()[0]) for line in output.splitlines()[1:]) == others


@pytest.mark.parametrize(
    "arguments", [[], ["1", "--failed"], ["1", "--since", "2h"], ["x"], ["1", "--all"]], ids=" ".join
)
def test_wrong_usage_is_exit_2_and_runs_nothing(place: Place, arguments: list[str]) -> None:
    place.hooks(PAGE)
    place.store(was("failed"))
    result = run("replay", *arguments)
    assert (result.returncode, result.stdout, place.notes()) == (2, "", [])
    assert "Usage: conductor-hooks replay" in result.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "does not exist; name a hooks.conf with --config"), ("hooks: [", "invalid YAML")],
    ids=["none", "broken"],
)
def test_without_a_good_hooks_conf_nothing_is_replayed(
    place: Place, text: str | None, said: str
) -> None:
    place.hooks(PAGE)
    other = place.folder / "other.conf"
    if text is not None:
        other.write_text(text)
    entry_id = place.store(was("failed"))
    result = run("replay", str(entry_id), "--config", str(other))
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr
    assert place.state(entry_id) == "failed"


def test_while_replay_runs_hooks_itself_a_listener_is_refused(place: Place) -> None:
    place.hooks(SLOW)
    entry_id = place.store(was("failed"))
    with replaying(str(entry_id)) as process:
        wait_for("the hook to begin", place.notes)
        assert place.state(entry_id) == "running"
        refused = run("listen", "--config", str(place.config))
        second = run("replay", str(entry_id))
        place.let_slow_ones_end()
        status, _, _ = ended(process)
    assert (status, place.state(entry_id)) == (0, "done")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"process {process.pid} works in the state directory {place.folder}/state" in refused.stderr
    assert second.returncode == 2
    assert "is running: it will be run in any case" in second.stderr
    assert place.notes() == ["slow e-1"]


def test_a_replay_that_is_killed_leaves_what_the_next_listener_needs(place: Place) -> None:
    place.hooks(SLOW)
    first, second = (place.store(was("failed"), execution=name) for name in ("a", "b"))
    with replaying(str(first), str(second)) as process:
        wait_for("the hook to begin", place.notes)
        process.kill()
        process.wait(timeout=10)
        place.let_slow_ones_end()
        with Listener(place) as listener:
            listener.send()
            place.wait_for(second, "done")
    assert place.state(first) == "done"
    assert place.notes() == ["slow a", "slow a", "slow b"]


def test_without_a_listener_root_runs_hooks_with_the_rights_of_the_owner(nobodys: Path) -> None:
    state, config = nobodys / "state", nobodys / "hooks.conf"
    with contextlib.closing(Journal(str(state))) as journal:
        store(journal, "failed", runs=(was("failed"),))
        (state / "who.py").write_text(
            "import os\ndef note(context):\n    return os.getresuid() + os.getresgid()\n"
        )
        hooks = [{**PAGE, "implementation": "who.note"}]
        config.write_text(json.dumps({"listener": {"python_path": [str(state)]}, "hooks": hooks}))
        config.chmod(0o600)

        def replayed() -> subprocess.CompletedProcess[str]:
            words = ["replay", "1", "--config", str(config), "--state-dir", str(state)]
            command = [str(nobodys / "venv/bin/python"), "-m", "listener", *words]
            options: dict[str, Any] = {"cwd": "/", "env": uncounted_env(), "text": True}
            return subprocess.run(command, check=False, capture_output=True, **options)

        refused = replayed()
        assert refused.returncode == 2
        assert f"{config} cannot be read" in refused.stderr
        assert state_of(journal, 1) == "failed"

        config.chmod(0o644)
        result = replayed()
        assert result.returncode == 0, result.stderr
        entry = journal.get(1)
        assert entry is not None
        assert entry.runs[0].attempts[-1].text == f"returned {(NOBODY,) * 6}"


# With a listener


def test_the_listener_that_works_does_it_and_replay_waits_for_the_end(place: Place) -> None:
    place.hooks(SLOW, TRAP)
    entry_id = place.store(was("failed"), was("done", "trap"))
    with Listener(place) as listener, replaying(str(entry_id), "--output", "json") as process:
        place.wait_for(entry_id, "pending")
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


@pytest.mark.parametrize("retries", [0, 3])
def test_what_fails_again_in_the_listener_is_exit_1_after_one_attempt(
    place: Place, retries: int
) -> None:
    place.hooks({**FAILING, "retries": retries}, TRAP)
    runs = (was("failed"), was("failed", "trap"))
    first, second = (place.store(*runs, execution=name) for name in ("e-1", "e-2"))
    with Listener(place) as listener, replaying("--failed", "--output", "json") as process:
        place.wait_for(second, "pending")
        listener.send()
        status, output, _ = ended(process)
    shown = json.loads(output)
    assert status == 1
    assert [entry["id"] for entry in shown] == [first, second]
    assert [entry["runs"][1]["state"] for entry in shown] == ["done", "done"]
    assert shown[0]["runs"][0]["error"] == "ValueError: as it should"


def test_what_is_left_to_the_listener_runs_before_a_later_event_of_its_execution(place: Place) -> None:
    place.hooks(PAGE, {**TRAP, "name": "new", "event_type": "workflow_started"})
    entry_id = place.store(state="ignored")
    with Listener(place) as listener:
        [shown] = answer(run("replay", str(entry_id), "--no-wait", "--output", "json"))
        assert (shown["state"], place.notes()) == ("pending", [])
        listener.send()
        payload = '{"event_type": "workflow_started", "context": {"execution_id": "e-1"}}'
        listener.send("PROCESS_COMMUNICATION_STDOUT", payload)
        wait_for("both", lambda: len(place.notes()) == 2)
    assert place.notes() == ["noted e-1", "trapped e-1"]


def test_when_the_listener_is_killed_replay_says_what_becomes_of_the_rest(place: Place) -> None:
    place.hooks(SLOW)
    first, second = (place.store(was("failed"), execution=name) for name in ("a", "b"))
    with Listener(place) as listener, replaying(str(first), str(second)) as process:
        place.wait_for(second, "pending")
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
        place.wait_for(second, "done")
    assert place.notes() == ["slow a", "slow a", "slow b"]


def test_ctrl_c_ends_the_waiting_and_not_the_replay(place: Place) -> None:
    place.hooks(PAGE)
    entry_id = place.store(was("failed"))
    with Listener(place) as listener:
        with replaying(str(entry_id)) as process:
            place.wait_for(entry_id, "pending")
            process.send_signal(signal.SIGINT)
            status, output, errors = ended(process)
        assert "Traceback" not in errors
        assert (status, output) == (1, "")
        listener.send()
        place.wait_for(entry_id, "done")
    assert place.notes() == ["noted e-1"]
