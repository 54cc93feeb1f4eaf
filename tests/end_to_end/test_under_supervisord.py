"""The listener under a real supervisord, with the section as it is shipped."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path

from listener.snmp.trap import Trap, decode
from listener.state.journal import SERIALS, Journal
from tests.end_to_end.real_supervisord import NOTE, RealSupervisord, ids, notification_frame, running
from tests.processes import open_files
from tests.support import wait_for

SLOW = """
hooks:
  - event_type: "*"
    implementation: test_functions.slow
    inputs: {seconds: 0.05}
"""


def wait_for_notes(supervisord: RealSupervisord, count: int) -> None:
    wait_for(f"{count} notes", lambda: len(supervisord.notes()) >= count)


def test_a_notification_becomes_a_trap_with_the_shipped_section_and_hooks() -> None:
    hooks = (Path(__file__).parents[2] / "hooks.conf").read_text()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(20)
        port = str(receiver.getsockname()[1])
        with running(
            hooks.replace("CONDUCTOR_TRAP_PORT, 162", f"NOBODY_SETS_THIS, {port}")
        ) as supervisord:
            supervisord.emit("workflow_failed", "e-1", deployment_id="配置中心", error="échec")
            datagram = receiver.recv(65535)
            trap, _ = decode(datagram, "")
            wait_for("the log", lambda: "done in" in supervisord.log())
            log = supervisord.log()
    assert isinstance(trap, Trap)
    assert trap.notification == "cloudifyWorkflowFailed"
    assert trap.values["cloudifyDeploymentID"] == "配置中心"
    assert trap.values["cloudifyErrorDetails"] == "échec"
    assert (
        "The hook consumer received `workflow_failed` event and the hook implementation is:"
        " `cloudify.snmp.snmp_trap.send_snmp_trap`"
    ) in log


def test_a_burst_that_the_default_buffer_would_lose_is_acted_on_in_order() -> None:
    with running(NOTE) as supervisord:
        supervisord.write(b"".join(notification_frame("workflow_started", name) for name in ids(400)))
        wait_for_notes(supervisord, 400)
        notes = supervisord.notes()
    assert notes == ids(400)


def test_actions_that_print_the_protocols_own_words_do_not_disturb_it() -> None:
    with running(NOTE.replace(".note", ".chatter")) as supervisord:
        for name in ids(5):
            supervisord.emit("workflow_started", name)
        wait_for_notes(supervisord, 5)
        wait_for("the output", lambda: supervisord.log().count(" | RESULT 4") == 5)
        assert supervisord.state() == "RUNNING"
        assert supervisord.notes() == ids(5)
        assert "unknown" not in supervisord.supervisord_log().lower()


def test_failing_hooks_are_answered_ok_and_stop_neither_the_next_hook_nor_the_next_event() -> None:
    hooks = """
hooks:
  - {event_type: "*", implementation: test_functions.fail}
  - {event_type: "*", implementation: test_functions.note}
"""
    with running(hooks) as supervisord:
        for name in ids(3):
            supervisord.emit("workflow_started", name)
        wait_for_notes(supervisord, 3)
        wait_for("the failures", lambda: supervisord.log().count("ValueError: as it should") >= 3)
        assert supervisord.notes() == ids(3)
        assert "event was rejected" not in supervisord.supervisord_log()


def test_restarts_in_the_middle_of_actions_under_load_lose_nothing_and_repeat_nothing() -> None:
    with running(SLOW) as supervisord:
        supervisord.write(b"".join(notification_frame("workflow_started", name) for name in ids(60)))
        for rounds in (5, 20, 35):
            wait_for_notes(supervisord, rounds)
            assert "conductor-hooks: started" in supervisord.supervisorctl("restart", "conductor-hooks")
        wait_for_notes(supervisord, 60)
        assert supervisord.notes("begun") == ids(60)
        assert supervisord.notes("done") == ids(60)
        assert supervisord.supervisord_log().count("stopped: conductor-hooks (exit status 0)") == 3


def test_a_listener_that_supervisord_no_longer_hears_leaves_and_is_started_again() -> None:
    with running(NOTE) as supervisord:
        deaf = supervisord.pid()
        journal = Journal(os.environ["CONDUCTOR_HOOKS_STATE_DIR"])
        wait_for("the first TICK_5", lambda: journal.noted(SERIALS))
        with answer_pipe(supervisord).open("wb", buffering=0) as answers:
            answers.write(b"a stray print\n")
        wait_for("state UNKNOWN", lambda: "UNKNOWN" in supervisord.supervisord_log())
        assert supervisord.state() == "RUNNING"  # which is what makes it so hard to find
        supervisord.emit("workflow_started", "e-1")
        wait_for("another listener", lambda: supervisord.notes() == ["e-1"])
        assert supervisord.pid() != deaf
        assert "supervisord has this listener in state UNKNOWN" in supervisord.log()


def bytes_read(pid: int) -> int:
    return int(Path(f"/proc/{pid}/io").read_text().split()[1])


def wait_for_more(pid: int, before: int) -> None:
    wait_for(f"process {pid} to read", lambda: bytes_read(pid) > before)


def answer_pipe(supervisord: RealSupervisord) -> Path:
    """The listener's private end of the pipe that supervisord reads its answers from."""
    pid = supervisord.pid()
    of_supervisord = set(open_files(supervisord.process.pid).values())
    shared = [fd for fd, file in open_files(pid).items() if fd > 2 and file in of_supervisord]
    [found] = [fd for fd in shared if is_written_to(pid, fd)]
    return Path(f"/proc/{pid}/fd/{found}")


