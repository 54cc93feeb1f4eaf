"""hooks.conf changing under a running listener: what is in force, and what is said, once.

Editors replace files, configuration tools rewrite them in place, people break them and empty them.
The last good file stays in force until there is a new good one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from unittest.mock import ANY

import pytest

from listener.errors import SettingsError
from listener.hooks import watch as hooks_watch
from listener.hooks.file import Version, load, read_file
from listener.hooks.table import ListenerSettings
from listener.hooks.watch import HooksFile
from listener.hooks.yaml_lines import Mistake

EVENT = "workflow_failed"
RECEIVED = f"The hook consumer received `{EVENT}` event but "

HOOK = "hooks:\n- event_type: workflow_failed\n  implementation: pkg.mod.func\n"


def hooks(*names: str) -> str:
    """A hooks.conf with hooks of these names, as long as the names are."""
    return "hooks:\n" + "".join(
        f"- {{name: {name}, event_type: workflow_failed, implementation: a.b}}\n" for name in names
    )


def in_force(file: HooksFile) -> list[str] | None:
    return None if file.table is None else [hook.name for hook in file.table.hooks]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one hook `old`, last written long ago."""
    path = tmp_path / "hooks.conf"
    path.write_text(hooks("old"))
    os.utime(path, ns=(10**18, 10**18))
    return path


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str]]]:
    """What was logged since it was last asked: level and text."""
    caplog.set_level(logging.DEBUG, "listener")

    def since() -> list[tuple[str, str]]:
        lines = [(record.levelname, record.getMessage()) for record in caplog.records]
        caplog.clear()
        return lines

    return since


Log = Callable[[], list[tuple[str, str]]]


def write_in_place(path: Path, text: str, mtime_ns: int) -> None:
    path.write_text(text)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def replace(path: Path, text: str, mtime_ns: int) -> None:
    """What editors do: a new file takes the old one's name."""
    new = path.with_name("hooks.conf~")
    write_in_place(new, text, mtime_ns)
    new.replace(path)


# Reading the file


def test_a_file_is_read_with_the_environment_and_the_files_beside_it(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + HOOK.encode() + b"  inputs: {a: !file key, b: !env KEY}\n")
    path.with_name("key").write_text("hunter2\n")

    _, table, warnings = load(path, {"KEY": "pass"})

    assert warnings == []
    assert table is not None
    assert table.hooks[0].inputs == {"a": "hunter2", "b": "pass"}


@pytest.mark.parametrize(
    ("data", "line"),
    [(b"\xff", 1), (b"# gr\xfc\xdfe\n", 1), (b"a: 1\nb: x\xe9\n", 2), (b"\xef\xbb\xbf#\n\xff", 2)],
)
def test_a_file_that_is_no_utf8_is_told_with_its_line(path: Path, data: bytes, line: int) -> None:
    path.write_bytes(data)

    table, [mistake] = read_file(path, {})

    assert table is None
    assert mistake.line == line
    assert mistake.text.startswith("no UTF-8 text: ")
    assert mistake.text.endswith("; save the file as UTF-8")


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_group_or_others_may_write_is_warned_about_before_all_else(
    path: Path, mode: int
) -> None:
    path.write_text(HOOK.replace("workflow_failed", "boot"))
    path.chmod(mode)

    _, table, warnings = load(path, {})

    assert table is not None
    assert len(table.hooks) == 1
    assert warnings == [
        Mistake(
            0,
            f"group or others may write this file, and so run what they like: chmod go-w {path}",
            is_warning=True,
        ),
        Mistake(2, ANY, is_warning=True),
    ]
    assert "'boot'" in warnings[1].text
    assert warnings[0].told(path).startswith(f"{path}: group or others may write this file")


@pytest.mark.parametrize("mode", [0o600, 0o440, 0o755])
def test_a_file_that_only_its_owner_may_write_is_not_warned_about(path: Path, mode: int) -> None:
    path.write_text(HOOK)
    path.chmod(mode)

    assert load(path, {}).warnings == []


