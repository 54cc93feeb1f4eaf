"""The whole test suite, with the branch coverage of the core rooms: `python -m tests [ARGUMENT…]`.

It runs as two halves at a time, since most tests wait for some process. With pytest's arguments, for a
part of the suite, it runs as one, and the coverage is printed but not judged. The last line says what
has failed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

TOP = Path(__file__).parents[1]
_COVERAGE = (sys.executable, "-m", "coverage")
_FIRST_HALF = ("tests/actions", "tests/cli", "tests/interpreters/plugins", "tests/snmp")


def main() -> int:
    """0 when all has passed, else 1."""
    began = time.monotonic()
    arguments = sys.argv[1:]
    _run_coverage("erase")
    with tempfile.TemporaryDirectory() as folder:
        failed = _run(arguments, Path(folder)) if arguments else _run_halves(Path(folder))
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


def _run_halves(folder: Path) -> list[str]:
    """What the first half prints comes when the second has ended."""
    cache = folder / "first"
    with tempfile.TemporaryFile() as output:
        with subprocess.Popen(
            _command(_FIRST_HALF, cache), cwd=TOP, stdout=output, stderr=output
        ) as first:
            failed = _run([f"--ignore={each}" for each in _FIRST_HALF], folder / "second")
        output.seek(0)
        sys.stdout.buffer.write(output.read())
        sys.stdout.flush()
    return [*_failed(first.returncode, cache), *failed]


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
