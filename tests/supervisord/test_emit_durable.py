"""emit --durable and emit(durable=True): in the inbox before it is sent."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from listener.errors import HooksError, UnreadableNotification
from listener.model import delivery
from listener.supervisord.emit import emit
from tests.place import COMMAND, Place, environment_without, notification
from tests.support import frame_of, wait_for

BEGIN = "<!--XSUPERVISOR:BEGIN-->"
END = "<!--XSUPERVISOR:END-->"
DURABLY = ("emit", "--notification", "-", "--durable")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def payload_of(text: str) -> str:
    """What supervisord passes on of a frame."""
    assert text.startswith(BEGIN)
    assert text.endswith(END + "\n")
    return text.removeprefix(BEGIN).removesuffix(END + "\n")


# Before it is sent


def test_it_is_in_the_inbox_before_anybody_reads_the_frame(place: Place) -> None:
    text = json.dumps(notification(message={"text": "x" * 200_000}))
    pipe: Any = subprocess.PIPE
    with subprocess.Popen([*COMMAND, *DURABLY], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.close()
        process.stdin = None
        [record] = wait_for("the record", place.inbox)
        assert process.poll() is None  # it waits for somebody who reads
        output, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert (record.source, record.run) == ("emit", "")
    assert record.payload == payload_of(output).rstrip()


@pytest.mark.parametrize("durable", [False, True])
def test_what_cannot_be_sent_is_said_to_be_kept_if_it_is(place: Place, durable: bool) -> None:
    with open("/dev/full", "wb") as full:
        with pytest.raises(HooksError) as raised:
            emit(notification(), full.fileno(), durable=durable)
        options = ["--durable"] if durable else []
        result = place.run("emit", "workflow_failed", *options, stdout=full)
    text = "the notification was not sent: No space left on device"
    if durable:
        text += "; it is in the listener's inbox, which acts on it: do not send it again"
    assert str(raised.value) == text
    assert (result.returncode, result.stderr) == (2, f"Error: {text}\n")
    assert len(place.inbox()) == (2 if durable else 0)


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
def test_it_has_the_key_of_its_frame(place: Place, changes: dict[str, Any]) -> None:
    read_end, write_end = os.pipe()
    own_id = emit(notification(**changes), write_end, durable=True)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        payload = payload_of(pipe.read())
    [record] = place.inbox()
    key = delivery.decode(record.payload, source="", origin="").key
    assert key == delivery.decode(payload, source="", origin="").key
    assert str(key).startswith(own_id + " ")


def test_the_command_and_the_library_write_the_same(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    given = notification(id="mine")
    result = place.run(*DURABLY, input=json.dumps(given))
    emit(given, durable=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == capfd.readouterr().out == frame_of(given).decode()
    first, second = place.inbox()
    assert first == second


# Where it is kept


def test_the_state_directory_that_is_named_is_taken(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    other = place.folder / "other"
    other.mkdir()
    emit(notification(), durable=True, state_dir=str(other))
    (place.folder / "named.conf").write_text("listener: {state_dir: other}")
    named = ["--config", str(place.folder / "named.conf")]
    without = environment_without("CONDUCTOR_HOOKS_STATE_DIR")
    assert place.run("emit", "workflow_failed", "--durable", *named, env=without).returncode == 0
    place.conf.write_text("hooks: [{event_type: !env NOT_SET}]")  # which nobody has to read now
    assert place.run("emit", "workflow_failed", "--durable", "--state-dir", "other").returncode == 0
    assert len(place.inbox(other)) == 3
    assert place.inbox() == []


def test_without_durable_nothing_is_kept(place: Place) -> None:
    result = place.run("emit", "workflow_failed", "--state-dir", str(place.state))
    assert (result.returncode, place.files()) == (0, [])


@pytest.mark.parametrize("why", ["No such file or directory", "Not a directory"])
def test_what_cannot_be_kept_is_not_sent(
    place: Place, capfd: pytest.CaptureFixture[str], why: str
) -> None:
    if why == "Not a directory":
        (place.state / "inbox").touch()
    else:
        place.state.rmdir()
    result = place.run("emit", "workflow_failed", "--durable")
    with pytest.raises(HooksError) as raised:
        emit(notification(), durable=True)
    expected = (
        f"the notification was not sent, since it cannot be kept in {place.state}/inbox: {why}. A"
        " durable emit writes into the listener's state directory ('listener: state_dir' in hooks.conf,"
        " $CONDUCTOR_HOOKS_STATE_DIR): start the listener once, and run this program as its user"
    )
    assert str(raised.value) == expected
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"Error: {expected}\n")
    assert capfd.readouterr().out == ""
    assert place.state.exists() == (why == "Not a directory")


def test_what_is_no_notification_is_refused_before_anything_is_kept(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    result = place.run(*DURABLY, input='{"event_type": "x"}')
    assert (result.returncode, result.stdout) == (2, "")
    assert "standard input: the payload is" in result.stderr
    with pytest.raises(UnreadableNotification):
        emit({"event_type": "workflow_failed"}, durable=True)
    with pytest.raises(HooksError, match="cannot be written as JSON"):
        emit(notification(extra=float("nan")), durable=True)
    assert capfd.readouterr().out == ""
    assert place.files() == []


# What the listener does with it


def test_the_listener_acts_on_it_without_the_frame_and_then_erases_its_token(place: Place) -> None:
    token = "ctok-0123456789abcdefghijklmnop"
    value = notification()
    value["context"]["rest_token"] = token
    assert place.run(*DURABLY, input=json.dumps(value)).returncode == 0

    log = place.listen()

    [entry] = place.entries()
    assert (entry.state, entry.source) == ("done", "emit")
    assert "e-1, emit, entry 1" in log
    assert place.notes() == [f"e-1 {token}"]
    for file in place.files():
        assert token.encode() not in file.read_bytes()