def is_written_to(pid: int, fd: int) -> bool:
    flags = re.search(r"^flags:.*(\d)$", Path(f"/proc/{pid}/fdinfo/{fd}").read_text(), re.MULTILINE)
    return flags is not None and int(flags[1]) == os.O_WRONLY


def test_hooks_are_read_again_when_the_file_was_edited() -> None:
    with running(NOTE) as supervisord:
        supervisord.emit("workflow_started", "before")
        wait_for_notes(supervisord, 1)
        replacement = supervisord.folder / "new"
        replacement.write_text(NOTE.replace('"*"', "workflow_failed"))
        replacement.rename(supervisord.hooks_conf)
        supervisord.emit("workflow_started", "not handled any more")
        supervisord.emit("workflow_failed", "after")
        wait_for_notes(supervisord, 2)
        supervisord.hooks_conf.write_text("hooks: [")
        supervisord.emit("workflow_failed", "with the last good file")
        wait_for_notes(supervisord, 3)
        assert supervisord.notes() == ["before", "after", "with the last good file"]
        wait_for("the log", lambda: "the hook config file is invalid yaml" in supervisord.log())
        assert "hooks.conf, line 2: invalid YAML" in supervisord.log()
        assert (
            "received `workflow_started` event but didn't find a compatible hook" in supervisord.log()
        )


def test_a_mistake_at_the_start_ends_with_2_and_the_events_wait_until_it_is_mended() -> None:
    with running("hooks: {}", wait=False) as supervisord:
        wait_for(
            "the refusal", lambda: "(exit status 2; not expected)" in supervisord.supervisord_log()
        )
        for name in ids(20):
            supervisord.emit("workflow_started", name)
        assert "hooks.conf, line 1: 'hooks' must be a list of hooks" in supervisord.log()
        supervisord.hooks_conf.write_text(NOTE)
        wait_for_notes(supervisord, 20)
        assert supervisord.notes() == ids(20)


def test_bytes_that_are_no_text_are_named_and_the_next_notification_is_acted_on() -> None:
    with running(NOTE) as supervisord:
        payload = '{"event_type": "workflow_started"}'.encode("utf-16")
        supervisord.write(b"<!--XSUPERVISOR:BEGIN-->%b<!--XSUPERVISOR:END-->\n" % payload)
        supervisord.emit("workflow_started", "next")
        wait_for_notes(supervisord, 1)
        wait_for("the log", lambda: "the program wrote UTF-16; let it write UTF-8" in supervisord.log())


def test_a_notification_larger_than_the_capture_limit_is_cut_and_the_log_names_the_setting() -> None:
    with running(NOTE, capture="2KB") as supervisord:
        large = notification_frame("workflow_started", "cut", text="x" * 6000)
        for start in range(0, len(large), 1000):
            before = bytes_read(supervisord.process.pid)
            supervisord.write(large[start : start + 1000])
            wait_for_more(supervisord.process.pid, before)
        supervisord.emit("workflow_started", "whole")
        wait_for_notes(supervisord, 1)
        assert supervisord.notes() == ["whole"]
        wait_for("the log", lambda: "raise stdout_capture_maxbytes" in supervisord.log())


def test_characters_of_several_bytes_are_counted_as_supervisord_counts_them() -> None:
    with running(NOTE) as supervisord:
        for name in ids(3, prefix="é€😀"):
            text = json.dumps(
                {
                    "event_type": "workflow_started",
                    "context": {"execution_id": name, "deployment_id": "配置"},
                },
                ensure_ascii=False,
            )
            supervisord.write(f"<!--XSUPERVISOR:BEGIN-->{text:<200}<!--XSUPERVISOR:END-->\n".encode())
        wait_for_notes(supervisord, 3)
        assert supervisord.notes() == ids(3, prefix="é€😀")


def test_what_a_program_emits_on_its_stderr_is_acted_on_too() -> None:
    with running(NOTE, output=">&2") as supervisord:
        supervisord.emit("workflow_started", "e-1")
        wait_for_notes(supervisord, 1)
        assert supervisord.notes() == ["e-1"]


def test_an_end_token_that_comes_alone_is_withheld_until_something_follows_it() -> None:
    with running(NOTE) as supervisord:
        whole = notification_frame("workflow_started", "e-1")
        body = whole.removesuffix(b"<!--XSUPERVISOR:END-->\n")
        before = bytes_read(supervisord.process.pid)
        supervisord.write(body)
        wait_for_more(supervisord.process.pid, before)
        before = bytes_read(supervisord.process.pid)
        supervisord.write(b"<!--XSUPERVISOR:END-->")
        wait_for_more(supervisord.process.pid, before)
        supervisord.write(b"\n")  # which is why a frame of ours ends with a newline
        wait_for_notes(supervisord, 1)
        assert supervisord.notes() == ["e-1"]
