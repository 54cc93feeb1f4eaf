"""The whole test suite, with the branch coverage of the core rooms: `python -m tests [ARGUMENT…]`.

It runs as five parts at a time, since most tests wait for some process. With pytest's arguments, for a
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
from pathlib import Path

TOP = Path(__file__).parents[1]
_COVERAGE = (sys.executable, "-m", "coverage")
_PARTS = (
    ("tests/actions", "tests/snmp"),
    ("tests/interpreters", "tests/rabbitmq"),
    ("tests/cli", "tests/overview", "-p", "tests.uncounted"),
    ("tests/end_to_end", "-p", "tests.uncounted"),
)
"""Their folders and options, beside what is in none of them."""


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


def _run(arguments: list[str], cache: Path) -> list[str]:
    return _failed(subprocess.run(_command(arguments, cache), cwd=TOP, check=False).returncode, cache)


def _run_parts(folder: Path) -> list[str]:
    """What a part prints comes when the rest has ended."""
    running = []
    for number, part in enumerate(_PARTS):
        output, cache = (folder / f"{number}.output").open("w+b"), folder / str(number)
        process = subprocess.Popen(_command(part, cache), cwd=TOP, stdout=output, stderr=output)
        running.append((process, output, cache))
    named = [each for part in _PARTS for each in part if (TOP / each).is_dir()]
    failed = _run([f"--ignore={each}" for each in named], folder / "rest")
    for process, output, cache in running:
        failed += _failed(process.wait(), cache)
        with output:
            output.seek(0)
            sys.stdout.buffer.write(output.read())
            sys.stdout.flush()
    return failed


def _command(arguments: Iterable[str], cache: Path) -> list[str]:
    return [*_COVERAGE, "run", "-m", "pytest", "-o", f"cache_dir={cache}", *arguments]


def _failed(status: int, cache: Path) -> list[str]:
    """The tests that a pytest notes as failed in its cache, or how it ended if it notes none."""
    noted = cache / "v/cache/lastfailed"
    tests = list(json.loads(noted.read_bytes())) if noted.exists() else []
    return tests or ([f"pytest ended with status {status}"] if status else [])


def _run_coverage(*arguments: str) -> int:
    return subprocess.run([*_COVERAGE, *arguments], cwd=TOP, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
