"""emit --durable and emit(durable=True): in the journal before it is sent. And what fire leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from listener.errors import HooksError, UnreadableNotification
from listener.model import delivery
from listener.model.entry import Entry
from listener.state.journal import Filters, Journal
from listener.supervisord.emit import emit, frame, keep, sample
from tests.cli.test_operate import COMMAND, answer, open_to_others, run, run_as_stranger
from tests.support import event, wait_for

BEGIN = "<!--XSUPERVISOR:BEGIN-->"
END = "<!--XSUPERVISOR:END-->"

FUNCTIONS = """
def note(context):
    with open(__file__ + ".notes", "a") as notes:
        notes.write(context["execution_id"] + " " + str(context.get("rest_token")) + "\\n")
def fail(context):
    note(context)
    raise ValueError("as it should")
"""

HOOKS = """
listener: {python_path: [.]}
hooks:
  - {name: note, event_type: [workflow_started, workflow_failed], implementation: test_functions.note}
  - {name: fail, event_type: workflow_failed, implementation: test_functions.fail}
"""


class Place:
    """A folder with hooks.conf, the functions it names, and a state directory with a journal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        (folder / "hooks.conf").write_text(HOOKS)
        (folder / "test_functions.py").write_text(FUNCTIONS)
        self.state.mkdir(0o700)
        self.journal = Journal(str(self.state))

    def entries(self) -> list[Entry]:
        """Oldest first."""
        return self.journal.newest(Filters(), 1000)[::-1]

    def notes(self) -> list[str]:
        file = self.folder / "test_functions.py.notes"
        return file.read_text().splitlines() if file.exists() else []

    def listen(self, *events: bytes) -> str:
        """What a listener logs that gets these events, then a TICK_5, then the end of stdin."""
        data = b"".join((*events, event("when:1", serial=len(events) + 1, eventname="TICK_5")))
        command = [*COMMAND, "listen"]
        result = subprocess.run(command, input=data, capture_output=True, timeout=30, check=True)
        assert result.stdout == b"READY\n" + b"RESULT 2\nOKREADY\n" * (len(events) + 1)
        return result.stderr.decode()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("CONDUCTOR_HOOKS_CONFIG", str(tmp_path / "hooks.conf"))
    place = Place(tmp_path)
    yield place
    place.journal.close()


def notification(execution_id: str = "e-1", **changes: Any) -> dict[str, Any]:
    context = {"execution_id": execution_id, "workflow_id": "install", "rest_token": None}
    context |= {"tenant_name": "acme", "deployment_id": "nodecellar"}
    return {"event_type": "workflow_started", "context": context, **changes}


def payload_of(text: str) -> str:
    """What supervisord passes on of a frame."""
    assert text.startswith(BEGIN)
    assert text.endswith(END + "\n")
    return text.removeprefix(BEGIN).removesuffix(END + "\n")


# Before it is sent


def test_it_is_in_the_journal_before_anybody_reads_the_frame(place: Place) -> None:
    text = json.dumps(notification(message={"text": "x" * 200_000}))
    command = [*COMMAND, "emit", "--notification", "-", "--durable"]
    pipe: Any = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.close()
        process.stdin = None
        [entry] = wait_for("the entry", place.entries)
        assert process.poll() is None  # it waits for somebody who reads
        output, errors = process.communicate(timeout=10)
    assert (process.returncode, errors.count("\n")) == (0, 1)
    assert "can get mixed up" in errors
    assert (entry.state, entry.source, entry.event_type) == ("pending", "emit", "workflow_started")
    assert json.loads(entry.body) == json.loads(payload_of(output))


def test_it_is_in_the_journal_when_the_frame_cannot_be_written(place: Place) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [*COMMAND, "emit", "workflow_failed", "--durable"]
    with os.fdopen(write_end, "wb") as pipe, open("/dev/full", "wb") as full:
        for stdout in (pipe, full):
            result = subprocess.run(command, check=False, stdout=stdout, stderr=subprocess.PIPE)
            assert result.returncode == 2
    close_and = "import os, sys; os.close(1); os.execv(sys.argv[1], sys.argv[1:])"
    closed = subprocess.run(
        [sys.executable, "-c", close_and, *command], check=False, capture_output=True
    )
    assert (closed.returncode, closed.stdout) == (2, b"")
    assert [entry.state for entry in place.entries()] == ["pending"] * 3


