"""The Python interpreters of this machine, each version once; run, it prints the newest one's path."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

from packaging.version import Version

PYTHONS = "CONDUCTOR_HOOKS_TEST_PYTHONS"
VERSIONS = ("3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")


@functools.cache
def interpreters() -> dict[str, str]:
    """The path of every interpreter that can be started, by its version; ours is always there."""
    listed = [python for python in os.environ.get(PYTHONS, "").split(":") if python]
    found = {}
    for python in [*(f"python{version}" for version in VERSIONS), *listed, sys.executable]:
        try:
            version, executable = subprocess.check_output(
                [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
            ).split(maxsplit=1)
        except (OSError, subprocess.CalledProcessError):
            assert python not in listed, f"{PYTHONS} lists {python}, which cannot be started"
            continue
        found[version] = executable.strip()
    return found


def oldest() -> str:
    """The path of the interpreter with the lowest version."""
    return interpreters()[min(interpreters(), key=Version)]


if __name__ == "__main__":
    print(interpreters()[max(interpreters(), key=Version)])
