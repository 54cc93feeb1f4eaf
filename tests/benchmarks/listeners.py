"""The listeners that are measured: ours in several settings, and what it is compared with.

Owns their command lines and environments. ready.py and memory.py start them on pipes (piped.py),
events.py under a supervisord.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks import interpreter
from tests.benchmarks.notifications import PROGRAMS


class Listener(NamedTuple):
    """A listener under test: what its interpreter is to run.

    `conf` is the text of its hooks.conf, or '' if it is not ours. `is_recorded`: supervisord has the
    recorder in it. `traps`: how many it sends for an event.
    """

    name: str
    arguments: tuple[str, ...]
    conf: str = ""
    has_state_dir: bool = False
    is_recorded: bool = False
    traps: int = 0


MINIMAL = Listener("minimal, os.read and os.write", (str(PROGRAMS / "minimal.py"),))
CHILDUTILS = Listener("supervisor.childutils", (str(PROGRAMS / "with_childutils.py"),))
SUPERLANCE = Listener("superlance's crashmail", ("-m", "superlance.crashmail"))

CONSOLE_SCRIPT = str(Path(sys.executable).with_name("conductor-hooks"))
"""As pip made it, beside the interpreter that runs the benchmarks; an installation may lack it."""


def ours(
    name: str, conf: str, *, console_script: bool = False, has_state_dir: bool = True, traps: int = 0
) -> Listener:
    """Our listener, by default as `python -m listener listen`."""
    start = (CONSOLE_SCRIPT,) if console_script else ("-m", "listener")
    return Listener(f"ours, {name}", (*start, "listen"), conf, has_state_dir, traps=traps)


def parts(name: str, *arguments: str, traps: int = 0) -> Listener:
    """The parts of our work alone; what they reach of MINIMAL's rate, ours cannot exceed."""
    return Listener(f"the parts of it, {name}", (str(PROGRAMS / "parts.py"), *arguments), "", True,
                    traps=traps)  # fmt: skip


def environment(
    python: str, folder: Path, trap_port: int = 0, *, has_state_dir: bool = True
) -> Mapping[str, str]:
    """What the listeners run with; `folder` is for the files of one run, hooks.conf among them.

    The shipped hooks.conf sends its traps to `trap_port`. Without a state directory there is one that
    cannot be made, since a file stands in its way.
    """
    above = folder if has_state_dir else hooks_conf_path(folder)
    return {
        **interpreter.environment(python),
        "CONDUCTOR_HOOKS_CONFIG": str(hooks_conf_path(folder)),
        "CONDUCTOR_HOOKS_STATE_DIR": str(above / "state"),
        "CONDUCTOR_TRAP_ADDRESS": "127.0.0.1",
        "CONDUCTOR_TRAP_PORT": str(trap_port),
        "SUPERVISOR_SERVER_URL": "unix:///nowhere",  # superlance insists; it is never used
    }


def hooks_conf_path(folder: Path) -> Path:
    return folder / "hooks.conf"


def write_hooks_conf(listener: Listener, folder: Path) -> None:
    path = hooks_conf_path(folder)
    path.write_text(listener.conf)
    path.chmod(0o600)  # or it would be warned about
