"""Where the files are that come with the package: hooks.conf and supervisor.d/.

Owns the one answer for a checkout and for every kind of installation. It never reads them. The demo and
the tests call it.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from listener.errors import HooksError

_CHECKOUT = Path(__file__).parents[2]


def shipped(name: str) -> Path:
    """The path of `hooks.conf` or `supervisor.d/conductor-hooks.conf`.

    Raises HooksError when the installation lacks it.
    """
    if (_CHECKOUT / "setup.py").exists() and (_CHECKOUT / name).exists():
        return _CHECKOUT / name
    for file in importlib.metadata.files("conductor-hooks") or ():
        if file.as_posix().endswith(f"share/conductor-hooks/{name}"):
            return Path(str(file.locate())).resolve()
    raise HooksError(f"the installation lacks share/conductor-hooks/{name}; install the package again")