def test_a_file_with_mistakes_cannot_be_loaded_and_its_warnings_are_left_out(path: Path) -> None:
    path.write_text(f"{HOOK}  retries: 3\n  time_out: 5\n- text\n")
    path.chmod(0o666)

    with pytest.raises(SettingsError) as refused:
        load(path, {})

    assert str(refused.value).splitlines() == [
        f"{path}, line 5: hook 1 has the unknown key 'time_out'; did you mean 'timeout'?",
        f"{path}, line 6: hook 2 must be a mapping with 'event_type', found the text 'text'",
    ]


def test_a_missing_file_is_told_apart_from_one_that_cannot_be_read(tmp_path: Path) -> None:
    assert load(tmp_path / "missing", {}) == Version(None, None, [])

    with pytest.raises(SettingsError, match="cannot be read: Is a directory") as refused:
        load(tmp_path, {})

    assert isinstance(refused.value.__cause__, IsADirectoryError)


# Reading it again


@pytest.mark.parametrize(
    ("write", "name", "mtime_ns", "changed"),
    [
        (write_in_place, "new", 10**18 + 1, "st_mtime_ns"),
        (write_in_place, "newer", 10**18, "st_size"),
        (replace, "new", 10**18, "st_ino"),
        (replace, "newer", 10**18 + 1, ""),
        (write_in_place, "new", 10**18 - 10**9, "st_mtime_ns"),
    ],
)
def test_a_new_version_is_in_force_from_the_next_event_on(
    path: Path,
    log: Log,
    write: Callable[[Path, str, int], None],
    name: str,
    mtime_ns: int,
    changed: str,
) -> None:
    file = HooksFile(path, {})
    before = path.stat()

    write(path, hooks(name), mtime_ns)
    file.refresh(EVENT)

    after = path.stat()
    if changed:
        stamp = ("st_mtime_ns", "st_ino", "st_size")
        assert [key for key in stamp if getattr(before, key) != getattr(after, key)] == [changed]
    assert in_force(file) == [name]
    assert log() == [("INFO", f"{path} was read again, hooks: 1")]


