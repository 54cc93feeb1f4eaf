"""The whole test suite, with the branch coverage of the core rooms: `python -m tests [ARGUMENT…]`.

It runs in parts, some at a time, since most tests wait for some process. With pytest's arguments, for a
part of the suite, it runs as one, and the coverage is printed but not judged. The last line says what
has failed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests import SHARED

TOP = Path(__file__).parents[1]
_COVERAGE = (sys.executable, "-m", "coverage")
_UNCOUNTED = ("-p", "tests.uncounted")
_PARTS = (
    ("tests/cli", *_UNCOUNTED),
    ("tests/faults", *_UNCOUNTED),
    ("tests/interpreters", *_UNCOUNTED),
    ("tests/end_to_end", *_UNCOUNTED),
    ("tests/rabbitmq",),
    ("tests/actions",),
    ("tests/cli/test_plugins.py", *_UNCOUNTED),
    ("tests/snmp",),
    ("tests/overview", *_UNCOUNTED),
)
"""A path each, and options; those that take longest come first. They run beside what is in none."""
_AT_A_TIME = 5


def main() -> int:
    """0 when all has passed, else 1."""
    began = time.monotonic()
    arguments = sys.argv[1:]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the tests start thousands of interpreters
    _run_coverage("erase")
    with tempfile.TemporaryDirectory() as folder:
        failed = _run(arguments, Path(folder)) if arguments else _run_parts(Path(folder))
    limit = ["--fail-under=0"] if arguments else []
    if _run_coverage("combine", "-q") or _run_coverage("report", *limit):
        failed.append("coverage")
    seconds = time.monotonic() - began
    print(
        f"failed after {seconds:.0f} s: {', '.join(failed)}" if failed else f"passed in {seconds:.0f} s"
    )
    return 1 if failed else 0


def _run(arguments: Iterable[str], folder: Path, name: str = "all", **output: Any) -> list[str]:
    """Run pytest; what has failed. Its cache is a folder of this name."""
    cache = folder / name
    ended = subprocess.run(
        [*_COVERAGE, "run", "-m", "pytest", "-o", f"cache_dir={cache}", *arguments],
        cwd=TOP, env={**os.environ, SHARED: str(folder)}, check=False, **output,
    )  # fmt: skip
    return _failed(ended.returncode, cache)


def _run_parts(folder: Path) -> list[str]:
    """What a part prints comes when the rest has ended."""

    def run(part: tuple[str, ...]) -> tuple[Path, list[str]]:
        printed = folder / part[0].replace("/", "-")
        with printed.open("wb") as output:
            arguments = [*part, *_others(part[0])]
            return printed, _run(arguments, folder, part[0], stdout=output, stderr=subprocess.STDOUT)

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        parts = pool.map(run, _PARTS)
        failed = _run([*_UNCOUNTED, *_others("tests")], folder)
        for printed, failed_there in parts:
            sys.stdout.buffer.write(printed.read_bytes())
            sys.stdout.flush()
            failed += failed_there
    return failed


def _others(path: str) -> list[str]:
    """Options to leave out the parts that lie below a path."""
    return [f"--ignore={part[0]}" for part in _PARTS if part[0].startswith(f"{path}/")]


def _failed(status: int, cache: Path) -> list[str]:
    """The tests that a pytest notes as failed in its cache, or how it ended if it notes none."""
    noted = cache / "v/cache/lastfailed"
    tests = list(json.loads(noted.read_bytes())) if noted.exists() else []
    return tests or ([f"pytest ended with status {status}"] if status else [])


def _run_coverage(*arguments: str) -> int:
    return subprocess.run([*_COVERAGE, *arguments], cwd=TOP, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
