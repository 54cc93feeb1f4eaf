"""The whole test suite, with the branch coverage of the core rooms: `python -m tests [ARGUMENT…]`.

With pytest's arguments, for a part of the suite, the coverage is printed but not judged.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[1]


def main() -> int:
    """The first exit status that is not 0, of pytest's and then of the coverage report's."""
    arguments = sys.argv[1:]
    coverage = [sys.executable, "-m", "coverage"]
    subprocess.run([*coverage, "erase"], cwd=TOP, check=True)
    tested = subprocess.run([*coverage, "run", "-m", "pytest", *arguments], cwd=TOP, check=False)
    subprocess.run([*coverage, "combine", "-q"], cwd=TOP, check=True)
    limit = ["--fail-under=0"] if arguments else []
    reported = subprocess.run([*coverage, "report", *limit], cwd=TOP, check=False)
    return tested.returncode or reported.returncode


if __name__ == "__main__":
    sys.exit(main())
