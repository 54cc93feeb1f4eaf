"""hooks.conf changing under a running listener: what is in force, and what is said, once.

Editors replace files, configuration tools rewrite them in place, people break them and empty them.
The last good file stays in force until there is a new good one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from listener.errors import InvalidYaml, SettingsError
from listener.hooks.file import Version, load, read_file
from listener.hooks.table import HookTable
from listener.hooks.watch import HooksFile
from listener.hooks.yaml_lines import Mistake

EVENT = "workflow_failed"
RECEIVED = f"The hook consumer received `{EVENT}` event but "

HOOK = "hooks:\n- event_type: workflow_failed\n  implementation: pkg.mod.func\n"


def hooks(name: str) -> str:
    """A hooks.conf with a hook of this name, as long as the name is."""
    return f"hooks:\n- {{name: {name}, event_type: workflow_failed, implementation: a.b}}\n"


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
    ("data", "line", "reason"),
    [
        (b"\xff", 1, "invalid start byte"),
        (b"a: 1\nb: x\xe9\n", 2, "invalid continuation byte"),
        (b"\xef\xbb\xbf#\n\xff", 2, "invalid start byte"),
        (HOOK.encode("utf-16"), 1, "it is UTF-16"),
        (HOOK.encode("utf-16-le"), 1, "it is UTF-16"),
    ],
)
def test_a_file_that_is_no_utf8_is_told_with_its_line(
    path: Path, data: bytes, line: int, reason: str
) -> None:
    path.write_bytes(data)

    assert read_file(path, {}) == (
        None, [Mistake(line, f"not UTF-8: {reason}; save the file as UTF-8")]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "is_open"),
    [(0o620, True), (0o602, True), (0o666, True), (0o600, False), (0o440, False), (0o755, False)],
)
def test_a_file_that_group_or_others_may_write_is_warned_about_before_all_else(
    path: Path, mode: int, is_open: bool
) -> None:
    path.write_text(HOOK.replace("workflow_failed", "boot"))
    path.chmod(mode)

    *first, doubt = load(path, {}).mistakes

    text = f"group or others may write this file, and so run what they like; chmod go-w {path}"
    assert first == ([Mistake(0, text, is_warning=True)] if is_open else [])
    assert doubt.line == 2
    assert Mistake(0, text).as_text(path) == f"{path}: {text}"


def test_only_what_makes_the_whole_file_meaningless_keeps_it_from_being_loaded(path: Path) -> None:
    path.write_text(f"{HOOK}  time_out: 5\n")
    _, table, [mistake] = load(path, {})
    assert table is not None
    assert mistake.as_text(path) in table.hooks[0].problem.replace("hooks.conf", str(path))

    path.write_text(f"{HOOK}  time_out: 5\n  fresh: null\nlistner: {{}}\n  \nversion: 1\n")
    with pytest.raises(SettingsError) as refused:
        load(path, {})

    assert not isinstance(refused.value, InvalidYaml)
    assert str(refused.value).splitlines() == [
        f"{path}, line 4: hook 1 has the unknown key 'time_out'; did you mean 'timeout'?",
        f"{path}, line 5: hook 1: 'fresh' must be true or false, found nothing",
        f"{path}, line 6: the file has the unknown key 'listner'; did you mean 'listener'?",
    ]


def test_a_missing_file_is_told_apart_from_one_that_cannot_be_read(tmp_path: Path) -> None:
    assert load(tmp_path / "missing", {}) == Version(None, None, [])
    assert load(os.devnull, {}).table == HookTable(is_blank=True)

    with pytest.raises(SettingsError, match="cannot be read: Is a directory") as refused:
        load(tmp_path, {})

    assert isinstance(refused.value.__cause__, IsADirectoryError)


# Reading it again


@pytest.mark.parametrize(
    ("write", "name", "mtime_ns", "changed"),
    [
        (write_in_place, "new", 10**18 + 1, "st_mtime_ns"),
        (write_in_place, "new", 10**18 - 10**9, "st_mtime_ns"),
        (write_in_place, "newer", 10**18, "st_size"),
        (replace, "new", 10**18, "st_ino"),
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
    stamp = ("st_mtime_ns", "st_ino", "st_size")
    assert [key for key in stamp if getattr(before, key) != getattr(after, key)] == [changed]
    assert in_force(file) == [name]
    assert log() == [("INFO", f"{path} was read again, hooks: 1")]


def test_an_unchanged_file_is_not_read_again(path: Path, log: Log) -> None:
    file = HooksFile(path, {})
    table = file.table

    for _ in range(3):
        file.refresh(EVENT)

    assert file.table is table
    assert in_force(file) == ["old"]
    assert log() == []


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


UNUSABLE = "the hook config file cannot be used ({0}); {1}:\n{0}"
SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "invalid yaml": (
        lambda path: path.write_text("hooks: [\n"),
        "the hook config file is invalid yaml ({0}); {1}:\n{0}, line 2: invalid YAML: while parsing a"
        " flow node, did not find expected node content",
    ),
    "mistakes": (
        lambda path: path.write_text("hooks:\n- text\nlistner: {}\n"),
        UNUSABLE + ", line 2: hook 1 must be a mapping with 'event_type', found the text 'text'\n{0},"
        " line 3: the file has the unknown key 'listner'; did you mean 'listener'?",
    ),
    "a mistake in a hook": (
        lambda path: path.write_text(HOOK + "  time_out: 5\n"),
        UNUSABLE + ", line 4: hook 1 has the unknown key 'time_out'; did you mean 'timeout'?",
    ),
    "a folder": (
        make_folder,
        UNUSABLE + " cannot be read: Is a directory",
    ),
    "a pipe": (
        make_pipe,
        UNUSABLE + " cannot be read: it is a pipe or a device, not a regular file",
    ),
    "vanished": (lambda path: path.unlink(), "the hooks config file doesn't exist ({0}); {1}"),
    "emptied": (lambda path: path.write_text(""), "the hook config file is empty ({0}); {1}"),
}


@pytest.mark.parametrize(("spoil", "text"), SPOILT.values(), ids=SPOILT)
def test_the_last_good_file_stays_in_force_while_the_new_one_is_no_good(
    path: Path, log: Log, spoil: Callable[[Path], object], text: str
) -> None:
    """The details are logged once, when they are seen; each event is told, as in the original."""
    file = HooksFile(path, {})

    spoil(path)
    for event_type in (None, None, EVENT, EVENT):
        file.refresh(event_type)

    assert in_force(file) == ["old"]
    line = text.format(path, "the last good hooks (1) stay in force until it is mended")
    short = RECEIVED + line.partition(":\n")[0]
    level = "WARNING" if text.endswith("{1}") else "ERROR"
    assert log() == [(level, line), (level, short), (level, short)]

    if path.exists():
        path.rmdir() if path.is_dir() else path.unlink()
    path.write_text(hooks("mended"))
    file.refresh()

    assert in_force(file) == ["mended"]
    assert log() == [("INFO", f"{path} was read again and is mended, hooks: 1")]


def test_an_event_that_comes_first_is_told_all_of_it(path: Path, log: Log) -> None:
    file = HooksFile(path, {})
    path.write_text("hooks: 5\n")
    file.refresh(EVENT)
    [(level, line)] = log()
    assert level == "ERROR"
    assert line.startswith(f"{RECEIVED}the hook config file cannot be used ({path}); the last good")
    assert f":\n{path}, line 1: 'hooks' must be a list" in line
    in_force = "the last good hooks (1) stay in force until it is mended"
    why_not = f"the hook config file cannot be used; {in_force}: {path}, line 1: 'hooks' must"
    assert file.problem.startswith(why_not)


def test_hooks_with_mistakes_are_in_force_from_the_start_until_there_is_a_better_file(
    path: Path, log: Log
) -> None:
    """Then a mistake keeps a newer file out of force, as it does for any good one."""
    broken = hooks("broken").replace("a.b", "!file name")
    gone = "cannot be read: No such file or directory"
    fails = "these hooks fail until their mistakes are mended; then conductor-hooks replay --failed"
    path.write_text(broken)
    file = HooksFile(path, {})
    file.refresh(EVENT)
    file.refresh()
    assert (in_force(file), log()) == (["broken"], [])
    assert file.problem.startswith(f"not all of it is in force: {path}, line 2: !file ")

    path.write_text(broken + hooks("more").partition("\n")[2])
    file.refresh()
    assert in_force(file) == ["broken", "more"]
    assert log() == [
        ("INFO", f"{path} was read again, hooks: 2"),
        ("ERROR", f"{path}, line 2: !file {path.parent}/name {gone}"),
        ("ERROR", f"{fails} runs them: broken"),
    ]

    path.with_name("name").write_text("c.d")  # hooks.conf itself is as it was
    file.refresh()
    assert file.table is not None
    assert [hook.implementation for hook in file.table.hooks] == ["c.d", "a.b"]
    assert log() == [("INFO", f"{path} was read again and is mended, hooks: 2")]

    path.write_text(hooks("text").replace("a.b", "a..b"))
    file.refresh()
    assert in_force(file) == ["broken", "more"]


def test_a_file_that_says_there_are_no_hooks_is_taken_at_its_word(path: Path, log: Log) -> None:
    file = HooksFile(path, {})

    path.write_text("hooks: []\n")
    file.refresh(EVENT)

    assert in_force(file) == []
    assert log() == [("INFO", f"{path} was read again, hooks: 0")]


def test_a_file_that_is_blank_from_the_start_handles_nothing_until_it_is_filled(
    path: Path, log: Log
) -> None:
    path.write_text("")
    file = HooksFile(path, {})
    assert in_force(file) == []

    for text, expected in (("# still blank\n", []), (hooks("first"), ["first"])):
        path.write_text(text)
        file.refresh(EVENT)
        assert in_force(file) == expected
    assert [level for level, _ in log()] == ["INFO", "INFO"]


def test_as_long_as_there_was_no_good_file_every_event_is_told_so(path: Path, log: Log) -> None:
    path.unlink()
    file = HooksFile(path, {})
    file.refresh()
    assert log() == []
    problems = {None: "doesn't exist", "hooks: 5\n": "cannot be used", "[": "is invalid yaml"}

    for text, problem in (*problems.items(), *problems.items()):
        path.unlink(missing_ok=True) if text is None else path.write_text(text)
        for _ in range(2):
            file.refresh(EVENT)
            [(_, line)] = log()
            assert f"{problem} ({path}); no hook is in force" in line
    assert in_force(file) is None

    path.write_text(hooks("first"))
    file.refresh(EVENT)
    assert in_force(file) == ["first"]
    assert log() == [("INFO", f"{path} was read again, hooks: 1")]


def test_what_a_file_names_may_be_mended_without_touching_the_file(path: Path, log: Log) -> None:
    file = HooksFile(path, {})
    hook = "- {name: new, event_type: '*', implementation: a.b, inputs: {key: !file key}}\n"
    path.write_text(f"hooks:\n{hook}")
    file.refresh(EVENT)
    assert in_force(file) == ["old"]

    path.with_name("key").write_text("mended")
    file.refresh()
    assert in_force(file) == ["new"]
    assert [level for level, _ in log()] == ["ERROR", "INFO"]


def test_warnings_are_kept_at_the_start_and_logged_when_they_come_later(path: Path, log: Log) -> None:
    path.write_text(hooks("old").replace("workflow_failed", "workflow_faild"))
    doubt = "hook 'old': 'event_type': Conductor publishes no event type 'workflow_faild'; did you mean"
    file = HooksFile(path, {})
    assert [warning.line for warning in file.mistakes] == [2]
    assert log() == []

    path.write_text("\n" + path.read_text())
    file.refresh(EVENT)
    [read, (level, text)] = log()
    assert read == ("INFO", f"{path} was read again, hooks: 1")
    assert (level, text) == ("WARNING", f"{path}, line 3: {doubt} 'workflow_failed'?")

    path.write_text(hooks("new"))
    file.refresh(EVENT)
    assert file.mistakes == []


RESTART = "changes under 'listener' take effect at the next restart"


@pytest.mark.parametrize(
    ("before", "after", "needs_restart"),
    [
        ("listener: {state_dir: /a}", "listener: {state_dir: /b}", True),
        ("listener: {state_dir: /a}", "", True),
        ("listener: {state_dir: /a}", "listener: {state_dir: /a} # the same", False),
        ("", "listener: {}", False),
        (None, "listener: {state_dir: /a}", True),
        (None, "", False),
    ],
)
def test_changed_listener_settings_are_said_to_need_a_restart(
    path: Path, log: Log, before: str | None, after: str, needs_restart: bool
) -> None:
    path.unlink() if before is None else path.write_text(hooks("old") + before)
    file = HooksFile(path, {})

    for name, text in (("newer", after), ("newest", before or "")):
        path.write_text(hooks(name) + text)
        file.refresh(EVENT)
        assert in_force(file) == [name]
        expected = (
            needs_restart and name == "newer"
        )  # settings changed back to those of the start do not
        assert (("WARNING", f"{path}: {RESTART}") in log()) is expected
        assert file.problem == (RESTART if expected else "")


def test_the_environment_of_the_start_is_used_for_every_version(path: Path) -> None:
    file = HooksFile(path, {"TEAM": "core"})

    path.write_text("hooks: [{event_type: '*', implementation: !env [TEAM, x.y]}]\n")
    file.refresh(EVENT)

    assert file.table is not None
    assert file.table.hooks[0].implementation == "core"