def test_what_was_seen_between_two_events_is_true_for_a_moment_and_no_longer(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([10.0, 10.0 + 0.9 * hooks_watch.FRESH_S, 10.0 + hooks_watch.FRESH_S])
    monkeypatch.setattr("time.monotonic", lambda: next(moments))
    file = HooksFile(path, {})
    first = in_force(file)

    file.look()
    path.write_text(hooks("another"))
    file.refresh(EVENT)
    assert in_force(file) == first != ["another"]

    file.refresh(EVENT)
    assert in_force(file) == ["another"]


@pytest.mark.parametrize("state", ["changed", "refused", "missing"])
def test_only_a_good_file_that_has_not_changed_need_not_be_looked_at_again(
    path: Path, log: Log, state: str
) -> None:
    file = HooksFile(path, {})
    if state == "missing":
        path.unlink()
        file = HooksFile(path, {})
    elif state == "refused":
        path.write_text("hooks: 7")
        file.refresh(EVENT)
    else:
        path.write_text(hooks("another"))
    log()

    file.look()
    path.write_text(hooks("mended"))
    file.refresh(EVENT)

    assert in_force(file) == ["mended"]


def test_an_unchanged_file_is_not_read_again(path: Path, log: Log) -> None:
    file = HooksFile(path, {})
    table = file.table

    for _ in range(3):
        file.refresh(EVENT)

    assert file.table is table
    assert in_force(file) == ["old"]
    assert log() == []


def spoil(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


IN_FORCE = "the 1 hooks read before stay in force until it is mended"

SPOILT = [
    pytest.param(
        spoil("hooks: [\n"),
        "ERROR",
        "the hook config file is invalid yaml ({0}); {1}:\n{0}, line 2: no valid YAML: while parsing a"
        " flow node, did not find expected node content",
        id="invalid yaml",
    ),
    pytest.param(
        spoil(hooks("new") + "- text\nlistner: {}\n"),
        "ERROR",
        "the hook config file is invalid yaml ({0}); {1}:\n{0}, line 3: hook 2 must be a mapping with"
        " 'event_type', found the text 'text'\n{0}, line 4: the file has the unknown key 'listner'; did"
        " you mean 'listener'?",
        id="mistakes",
    ),
    pytest.param(
        lambda path: path.write_bytes(b"# gr\xfc\xdfe\n"),
        "ERROR",
        "the hook config file is invalid yaml ({0}); {1}:\n{0}, line 1: no UTF-8 text: invalid start"
        " byte; save the file as UTF-8",
        id="no UTF-8",
    ),
    pytest.param(
        Path.unlink, "WARNING", "the hooks config file doesn't exist ({0}); {1}", id="vanished"
    ),
    pytest.param(spoil(""), "WARNING", "the hook config file is empty ({0}); {1}", id="emptied"),
    pytest.param(
        spoil("# hooks:\n"), "WARNING", "the hook config file is empty ({0}); {1}", id="all comments"
    ),
]


@pytest.mark.parametrize(("spoil", "level", "text"), SPOILT)
def test_the_last_good_file_stays_in_force_while_the_new_one_is_no_good(
    path: Path, log: Log, spoil: Callable[[Path], None], level: str, text: str
) -> None:
    file = HooksFile(path, {})
    table = file.table

    spoil(path)
    for _ in range(3):
        file.refresh(EVENT)

    assert file.table is table
    assert in_force(file) == ["old"]
    assert log() == [(level, RECEIVED + text.format(path, IN_FORCE))]  # once for three events

    path.write_text(hooks("mended"))
    file.refresh(EVENT)

    assert in_force(file) == ["mended"]
    assert log() == [("INFO", f"{path} was read again, hooks: 1")]


def test_each_way_of_being_no_good_is_told_as_it_comes(path: Path, log: Log) -> None:
    file = HooksFile(path, {})
    told = []

    for change in (spoil("hooks: 5\n"), Path.unlink, spoil(""), spoil("hooks: 55\n")):
        change(path)
        file.refresh(EVENT)
        told += [level for level, _ in log()]

    assert told == ["ERROR", "WARNING", "WARNING", "ERROR"]
    assert in_force(file) == ["old"]


def test_a_file_that_was_moved_away_and_back_is_in_force_again(path: Path, log: Log) -> None:
    file = HooksFile(path, {})
    aside = path.with_name("aside")

    path.rename(aside)
    file.refresh(EVENT)
    aside.rename(path)
    file.refresh(EVENT)

    assert in_force(file) == ["old"]
    assert [level for level, _ in log()] == ["WARNING", "INFO"]


def test_a_file_that_says_there_are_no_hooks_is_taken_at_its_word(path: Path, log: Log) -> None:
    file = HooksFile(path, {})

    path.write_text("hooks: []\n")
    file.refresh(EVENT)

    assert in_force(file) == []
    assert log() == [("INFO", f"{path} was read again, hooks: 0")]


@pytest.mark.parametrize("text", ["", "# all comments\n"])
def test_a_file_that_is_blank_from_the_start_handles_nothing_until_it_is_filled(
    path: Path, log: Log, text: str
) -> None:
    path.write_text(text)
    file = HooksFile(path, {})
    assert in_force(file) == []

    path.write_text(text + "# still blank\n")
    file.refresh(EVENT)
    assert in_force(file) == []

    path.write_text(hooks("first", "second"))
    file.refresh(EVENT)
    assert in_force(file) == ["first", "second"]
    assert [level for level, _ in log()] == ["INFO", "INFO"]


def test_a_file_that_appears_later_is_in_force_from_then_on(path: Path, log: Log) -> None:
    path.unlink()
    file = HooksFile(path, {})

    file.refresh(EVENT)
    assert in_force(file) is None
    assert [level for level, _ in log()] == ["WARNING"]

    path.write_text(hooks("first"))
    file.refresh(EVENT)
    assert in_force(file) == ["first"]
    assert log() == [("INFO", f"{path} was read again, hooks: 1")]


def test_a_file_that_appears_broken_is_told_of_until_it_is_mended(path: Path) -> None:
    path.unlink()
    file = HooksFile(path, {})

    path.write_text("hooks: 5\n")
    file.refresh(EVENT)
    assert in_force(file) is None

    path.unlink()
    file.refresh(EVENT)
    assert in_force(file) is None

    path.write_text(hooks("first"))
    file.refresh(EVENT)
    assert in_force(file) == ["first"]


def test_what_a_file_names_may_be_mended_without_touching_the_file(path: Path, log: Log) -> None:
    path.write_text(hooks("old"))
    file = HooksFile(path, {})
    hook = "- {name: new, event_type: '*', implementation: a.b, inputs: {key: !file key}}\n"
    path.write_text(f"hooks:\n{hook}")
    for _ in range(3):
        file.refresh(EVENT)
    assert in_force(file) == ["old"]
    assert [level for level, _ in log()] == ["ERROR"]

    path.with_name("key").write_text("mended")
    file.refresh(EVENT)
    assert in_force(file) == ["new"]


def test_a_file_that_cannot_be_used_is_refused_at_the_start(path: Path) -> None:
    path.write_text("hooks: 5\n")

    with pytest.raises(SettingsError, match=r"hooks\.conf, line 1: 'hooks' must be a list"):
        HooksFile(path, {})


def test_warnings_are_kept_at_the_start_and_logged_when_they_come_later(path: Path, log: Log) -> None:
    path.write_text(hooks("old").replace("workflow_failed", "workflow_faild"))
    doubt = "hook 'old': 'event_type': Conductor publishes no event type 'workflow_faild'; did you mean"
    file = HooksFile(path, {})
    assert [warning.line for warning in file.warnings] == [2]
    assert log() == []

    path.write_text("\n" + path.read_text())
    file.refresh(EVENT)
    [read, (level, text)] = log()
    assert read == ("INFO", f"{path} was read again, hooks: 1")
    assert (level, text) == ("WARNING", f"{path}, line 3: {doubt} 'workflow_failed'?")

    path.write_text(hooks("new"))
    file.refresh(EVENT)
    assert file.warnings == []


RESTART = "changes under 'listener' take effect at the next restart"


@pytest.mark.parametrize(
    ("before", "after", "is_told"),
    [
        ("listener: {state_dir: /a}", "listener: {state_dir: /b}", True),
        ("listener: {state_dir: /a}", "", True),
        ("", "listener: {python_path: [/a]}", True),
        ("listener: {state_dir: /a}", "listener: {state_dir: /a} # the same", False),
        ("", "listener: {}", False),
        (None, "listener: {state_dir: /a}", True),
        (None, "", False),
    ],
)
def test_changed_listener_settings_are_said_to_need_a_restart(
    path: Path, log: Log, before: str | None, after: str, is_told: bool
) -> None:
    path.unlink() if before is None else path.write_text(hooks("old") + before)
    file = HooksFile(path, {})

    path.write_text(hooks("newer") + after)
    file.refresh(EVENT)

    assert in_force(file) == ["newer"]
    assert (("WARNING", f"{path}: {RESTART}") in log()) is is_told


def test_listener_settings_changed_back_to_those_of_the_start_need_no_restart(
    path: Path, log: Log
) -> None:
    path.write_text(hooks("old") + "listener: {state_dir: /a}\n")
    file = HooksFile(path, {})
    path.write_text(hooks("newer") + "listener: {state_dir: /b}\n")
    file.refresh(EVENT)
    log()

    path.write_text(hooks("newest") + "listener: {state_dir: /a}\n")
    file.refresh(EVENT)

    assert file.table is not None
    assert file.table.listener == ListenerSettings(state_dir="/a")
    assert log() == [("INFO", f"{path} was read again, hooks: 1")]


def test_the_environment_of_the_start_is_used_for_every_version(path: Path) -> None:
    file = HooksFile(path, {"TEAM": "core"})

    path.write_text(hooks("new") + "  \n- {event_type: '*', implementation: !env [TEAM, x.y]}\n")
    file.refresh(EVENT)

    assert in_force(file) == ["old"]  # 'core' is no dotted path: the variable was read, not the default
