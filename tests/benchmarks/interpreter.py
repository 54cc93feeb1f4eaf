"""The interpreter that the listeners under test run in.

Owns its environment variables, and a virtual environment that has the packages of the one that runs the
benchmarks and none of the code that its .pth files run at each start of Python, which would be counted
for all listeners.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


@contextmanager
def clean_interpreter() -> Iterator[str]:
    """The path of the interpreter, as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="ch-") as folder:
        venv.create(folder, symlinks=True)
        (site_packages,) = Path(folder).glob("lib/python*/site-packages")
        found = {CHECKOUT: None, **{Path(entry): None for entry in sys.path if _is_packages(entry)}}
        # Lines that are paths are put on sys.path; the .pth files that lie there are not read.
        (site_packages / "packages.pth").write_text("".join(f"{path}\n" for path in found))
        yield f"{folder}/bin/python"


def environment(python: str) -> dict[str, str]:
    """Our environment without the variables that change how Python runs.

    Byte code is kept beside the clean interpreter, as it is beside an installed package; the first
    start writes it.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**inherited, "PYTHONPYCACHEPREFIX": str(Path(python).parents[1] / "bytecode")}


def _is_packages(entry: str) -> bool:
    own = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    return entry in own or Path(entry).name in ("site-packages", "dist-packages")
