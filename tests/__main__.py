"""The whole test suite, with the branch coverage of the core rooms: `python -m tests [ARGUMENT…]`.

It runs as two halves at a time, since most tests wait for some process. With pytest's arguments, for a
part of the suite, it runs as one, and the coverage is printed but not judged.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).parents[1]
_COVERAGE = (sys.executable, "-m", "coverage")
_FIRST_HALF = ("tests/actions", "tests/cli", "tests/interpreters/plugins", "tests/snmp")


def main() -> int:
    """The first exit status that is not 0, of pytest's and then of the coverage report's."""
    arguments = sys.argv[1:]
    subprocess.run([*_COVERAGE, "erase"], cwd=TOP, check=True)
    tested = _run(arguments) if arguments else _run_halves()
    subprocess.run([*_COVERAGE, "combine", "-q"], cwd=TOP, check=True)
    limit = ["--fail-under=0"] if arguments else []
    reported = subprocess.run([*_COVERAGE, "report", *limit], cwd=TOP, check=False)
    return tested or reported.returncode


def _run(arguments: list[str]) -> int:
    return subprocess.run(
        [*_COVERAGE, "run", "-m", "pytest", *arguments], cwd=TOP, check=False
    ).returncode


def _run_halves() -> int:
    """What the first half prints comes when the second has ended."""
    ignored = [f"--ignore={folder}" for folder in _FIRST_HALF]
    command = [*_COVERAGE, "run", "-m", "pytest", *_FIRST_HALF]
    with tempfile.TemporaryFile() as output:
        with subprocess.Popen(command, cwd=TOP, stdout=output, stderr=output) as first:
            second = _run(ignored)
        output.seek(0)
        sys.stdout.buffer.write(output.read())
        sys.stdout.flush()
    return first.returncode or second


if __name__ == "__main__":
    sys.exit(main())