def test_who_could_not_send_it_is_told_that_it_is_kept(place: Place) -> None:
    with open("/dev/full", "wb") as full:
        command = [*COMMAND, "emit", "workflow_failed", "--durable"]
        result = subprocess.run(command, check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 2
    assert "No space left on device" in result.stderr
    assert "journal" in result.stderr


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"id": "mine"},
        {"id": "a b"},
        {"message": {"text": f"配置 😀 {END}{BEGIN} \r\n <!--XSUPERVISOR:"}},
        {"message": {"text": "half \ud800 a pair"}},
        {"message": {"text": " " * 300}},
    ],
    ids=range(6),
)
def test_the_journal_knows_it_by_what_the_frame_says(place: Place, changes: dict[str, Any]) -> None:
    read_end, write_end = os.pipe()
    own_id = emit(notification(**changes), write_end, durable=True)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        payload = payload_of(pipe.read())
    [entry] = place.entries()
    assert entry.key == delivery.read(payload, source="", origin="").key
    assert str(entry.key).startswith(own_id + " ")
    assert json.loads(payload)["id"] == own_id == changes.get("id", own_id)


def test_the_command_and_the_library_keep_the_same(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    given = notification(id="mine")
    result = run("emit", "--notification", "-", "--durable", stdin=json.dumps(given))
    emit(given, durable=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == capfd.readouterr().out == frame(given)[1].decode()
    assert len(place.entries()) == 1


def test_the_directory_that_is_named_is_taken(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    (place.folder / "other").mkdir()
    emit(notification(), durable=True, state_dir=str(place.folder / "other"))
    assert run("emit", "workflow_failed", "--durable", "--state-dir", "other", cwd=place.folder).stdout
    assert place.entries() == []
    other = Journal(str(place.folder / "other"))
    assert len(other.newest(Filters(), 10)) == 2
    other.file.close()


def test_the_directory_of_hooks_conf_is_taken(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONDUCTOR_HOOKS_STATE_DIR")
    (place.folder / "hooks.conf").write_text("listener: {state_dir: state}")
    assert run("emit", "workflow_failed", "--durable").returncode == 0
    assert len(place.entries()) == 1


def test_the_directory_of_the_hooks_conf_that_is_named_is_taken(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONDUCTOR_HOOKS_STATE_DIR")
    (place.folder / "other").mkdir()
    (place.folder / "hooks.conf").write_text("listener: {state_dir: other}")
    (place.folder / "named.conf").write_text("listener: {state_dir: state}")
    named = str(place.folder / "named.conf")
    assert run("emit", "workflow_failed", "--durable", "--config", named).returncode == 0
    assert len(place.entries()) == 1


def test_a_mistake_in_hooks_conf_stops_nobody_who_names_the_directory(place: Place) -> None:
    (place.folder / "hooks.conf").write_text("hooks: [{event_type: !env NOT_SET}]")
    result = run("emit", "workflow_failed", "--durable", "--state-dir", str(place.state))
    assert result.returncode == 0
    assert len(place.entries()) == 1


def test_without_durable_nothing_is_kept(place: Place) -> None:
    result = run("emit", "workflow_failed", "--state-dir", str(place.state))
    assert (result.returncode, list(place.state.iterdir())) == (0, [])


# What cannot be sent


@pytest.mark.parametrize("durable", [False, True])
def test_what_cannot_be_written_is_said_to_be_kept_if_it_is(place: Place, durable: bool) -> None:
    with open("/dev/full", "wb") as full, pytest.raises(HooksError) as raised:
        emit(notification(), full.fileno(), durable=durable)
    text = str(raised.value)
    assert text.startswith("the notification was not sent: No space left on device")
    assert text.endswith("do not send it again") == durable == (len(place.entries()) == 1)


# What cannot be kept is not sent


def test_a_user_who_may_not_write_there_is_told_which_setting_it_is(place: Place) -> None:
    place.journal.open()
    (place.folder / "hooks.conf").chmod(0o644)
    for mode in (0o700, 0o755):
        place.state.chmod(mode)
        with open_to_others(place.folder):
            result = run_as_stranger("emit", "workflow_failed", "--durable")
        assert (result.returncode, result.stdout) == (2, "")
        for said in (
            "the notification was not sent, since it cannot be kept",
            "Permission denied",
            "'listener: state_dir'",
            "$CONDUCTOR_HOOKS_STATE_DIR",
            "run this program as its user",
        ):
            assert said in result.stderr
    assert place.entries() == []


def test_without_a_state_directory_nothing_is_sent_and_none_is_made(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result = run("emit", "workflow_failed", "--durable")
    assert (result.returncode, result.stdout) == (2, "")
    assert "the notification was not sent, since it cannot be kept" in result.stderr
    assert "'listener: state_dir'" in result.stderr
    assert "start the listener once" in result.stderr
    with pytest.raises(HooksError, match="the notification was not sent, since it cannot be kept"):
        emit(notification(), durable=True)
    assert capfd.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    ["", "no json", "[1]", '{"event_type": "x"}', '{"event_type": 1, "context": {}}'],
    ids=range(5),
)
def test_what_is_no_notification_is_refused_before_anything_is_kept(place: Place, text: str) -> None:
    result = run("emit", "--notification", "-", "--durable", stdin=text)
    assert (result.returncode, result.stdout) == (2, "")
    assert "standard input: the payload is" in result.stderr
    assert list(place.state.iterdir()) == []


def test_the_library_refuses_it_likewise(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnreadableNotification):
        emit({"event_type": "workflow_failed"}, durable=True)
    for value in (float("nan"), {1, 2}):
        with pytest.raises(HooksError, match="cannot be written as JSON"):
            emit(notification(extra=value), durable=True)
    assert capfd.readouterr().out == ""
    assert list(place.state.iterdir()) == []


# What the listener does with it


def test_the_listener_acts_on_it_without_the_frame(place: Place) -> None:
    assert run("emit", "--notification", "-", "--durable", stdin=json.dumps(notification())).stdout
    log = place.listen()
    [entry] = place.entries()
    assert place.notes() == ["e-1 None"]
    assert entry.state == "done"
    assert [(done.hook, done.state, len(done.attempts)) for done in entry.runs] == [("note", "done", 1)]
    assert "e-1, emit, entry 1" in log


def test_a_listener_that_works_takes_it_up_at_its_next_tick(place: Place) -> None:
    pipe: Any = subprocess.PIPE
    with (
        open(place.folder / "log", "wb") as log,
        subprocess.Popen([*COMMAND, "listen"], stdin=pipe, stdout=pipe, stderr=log) as listener,
    ):
        try:
            assert listener.stdin is not None
            assert listener.stdout is not None
            assert listener.stdout.readline() == b"READY\n"
            for serial in (1, 2):
                if serial == 2:
                    assert run("emit", "workflow_started", "--durable").returncode == 0
                    assert [entry.state for entry in place.entries()] == ["pending"]
                listener.stdin.write(event("when:1", serial=serial, eventname="TICK_5"))
                listener.stdin.flush()
                assert listener.stdout.read(17) == b"RESULT 2\nOKREADY\n"
            wait_for("its end", lambda: place.entries()[0].state == "done")
        finally:
            listener.kill()
    assert len(place.notes()) == 1


@pytest.mark.parametrize("before", [True, False], ids=["taken up first", "delivered first"])
def test_the_frame_that_comes_too_is_not_acted_on_again(place: Place, before: bool) -> None:
    result = run("emit", "--notification", "-", "--durable", stdin=json.dumps(notification()))
    frames = [event(payload_of(result.stdout), serial=serial) for serial in (1, 2)]
    if before:
        place.listen()
    logs = place.listen(*frames) + place.listen(*frames)
    assert place.notes() == ["e-1 None"]
    assert logs.count("accepted already, as entry 1, which is done") >= 3
    assert [entry.state for entry in place.entries()] == ["done"]


def test_one_that_no_hook_matches_is_ignored(place: Place) -> None:
    assert run("emit", "workflow_queued", "--durable").returncode == 0
    log = place.listen()
    assert [entry.state for entry in place.entries()] == ["ignored"]
    assert "didn't find a compatible hook" in log


def test_the_same_notification_is_acted_on_once_however_often_it_is_emitted(place: Place) -> None:
    texts = [json.dumps(notification(id="mine")) for _ in range(3)]
    texts.append(json.dumps(notification("e-2", id="mine")))
    for text in texts:
        result = run("emit", "--notification", "-", "--durable", stdin=text)
        assert (result.returncode, bool(result.stdout)) == (0, True)
    place.listen()
    assert place.notes() == ["e-1 None", "e-2 None"]


def test_several_programs_may_emit_at_once(place: Place) -> None:
    program = (
        "from listener import emit\n"
        "for number in range(40):\n"
        "    emit({'event_type': 'workflow_started', 'context': {'execution_id': str(number)}},"
        " durable=True)\n"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    pipe: Any = subprocess.PIPE
    programs = [subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) for _ in range(3)]
    ended = [each.communicate(timeout=30) for each in programs]
    frames = "".join(output for output, _ in ended).splitlines(keepends=True)
    assert [errors for _, errors in ended] == [""] * 3
    assert len(frames) == len(place.entries()) == 120
    place.listen(*(event(payload_of(each), serial=n) for n, each in enumerate(frames, 1)))
    assert sorted(place.notes()) == sorted(f"{number} None" for number in range(40) for _ in range(3))


@pytest.mark.parametrize("token", ["ctok-0123456789abcdefghijklmnop", "install", "e", '"\\', "配置"])
def test_the_function_gets_the_token_and_then_it_is_erased(place: Place, token: str) -> None:
    value = notification()
    value["context"]["rest_token"] = token
    assert run("emit", "--notification", "-", "--durable", stdin=json.dumps(value)).returncode == 0
    [waiting] = place.entries()
    assert waiting.rest_token == token
    assert json.loads(waiting.body) == {
        **value,
        "id": json.loads(waiting.body)["id"],
        "context": {**value["context"], "rest_token": ""},
    }
    assert token not in answer_about_token()
    place.journal.close()

    place.listen()

    assert place.notes() == [f"e-1 {token}"]
    if len(token) > 20:
        for file in place.state.iterdir():
            assert token.encode() not in file.read_bytes()
    [done] = place.entries()
    assert (done.state, done.rest_token) == ("done", None)


def answer_about_token() -> str:
    """What show says about the token of the first entry."""
    shown = answer(run("show", "1", "--output", "json"))
    return str(shown["notification"]["context"]["rest_token"])


# fire


def fire(place: Place, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return run("fire", *arguments, cwd=place.folder, **options)


def test_what_was_fired_is_in_the_history(place: Place) -> None:
    assert fire(place, "workflow_started", "--set", "execution_id=e-1").returncode == 0
    assert fire(place, "workflow_failed", "--set", "execution_id=e-2").returncode == 1
    assert fire(place, "workflow_queued", "--set", "execution_id=e-3").returncode == 1
    ignored, failed, done = answer(run("history", "--output", "json"))
    assert [entry["source"] for entry in (ignored, failed, done)] == ["fire"] * 3
    assert [entry["state"] for entry in (ignored, failed, done)] == ["ignored", "failed", "done"]
    assert [entry["execution_id"] for entry in (done, failed, ignored)] == ["e-1", "e-2", "e-3"]
    assert [(ran["hook"], ran["state"]) for ran in failed["runs"]] == [
        ("note", "done"),
        ("fail", "failed"),
    ]
    assert "ValueError: as it should" in run("show", str(failed["id"])).stdout


def test_a_file_with_an_id_can_be_fired_twice_and_delivered_still(place: Place) -> None:
    text = json.dumps(notification(id="mine"))
    (place.folder / "notification.json").write_text(text)
    for _ in range(2):
        assert fire(place, "--notification", "notification.json").returncode == 0
    place.listen(event(text))
    assert place.notes() == ["e-1 None"] * 3
    assert [entry.source for entry in place.entries()] == ["fire", "fire", "supervisord"]


def test_fire_leaves_no_token_behind(place: Place) -> None:
    value = notification()
    value["context"]["rest_token"] = "ctok-0123456789abcdefghijklmnop"
    assert fire(place, "--notification", "-", stdin=json.dumps(value)).returncode == 0
    assert place.notes() == ["e-1 ctok-0123456789abcdefghijklmnop"]
    for file in place.state.iterdir():
        assert b"0123456789abcdefghijklmnop" not in file.read_bytes()


def test_a_dry_run_leaves_nothing_behind(place: Place) -> None:
    assert fire(place, "workflow_started", "--dry-run").returncode == 0
    assert list(place.state.iterdir()) == []


def test_a_fired_hook_is_tried_once_and_settled(place: Place) -> None:
    hooks = HOOKS.replace("test_functions.fail}", "test_functions.fail, retries: 5}")
    (place.folder / "hooks.conf").write_text(hooks)
    assert fire(place, "workflow_failed", "--set", "execution_id=e-1").returncode == 1
    place.listen()
    assert [entry.state for entry in place.entries()] == ["failed"]
    assert len(place.notes()) == 2  # of two hooks


def test_fire_works_without_a_state_directory_and_makes_none(place: Place) -> None:
    place.state.rmdir()
    result = fire(place, "workflow_started", "--set", "execution_id=e-1")
    assert (result.returncode, place.notes()) == (0, ["e-1 None"])
    assert "history" not in result.stderr
    assert not place.state.exists()


def test_fire_works_beside_a_journal_that_cannot_be_used(place: Place) -> None:
    (place.state / "journal.db").write_bytes(b"not what it was\n" * 1000)
    result = fire(place, "workflow_started", "--set", "execution_id=e-1")
    assert (result.returncode, place.notes()) == (0, ["e-1 None"])
    assert "the history will not show it: the journal" in result.stderr


def test_what_a_program_keeps_is_as_durable_as_what_the_listener_does(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bool] = []

    class Noticed(Journal):
        def __init__(self, folder: str, *, power_safe: bool = False) -> None:
            made.append(power_safe)
            super().__init__(folder, power_safe=power_safe)

    monkeypatch.setattr("listener.state.journal.Journal", Noticed)
    for durability, expected in (("process", False), ("power", True)):
        place.journal.note("durability", durability)
        _, data = frame(sample("workflow_failed", {}, datetime.now(timezone.utc)))
        keep(data, str(place.state))
        assert made[-1] is expected
    assert len(place.entries()) == 2
