"""The last line of `python -m tests`, for a small suite of its own."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests import __main__ as suite
from tests.support import uncounted_env

BROKEN = "def test_good(): pass\ndef test_bad(): assert False\n"


@pytest.mark.parametrize(
    ("text", "arguments", "line"),
    [
        ("def test_good(): pass\n", ["tests/test_it.py"], r"passed in \d+ s"),
        (BROKEN, [], r"failed after \d+ s: tests/test_it\.py::test_bad"),
        (BROKEN, ["-k", "none"], r"failed after \d+ s: pytest ended with status 5"),
    ],
)
def test_the_last_line_says_what_has_failed(
    text: str, arguments: list[str], line: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "tests/cli").mkdir(parents=True)
    (tmp_path / ".coveragerc").write_text("[run]\nparallel = true\n")
    (tmp_path / "tests/uncounted.py").touch()
    (tmp_path / "tests/test_it.py").write_text(text)
    (tmp_path / "tests/cli/test_other.py").write_text("def test_good(): pass\n")
    for name in os.environ.keys() - uncounted_env().keys():
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # it needs none
    monkeypatch.setattr(suite, "TOP", tmp_path)
    monkeypatch.setattr(suite, "_PARTS", (("tests/cli",),))
    monkeypatch.setattr("sys.argv", ["tests", *arguments])
    status = suite.main()
    last = capfd.readouterr().out.splitlines()[-1]
    assert re.fullmatch(line, last), last
    assert status == (0 if last.startswith("passed") else 1)
